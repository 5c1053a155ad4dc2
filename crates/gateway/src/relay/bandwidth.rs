//! How fast bytes flow: token buckets for a caller, for an account and for the whole gateway, behind
//! the meter. They slow bytes down and never count them: what is billed does not depend on them.
//!
//! A bucket holds what may flow now, at most [a moment's worth](BURST), and fills as time goes by.
//! Where it is empty, connections queue for a small quantum each, first come, first served: one that
//! moves much stands behind everybody else again after each of its quanta, so that it starves nobody.
//! What a connection takes and does not forward goes back, to the next in the queue at once.
//!
//! Without a limit, all of it is one look at an atomic number for each bucket, and no lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};

use crate::stats::Stats;

/// The most that is taken, read and written at once.
pub(crate) const SLICE: usize = 512 * 1024;
/// What a bucket holds at most, as time at its rate.
const BURST: Duration = Duration::from_millis(100);
/// What one turn in the queue is worth, as time at the bucket's rate; a slice at most.
const TURN: Duration = Duration::from_millis(50);
/// The least that a turn is worth, so that a slow bucket does not cost a system call for each byte.
const SMALLEST_TURN: usize = 256;
/// How often a bucket that somebody waits at is filled at most.
const TICK: Duration = Duration::from_millis(5);
/// The fastest rate that is one: beyond it, there is no limit.
const FASTEST: u64 = 1 << 50;

const NANOS: u128 = 1_000_000_000;

/// What may flow for one caller, one account, or all of them.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Bytes a second; 0 = no limit.
    rate: AtomicU64,
    /// A permit for each byte that may flow now. Who waits is served in order.
    bytes: Semaphore,
    fill: Mutex<Fill>,
    /// The rate is another one: turns are of another size now.
    changed: Notify,
}

#[derive(Debug)]
struct Fill {
    /// The moment up to which it was filled.
    until: Instant,
    /// What was left over then: billionths of a byte.
    rest: u128,
    /// Connections in the queue.
    waiting: usize,
    /// Somebody fills it while they wait.
    is_pumped: bool,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(rate: u64) -> Self {
        let fill = Fill { until: Instant::now(), rest: 0, waiting: 0, is_pumped: false };
        let rate = effective(rate);
        let bytes = Semaphore::new(capacity(rate));
        Self { rate: AtomicU64::new(rate), bytes, fill: Mutex::new(fill), changed: Notify::new() }
    }

    /// Has it fill at another rate from now on. Who waits, waits for a turn at that rate: at once for
    /// a limit that is gone, and for no more than there is now to be had of one that is narrower.
    pub(crate) fn set_rate(&self, rate: u64) {
        let rate = effective(rate);
        let mut fill = self.fill();
        self.top_up(&mut fill, Instant::now());
        if self.rate.swap(rate, Ordering::Relaxed) != rate {
            self.top_up(&mut fill, Instant::now());
            self.changed.notify_waiters();
        }
    }

    /// Whether it has nothing to remember.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        let rate = self.rate();
        if rate == 0 {
            return true;
        }
        let mut fill = self.fill();
        self.top_up(&mut fill, now);
        self.bytes.available_permits() >= capacity(rate)
    }

    fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    /// Takes up to so many bytes without waiting; 0 where it is not this connection's turn. Rather
    /// nothing than less than a turn: crumbs would cost a system call each.
    fn take(&self, want: usize) -> usize {
        let rate = self.rate();
        if rate == 0 {
            return want;
        }
        let want = want.min(turn(rate));
        let mut fill = self.fill();
        self.top_up(&mut fill, Instant::now());
        // With somebody in the queue there is none: whatever comes is theirs.
        match self.bytes.try_acquire_many(permits(want)) {
            Ok(taken) => {
                taken.forget();
                want
            }
            Err(_) => 0,
        }
    }

    /// Hands back what was taken and not forwarded.
    fn give_back(&self, bytes: usize) {
        if bytes > 0 && self.rate() > 0 {
            self.bytes.add_permits(bytes);
        }
    }

    /// Waits for this connection's turn and takes up to so many bytes.
    async fn next(self: &Arc<Self>, most: usize) -> Taken<'_> {
        let mut waiting = None;
        loop {
            // Before the rate is looked at: from here on no change is missed.
            let changed = self.changed.notified();
            let want = match self.rate() {
                0 => most,
                rate => most.min(turn(rate)),
            };
            let taken = self.take(want);
            if taken > 0 {
                return Taken { bucket: self, bytes: taken };
            }
            waiting.get_or_insert_with(|| Waiting::in_line(self));
            tokio::select! {
                taken = self.bytes.acquire_many(permits(want)) => {
                    if let Ok(taken) = taken {
                        taken.forget();
                    }
                    return Taken { bucket: self, bytes: want };
                }
                () = changed => {}
            }
        }
    }

    /// Lets in what has come since the last time, up to what there is room for.
    fn top_up(&self, fill: &mut Fill, now: Instant) {
        let rate = self.rate();
        let passed = now.saturating_duration_since(fill.until).as_nanos();
        fill.until = fill.until.max(now);
        let (available, capacity) = (self.bytes.available_permits(), capacity(rate));
        if available > capacity {
            self.bytes.forget_permits(available - capacity);
        }
        if rate == 0 {
            // Whoever is in the queue is served, however many there are.
            self.bytes.add_permits(capacity.saturating_sub(available).max(fill.waiting * SLICE));
            fill.rest = 0;
            return;
        }
        let come = passed * u128::from(rate) + fill.rest;
        let (bytes, room) = (come / NANOS, capacity.saturating_sub(available));
        fill.rest = come % NANOS;
        match usize::try_from(bytes).ok().filter(|bytes| *bytes < room) {
            Some(bytes) => self.bytes.add_permits(bytes),
            None => {
                self.bytes.add_permits(room);
                fill.rest = 0;
            }
        }
    }

    fn fill(&self) -> MutexGuard<'_, Fill> {
        self.fill.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills a bucket for as long as somebody waits at it.
async fn pump(bucket: Arc<Bucket>) {
    loop {
        sleep(tick(bucket.rate())).await;
        let mut fill = bucket.fill();
        bucket.top_up(&mut fill, Instant::now());
        if fill.waiting == 0 {
            fill.is_pumped = false;
            return;
        }
    }
}

/// A connection in a bucket's queue.
struct Waiting<'b>(&'b Bucket);

impl<'b> Waiting<'b> {
    fn in_line(bucket: &'b Arc<Bucket>) -> Self {
        let mut fill = bucket.fill();
        fill.waiting += 1;
        if !std::mem::replace(&mut fill.is_pumped, true) {
            tokio::spawn(pump(bucket.clone()));
        }
        Self(bucket)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fill().waiting -= 1;
    }
}

/// Bytes taken out of one bucket, while the others are asked; they go back when this is dropped.
struct Taken<'b> {
    bucket: &'b Bucket,
    bytes: usize,
}

impl Taken<'_> {
    /// Keeps so many of them.
    fn keep(mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.bucket.give_back(self.bytes);
    }
}

/// The buckets that one connection's bytes come out of: its caller's, its account's, the gateway's.
#[derive(Debug)]
pub(crate) struct Throttle {
    buckets: [Arc<Bucket>; 3],
    /// What was waited for, until it is taken.
    pocket: AtomicUsize,
    stats: Arc<Stats>,
}

impl Throttle {
    /// For a connection that these buckets are for, the narrowest first.
    pub(crate) fn new(buckets: [Arc<Bucket>; 3], stats: Arc<Stats>) -> Self {
        Self { buckets, pocket: AtomicUsize::new(0), stats }
    }

    fn is_off(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.rate() == 0)
    }

    /// Takes up to so many bytes; 0 = none may flow just now. What is taken and not forwarded must
    /// be [given back](Self::give_back).
    pub(crate) fn take(&self, want: usize) -> usize {
        if self.is_off() || want == 0 {
            return want;
        }
        let waited_for = self.pocket.swap(0, Ordering::Relaxed);
        if waited_for > 0 {
            let taken = waited_for.min(want);
            self.give_back(waited_for - taken);
            return taken;
        }
        self.draw(want)
    }

    /// Takes exactly so many bytes, or none: what there is, is kept until there are enough.
    pub(crate) fn take_whole(&self, want: usize) -> bool {
        if self.is_off() {
            return true;
        }
        let kept = self.pocket.swap(0, Ordering::Relaxed);
        let held = if kept < want { kept + self.draw(want - kept) } else { kept };
        let is_enough = held >= want;
        self.pocket.fetch_add(if is_enough { held - want } else { held }, Ordering::Relaxed);
        is_enough
    }

    fn draw(&self, want: usize) -> usize {
        let [caller, account, gateway] = &self.buckets;
        let of_caller = Taken { bucket: caller, bytes: caller.take(want) };
        let of_account = Taken { bucket: account, bytes: account.take(of_caller.bytes) };
        let taken = gateway.take(of_account.bytes);
        of_account.keep(taken);
        of_caller.keep(taken);
        taken
    }

    /// Hands back what was taken and not forwarded.
    pub(crate) fn give_back(&self, bytes: usize) {
        for bucket in &self.buckets {
            bucket.give_back(bytes);
        }
    }

    /// Waits until [`take`](Self::take) may succeed: at once where nothing is limited. Dropped while
    /// it waits, it has taken nothing.
    pub(crate) async fn turn(&self) {
        self.turns(1).await;
    }

    /// Waits for as many turns as [`take_whole`](Self::take_whole) of `want` bytes needs.
    pub(crate) async fn turns(&self, want: usize) {
        while !self.is_off() && self.pocket.load(Ordering::Relaxed) < want {
            self.next().await;
        }
    }

    async fn next(&self) {
        let since = Instant::now();
        let [caller, account, gateway] = &self.buckets;
        let of_caller = caller.next(SLICE).await;
        let of_account = account.next(of_caller.bytes).await;
        let of_gateway = gateway.next(of_account.bytes).await;
        let bytes = of_gateway.bytes;
        of_gateway.keep(bytes);
        of_account.keep(bytes);
        of_caller.keep(bytes);
        self.pocket.fetch_add(bytes, Ordering::Relaxed);
        self.stats.throttled(since.elapsed());
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.give_back(self.pocket.load(Ordering::Relaxed));
    }
}

fn effective(rate: u64) -> u64 {
    if rate > FASTEST { 0 } else { rate }
}

/// How many bytes come in so long.
fn worth(rate: u64, time: Duration) -> usize {
    usize::try_from(u128::from(rate) * time.as_nanos() / NANOS).unwrap_or(usize::MAX)
}

/// The most that a bucket holds.
fn capacity(rate: u64) -> usize {
    worth(rate, BURST).max(turn(rate))
}

/// The most that one connection takes at once.
fn turn(rate: u64) -> usize {
    worth(rate, TURN).clamp(SMALLEST_TURN, SLICE)
}

/// The time in which a turn's worth comes.
fn tick(rate: u64) -> Duration {
    let nanos = turn(rate) as u64 * 1_000_000_000 / rate.max(1);
    Duration::from_nanos(nanos).clamp(TICK, TURN)
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
