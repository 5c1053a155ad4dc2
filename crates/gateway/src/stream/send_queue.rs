//! What of a stream waits to be sent: a reset throws that away, so whoever resets waits for it first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, Bytes};
use tokio::sync::Notify;

/// Counts the pieces of one stream that the connection has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    pieces: AtomicUsize,
    emptied: Notify,
}

/// One piece of a stream on its way; dropped when the connection has taken it, or has thrown it away.
#[derive(Debug)]
pub(crate) struct Queued {
    bytes: Bytes,
    queue: Arc<SendQueue>,
}

impl SendQueue {
    /// A piece that counts as waiting until it is dropped.
    pub(crate) fn piece(self: &Arc<Self>, bytes: Bytes) -> Queued {
        self.pieces.fetch_add(1, Ordering::Relaxed);
        Queued { bytes, queue: self.clone() }
    }

    /// Waits until no piece waits.
    pub(crate) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.pieces.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if self.queue.pieces.fetch_sub(1, Ordering::Release) == 1 {
            self.queue.emptied.notify_waiters();
        }
    }
}

impl Buf for Queued {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
    }
}
