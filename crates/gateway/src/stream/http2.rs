//! One stream of an HTTP/2 connection, which reads and writes like a connection of its own that
//! carries one request of HTTP/1.
//!
//! What is written to it first is the head of a response, which is turned into the fields that
//! HTTP/2 has for it; interim responses before it likewise. What follows is the body, or what comes
//! out of a tunnel. What is read from it is the request's body, in chunks where its length is not
//! known, or what goes into a tunnel.
//!
//! The peer may send more only as what it sent is taken from here, and nothing is taken from the
//! writer that the peer has not made room for: that is the backpressure.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tollgate_wire::Parsed;
use tollgate_wire::http::{Limits, ResponseHead, response_head};

use crate::stream::Pending;
use crate::stream::send_queue::{Queued, SendQueue};

/// The most that is asked room for at once.
const WRITE: usize = 16 * 1024;

/// A head that is written here was read from somebody with narrower limits, or is our own.
const HEAD_LIMITS: Limits = Limits { head_bytes: 4 << 20, fields: 10_000 };

/// Fields that HTTP/2 does not have (RFC 9113 §8.2.2), and what only an upgrade in HTTP/1 needs (RFC
/// 8441 §5).
const LEFT_OUT: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "sec-websocket-accept"];

/// A stream of an HTTP/2 connection.
pub(crate) struct Http2Stream {
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    queue: Arc<SendQueue>,
    /// What the peer is told where it breaks off.
    broken: Reason,
}

/// How the request's body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As it comes.
    Plain,
    /// In the chunks of HTTP/1.1 (RFC 9112 §7.1).
    Chunks,
}

struct Incoming {
    body: RecvStream,
    reading: Reading,
    /// What came and has not been asked for.
    pieces: VecDeque<Piece>,
    is_ended: bool,
}

enum Piece {
    /// The peer's: it may send as much again when this is taken.
    Data(Bytes),
    /// Written around it.
    Framing(Bytes),
}

enum Outgoing {
    /// So much of a head has been written.
    Head(SendResponse<Queued>, Vec<u8>),
    Body(SendStream<Queued>),
}

impl Http2Stream {
    /// A stream whose request's head has been read. `broken` is what its peer is told if it has to
    /// break off.
    pub(crate) fn new(
        body: RecvStream,
        reading: Reading,
        respond: SendResponse<Queued>,
        broken: Reason,
    ) -> Self {
        let incoming = Incoming { body, reading, pieces: VecDeque::new(), is_ended: false };
        let outgoing = Outgoing::Head(respond, Vec::new());
        Self { incoming: Mutex::new(incoming), outgoing: Mutex::new(outgoing), queue: Arc::default(), broken }
    }

    /// Is ready when there may be something to read.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.incoming().poll(cx)
    }

    /// Reads what is there; 0 is the end of the stream. What is there is what came before the last
    /// [`poll_readable`](Self::poll_readable).
    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.incoming().take(buf.len(), |taken, at| {
            if let Some(room) = buf.get_mut(at..at + taken.len()) {
                room.copy_from_slice(taken);
            }
        })
    }

    /// Looks whether there is anything to read, without reading it.
    pub(crate) fn peek(&self) -> Pending {
        let incoming = self.incoming();
        match (incoming.pieces.is_empty(), incoming.is_ended) {
            (false, _) => Pending::Bytes,
            (true, true) => Pending::End,
            (true, false) => Pending::Nothing,
        }
    }

    /// Is ready when something may be written.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.outgoing() {
            Outgoing::Head(..) => Poll::Ready(Ok(())),
            Outgoing::Body(body) => {
                while body.capacity() == 0 {
                    body.reserve_capacity(WRITE);
                    match ready!(body.poll_capacity(cx)) {
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                        None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                    }
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    /// An error where the peer has given the stream up.
    pub(crate) fn poll_alive(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let given_up = match &mut *self.outgoing() {
            Outgoing::Head(respond, _) => respond.poll_reset(cx),
            Outgoing::Body(body) => body.poll_reset(cx),
        };
        Poll::Ready(match given_up {
            // It wants no more of it, and has no complaint.
            Poll::Pending | Poll::Ready(Ok(Reason::NO_ERROR)) => Ok(()),
            Poll::Ready(Ok(reason)) => Err(failed(reason.into())),
            Poll::Ready(Err(error)) => Err(failed(error)),
        })
    }

    /// Resolves when the peer has given the stream up.
    pub(crate) fn poll_given_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_alive(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Whether the head of a response has been sent.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(*self.outgoing(), Outgoing::Body(_))
    }

    /// Writes what is taken just now. What is taken is the connection's to send.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut outgoing = self.outgoing();
        match &mut *outgoing {
            Outgoing::Head(respond, head) => {
                let before = head.len();
                head.extend_from_slice(bytes);
                let parsed = response_head(head, &HEAD_LIMITS).map_err(io::Error::other)?;
                let Parsed::Done(parsed, end) = parsed else { return Ok(bytes.len()) };
                if let Some(body) = send_head(respond, &parsed)? {
                    *outgoing = Outgoing::Body(body);
                } else {
                    *head = Vec::new();
                }
                Ok(end.saturating_sub(before))
            }
            Outgoing::Body(body) => {
                if body.capacity() == 0 {
                    body.reserve_capacity(bytes.len().min(WRITE));
                }
                let taken = bytes.get(..body.capacity().min(bytes.len())).unwrap_or_default();
                if taken.is_empty() && !bytes.is_empty() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                body.send_data(self.queue.piece(Bytes::copy_from_slice(taken)), false).map_err(failed)?;
                if taken.len() == bytes.len() {
                    // Room that is not needed is other streams'.
                    body.reserve_capacity(0);
                }
                Ok(taken.len())
            }
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) {
        // An error says that the stream is over already.
        match &mut *self.outgoing() {
            Outgoing::Head(respond, _) => respond.send_reset(self.broken),
            Outgoing::Body(body) => drop(body.send_data(self.queue.piece(Bytes::new()), true)),
        }
    }

    /// Waits until the connection has taken all that was written, the head included.
    pub(crate) async fn sent(&self) {
        if let Outgoing::Body(body) = &mut *self.outgoing() {
            // The head counts nowhere, but goes before what follows it. An error says that the stream
            // is over already.
            drop(body.send_data(self.queue.piece(Bytes::new()), false));
        }
        self.queue.empty().await;
    }

    /// Breaks off at once: what the connection has not taken yet is lost.
    pub(crate) fn break_off(&self) {
        match &mut *self.outgoing() {
            Outgoing::Head(respond, _) => respond.send_reset(self.broken),
            Outgoing::Body(body) => body.send_reset(self.broken),
        }
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Http2Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Stream").finish_non_exhaustive()
    }
}

impl Incoming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.pieces.is_empty() && !self.is_ended {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => self.came(data),
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                None => ready!(self.poll_end(cx))?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn came(&mut self, data: Bytes) {
        match self.reading {
            Reading::Plain => self.pieces.push_back(Piece::Data(data)),
            Reading::Chunks => {
                let size = format!("{:x}\r\n", data.len());
                self.pieces.push_back(Piece::Framing(size.into()));
                self.pieces.push_back(Piece::Data(data));
                self.pieces.push_back(Piece::Framing(Bytes::from_static(b"\r\n")));
            }
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let trailers = ready!(self.body.poll_trailers(cx)).map_err(failed)?;
        self.is_ended = true;
        if self.reading == Reading::Chunks {
            let mut end = b"0\r\n".to_vec();
            for (name, value) in trailers.iter().flatten() {
                end.extend_from_slice(name.as_str().as_bytes());
                end.extend_from_slice(b": ");
                end.extend_from_slice(value.as_bytes());
                end.extend_from_slice(b"\r\n");
            }
            end.extend_from_slice(b"\r\n");
            self.pieces.push_back(Piece::Framing(end.into()));
        }
        Poll::Ready(Ok(()))
    }

    /// Takes up to so many bytes out of the first piece.
    fn take(&mut self, room: usize, mut put: impl FnMut(&[u8], usize)) -> io::Result<usize> {
        let mut taken = 0;
        while taken < room {
            let Some(piece) = self.pieces.front_mut() else { break };
            let (Piece::Data(bytes) | Piece::Framing(bytes)) = piece;
            let part = bytes.split_to(bytes.len().min(room - taken));
            let is_empty = !bytes.has_remaining();
            put(&part, taken);
            taken += part.len();
            if matches!(piece, Piece::Data(_)) {
                // An error says that the stream is over: then there is nothing to be sent.
                let _ = self.body.flow_control().release_capacity(part.len());
            }
            if is_empty {
                self.pieces.pop_front();
            }
        }
        if taken == 0 && room > 0 && !self.is_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }
}

/// Sends the head of a response; `None` after an interim one, which another head follows.
fn send_head(
    respond: &mut SendResponse<Queued>,
    head: &ResponseHead,
) -> io::Result<Option<SendStream<Queued>>> {
    // What HTTP/1.1 says by switching protocols is success here (RFC 8441 §5).
    let status = if head.status == 101 { 200 } else { head.status };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    for (name, value) in head.fields.iter() {
        if LEFT_OUT.iter().any(|left_out| name.eq_ignore_ascii_case(left_out)) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
        let value = HeaderValue::from_bytes(value).map_err(io::Error::other)?;
        response.headers_mut().append(name, value);
    }
    if head.is_interim() {
        respond.send_informational(response).map_err(failed)?;
        return Ok(None);
    }
    respond.send_response(response, false).map(Some).map_err(failed)
}

fn failed(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
