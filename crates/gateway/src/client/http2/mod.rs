//! HTTP/2 with clients (RFC 9113): one connection carries many requests, each on a stream of its own
//! that is served like a connection with one request ([`Http2Stream`]). CONNECT opens tunnels,
//! Extended CONNECT WebSockets (RFC 8441), and other requests are forwarded.
//!
//! **Bounds.** A peer may send [`STREAM_WINDOW`] bytes on a stream before its target has taken any,
//! and as much on every stream that it may have open: a target that takes nothing holds up its own
//! stream only. Of what it does not take itself, [`SEND_BUFFER`] bytes a stream wait here. A peer
//! that opens streams in order to give them up is sent away after [`MOST_GIVEN_UP`] of them, and until
//! then has no more requests under way than streams.

mod head;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tollgate_wire::http::websocket_key;

use crate::client::connection::Client;
use crate::client::http1::http2_request;
use crate::client::server::Server;
use crate::control::Control;
use crate::entry::{CountedAddress, Entrance, Handshake};
use crate::slots::Slot;
use crate::stream::{Buffered, Http2Stream, Queued, Reading, Stream, TlsSide, fill};
use head::{Asked, asked};

/// What a peer may send on one stream before any of it has been taken: so much is under way at
/// 40 Mbit/s with 100 ms between us.
const STREAM_WINDOW: u32 = 512 * 1024;
/// What a client of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest window there is (RFC 9113 §6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// What waits to be sent of one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a peer may give up before they are answered, beyond those that it lets be answered.
const MOST_GIVEN_UP: u32 = 200;
/// How long a peer may take to part when there is nothing more on its connection.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection on which HTTP/2 is to be spoken.
pub(crate) struct Wanted {
    io: Io,
    arrival: Arrival,
    handshake: Option<Box<Handshake>>,
    _slot: Slot,
    _counted: Option<CountedAddress>,
}

/// Where requests come from.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    peer: SocketAddr,
    entrance: Entrance,
}

/// What a client speaks.
pub(crate) enum Spoken {
    /// HTTP/2.
    Http2(Wanted),
    /// Something else.
    Other(Client),
}

/// Finds out by its first bytes what a client speaks under TLS, whatever was negotiated, until the deadline
/// at the latest. `None` where the connection is over.
pub(crate) async fn spoken(mut client: Client, deadline: Instant) -> Option<Spoken> {
    while PREFACE.starts_with(&client.io.buf) && client.io.buf.len() < PREFACE.len() {
        let filled = timeout_at(deadline, fill(&client.io.stream, &mut client.io.buf)).await;
        if !matches!(filled, Ok(Ok(1..))) {
            return None;
        }
    }
    let Buffered { stream, buf } = client.io;
    Some(match stream {
        Stream::Tls(side) if buf.starts_with(PREFACE) => Spoken::Http2(Wanted {
            io: Io { side, early: buf },
            arrival: Arrival { peer: client.peer, entrance: client.entrance },
            handshake: client.handshake,
            _slot: client._slot,
            _counted: client.counted,
        }),
        stream => Spoken::Other(Client { io: Buffered::new(stream, buf), ..client }),
    })
}

impl Wanted {
    /// Serves the connection to its end. Its first request must be there by the deadline.
    pub(crate) async fn serve<C: Control>(self, deadline: Instant, server: &Arc<Server<C>>) {
        let handshake = builder(server).handshake(self.io);
        let Ok(Ok(connection)) = timeout_at(deadline, handshake).await else { return };
        server.stats.http2_connections.fetch_add(1, Ordering::Relaxed);
        let requests = Requests {
            arrival: self.arrival,
            handshake: self.handshake,
            server: server.clone(),
            under_way: JoinSet::new(),
            given_up: 0,
        };
        serve(connection, requests, deadline).await;
    }
}

fn builder<C: Control>(server: &Server<C>) -> Builder {
    let header_list = u32::try_from(server.limits.now().head_bytes).unwrap_or(u32::MAX);
    let streams = server.settings.http2_streams.max(1);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(streams).min(LARGEST_WINDOW))
        .max_header_list_size(header_list)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}

async fn serve<C: Control>(
    mut connection: Connection<Io, Queued>,
    mut requests: Requests<C>,
    first_deadline: Instant,
) {
    let server = requests.server.clone();
    let mut draining = pin!(server.lifecycle.draining());
    // Until when there may be no stream.
    let mut rest_until = first_deadline;
    let (mut is_leaving, mut is_sent_away) = (false, false);
    loop {
        let may_end = is_sent_away || requests.under_way.is_empty();
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => requests.begin(request, respond),
                Some(Err(error)) => {
                    tracing::debug!(%error, "an HTTP/2 connection broke");
                    break;
                }
                None => break,
            },
            Some(_) = requests.ended() => {
                let rest = if is_leaving { GOODBYE } else { server.limits.now().keep_alive_timeout };
                rest_until = Instant::now() + rest;
            }
            () = &mut draining, if !is_leaving => {
                (is_leaving, rest_until) = (true, Instant::now() + GOODBYE);
                connection.graceful_shutdown();
            }
            () = sleep_until(rest_until), if may_end => {
                if is_leaving {
                    break;
                }
                (is_leaving, rest_until) = (true, Instant::now() + GOODBYE);
                connection.graceful_shutdown();
            }
        }
        if requests.given_up > MOST_GIVEN_UP && !is_sent_away {
            tracing::debug!("an HTTP/2 peer gave up too many streams");
            (is_leaving, is_sent_away, rest_until) = (true, true, Instant::now() + GOODBYE);
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
    }
    // They notice that their streams are over.
    requests.under_way.detach_all();
}

/// The requests of one connection.
struct Requests<C: Control> {
    arrival: Arrival,
    /// Until the first request has come: what counts the handshake if none does.
    handshake: Option<Box<Handshake>>,
    server: Arc<Server<C>>,
    under_way: JoinSet<Ended>,
    /// How many more were given up than answered.
    given_up: u32,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Answered,
    /// The peer gave it up before.
    GivenUp,
}

impl<C: Control> Requests<C> {
    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Queued>) {
        if let Some(handshake) = self.handshake.take() {
            handshake.brought_request();
        }
        // A stream that its peer gave up makes room for the next before its request has ended here.
        let most = usize::try_from(self.server.settings.http2_streams.max(1)).unwrap_or(usize::MAX);
        while self.under_way.len() >= most
            && let Some(ended) = self.under_way.try_join_next()
        {
            self.note(ended.unwrap_or(Ended::Answered));
        }
        if self.under_way.len() >= most {
            self.given_up = self.given_up.saturating_add(1);
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        let Some(slot) = self.server.slots.take() else { return respond.send_reset(Reason::REFUSED_STREAM) };
        self.server.stats.http2_streams.fetch_add(1, Ordering::Relaxed);
        self.under_way.spawn(run(request, respond, self.arrival, slot, self.server.clone()));
    }

    /// The next request that ends; `None` where none is under way.
    async fn ended(&mut self) -> Option<Ended> {
        let ended = self.under_way.join_next().await?.unwrap_or(Ended::Answered);
        self.note(ended);
        Some(ended)
    }

    fn note(&mut self, ended: Ended) {
        self.given_up = match ended {
            Ended::GivenUp => self.given_up.saturating_add(1),
            Ended::Answered => self.given_up.saturating_sub(1),
        };
    }
}

/// One request, and the tunnel that it may lead to.
async fn run<C: Control>(
    request: Request<RecvStream>,
    respond: SendResponse<Queued>,
    arrival: Arrival,
    slot: Slot,
    server: Arc<Server<C>>,
) -> Ended {
    let has_body = !request.body().is_end_stream();
    let key = || websocket_key(u128::from(server.random.next()) << 64 | u128::from(server.random.next()));
    let (head, reading) = match asked(&request, has_body, key, &server.limits.of_heads()) {
        Ok(Asked { head, reading }) => (Ok(head), reading),
        Err(error) => (Err(error), Reading::Plain),
    };
    let is_tunnel = request.method() == Method::CONNECT;
    let broken = if is_tunnel { Reason::CONNECT_ERROR } else { Reason::INTERNAL_ERROR };
    let stream = Arc::new(Http2Stream::new(request.into_body(), reading, respond, broken));
    let io = Buffered::new(Stream::Http2(stream.clone()), Vec::new());
    let Arrival { peer, entrance } = arrival;
    // Its address has been counted with the connection.
    let since = Instant::now();
    let client = Client { io, peer, entrance, since, _slot: slot, counted: None, handshake: None };
    let tunnel = tokio::select! {
        tunnel = Box::pin(http2_request(client, head, &server)) => tunnel,
        // Whatever was being done for it is dropped.
        () = poll_fn(|cx| stream.poll_given_up(cx)) => {
            return if stream.is_answered() { Ended::Answered } else { Ended::GivenUp };
        }
    };
    drop(stream);
    if let Some(tunnel) = tunnel {
        tunnel.run(&server).await;
    }
    Ended::Answered
}

/// What carries an HTTP/2 connection.
struct Io {
    side: Box<TlsSide>,
    /// What was read of it before.
    early: Vec<u8>,
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if !io.early.is_empty() {
            let most = io.early.len().min(buf.remaining());
            buf.put_slice(io.early.drain(..most).as_slice());
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(io.side.poll_readable(cx))?;
            match io.side.try_read(buf.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    buf.advance(read?);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.side.poll_writable(cx))?;
            match self.side.try_write_vectored(pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.poll_writable(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.finish();
        self.side.poll_writable(cx)
    }
}
