"""Holds what an origin receives through a gateway against two strict parsers, h11 and httptools.

usage: framing.py GATEWAY USER:PASSWORD

Sends every request of `vectors.py` to an origin of its own, and records what arrives there. Both parsers must
find the same requests in that, with the same bodies, and those that the vector says. Prints what differs, then
a line that counts; ends with 1 where anything differed.
"""

import base64
import socket
import sys
import threading

import h11
import httptools

from vectors import BROKEN, HIDDEN, REFUSED, VECTORS

PATIENCE = 15
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LARGEST = 1 << 20


class ByH11:
    """The requests that h11 finds; `fault` says why it stopped."""

    def __init__(self):
        self.connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST)
        self.requests, self.fault, self.open = [], None, False
        self.body, self.head = b"", None

    def feed(self, data):
        """How many more requests are whole now."""
        before = len(self.requests)
        try:
            self.connection.receive_data(data)
            while self.step():
                pass
        except h11.RemoteProtocolError as error:
            self.fault = str(error)
        return len(self.requests) - before

    def step(self):
        event = self.connection.next_event()
        if isinstance(event, h11.Request):
            self.head, self.body, self.open = event, b"", True
        elif isinstance(event, h11.Data):
            self.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self.requests.append((self.head.method.decode(), self.head.target.decode(), self.body))
            self.open = False
            self.connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            self.connection.send(h11.EndOfMessage())
            if self.connection.our_state is h11.MUST_CLOSE:
                return False
            self.connection.start_next_cycle()
        else:
            return False
        return True


class ByHttptools:
    """The requests that httptools (Node's llhttp) finds."""

    def __init__(self):
        self.parser = httptools.HttpRequestParser(self)
        self.requests, self.fault, self.open = [], None, False

    def feed(self, data):
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # It leaves what follows an upgrade to the next protocol; here it is the end of one request.
            pass
        except httptools.HttpParserError as error:
            self.fault = str(error)

    def on_message_begin(self):
        self.target, self.body, self.open = b"", b"", True

    def on_url(self, part):
        self.target += part

    def on_body(self, part):
        self.body += part

    def on_message_complete(self):
        method = self.parser.get_method().decode()
        self.requests.append((method, self.target.decode(), self.body))
        self.open = False


class Origin:
    """Answers each request that h11 finds, and keeps the bytes of each connection."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections, self.threads = [], []
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            bytes_heard = bytearray()
            self.connections.append(bytes_heard)
            thread = threading.Thread(target=self.serve, args=(connection, bytes_heard), daemon=True)
            thread.start()
            self.threads.append(thread)

    @staticmethod
    def serve(connection, bytes_heard):
        reader = ByH11()
        with connection:
            connection.settimeout(PATIENCE)
            try:
                while data := connection.recv(1 << 16):
                    bytes_heard += data
                    connection.sendall(ANSWER * reader.feed(data))
            except OSError:
                pass

    def close(self):
        """Waits until nothing more can arrive."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.accepting.join(PATIENCE)
        self.listener.close()
        for thread in self.threads:
            thread.join(PATIENCE)
        return [bytes(heard) for heard in self.connections if heard]


def send(gateway, raw):
    """What the gateway answered, up to the end of the connection."""
    host, port = gateway.rsplit(":", 1)
    answer = b""
    with socket.create_connection((host, int(port)), PATIENCE) as client:
        client.settimeout(PATIENCE)
        try:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(1 << 16):
                answer += data
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer


def judge(outcome, answer, heard):
    """What is wrong, or nothing."""
    h11_found, httptools_found, unfinished = [], [], False
    for connection in heard:
        first, second = ByH11(), ByHttptools()
        first.feed(connection)
        second.feed(connection)
        if first.requests != second.requests:
            return f"h11 finds {first.requests} ({first.fault}), httptools {second.requests} ({second.fault})"
        if bool(first.fault) != bool(second.fault):
            return f"h11 says {first.fault}, httptools {second.fault}"
        h11_found += first.requests
        httptools_found += second.requests
        unfinished |= first.open or second.open
    if any("hidden" in target for _, target, _ in h11_found):
        return f"the hidden request got through: {h11_found}"
    status = answer.split(b" ")[1][:3].decode() if answer.startswith(b"HTTP/1.1 ") else ""
    if outcome is REFUSED:
        return (
            None if not heard and status in ("400", "431", "501", "") else f"{status}, and the origin heard {heard}"
        )
    if outcome is BROKEN:
        return None if not h11_found else f"the origin heard a whole request: {h11_found}"
    if unfinished:
        return f"a request without an end: {heard}"
    return None if h11_found == outcome else f"{status}, and the origin received {h11_found}"


def check_the_judge():
    """What this is for must not pass: two lengths, a length beside chunks, and a request that was hidden."""
    head = b"POST /p HTTP/1.1\r\nHost: o\r\n"
    two = head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    hidden = head + b"Content-Length: 0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: o\r\n\r\n"
    odd = head + b"Content-Length : 5\r\n\r\nhello"
    for heard in (two, hidden, odd):
        assert judge([("POST", "/p", b"")], b"HTTP/1.1 200 OK\r\n", [heard]), heard


def main():
    check_the_judge()
    gateway, login = sys.argv[1:3]
    field = b"Proxy-Authorization: Basic " + base64.b64encode(login.encode()) + b"\r\n"
    wrong, accepted = 0, 0
    for name, raw, outcome in VECTORS:
        origin = Origin()
        address = origin.address.encode()
        hidden = HIDDEN.replace(b"{o}", address).replace(b"{auth}", field)
        raw = raw.replace(b"Content-Length: %d\r\n" % len(HIDDEN), b"Content-Length: %d\r\n" % len(hidden))
        if outcome == "body":
            outcome = [("POST", "/p", hidden)]
        elif outcome == "query":
            outcome = [("GET", "/p?Content-Length:5", b"")]
        raw = raw.replace(b"{o}", address).replace(b"{auth}", field)
        answer = send(gateway, raw)
        accepted += not isinstance(outcome, str)
        fault = judge(outcome, answer, origin.close())
        if fault:
            wrong += 1
            print(f"{name}: {fault}")
    print(f"{len(VECTORS)} requests, {accepted} of them to be accepted, {wrong} wrong")
    sys.exit(1 if wrong else 0)


main()
