"""Browses with Chromium through a proxy that asks for credentials.

usage: browser.py CHROMIUM GATEWAY USER:PASSWORD IDENTITY.pem SCREENSHOT.png

The origin is here: a page, over plain HTTP and over TLS, that fetches, posts, and talks over a WebSocket, and
writes down how it went. Credentials cannot be given to Chromium on its command line; they are given where it asks
for them, over the pipe by which it is driven. Prints what came of each step as JSON.
"""
import base64
import hashlib
import http.server
import json
import os
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading

PATIENCE = 60
PAGE = """<!doctype html><meta charset="utf-8"><title>working</title>
<body style="font: 24px sans-serif; margin: 40px"><h1>Through the proxy</h1><ul></ul><script>
const said = {};
const note = (what, how) => {
  said[what] = how;
  document.querySelector("ul").innerHTML += `<li>${what}: ${how}</li>`;
};
const socket = () => new Promise((done, fail) => {
  const ws = new WebSocket(location.origin.replace("http", "ws") + "/socket");
  ws.onopen = () => ws.send("over and out");
  ws.onmessage = (message) => (ws.close(), done(message.data));
  ws.onerror = () => fail(new Error("no socket"));
});
const steps = {
  get: async () => (await fetch("/hello")).text(),
  post: async () => (await fetch("/echo", { method: "POST", body: "x".repeat(100000) })).text(),
  large: async () => (await (await fetch("/large")).arrayBuffer()).byteLength,
  at_once: async () => (await Promise.all([..."abcdefghij"].map(() => fetch("/hello")))).length,
  websocket: socket,
};
(async () => {
  for (const [name, step] of Object.entries(steps)) {
    try { note(name, String(await step())); } catch (error) { note(name, `failed: ${error.message}`); }
  }
  document.title = JSON.stringify(said);
})();
</script>"""


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        told = [name for name in self.headers if name.lower().startswith(("proxy-", "via", "x-forwarded", "forwarded"))]
        if told:
            self.answer(f"it tells of a proxy: {told}".encode())
        elif self.path == "/socket":
            self.websocket()
        else:
            self.answer({"/hello": b"hello", "/large": b"." * 3_000_000}.get(self.path, PAGE.encode()))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(str(len(body)).encode())

    def websocket(self):
        """One message, sent back as it came."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        length = self.rfile.read(2)[1] & 127
        mask, masked = self.rfile.read(4), self.rfile.read(length)
        text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))
        self.wfile.write(bytes([0x81, length]) + text)
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


def origin(identity=None):
    """The port of a new origin."""
    server = Server(("127.0.0.1", 0), Answers)
    if identity:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


class Browser:
    """Chromium, driven over a pipe by the DevTools protocol."""

    def __init__(self, program, gateway, login, folder):
        self.user, self.password = login.split(":")
        self.asked, self.count, self.rest, self.events = 0, 0, b"", []
        reads, commands = os.pipe()
        answers, writes = os.pipe()
        self.commands, self.answers = commands, answers

        def pipes():
            # It reads from 3 and writes to 4.
            high = [os.dup(fd) for fd in (reads, writes)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--ignore-certificate-errors",
             f"--user-data-dir={folder}", f"--proxy-server={gateway}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(reads)
        os.close(writes)
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]
        self.call("Fetch.enable", handleAuthRequests=True)
        self.call("Page.enable")

    session = None

    def send(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        return self.count

    def receive(self):
        while b"\0" not in self.rest:
            part = os.read(self.answers, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended")
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        """The result; meanwhile lets requests go on, and gives credentials to the proxy."""
        number = self.send(method, **parameters)
        while True:
            message = self.receive()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.heed(message)

    def heed(self, message):
        request = message.get("params", {}).get("requestId")
        if message.get("method") == "Fetch.requestPaused":
            self.send("Fetch.continueRequest", requestId=request)
        elif message.get("method") == "Fetch.authRequired":
            self.asked += 1
            proxy = message["params"]["authChallenge"]["source"] == "Proxy"
            answer = {"response": "ProvideCredentials", "username": self.user, "password": self.password}
            answer = answer if proxy and self.asked < 10 else {"response": "CancelAuth"}
            self.send("Fetch.continueWithAuth", requestId=request, authChallengeResponse=answer)

    def title(self):
        return self.call("Runtime.evaluate", expression="document.title")["result"]["value"]

    def browse(self, url):
        """What the page wrote down."""
        failed = self.call("Page.navigate", url=url).get("errorText")
        if failed:
            return {"page": failed}
        while not (title := self.title()).startswith("{"):
            if title not in ("", "working") and not title.startswith("origin.test"):
                return {"page": title}
        return json.loads(title)

    def picture(self):
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self):
        self.send("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main():
    program, gateway, login, identity, screenshot = sys.argv[1:6]
    plain, secure = origin(), origin(identity)
    watch = threading.Timer(PATIENCE, lambda: os._exit(2))
    watch.daemon = True
    watch.start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(program, gateway, login, folder)
        try:
            said = {"http": browser.browse(f"http://origin.test:{plain}/")}
            with open(screenshot, "wb") as file:
                file.write(browser.picture())
            said["https"] = browser.browse(f"https://origin.test:{secure}/")
            said["asked"] = browser.asked
        finally:
            browser.close()
    print(json.dumps(said))


main()
