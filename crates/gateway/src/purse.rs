//! A purse: the granted bytes of one payer on this gateway, taken from by all of the payer's
//! connections by one atomic operation each time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tollgate_types::{ByteLease, LeaseDenied, LeaseUsage, Payer};

use crate::book::Book;

/// The least that is held for a payer whose connections move bytes, and the first that is asked for.
const SMALLEST_TARGET: u64 = 1 << 20;

/// The most that is held for one payer.
const LARGEST_TARGET: u64 = 1 << 30;

/// For how long a no is remembered, so that a flood of connections that are refused anyway does not
/// reach the control plane.
const DENIAL_KEPT: Duration = Duration::from_millis(250);

/// A purse hands everything back when nothing was taken from it for so long.
const IDLE_AFTER: Duration = Duration::from_secs(2);

/// How long before a lease's end it is no longer used.
const MARGIN: Duration = Duration::from_secs(2);

/// Who gets a purse more bytes.
pub(crate) trait Lender: Send + Sync {
    /// Begins to ask for more for a purse that has not asked yet.
    fn ask(&self, purse: Arc<Purse>);
}

/// The granted bytes of one payer.
pub struct Purse {
    payer: Payer,
    /// Granted and not taken.
    available: AtomicU64,
    /// Forwarded, ever.
    used: AtomicU64,
    /// Below this, more is asked for ahead of need.
    low_water: AtomicU64,
    asking: AtomicBool,
    /// More is available, or a no has come.
    changed: Notify,
    pages: Mutex<Pages>,
    lender: Weak<dyn Lender>,
    this: Weak<Purse>,
}

/// What only asking, settling and the tick touch.
struct Pages {
    book: Book,
    target: u64,
    denied: Option<(LeaseDenied, Instant)>,
    last_grant: Option<Instant>,
    last_tick: Instant,
    last_used: u64,
    last_moved: Instant,
}

impl Purse {
    pub(crate) fn new(payer: Payer, lender: Weak<dyn Lender>) -> Arc<Self> {
        let now = Instant::now();
        let pages = Pages {
            book: Book::default(),
            target: SMALLEST_TARGET,
            denied: None,
            last_grant: None,
            last_tick: now,
            last_used: 0,
            last_moved: now,
        };
        Arc::new_cyclic(|this| Self {
            payer,
            available: AtomicU64::new(0),
            used: AtomicU64::new(0),
            low_water: AtomicU64::new(SMALLEST_TARGET / 2),
            asking: AtomicBool::new(false),
            changed: Notify::new(),
            pages: Mutex::new(pages),
            lender,
            this: this.clone(),
        })
    }

    /// Who pays.
    pub fn payer(&self) -> Payer {
        self.payer
    }

    /// Takes up to so many bytes to forward; 0 = nothing is granted just now. What is taken is
    /// either [`spent`](Self::spent) or [given back](Self::give_back).
    pub fn take(&self, want: usize) -> usize {
        let want = want as u64;
        let taken = self.withdraw(want);
        if self.available.load(Ordering::Relaxed) < self.low_water.load(Ordering::Relaxed) {
            self.ask();
        }
        // At most `want`, which came from a usize.
        taken as usize
    }

    /// Gives back what was taken but not forwarded.
    pub fn give_back(&self, bytes: usize) {
        self.available.fetch_add(bytes as u64, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// So many of the taken bytes were forwarded.
    pub fn spent(&self, bytes: usize) {
        self.used.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    /// Waits until [`take`](Self::take) may succeed.
    ///
    /// # Errors
    /// Why there will be no more bytes: the connection must end.
    pub async fn refill(&self) -> Result<(), LeaseDenied> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no notice is missed.
            changed.as_mut().enable();
            if self.available.load(Ordering::Acquire) > 0 {
                return Ok(());
            }
            if let Some(denied) = self.denied() {
                return Err(denied);
            }
            self.ask();
            changed.await;
        }
    }

    /// Takes up to so many bytes out of what connections can take.
    fn withdraw(&self, want: u64) -> u64 {
        let less = |available: u64| (available > 0).then(|| available - available.min(want));
        match self.available.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
            Ok(before) => before.min(want),
            Err(_) => 0,
        }
    }

    fn ask(&self) {
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        match (self.lender.upgrade(), self.this.upgrade()) {
            (Some(lender), Some(this)) => lender.ask(this),
            _ => self.refused(LeaseDenied::Unavailable),
        }
    }

    // For the lender ---------------------------------------------------------------------------

    /// How many bytes to ask for now.
    pub(crate) fn want(&self) -> u64 {
        let target = self.pages().target;
        target.saturating_sub(self.available.load(Ordering::Acquire)).max(SMALLEST_TARGET / 16)
    }

    /// Whether connections find nothing to take.
    pub(crate) fn is_dry(&self) -> bool {
        self.available.load(Ordering::Acquire) == 0
    }

    /// A lease came. Answers from when on it may not be used any more.
    pub(crate) fn granted(&self, lease: ByteLease) -> Instant {
        let now = Instant::now();
        let deadline = now + (lease.ttl - MARGIN.min(lease.ttl / 4));
        {
            let mut pages = self.pages();
            pages.book.enter(lease.id, lease.granted.get(), deadline);
            pages.denied = None;
            // Asked again so soon: the connections are faster than was thought.
            if pages.last_grant.is_some_and(|last| now - last < Duration::from_secs(1)) {
                pages.target = (pages.target * 2).min(LARGEST_TARGET);
                self.low_water.store(pages.target / 2, Ordering::Relaxed);
            }
            pages.last_grant = Some(now);
            pages.last_moved = now;
            self.available.fetch_add(lease.granted.get(), Ordering::AcqRel);
        }
        self.asked();
        deadline
    }

    /// A no came.
    pub(crate) fn refused(&self, denied: LeaseDenied) {
        self.pages().denied = Some((denied, Instant::now()));
        self.asked();
    }

    /// A no came that will pass, while something is left: not asked again before the next look.
    pub(crate) fn asked_in_vain(&self) {
        self.low_water.store(0, Ordering::Relaxed);
        self.asked();
    }

    /// The asking is over, for better or worse.
    pub(crate) fn asked(&self) {
        self.asking.store(false, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// The no that is still remembered.
    pub(crate) fn denied(&self) -> Option<LeaseDenied> {
        let denied = self.pages().denied?;
        (denied.1.elapsed() < DENIAL_KEPT).then_some(denied.0)
    }

    /// How far every lease has got that is held or not settled.
    pub(crate) fn usages(&self) -> Vec<LeaseUsage> {
        let pages = self.pages();
        pages.book.usages(self.used.load(Ordering::Acquire))
    }

    /// The same, of those only of which the control plane does not know it yet.
    pub(crate) fn unsettled(&self) -> Vec<LeaseUsage> {
        let pages = self.pages();
        pages.book.unsettled(self.used.load(Ordering::Acquire))
    }

    /// The control plane knows this now.
    pub(crate) fn settled(&self, usages: &[LeaseUsage]) {
        self.pages().book.settled(usages);
    }

    /// Withdraws everything from connections, to be handed back with the next report.
    pub(crate) fn recall(&self) {
        let mut pages = self.pages();
        self.hand_back(&mut pages, u64::MAX, Instant::now());
        pages.denied = None;
    }

    /// Looks after itself, twice a second: measures how fast bytes go, hands back what is more than
    /// is needed, what nobody uses, and what will have ended by the next look.
    pub(crate) fn tick(&self, next_look: Duration) {
        let now = Instant::now();
        let mut pages = self.pages();
        let used = self.used.load(Ordering::Acquire);
        let moved = used - pages.last_used;
        if moved > 0 {
            pages.last_moved = now;
        }
        let millis = u64::try_from((now - pages.last_tick).as_millis()).unwrap_or(u64::MAX).max(1);
        let two_seconds_worth = moved.saturating_mul(2000) / millis;
        (pages.last_tick, pages.last_used) = (now, used);
        // Grows at once, shrinks slowly.
        let target = two_seconds_worth.max(pages.target / 2).clamp(SMALLEST_TARGET, LARGEST_TARGET);
        pages.target = target;
        self.low_water.store(target / 2, Ordering::Relaxed);

        let available = self.available.load(Ordering::Acquire);
        let ending = pages.book.ending_before(now + next_look, used);
        let surplus = match () {
            () if now - pages.last_moved >= IDLE_AFTER => available,
            () if available > 3 * target => available - target,
            () => 0,
        };
        if ending.max(surplus) > 0 {
            self.hand_back(&mut pages, ending.max(surplus), now + next_look);
        }
    }

    /// Hands back what of its leases ends before a moment.
    pub(crate) fn expire(&self, moment: Instant) {
        let mut pages = self.pages();
        let ending = pages.book.ending_before(moment, self.used.load(Ordering::Acquire));
        self.hand_back(&mut pages, ending, moment);
    }

    /// Whether nothing is held, nothing is to be settled and nobody is asking.
    pub(crate) fn is_done(&self) -> bool {
        self.pages().book.is_empty() && !self.asking.load(Ordering::Acquire)
    }

    fn hand_back(&self, pages: &mut Pages, bytes: u64, moment: Instant) {
        let withdrawn = self.withdraw(bytes);
        let homeless = pages.book.hand_back(withdrawn, moment, self.used.load(Ordering::Acquire));
        // Only ever more than nothing if bytes were given back that had never been taken.
        debug_assert_eq!(homeless, 0, "bytes without a lease");
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Purse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Purse")
            .field("payer", &self.payer)
            .field("available", &self.available)
            .finish_non_exhaustive()
    }
}
