//! TLS on a customer's connection, looked at without waiting like any other [`Stream`].
//!
//! The session and its socket are behind one lock, which is held for one look and never across a
//! wait. **What it holds at most:** one read's worth of what the peer sent ([`READ`]), one record of
//! plaintext that nobody has asked for yet, and one write's worth that the socket has not taken
//! ([`HELD_BACK`]); nothing more is taken before that is gone.
//!
//! A peer that ends its connection without the closing alert is taken to have ended it: what flows
//! inside says itself where it ends, as over plain TCP.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use rustls::{Connection, IoState};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::socket;
use crate::stream::{Pending, once};

/// HTTP/2 as ALPN names it (RFC 7301).
pub(crate) const HTTP2: &[u8] = b"h2";
/// HTTP/1.1 as ALPN names it.
pub(crate) const HTTP1: &[u8] = b"http/1.1";
/// The most that is read from the socket at once.
const READ: usize = 32 * 1024;
/// The most plaintext that is taken before the socket has taken its records.
const HELD_BACK: usize = 64 * 1024;
/// The most that a peer may send until the handshake is over: several times what one without a
/// certificate of its own needs.
pub(super) const HANDSHAKE_BYTES: usize = 64 * 1024;
/// How long a peer whose handshake failed is listened to, so that it hears why.
const ALERT_TIMEOUT: Duration = Duration::from_millis(500);

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection under TLS.
pub(crate) struct TlsSide {
    socket: TcpStream,
    session: Mutex<Session>,
}

struct Session {
    tls: Connection,
    /// Read from the socket, not yet understood: from the start on.
    unread: Vec<u8>,
    start: usize,
    /// Plaintext that nobody has asked for yet.
    plaintext: usize,
    /// The peer has ended.
    is_ended: bool,
    /// We have, and the peer is told as soon as everything before is out.
    is_finishing: bool,
    /// All of that is out, or will not go out any more.
    is_finished: bool,
}

impl TlsSide {
    /// A handshake, as either side of it, that is still to be done. `early` was read from the socket
    /// before.
    pub(crate) fn new(socket: TcpStream, early: Vec<u8>, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(HELD_BACK));
        let session = Session {
            tls,
            unread: early,
            start: 0,
            plaintext: 0,
            is_ended: false,
            is_finishing: false,
            is_finished: false,
        };
        Self { socket, session: Mutex::new(session) }
    }

    /// Notes that the handshake failed: nothing has begun whose end could be said.
    pub(crate) fn never_began(&self) {
        self.lock().is_finished = true;
    }

    /// Lets the alert that says why arrive before the connection is closed.
    pub(crate) async fn part_after_alert(&self) {
        part_after_alert(&self.socket).await;
    }

    /// Bounded in bytes; whoever waits for it bounds it in time.
    pub(crate) async fn handshake(&self) -> io::Result<()> {
        let mut read = self.lock().unread.len();
        poll_fn(|cx| self.poll_handshake(cx, &mut read)).await
    }

    fn poll_handshake(&self, cx: &mut Context<'_>, read: &mut usize) -> Poll<io::Result<()>> {
        let mut session = self.lock();
        loop {
            if let Err(error) = session.understand() {
                // The alert that says why.
                let _ = session.write_out(&self.socket);
                return Poll::Ready(Err(error));
            }
            ready!(session.poll_out(&self.socket, cx))?;
            if !session.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if session.is_ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if *read > HANDSHAKE_BYTES {
                return Poll::Ready(Err(io::Error::other("the handshake is too long")));
            }
            ready!(self.socket.poll_read_ready(cx))?;
            *read += session.read_in(&self.socket)?;
        }
    }

    /// Is ready when there may be something to read.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut session = self.lock();
        loop {
            // What is held back goes out while we listen, too.
            if let Poll::Ready(Err(error)) = session.poll_out(&self.socket, cx) {
                return Poll::Ready(Err(error));
            }
            if session.has_something() {
                return Poll::Ready(Ok(()));
            }
            if session.has_unread() {
                if let Err(error) = session.understand() {
                    // The alert that says why.
                    let _ = session.write_out(&self.socket);
                    return Poll::Ready(Err(error));
                }
                continue;
            }
            ready!(self.socket.poll_read_ready(cx))?;
            session.read_in(&self.socket)?;
        }
    }

    /// Is ready when something may be written. Nothing is held back.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_out(&self.socket, cx)
    }

    /// Reads what is there; 0 is the end of the stream.
    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut session = self.lock();
        if !session.has_something() {
            session.look(&self.socket)?;
        }
        session.take(buf)
    }

    /// Writes what is taken just now. What is taken is sent with the next look, if not now.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|tls| tls.writer().write(bytes))
    }

    /// [`try_write`](Self::try_write) of several pieces as one.
    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|tls| tls.writer().write_vectored(pieces))
    }

    fn write_with(&self, write: impl FnOnce(&mut Connection) -> io::Result<usize>) -> io::Result<usize> {
        let mut session = self.lock();
        session.write_out(&self.socket)?;
        if session.tls.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = write(&mut session.tls)?;
        // From here on the bytes are taken: an error shows the next time.
        let _ = session.write_out(&self.socket);
        Ok(taken)
    }

    /// Says that nothing more will be sent, behind all that was taken.
    pub(crate) fn finish(&self) {
        let mut session = self.lock();
        if !session.is_finishing && !session.is_finished {
            session.is_finishing = true;
            session.tls.send_close_notify();
        }
        // An error says that the connection is over already.
        let _ = session.write_out(&self.socket);
    }

    /// Makes the coming close a reset.
    pub(crate) fn break_off(&self) {
        // The end is not said any more.
        self.lock().is_finished = true;
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    /// Returns the connection underneath.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// As of [`Stream`].
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Has the system notice a peer that has vanished without a word.
    pub(crate) fn notice_silence(&self) {
        socket::notice_silence(&self.socket);
    }

    /// Looks whether there is anything to read, without reading it.
    pub(crate) fn peek(&self) -> io::Result<Pending> {
        let mut session = self.lock();
        if !session.has_something() {
            session.look(&self.socket)?;
        }
        Ok(match (session.plaintext, session.is_ended) {
            (1.., _) => Pending::Bytes,
            (0, true) => Pending::End,
            (0, false) => Pending::Nothing,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TlsSide {
    fn drop(&mut self) {
        // As the system does it for a plain connection that is dropped.
        self.finish();
    }
}

impl fmt::Debug for TlsSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSide").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Session {
    /// Plaintext, or the end.
    fn has_something(&self) -> bool {
        self.plaintext > 0 || self.is_ended
    }

    fn has_unread(&self) -> bool {
        self.start < self.unread.len()
    }

    /// Understands what is there, and reads once more where that comes to nothing.
    fn look(&mut self, socket: &TcpStream) -> io::Result<()> {
        self.understand()?;
        if !self.has_something() {
            match self.read_in(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    read?;
                    self.understand()?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.plaintext == 0 {
            return if self.is_ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let read = self.tls.reader().read(buf)?;
        self.plaintext = self.plaintext.saturating_sub(read);
        Ok(read)
    }

    /// Deciphers records until there is plaintext, or nothing is left to decipher.
    fn understand(&mut self) -> io::Result<()> {
        while self.plaintext == 0 && self.has_unread() {
            let mut rest = self.unread.get(self.start..).unwrap_or_default();
            let before = rest.len();
            self.tls.read_tls(&mut rest)?;
            let taken = before - rest.len();
            self.start += taken;
            let state = self.tls.process_new_packets();
            self.note(&state.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?);
            if taken == 0 || self.is_ended {
                // Nothing counts behind the closing alert.
                self.start = self.unread.len();
            }
        }
        if !self.has_unread() {
            // A connection that waits holds no memory.
            (self.unread, self.start) = (Vec::new(), 0);
        }
        Ok(())
    }

    fn note(&mut self, state: &IoState) {
        self.plaintext = state.plaintext_bytes_to_read();
        self.is_ended |= state.peer_has_closed();
    }

    /// Reads once from the socket, everything before having been understood: how many bytes.
    fn read_in(&mut self, socket: &TcpStream) -> io::Result<usize> {
        let read = SCRATCH.with_borrow_mut(|scratch| {
            let read = match once(socket, Interest::READABLE, scratch.len(), || {
                Ok(recv(socket, scratch.as_mut_slice(), RecvFlags::empty())?.0)
            }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                read => read?,
            };
            self.unread.extend_from_slice(scratch.get(..read).unwrap_or_default());
            io::Result::Ok(Some(read))
        })?;
        self.is_ended |= read == Some(0);
        Ok(read.unwrap_or(0))
    }

    /// Resolves when nothing is held back.
    fn poll_out(&mut self, socket: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.write_out(socket)?;
            if self.is_finished || !self.tls.wants_write() {
                return Poll::Ready(Ok(()));
            }
            ready!(socket.poll_write_ready(cx))?;
        }
    }

    /// Writes what the socket takes just now.
    fn write_out(&mut self, socket: &TcpStream) -> io::Result<()> {
        while !self.is_finished && self.tls.wants_write() {
            match self.tls.write_tls(&mut Out(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.is_finishing && !self.is_finished {
            self.is_finished = true;
            let _ = SockRef::from(socket).shutdown(Shutdown::Write);
        }
        Ok(())
    }
}

/// Lets the alert that says why a handshake failed arrive before the connection is closed.
pub(crate) async fn part_after_alert(socket: &TcpStream) {
    let _ = SockRef::from(socket).shutdown(Shutdown::Write);
    let mut lost = [0; 1024];
    let swallow = async {
        while socket.readable().await.is_ok() {
            match socket.try_read(&mut lost) {
                Ok(1..) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    };
    let _ = timeout(ALERT_TIMEOUT, swallow).await;
}

/// The socket, as records are written to it.
pub(super) struct Out<'s>(pub(super) &'s TcpStream);

impl io::Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        once(self.0, Interest::WRITABLE, bytes.len(), || Ok(send(self.0, bytes, SendFlags::NOSIGNAL)?))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let room = pieces.iter().map(|piece| piece.len()).sum();
        once(self.0, Interest::WRITABLE, room, || {
            Ok(sendmsg(self.0, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
