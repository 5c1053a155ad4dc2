"""Requests to a proxy: right ones, ambiguous ones, and such as hide another one.

Each is a name, the bytes, and what must come of it: REFUSED (the origin hears nothing), BROKEN (the origin
hears the beginning of a request and never its end), or the requests that the origin must have received, as
method, target and body. `{o}` stands for the origin, `{auth}` for a field line with right credentials. Whatever
is hidden carries credentials too, so that it would get through if it were taken for a request.
"""

REFUSED = "refused"
BROKEN = "broken"

HEAD = b"Host: {o}\r\n{auth}"
HIDDEN = b"GET http://{o}/hidden HTTP/1.1\r\nHost: {o}\r\n{auth}\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
VECTORS = []


def vector(name, raw, outcome):
    VECTORS.append((name, raw, outcome))


def request(fields=b"", body=b"", method=b"POST", url=b"http://{o}/p", version=b"HTTP/1.1"):
    return method + b" " + url + b" " + version + b"\r\n" + HEAD + fields + b"\r\n" + body


def length(body):
    return b"Content-Length: %d\r\n" % len(body)


def one(body=b"", method="POST", target="/p"):
    return [(method, target, body)]


def whole_requests():
    get = request(method=b"GET")
    vector("get", get, one(method="GET"))
    vector("head", request(method=b"HEAD"), one(method="HEAD"))
    vector("post without a body", request(), one())
    vector("post of nothing", request(length(b"")), one())
    vector("post", request(length(b"hello"), b"hello"), one(b"hello"))
    vector("get with a body", request(length(b"hello"), b"hello", b"GET"), one(b"hello", "GET"))
    # Such as httptools knows: it takes no others.
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH", "PURGE", "SEARCH"]:
        raw = request(length(b"hello"), b"hello", method.encode())
        vector("method " + method, raw, one(b"hello", method))
    vector("an empty line first", b"\r\n" + get, one(method="GET"))
    vector("http/1.0", request(length(b"hello"), b"hello", version=b"HTTP/1.0"), one(b"hello"))
    vector("large", request(length(b"x" * 300_000), b"x" * 300_000), one(b"x" * 300_000))
    every = bytes(range(256))
    vector("every byte in a body", request(length(every), every), one(every))
    vector("names in any case", request(b"cOnTeNt-LeNgTh: 5\r\n", b"hello"), one(b"hello"))
    vector("no blank after the colon", request(b"Content-Length:5\r\n", b"hello"), one(b"hello"))
    vector("many blanks after the colon", request(b"Content-Length: \t  5\r\n", b"hello"), one(b"hello"))
    vector("blanks after the value", request(b"Content-Length: 5 \t\r\n", b"hello"), one(b"hello"))
    vector("an empty value", request(b"X-Empty:\r\n", method=b"GET"), one(method="GET"))
    vector("bytes beyond ascii in a value", request(b"X: caf\xc3\xa9\xff\r\n", method=b"GET"), one(method="GET"))
    vector("an underscore in a name", request(b"Content_Length: 5\r\n", method=b"GET"), one(method="GET"))
    vector("another length", request(b"X-Content-Length: 5\r\n", method=b"GET"), one(method="GET"))
    vector("a hidden request in a body", request(length(HIDDEN), HIDDEN), "body")
    vector("websocket", request(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", method=b"GET"), one(method="GET"))
    h2c = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    vector("h2c", request(h2c, method=b"GET"), one(method="GET"))
    vector("expect", request(b"Expect: 100-continue\r\n" + length(b"hello"), b"hello"), one(b"hello"))
    vector("expect what nobody knows", request(b"Expect: x\r\n" + length(b"hello"), b"hello"), one(b"hello"))


def pipelines():
    get, post = request(method=b"GET"), request(length(b"hello"), b"hello")
    chunked = request(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n")
    vector("two", get + get, one(method="GET") * 2)
    vector("three", post + get + chunked, one(b"hello") + one(method="GET") + one(b"hello"))
    vector("ten", post * 10, one(b"hello") * 10)
    vector("an empty line between", post + b"\r\n" + get, one(b"hello") + one(method="GET"))
    vector("chunked, then one", chunked + get, one(b"hello") + one(method="GET"))
    vector("nothing, then one", request(length(b"")) + get, one() + one(method="GET"))
    vector("after a head", request(method=b"HEAD") + get, one(method="HEAD") + one(method="GET"))
    vector("what follows a length is the next", request(length(b"12345"), b"1234567"), one(b"12345"))
    vector("what follows a chunk is the next", chunked + b"junk\r\n\r\n", one(b"hello"))
    vector("one for nobody is skipped", get + b"GET / HTTP/1.1\r\nHost: {o}\r\n\r\n" + get, one(method="GET") * 2)
    vector("a malformed one stops the rest", get + b"GET  / HTTP/1.1\r\nHost: {o}\r\n\r\n" + get, one(method="GET"))
    vector("after close nothing is read", request(b"Connection: close\r\n", method=b"GET") + get, one(method="GET"))
    old = request(b"Connection: keep-alive\r\n", method=b"GET", version=b"HTTP/1.0")
    vector("after http/1.0 nothing is read", old + get, one(method="GET"))
    other = b"GET http://{o}/q HTTP/1.1\r\nHost: {o}\r\n\r\n"
    vector("each shows its own credentials", get + other, one(method="GET"))


def lengths():
    bad = {
        "two": b"Content-Length: 5\r\nContent-Length: 6\r\n",
        "two equal": b"Content-Length: 5\r\n" * 2,
        "a list": b"Content-Length: 5, 6\r\n",
        "a list of equals": b"Content-Length: 5, 5\r\n",
        "plus": b"Content-Length: +5\r\n",
        "minus": b"Content-Length: -5\r\n",
        "hex": b"Content-Length: 0x5\r\n",
        "octal": b"Content-Length: 0o5\r\n",
        "two numbers": b"Content-Length: 5 5\r\n",
        "nothing": b"Content-Length:\r\n",
        "blanks": b"Content-Length:  \r\n",
        "a fraction": b"Content-Length: 5.0\r\n",
        "an exponent": b"Content-Length: 5e0\r\n",
        "an underscore": b"Content-Length: 0_5\r\n",
        "a comma": b"Content-Length: 5,\r\n",
        "quoted": b'Content-Length: "5"\r\n',
        "a parameter": b"Content-Length: 5;\r\n",
        "20 digits": b"Content-Length: 00000000000000000000000005x\r\n",
        "2^63": b"Content-Length: 9223372036854775808\r\n",
        "2^64+5": b"Content-Length: 18446744073709551621\r\n",
        "digits of another script": "Content-Length: \u0665\r\n".encode(),
        "full-width": "Content-Length: \uff15\r\n".encode(),
        "superscript": b"Content-Length: \xb5\r\n",
        "a vertical tab": b"Content-Length: \x0b5\r\n",
        "a form feed": b"Content-Length: 5\x0c\r\n",
        "a nul": b"Content-Length: 5\0\r\n",
        "folded": b"Content-Length:\r\n 5\r\n",
        "folded behind": b"Content-Length: 5\r\n 6\r\n",
        "blank before the colon": b"Content-Length : 5\r\n",
        "tab before the colon": b"Content-Length\t: 5\r\n",
        "a nul in the name": b"Content\0-Length: 5\r\n",
        "a blank before the name": b"X: y\r\n Content-Length: 5\r\n",
        "and another case": b"Content-Length: 5\r\ncontent-length: 0\r\n",
    }
    for name, fields in bad.items():
        vector("length: " + name, request(fields, b"hello" + HIDDEN), REFUSED)
    vector("length: zeros in front", request(b"Content-Length: 0005\r\n", b"hello"), one(b"hello"))
    vector(
        "length: nominated", request(b"Connection: Content-Length\r\n" + length(b"hello"), b"hello"), one(b"hello")
    )
    vector("length: in a query", request(url=b"http://{o}/p?Content-Length:5", method=b"GET"), "query")
    vector("length: more than comes", request(b"Content-Length: 500\r\n", HIDDEN), BROKEN)


def codings():
    bad = {
        "cl.te": length(b"hello") + CHUNKED,
        "te.cl": CHUNKED + length(b"hello"),
        "cl 0 and te": b"Content-Length: 0\r\n" + CHUNKED,
        "te.te": CHUNKED * 2,
        "te and another": CHUNKED + b"Transfer-Encoding: identity\r\n",
        "another and te": b"Transfer-Encoding: cow\r\n" + CHUNKED,
        "xchunked": b"Transfer-Encoding: xchunked\r\n",
        "chunkedx": b"Transfer-Encoding: chunkedx\r\n",
        "identity": b"Transfer-Encoding: identity\r\n",
        "identity, chunked": b"Transfer-Encoding: identity, chunked\r\n",
        "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n",
        "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
        "gzip": b"Transfer-Encoding: gzip\r\n",
        "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n",
        "a parameter": b"Transfer-Encoding: chunked;q=1\r\n",
        "quoted": b'Transfer-Encoding: "chunked"\r\n',
        "single quotes": b"Transfer-Encoding: 'chunked'\r\n",
        "in brackets": b"Transfer-Encoding: [chunked]\r\n",
        "nothing": b"Transfer-Encoding:\r\n",
        "a comma": b"Transfer-Encoding: ,chunked\r\n",
        "a comma behind": b"Transfer-Encoding: chunked,\r\n",
        "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
        "a vertical tab behind": b"Transfer-Encoding: chunked\x0b\r\n",
        "a form feed": b"Transfer-Encoding:\x0cchunked\r\n",
        "a nul behind": b"Transfer-Encoding: chunked\0\r\n",
        "a nul within": b"Transfer-Encoding: chun\0ked\r\n",
        "no-break space": b"Transfer-Encoding: \xa0chunked\r\n",
        "blank before the colon": b"Transfer-Encoding : chunked\r\n",
        "tab before the colon": b"Transfer-Encoding\t: chunked\r\n",
        "two colons": b"Transfer-Encoding:: chunked\r\n",
        "folded": b"Transfer-Encoding:\r\n chunked\r\n",
        "folded with a tab": b"Transfer-Encoding:\r\n\tchunked\r\n",
        "folded behind": b"Transfer-Encoding: chunked\r\n , identity\r\n",
        "a blank before the name": b" Transfer-Encoding: chunked\r\n",
        "a tab before the name": b"X: y\r\n\tTransfer-Encoding: chunked\r\n",
        "a bare lf before": b"X: y\nTransfer-Encoding: chunked\r\n",
        "a bare cr before": b"X: y\rTransfer-Encoding: chunked\r\n",
        "a bare lf behind": b"Transfer-Encoding: chunked\nX: y\r\n",
        "a bare cr behind": b"Transfer-Encoding: chunked\rX: y\r\n",
        "cr cr lf": b"Transfer-Encoding: chunked\r\r\n",
        "a nul in the name": b"Transfer\0-Encoding: chunked\r\n",
        "a soft hyphen in the name": b"Transfer\xad-Encoding: chunked\r\n",
        "a dotless i": "Transfer-Encod\u0131ng: chunked\r\n".encode(),
        "a kelvin sign": "Transfer-Encoding: chun\u212aed\r\n".encode(),
        "no colon": b"Transfer-Encoding chunked\r\n",
        "equals": b"Transfer-Encoding=chunked\r\n",
        "a semicolon": b"Transfer-Encoding; chunked\r\n",
    }
    body = b"0\r\n\r\n" + HIDDEN
    for name, fields in bad.items():
        vector("coding: " + name, request(fields, body), REFUSED)
    vector("coding: http/1.0", request(CHUNKED, body, version=b"HTTP/1.0"), REFUSED)
    good = request(b"Transfer-Encoding: CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n")
    vector("coding: in capitals", good, one(b"hello"))
    nominated = b"Connection: Transfer-Encoding\r\n" + CHUNKED
    vector("coding: nominated", request(nominated, b"5\r\nhello\r\n0\r\n\r\n"), one(b"hello"))
    te = b"TE: trailers, chunked\r\nConnection: TE\r\n"
    vector("coding: te is no coding", request(te, method=b"GET"), one(method="GET"))
    vector(
        "coding: an underscore in the name",
        request(b"Transfer_Encoding: chunked\r\n", method=b"GET"),
        one(method="GET"),
    )


def lines():
    bad = {
        "a bare lf ends a field": b"X: y\n",
        "a bare cr in a value": b"X: a\rb\r\n",
        "a bare cr ends a field": b"X: y\r",
        "a bare lf ends the head": b"X: y\r\n\n",
        "no colon": b"Xy\r\n",
        "no name": b": y\r\n",
        "a blank name": b" : y\r\n",
        "a blank in a name": b"X Y: z\r\n",
        "a bracket in a name": b"X(: y\r\n",
        "a slash in a name": b"X/Y: z\r\n",
        "an at in a name": b"X@Y: z\r\n",
        "a quote in a name": b'"X": y\r\n',
        "letters beyond ascii": "X\u00e9: y\r\n".encode(),
        "a control character in a name": b"X\x01: y\r\n",
        "a nul in a value": b"X: a\0b\r\n",
        "a control character": b"X: \x01\r\n",
        "an escape": b"X: \x1b[0m\r\n",
        "a delete": b"X: \x7f\r\n",
        "folded": b"X: a\r\n b\r\n",
        "folded with a tab": b"X: a\r\n\tb\r\n",
        "folded with nothing": b"X: a\r\n \r\n",
        "only blanks": b"X: a\r\n   \r\nY: b\r\n",
        "cr lf cr": b"X: a\r\n\r",
        "lf cr": b"X: a\n\r\n",
    }
    for name, fields in bad.items():
        vector("line: " + name, request(fields, HIDDEN, b"GET"), REFUSED)
    vector("line: bare lfs throughout", request(method=b"GET").replace(b"\r\n", b"\n"), REFUSED)
    vector("line: bare crs throughout", request(method=b"GET").replace(b"\r\n", b"\r"), REFUSED)
    vector("line: the first is folded", b"GET http://{o}/p HTTP/1.1\r\n X: y\r\n" + HEAD + b"\r\n", REFUSED)
    vector("line: too many", request(b"X: y\r\n" * 2000, method=b"GET"), REFUSED)
    vector("line: too long", request(b"X: " + b"y" * 100_000 + b"\r\n", method=b"GET"), REFUSED)
    vector("line: cut within a field", request(b"X: y", method=b"GET")[:-2], REFUSED)


def request_lines():
    def line(text):
        return text + b"\r\n" + HEAD + b"\r\n" + HIDDEN

    bad = {
        "two blanks": b"GET  http://{o}/p HTTP/1.1",
        "two blanks later": b"GET http://{o}/p  HTTP/1.1",
        "a tab": b"GET\thttp://{o}/p HTTP/1.1",
        "a blank first": b" GET http://{o}/p HTTP/1.1",
        "a blank last": b"GET http://{o}/p HTTP/1.1 ",
        "a vertical tab": b"GET\x0bhttp://{o}/p HTTP/1.1",
        "a blank in the target": b"GET http://{o}/p q HTTP/1.1",
        "no version": b"GET http://{o}/p",
        "no target": b"GET HTTP/1.1",
        "http/1.2": b"GET http://{o}/p HTTP/1.2",
        "http/2.0": b"GET http://{o}/p HTTP/2.0",
        "http/0.9": b"GET http://{o}/p HTTP/0.9",
        "http/1.10": b"GET http://{o}/p HTTP/1.10",
        "http/01.1": b"GET http://{o}/p HTTP/01.1",
        "http/1.": b"GET http://{o}/p HTTP/1.",
        "http 1.1": b"GET http://{o}/p HTTP 1.1",
        "lower case": b"GET http://{o}/p http/1.1",
        "something behind": b"GET http://{o}/p HTTP/1.1 x",
        "two lines": b"GET http://{o}/p HTTP/1.1\r\nGET http://{o}/hidden HTTP/1.1",
        "a nul in the method": b"GE\0T http://{o}/p HTTP/1.1",
        "a colon in the method": b"GET: http://{o}/p HTTP/1.1",
        "a long method": b"M" * 100 + b" http://{o}/p HTTP/1.1",
        "a fragment": b"GET http://{o}/p#f HTTP/1.1",
        "a user": b"GET http://u@{o}/p HTTP/1.1",
        "a user and password": b"GET http://u:p@{o}/p HTTP/1.1",
        "port 0": b"GET http://127.0.0.1:0/p HTTP/1.1",
        "port 65536": b"GET http://127.0.0.1:65536/p HTTP/1.1",
        "no host": b"GET http:///p HTTP/1.1",
        "one slash": b"GET http:/{o}/p HTTP/1.1",
        "a star": b"GET * HTTP/1.1",
        "a backslash for a slash": b"GET http:\\\\{o}/p HTTP/1.1",
        "a backslash in the host": b"GET http://{o}\\@x/p HTTP/1.1",
        "https": b"GET https://{o}/p HTTP/1.1",
        "a bare cr in the target": b"GET http://{o}/p\rHTTP/1.1 HTTP/1.1",
        "a bare lf in the target": b"GET http://{o}/p\nX: y HTTP/1.1",
        "a nul in the target": b"GET http://{o}/\0 HTTP/1.1",
        "a control character": b"GET http://{o}/\x01 HTTP/1.1",
        "a delete": b"GET http://{o}/\x7f HTTP/1.1",
        "letters beyond ascii": "GET http://{o}/\u00e9 HTTP/1.1".encode(),
        "connect to a url": b"CONNECT http://{o}/ HTTP/1.1",
        "a very long target": b"GET http://{o}/" + b"p" * 20_000 + b" HTTP/1.1",
    }
    for name, text in bad.items():
        vector("request line: " + name, line(text), REFUSED)
    # Whole requests that are for nobody behind a proxy; what follows them is the next one.
    for name, text in {"no scheme": b"GET //{o}/p", "a path": b"GET /p", "the proxy's options": b"OPTIONS *"}.items():
        raw = text + b" HTTP/1.1\r\n" + HEAD + b"\r\n"
        vector("request line: " + name, raw + request(method=b"GET"), one(method="GET"))
    vector("request line: trace with a body", request(length(b"hello"), b"hello", b"TRACE"), REFUSED)
    good = {
        "a scheme in capitals": (b"HTTP://{o}/p", "/p"),
        "no path": (b"http://{o}", "/"),
        "a query and no path": (b"http://{o}?q", "/?q"),
        "another url in the path": (b"http://{o}/http://x/y", "/http://x/y"),
        "two slashes": (b"http://{o}//p", "//p"),
        "dots": (b"http://{o}/a/../p", "/a/../p"),
        "coded line ends": (b"http://{o}/%0d%0aX:%20y", "/%0d%0aX:%20y"),
        "a coded nul": (b"http://{o}/%00", "/%00"),
        "a broken code": (b"http://{o}/%zz", "/%zz"),
        "an empty query": (b"http://{o}/p?", "/p?"),
        "semicolons": (b"http://{o}/p;a=b?c;d", "/p;a=b?c;d"),
    }
    for name, (url, target) in good.items():
        vector("request line: " + name, request(method=b"GET", url=url), one(method="GET", target=target))
    vector(
        "request line: options of the origin",
        request(method=b"OPTIONS", url=b"http://{o}"),
        one(method="OPTIONS", target="*"),
    )


def hosts():
    def with_host(fields, version=b"HTTP/1.1"):
        return b"GET http://{o}/p " + version + b"\r\n" + fields + b"{auth}\r\n"

    bad = {
        "none": b"",
        "two": b"Host: {o}\r\nHost: {o}\r\n",
        "two that differ": b"Host: {o}\r\nHost: x\r\n",
        "a list": b"Host: {o}, x\r\n",
        "a blank": b"Host: a b\r\n",
        "a user": b"Host: u@{o}\r\n",
        "a path": b"Host: {o}/x\r\n",
        "a url": b"Host: http://{o}\r\n",
        "a port that is none": b"Host: a:x\r\n",
        "a nul": b"Host: a\0b\r\n",
        "folded": b"Host:\r\n {o}\r\n",
        "a blank before the colon": b"Host : {o}\r\n",
        "and one in capitals": b"Host: {o}\r\nHOST: x\r\n",
    }
    for name, fields in bad.items():
        vector("host: " + name, with_host(fields), REFUSED)
    # What is in the target decides; the origin gets a Host made of that.
    for name, fields in {
        "another": b"Host: elsewhere.example\r\n",
        "another port": b"Host: 127.0.0.1:1\r\n",
        "in capitals": b"HOST: {o}\r\n",
    }.items():
        vector("host: " + name, with_host(fields), one(method="GET"))
    vector("host: none in http/1.0", with_host(b"", b"HTTP/1.0"), one(method="GET"))
    vector("host: nominated", with_host(b"Host: {o}\r\nConnection: Host\r\n"), one(method="GET"))


def chunks():
    end = b"0\r\n\r\n"
    bad = {
        "no size": b"\r\nhello\r\n" + end,
        "no hex": b"G\r\nhello\r\n" + end,
        "plus": b"+5\r\nhello\r\n" + end,
        "minus": b"-5\r\nhello\r\n" + end,
        "0x": b"0x5\r\nhello\r\n" + end,
        "a blank before": b" 5\r\nhello\r\n" + end,
        "a blank behind": b"5 \r\nhello\r\n" + end,
        "a tab behind": b"5\t\r\nhello\r\n" + end,
        "an underscore": b"0_5\r\nhello\r\n" + end,
        "a comma": b"5,\r\nhello\r\n" + end,
        "an h": b"5h\r\nhello\r\n" + end,
        "64 bits": b"ffffffffffffffff\r\nhello\r\n" + end,
        "63 bits and more": b"8000000000000000\r\nhello\r\n" + end,
        "17 digits": b"00000000000000005\r\nhello\r\n" + end,
        "68 bits": b"10000000000000005\r\nhello\r\n" + end,
        "a bare lf": b"5\nhello\r\n" + end,
        "a bare cr": b"5\rhello\r\n" + end,
        "cr cr lf": b"5\r\r\nhello\r\n" + end,
        "a nul": b"5\0\r\nhello\r\n" + end,
        "a bare lf behind the data": b"5\r\nhello\n" + end,
        "nothing behind the data": b"5\r\nhello" + end,
        "more data": b"5\r\nhello!\r\n" + end,
        "less data": b"6\r\nhello\r\n" + end,
        "a bare lf at the end": b"5\r\nhello\r\n0\n\n",
        "a bare lf behind the last": b"5\r\nhello\r\n0\r\n\n",
        "an extension without a name": b"5;\r\nhello\r\n" + end,
        "only a value": b"5;=a\r\nhello\r\n" + end,
        "a bare lf in an extension": b"5;a\nb\r\nhello\r\n" + end,
        "a bare cr in an extension": b"5;a\rb\r\nhello\r\n" + end,
        "a nul in an extension": b"5;a=\0\r\nhello\r\n" + end,
        "a delete in an extension": b"5;a=\x7f\r\nhello\r\n" + end,
        "a line end in quotes": b'5;a="\r\nhello\r\n"\r\n' + end,
        "an endless extension": b"5;a=" + b"b" * 70_000 + b"\r\nhello\r\n" + end,
        "a blank and then an extension": b"5 ;a=b\r\nhello\r\n" + end,
        "digits of another script": "\u0665\r\nhello\r\n".encode() + end,
    }
    trailers = {
        "a length": b"Content-Length: 5\r\n",
        "a coding": b"Transfer-Encoding: chunked\r\n",
        "a host": b"Host: x\r\n",
        "credentials": b"Authorization: x\r\n",
        "the proxy's": b"Proxy-Authorization: x\r\n",
        "folded": b"X: a\r\n b\r\n",
        "a bare lf": b"X: a\nY: b\r\n",
        "no colon": b"X\r\n",
        "no name": b": x\r\n",
        "a blank before the colon": b"X : y\r\n",
        "a nul": b"X: \0\r\n",
        "too many": b"X: y\r\n" * 500,
        "too long": b"X: " + b"y" * 20_000 + b"\r\n",
        "a blank first": b" X: y\r\n",
    }
    for name, body in bad.items():
        vector("chunk: " + name, request(CHUNKED, body + HIDDEN), BROKEN)
    for name, fields in trailers.items():
        vector("trailer: " + name, request(CHUNKED, b"5\r\nhello\r\n0\r\n" + fields + b"\r\n" + HIDDEN), BROKEN)
    good = {
        "one": b"5\r\nhello\r\n0\r\n\r\n",
        "three": b"1\r\nh\r\n3\r\nell\r\n1\r\no\r\n0\r\n\r\n",
        "zeros in front": b"0005\r\nhello\r\n0\r\n\r\n",
        "many zeros at the end": b"5\r\nhello\r\n00000000\r\n\r\n",
        "an extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
        "an extension without a value": b"5;a\r\nhello\r\n0\r\n\r\n",
        "a quoted extension": b'5;a="b"\r\nhello\r\n0\r\n\r\n',
        "several extensions": b"5;a=b;c=d\r\nhello\r\n0;e\r\n\r\n",
        "a trailer": b"5\r\nhello\r\n0\r\nX-T: v\r\n\r\n",
        "two trailers": b"5\r\nhello\r\n0\r\nX-T: v\r\nX-U:w\r\n\r\n",
        "an empty trailer": b"5\r\nhello\r\n0\r\nX-T:\r\n\r\n",
        "16 digits": b"0000000000000005\r\nhello\r\n0\r\n\r\n",
    }
    get = request(method=b"GET")
    for name, body in good.items():
        vector("chunk: " + name, request(CHUNKED, body + get), one(b"hello") + one(method="GET"))
    vector(
        "chunk: capitals",
        request(CHUNKED, b"A\r\n0123456789\r\n0\r\n\r\n" + get),
        one(b"0123456789") + one(method="GET"),
    )
    vector("chunk: none", request(CHUNKED, b"0\r\n\r\n" + get), one() + one(method="GET"))
    vector(
        "chunk: a thousand of one byte",
        request(CHUNKED, b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n" + get),
        one(b"x" * 1000) + one(method="GET"),
    )
    inner = b"%x\r\n%b\r\n0\r\n\r\n" % (len(b"0\r\n\r\n"), b"0\r\n\r\n")
    vector("chunk: chunks within one", request(CHUNKED, inner + get), one(b"0\r\n\r\n") + one(method="GET"))
    for name, body in {
        "no end": b"5\r\nhello\r\n",
        "half a last chunk": b"5\r\nhello\r\n0\r\n",
        "half an end": b"5\r\nhello\r\n0\r\n\r",
        "half a chunk": b"ff\r\nhello",
    }.items():
        vector("chunk: " + name, request(CHUNKED, body), BROKEN)


for family in (whole_requests, pipelines, lengths, codings, lines, request_lines, hosts, chunks):
    family()
