//! Seats for client connections: so many at once, counted exactly, whoever they turn out to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: AtomicUsize,
    left: Notify,
}

/// One that is taken; free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Seats>);

impl Seats {
    /// Takes one, where fewer than so many are taken.
    pub(crate) fn take(self: &Arc<Self>, most: usize) -> Option<Seat> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        Some(Seat(self.clone()))
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// Resolves when none is taken.
    pub(crate) async fn all_free(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // From here on no notice is missed.
            left.as_mut().enable();
            if self.taken() == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.0.taken.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn as_many_as_there_may_be_and_the_last_one_leaves_nobody_waiting() {
        let seats = Arc::new(Seats::default());
        seats.all_free().await;
        let held: Vec<_> = (0..3).map_while(|_| seats.take(2)).collect();
        assert_eq!((held.len(), seats.taken()), (2, 2));
        let more = seats.take(3);
        assert!(more.is_some() && seats.take(3).is_none(), "how many there may be changes");
        let waits = seats.clone();
        let waiting = tokio::spawn(async move { waits.all_free().await });
        tokio::task::yield_now().await;
        drop((held, more));
        waiting.await.unwrap();
        assert_eq!(seats.taken(), 0);
    }
}
