//! A file descriptor that is kept for when there are no others: with it, who waits to be accepted can
//! be accepted and closed, and knows at once that there is no room, instead of after a while.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use socket2::SockRef;
use tokio::net::TcpListener;

/// How many are closed at once at most; then others have their turn.
const MOST_AT_ONCE: usize = 256;

/// The descriptor. `None` where it could not be had (again) so far.
#[derive(Debug)]
pub(crate) struct Spare(Mutex<Option<File>>);

impl Spare {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(open()))
    }

    /// Accepts and closes those who wait; answers how many.
    pub(crate) fn turn_away(&self, listener: &TcpListener) -> usize {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may be quicker to use it: then nobody is turned away this time.
        *spare = None;
        let listener = SockRef::from(listener);
        let closed = (0..MOST_AT_ONCE).take_while(|_| listener.accept().is_ok()).count();
        *spare = open();
        closed
    }
}

fn open() -> Option<File> {
    File::open("/dev/null").ok()
}
