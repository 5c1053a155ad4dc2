use super::*;
use crate::basic::Credentials;

fn form(request_line: &str) -> Result<RequestTarget, HeadError> {
    line(request_line).map(|head| head.form)
}

fn absolute(authority: &str, path_and_query: &str) -> Result<RequestTarget, HeadError> {
    let target = target(authority);
    Ok(RequestTarget::Absolute { scheme: Scheme::Http, target, path_and_query: path_and_query.to_owned() })
}

// HP-01: both versions. HP-04: what follows the head is not part of it, nor of a body.
#[test]
fn connect_names_its_target() {
    for version in ["1.0", "1.1"] {
        let head = line(&format!("CONNECT O.example:443 HTTP/{version}")).unwrap();
        assert_eq!(head.form, RequestTarget::Authority(target("o.example:443")));
    }
    let bytes = b"CONNECT o.example:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    let Ok(Parsed::Done(head, consumed)) = request_head(bytes, &Limits::default()) else { panic!() };
    assert_eq!((&bytes[consumed..], head.framing()), (b"hello".as_slice(), Framing::None));
}

// HP-02, HP-03.
#[test]
fn connect_takes_an_authority_only() {
    for text in [
        "o.example",
        "o.example:",
        "[::1]",
        ":443",
        "o.example:0",
        "o.example:65536",
        "o.example:+80",
        "o.example: 80",
        "o.example:443/path",
        "/path",
        "*",
        "http://o.example:443",
        "http://o.example:443/",
        "user@o.example:443",
        "user:pw@o.example:443",
        "o.example:443?q",
        "o.example:443#f",
        "2130706433:443",
    ] {
        is_bad(form(&format!("CONNECT {text} HTTP/1.1")), text);
    }
}

// HP-06, HP-07.
#[test]
fn forms_of_targets() {
    let rows = [
        ("GET http://o.example:81 HTTP/1.1", absolute("o.example:81", "/")),
        ("GET http://o.example?q=1 HTTP/1.1", absolute("o.example", "/?q=1")),
        ("GET http://o.example:/ HTTP/1.1", absolute("o.example", "/")),
        ("GET HTTP://O.%45xample./%41?%2f HTTP/1.1", absolute("o.example", "/%41?%2f")),
        ("GET http://[::1]:81/a//b/../c HTTP/1.1", absolute("[::1]:81", "/a//b/../c")),
        ("GET http://o.example/?u=http://u:p@x/ HTTP/1.1", absolute("o.example", "/?u=http://u:p@x/")),
        ("HEAD http://o.example/ HTTP/1.1", absolute("o.example", "/")),
        ("OPTIONS http://o.example HTTP/1.1", absolute("o.example", "*")),
        ("OPTIONS http://o.example:81? HTTP/1.1", absolute("o.example:81", "/?")),
        ("OPTIONS http://o.example/ HTTP/1.1", absolute("o.example", "/")),
        ("OPTIONS * HTTP/1.1", Ok(RequestTarget::Asterisk)),
        ("GET / HTTP/1.1", Ok(RequestTarget::Origin)),
        ("GET //o.example/ HTTP/1.1", Ok(RequestTarget::Origin)),
    ];
    for (request_line, expected) in rows {
        assert_eq!(form(request_line), expected, "{request_line}");
    }
}

// HP-06, HP-07, HP-66: no scheme, stars, fragments, userinfo, no host, bad hosts.
#[test]
fn targets_that_are_none() {
    for text in [
        "o.example/",
        "o.example:80/",
        "127.0.0.1:80/",
        "127.0.0.1:80/?u=http://x/",
        "localhost",
        "*",
        "*/test",
        "http:/o.example/",
        "http:o.example",
        "http//o.example",
        "://o.example/",
        "1http://o.example/",
        "urn:isbn:1",
        "http://",
        "http:///",
        "http://:80/",
        "http://?q",
        "http://o.example/#f",
        "http://o.example#f",
        "http://u:p@o.example/",
        "http://u@o.example/",
        "http://@o.example/",
        "http://o.example:0/",
        "http://o.example:65536/",
        "http://o.example:+80/",
        "http://o.example:80:80/",
        "http://o..example/",
        "http://o%00.example/",
        "http://o.example\\@x/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://[::1/",
        "http://[fe80::1%25lo]/",
        "http://[unix:/run/x]/",
        "http://xn--99999999/",
        "http://o.example/\u{e9}",
    ] {
        is_bad(form(&format!("GET {text} HTTP/1.1")), text);
    }
}

// HP-08: other schemes; HP-38: other versions.
#[test]
fn schemes_and_versions_not_spoken() {
    for text in
        ["https://o.example/", "ftp://o.example/", "file:///etc/passwd", "gopher://o.example/", "ws://o/"]
    {
        assert_eq!(form(&format!("GET {text} HTTP/1.1")), Err(HeadError::Scheme), "{text}");
    }
    for version in ["HTTP/1.32", "HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/11.1", "HTTP/01.1"] {
        let request_line = format!("GET http://o.example/ {version}");
        assert_eq!(form(&request_line), Err(HeadError::Version), "{version}");
    }
    assert_eq!(
        request_head(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &Limits::default()),
        Err(HeadError::Version)
    );
    for version in
        ["HTTP/1.1x", "HTTP/1.", "HTTP/1", "HTTP/.1", "HTTP/", "http/1.1", "HTTP 1.1", "HTTP/1.1.1", "x"]
    {
        is_bad(form(&format!("GET http://o.example/ {version}")), version);
    }
    is_bad(form("GET http://o.example/"), "HTTP/0.9");
}

#[test]
fn errors_become_refusals() {
    assert_eq!(HeadError::BadRequest("x").refusal(), Refusal::BadRequest);
    assert_eq!(HeadError::Version.refusal(), Refusal::BadRequest);
    assert_eq!(HeadError::TooLarge.refusal(), Refusal::HeadTooLarge);
    assert_eq!(HeadError::Scheme.refusal(), Refusal::Unsupported);
}

// HP-09: any token is a method, in the case it came in; a giant is none, and is not waited for.
#[test]
fn methods() {
    for method in ["GET", "get", "PROPFIND", "M-SEARCH", "!#$%&'*+-.^_`|~09aZ", &"M".repeat(32)] {
        let head = line(&format!("{method} http://o.example/ HTTP/1.1")).unwrap();
        assert_eq!(head.method, method);
    }
    for method in ["", "G(T", "G\u{e9}T", "GET:", "\"GET\"", &"M".repeat(33)] {
        is_bad(form(&format!("{method} http://o.example/ HTTP/1.1")), method);
    }
    is_bad(request_head(&[b'M'; 33], &Limits::default()), "64 KiB of method");
    is_bad(request_head(b"\x16\x03\x01", &Limits::default()), "a TLS record");
    is_bad(form("connect o.example:443 HTTP/1.1"), "another method than CONNECT");
}

#[test]
fn request_lines_have_one_blank_between_their_parts() {
    for request_line in [
        "GET  http://o.example/ HTTP/1.1",
        "GET http://o.example/  HTTP/1.1",
        "GET http://o.example/ HTTP/1.1 ",
        " GET http://o.example/ HTTP/1.1",
        "GET\thttp://o.example/\tHTTP/1.1",
        "GET http://o.example/ x HTTP/1.1",
        "GET http://o.example/\t HTTP/1.1",
        "GET http://o.example/\u{7f} HTTP/1.1",
        "GET http://o.example/\u{b} HTTP/1.1",
        "GET http://o.example/\0 HTTP/1.1",
        "GET",
        "GET ",
    ] {
        is_bad(form(request_line), request_line);
    }
}

#[test]
fn one_empty_line_may_come_first() {
    assert!(read_request(format!("\r\n{}", get(""))).is_ok());
    is_bad(request_head(b"\r\n\r\nGET ", &Limits::default()), "two empty lines");
    is_bad(request_head(b"\nGET ", &Limits::default()), "a bare LF");
    is_bad(request_head(b"\rGET ", &Limits::default()), "a bare CR");
}

// HP-30, HP-31: the classes of the corpora.
#[test]
fn field_lines_that_are_refused() {
    for fields in [
        "X: a\r\n folded\r\n",
        "X: a\r\n\tfolded\r\n",
        "X: a\nY: b\r\n",
        "X: a\rY: b\r\n",
        "X: a\r\r\n",
        "X: a\0b\r\n",
        "X: a\u{b}b\r\n",
        "X: a\u{c}b\r\n",
        "X: a\u{7f}b\r\n",
        "X: a\u{1b}b\r\n",
        "X : a\r\n",
        "X\t: a\r\n",
        "X\u{c}: a\r\n",
        " X: a\r\n",
        ": a\r\n",
        "X\r\n",
        "X(Y): a\r\n",
        "X Y: a\r\n",
        "X\u{e9}: a\r\n",
        "\"X\": a\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding\u{b}: chunked\r\n",
    ] {
        is_bad(read_request(get(fields)), fields);
    }
    let blank_first = "GET http://o.example/ HTTP/1.1\r\n Host: o.example\r\n\r\n";
    is_bad(read_request(blank_first), "a blank before the first field");
}

#[test]
fn field_lines_that_are_taken() {
    let head = read_request(get("A:\r\nB:  x y\t \r\nc: \u{e9}\r\nA: 2\r\nD: a:b, c\r\n")).unwrap();
    let fields: Vec<(&str, &[u8])> = head.fields.iter().skip(1).collect();
    let expected: [(&str, &[u8]); 5] =
        [("A", b""), ("B", b"x y"), ("c", "\u{e9}".as_bytes()), ("A", b"2"), ("D", b"a:b, c")];
    assert_eq!(fields, expected);
    assert_eq!(head.fields.all("a").collect::<Vec<_>>(), [b"".as_slice(), b"2"]);
    assert_eq!(head.fields.first("b"), Some(b"x y".as_slice()));
    assert_eq!(head.fields.members("d").collect::<Vec<_>>(), [b"a:b".as_slice(), b"c"]);
    assert_eq!((head.fields.len(), head.fields.is_empty()), (6, false));
}

// HP-28: one Host, that names a host.
#[test]
fn hosts() {
    let with = |fields: &str| read_request(format!("GET http://o.example/ HTTP/1.1\r\n{fields}\r\n"));
    for fields in
        ["Host: other.example\r\n", "hOST:o.example:81\r\n", "Host: [::1]:81\r\n", "Host: o.example:\r\n"]
    {
        assert!(with(fields).is_ok(), "{fields}");
    }
    for fields in [
        "",
        "Host: o.example\r\nHost: o.example\r\n",
        "Host: o.example\r\nhost: other.example\r\n",
        "Host: a b\r\n",
        "Host:\r\n",
        "Host: a, b\r\n",
        "Host: u@o.example\r\n",
        "Host: o.example/\r\n",
        "Host: http://o.example\r\n",
        "Host: o.example:0\r\n",
        "Host: o.example:x\r\n",
        "Host: o\u{e9}.example\r\n",
    ] {
        is_bad(with(fields), fields);
    }
    is_bad(read_request(b"GET http://o.example/ HTTP/1.1\r\nHost: \xff\r\n\r\n"), "a Host that is not text");
    assert!(read_request("GET http://o.example/ HTTP/1.0\r\n\r\n").is_ok());
    assert!(read_request("CONNECT o.example:443 HTTP/1.1\r\n\r\n").is_ok());
    is_bad(read_request("CONNECT o:443 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), "two Hosts with CONNECT");
}

// HP-45: request line, number of lines, all of it; HP-09: no SP for too long.
#[test]
fn heads_have_bounds() {
    let limits = Limits { head_bytes: 64 << 10, fields: 100 };
    let read = |text: &str| request_head(text.as_bytes(), &limits).map(|_| ());
    let path = |length: usize| format!("GET http://o/{} HTTP/1.1\r\nHost: o\r\n\r\n", "A".repeat(length));
    let rest = "GET http://o/ HTTP/1.1\r\n".len();
    assert_eq!(read(&path(REQUEST_LINE_MAX - rest)), Ok(()));
    assert_eq!(read(&path(REQUEST_LINE_MAX - rest + 1)), Err(HeadError::TooLarge));
    assert_eq!(read(&path(24_000)), Err(HeadError::TooLarge));
    assert_eq!(read(&format!("GET http://o/{}", "A".repeat(24_000))), Err(HeadError::TooLarge));
    assert_eq!(read(&get(&"X: y\r\n".repeat(99))), Ok(()));
    assert_eq!(read(&get(&"X: y\r\n".repeat(100))), Err(HeadError::TooLarge));
    assert_eq!(read(&get(&"X: y\r\n".repeat(10_000))), Err(HeadError::TooLarge));
    assert_eq!(read(&get(&format!("X: {}\r\n", "y".repeat(1 << 20)))), Err(HeadError::TooLarge));
}

#[test]
fn the_head_limit_is_exact() {
    let text = get("X: y\r\n");
    let limited = |head_bytes| request_head(text.as_bytes(), &Limits { head_bytes, fields: 9 }).map(|_| ());
    assert_eq!(limited(text.len()), Ok(()));
    assert_eq!(limited(text.len() - 1), Err(HeadError::TooLarge));
}

// HP-10, HP-11, HP-12, HP-13.
#[test]
fn proxy_credentials() {
    let said = |fields: &str| read_request(get(fields)).unwrap().proxy_credentials();
    let given = |user: &str, password: &[u8]| {
        ProxyAuthorization::Given(Credentials { user: user.to_owned(), password: password.to_vec() })
    };
    assert_eq!(said(""), ProxyAuthorization::Absent);
    assert_eq!(said("Authorization: Basic dTE6cDE=\r\n"), ProxyAuthorization::Absent);
    assert_eq!(said("Proxy-Authorization: Basic dTE6cDE=\r\n"), given("u1", b"p1"));
    assert_eq!(said("pROXY-aUTHORIZATION: BASIC dTE6cDE=\r\n"), given("u1", b"p1"));
    assert_eq!(said("Proxy-Authorization: Basic dTE6YTpi\r\n"), given("u1", b"a:b"));
    for value in ["", "Basic", "French fries", "Basic dTE=", "Basic dTE6cDE= x", "Bearer dTE6cDE="] {
        let fields = format!("Proxy-Authorization: {value}\r\n");
        assert_eq!(said(&fields), ProxyAuthorization::Malformed, "{value}");
    }
    let twice = "Proxy-Authorization: Basic dTE6cDE=\r\n".repeat(2);
    assert_eq!(said(&twice), ProxyAuthorization::Malformed);
}

#[test]
fn secrets_are_not_shown() {
    let head = read_request(get("Proxy-Authorization: Basic c2VjcmV0OnM=\r\nCookie: s=1234\r\n")).unwrap();
    let shown = format!("{head:?}");
    assert!(shown.contains("Cookie") && !shown.contains("1234") && !shown.contains("c2Vjcm"), "{shown}");
}

// HP-38: HTTP/1.0 connections end after one request; HTTP/1.1 ones go on unless told.
#[test]
fn keep_alive() {
    let keeps = |text: &str| read_request(text).unwrap().keep_alive();
    assert!(keeps(&get("")));
    assert!(keeps(&get("Connection: keep-alive\r\nProxy-Connection: keep-alive\r\n")));
    assert!(!keeps(&get("Connection: Close\r\n")));
    assert!(!keeps(&get("Connection: X-A\r\nConnection: a, close ,b\r\n")));
    assert!(!keeps(&get("Proxy-Connection: close\r\n")));
    assert!(!keeps("GET http://o.example/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

// HP-40.
#[test]
fn expectations() {
    let expects = |text: &str| read_request(text).unwrap().expects_continue();
    assert_eq!(expects(&get("")), Expect::None);
    assert_eq!(expects(&get("Expect: 100-Continue\r\n")), Expect::Continue);
    assert_eq!(expects(&get("Expect: x\r\n")), Expect::Unknown);
    assert_eq!(expects(&get("Expect: 100-continue, x\r\n")), Expect::Unknown);
    assert_eq!(expects(&get("Expect: 100-continue\r\nExpect: x\r\n")), Expect::Unknown);
    assert_eq!(expects("GET http://o/ HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"), Expect::None);
}

// HP-42: WebSocket only; h2c would carry requests past the proxy.
#[test]
fn upgrades() {
    let wants = |text: &str| read_request(text).unwrap().upgrade();
    let websocket = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
    assert_eq!(wants(&get(websocket)), Some(Upgrade::WebSocket));
    for fields in [
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
    ] {
        assert_eq!(wants(&get(fields)), None, "{fields}");
    }
    assert_eq!(wants(&get(websocket).replacen("GET", "POST", 1)), None);
    assert_eq!(wants(&get(websocket).replacen("HTTP/1.1", "HTTP/1.0", 1)), None);
}

// HP-26: 0, 1, something else; only TRACE and OPTIONS count hops.
#[test]
fn max_forwards() {
    let with = |method: &str, value: &str| {
        read_request(format!("{method} http://o/ HTTP/1.1\r\nHost: o\r\nMax-Forwards: {value}\r\n\r\n"))
    };
    for (value, left) in [("0", 0), ("1", 1), ("007", 7), ("99999999999999999999", u32::MAX)] {
        assert_eq!(with("TRACE", value).unwrap().max_forwards(), Some(left));
        assert_eq!(with("OPTIONS", value).unwrap().max_forwards(), Some(left));
    }
    for value in ["abc", "-1", "", "1, 2", "1\r\nMax-Forwards: 1"] {
        is_bad(with("TRACE", value), value);
        assert_eq!(with("GET", value).unwrap().max_forwards(), None);
    }
    is_bad(line("TRACE http://o/ HTTP/1.1\r\nContent-Length: 1"), "TRACE with a body");
}

// HP-06: OPTIONS *. HP-26: the last hop answers.
#[test]
fn some_requests_end_here() {
    let answer = |text: &str| {
        let head = read_request(text).unwrap();
        head.answer_here(true).map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let nothing = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answer("OPTIONS * HTTP/1.1\r\nHost: o\r\n\r\n").as_deref(), Some(nothing));
    let last = "OPTIONS http://o/ HTTP/1.1\r\nHost: o\r\nMax-Forwards: 0\r\n\r\n";
    assert_eq!(answer(last).as_deref(), Some(nothing));
    assert_eq!(answer(&last.replace('0', "1")), None);
    assert_eq!(answer(&get("Max-Forwards: 0\r\n")), None);
    let trace = "TRACE http://o:81/p HTTP/1.1\r\nHost: o\r\nMax-Forwards: 0\r\nCookie: secret\r\n\
        Proxy-Authorization: Basic dTE6cDE=\r\nX: y\r\n\r\n";
    let seen = "TRACE http://o:81/p HTTP/1.1\r\nHost: o\r\nMax-Forwards: 0\r\nX: y\r\n\r\n";
    let expected = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: {}\r\n\r\n{seen}",
        seen.len()
    );
    assert_eq!(answer(trace), Some(expected));
    let body = "OPTIONS * HTTP/1.1\r\nHost: o\r\nContent-Length: 5\r\n\r\n";
    assert!(answer(body).unwrap().contains("Connection: close\r\n"), "its body would be taken for a request");
}

// LD-01's class, seen from here: wherever a line ends, its end is found.
#[test]
fn line_ends_are_found_wherever_they_stand() {
    for length in 0..200 {
        let fields = format!("X: {}\r\nY: {}\r\n", "y".repeat(length), "y".repeat(200 - length));
        assert_eq!(read_request(get(&fields)).unwrap().fields.len(), 3, "{length}");
        is_bad(read_request(get(&fields.replace("\r\nY", "\nY"))), "a bare LF");
        is_bad(read_request(get(&fields.replace("\r\nY", "\0\r\nY"))), "a NUL");
    }
}
