//! What the system knows of a TCP connection and no other library says without `unsafe`: how much of
//! what was written the peer's system has not acknowledged yet, and how the peer ended it.
//!
//! ```no_run
//! # async fn example(socket: tokio::net::TcpStream) {
//! use std::time::Duration;
//! // The peer has everything, or it takes too long.
//! let is_delivered = tollgate_sockets::delivered(&socket, Duration::from_secs(1)).await;
//! # }
//! ```

use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::ioctl::{Getter, Opcode, ioctl};
use tokio::time::{Instant, sleep, timeout_at};

/// How soon [`delivered`] looks again the first time: about a round trip in one machine.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// `SIOCOUTQ`, which Linux defines as this (`include/uapi/linux/sockios.h`).
const OUTPUT_QUEUE: Opcode = libc::TIOCOUTQ as Opcode;

/// Returns how many bytes were written to a TCP socket that its peer's system has not acknowledged,
/// those included that have not been sent. An end of stream that was sent counts as one byte.
///
/// # Errors
/// The socket is none of TCP, or it is listening.
#[expect(unsafe_code, reason = "the system call has no safe wrapper in the libraries that are used")]
pub fn unacknowledged(socket: &impl AsFd) -> io::Result<usize> {
    // SAFETY: SIOCOUTQ writes one `int` where its argument points to (tcp(7)), which is what `Getter`
    // makes room for; the descriptor is borrowed, and hence open.
    let bytes = unsafe { ioctl(socket, Getter::<OUTPUT_QUEUE, c_int>::new()) }?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Waits until the peer's system has acknowledged everything that was written, for `patience` at most.
/// Returns whether it has. A connection that broke has not.
pub async fn delivered(socket: &impl AsFd, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_LOOK;
    loop {
        match unacknowledged(socket) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
        if timeout_at(deadline, sleep(pause)).await.is_err() {
            return matches!(unacknowledged(socket), Ok(0));
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How a peer has ended a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It has not.
    Open,
    /// It sends nothing more, and may still read.
    Finished,
    /// Both directions have ended. Where this side has not ended its own, that was a reset which a read or a
    /// write has reported.
    Over,
    /// It has reset the connection, or cannot be reached: it reads nothing more.
    Reset,
}

/// Returns how the peer has ended a connected TCP socket, without reading from it.
///
/// # Errors
/// The system cannot be asked.
pub fn ending(socket: &impl AsFd) -> io::Result<Ending> {
    let mut asked = [PollFd::new(socket, PollFlags::RDHUP)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let [answered] = asked;
    let flags = answered.revents();
    Ok(match flags {
        _ if flags.intersects(PollFlags::ERR | PollFlags::NVAL) => Ending::Reset,
        _ if flags.contains(PollFlags::HUP) => Ending::Over,
        _ if flags.contains(PollFlags::RDHUP) => Ending::Finished,
        _ => Ending::Open,
    })
}

/// Ends this side's direction of a connected TCP socket: the peer reads an end of stream.
///
/// # Errors
/// The connection is none any more.
pub fn finish(socket: &impl AsFd) -> io::Result<()> {
    Ok(rustix::net::shutdown(socket, rustix::net::Shutdown::Write)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's own two ends of one connection")]
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[tokio::test]
    async fn what_the_peer_has_room_for_is_acknowledged_and_the_rest_is_counted() {
        let (near, mut far) = pair();
        assert_eq!(unacknowledged(&near).unwrap(), 0);
        (&near).write_all(b"few").unwrap();
        assert!(
            delivered(&near, Duration::from_secs(20)).await,
            "a peer that does not read acknowledges, too"
        );
        near.set_nonblocking(true).unwrap();
        let (mut written, piece) = (3, vec![7; 1 << 20]);
        while let Ok(more) = (&near).write(&piece) {
            written += more;
        }
        assert!(!delivered(&near, Duration::from_millis(20)).await);
        let waiting = unacknowledged(&near).unwrap();
        assert!(0 < waiting && waiting < written, "{waiting} of {written}");
        let reader = std::thread::spawn(move || far.read_exact(&mut vec![0; written]).map(|()| far));
        assert!(delivered(&near, Duration::from_secs(20)).await);
        reader.join().unwrap().unwrap();
    }

    /// Waits until the peer's end is seen; fails where it never is.
    async fn end_of(socket: &TcpStream) -> Ending {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match ending(socket).unwrap() {
                Ending::Open => assert!(Instant::now() < deadline, "no end is seen"),
                end => return end,
            }
            sleep(FIRST_LOOK).await;
        }
    }

    #[tokio::test]
    async fn a_peer_that_has_read_all_finishes_and_one_that_has_not_resets() {
        let (near, far) = pair();
        assert_eq!(ending(&near).unwrap(), Ending::Open);
        finish(&far).unwrap();
        assert_eq!(end_of(&near).await, Ending::Finished);
        // Both directions have ended in good order.
        finish(&near).unwrap();
        drop(far);
        assert_eq!(ending(&near).unwrap(), Ending::Over);

        let (near, far) = pair();
        (&near).write_all(b"unread").unwrap();
        assert!(delivered(&near, Duration::from_secs(20)).await);
        drop(far);
        assert_eq!(end_of(&near).await, Ending::Reset);
    }

    #[test]
    fn a_listener_has_no_such_queue() {
        assert!(unacknowledged(&TcpListener::bind("127.0.0.1:0").unwrap()).is_err());
    }
}
