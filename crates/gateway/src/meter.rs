//! The meter of one connection: bytes are forwarded only out of what its funds have granted, and
//! both count what was written, each direction at the far side's socket. How fast they go is the
//! throttle's business, which stands before the funds and has no part in the count.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tollgate_types::LeaseDenied;

use crate::bandwidth::Throttle;
use crate::funds::Funds;
use crate::live::LiveConnection;

/// The most that is taken, read and written at once.
pub(crate) const SLICE: usize = 64 * 1024;

/// A direction, seen from the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the customer to the target; counted when written upstream.
    Up,
    /// From the target to the customer; counted when written to him.
    Down,
}

/// Why bytes stopped flowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broke {
    /// The side that bytes of this direction come from broke off.
    Reading(Way),
    /// The side that bytes of this direction go to takes no more.
    Writing(Way),
    /// No more bytes are granted.
    Denied(LeaseDenied),
    /// Nothing moved for too long.
    Idle,
}

/// Meters one connection.
pub(crate) struct Meter<'t> {
    funds: &'t Funds,
    throttle: &'t Throttle,
    live: &'t LiveConnection,
    last_moved: std::sync::Mutex<Instant>,
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
        live: &'t LiveConnection,
        idle_timeout: Duration,
    ) -> Self {
        Self { funds, throttle, live, last_moved: std::sync::Mutex::new(Instant::now()), idle_timeout }
    }

    /// Takes up to so many bytes; `None` while none are granted, or none may flow yet.
    pub(crate) fn take(&'t self, want: usize) -> Option<Grant<'t>> {
        let may_flow = self.throttle.take(want.min(SLICE));
        let left = self.funds.take(may_flow);
        if left < may_flow {
            self.throttle.give_back(may_flow - left);
        }
        (left > 0).then_some(Grant { meter: self, left })
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
    /// As [`Broke`]; what was written until then is counted.
    pub(crate) async fn send(&self, way: Way, to: &TcpStream, bytes: &[u8]) -> Result<(), Broke> {
        self.send_noting(way, to, bytes, &AtomicBool::new(false)).await
    }

    /// The same, and notes in `began` that the first byte is out: from then on nothing can be taken
    /// back.
    pub(crate) async fn send_noting(
        &self,
        way: Way,
        to: &TcpStream,
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
                    grant.spend(way, written);
                    rest = rest.get(written..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    drop(grant);
                    to.writable().await.map_err(|_| Broke::Writing(way))?;
                }
                Err(_) => return Err(Broke::Writing(way)),
            }
        }
        Ok(())
    }

    /// Resolves when nothing has moved in either direction for the idle time.
    pub(crate) async fn idle(&self) {
        loop {
            let until = self.last_moved() + self.idle_timeout;
            tokio::time::sleep_until(until).await;
            if self.last_moved() + self.idle_timeout <= Instant::now() {
                return;
            }
        }
    }

    fn last_moved(&self) -> Instant {
        *self.last_moved.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn moved(&self, way: Way, bytes: usize) {
        *self.last_moved.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        match way {
            Way::Up => self.live.moved_up(bytes),
            Way::Down => self.live.moved_down(bytes),
        }
    }
}

impl Grant<'_> {
    /// How many bytes may still be forwarded under it.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Hands back all but so many.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let surplus = self.left.saturating_sub(bytes);
        self.left -= surplus;
        if surplus > 0 {
            self.meter.funds.give_back(surplus);
            self.meter.throttle.give_back(surplus);
        }
    }

    /// So many were forwarded.
    pub(crate) fn spend(&mut self, way: Way, bytes: usize) {
        let bytes = bytes.min(self.left);
        self.left -= bytes;
        self.meter.funds.spent(way, bytes);
        self.meter.moved(way, bytes);
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
        matches!(self, Self::Reading(Way::Down) | Self::Writing(Way::Up))
    }
}
