//! The listener: slow and oversized clients, and stopping, over real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tollgate_api::{ServeLimits, serve};

use crate::common::Api;

/// Long enough for whatever is to happen; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _api: Api,
}

async fn server(limits: ServeLimits) -> Server {
    let api = Api::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, api.router(), limits, async move {
        let _stopped = stopped.await;
    }));
    Server { address, stop, task, _api: api }
}

impl Server {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own client, to the server that it has just started"
    )]
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// All that is answered until the server closes.
async fn answer_to(mut client: TcpStream, request: &str) -> String {
    client.write_all(request.as_bytes()).await.unwrap();
    until_closed(client).await
}

async fn until_closed(mut client: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is a close as well.
    let _closed = timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let limits = ServeLimits { head_time: Duration::from_millis(50), ..ServeLimits::default() };
    let server = server(limits).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-").await.unwrap();
    until_closed(slow).await;
    until_closed(server.connect().await).await;
    let quick =
        answer_to(server.connect().await, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(quick.starts_with("HTTP/1.1 404"), "{quick}");
}

#[tokio::test]
async fn a_connection_does_not_last_for_ever() {
    let limits = ServeLimits { connection_time: Duration::from_millis(50), ..ServeLimits::default() };
    let server = server(limits).await;
    until_closed(server.connect().await).await;
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_not_read() {
    let server = server(ServeLimits::default()).await;
    let request = "POST /api/users/subuser/create HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n";
    let answer = answer_to(server.connect().await, request).await;
    // Who calls is asked first.
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test]
async fn ambiguous_framing_and_oversized_heads_are_refused() {
    let server = server(ServeLimits::default()).await;
    for head in [
        "content-length: 1\r\ncontent-length: 2".to_owned(),
        "content-length: +1".to_owned(),
        format!("x-large: {}", "x".repeat(1 << 20)),
    ] {
        let client = server.connect().await;
        let answer = answer_to(client, &format!("GET / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n")).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

#[tokio::test]
async fn more_clients_than_places_wait_for_one() {
    let server = server(ServeLimits { connections: 1, ..ServeLimits::default() }).await;
    let first = server.connect().await;
    let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let second = tokio::spawn(answer_to(server.connect().await, request));
    drop(first);
    let answer = timeout(PATIENCE, second).await.expect("a place comes free").unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_ends() {
    let server = server(ServeLimits::default()).await;
    let idle = server.connect().await;
    let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(answer_to(server.connect().await, request).await.starts_with("HTTP/1.1 404"));
    server.stop.send(()).unwrap();
    timeout(PATIENCE, server.task).await.expect("the server ends").unwrap();
    until_closed(idle).await;
}

#[tokio::test]
async fn who_came_before_it_stops_is_answered_whether_accepted_or_not() {
    let server = server(ServeLimits::default()).await;
    let request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let accepted = server.connect().await;
    let closing = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    answer_to(server.connect().await, closing).await;
    // Without a pause, so that the server, on this same thread, does not see it before it stops.
    #[expect(clippy::disallowed_methods, reason = "a test's own client")]
    let waiting = std::net::TcpStream::connect(server.address).unwrap();
    server.stop.send(()).unwrap();
    waiting.set_nonblocking(true).unwrap();
    let waiting = TcpStream::from_std(waiting).unwrap();
    let (accepted, waiting) = tokio::join!(answer_to(accepted, request), answer_to(waiting, request));
    assert!(accepted.starts_with("HTTP/1.1 404"), "{accepted}");
    assert!(waiting.starts_with("HTTP/1.1 404"), "{waiting}");
    timeout(PATIENCE, server.task).await.expect("the server ends").unwrap();
}
