//! The slots of client connections: as many at once as the limit says, counted exactly, whoever the
//! clients turn out to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::limits::CurrentLimits;
use crate::stats::Stats;

/// All slots.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    taken: AtomicUsize,
    left: Notify,
}

/// A slot that is taken; free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    /// Takes a slot, where fewer than `most` are taken.
    pub(crate) fn take(self: &Arc<Self>, most: usize) -> Option<Slot> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        Some(Slot(self.clone()))
    }

    /// Returns the number of slots that are taken.
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

/// The slots, under the limit that holds when one is taken.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSlots {
    pub(crate) slots: Arc<Slots>,
    limits: CurrentLimits,
    stats: Arc<Stats>,
}

impl ConnectionSlots {
    /// All slots are free.
    pub(crate) fn new(limits: CurrentLimits, stats: Arc<Stats>) -> Self {
        Self { slots: Arc::default(), limits, stats }
    }

    /// Takes a slot for one more client connection, if there is one; always one at least.
    pub(crate) fn take(&self) -> Option<Slot> {
        let slot = self.slots.take(self.limits.now().max_connections.max(1));
        if slot.is_none() {
            self.stats.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        slot
    }
}

impl Drop for Slot {
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
        let slots = Arc::new(Slots::default());
        slots.all_free().await;
        let held: Vec<_> = (0..3).map_while(|_| slots.take(2)).collect();
        assert_eq!((held.len(), slots.taken()), (2, 2));
        let more = slots.take(3);
        assert!(more.is_some() && slots.take(3).is_none(), "how many there may be changes");
        let waits = slots.clone();
        let waiting = tokio::spawn(async move { waits.all_free().await });
        tokio::task::yield_now().await;
        drop((held, more));
        waiting.await.unwrap();
        assert_eq!(slots.taken(), 0);
    }
}
