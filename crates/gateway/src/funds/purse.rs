//! A purse: the granted bytes of one payer on this gateway. All of the payer's connections take
//! from it, by one atomic operation each time.
//!
//! This file is what connections see. What looks after a purse between their calls (asking for more,
//! handing back, noticing that a lease ends) is in [`crate::funds::keep`], on the same struct.
//!
//! **The law.** What the leases hold in all = `used` + what connections have taken and neither
//! forwarded nor given back + `available`. Bytes enter by a grant and leave by being handed back,
//! both under the lock of the pages; connections move them between the three places without it.
//!
//! **Waiting.** A connection that finds nothing counts itself among the `waiters`, listens, and only
//! then looks again; whoever makes something available does that first and looks at `waiters` after.
//! All of it is sequentially consistent, so that one of the two sees the other: no wake-up is lost,
//! and nobody pays for waking where nobody waits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tollgate_types::{LeaseDenied, LeaseUsage, Payer};

use crate::funds::leases::Leases;
use crate::funds::pace::Pace;

/// For how long a no is remembered, so that a flood of connections that are refused anyway does not
/// reach the control plane.
pub(crate) const DENIAL_KEPT: Duration = Duration::from_millis(250);

/// How long a connection waits while others hold the funds it needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long somebody waits who needs more bytes at once than are left, where nobody but others'
/// purses could set any free: what they hold is most often this purse's own small rest.
pub(crate) const WHOLE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a connection that lives already waits for a control plane that does not answer. Longer
/// than a fail-over of the database takes.
pub(crate) const OUTAGE_PATIENCE: Duration = Duration::from_secs(60);

/// The granted bytes of one payer.
pub struct Purse {
    payer: Payer,
    /// Granted and not taken.
    pub(crate) available: AtomicU64,
    /// Forwarded, ever.
    pub(crate) used: AtomicU64,
    /// The total of the leases, to be compared with `used` without the lock.
    pub(crate) total: AtomicU64,
    /// Taking below this stirs the keeper; 0 = it need not be.
    pub(crate) low_water: AtomicU64,
    /// Connections that wait for bytes.
    pub(crate) waiters: AtomicUsize,
    /// Those among them that need several bytes at once.
    pub(crate) whole_waiters: AtomicUsize,
    /// Live connections.
    users: AtomicUsize,
    /// For the waiters: something is available, or a no has come.
    pub(crate) changed: Notify,
    /// For the keeper: have a look.
    stirred: Notify,
    /// How often all live connections of the purse were cut.
    cuts: AtomicU64,
    cut: Notify,
    pages: Mutex<Pages>,
}

/// What only the keeper, the reporter and waiting connections touch.
pub(crate) struct Pages {
    pub(crate) leases: Leases,
    pub(crate) pace: Pace,
    /// A question is on its way.
    pub(crate) asking: bool,
    /// The funds or limits changed since it was put: its answer does not count.
    pub(crate) is_stale: bool,
    /// The last answer, where it was no.
    pub(crate) denial: Option<Denial>,
    /// The funds or limits changed: ask anew, until then at the latest.
    pub(crate) recall: Option<Instant>,
    /// What the funds and limits were that the leases were granted under.
    pub(crate) terms: Terms,
    /// A lease has ended while bytes of it were on their way, and that was acted upon.
    pub(crate) overdue_cut: bool,
    /// The gateway stops: nothing is granted any more.
    pub(crate) closed: bool,
}

/// A no.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Denial {
    pub(crate) why: LeaseDenied,
    pub(crate) at: Instant,
    /// Connections at rest, which did not notice it, have been cut for it.
    pub(crate) was_cut_for: bool,
}

impl Denial {
    pub(crate) fn new(why: LeaseDenied, at: Instant) -> Self {
        Self { why, at, was_cut_for: false }
    }
}

/// What the directory says about a payer's funds. The gateway does not compute with it: it only
/// notices that it changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The account's `funds_epoch`; `None` where it is gone or suspended.
    pub(crate) funds_epoch: Option<i64>,
    /// The sub-account's limit in bytes; `None` where there is no sub-account, or not any more.
    pub(crate) limit: Option<u64>,
}

/// Who waits for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiter {
    /// A connection that has not begun.
    New,
    /// One that lives.
    Live,
    /// One that lives and needs so many bytes at once.
    Whole(u64),
}

impl Waiter {
    /// How many bytes it needs at least.
    const fn least(self) -> u64 {
        match self {
            Self::New | Self::Live => 1,
            Self::Whole(bytes) => bytes,
        }
    }
}

/// What a waiting connection has to expect.
enum Outlook {
    Ready,
    Never(LeaseDenied),
    /// Look again at the next change, or then.
    Wait(Instant),
}

impl Purse {
    pub(crate) fn new(payer: Payer, terms: Terms) -> Self {
        let pages = Pages {
            leases: Leases::default(),
            pace: Pace::new(Instant::now()),
            asking: false,
            is_stale: false,
            denial: None,
            recall: None,
            terms,
            overdue_cut: false,
            closed: false,
        };
        Self {
            payer,
            available: AtomicU64::new(0),
            used: AtomicU64::new(0),
            total: AtomicU64::new(0),
            low_water: AtomicU64::new(0),
            waiters: AtomicUsize::new(0),
            whole_waiters: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
            changed: Notify::new(),
            stirred: Notify::new(),
            cuts: AtomicU64::new(0),
            cut: Notify::new(),
            pages: Mutex::new(pages),
        }
    }

    /// Who pays.
    pub fn payer(&self) -> Payer {
        self.payer
    }

    /// Takes up to so many bytes to forward; 0 = nothing is granted just now. What is taken must be
    /// either [`spent`](Self::spent) or [given back](Self::give_back).
    pub fn take(&self, want: usize) -> usize {
        let (taken, left) = self.withdraw(want as u64);
        let low_water = self.low_water.load(Ordering::Relaxed);
        if left < low_water && self.low_water.swap(0, Ordering::Relaxed) != 0 {
            self.stir();
        }
        // At most `want`, which came from a usize.
        taken as usize
    }

    /// Gives back what was taken but not forwarded.
    pub fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.available.fetch_add(bytes as u64, Ordering::SeqCst);
            self.wake_waiters();
        }
    }

    /// So many of the taken bytes were forwarded.
    pub fn spent(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes as u64, Ordering::SeqCst) + bytes as u64;
        // Those who wait for bytes that others may give back learn that there are none.
        if used == self.total.load(Ordering::SeqCst) {
            self.wake_waiters();
        }
    }

    /// Waits until [`take`](Self::take) may succeed.
    ///
    /// # Errors
    /// Why there will be no more bytes: the connection must end, after flushing what it has taken.
    /// A denial that stands comes only when every granted byte has been forwarded, or when the
    /// connections that hold the last ones have not moved them for [`PATIENCE`].
    pub async fn refill(&self) -> Result<(), LeaseDenied> {
        self.wait(Waiter::Live).await
    }

    /// Waits until `bytes` bytes can be taken at once, for what is of no use in parts.
    ///
    /// # Errors
    /// Why there will never be so many. A denial that stands comes when nothing that is granted could
    /// make up the number any more.
    pub(crate) async fn refill_whole(&self, bytes: usize) -> Result<(), LeaseDenied> {
        let _whole = Counted::one_more(&self.whole_waiters);
        self.wait(Waiter::Whole(bytes as u64)).await
    }

    /// Waits until a connection that has not begun may take bytes.
    ///
    /// # Errors
    /// Why there will be none. A denial that stands is an answer here, even while other connections
    /// still use what was granted before.
    pub(crate) async fn first_bytes(&self) -> Result<(), LeaseDenied> {
        self.wait(Waiter::New).await
    }

    async fn wait(&self, waiter: Waiter) -> Result<(), LeaseDenied> {
        let since = Instant::now();
        let _waiting = Counted::one_more(&self.waiters);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no notice is missed.
            changed.as_mut().enable();
            let until = match self.outlook(waiter, since, Instant::now()) {
                Outlook::Ready => return Ok(()),
                Outlook::Never(why) => return Err(why),
                Outlook::Wait(until) => until,
            };
            self.stir();
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    fn outlook(&self, waiter: Waiter, since: Instant, now: Instant) -> Outlook {
        if self.available.load(Ordering::SeqCst) >= waiter.least() {
            return Outlook::Ready;
        }
        let pages = self.pages();
        if pages.closed {
            return Outlook::Never(LeaseDenied::Unavailable);
        }
        // In this order, and with nothing granted or handed back meanwhile, no byte is counted twice.
        let used = self.used.load(Ordering::SeqCst);
        let available = self.available.load(Ordering::SeqCst);
        if available >= waiter.least() {
            return Outlook::Ready;
        }
        // Nobody else has bytes in hand that could come back.
        let is_all = used + available >= pages.leases.total();
        let fresh = pages.denial.filter(|denial| now.saturating_duration_since(denial.at) < DENIAL_KEPT);
        if let Some(denial) = fresh.filter(|denial| !denial.why.is_passing())
            && (waiter == Waiter::New || is_all)
        {
            return Outlook::Never(denial.why);
        }
        let why = pages.denial.map_or(LeaseDenied::Unavailable, |denial| denial.why);
        let until = since + patience(waiter, why, is_all && available > 0);
        if now >= until { Outlook::Never(why) } else { Outlook::Wait(until) }
    }

    /// Takes up to so many bytes out of what connections can take. Answers how many, and how many
    /// are left.
    pub(crate) fn withdraw(&self, want: u64) -> (u64, u64) {
        let less = |available: u64| (available > 0).then(|| available - available.min(want));
        match self.available.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(before) => (before.min(want), before - before.min(want)),
            Err(_) => (0, 0),
        }
    }

    fn wake_waiters(&self) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    // Live connections -----------------------------------------------------------------------------

    /// Counts a live connection that uses this purse. Returns the `joined` of [`Purse::cut_after`].
    pub(crate) fn join(&self) -> u64 {
        self.users.fetch_add(1, Ordering::SeqCst);
        self.cuts.load(Ordering::SeqCst)
    }

    /// Ends what [`join`](Self::join) began: the connection does not use this purse any more.
    pub(crate) fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.stir();
        }
    }

    /// Returns the number of live connections that use it.
    pub(crate) fn users(&self) -> usize {
        self.users.load(Ordering::SeqCst)
    }

    /// Cuts every connection that has joined.
    pub(crate) fn cut_all(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
        self.cut.notify_waiters();
    }

    /// Resolves when all connections that had joined by `joined` are cut.
    pub(crate) async fn cut_after(&self, joined: u64) {
        let cut = self.cut.notified();
        tokio::pin!(cut);
        cut.as_mut().enable();
        if self.cuts.load(Ordering::SeqCst) == joined {
            cut.await;
        }
    }

    // For the keeper and the reporter --------------------------------------------------------------

    /// Has the keeper look at this purse.
    pub(crate) fn stir(&self) {
        self.stirred.notify_one();
    }

    /// Resolves when somebody had the keeper look.
    pub(crate) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Returns how far each lease has got, for those leases of which the control plane does not know it
    /// yet.
    pub(crate) fn unsettled(&self) -> Vec<LeaseUsage> {
        let pages = self.pages();
        pages.leases.unsettled(self.used.load(Ordering::SeqCst)).collect()
    }

    /// Returns how far each lease has got of which bytes were forwarded that the control plane does not
    /// know of.
    pub(crate) fn unpaid(&self) -> Vec<LeaseUsage> {
        let pages = self.pages();
        pages.leases.unpaid(self.used.load(Ordering::SeqCst)).collect()
    }

    /// Notes that the control plane knows `usages` now.
    pub(crate) fn settled(&self, usages: &[LeaseUsage]) {
        let mut pages = self.pages();
        pages.leases.settled(usages);
        if pages.leases.is_empty() {
            self.stir();
        }
    }

    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a waiter waits at most. `is_rest`: what is left here is all that this purse has.
const fn patience(waiter: Waiter, why: LeaseDenied, is_rest: bool) -> Duration {
    match (waiter, why) {
        (Waiter::Live | Waiter::Whole(_), LeaseDenied::Unavailable) => OUTAGE_PATIENCE,
        (Waiter::Whole(_), why) if why.is_held() && is_rest => WHOLE_PATIENCE,
        (Waiter::New | Waiter::Live | Waiter::Whole(_), _) => PATIENCE,
    }
}

impl std::fmt::Debug for Purse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Purse");
        out.field("payer", &self.payer).field("available", &self.available).field("used", &self.used);
        out.finish_non_exhaustive()
    }
}

/// One more in a count, until dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::{sleep, timeout};
    use tollgate_types::{AccountId, ByteLease, Bytes, LeaseId, ProxyType};

    use super::*;

    /// A purse that holds so many bytes.
    fn purse(bytes: u64) -> Arc<Purse> {
        let payer = Payer { account: AccountId::new(1), sub_account: None, proxy_type: ProxyType::Mobile };
        let purse = Arc::new(Purse::new(payer, Terms::default()));
        let ttl = Duration::from_secs(30);
        let lease = ByteLease { id: LeaseId::new(1), granted: Bytes::new(bytes), ttl };
        purse.answered(Ok(lease), Instant::now(), Instant::now());
        purse
    }

    fn deny(purse: &Purse, why: LeaseDenied) {
        purse.answered(Err(why), Instant::now(), Instant::now());
    }

    fn refilling(purse: &Arc<Purse>) -> tokio::task::JoinHandle<Result<(), LeaseDenied>> {
        let purse = purse.clone();
        tokio::spawn(async move { purse.refill().await })
    }

    #[tokio::test(start_paused = true)]
    async fn takes_what_there_is_and_no_more() {
        let purse = purse(10);
        assert_eq!((purse.take(4), purse.take(0), purse.take(9), purse.take(1)), (4, 0, 6, 0));
        purse.give_back(3);
        assert_eq!((purse.take(usize::MAX), purse.take(1)), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_no_leaves_a_live_connection_waiting_while_bytes_may_come_back() {
        let purse = purse(10);
        assert_eq!(purse.take(10), 10);
        let waiting = refilling(&purse);
        sleep(Duration::from_millis(1)).await;
        deny(&purse, LeaseDenied::BalanceEmpty);
        // A connection that has not begun is answered at once.
        assert_eq!(purse.first_bytes().await, Err(LeaseDenied::BalanceEmpty));
        sleep(Duration::from_millis(1)).await;
        assert!(!waiting.is_finished());
        purse.give_back(1);
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_use_only_together_are_waited_for_together_and_end_with_what_may_come_back() {
        let purse = purse(10);
        let whole = |bytes: usize| {
            let purse = purse.clone();
            tokio::spawn(async move { purse.refill_whole(bytes).await })
        };
        assert_eq!(purse.take(6), 6);
        assert_eq!(purse.refill_whole(4).await, Ok(()));
        let waiting = whole(5);
        sleep(Duration::from_millis(1)).await;
        deny(&purse, LeaseDenied::TrafficLimit);
        sleep(Duration::from_millis(1)).await;
        assert!(!waiting.is_finished(), "six are in somebody's hands");
        purse.give_back(1);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        // Five are left, five are used: no six will ever be had.
        purse.spent(5);
        deny(&purse, LeaseDenied::TrafficLimit);
        assert_eq!(purse.refill_whole(6).await, Err(LeaseDenied::TrafficLimit));
        assert_eq!(purse.refill().await, Ok(()), "who needs any goes on");
        // The rest of this purse is what is held elsewhere, as the control plane sees it.
        let since = Instant::now();
        deny(&purse, LeaseDenied::HeldElsewhere);
        assert_eq!(purse.refill_whole(6).await, Err(LeaseDenied::HeldElsewhere));
        assert_eq!(since.elapsed(), WHOLE_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_no_ends_a_live_connection_with_the_last_byte() {
        let purse = purse(10);
        assert_eq!(purse.take(10), 10);
        let waiting = refilling(&purse);
        sleep(Duration::from_millis(1)).await;
        deny(&purse, LeaseDenied::TrafficLimit);
        purse.spent(9);
        sleep(Duration::from_millis(1)).await;
        assert!(!waiting.is_finished());
        let started = Instant::now();
        purse.spent(1);
        assert_eq!(waiting.await.unwrap(), Err(LeaseDenied::TrafficLimit));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let purse = purse(10);
        assert_eq!(purse.take(10), 10);
        let started = Instant::now();
        let (new, live) = (
            {
                let purse = purse.clone();
                tokio::spawn(async move { purse.first_bytes().await })
            },
            refilling(&purse),
        );
        sleep(Duration::from_secs(1)).await;
        deny(&purse, LeaseDenied::Unavailable);
        assert_eq!(new.await.unwrap(), Err(LeaseDenied::Unavailable));
        assert_eq!(started.elapsed(), PATIENCE);
        assert_eq!(live.await.unwrap(), Err(LeaseDenied::Unavailable));
        assert_eq!(started.elapsed(), OUTAGE_PATIENCE);
        deny(&purse, LeaseDenied::HeldElsewhere);
        let started = Instant::now();
        assert_eq!(purse.refill().await, Err(LeaseDenied::HeldElsewhere));
        assert_eq!(started.elapsed(), PATIENCE);
    }

    /// Were a wake-up lost, a waiter would sleep until its patience ends.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_up_is_lost() {
        let purse = purse(3);
        let mut passers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let purse = purse.clone();
            passers.spawn(async move {
                for _ in 0..500 {
                    while purse.take(1) == 0 {
                        let refilled = timeout(PATIENCE / 2, purse.refill()).await;
                        refilled.expect("woken in time").expect("nobody says no");
                    }
                    tokio::task::yield_now().await;
                    purse.give_back(1);
                }
            });
        }
        passers.join_all().await;
        assert_eq!(purse.take(9), 3);
    }
}
