//! A client's connection: what the server reads and writes through, and what is known of the client meanwhile.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tollgate_core::idempotency::Listener;
use tollgate_sockets::{Ending, ending, finish, unacknowledged};

/// A client at the other end of a connection. The connection is closed, and its place among the
/// connections at once comes free, when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    socket: TcpStream,
    /// Whether a read or a write failed.
    is_broken: AtomicBool,
    /// Whether this side has ended its direction.
    is_finished: AtomicBool,
    /// Whether the server reads and writes no more.
    is_over: AtomicBool,
    /// How many requests came.
    requests: AtomicU64,
    /// How often everything that was to be written had been handed to the system.
    flushes: AtomicU64,
    /// Told of each change of those above.
    changed: Notify,
    _place: Option<OwnedSemaphorePermit>,
}

/// What was seen of a connection up to a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) flushes: u64,
}

impl Peer {
    pub(super) fn new(socket: TcpStream, place: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        Arc::new(Self {
            socket,
            is_broken: AtomicBool::new(false),
            is_finished: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            changed: Notify::new(),
            _place: place,
        })
    }

    /// Counts a request.
    pub(super) fn asks(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// Returns how many requests came and how often all was written.
    pub(super) fn seen(&self) -> Seen {
        Seen {
            requests: self.requests.load(Ordering::Acquire),
            flushes: self.flushes.load(Ordering::Acquire),
        }
    }

    /// Whether the server reads and writes no more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Whether the client's system has acknowledged everything that was handed to this one.
    pub(super) fn has_acknowledged(&self) -> bool {
        matches!(unacknowledged(&self.socket), Ok(0))
    }

    /// Returns how the client has ended the connection.
    pub(super) fn ending(&self) -> Ending {
        let seen = ending(&self.socket).unwrap_or(Ending::Reset);
        let is_broken = self.is_broken.load(Ordering::Acquire);
        match seen {
            _ if is_broken => Ending::Reset,
            Ending::Over if !self.is_finished.load(Ordering::Acquire) => Ending::Reset,
            Ending::Over => Ending::Finished,
            other => other,
        }
    }

    /// Waits until something is new.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn set(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Passes on the outcome of a read or a write, and remembers a failure.
    fn note<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if outcome.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            self.set(&self.is_broken);
        }
        outcome
    }
}

impl Listener for Peer {
    fn is_gone(&self) -> bool {
        self.ending() != Ending::Open
    }
}

/// What the server reads from and writes to.
pub(super) struct Wire(pub(super) Arc<Peer>);

impl Wire {
    /// Tries to write until the socket takes something or is not ready.
    fn write(
        &self,
        cx: &mut Context<'_>,
        mut put: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            self.0.note(ready!(self.0.socket.poll_write_ready(cx)))?;
            match put(&self.0.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(self.0.note(outcome)),
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            self.0.note(ready!(self.0.socket.poll_read_ready(cx)))?;
            match self.0.socket.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(self.0.note(outcome).map(drop)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |socket| socket.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Asked when everything that was buffered has been written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.flushes.fetch_add(1, Ordering::AcqRel);
        self.0.changed.notify_one();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.set(&self.0.is_finished);
        Poll::Ready(finish(&self.0.socket))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.0.set(&self.0.is_over);
    }
}
