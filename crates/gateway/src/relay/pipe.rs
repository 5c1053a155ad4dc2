//! Pipes through which bytes move between two sockets without being copied: `splice(2)`.
//!
//! A pipe is taken for as long as bytes are in it and goes back to its thread's few spare ones, so
//! that a tunnel at rest holds none. How many there are at once is bounded; where none is to be had,
//! bytes are copied.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use rustix::process::{Resource, getrlimit};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::relay::bandwidth::SLICE;
use crate::stream::once;

/// The room of a pipe, where the system allows it, and so the most that is in one.
pub(crate) const PIPE_BYTES: usize = SLICE;

/// Pipes at once, each of two file descriptors.
const MOST_PIPES: usize = 512;
/// Of all descriptors that the process may have, one pipe to so many: bytes are copied sooner than
/// that connections are refused for want of them.
const DESCRIPTORS_PER_PIPE: u64 = 64;

/// Pipes that a thread keeps for the next that need one.
const SPARE_PIPES: usize = 8;

static PIPES: AtomicUsize = AtomicUsize::new(0);

/// How many there may be here. The limit is raised before the first of them, if at all.
static MOST: LazyLock<usize> = LazyLock::new(|| most(getrlimit(Resource::Nofile).current));

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe, and how much is in it.
#[derive(Debug)]
pub(crate) struct Pipe {
    output: OwnedFd,
    input: OwnedFd,
    held: usize,
}

impl Pipe {
    /// An empty pipe; `None` where there are too many, or the system has none.
    pub(crate) fn take() -> Option<Self> {
        SPARE.with_borrow_mut(Vec::pop).or_else(Self::open)
    }

    fn open() -> Option<Self> {
        if PIPES.fetch_add(1, Ordering::Relaxed) >= *MOST {
            PIPES.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        match pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
            Ok((output, input)) => {
                // A smaller pipe works as well, in more steps.
                let _ = fcntl_setpipe_size(&input, PIPE_BYTES);
                Some(Self { output, input, held: 0 })
            }
            Err(_) => {
                PIPES.fetch_sub(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Makes it available to others. With bytes in it, it is closed.
    pub(crate) fn give_back(self) {
        if self.held > 0 {
            return;
        }
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_PIPES {
                spare.push(self);
            }
        });
    }

    /// How many bytes are in it.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Moves up to so many bytes out of a socket; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing just now; the connection failed.
    pub(crate) fn fill(&mut self, from: &TcpStream, most: usize) -> io::Result<usize> {
        // No less than that is a sign of an empty socket: the pipe may be full before it.
        let any = 0;
        let moved = once(from, Interest::READABLE, any, || {
            Ok(splice(from, None, &self.input, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
        })?;
        self.held += moved;
        Ok(moved)
    }

    /// Moves what the other socket takes out of the pipe into it.
    ///
    /// # Errors
    /// `WouldBlock` where it takes nothing just now; the connection failed.
    pub(crate) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let held = self.held;
        let moved = once(to, Interest::WRITABLE, held, || {
            Ok(splice(&self.output, None, to, None, held, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
        })?;
        self.held -= moved.min(held);
        Ok(moved)
    }
}

/// The pipes that fit into a limit of descriptors.
fn most(descriptors: Option<u64>) -> usize {
    let fitting = descriptors.map(|limit| usize::try_from(limit / DESCRIPTORS_PER_PIPE));
    fitting.map_or(MOST_PIPES, |fitting| fitting.unwrap_or(MOST_PIPES).min(MOST_PIPES))
}

impl Drop for Pipe {
    fn drop(&mut self) {
        PIPES.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_leave_descriptors_for_connections() {
        let limits = [None, Some(1 << 20), Some(20_000), Some(1024), Some(10)];
        assert_eq!(limits.map(most), [512, 512, 312, 16, 0]);
    }
}
