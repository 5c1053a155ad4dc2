//! What sockets on both sides have in common.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A peer that vanished without a word is noticed after about this long and three probes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How often a silent peer is probed after that.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
/// How long written bytes may stay unacknowledged before the connection is given up.
const UNACKNOWLEDGED_AT_MOST_MS: u32 = 120_000;

/// Small writes leave at once, and a vanished peer is noticed. Best effort: a socket that refuses
/// an option works without it.
pub(crate) fn prepare(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keepalive))
        .and_then(|()| Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_AT_MOST_MS)?));
    if let Err(error) = set {
        tracing::trace!(%error, "a socket option was not taken");
    }
}

/// Ends our half of a connection; the peer reads the end of the stream.
pub(crate) fn finish(stream: &TcpStream) {
    // An error says that the connection is over already.
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
}

/// Makes the coming close of a connection a reset, so that the peer sees that it broke off.
pub(crate) fn break_off(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
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

/// Looks whether there is anything to read, without reading it.
///
/// # Errors
/// The connection broke off.
pub(crate) fn peek(stream: &TcpStream) -> io::Result<Pending> {
    let mut byte = [MaybeUninit::uninit()];
    match stream.try_io(Interest::READABLE, || SockRef::from(stream).peek(&mut byte)) {
        Ok(0) => Ok(Pending::End),
        Ok(_) => Ok(Pending::Bytes),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Pending::Nothing),
        Err(error) => Err(error),
    }
}

/// Whether this process, or this machine, has run out of file descriptors, ports or buffers.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let raw = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].iter().any(|e| Some(e.raw_os_error()) == raw)
}
