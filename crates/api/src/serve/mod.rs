//! The listener: HTTP/1.1 with a bound on everything a client can hold up.

mod hearing;
mod peer;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt;

use crate::untold::Untold;

pub(crate) use hearing::Receipt;
pub(crate) use peer::Peer;
use peer::Wire;

/// What clients may hold up, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Connections at once; further ones wait in the system's queue.
    pub connections: usize,
    /// How long a request's head may take to arrive, and a connection may stay idle.
    pub head_time: Duration,
    /// How long a connection may last before it is asked to end after the request at hand: bounds
    /// clients that never read their answers.
    pub connection_time: Duration,
    /// How long requests at hand may take once the server stops.
    pub drain_time: Duration,
    /// The largest request head, in bytes.
    pub head_bytes: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_time: Duration::from_secs(10),
            connection_time: Duration::from_secs(300),
            drain_time: Duration::from_secs(10),
            head_bytes: 64 << 10,
        }
    }
}

/// How long to wait before accepting again after the system would not: out of file descriptors,
/// say. Without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client that came before the server stops, and has asked nothing yet, may take to.
const LATE_REQUEST: Duration = Duration::from_secs(1);

/// Serves the router until `shutdown` is done, then lets the requests at hand finish. Those who have
/// come and were not accepted yet are among them.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopping) = watch::channel(());
    let failures = Arc::new(Untold::default());
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, peer, place) = accept(&listener, &room, &failures) => {
                tokio::spawn(connection(stream, peer, router.clone(), limits, stopping.clone(), place));
            }
        }
    }
    drop(stop);
    for (stream, peer, place) in queued(listener, &room) {
        tokio::spawn(connection(stream, peer, router.clone(), limits, stopping.clone(), Some(place)));
    }
    // New clients are refused from now on; every open connection holds a place until it is over.
    let everywhere = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.drain_time, room.acquire_many(everywhere)).await.is_err() {
        tracing::warn!("requests were cut off: they took longer than the drain time");
    }
}

/// The next client, and its place among the connections at once.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    failures: &Arc<Untold<()>>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    let place = room.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                failures.note((), move |count| tell_of_failures(&error, count));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn tell_of_failures(error: &io::Error, count: u64) {
    match count {
        0 => tracing::info!("connections were accepted for a minute without a failure"),
        _ => tracing::warn!(%error, count, "cannot accept"),
    }
}

/// Those who wait to be accepted, as far as there is room. Closing the socket would reset them.
fn queued(
    listener: TcpListener,
    room: &Arc<Semaphore>,
) -> Vec<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let mut waiting = Vec::new();
    let Ok(listener) = listener.into_std() else { return waiting };
    while let Ok(place) = room.clone().try_acquire_owned() {
        let Ok((stream, peer)) = listener.accept() else { break };
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            waiting.push((stream, peer, place));
        }
    }
    waiting
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: ServeLimits,
    mut stopping: watch::Receiver<()>,
    place: Option<OwnedSemaphorePermit>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a client has gone before its first request");
    }
    let (asked, client) = (Notify::new(), Peer::new(stream, place));
    let service = service_fn(|request| {
        asked.notify_one();
        client.asks();
        answer(router.clone(), request, peer, client.clone())
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_time).max_buf_size(limits.head_bytes);
    let mut served = pin!(http.serve_connection(TokioIo::new(Wire(client.clone())), service));
    let ended = tokio::select! {
        ended = &mut served => Some(ended),
        () = tokio::time::sleep(limits.connection_time) => None,
        () = stopped(&mut stopping, &asked) => None,
    };
    if ended.is_none() {
        served.as_mut().graceful_shutdown();
        // Past the drain time the connection is dropped as it is.
        let _late = tokio::time::timeout(limits.drain_time, served).await;
    }
}

/// Waits until the server stops, and then for the first request, if that has not come.
async fn stopped(stopping: &mut watch::Receiver<()>, asked: &Notify) {
    // The sender says nothing, and is dropped at the end.
    let _ = stopping.changed().await;
    let _ = tokio::time::timeout(LATE_REQUEST, asked.notified()).await;
}

async fn answer(
    router: Router,
    mut request: hyper::Request<Incoming>,
    peer: SocketAddr,
    client: Arc<Peer>,
) -> Result<axum::response::Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(client.clone());
    let response = router.oneshot(request.map(Body::new)).await?;
    Ok(hearing::watch(response, &client))
}
