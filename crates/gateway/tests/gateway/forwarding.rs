//! Absolute-form HTTP: what the origin sees, what the client gets back, and where messages end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tollgate_gateway::Bandwidth;
use tollgate_types::ProxyType;

use crate::world::{ALICE, Client, PATIENCE, World, direct, http_origin, origin};

fn get(target: std::net::SocketAddr, extra: &str) -> String {
    format!(
        "GET http://{target}/path?q HTTP/1.1\r\nHost: other\r\nProxy-Authorization: {ALICE}\r\n{extra}\r\n"
    )
}

fn post(target: std::net::SocketAddr, extra: &str) -> String {
    get(target, extra).replacen("GET", "POST", 1)
}

#[tokio::test]
async fn hp_18_hp_20_hp_21_hp_27_hp_28_the_origin_sees_nothing_of_the_hop_before_it() {
    let world = World::lab().await;
    let (target, heads) = http_origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let mut client = world.client().await;
    let extra = "Connection: close, X-One\r\nConnection: X-Two\r\nConnection: keep-alive\r\nX-One: 1\r\nX-Two: 2\r\n\
                 Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nX-Kept: yes\r\n";
    client.say(get(target, extra)).await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = heads.lock().unwrap().remove(0);
    assert!(seen.starts_with(&format!("GET /path?q HTTP/1.1\r\nHost: {target}\r\n")), "{seen}");
    assert!(seen.contains("\r\nX-Kept: yes\r\n"), "{seen}");
    for gone in ["proxy-", "x-one", "x-two", "keep-alive", "te:", "via", "forwarded", "127.0.0.1:70"] {
        assert!(!seen.to_lowercase().contains(gone), "{gone} in {seen}");
    }
}

#[tokio::test]
async fn hp_39_pipelined_requests_are_answered_in_order() {
    let world = World::lab().await;
    let one = http_origin("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none").await.0;
    let two = http_origin("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo").await.0;
    let mut client = world.client().await;
    client.say([get(one, ""), get(two, ""), get(one, ""), get(one, "")].concat()).await;
    for expected in ["one", "two", "one", "one"] {
        client.head().await;
        assert_eq!(client.exactly(3).await, expected.as_bytes());
    }
}

/// An origin that remembers all it hears and answers each connection once.
async fn listening(answer: &'static str, after: usize) -> (std::net::SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = heard.clone();
    let address = origin(move |mut client| {
        let into = into.clone();
        async move {
            let head = client.head().await;
            let body = client.exactly(after).await;
            into.lock().unwrap().extend([head.as_bytes(), &body].concat());
            client.say(answer).await;
        }
    })
    .await;
    (address, heard)
}

#[tokio::test]
async fn hp_34_hp_36_bodies_travel_verbatim_with_chunks_and_trailers() {
    let world = World::lab().await;
    let chunked = "5;a=b\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: 2\r\n\r\n";
    let (target, heard) = listening(answer, chunked.len()).await;
    let mut client = world.client().await;
    client.say(post(target, "Transfer-Encoding: CHUNKED\r\n") + chunked).await;
    client.head().await;
    assert_eq!(client.exactly(23).await, b"3\r\nabc\r\n0\r\nX-End: 2\r\n\r\n");
    assert!(heard.lock().unwrap().ends_with(chunked.as_bytes()));
}

#[tokio::test]
async fn an_old_client_gets_no_chunks() {
    let world = World::lab().await;
    let (target, _) =
        listening("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 0)
            .await;
    let mut client = world.client().await;
    client.say(get(target, "").replacen("HTTP/1.1", "HTTP/1.0", 1)).await;
    let head = client.head().await;
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(client.rest().await, b"abcde");
}

#[tokio::test]
async fn bodyless_responses_end_where_they_should() {
    let world = World::lab().await;
    let (target, _) = http_origin("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n").await;
    let mut client = world.client().await;
    for _ in 0..2 {
        client.say(get(target, "")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 304 "));
    }
    let (target, _) = http_origin("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await;
    for _ in 0..2 {
        client.say(get(target, "").replacen("GET", "HEAD", 1)).await;
        assert!(client.head().await.contains("Content-Length: 100"));
    }
}

#[tokio::test]
async fn hp_40_continue_is_relayed_and_an_early_answer_ends_the_upload() {
    let world = World::lab().await;
    let target = origin(|mut client| async move {
        let head = client.head().await;
        assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
        client.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.exactly(5).await, b"hello");
        client.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let mut client = world.client().await;
    client.say(post(target, "Expect: 100-continue\r\nContent-Length: 5\r\n")).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("hello").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));

    let (target, _) = listening("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", 0).await;
    let mut client = world.client().await;
    client.say(post(target, "Expect: 100-continue\r\nContent-Length: 5000000\r\n")).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 401 ") && head.contains("Connection: close"), "{head}");
    assert_eq!(client.rest().await, b"no");
}

#[tokio::test]
async fn what_is_left_of_a_body_that_was_answered_early_is_no_request() {
    // So slow that the answer is there long before the body has been sent, all of which was read.
    let bandwidth = Bandwidth { per_caller: 10_000, ..Bandwidth::default() };
    for (status, answer) in [
        (401, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
        (502, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ] {
        let lab = vec![direct(1, ProxyType::Residential)];
        let world = World::with(lab, |config| config.limits.bandwidth = bandwidth).await;
        let (target, _) = listening(answer, 0).await;
        let (other, heads) = http_origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
        let body = get(other, "").repeat(80);
        let upgrade = if status == 502 { "Connection: Upgrade\r\nUpgrade: websocket\r\n" } else { "" };
        let extra = format!("{upgrade}Content-Length: {}\r\n", body.len());
        let mut client = world.client().await;
        client.say(post(target, &extra) + &body).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert!(!rest.contains("HTTP/1.1"), "{rest}");
        assert_eq!(*heads.lock().unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn hp_41_early_hints_reach_only_who_knows_them() {
    let world = World::lab().await;
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (target, _) = http_origin(answer).await;
    let mut client = world.client().await;
    client.say(get(target, "")).await;
    for status in [103, 102, 200] {
        assert!(client.head().await.starts_with(&format!("HTTP/1.1 {status} ")));
    }
    let mut old = world.client().await;
    old.say(get(target, "").replacen("HTTP/1.1", "HTTP/1.0", 1)).await;
    assert!(old.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn hp_42_a_websocket_becomes_a_tunnel_and_a_refused_one_does_not() {
    let world = World::lab().await;
    let target = origin(|mut client| async move {
        let head = client.head().await;
        assert!(head.contains("Upgrade: websocket"), "{head}");
        client
            .say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
            .await;
        assert_eq!(client.exactly(4).await, b"ping");
        client.say("pong").await;
    })
    .await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let mut client = world.client().await;
    client.say(get(target, upgrade)).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(client.exactly(5).await, b"first");
    client.say("ping").await;
    assert_eq!(client.rest().await, b"pong");

    let (target, _) = http_origin("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno").await;
    let mut client = world.client().await;
    for _ in 0..2 {
        client.say(get(target, upgrade)).await;
        assert!(client.head().await.starts_with("HTTP/1.1 426 "));
        assert_eq!(client.exactly(2).await, b"no");
    }
}

#[tokio::test]
async fn hp_44_what_breaks_off_is_seen_to_break_off() {
    let world = World::lab().await;
    for (answer, status) in
        [("", 502), ("HTTP/1.1 200", 502), ("garbage\r\n\r\n", 502), ("HTTP/1.1 999 X\r\n\r\n", 502)]
    {
        let (target, _) = listening(answer, 0).await;
        let mut client = world.client().await;
        client.say(get(target, "")).await;
        let head = client.head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")) && head.contains("BAD_GATEWAY"),
            "{answer:?}: {head}"
        );
    }
    let truncated = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "abc"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "5\r\nabc"),
    ];
    for (answer, body) in truncated {
        let (target, _) = listening(answer, 0).await;
        let mut client = world.client().await;
        client.say(get(target, "")).await;
        client.head().await;
        assert_eq!(client.rest().await, body.as_bytes());
    }
}

#[tokio::test]
async fn a_response_until_close_ends_with_the_connection() {
    let world = World::lab().await;
    let (target, _) = listening("HTTP/1.0 200 OK\r\n\r\nall of it", 0).await;
    let mut client = world.client().await;
    client.say(get(target, "")).await;
    let head = client.head().await;
    assert!(head.contains("Connection: close"), "{head}");
    assert_eq!(client.rest().await, b"all of it");
}

#[tokio::test]
async fn hp_48_a_kept_connection_that_the_origin_closed_is_replaced() {
    let world = World::lab().await;
    // Closes every connection after one answer, without announcing it.
    let (target, heard) = listening("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0).await;
    let mut client = world.client().await;
    for _ in 0..3 {
        client.say(get(target, "")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(client.exactly(2).await, b"ok");
    }
    let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
    assert_eq!(heard.matches("GET /path?q").count(), 3);
}

#[tokio::test]
async fn hp_48_a_request_lost_on_a_kept_connection_is_sent_again_only_if_that_is_safe() {
    let world = World::lab().await;
    // Answers the first request of every connection, reads the second and closes.
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let target = origin(move |mut client| {
        let seen = seen.clone();
        async move {
            let head = client.head().await;
            seen.lock().unwrap().push(head);
            client.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            client.head().await;
        }
    })
    .await;
    let mut client = world.client().await;
    for (request, status) in
        [(get(target, ""), 200), (get(target, ""), 200), (post(target, "Content-Length: 0\r\n"), 502)]
    {
        client.say(request).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    assert_eq!(heads.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn hp_45_a_response_head_without_end_is_not_kept() {
    let world = World::lab().await;
    let target = origin(|mut client| async move {
        client.head().await;
        client.say("HTTP/1.1 200 OK\r\n").await;
        while client.stream.write_all(b"X-Filler: aaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
    })
    .await;
    let mut client = world.client().await;
    client.say(get(target, "")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
}

#[tokio::test]
async fn hp_46_an_upload_cut_short_and_one_too_long() {
    let world = World::lab().await;
    let target = origin(|mut client| async move {
        client.head().await;
        assert_eq!(client.rest().await, b"only this");
    })
    .await;
    let mut client = world.client().await;
    client.say(post(target, "Content-Length: 100\r\n") + "only this").await;
    client.finish().await;
    client.rest().await;

    let (target, _) = listening("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 4).await;
    let mut client = world.client().await;
    client.say(post(target, "Content-Length: 4\r\n") + "bodyEXTRA\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert!(client.head().await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn hp_29_repeated_fields_stay_apart() {
    let world = World::lab().await;
    let (target, _) = http_origin("HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nProxy-Authenticate: x\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n").await;
    let mut client = world.client().await;
    client.say(get(target, "")).await;
    let head = client.head().await;
    assert!(head.contains("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), "{head}");
    assert!(!head.contains("Hop") && !head.contains("Proxy-") && !head.contains("Tollgate"), "{head}");
}

#[tokio::test]
async fn hp_06_hp_26_what_ends_at_the_proxy() {
    let world = World::lab().await;
    let (target, heads) = http_origin("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let mut client = world.client().await;
    let trace = get(target, "Max-Forwards: 0\r\n").replacen("GET", "TRACE", 1);
    client.say(trace).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("message/http"), "{head}");
    assert!(heads.lock().unwrap().is_empty());
    let mut client = world.client().await;
    client
        .say(format!("OPTIONS http://{target} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {ALICE}\r\n\r\n"))
        .await;
    client.head().await;
    assert!(heads.lock().unwrap().remove(0).starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_slow_reader_holds_the_origin_back() {
    let world = World::lab().await;
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = sent.clone();
    let target = origin(move |mut client: Client| {
        let counter = counter.clone();
        async move {
            client.head().await;
            client.say("HTTP/1.1 200 OK\r\n\r\n").await;
            while client.stream.write_all(&[0; 65_536]).await.is_ok() {
                counter.fetch_add(65_536, std::sync::atomic::Ordering::Relaxed);
            }
        }
    })
    .await;
    let mut client = world.client().await;
    client.say(get(target, "")).await;
    client.head().await;
    let mut before = 0;
    // The counter stands still once every buffer on the way is full.
    let now = || sent.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        if now() == before && before > 0 {
            break;
        }
        before = now();
    }
    assert!(now() == before && before < 64 << 20, "{before} bytes and counting");
}

#[tokio::test]
async fn who_asks_and_asks_and_reads_no_answer_is_parted_from() {
    let exits = vec![direct(1, ProxyType::Residential)];
    let world =
        World::with(exits, |config| config.limits.handshake_timeout = Duration::from_millis(300)).await;
    let mut client = world.client().await;
    let asked = "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let parted = async { while client.stream.write_all(asked.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, parted).await.expect("it is waited for without end");
}
