//! HTTP responses: origins that are slow, odd, or break off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tollgate_testkit::client::header;
use tollgate_testkit::world::eventually;

use crate::lab::{End, Lab, Raw, Scripted, Then, connect, request};

/// What a client is to receive.
enum Gets {
    /// Exactly this, and then the connection ends in this way.
    All(&'static str, End),
    /// This head and body, and the connection goes on.
    Stays(&'static str),
    /// A refusal.
    Refused(u16, &'static str),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_origins_answer() {
    use Gets::{All, Refused, Stays};
    let lab = Lab::open().await;
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    let bad = || Refused(502, "BAD_GATEWAY");
    let cases: Vec<(&str, &str, Then, Gets)> = vec![
        (
            "HP-22",
            "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nProxy-Authenticate: \
             Basic\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok",
            Then::Stay,
            Stays("HTTP/1.1 200 OK\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok"),
        ),
        (
            "HP-29",
            "HTTP/1.1 200 é\r\nSet-Cookie: a\r\nX: 1\r\nSet-Cookie: b\r\nX: 2\r\nContent-Length: 0\r\n\r\n",
            Then::Stay,
            Stays(
                "HTTP/1.1 200 é\r\nSet-Cookie: a\r\nX: 1\r\nSet-Cookie: b\r\nX: 2\r\nContent-Length: 0\r\n\r\n",
            ),
        ),
        (
            "HP-29 folded",
            "HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 0\r\n\r\n",
            Then::Stay,
            Stays("HTTP/1.1 200 OK\r\nX: a b\r\nContent-Length: 0\r\n\r\n"),
        ),
        ("HP-29 status 55", "HTTP/1.1 55 No\r\nContent-Length: 0\r\n\r\n", Then::Stay, bad()),
        ("HP-29 status 999", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", Then::Stay, bad()),
        (
            "HP-33 two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            Then::Stay,
            bad(),
        ),
        (
            "HP-33 length and chunked",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Then::Stay,
            bad(),
        ),
        (
            "HP-41",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early \
             Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Then::Stay,
            Stays(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early \
                 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ),
        ),
        ("HP-44 says nothing", "", Then::Close, bad()),
        ("HP-44 breaks off before", "", Then::Reset, bad()),
        ("HP-44 within the status", "HTTP/1.1 2", Then::Close, bad()),
        ("HP-44 within the head", "HTTP/1.1 200 OK\r\nContent-Le", Then::Close, bad()),
        ("HP-44 no HTTP", "SSH-2.0-server\r\n\r\n", Then::Stay, bad()),
        (
            "HP-44 within a body",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            Then::Close,
            All("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", End::Closed),
        ),
        (
            "HP-44 within a chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            Then::Close,
            All("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", End::Closed),
        ),
        (
            "HP-44 before the last chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            Then::Close,
            All("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", End::Closed),
        ),
        (
            "HP-44 until the end",
            "HTTP/1.1 200 OK\r\n\r\nabc",
            Then::Close,
            All("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", End::Closed),
        ),
        ("HP-45 10 000 fields", &many, Then::Stay, bad()),
        ("HP-45 1 MiB", &large, Then::Stay, bad()),
        (
            "HP-42 not asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            Then::Stay,
            bad(),
        ),
    ];
    for (row, answer, then, gets) in cases {
        let origin = Scripted::start(answer, then).await;
        let get = request("GET", &format!("http://{}/", origin.address()), "");
        match gets {
            Stays(expected) => {
                // Twice, for the connection goes on.
                let mut raw = lab.send(get.repeat(2)).await;
                let got = raw.exactly(2 * expected.len()).await;
                assert_eq!(String::from_utf8_lossy(&got), expected.repeat(2), "{row}");
                assert_eq!(origin.heard().len(), 1, "{row}: over one connection to the origin");
            }
            All(expected, end) => {
                let (got, ended) = lab.send(get).await.until_end().await;
                assert_eq!((String::from_utf8_lossy(&got).as_ref(), ended), (expected, end), "{row}");
            }
            Refused(status, name) => {
                let (mut raw, told) = lab.ask(get).await;
                assert_eq!((told.status, told.name.as_str()), (status, name), "{row}: {}", told.head);
                assert_eq!(raw.rest().await, b"", "{row}");
            }
        }
    }
}

/// A GET in HTTP/1.0.
fn old(origin: &Scripted) -> String {
    request("GET", &format!("http://{}/", origin.address()), "").replace("HTTP/1.1\r\n", "HTTP/1.0\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_clients() {
    let lab = Lab::open().await;
    // HP-41, HP-38: no interim responses and no chunks for HTTP/1.0.
    let answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                  3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let origin = Scripted::start(answer, Then::Stay).await;
    let (got, end) = lab.send(old(&origin)).await.until_end().await;
    assert_eq!(
        String::from_utf8_lossy(&got),
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde",
        "HP-41 HP-38"
    );
    assert_eq!(end, End::Closed, "HP-38");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_a_reset_shows_that_a_response_broke_off() {
    let lab = Lab::open().await;
    // HP-44: where the end of the connection would say that all is well, it does not end but breaks.
    let origin =
        Scripted::start("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Then::Close)
            .await;
    assert_eq!(lab.send(old(&origin)).await.until_end().await.1, End::Reset, "HP-44");
    let origin = Scripted::start("HTTP/1.1 200 OK\r\n\r\nabc", Then::Reset).await;
    let get = request("GET", &format!("http://{}/", origin.address()), "");
    assert_eq!(lab.send(get).await.until_end().await.1, End::Reset, "HP-44");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expectations() {
    let lab = Lab::open().await;
    let post = |origin: &std::net::SocketAddr, fields: &str| {
        request("POST", &format!("http://{origin}/"), &format!("Expect: 100-continue\r\n{fields}"))
    };
    // HP-40: the origin's 100 is relayed, and the body follows, counted or chunked.
    for (fields, body) in
        [("Content-Length: 5\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let origin = tokio::spawn(async move {
            let mut stream = Raw::over(listener.accept().await.expect("a connection").0);
            let head = stream.head().await;
            stream.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            let body = stream.exactly(body.len()).await;
            stream.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            stream.rest().await;
            (head, body)
        });
        let mut raw = lab.send(post(&address, fields)).await;
        assert_eq!(raw.head().await, "HTTP/1.1 100 Continue\r\n\r\n", "HP-40");
        raw.say(body).await;
        assert_eq!(raw.response().await, (200, "ok".to_owned()), "HP-40");
        raw.finish().await;
        let (head, heard) = origin.await.expect("an origin");
        assert!(head.contains("\r\nExpect: 100-continue\r\n"), "HP-40: {head}");
        assert_eq!(heard, body.as_bytes(), "HP-40");
    }
    // HP-40: the origin never says 100, and the client does not wait for it.
    let origin = Scripted::start("HTTP/1.1 204 No Content\r\n\r\n", Then::Stay).await;
    let (_, told) = lab.ask(post(&origin.address(), "Content-Length: 5\r\n") + "hello").await;
    assert_eq!(told.status, 204, "HP-40");
    assert!(origin.heard_with("hello").await.ends_with("\r\n\r\nhello"), "HP-40");
    // HP-40: an early no ends the connection, for what the client sends next may be the body.
    for answer in [
        "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
    ] {
        let origin = Scripted::start(answer, Then::Stay).await;
        let (mut raw, told) = lab.ask(post(&origin.address(), "Content-Length: 1000000\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {} ", told.status)), "HP-40: {}", told.head);
        assert_eq!(header(&told.head, "connection"), "close", "HP-40: {}", told.head);
        raw.say(request("GET", &format!("http://{}/smuggled", origin.address()), "")).await;
        assert_eq!(raw.rest().await, b"", "HP-40");
        assert!(!origin.heard().concat().contains("smuggled"), "HP-40");
    }
    // HP-40: what else may be expected is between the client and the origin.
    for expect in ["x", "100-continue, x"] {
        let origin =
            Scripted::start("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", Then::Stay).await;
        let (_, told) = lab
            .ask(request("GET", &format!("http://{}/", origin.address()), &format!("Expect: {expect}\r\n")))
            .await;
        assert_eq!(told.status, 417, "HP-40: {expect}");
        assert!(origin.heard().concat().contains(&format!("\r\nExpect: {expect}\r\n")), "HP-40: {expect}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades() {
    let lab = Lab::open().await;
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a2V5\r\n";
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let origin = Scripted::start(format!("{switching}\x01frame"), Then::Stay).await;
    let get = |fields: &str| request("GET", &format!("http://{}/", origin.address()), fields);
    // HP-42: through an absolute-form request.
    let mut raw = lab.send(get(fields)).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 101 ") && header(&head, "upgrade") == "websocket", "HP-42: {head}");
    assert_eq!(raw.exactly(6).await, b"\x01frame", "HP-42");
    raw.say("\x02 no HTTP").await;
    let heard = origin.heard_with("\x02 no HTTP").await;
    assert!(
        heard.contains("Upgrade: websocket\r\n") && heard.contains("Connection: Upgrade\r\n"),
        "HP-42: {heard}"
    );
    // HP-42: through CONNECT, where it is nobody's business.
    let (mut raw, told) = lab.ask(connect(origin.address())).await;
    assert_eq!(told.status, 200, "HP-42");
    raw.say(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    assert_eq!(raw.exactly(switching.len() + 6).await, format!("{switching}\x01frame").as_bytes(), "HP-42");
    // HP-42: an origin that does not want to answers like any other, and what follows is a request.
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno",
    ] {
        let origin = Scripted::start(answer, Then::Stay).await;
        let get = request("GET", &format!("http://{}/", origin.address()), fields);
        let mut raw = lab.send(get.repeat(2)).await;
        assert_eq!(raw.exactly(2 * answer.len()).await, answer.repeat(2).as_bytes(), "HP-42");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_connections_that_the_origin_gave_up() {
    let lab = Lab::open().await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    // HP-48: the origin answers once on each connection and closes without a word.
    let origin = Scripted::start(answer, Then::Close).await;
    let url = format!("http://{}/", origin.address());
    let mut raw = lab.dial().await;
    for n in 1..=5 {
        raw.say(request("GET", &url, "")).await;
        assert_eq!(raw.response().await, (200, "ok".to_owned()), "HP-48: {n}");
        assert_eq!(origin.heard().len(), n, "HP-48");
    }
    // HP-48: it closes once the next request is there. One that may be sent twice is.
    for (method, status, connections) in [("GET", 200, 2), ("POST", 502, 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("its address"));
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let origin = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = Raw::over(stream);
                stream.head().await;
                stream.say(answer).await;
                stream.head().await;
                stream.reset();
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let mut raw = lab.send(request("GET", &url, "")).await;
        assert_eq!(raw.response().await.0, 200, "HP-48");
        raw.say(request(method, &url, if method == "POST" { "Content-Length: 0\r\n" } else { "" })).await;
        assert_eq!(raw.response().await.0, status, "HP-48: {method}");
        raw.finish().await;
        raw.rest().await;
        eventually("the origin sees the end of the last", Duration::from_secs(5), async || {
            (accepted.load(Ordering::SeqCst) == connections).then_some(())
        })
        .await;
        origin.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_do_not_resolve() {
    let many: String = (1..=64).map(|n| format!("many.test=127.0.1.{n},")).collect();
    let hosts = format!("{many}many.test=127.0.0.1");
    let lab = Lab::with(&[
        ("TOLLGATE_GATEWAY__HOSTS", &hosts),
        ("TOLLGATE_GATEWAY__DNS_TIMEOUT", "800ms"),
        ("TOLLGATE_GATEWAY__CONNECT_TIMEOUT", "3s"),
    ])
    .await;
    for sent in [connect("nobody.invalid:80"), request("GET", "http://nobody.invalid/", "")] {
        let (_, told) = lab.ask(sent).await;
        let known = [(502, "DNS_FAILED", "dns_error"), (504, "TIMEOUT", "timeout")];
        let fits = |(status, name, error): &(u16, &str, &str)| {
            told.status == *status && told.name == *name && told.head.contains(error)
        };
        assert!(known.iter().any(fits), "HP-50: {}", told.head);
    }
    // HP-50: of many addresses the first few are tried, here in vain.
    let (_, told) = lab.ask(connect(format!("many.test:{}", lab.origin.address().port()))).await;
    assert_eq!((told.status, told.name.as_str()), (502, "CONNECTION_REFUSED"), "HP-50: {}", told.head);
    lab.costs(0).await;
}
