//! The meter of one connection: bytes are forwarded only out of what its funds have granted, and
//! both count what was written, each direction at the far side's socket. How fast they go is the
//! throttle's business, which stands before the funds and has no part in the count.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tollgate_types::LeaseDenied;

use crate::funds::{Direction, Funds};
use crate::relay::bandwidth::{SLICE, Throttle};
use crate::relay::moved::MovedBytes;
use crate::stream::Stream;

/// Why bytes stopped flowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broke {
    /// The side that bytes of this direction come from broke off.
    Reading(Direction),
    /// The side that bytes of this direction go to takes no more.
    Writing(Direction),
    /// No more bytes are granted.
    Denied(LeaseDenied),
    /// Nothing moved for too long.
    Idle,
}

/// Meters one connection.
pub(crate) struct Meter<'t> {
    funds: &'t Funds,
    throttle: &'t Throttle,
    moved: &'t MovedBytes,
    began: Instant,
    /// When bytes moved last, in microseconds since it began.
    last_moved: AtomicU64,
    idle_timeout: Duration,
}

/// Bytes taken from the funds for one slice; what is not spent goes back when this is dropped.
pub(crate) struct Grant<'t> {
    meter: &'t Meter<'t>,
    left: usize,
}

impl<'t> Meter<'t> {
    /// A meter that calls the connection idle after so long without a byte in either direction.
    pub(crate) fn new(
        funds: &'t Funds,
        throttle: &'t Throttle,
        moved: &'t MovedBytes,
        idle_timeout: Duration,
    ) -> Self {
        let (began, last_moved) = (Instant::now(), AtomicU64::new(0));
        Self { funds, throttle, moved, began, last_moved, idle_timeout }
    }

    /// Takes up to `want` bytes; `None` while none are granted, or none may flow yet.
    pub(crate) fn take(&'t self, want: usize) -> Option<Grant<'t>> {
        let may_flow = self.throttle.take(want.min(SLICE));
        let left = self.funds.take(may_flow);
        if left < may_flow {
            self.throttle.give_back(may_flow - left);
        }
        (left > 0).then_some(Grant { meter: self, left })
    }

    /// Takes exactly `want` bytes, or none: for what goes as a whole or not at all.
    pub(crate) fn take_whole(&'t self, want: usize) -> Option<Grant<'t>> {
        if !self.throttle.take_whole(want) {
            return None;
        }
        let grant = Grant { meter: self, left: self.funds.take(want) };
        self.throttle.give_back(want - grant.left);
        // What falls short goes back.
        (grant.left == want).then_some(grant)
    }

    /// Waits until [`Meter::take_whole`] may succeed.
    ///
    /// # Errors
    /// So many bytes will not be granted any more: the connection must end.
    pub(crate) async fn refill_whole(&self, want: usize) -> Result<(), Broke> {
        self.funds.refill_whole(want).await.map_err(Broke::Denied)?;
        self.throttle.turns(want).await;
        Ok(())
    }

    /// Waits until [`Meter::take`] may succeed.
    ///
    /// # Errors
    /// No more bytes will be granted: the connection must end.
    pub(crate) async fn refill(&self) -> Result<(), Broke> {
        self.funds.refill().await.map_err(Broke::Denied)?;
        self.throttle.turn().await;
        Ok(())
    }

    /// Writes all these bytes, as they are granted.
    ///
    /// # Errors
    /// Why bytes stopped flowing; what was written until then is counted.
    pub(crate) async fn send(&self, direction: Direction, to: &Stream, bytes: &[u8]) -> Result<(), Broke> {
        self.send_noting(direction, to, bytes, &AtomicBool::new(false)).await
    }

    /// Writes all these bytes, as they are granted, and notes in `began` that the first byte is out:
    /// from then on nothing can be taken back.
    ///
    /// # Errors
    /// Why bytes stopped flowing; what was written until then is counted.
    pub(crate) async fn send_noting(
        &self,
        direction: Direction,
        to: &Stream,
        bytes: &[u8],
        began: &AtomicBool,
    ) -> Result<(), Broke> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(mut grant) = self.take(rest.len()) else {
                self.refill().await?;
                continue;
            };
            let granted = rest.get(..grant.left()).unwrap_or(rest);
            match to.try_write(granted) {
                Ok(written) => {
                    began.store(true, Ordering::Relaxed);
                    grant.spend(direction, written);
                    rest = rest.get(written..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    drop(grant);
                    to.writable().await.map_err(|_| Broke::Writing(direction))?;
                }
                Err(_) => return Err(Broke::Writing(direction)),
            }
        }
        to.flush().await.map_err(|_| Broke::Writing(direction))
    }

    /// Resolves when nothing has moved in either direction for the idle time.
    pub(crate) async fn idle(&self) {
        while !self.idle_within(self.idle_timeout).await {}
    }

    /// Resolves when so much time has passed, or earlier when nothing has moved in either direction
    /// for the idle time. Says whether it was the latter.
    pub(crate) async fn idle_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            sleep_until(end.min(self.idle_at())).await;
            let now = Instant::now();
            if self.idle_at() <= now {
                return true;
            }
            if end <= now {
                return false;
            }
        }
    }

    fn idle_at(&self) -> Instant {
        self.last_moved() + self.idle_timeout
    }

    fn last_moved(&self) -> Instant {
        self.began + Duration::from_micros(self.last_moved.load(Ordering::Relaxed))
    }

    fn moved(&self, direction: Direction, bytes: usize) {
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_moved.store(now, Ordering::Relaxed);
        self.moved.add(direction, bytes);
    }
}

impl Grant<'_> {
    /// How many bytes may still be forwarded under it.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Hands back all but `bytes`.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let surplus = self.left.saturating_sub(bytes);
        self.left -= surplus;
        if surplus > 0 {
            self.meter.funds.give_back(surplus);
            self.meter.throttle.give_back(surplus);
        }
    }

    /// Counts `bytes` that were forwarded.
    pub(crate) fn spend(&mut self, direction: Direction, bytes: usize) {
        let bytes = bytes.min(self.left);
        self.left -= bytes;
        self.meter.funds.spent(direction, bytes);
        self.meter.moved(direction, bytes);
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        self.keep(0);
    }
}

impl Broke {
    /// Whether it was the upstream that broke off.
    pub(crate) const fn is_upstream(self) -> bool {
        matches!(self, Self::Reading(Direction::Down) | Self::Writing(Direction::Up))
    }
}
