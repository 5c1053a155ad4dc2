#!/usr/bin/env python3
"""A proxy for one experiment: it writes down what a program sends, and answers as it is told.

Everything on one port of 127.0.0.1, told apart by the first byte: HTTP proxy requests, SOCKS5, SOCKS4,
TLS. What a tunnel leads to is played by the stub itself, under TLS where the client speaks TLS, so no
name is resolved and nothing leaves the machine. Each thing seen is one line of JSON in the log.
"""

import argparse
import json
import os
import socket
import ssl
import struct
import threading
import time

HEAD_LIMIT = 65536
PATIENCE = 20.0


class Stub:
    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.connections = 0
        self.tunnels = 0
        self.log = open(options.log, "a", buffering=1, encoding="utf-8")
        self.tls = None
        if options.identity:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(options.identity)

    def note(self, **seen):
        with self.lock:
            self.log.write(json.dumps(seen) + "\n")

    def serve(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        with open(self.options.port + ".new", "w", encoding="ascii") as file:
            file.write(str(listener.getsockname()[1]))
        os.rename(self.options.port + ".new", self.options.port)
        while True:
            client, _ = listener.accept()
            with self.lock:
                self.connections += 1
                number = self.connections
            threading.Thread(target=self.connection, args=(client, number), daemon=True).start()

    def connection(self, client, number):
        client.settimeout(PATIENCE)
        try:
            first = client.recv(1, socket.MSG_PEEK)
            if first == b"\x05":
                self.socks5(client, number)
            elif first == b"\x04":
                self.socks4(client, number)
            elif first == b"\x16":
                self.note(conn=number, kind="tls-to-proxy", alpn=alpn_offered(client))
            elif first:
                self.proxy(client, number)
            else:
                self.note(conn=number, kind="nothing")
        except (OSError, ssl.SSLError, ValueError) as error:
            self.note(conn=number, kind="error", what=type(error).__name__)
        finally:
            client.close()

    def proxy(self, client, number):
        while True:
            head = read_head(client)
            if head is None:
                return
            line, headers = head
            self.note(conn=number, kind="proxy", line=line, headers=headers)
            method = line.split(" ", 1)[0]
            body(client, headers)
            if self.options.ask and not any(name.lower() == "proxy-authorization" for name, _ in headers):
                client.sendall(answer(407, "Proxy Authentication Required", b"who are you?\n",
                                      ["Proxy-Authenticate: Basic realm=\"stub\""], self.options.close))
            elif method == "CONNECT":
                status = self.connect_status()
                if status == 200:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    self.tunnel(client, number)
                    return
                extra = ["Proxy-Authenticate: Basic realm=\"stub\""] if status == 407 else []
                extra += self.options.header
                client.sendall(answer(status, self.options.phrase, b"why: the body says it\n", extra,
                                      self.options.close))
                if not self.options.close:
                    self.after_refusal(client, number)
            else:
                client.sendall(answer(self.options.plain, self.options.phrase if self.options.plain != 200 else "OK",
                                      b"hello\n", self.options.header, self.options.close))
            if self.options.close:
                linger(client)
                return

    def connect_status(self):
        with self.lock:
            self.tunnels += 1
            return self.options.connect

    def after_refusal(self, client, number):
        first = client.recv(1, socket.MSG_PEEK)
        if first == b"\x16":
            self.note(conn=number, kind="tls-after-refusal")
            raise ValueError("TLS to a proxy that refused")

    def tunnel(self, client, number):
        first = client.recv(1, socket.MSG_PEEK)
        inner = client
        if first == b"\x16" and self.tls:
            self.note(conn=number, kind="tls", alpn=alpn_offered(client))
            inner = self.tls.wrap_socket(client, server_side=True)
        while True:
            head = read_head(inner)
            if head is None:
                return
            self.note(conn=number, kind="inner", line=head[0], headers=head[1])
            body(inner, head[1])
            if self.options.cut:
                return
            inner.sendall(answer(200, "OK", b"hello\n", [], False))

    def socks5(self, client, number):
        methods = list(exactly(client, exactly(client, 2)[1]))
        seen = {"conn": number, "kind": "socks5", "methods": methods}
        if 2 in methods:
            client.sendall(b"\x05\x02")
            user = exactly(client, exactly(client, 2)[1])
            password = exactly(client, exactly(client, 1)[0])
            seen |= {"user": user.decode("utf-8", "replace"), "password": password.decode("utf-8", "replace")}
            client.sendall(bytes([1, 1 if self.options.socks_login_refused else 0]))
            if self.options.socks_login_refused:
                self.note(**seen)
                return
        else:
            client.sendall(b"\x05\x00")
        _, command, _, kind = exactly(client, 4)
        size = {1: 4, 4: 16}.get(kind) or exactly(client, 1)[0]
        host, (port,) = exactly(client, size), struct.unpack(">H", exactly(client, 2))
        readable = socket.inet_ntop({1: socket.AF_INET, 4: socket.AF_INET6}[kind], host) if kind in (1, 4) else host.decode()
        self.note(**seen, command=command, atyp=kind, host=readable, port=port)
        client.sendall(b"\x05" + bytes([self.options.socks]) + b"\x00\x01" + bytes(6))
        if self.options.socks == 0:
            self.tunnel(client, number)

    def socks4(self, client, number):
        _, command, port = struct.unpack(">BBH", exactly(client, 4))
        address = exactly(client, 4)
        user = until_zero(client)
        host = until_zero(client) if address[:3] == bytes(3) and address[3] else socket.inet_ntoa(address)
        self.note(conn=number, kind="socks4", command=command, port=port, user=user, host=host)
        client.sendall(b"\x00" + bytes([90 if self.options.socks == 0 else 91]) + bytes(6))
        if self.options.socks == 0:
            self.tunnel(client, number)


def answer(status, phrase, content, extra, close):
    lines = [f"HTTP/1.1 {status} {phrase}", "Content-Type: text/plain", f"Content-Length: {len(content)}", *extra]
    lines.append("Connection: close" if close else "Connection: keep-alive")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def read_head(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > HEAD_LIMIT:
            raise ValueError("the head is too long")
        more = stream.recv(1)
        if not more:
            return None
        data += more
        if data.endswith(b"\n\n"):
            break
    lines = data.decode("latin-1").splitlines()
    headers = [[part.strip() for part in line.split(":", 1)] for line in lines[1:] if ":" in line]
    return lines[0], headers


def body(stream, headers):
    for name, value in headers:
        if name.lower() == "content-length":
            exactly(stream, min(int(value), HEAD_LIMIT))


def exactly(stream, size):
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise ValueError("the client ended early")
        data += more
    return data


def until_zero(stream):
    text = b""
    while len(text) < 256:
        byte = exactly(stream, 1)
        if byte == b"\x00":
            return text.decode("utf-8", "replace")
        text += byte
    raise ValueError("no end")


def linger(client):
    client.shutdown(socket.SHUT_WR)
    client.settimeout(1.0)
    try:
        while client.recv(4096):
            pass
    except OSError:
        pass


def alpn_offered(client):
    """The ALPN names of a ClientHello that is peeked at (RFC 8446 section 4.1.2, RFC 7301)."""
    deadline = time.monotonic() + PATIENCE
    record = b""
    while time.monotonic() < deadline:
        record = client.recv(16384 + 5, socket.MSG_PEEK)
        if len(record) >= 5 and len(record) >= 5 + struct.unpack(">H", record[3:5])[0]:
            break
        time.sleep(0.01)
    try:
        at = 5 + 4 + 2 + 32
        at += 1 + record[at]
        at += 2 + struct.unpack(">H", record[at:at + 2])[0]
        at += 1 + record[at]
        end = at + 2 + struct.unpack(">H", record[at:at + 2])[0]
        at += 2
        while at < end:
            kind, size = struct.unpack(">HH", record[at:at + 4])
            if kind == 16:
                names, inner = [], at + 6
                while inner < at + 4 + size:
                    names.append(record[inner + 1:inner + 1 + record[inner]].decode())
                    inner += 1 + record[inner]
                return names
            at += 4 + size
    except (IndexError, struct.error):
        pass
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", required=True, help="file that the port is written to")
    parser.add_argument("--log", required=True, help="file that what was seen is written to")
    parser.add_argument("--identity", help="certificate and key (PEM) of what tunnels lead to")
    parser.add_argument("--ask", action="store_true", help="407 to requests without credentials")
    parser.add_argument("--connect", type=int, default=200, help="status that answers CONNECT")
    parser.add_argument("--plain", type=int, default=200, help="status that answers other requests")
    parser.add_argument("--phrase", default="Refused By Stub", help="reason phrase of refusals")
    parser.add_argument("--header", action="append", default=[], help="a further line of refusals")
    parser.add_argument("--close", action="store_true", help="close after each answer")
    parser.add_argument("--cut", action="store_true", help="what tunnels lead to closes instead of answering")
    parser.add_argument("--socks", type=int, default=0, help="REP that answers SOCKS5 requests")
    parser.add_argument("--socks-login-refused", action="store_true", help="RFC 1929 status 1")
    Stub(parser.parse_args()).serve()


if __name__ == "__main__":
    main()
