use super::*;

fn forwarded(text: &str) -> String {
    let mut out = Vec::new();
    read_request(text).unwrap().write_forward(&mut out, true);
    String::from_utf8(out).unwrap()
}

/// The lines between the Host and the empty line, as forwarded.
fn kept(fields: &str) -> Vec<String> {
    let out = forwarded(&get(fields));
    let lines = out.strip_prefix("GET / HTTP/1.1\r\nHost: o.example\r\n").expect(&out);
    lines.split_terminator("\r\n").filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn back(text: &str, client_version: Version, close: bool, drop_chunked: bool) -> String {
    let mut out = Vec::new();
    read_response(text).unwrap().write_back(&mut out, client_version, close, drop_chunked);
    String::from_utf8_lossy(&out).into_owned()
}

fn back_to_11(fields: &str) -> String {
    back(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), Version::Http11, false, false)
}

// HP-06, HP-07, HP-28: origin form, and a Host made from the target.
#[test]
fn requests_are_rewritten_for_the_origin() {
    let rows = [
        (
            "GET http://O.example HTTP/1.1\r\nHost: other:99\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: o.example\r\n\r\n",
        ),
        ("get http://o.example.:81?q HTTP/1.0\r\n\r\n", "get /?q HTTP/1.1\r\nHost: o.example:81\r\n\r\n"),
        (
            "GET http://[0::1]:80/a HTTP/1.1\r\nAccept: x\r\nHost: a\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: [::1]\r\nAccept: x\r\n\r\n",
        ),
        (
            "OPTIONS http://o.example HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: o.example\r\n\r\n",
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(forwarded(text), expected);
    }
}

#[test]
fn the_origin_is_told_when_the_connection_ends() {
    let mut out = Vec::new();
    read_request(get("Connection: keep-alive\r\n")).unwrap().write_forward(&mut out, false);
    assert_eq!(out, b"GET / HTTP/1.1\r\nHost: o.example\r\nConnection: close\r\n\r\n");
}

#[test]
fn only_absolute_requests_are_forwarded() {
    for text in ["CONNECT o:1 HTTP/1.1", "OPTIONS * HTTP/1.1\r\nHost: o", "GET / HTTP/1.1\r\nHost: o"] {
        assert_eq!(forwarded(&format!("{text}\r\n\r\n")), "");
    }
}

// HP-18, HP-20, HP-21, HP-22, HP-24, HP-27: what stays behind, what goes on, what is not added.
#[test]
fn hop_by_hop_fields_stay_behind() {
    assert_eq!(kept("Proxy-Authorization: Basic dTE6cDE=\r\n"), [""; 0]);
    assert_eq!(kept("pROXY-cONNECTION: x\r\nProxy-Foo: x\r\nProxy-Authenticate: x\r\n"), [""; 0]);
    assert_eq!(kept("Connection: close, X-Secret\r\nX-Secret: 1\r\nX-Other: 2\r\n"), ["X-Other: 2"]);
    let three =
        "X-A: 1\r\nConnection: X-a\r\nX-B: 1\r\nConnection: ,x-B ,\r\nConnection:X-C\r\nX-C: 1\r\nX-D: 1\r\n";
    assert_eq!(kept(three), ["X-D: 1"]);
    assert_eq!(kept("Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"), [""; 0]);
    assert_eq!(kept("Trailer: X-Sum\r\n"), ["Trailer: X-Sum"]);
    assert_eq!(kept("Proxy: x\r\n"), ["Proxy: x"]);
    let vias = "Via: 1.1 a\r\n".repeat(17);
    assert_eq!(kept(&vias), ["Via: 1.1 a"; 17]);
    assert_eq!(
        kept("Forwarded: for=1\r\nAuthorization: Basic x\r\n"),
        ["Forwarded: for=1", "Authorization: Basic x"]
    );
}

// HP-20 turned against the proxy: naming the framing or the Host must not take them away.
#[test]
fn framing_cannot_be_nominated_away() {
    let body = "Connection: Content-Length, Transfer-Encoding, Host\r\n";
    assert_eq!(kept(&format!("{body}Content-Length: 005\r\n")), ["Content-Length: 5"]);
    assert_eq!(kept(&format!("{body}Transfer-Encoding: CHUNKED\r\n")), ["Transfer-Encoding: chunked"]);
    let out = back_to_11(&format!("{body}Content-Length: 7\r\n"));
    assert_eq!(out, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
}

// HP-40: the expectation travels; an HTTP/1.0 client has none.
#[test]
fn expectations_travel() {
    assert_eq!(kept("Expect: 100-continue\r\n"), ["Expect: 100-continue"]);
    let old = forwarded("GET http://o/ HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(old, "GET / HTTP/1.1\r\nHost: o\r\n\r\n");
}

// HP-26: one hop less for TRACE and OPTIONS, and for nothing else.
#[test]
fn max_forwards_counts_down() {
    let with = |method: &str| {
        forwarded(&format!("{method} http://o/ HTTP/1.1\r\nHost: o\r\nMax-Forwards: 5\r\n\r\n"))
    };
    assert!(with("OPTIONS").contains("Max-Forwards: 4\r\n"));
    assert!(with("GET").contains("Max-Forwards: 5\r\n"));
}

// HP-42: a WebSocket upgrade and its answer, and an answer that is none.
#[test]
fn websocket_upgrades_pass() {
    let asked = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n";
    assert_eq!(kept(asked), ["Sec-WebSocket-Key: x", "Connection: Upgrade", "Upgrade: websocket"]);
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: y\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(
        back(switched, Version::Http11, true, false),
        "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: y\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\n\r\n"
    );
    let required = back_to_11("Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n");
    assert_eq!(required, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
}

// HP-22, HP-29: repeated fields stay apart and in order; what belongs to the hop goes.
#[test]
fn responses_go_back() {
    let fields = "Set-Cookie: a=1\r\nX: 1\r\nset-cookie: b=2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\
        Keep-Alive: 5\r\nProxy-Authenticate: Basic\r\nProxy-Connection: x\r\nTE: x\r\nTrailer: X-Sum\r\n\
        Proxy-Status: cdn\r\nTransfer-Encoding: chunked\r\nVia: 1.1 x\r\n";
    assert_eq!(
        back_to_11(fields),
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: 1\r\nset-cookie: b=2\r\nTrailer: X-Sum\r\n\
         Proxy-Status: cdn\r\nVia: 1.1 x\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut out = Vec::new();
    let head = read_response(b"HTTP/1.0 200 \x80\xff\r\n\r\n").unwrap();
    head.write_back(&mut out, Version::Http11, true, false);
    assert_eq!(out, b"HTTP/1.1 200 \x80\xff\r\nConnection: close\r\n\r\n");
}

// HP-38: an HTTP/1.0 client gets no chunks, and is told what becomes of the connection.
#[test]
fn responses_to_old_clients() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    assert_eq!(back(chunked, Version::Http10, true, true), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(
        back(counted, Version::Http10, false, true),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"
    );
}

// HP-41: interim responses pass without a word about the connection; statuses without a body announce
// none.
#[test]
fn statuses_without_a_body() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 5\r\n\r\n";
    let expected = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    assert_eq!(back(hints, Version::Http11, true, false), expected);
    let with = |status: u16, fields: &str| {
        back(&format!("HTTP/1.1 {status} X\r\n{fields}\r\n"), Version::Http11, false, false)
    };
    assert_eq!(with(204, "Transfer-Encoding: chunked\r\n"), "HTTP/1.1 204 X\r\n\r\n");
    assert_eq!(with(204, "Content-Length: 5\r\n"), "HTTP/1.1 204 X\r\n\r\n");
    assert_eq!(with(304, "Content-Length: 5\r\n"), "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n");
}

// HP-18, S5-34: an upstream gets its own credentials.
#[test]
fn connect_as_a_client() {
    let bare = connect_request(&target("o.example:443"), None);
    assert_eq!(bare, b"CONNECT o.example:443 HTTP/1.1\r\nHost: o.example:443\r\n\r\n");
    let known = connect_request(&target("[::1]:80"), Some(("u", "p:w")));
    let head = read_request(&known).unwrap();
    assert_eq!(head.form, RequestTarget::Authority(target("[::1]:80")));
    let ProxyAuthorization::Given(credentials) = head.proxy_credentials() else { panic!() };
    assert_eq!((credentials.user.as_str(), credentials.password.as_slice()), ("u", b"p:w".as_slice()));
}
