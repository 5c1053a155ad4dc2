//! HTTP/2 to the gateway, as the `h2` crate speaks it as a client.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tollgate_types::ProxyType;

use crate::secure::{Secured, held_back, pattern, says_all_first};
use crate::world::{ALICE, ALICE_ID, BOB, BOB_ID, PATIENCE, echo, eventually, http_origin, origin};

impl Secured {
    /// A client's connection, driven by a task of its own.
    async fn http2(&self) -> SendRequest<Bytes> {
        let tls = self.tls(&[b"h2", b"http/1.1"]).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(4 << 20);
        let (requests, connection) = builder.handshake(tls).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        requests.ready().await.unwrap()
    }
}

fn connect(target: &str, credentials: &str) -> Request<()> {
    let request = Request::builder().method(Method::CONNECT).uri(target);
    let request =
        if credentials.is_empty() { request } else { request.header("proxy-authorization", credentials) };
    request.body(()).unwrap()
}

async fn answer(response: ResponseFuture) -> Response<RecvStream> {
    timeout(PATIENCE, response).await.expect("the gateway is silent").unwrap()
}

/// A tunnel that stands.
async fn tunnel(
    requests: &SendRequest<Bytes>,
    target: &str,
    credentials: &str,
) -> (SendStream<Bytes>, RecvStream) {
    let mut requests = requests.clone().ready().await.unwrap();
    let (response, send) = requests.send_request(connect(target, credentials), false).unwrap();
    let response = answer(response).await;
    assert_eq!(response.status(), 200, "{:?}", response.headers());
    (send, response.into_body())
}

/// Sends all of it as there is room.
async fn send_all(send: &mut SendStream<Bytes>, bytes: &[u8]) -> Result<(), h2::Error> {
    for chunk in bytes.chunks(32 * 1024) {
        let mut rest = Bytes::copy_from_slice(chunk);
        while !rest.is_empty() {
            send.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await.expect("it is open")?;
            send.send_data(rest.split_to(room.min(rest.len())), false)?;
        }
    }
    Ok(())
}

/// Everything to the end.
async fn rest(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let (all, broken) = until_the_end(body).await;
    broken.map_or(Ok(all), Err)
}

/// Everything to the end, and what it broke off by, if it did.
async fn until_the_end(body: &mut RecvStream) -> (Vec<u8>, Option<h2::Error>) {
    let mut all = Vec::new();
    while let Some(data) = timeout(PATIENCE, body.data()).await.expect("the gateway is silent") {
        match data {
            Ok(data) => {
                let _ = body.flow_control().release_capacity(data.len());
                all.extend_from_slice(&data);
            }
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}

/// Everything of a tunnel until the gateway cuts it.
async fn until_cut(body: &mut RecvStream) -> Vec<u8> {
    let (all, broken) = until_the_end(body).await;
    assert_eq!(broken.and_then(|error| error.reason()), Some(Reason::CONNECT_ERROR));
    all
}

#[tokio::test]
async fn hp_51_a_tunnel_on_a_stream_carries_everything_both_ways_and_is_charged_to_the_byte() {
    let secured = Secured::lab().await;
    let target = echo().await.to_string();
    let requests = secured.http2().await;
    let (mut send, mut body) = tunnel(&requests, &target, ALICE).await;
    let sent = pattern(10 * 1024 * 1024 + 7);
    let upload = async {
        send_all(&mut send, &sent).await?;
        send.send_data(Bytes::new(), true)
    };
    let (uploaded, received) = tokio::join!(upload, rest(&mut body));
    uploaded.unwrap();
    let received = received.unwrap();
    assert!(received == sent, "{} bytes", received.len());
    assert_eq!(secured.world.settled().await, 2 * sent.len() as u64);
    assert_eq!(secured.world.gateway.stats().http2_streams.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn hp_51_a_stream_whose_target_takes_nothing_holds_up_no_other() {
    let secured = Secured::lab().await;
    let deaf = origin(|client| async move {
        let _client = client;
        std::future::pending::<()>().await;
    })
    .await
    .to_string();
    let talking = echo().await.to_string();
    let requests = secured.http2().await;
    let fill = || {
        let (requests, deaf) = (requests.clone(), deaf.clone());
        async move {
            let (mut send, body) = tunnel(&requests, &deaf, ALICE).await;
            // Until it is full.
            let much = pattern(8 * 1024 * 1024);
            let full = timeout(Duration::from_millis(500), send_all(&mut send, &much)).await;
            assert!(full.is_err(), "it takes everything");
            (send, body)
        }
    };
    let filling: Vec<_> = (0..20).map(|_| tokio::spawn(fill())).collect();
    let mut held = Vec::new();
    for filled in filling {
        held.push(filled.await.unwrap());
    }
    let (mut send, mut body) = tunnel(&requests, &talking, BOB).await;
    let sent = pattern(300_000);
    let upload = async {
        send_all(&mut send, &sent).await?;
        send.send_data(Bytes::new(), true)
    };
    let (uploaded, received) = tokio::join!(upload, rest(&mut body));
    uploaded.unwrap();
    assert!(received.unwrap() == sent);
    drop(held);
    let used = secured.world.settled_of(Some(BOB_ID), ProxyType::Residential).await;
    assert_eq!(used, 600_000, "each stream is charged to whom it belongs");
}

#[tokio::test]
async fn hp_51_a_slow_reader_of_a_stream_holds_its_target_back_and_gets_everything() {
    let secured = Secured::lab().await;
    let sent = 8 * 1024 * 1024;
    let target = origin(move |mut client| async move {
        let _ = client.stream.write_all(&pattern(sent)).await;
    })
    .await
    .to_string();
    let requests = secured.http2().await;
    let (mut send, mut body) = tunnel(&requests, &target, ALICE).await;
    // The window of this client, and what waits here.
    let moved = held_back(&secured.world).await;
    assert!(moved <= (1 << 20) + 64 * 1024, "{moved} bytes for somebody who takes nothing");
    let received = rest(&mut body).await.unwrap();
    assert!(received == pattern(sent), "{} bytes", received.len());
    send.send_data(Bytes::new(), true).unwrap();
    assert_eq!(secured.world.settled().await, sent as u64);
}

#[tokio::test]
async fn hp_51_many_tunnels_on_one_connection_are_told_apart() {
    let secured = Secured::lab().await;
    let target = echo().await.to_string();
    let requests = secured.http2().await;
    let one = |n: usize| {
        let (requests, target) = (requests.clone(), target.clone());
        async move {
            let (mut send, mut body) = tunnel(&requests, &target, ALICE).await;
            let sent = vec![u8::try_from(n).unwrap(); 50_000 + n];
            let upload = async {
                send_all(&mut send, &sent).await.unwrap();
                send.send_data(Bytes::new(), true).unwrap();
            };
            let ((), received) = tokio::join!(upload, rest(&mut body));
            assert!(received.unwrap() == sent, "stream {n}");
            2 * sent.len() as u64
        }
    };
    let running: Vec<_> = (0..80).map(|n| tokio::spawn(one(n))).collect();
    let mut moved = 0;
    for stream in running {
        moved += stream.await.unwrap();
    }
    assert_eq!(secured.world.settled().await, moved);
}

#[tokio::test]
async fn refusals_are_told_on_the_stream_as_in_http1() {
    let secured = Secured::lab().await;
    let requests = secured.http2().await;
    let refused = async |request: Request<()>| {
        let mut requests = requests.clone().ready().await.unwrap();
        let (response, _send) = requests.send_request(request, false).unwrap();
        let mut response = answer(response).await;
        let body = String::from_utf8(rest(response.body_mut()).await.unwrap()).unwrap();
        let name = response.headers()["x-tollgate-error"].to_str().unwrap().to_owned();
        assert!(body.starts_with(&name), "{body}");
        assert!(response.headers()["proxy-status"].to_str().unwrap().starts_with("tollgate; error="));
        assert!(!response.headers().contains_key("connection"));
        (response.status().as_u16(), name, response.headers().contains_key("proxy-authenticate"))
    };
    let no = |status, name: &str, challenge| (status, name.to_owned(), challenge);
    let target = "example.com:443";
    assert_eq!(refused(connect(target, "")).await, no(407, "AUTH_REQUIRED", true));
    assert_eq!(refused(connect(target, "Basic Og==")).await, no(407, "AUTH_REQUIRED", true));
    assert_eq!(refused(connect("192.168.0.1:443", ALICE)).await, no(403, "HOST_BLOCKED", false));
    assert_eq!(refused(connect("127.0.0.1:25", ALICE)).await, no(403, "PORT_BLOCKED", false));
    assert_eq!(refused(connect("127.0.0.1:1", ALICE)).await, no(502, "CONNECTION_REFUSED", false));
    let https = Request::get("https://example.com/").header("proxy-authorization", ALICE).body(()).unwrap();
    assert_eq!(refused(https).await, no(501, "UNSUPPORTED", false));
    let two_hosts = Request::get("http://example.com/").header("host", "other.example").body(()).unwrap();
    assert_eq!(refused(two_hosts).await, no(400, "BAD_REQUEST", false));
    // The connection is as good as before.
    let echo = echo().await.to_string();
    let _tunnel = tunnel(&requests, &echo, ALICE).await;
}

#[tokio::test]
async fn requests_are_forwarded_with_their_bodies_and_fields() {
    let secured = Secured::lab().await;
    let answer_of_origin = "HTTP/1.1 200 OK\r\nX-Two: a\r\nX-Two: b\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let (origin, heads) = http_origin(answer_of_origin).await;
    let mut requests = secured.http2().await;
    let get = Request::get(format!("http://{origin}/path?q=1"))
        .header("proxy-authorization", ALICE)
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, _) = requests.send_request(get, true).unwrap();
    let mut response = answer(response).await;
    assert_eq!(response.status(), 200);
    let twice: Vec<_> = response.headers().get_all("x-two").iter().collect();
    assert_eq!(twice, ["a", "b"]);
    for gone in ["connection", "x-hop", "transfer-encoding", "content-length"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    assert_eq!(rest(response.body_mut()).await.unwrap(), b"abcde");
    let head = heads.lock().unwrap()[0].clone();
    let expected = format!("GET /path?q=1 HTTP/1.1\r\nHost: {origin}\r\nCookie: a=1; b=2\r\n\r\n");
    assert_eq!(head, expected);
    // What was sent to the origin, and what came back without its chunks; what HTTP/2 leaves out of
    // the head was still said by the origin, but not relayed.
    let relayed = "HTTP/1.1 200 OK\r\nX-Two: a\r\nX-Two: b\r\n\r\nabcde".len();
    assert_eq!(secured.world.settled().await, (expected.len() + relayed) as u64);
}

#[tokio::test]
async fn a_body_of_unknown_length_arrives_in_chunks_and_one_of_known_length_as_it_is() {
    let secured = Secured::lab().await;
    let origin = origin(|mut client| async move {
        let head = client.head().await;
        let body = if head.contains("Transfer-Encoding: chunked") {
            // Two chunks, as they came, and the last one.
            client.exactly("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n".len()).await
        } else {
            assert!(head.contains("Content-Length: 11"), "{head}");
            client.exactly(11).await
        };
        client.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        client.say(body).await;
    })
    .await;
    let requests = secured.http2().await;
    for (length, expected) in [(None, "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), (Some("11"), "hello world")]
    {
        let mut post = Request::post(format!("http://{origin}/")).header("proxy-authorization", ALICE);
        if let Some(length) = length {
            post = post.header("content-length", length);
        }
        let mut requests = requests.clone().ready().await.unwrap();
        let (response, mut send) = requests.send_request(post.body(()).unwrap(), false).unwrap();
        send.send_data(Bytes::from_static(b"hello"), false).unwrap();
        // Apart, so that they are two.
        eventually("the first part is on its way", || {
            secured.world.gateway.stats().bytes_up.load(Ordering::Relaxed) > 5
        })
        .await;
        send.send_data(Bytes::from_static(b" world"), true).unwrap();
        let mut response = answer(response).await;
        let body = rest(response.body_mut()).await.unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}

#[tokio::test]
async fn of_a_response_that_breaks_off_all_that_is_billed_arrives_before_the_reset() {
    let secured = Secured::lab().await;
    for length in [0, 9, 60_000] {
        let cut = origin(move |mut client| async move {
            client.head().await;
            client.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await;
            client.say(pattern(length)).await;
        })
        .await;
        let mut requests = secured.http2().await;
        let get =
            Request::get(format!("http://{cut}/")).header("proxy-authorization", ALICE).body(()).unwrap();
        let (response, _) = requests.send_request(get, true).unwrap();
        let mut response = answer(response).await;
        let (received, broken) = until_the_end(response.body_mut()).await;
        assert!(received == pattern(length), "{} of {length}", received.len());
        assert_eq!(broken.and_then(|error| error.reason()), Some(Reason::INTERNAL_ERROR));
    }
}

#[tokio::test]
async fn a_target_that_breaks_off_is_a_connect_error() {
    let secured = Secured::lab().await;
    let target = origin(|mut client| async move {
        client.exactly(1).await;
        let socket = socket2_of(&client.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await
    .to_string();
    let requests = secured.http2().await;
    let (mut send, mut body) = tunnel(&requests, &target, ALICE).await;
    send_all(&mut send, b"x").await.unwrap();
    let error = rest(&mut body).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CONNECT_ERROR));
}

fn socket2_of(stream: &tokio::net::TcpStream) -> socket2::SockRef<'_> {
    socket2::SockRef::from(stream)
}

#[tokio::test]
async fn a_stream_that_is_reset_is_charged_what_was_forwarded_and_its_target_sees_a_reset() {
    let secured = Secured::lab().await;
    let (told, mut tells) = tokio::sync::mpsc::channel(1);
    let target = origin(move |mut client| {
        let told = told.clone();
        async move {
            client.exactly(1000).await;
            client.say(pattern(500)).await;
            told.send(client.is_reset().await).await.unwrap();
        }
    })
    .await
    .to_string();
    let requests = secured.http2().await;
    let (mut send, mut body) = tunnel(&requests, &target, ALICE).await;
    send_all(&mut send, &pattern(1000)).await.unwrap();
    let mut received = 0;
    while received < 500 {
        received += timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap().len();
    }
    send.send_reset(Reason::CANCEL);
    assert!(timeout(PATIENCE, tells.recv()).await.unwrap().unwrap(), "the target sees an end");
    assert_eq!(secured.world.settled().await, 1500);
}

#[tokio::test]
async fn funds_that_end_end_a_stream_at_the_last_granted_byte() {
    let secured = Secured::lab().await;
    let funds = 3 * 1024 * 1024 + 5;
    secured.world.control.fund(ALICE_ID, funds);
    let target = origin(|mut client| async move {
        let _ = client.stream.write_all(&pattern(8 * 1024 * 1024)).await;
    })
    .await
    .to_string();
    let requests = secured.http2().await;
    let (_send, mut body) = tunnel(&requests, &target, ALICE).await;
    let received = until_cut(&mut body).await;
    assert_eq!(received.len() as u64, funds);
    assert!(received == pattern(received.len()));
    assert_eq!(secured.world.settled().await, funds);
}

#[tokio::test]
async fn funds_that_end_are_spent_to_the_last_byte_by_all_streams_together() {
    let secured = Secured::lab().await;
    let funds = 7 * 1024 * 1024 + 3;
    secured.world.control.fund(ALICE_ID, funds);
    let target = origin(|mut client| async move {
        let _ = client.stream.write_all(&pattern(1024 * 1024)).await;
        // Its end is not what ends the tunnel.
        client.rest().await;
    })
    .await
    .to_string();
    let requests = secured.http2().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(tunnel(&requests, &target, ALICE).await);
    }
    let reading = streams.into_iter().map(|(send, mut body)| {
        tokio::spawn(async move {
            let received = until_cut(&mut body).await;
            drop(send);
            assert!(received == pattern(received.len()));
            received.len() as u64
        })
    });
    let mut received = 0;
    for stream in reading.collect::<Vec<_>>() {
        received += stream.await.unwrap();
    }
    assert_eq!(received, funds);
    assert_eq!(secured.world.settled().await, funds);
}

#[tokio::test]
async fn a_target_that_has_said_all_still_hears_all_of_a_stream() {
    let secured = Secured::lab().await;
    let much = 8 * 1024 * 1024 + 1;
    let (target, mut told) = says_all_first(much).await;
    let target = target.to_string();
    let requests = secured.http2().await;
    let (mut send, mut body) = tunnel(&requests, &target, ALICE).await;
    assert!(rest(&mut body).await.unwrap() == pattern(much));
    send_all(&mut send, &pattern(much)).await.unwrap();
    send.send_data(Bytes::new(), true).unwrap();
    assert!(timeout(PATIENCE, told.recv()).await.unwrap().unwrap(), "the target has heard all");
    assert_eq!(secured.world.settled().await, 2 * much as u64);
}

#[tokio::test]
async fn extended_connect_opens_a_websocket() {
    let secured = Secured::lab().await;
    let (told, mut tells) = tokio::sync::mpsc::channel(1);
    let origin = origin(move |mut client| {
        let told = told.clone();
        async move {
            told.send(client.head().await).await.unwrap();
            client
                .say(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello",
                )
                .await;
            let frame = client.exactly(4).await;
            client.say(frame).await;
        }
    })
    .await;
    let requests = secured.http2().await;
    eventually("the gateway offers it", || requests.is_extended_connect_protocol_enabled()).await;
    let ask = |uri: String, protocol: &'static str| {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(uri)
            .header("proxy-authorization", ALICE)
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat")
            .body(())
            .unwrap();
        request.extensions_mut().insert(h2::ext::Protocol::from_static(protocol));
        request
    };
    let mut ready = requests.clone().ready().await.unwrap();
    let (response, mut send) =
        ready.send_request(ask(format!("http://{origin}/chat"), "websocket"), false).unwrap();
    let mut response = answer(response).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert!(!response.headers().contains_key("upgrade"));
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    let head = timeout(PATIENCE, tells.recv()).await.unwrap().unwrap();
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    for line in
        ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: ", "sec-websocket-version: 13"]
    {
        assert!(head.contains(line), "{line} in {head}");
    }
    send_all(&mut send, b"ping").await.unwrap();
    assert_eq!(rest(response.body_mut()).await.unwrap(), b"helloping");
    // Over TLS to the origin, and for other protocols, it is not offered.
    for (uri, protocol) in
        [(format!("https://{origin}/"), "websocket"), (format!("http://{origin}/"), "connect-udp")]
    {
        let mut ready = requests.clone().ready().await.unwrap();
        let (response, _send) = ready.send_request(ask(uri, protocol), false).unwrap();
        assert_eq!(answer(response).await.headers()["x-tollgate-error"], "UNSUPPORTED");
    }
}

#[tokio::test]
async fn a_refused_upgrade_is_no_websocket() {
    let secured = Secured::lab().await;
    let requests = secured.http2().await;
    eventually("the gateway offers it", || requests.is_extended_connect_protocol_enabled()).await;
    for (said, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403),
    ] {
        let (origin, _) = http_origin(said).await;
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("http://{origin}/"))
            .header("proxy-authorization", ALICE)
            .body(())
            .unwrap();
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let mut ready = requests.clone().ready().await.unwrap();
        let (response, _send) = ready.send_request(request, false).unwrap();
        assert_eq!(answer(response).await.status(), status);
    }
}

#[tokio::test]
async fn interim_responses_pass() {
    let secured = Secured::lab().await;
    let origin = origin(|mut client| async move {
        assert!(client.head().await.contains("expect: 100-continue"));
        client.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        client.exactly(2).await;
        client.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    })
    .await;
    let mut requests = secured.http2().await;
    let post = Request::post(format!("http://{origin}/"))
        .header("proxy-authorization", ALICE)
        .header("expect", "100-continue")
        .header("content-length", "2")
        .body(())
        .unwrap();
    let (mut response, mut send) = requests.send_request(post, false).unwrap();
    let interim =
        timeout(PATIENCE, std::future::poll_fn(|cx| response.poll_informational(cx))).await.unwrap();
    assert_eq!(interim.unwrap().unwrap().status(), 100);
    send.send_data(Bytes::from_static(b"ok"), true).unwrap();
    assert_eq!(answer(response).await.status(), 204);
}

#[tokio::test]
async fn hp_51_a_peer_that_opens_streams_to_reset_them_is_sent_away() {
    let secured = Secured::with(|config| config.limits.failed_logins = 0).await;
    // It takes connections, and the streams are given up while it is being reached or just after.
    let target = echo().await.to_string();
    let mut requests = secured.http2().await;
    let mut opened = 0;
    for _ in 0..10_000 {
        let Ok(ready) = timeout(PATIENCE, requests.clone().ready()).await.unwrap() else { break };
        requests = ready;
        let Ok((_response, mut send)) = requests.send_request(connect(&target, ALICE), false) else { break };
        send.send_reset(Reason::CANCEL);
        opened += 1;
        tokio::task::yield_now().await;
    }
    assert!(opened < 10_000, "it may go on for ever");
    eventually("nothing is left of it", || secured.world.gateway.connections().is_empty()).await;
    // Others are served as before.
    let requests = secured.http2().await;
    let _tunnel = tunnel(&requests, &target, BOB).await;
}

#[tokio::test]
async fn hp_51_no_more_streams_at_once_than_allowed() {
    let secured = Secured::with(|config| config.http2_streams = 3).await;
    let target = echo().await.to_string();
    let requests = secured.http2().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(tunnel(&requests, &target, ALICE).await);
    }
    assert_eq!(requests.current_max_send_streams(), 3);
    let fourth = tokio::spawn({
        let (requests, target) = (requests.clone(), target.clone());
        async move { tunnel(&requests, &target, ALICE).await }
    });
    let (mut send, mut body) = open.pop().unwrap();
    send.send_data(Bytes::new(), true).unwrap();
    rest(&mut body).await.unwrap();
    let _tunnel = timeout(PATIENCE, fourth).await.expect("there is room for it").unwrap();
}

#[tokio::test]
async fn a_connection_at_rest_is_parted_from() {
    let secured = Secured::with(|config| config.limits.keep_alive_timeout = Duration::from_millis(50)).await;
    let target = echo().await.to_string();
    let requests = secured.http2().await;
    let (mut send, mut body) = tunnel(&requests, &target, ALICE).await;
    // With a stream on it, it is not at rest.
    tokio::time::sleep(Duration::from_millis(200)).await;
    send_all(&mut send, b"x").await.unwrap();
    send.send_data(Bytes::new(), true).unwrap();
    assert_eq!(rest(&mut body).await.unwrap(), b"x");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while requests.clone().ready().await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "it is never parted from");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn hp_51_a_drain_lets_streams_finish_and_takes_no_new_ones() {
    let secured = Secured::lab().await;
    let target = echo().await.to_string();
    let requests = secured.http2().await;
    let (mut send, mut body) = tunnel(&requests, &target, ALICE).await;
    let finish = async {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        // GOAWAY has come.
        while requests.clone().ready().await.is_ok() {
            assert!(tokio::time::Instant::now() < deadline, "nothing is said");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        send_all(&mut send, b"last words").await.unwrap();
        send.send_data(Bytes::new(), true).unwrap();
        rest(&mut body).await.unwrap()
    };
    let (drained, received) = tokio::join!(secured.world.gateway.drain(), finish);
    drained.unwrap();
    assert_eq!(received, b"last words");
    assert_eq!(secured.world.control.used(Some(ALICE_ID), ProxyType::Residential), 20);
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn hp_51_what_is_no_http2_ends_the_connection() {
    let secured = Secured::with(|config| config.limits.handshake_timeout = Duration::from_secs(1)).await;
    let settings = frame(4, 0, 0, &[]);
    let continuations = (0..10_000).flat_map(|_| frame(9, 0, 1, &[0; 100]));
    let hostile: [(&str, Vec<u8>); 9] = [
        ("half a preface and something else", b"PRI * HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_vec()),
        ("a frame that is too large", [PREFACE, &settings, &frame(0, 0, 1, &[0; 20_000])].concat()),
        ("data on a stream that is not open", [PREFACE, &settings, &frame(0, 0, 1, b"x")].concat()),
        ("a stream of the server's", [PREFACE, &settings, &frame(1, 4, 2, &[0x82])].concat()),
        ("fields that are not compressed so", [PREFACE, &settings, &frame(1, 4, 1, &[0xff; 50])].concat()),
        ("a window update of nothing", [PREFACE, &settings, &frame(8, 0, 0, &[0; 4])].concat()),
        ("a ping that is too short", [PREFACE, &settings, &frame(6, 0, 0, &[0; 7])].concat()),
        (
            "fields without an end",
            [PREFACE, &settings, &frame(1, 0, 1, &[]), &continuations.collect::<Vec<_>>()].concat(),
        ),
        ("nothing", Vec::new()),
    ];
    for (what, bytes) in hostile {
        let mut tls = secured.tls(&[b"h2"]).await.unwrap();
        // It may be over before all of it is out.
        let _ = timeout(PATIENCE, tls.write_all(&bytes)).await.expect(what);
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, tls.read_to_end(&mut rest)).await.expect(what);
    }
}

#[tokio::test]
async fn hp_51_a_flood_of_pings_whose_answers_nobody_reads_takes_no_memory() {
    let secured = Secured::lab().await;
    let mut tls = secured.tls(&[b"h2"]).await.unwrap();
    tls.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await.unwrap();
    let pings: Vec<u8> = (0..10_000).flat_map(|_| frame(6, 0, 0, &[7; 8])).collect();
    let flood = async {
        // Some 17 MiB of them: what is not read of the answers stops what is read of the questions.
        for _ in 0..100 {
            if tls.write_all(&pings).await.is_err() {
                return;
            }
        }
        panic!("it takes everything");
    };
    assert!(timeout(Duration::from_secs(3), flood).await.is_err(), "it is held back");
}
