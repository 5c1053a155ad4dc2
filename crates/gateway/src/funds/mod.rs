//! What every byte is paid from: purses with leased bytes and their journal, and the tallies of static
//! proxies, which are counted only.

mod journal;
mod keep;
mod leases;
mod pace;
mod purse;
mod purses;
mod report;
mod tally;

use std::sync::Arc;

use tollgate_types::LeaseDenied;

pub(crate) use journal::Journal;
pub use purse::Purse;
pub(crate) use purses::Purses;
pub(crate) use tally::Tallies;
use tally::Tally;

/// A direction, seen from the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the customer to the target; counted when written upstream.
    Up,
    /// From the target to the customer; counted when written to him.
    Down,
}

/// What every byte of a connection goes on. Both kinds are used by one atomic operation or two each
/// time, without a lock.
#[derive(Clone, Debug)]
pub(crate) enum Funds {
    /// A payer's granted bytes: nothing moves that was not granted.
    Purse(Arc<Purse>),
    /// A static proxy's count: everything may move, and is counted.
    Tally(Arc<Tally>),
}

impl Funds {
    /// Takes up to `want` bytes to forward; 0 = nothing is granted just now. What is taken must be
    /// either [`spent`](Self::spent) or [given back](Self::give_back).
    pub(crate) fn take(&self, want: usize) -> usize {
        match self {
            Self::Purse(purse) => purse.take(want),
            Self::Tally(_) => want,
        }
    }

    /// Gives back what was taken but not forwarded.
    pub(crate) fn give_back(&self, bytes: usize) {
        match self {
            Self::Purse(purse) => purse.give_back(bytes),
            Self::Tally(_) => {}
        }
    }

    /// Counts `bytes` of the taken ones that were forwarded.
    pub(crate) fn spent(&self, direction: Direction, bytes: usize) {
        match self {
            Self::Purse(purse) => purse.spent(bytes),
            Self::Tally(tally) => tally.moved(direction, bytes),
        }
    }

    /// Waits until [`take`](Self::take) may succeed.
    ///
    /// # Errors
    /// Why there will be no more bytes: the connection must end.
    pub(crate) async fn refill(&self) -> Result<(), LeaseDenied> {
        match self {
            Self::Purse(purse) => purse.refill().await,
            Self::Tally(_) => Ok(()),
        }
    }

    /// Waits until `bytes` bytes can be taken at once, for what is of no use in parts.
    ///
    /// # Errors
    /// Why there will never be so many: the connection must end.
    pub(crate) async fn refill_whole(&self, bytes: usize) -> Result<(), LeaseDenied> {
        match self {
            Self::Purse(purse) => purse.refill_whole(bytes).await,
            Self::Tally(_) => Ok(()),
        }
    }

    /// Counts a live connection that uses them. Returns the `joined` of [`cut_after`](Self::cut_after).
    pub(crate) fn join(&self) -> u64 {
        match self {
            Self::Purse(purse) => purse.join(),
            Self::Tally(_) => 0,
        }
    }

    /// Ends what [`join`](Self::join) began: the connection does not use them any more.
    pub(crate) fn leave(&self) {
        match self {
            Self::Purse(purse) => purse.leave(),
            Self::Tally(_) => {}
        }
    }

    /// Resolves when all connections that had joined by `joined` are cut for want of funds.
    pub(crate) async fn cut_after(&self, joined: u64) {
        match self {
            Self::Purse(purse) => purse.cut_after(joined).await,
            Self::Tally(_) => std::future::pending().await,
        }
    }
}

/// Returns the detail that a caller is told whose lease was denied.
pub(crate) const fn denial(denied: LeaseDenied) -> &'static str {
    match denied {
        LeaseDenied::BalanceEmpty => "packages and wallet are exhausted",
        LeaseDenied::TrafficLimit => "the traffic limit of the sub-account is reached",
        LeaseDenied::HeldElsewhere | LeaseDenied::LimitHeldElsewhere => {
            "the last bytes are held by other connections"
        }
        LeaseDenied::Blocked => "the sub-account or the account is blocked",
        LeaseDenied::Unavailable => "funds cannot be checked just now",
    }
}
