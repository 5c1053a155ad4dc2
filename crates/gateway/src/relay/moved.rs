//! How many payload bytes a connection has moved so far, in each direction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::funds::Direction;
use crate::stats::Stats;

/// The payload bytes of one connection. Each is counted for the whole gateway, too.
#[derive(Debug)]
pub(crate) struct MovedBytes {
    up: AtomicU64,
    down: AtomicU64,
    /// The counters of the gateway.
    pub(crate) stats: Arc<Stats>,
}

impl MovedBytes {
    /// Nothing has moved yet.
    pub(crate) fn new(stats: Arc<Stats>) -> Self {
        Self { up: AtomicU64::new(0), down: AtomicU64::new(0), stats }
    }

    /// Counts `bytes` that were written to the far side.
    pub(crate) fn add(&self, direction: Direction, bytes: usize) {
        let (own, whole) = match direction {
            Direction::Up => (&self.up, &self.stats.bytes_up),
            Direction::Down => (&self.down, &self.stats.bytes_down),
        };
        own.fetch_add(bytes as u64, Ordering::Relaxed);
        whole.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns the number of bytes from the client to the target.
    pub(crate) fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes from the target to the client.
    pub(crate) fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }
}
