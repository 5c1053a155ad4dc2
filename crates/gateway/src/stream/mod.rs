//! A byte stream to a peer, customer's or upstream's side alike, looked at without waiting: ask
//! whether it is ready, then read or write what goes just now.
//!
//! **Readiness.** The system tells of a change once (edge-triggered). A read that came back with less
//! than it had room for has emptied the socket, and a write that took less than it was given has
//! filled it: either way the next one would be in vain, so that readiness is forgotten at once and
//! the system call that would only say so is saved.

mod buffered;
mod hello;
mod http2;
mod send_queue;
mod tls;

use std::future::{pending, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::socket;

pub(crate) use buffered::{Buffered, fill, say};
pub(crate) use hello::Hello;
pub(crate) use http2::{Http2Stream, Reading};
pub(crate) use send_queue::Queued;
pub(crate) use tls::{HTTP1, HTTP2, TlsSide, part_after_alert};

/// A connection to a peer.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<TlsSide>),
    /// One stream of an HTTP/2 connection.
    Http2(Arc<Http2Stream>),
}

/// What there is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Nothing so far.
    Nothing,
    /// At least one byte.
    Bytes,
    /// The peer's end of the stream.
    End,
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Plain(stream)
    }
}

impl Stream {
    /// The socket, where what is written to it is what the peer reads: bytes may be spliced.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(_) | Self::Http2(_) => None,
        }
    }

    /// Where the peer reached us.
    ///
    /// # Errors
    /// The connection is over, or is a stream of HTTP/2.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(socket) => socket.local_addr(),
            Self::Tls(side) => side.local_addr(),
            // Nobody who comes by one has to be told.
            Self::Http2(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Resolves when there may be something to read.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.readable().await,
            Self::Tls(_) | Self::Http2(_) => poll_fn(|cx| self.poll_readable(cx)).await,
        }
    }

    /// Resolves when something may be written.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.writable().await,
            Self::Tls(_) | Self::Http2(_) => poll_fn(|cx| self.poll_writable(cx)).await,
        }
    }

    /// [`readable`](Self::readable) for one task at a time: the last one that asked is woken.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_read_ready(cx),
            Self::Tls(side) => side.poll_readable(cx),
            Self::Http2(side) => side.poll_readable(cx),
        }
    }

    /// [`writable`](Self::writable) for one task at a time.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_write_ready(cx),
            Self::Tls(side) => side.poll_writable(cx),
            Self::Http2(side) => side.poll_writable(cx),
        }
    }

    /// Resolves when everything that was taken from us has been handed to the system, or to the
    /// connection that carries a stream of HTTP/2: what waits there goes out with it.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(side) => side.poll_writable(cx),
            Self::Http2(side) => side.poll_alive(cx),
        }
    }

    /// Waits for [`poll_flush`](Self::poll_flush).
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(_) | Self::Http2(_) => poll_fn(|cx| self.poll_flush(cx)).await,
        }
    }

    /// Reads what is there; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing just now; the connection failed.
    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => {
                let room = buf.len();
                once(socket, Interest::READABLE, room, || Ok(recv(socket, &mut *buf, RecvFlags::empty())?.0))
            }
            Self::Tls(side) => side.try_read(buf),
            Self::Http2(side) => side.try_read(buf),
        }
    }

    /// Writes what is taken just now.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is; the connection failed.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => once(socket, Interest::WRITABLE, bytes.len(), || {
                Ok(send(socket, bytes, SendFlags::NOSIGNAL)?)
            }),
            Self::Tls(side) => side.try_write(bytes),
            Self::Http2(side) => side.try_write(bytes),
        }
    }

    /// Ends our half; the peer reads the end of the stream.
    pub(crate) fn finish(&self) {
        match self {
            Self::Plain(socket) => {
                // An error says that the connection is over already.
                let _ = SockRef::from(socket).shutdown(Shutdown::Write);
            }
            Self::Tls(side) => side.finish(),
            Self::Http2(side) => side.finish(),
        }
    }

    /// The connection that the stream has for itself; `None` for a stream of HTTP/2.
    fn connection(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(side) => Some(side.socket()),
            Self::Http2(_) => None,
        }
    }

    /// Resolves when the peer has reset the connection, whatever it sent before. A stream of HTTP/2
    /// tells that by [`poll_flush`](Self::poll_flush).
    pub(crate) async fn reset(&self) {
        match self.connection() {
            // Any answer means that the connection is over.
            Some(socket) => drop(socket.ready(Interest::ERROR).await),
            None => pending().await,
        }
    }

    /// Waits until the peer's system has acknowledged everything that was written, for `patience` at
    /// most; over HTTP/2, until all of it has left the stream's queue.
    pub(crate) async fn delivered(&self, patience: Duration) {
        match self {
            Self::Http2(side) => drop(timeout(patience, side.sent()).await),
            Self::Plain(_) | Self::Tls(_) => {
                if let Some(socket) = self.connection() {
                    tollgate_sockets::delivered(socket, patience).await;
                }
            }
        }
    }

    /// Makes the coming close a reset, so that the peer sees that it broke off.
    pub(crate) fn break_off(&self) {
        match self {
            Self::Plain(socket) => {
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
            Self::Tls(side) => side.break_off(),
            Self::Http2(side) => side.break_off(),
        }
    }

    /// Has the system notice a peer that has vanished without a word.
    pub(crate) fn notice_silence(&self) {
        match self {
            Self::Plain(socket) => socket::notice_silence(socket),
            Self::Tls(side) => side.notice_silence(),
            // The connection that carries it does that.
            Self::Http2(_) => {}
        }
    }

    /// Looks whether there is anything to read, without reading it.
    ///
    /// # Errors
    /// The connection broke off.
    pub(crate) fn peek(&self) -> io::Result<Pending> {
        let looked = match self {
            Self::Plain(socket) => {
                let mut byte = [0];
                socket.try_io(Interest::READABLE, || Ok(recv(socket, &mut byte, RecvFlags::PEEK)?.0))
            }
            Self::Tls(side) => return side.peek(),
            Self::Http2(side) => return Ok(side.peek()),
        };
        match looked {
            Ok(0) => Ok(Pending::End),
            Ok(_) => Ok(Pending::Bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Pending::Nothing),
            Err(error) => Err(error),
        }
    }
}

/// One system call on a socket that is said to be ready. Where it moved something but less than it
/// could have, the socket is not ready any more: see the module's head. The end of a stream stays.
pub(crate) fn once(
    socket: &TcpStream,
    interest: Interest,
    room: usize,
    mut call: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut moved = None;
    let called = socket.try_io(interest, || {
        let n = call()?;
        moved = Some(n);
        if 0 < n && n < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match moved {
        Some(n) => Ok(n),
        None => called.map(|()| 0),
    }
}
