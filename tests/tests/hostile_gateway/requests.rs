//! HTTP requests, from the client's side: what is refused, by which name, and what gets through.

use std::time::Duration;

use serde_json::json;
use tollgate_testkit::client::header;
use tollgate_testkit::world::eventually;

use crate::lab::{Lab, PASSWORD, Raw, Scripted, Then, USER, auth, connect, request};

/// Requests that no origin hears of.
fn refused() -> Vec<(&'static str, String, u16, &'static str)> {
    let bad = 400;
    let mut cases = Vec::new();
    let mut case = |row, request: String, status, name| cases.push((row, request, status, name));
    for target in
        ["127.0.0.1", "host:", "[::1]", ":443", "127.0.0.1:0", "a:65536", "a:+80", "a: 80", "", "a:80:80"]
    {
        case("HP-02", format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n{{auth}}\r\n"), bad, "BAD_REQUEST");
    }
    for target in ["/path", "http://{o}/", "http://{o}", "u:p@{o}", "{o}/", "{o}?q"] {
        case("HP-03", format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n{{auth}}\r\n"), bad, "BAD_REQUEST");
    }
    for line in ["GET {o}/", "GET /", "GET *", "GET */test", "HEAD /", "OPTIONS /", "GET ?", "GET http:///"] {
        case("HP-06", format!("{line} HTTP/1.1\r\nHost: a\r\n{{auth}}\r\n"), bad, "BAD_REQUEST");
    }
    for url in
        ["http://{o}/#frag", "http://{o}#frag", "http://u:p@{o}/", "http://münchen.de/", "http://{o}/ä"]
    {
        case("HP-07", format!("GET {url} HTTP/1.1\r\nHost: a\r\n{{auth}}\r\n"), bad, "BAD_REQUEST");
    }
    for url in ["https://{o}/", "ftp://{o}/", "file:///etc/passwd", "gopher://{o}/", "ws://{o}/"] {
        case("HP-08", format!("GET {url} HTTP/1.1\r\nHost: a\r\n{{auth}}\r\n"), 501, "UNSUPPORTED");
    }
    for url in ["urn:isbn:1", "mailto:a@b", "unix:/var/run/docker.sock", "127.0.0.1:80/x"] {
        case("HP-08", format!("GET {url} HTTP/1.1\r\nHost: a\r\n{{auth}}\r\n"), bad, "BAD_REQUEST");
    }
    case("HP-09", format!("{} http://{{o}}/ HTTP/1.1\r\n\r\n", "M".repeat(65_536)), bad, "BAD_REQUEST");
    case("HP-26", request("TRACE", "http://{o}/", "Max-Forwards: abc\r\n"), bad, "BAD_REQUEST");
    for host in ["", "Host: {o}\r\nHost: {o}\r\n", "Host: a b\r\n", "Host: a, b\r\n", "Host: u@a\r\n"] {
        case("HP-28", format!("GET http://{{o}}/ HTTP/1.1\r\n{host}{{auth}}\r\n"), bad, "BAD_REQUEST");
    }
    for framing in AMBIGUOUS {
        case("HP-33", request("POST", "http://{o}/", framing) + "0\r\n\r\n", bad, "BAD_REQUEST");
    }
    for version in ["HTTP/0.9", "HTTP/1.32", "HTTP/2.0", "HTTP/1.1x", "HTTP/11", "HTTPS/1.1", "http/1.1"] {
        case("HP-38", format!("GET http://{{o}}/ {version}\r\nHost: a\r\n\r\n"), bad, "BAD_REQUEST");
    }
    case("HP-38 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), bad, "BAD_REQUEST");
    case("HP-38 no version", "GET http://{o}/\r\n\r\n".to_owned(), bad, "BAD_REQUEST");
    let long = "A".repeat(24_000);
    case("HP-45", request("GET", &format!("http://{{o}}/{long}"), ""), 431, "HEAD_TOO_LARGE");
    case("HP-45", request("GET", "http://{o}/", &"X: y\r\n".repeat(10_000)), 431, "HEAD_TOO_LARGE");
    case("HP-45", request("GET", "http://{o}/", &"X: y\r\n".repeat(101)), 431, "HEAD_TOO_LARGE");
    for host in [
        format!("{}.test", "a.".repeat(125)),
        "a".repeat(64) + ".test",
        "xn--\u{7f}.test".to_owned(),
        "xn--a-ecp-.test".to_owned(),
        "a..test".to_owned(),
        "a\0b.test".to_owned(),
        "a%00b.test".to_owned(),
        "a%2Fb.test".to_owned(),
        "2130706433".to_owned(),
        "0x7f.1".to_owned(),
        "127.1".to_owned(),
        "0177.0.0.1".to_owned(),
    ] {
        case("HP-66", format!("CONNECT {host}:80 HTTP/1.1\r\nHost: a\r\n{{auth}}\r\n"), bad, "BAD_REQUEST");
    }
    for lines in
        ["X: a\r\n b\r\n", "X : a\r\n", " X: a\r\n", "X: a\rb\r\n", "X: a\0b\r\n", "X a\r\n", ": a\r\n"]
    {
        case("HP-30 HP-31", request("GET", "http://{o}/", lines), bad, "BAD_REQUEST");
    }
    cases
}

/// Bodies that two readers would end in two places.
const AMBIGUOUS: [&str; 26] = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: chunked;a=b\r\n",
    "Transfer-Encoding:\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 5, 6\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 5 6\r\n",
    "Content-Length: 5.0\r\n",
    "Content-Length:\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Content-Length: 18446744073709551621\r\n",
    "Content-Length: 9223372036854775808000\r\n",
    "Content-Length: \u{664}\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_never_reaches_an_origin_and_costs_nothing() {
    let lab = Lab::open().await;
    for (row, request, status, name) in refused() {
        let request = lab.fill(&request);
        let shown = request.lines().take(3).collect::<Vec<_>>().join(" | ");
        let shown: String = shown.chars().take(120).collect();
        let (mut raw, told) = lab.ask(&request).await;
        assert_eq!((told.status, told.name.as_str()), (status, name), "{row}: {shown}");
        if row == "HP-33" {
            assert_eq!(header(&told.head, "connection"), "close", "{row}: {shown}");
            assert_eq!(raw.rest().await, b"", "{row}: what follows is no request: {shown}");
        }
    }
    assert_eq!(lab.origin.connections(), 0);
    lab.costs(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_shows_who_sends_it() {
    let lab = Lab::open().await;
    let (ben, target) = (lab.world.customer("ben", 1_000).await, lab.origin.address());
    lab.world.sub_account(&ben, "ben.one", PASSWORD, 0).await;
    lab.world.sub_account(&lab.ann, "ann.utf8", "pässwörter-1", 0).await;
    let with = |auth: &str| format!("GET http://{target}/ip HTTP/1.1\r\nHost: {target}\r\n{auth}\r\n");
    let right = auth(USER, PASSWORD);
    let token = right.trim_end().rsplit(' ').next().expect("a token");
    let cases = [
        ("HP-10", String::new(), 407),
        ("HP-11 password", auth(USER, "wrong-1"), 407),
        ("HP-11 user", auth("nobody", PASSWORD), 407),
        ("HP-11 both", auth("nobody", "wrong-1"), 407),
        ("HP-11 empty", auth("", ""), 407),
        ("HP-11 no value", "Proxy-Authorization:\r\n".to_owned(), 407),
        ("HP-11 Basic only", "Proxy-Authorization: Basic\r\n".to_owned(), 407),
        ("HP-11 French fries", "Proxy-Authorization: French fries\r\n".to_owned(), 407),
        ("HP-11 Bearer", format!("Proxy-Authorization: Bearer {token}\r\n"), 407),
        ("HP-11 two fields", format!("{right}{right}"), 407),
        ("HP-11 more", format!("Proxy-Authorization: Basic {token} x\r\n"), 407),
        ("HP-11 no base64", "Proxy-Authorization: Basic !!!!\r\n".to_owned(), 407),
        ("HP-11 the origin's field", format!("Authorization: Basic {token}\r\n"), 407),
        ("HP-12", format!("pROXY-aUTHORIZATION: BASIC {token}\r\n"), 200),
        ("HP-13 no colon", "Proxy-Authorization: Basic YW5uLm9uZQ==\r\n".to_owned(), 407),
        ("HP-13 colon in the password", auth(USER, &format!("{PASSWORD}:x")), 407),
        ("HP-13 UTF-8", auth("ann.utf8", "pässwörter-1"), 200),
        ("HP-14 another user", auth("ben.one", PASSWORD), 200),
        ("HP-14 nobody", String::new(), 407),
        ("HP-14 again", right.clone(), 200),
    ];
    // All of them on one connection: it stays usable, and nothing of one sticks to the next.
    let mut raw = lab.dial().await;
    for (row, field, status) in &cases {
        raw.say(with(field)).await;
        let told = raw.told().await;
        assert_eq!(told.status, *status, "{row}: {}", told.head);
        if *status == 407 {
            assert!(header(&told.head, "proxy-authenticate").starts_with("Basic realm="), "{row}");
            assert_eq!(told.name, "AUTH_REQUIRED", "{row}");
        } else {
            assert_eq!(raw.exactly(9).await, b"127.0.0.1", "{row}");
        }
        assert_ne!(header(&told.head, "connection"), "close", "{row}");
    }
    // A refused CONNECT leaves the connection usable, too.
    raw.say(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
    assert_eq!(raw.told().await.status, 407, "HP-10");
    raw.say(connect(target)).await;
    assert_eq!(raw.told().await.status, 200, "HP-10");
    raw.finish().await;
    raw.rest().await;

    let one = (lab.origin.received() + lab.origin.sent()) / 4;
    eventually("HP-14: each pays for his own", Duration::from_secs(10), async || {
        let path = "/api/users/traffic/trend?start_date=2000-01-01&end_date=2100-01-01";
        let answer = lab.world.api(&ben.key).get(path).await;
        answer.data()["residential"].to_string().contains(&format!("\"total_traffic\":{one},")).then_some(())
    })
    .await;
    lab.costs(3 * one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listed_addresses_and_guessing() {
    // Held back for hardly a moment each: one after the other, a thousand would take their time.
    let guessing =
        [("TOLLGATE_GATEWAY__FAILED_LOGINS", "20"), ("TOLLGATE_GATEWAY__FAILED_LOGIN_DELAY", "1ms")];
    let lab = Lab::with(&guessing).await;
    let target = lab.origin.address();
    let ip = json!({ "ip": "127.0.0.9" });
    lab.world.api(&lab.ann.key).post("/api/users/proxy/add-whitelist", ip).await.data();
    let from = async |source: &str, fields: &str| {
        let mut raw = Raw::between(source, lab.world.gateway()).await;
        raw.say(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n")).await;
        raw.told().await
    };
    eventually("HP-16: a listed address is served", Duration::from_secs(2), async || {
        (from("127.0.0.9:0", "").await.status == 200).then_some(())
    })
    .await;
    for bad in [auth(USER, "wrong-1"), auth("nobody", ""), "Proxy-Authorization: nonsense\r\n".to_owned()] {
        assert_eq!(from("127.0.0.9:0", &bad).await.status, 407, "HP-16: {bad}");
    }
    assert_eq!(from("127.0.0.10:0", "").await.status, 407, "HP-16");

    // HP-17: a thousand guesses, of which hardly more than the budget are looked at.
    let mut looked_at = 0;
    for n in 0..1_000 {
        match from("127.0.0.11:0", &auth(USER, &format!("guess-{n}"))).await {
            told if told.status == 407 => looked_at += 1,
            told => {
                assert_eq!((told.status, told.name.as_str()), (429, "TOO_MANY_ATTEMPTS"), "HP-17");
                assert_ne!(header(&told.head, "retry-after"), "", "HP-17");
            }
        }
    }
    assert!((20..60).contains(&looked_at), "HP-17: {looked_at}");
    assert_eq!(from("127.0.0.12:0", &auth(USER, PASSWORD)).await.status, 200, "HP-17: from elsewhere");
    lab.costs(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_are_transparent() {
    let lab = Lab::open().await;
    let target = lab.origin.address();
    for (row, version) in [("HP-01", "1.0"), ("HP-01", "1.1")] {
        let head =
            format!("CONNECT {target} HTTP/{version}\r\nHost: {target}\r\n{}\r\n", auth(USER, PASSWORD));
        // HP-04: what follows in the same segment belongs to the tunnel.
        let (mut raw, told) = lab.ask(format!("{head}ECHO\nGET / HTTP/1.1\r\n\r\n")).await;
        assert_eq!(told.status, 200, "{row}");
        for absent in ["content-length", "transfer-encoding", "x-tollgate-error", "proxy-status", "via"] {
            assert_eq!(header(&told.head, absent), "", "{row}: {absent}");
        }
        raw.say([0, 255, 13, 10, 13, 10]).await;
        raw.finish().await;
        assert_eq!(raw.rest().await, b"GET / HTTP/1.1\r\n\r\n\0\xff\r\n\r\n", "HP-04");
    }
    let with_length = connect(target).replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n");
    let (mut raw, told) = lab.ask(format!("{with_length}ECHO\nabc")).await;
    assert_eq!(told.status, 200, "HP-04: a body of CONNECT is none");
    assert_eq!(raw.exactly(3).await, b"abc", "HP-04");
    drop(raw);
    let all = lab.origin.received() + lab.origin.sent();
    lab.costs(all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_origin_sees() {
    let lab = Lab::open().await;
    let origin = Scripted::start("HTTP/1.1 204 No Content\r\n\r\n", Then::Stay).await;
    let url = format!("http://{}", origin.address());
    let host = format!("\r\nHost: {}\r\n", origin.address());
    let get = |fields: &str| request("GET", &format!("{url}/p?q=1"), fields);
    let line = "GET /p?q=1 HTTP/1.1\r\n";
    let other_host = get("").replace(&host, "\r\nHost: other.example\r\n");
    let via: String = (0..17).map(|n| format!("Via: 1.1 hop{n}\r\n")).collect();
    // Row, request, what the origin must see, what it must not.
    let cases: Vec<(&str, String, Vec<&str>, Vec<&str>)> = vec![
        ("HP-06 no path", request("GET", &url, ""), vec!["GET / HTTP/1.1\r\n"], vec![]),
        ("HP-06 query only", request("GET", &format!("{url}?q"), ""), vec!["GET /?q HTTP/1.1\r\n"], vec![]),
        ("HP-06 HEAD", request("HEAD", &url, ""), vec!["HEAD / HTTP/1.1\r\n"], vec![]),
        ("HP-06 OPTIONS", request("OPTIONS", &url, ""), vec!["OPTIONS * HTTP/1.1\r\n"], vec![]),
        ("HP-09 unknown", request("FROBNICATE", &url, ""), vec!["FROBNICATE / HTTP/1.1\r\n"], vec![]),
        ("HP-09 lower case", request("get", &url, ""), vec!["get / HTTP/1.1\r\n"], vec![]),
        ("HP-18", get(""), vec![line, &host], vec!["authorization", "basic", "proxy"]),
        ("HP-20", get("Connection: close, X-Secret\r\nX-Secret: s\r\n"), vec![line], vec!["secret", "close"]),
        (
            "HP-21",
            get("Connection: a\r\nA: 1\r\nConnection: b\r\nB: 1\r\nConnection: , c\r\nC: 1\r\nD: 1\r\n"),
            vec!["\r\nD: 1\r\n"],
            vec!["\r\na:", "\r\nb:", "\r\nc:", "\r\nconnection:"],
        ),
        (
            "HP-22",
            get(
                "Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nX-A: 1\r\n",
            ),
            vec!["\r\nX-A: 1\r\n"],
            vec!["keep-alive", "proxy-", "\r\nte:", "upgrade"],
        ),
        ("HP-22 Trailer", get("Trailer: X-Sum\r\n"), vec!["\r\nTrailer: X-Sum\r\n"], vec![]),
        ("HP-24", get(&via), vec!["hop0\r\n", "hop16\r\n"], vec!["tollgate"]),
        ("HP-26", request("OPTIONS", &url, "Max-Forwards: 3\r\n"), vec!["\r\nMax-Forwards: 2\r\n"], vec![]),
        ("HP-27", get(""), vec![line], vec!["\r\nvia:", "forwarded", "127.0.0.1\r\n", "x-real-ip"]),
        ("HP-28 another Host", other_host, vec![&host], vec!["other.example"]),
        (
            "HP-38 1.0",
            get("").replace("HTTP/1.1\r\n", "HTTP/1.0\r\n").replace(&host, "\r\n"),
            vec![line, &host],
            vec![],
        ),
    ];
    for (row, request, present, absent) in cases {
        let before = origin.heard().concat().len();
        let (_, told) = lab.ask(&request).await;
        assert_eq!(told.status, 204, "{row}: {}", told.head);
        let heard = origin.heard().concat()[before..].to_owned();
        let lower = heard.to_ascii_lowercase();
        for text in present {
            assert!(heard.contains(text), "{row}: {text:?} is missing in {heard:?}");
        }
        for text in absent {
            assert!(!lower.contains(text), "{row}: {text:?} is in {heard:?}");
        }
    }
    let all = origin.heard().concat().len() + origin.heard().len() * "HTTP/1.1 204 No Content\r\n\r\n".len();
    lab.costs(all as u64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_at_the_proxy() {
    let lab = Lab::open().await;
    for (row, request, text) in [
        ("HP-06 OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "HTTP/1.1 2"),
        ("HP-26 OPTIONS", request("OPTIONS", "http://{o}/", "Max-Forwards: 0\r\n"), "HTTP/1.1 2"),
        ("HP-26 TRACE", request("TRACE", "http://{o}/", "Max-Forwards: 0\r\nX-A: 1\r\n"), "HTTP/1.1 200 "),
    ] {
        let (mut raw, told) = lab.ask(lab.fill(&request)).await;
        assert!(told.head.starts_with(text), "{row}: {}", told.head);
        let length = header(&told.head, "content-length").parse().unwrap_or(0);
        let body = String::from_utf8_lossy(&raw.exactly(length).await).to_ascii_lowercase();
        assert!(!body.contains("authorization") && !told.head.contains("Basic"), "{row}: {body}");
    }
    assert_eq!(lab.origin.connections(), 0);
    lab.costs(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order() {
    let lab = Lab::open().await;
    let other = Scripted::start("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", Then::Stay).await;
    let here = |path: &str| request("GET", &format!("http://{}{path}", lab.origin.address()), "");
    let there = request("GET", &format!("http://{}/", other.address()), "");
    // HP-39: the same origin, another, and the first again.
    let mut raw = lab.send([here("/ip"), here("/bytes/3"), there, here("/ip")].concat()).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(raw.response().await);
    }
    let expected = ["127.0.0.1", "...", "other", "127.0.0.1"].map(|body| (200, body.to_owned()));
    assert_eq!(answers, expected, "HP-39");
    // HP-38: a client of HTTP/1.0 gets one answer, and then the end.
    let old = here("/ip").replace("HTTP/1.1\r\n", "HTTP/1.0\r\n");
    let old = old.replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n");
    let mut raw = lab.send(old).await;
    let (head, body) = (raw.head().await, raw.rest().await);
    assert_eq!(
        (header(&head, "connection").as_str(), body.as_slice()),
        ("close", &b"127.0.0.1"[..]),
        "HP-38"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_on_their_way_up() {
    let lab = Lab::open().await;
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    for (row, coding, body) in [
        ("HP-34", "Chunked", "3\r\nabc\r\n0\r\n\r\n"),
        ("HP-34", "CHUNKED", "3\r\nabc\r\n0\r\n\r\n"),
        ("HP-35 extension", "chunked", "3;a=b\r\nabc\r\n0\r\n\r\n"),
        ("HP-36 one trailer", "chunked", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"),
    ] {
        let origin = Scripted::start(answer, Then::Stay).await;
        let url = format!("http://{}/", origin.address());
        let (_, told) =
            lab.ask(request("POST", &url, &format!("Transfer-Encoding: {coding}\r\n")) + body).await;
        assert_eq!(told.status, 204, "{row}");
        let heard = origin.heard_with("\r\n\r\n3").await;
        let expected = format!("\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert!(origin.heard_with(body).await.ends_with(&expected), "{row}: {heard}");
    }
    let extension = format!("4;{}\r\nabcd\r\n0\r\n\r\n", "e".repeat(65_536));
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    for (row, body) in [
        ("HP-35", "7fffffffffffffff1\r\nabc"),
        ("HP-35", "ffffffffffffffff1\r\nabc"),
        ("HP-35", "-1\r\nabc"),
        ("HP-35", "0x4\r\nabcd\r\n0\r\n\r\n"),
        ("HP-35", "4;\r\nabcd\r\n0\r\n\r\n"),
        ("HP-35", "4 \r\nabcd\r\n0\r\n\r\n"),
        ("HP-35", "4\nabcd\n0\n\n"),
        ("HP-35", "3\r\nabcd\r\n0\r\n\r\n"),
        ("HP-35 64 KiB", extension.as_str()),
        ("HP-36 Content-Length", "0\r\nContent-Length: 5\r\n\r\n"),
        ("HP-36 Transfer-Encoding", "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HP-36 Host", "0\r\nHost: a\r\n\r\n"),
        ("HP-36 many", trailers.as_str()),
    ] {
        // An origin that waits for the whole request.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("its address"));
        let (mut raw, told) = lab.ask(request("POST", &url, "Transfer-Encoding: chunked\r\n") + body).await;
        let shown: String = body.chars().take(40).collect();
        assert_eq!((told.status, told.name.as_str()), (400, "BAD_REQUEST"), "{row}: {shown:?}");
        assert_eq!(raw.rest().await, b"", "{row}: {shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_chunks_and_lengths_that_are_not_kept() {
    let lab = Lab::open().await;
    let origin = Scripted::start("", Then::Stay).await;
    let url = format!("http://{}/", origin.address());
    // HP-35: a million chunks of one byte, streamed and billed as they are.
    let mut raw = lab.send(request("POST", &url, "Transfer-Encoding: chunked\r\n")).await;
    for _ in 0..1_000 {
        raw.say("1\r\nx\r\n".repeat(1_000)).await;
    }
    raw.say("0\r\nX-End: 1\r\n\r\n").await;
    let heard = origin.heard_with("X-End").await;
    let head = heard.find("\r\n\r\n").expect("a head") + 4;
    let body = 6_000_000 + "0\r\nX-End: 1\r\n\r\n".len();
    assert_eq!(heard.len(), head + body, "HP-35");
    drop(raw);

    // HP-46: less than announced, then the end; and more than announced.
    let short = Scripted::start("", Then::Stay).await;
    let url = format!("http://{}/", short.address());
    let mut raw = lab.send(request("POST", &url, "Content-Length: 10\r\n") + "abc").await;
    raw.finish().await;
    assert!(short.heard_with("abc").await.ends_with("\r\nContent-Length: 10\r\n\r\nabc"), "HP-46");
    drop(raw);
    let url = format!("http://{}/ip", lab.origin.address());
    let mut raw = lab.send(request("POST", &url, "Content-Length: 3\r\n") + "abc, and more\r\n\r\n").await;
    assert_eq!(raw.response().await, (200, "127.0.0.1".to_owned()), "HP-46");
    assert_eq!(raw.told().await.status, 400, "HP-46");
    assert_eq!(raw.rest().await, b"", "HP-46");
    let forwarded = lab.origin.received() + lab.origin.sent();
    lab.costs(heard.len() as u64 + short.heard().concat().len() as u64 + forwarded).await;
}
