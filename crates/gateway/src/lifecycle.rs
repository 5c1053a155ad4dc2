//! How far the gateway's life has got.

use tokio::sync::watch;

/// A phase of a gateway's life; they follow each other in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Nothing new is taken.
    Draining,
    /// What still runs ends now.
    Stopped,
}

/// Tells which phase the gateway is in.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle(watch::Receiver<Phase>);

impl Lifecycle {
    /// A gateway that runs; the sender changes its phase.
    pub(crate) fn new() -> (watch::Sender<Phase>, Self) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (sender, Self(receiver))
    }

    /// Whether nothing new is to be begun. Who was accepted before is still served, once.
    pub(crate) fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Whether what still runs is to end now.
    pub(crate) fn has_stopped(&self) -> bool {
        *self.0.borrow() == Phase::Stopped
    }

    /// Resolves when nothing new is to be begun.
    pub(crate) async fn draining(&self) {
        // An error says that the gateway itself is gone.
        let _ = self.0.clone().wait_for(|now| *now >= Phase::Draining).await;
    }
}
