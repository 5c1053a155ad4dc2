//! Keeping a purse: what has to happen between the calls of its connections. When to ask for more,
//! what to hand back, and until when a lease may be used.
//!
//! [`Purse::tend`] decides all of it in one look, under the lock of the pages, without waiting; the
//! keeper in [`crate::funds::purses`] does what it says and comes back when it says, or when stirred.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_types::{ByteLease, LeaseDenied};

use crate::funds::leases::Term;
use crate::funds::pace::SMALLEST_TARGET;
use crate::funds::purse::{DENIAL_KEPT, Denial, PATIENCE, Pages, Purse, Terms};

/// How long to wait before asking again after a no that may pass.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How long to wait before asking again after a no while something is left to take.
const ASK_AHEAD_AGAIN: Duration = Duration::from_secs(1);

/// After so long without a forwarded byte a purse hands everything back.
const IDLE_AFTER: Duration = Duration::from_secs(2);

/// After so long without a connection a purse hands everything back.
const CLOSED_AFTER: Duration = Duration::from_millis(500);

/// A lease is not believed to last longer than this, whatever the control plane says.
const LONGEST_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// A lease is used up to so long before its end (a quarter of a short one): reports take their time.
const MARGIN: Duration = Duration::from_secs(2);

/// So long before that, the next lease is asked for.
const RENEW_AHEAD: Duration = Duration::from_secs(1);

/// Between two looks at bytes that were on their way when their lease ended.
const OVERDUE_LOOK: Duration = Duration::from_millis(50);

/// Bytes on their way may outlive their lease by so much, and then their connections are cut.
const OVERDUE_GRACE: Duration = Duration::from_secs(10);

/// Between two looks at a purse that holds bytes, or that nobody uses and may be forgotten.
const LOOK: Duration = Duration::from_millis(500);

/// Between two looks at a purse that holds none while its connections are at rest.
const IDLE_LOOK: Duration = Duration::from_secs(10);

/// The most bytes that somebody needs at once: what one datagram holds at most.
const LARGEST_WHOLE: u64 = 1 << 16;

/// What a look at a purse came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tended {
    /// Ask for so many bytes.
    pub(crate) ask: Option<u64>,
    /// Tell the control plane at once what was handed back: somebody waits for it.
    pub(crate) report: bool,
    /// Look again then at the latest.
    pub(crate) next: Instant,
}

impl Term {
    /// Of a lease that was asked for at a moment, and may be used for so long after that.
    pub(crate) fn new(asked_at: Instant, ttl: Duration) -> Self {
        let ttl = ttl.min(LONGEST_TTL);
        let end = asked_at + ttl;
        let stop_at = end - MARGIN.min(ttl / 4);
        Self { renew_at: stop_at - RENEW_AHEAD.min(ttl / 8), stop_at, end }
    }
}

impl Purse {
    /// Looks after the purse: see the module.
    pub(crate) fn tend(&self, now: Instant) -> Tended {
        let mut pages = self.pages();
        pages.pace.observe(now, self.used.load(Ordering::SeqCst));
        self.stop_ended(&mut pages, now);
        self.hand_back_surplus(&mut pages, now);
        if pages.recall.is_some_and(|until| now >= until || self.users() + self.waiting() == 0) {
            pages.recall = None;
        }
        let mut next = self.next_look(&pages, now);
        if self.has_ended(&pages) {
            next = next.min(self.cut_at_rest(&mut pages, now));
        }
        let ask = self.ask_at(&mut pages, now).and_then(|at| {
            if at <= now {
                pages.asking = true;
                Some(pages.pace.next_want())
            } else {
                next = next.min(at);
                None
            }
        });
        Tended { ask, report: pages.recall.is_some(), next }
    }

    /// An answer came to what was asked at a moment.
    pub(crate) fn answered(&self, answer: Result<ByteLease, LeaseDenied>, asked_at: Instant, now: Instant) {
        let mut pages = self.pages();
        pages.asking = false;
        let is_stale = std::mem::take(&mut pages.is_stale);
        match answer {
            Ok(lease) => self.granted(&mut pages, lease, Term::new(asked_at, lease.ttl), is_stale, now),
            Err(_) if is_stale => {}
            Err(why) => self.denied(&mut pages, why, now),
        }
        drop(pages);
        self.changed.notify_waiters();
        self.stir();
    }

    fn granted(&self, pages: &mut Pages, lease: ByteLease, term: Term, is_stale: bool, now: Instant) {
        let bytes = lease.granted.get();
        pages.leases.enter(lease.id, lease.granted, term);
        let is_late = term.stop_at <= now;
        if pages.closed || is_stale || is_late {
            // Nothing of it becomes available, all of it goes back.
            let used = self.used.load(Ordering::SeqCst);
            pages.leases.hand_back(bytes, used, |_| true, |most| most);
            if is_late {
                pages.denial = Some(Denial::new(LeaseDenied::Unavailable, now));
            }
            return;
        }
        pages.denial = None;
        pages.recall = None;
        pages.pace.granted(now);
        self.total.store(pages.leases.total(), Ordering::SeqCst);
        self.available.fetch_add(bytes, Ordering::SeqCst);
    }

    fn denied(&self, pages: &mut Pages, why: LeaseDenied, now: Instant) {
        pages.denial = Some(Denial::new(why, now));
        if pages.recall.is_some() && !why.is_passing() {
            pages.recall = None;
            self.cut_all();
        }
    }

    /// The directory says this about the payer's funds now. Where that is new, what is held goes
    /// back and is asked for anew, so that it follows the payer's present rights; where nothing is
    /// granted then, live connections are cut.
    pub(crate) fn recheck(&self, terms: Terms, now: Instant) {
        let mut pages = self.pages();
        if pages.terms == terms {
            return;
        }
        pages.terms = terms;
        pages.denial = None;
        pages.is_stale = pages.asking;
        pages.recall = Some(now + PATIENCE);
        self.hand_back(&mut pages, u64::MAX, |_| true);
        drop(pages);
        self.stir();
    }

    /// The gateway stops: everything goes back, and nothing is granted any more.
    pub(crate) fn close(&self) {
        let mut pages = self.pages();
        pages.closed = true;
        self.hand_back(&mut pages, u64::MAX, |_| true);
        drop(pages);
        self.changed.notify_waiters();
        self.stir();
    }

    /// Hands back what is left in a purse that no connection uses any more, once none has come for a
    /// while: what was taken and neither forwarded nor given back never will be. Returns whether
    /// nothing is left to keep.
    pub(crate) fn settle_estate(&self, now: Instant) -> bool {
        let mut pages = self.pages();
        if pages.closed || pages.pace.still_at(CLOSED_AFTER) <= now {
            let lost = self.hand_back(&mut pages, u64::MAX, |_| true) + self.hand_back_lost(&mut pages);
            if lost > 0 {
                self.total.store(pages.leases.total(), Ordering::SeqCst);
            }
        }
        pages.leases.is_empty() && !pages.asking
    }

    fn hand_back_lost(&self, pages: &mut Pages) -> u64 {
        pages.leases.hand_back(u64::MAX, self.used.load(Ordering::SeqCst), |_| true, |most| most)
    }

    // Whom to cut ------------------------------------------------------------------------------------

    /// Whether every granted byte has been forwarded and no more will be granted.
    fn has_ended(&self, pages: &Pages) -> bool {
        let is_final = pages.denial.is_some_and(|denial| !denial.why.is_passing() && !denial.was_cut_for);
        is_final && self.users() > 0 && self.used.load(Ordering::SeqCst) >= pages.leases.total()
    }

    /// Cuts the connections that carry nothing just now. Those that wait for bytes come first: they
    /// learn the reason, and may still tell it. Answers when to look again.
    fn cut_at_rest(&self, pages: &mut Pages, now: Instant) -> Instant {
        if self.waiting() > 0 {
            return now + OVERDUE_LOOK;
        }
        if let Some(denial) = &mut pages.denial {
            denial.was_cut_for = true;
        }
        self.cut_all();
        now + LOOK
    }

    // What to hand back ----------------------------------------------------------------------------

    fn hand_back(&self, pages: &mut Pages, most: u64, which: impl Fn(Term) -> bool) -> u64 {
        let used = self.used.load(Ordering::SeqCst);
        let back = pages.leases.hand_back(most, used, which, |most| self.withdraw(most).0);
        if back > 0 {
            self.total.store(pages.leases.total(), Ordering::SeqCst);
            // What is left may all have been forwarded: see `spent`.
            self.changed.notify_waiters();
        }
        back
    }

    /// Hands back what is left of leases that may not be used any more. Bytes on their way are
    /// moved to a later lease where there is one; where there is none for long, connections are cut.
    fn stop_ended(&self, pages: &mut Pages, now: Instant) {
        self.hand_back(pages, u64::MAX, |term| term.stop_at <= now);
        let used = self.used.load(Ordering::SeqCst);
        let overdue = pages.leases.unused(used).any(|(_, term)| term.end + OVERDUE_GRACE <= now);
        if overdue && !pages.overdue_cut {
            self.cut_all();
        }
        pages.overdue_cut = overdue;
    }

    fn hand_back_surplus(&self, pages: &mut Pages, now: Instant) {
        let available = self.available.load(Ordering::SeqCst);
        let target = pages.pace.target();
        let surplus = if pages.pace.still_at(self.idle_after()) <= now && self.waiting() == 0 {
            available
        } else if available > 2 * target + SMALLEST_TARGET {
            available - target
        } else {
            0
        };
        if surplus > 0 {
            self.hand_back(pages, surplus, |_| true);
        }
    }

    fn idle_after(&self) -> Duration {
        if self.users() == 0 { CLOSED_AFTER } else { IDLE_AFTER }
    }

    fn waiting(&self) -> usize {
        self.waiters.load(Ordering::SeqCst)
    }

    // When to ask ----------------------------------------------------------------------------------

    /// When to ask for more, where more is wanted. Sets the mark at which connections stir the
    /// keeper.
    fn ask_at(&self, pages: &mut Pages, now: Instant) -> Option<Instant> {
        let low = pages.pace.target() / 2;
        // The mark is set before the level is looked at, so that no fall below it is missed.
        self.low_water.store(low, Ordering::SeqCst);
        let wants_now = pages.recall.is_some()
            || (self.waiting() > 0 && self.available.load(Ordering::SeqCst) < self.least_useful())
            || self.is_overdue(pages, now);
        if pages.asking || pages.closed || !(wants_now || self.wants_ahead(pages, low, now)) {
            if pages.asking || pages.closed {
                self.low_water.store(0, Ordering::SeqCst);
            }
            return None;
        }
        self.low_water.store(0, Ordering::SeqCst);
        let pause = |denial: Denial| match () {
            () if !wants_now => ASK_AHEAD_AGAIN,
            () if denial.why.is_passing() => ASK_AGAIN,
            () => DENIAL_KEPT,
        };
        Some(pages.denial.map_or(now, |denial| denial.at + pause(denial)))
    }

    /// How many bytes are of use to whoever waits.
    fn least_useful(&self) -> u64 {
        if self.whole_waiters.load(Ordering::SeqCst) > 0 { LARGEST_WHOLE } else { 1 }
    }

    /// Whether bytes are on their way whose lease has ended, so that they need another.
    fn is_overdue(&self, pages: &Pages, now: Instant) -> bool {
        pages.leases.unused(self.used.load(Ordering::SeqCst)).any(|(_, term)| term.end <= now)
    }

    /// Whether connections are about to need more than there will be.
    fn wants_ahead(&self, pages: &Pages, low: u64, now: Instant) -> bool {
        let used = self.used.load(Ordering::SeqCst);
        let available = self.available.load(Ordering::SeqCst);
        let left: u64 = pages.leases.unused(used).map(|(left, _)| left).sum();
        let ending: u64 =
            pages.leases.unused(used).filter(|(_, term)| term.renew_at <= now).map(|(left, _)| left).sum();
        let moves = pages.pace.moved_within(self.idle_after(), now);
        let is_in_use = moves || (available > 0 && left > available);
        is_in_use && available.saturating_sub(ending) < low
    }

    // When to look again ---------------------------------------------------------------------------

    fn next_look(&self, pages: &Pages, now: Instant) -> Instant {
        let used = self.used.load(Ordering::SeqCst);
        let terms = pages.leases.unused(used).map(|(_, term)| match () {
            () if now < term.renew_at => term.renew_at,
            () if now < term.stop_at => term.stop_at,
            () if now < term.end => term.end.min(now + OVERDUE_LOOK),
            () => now + LOOK,
        });
        let is_at_rest = pages.leases.is_empty() && self.users() > 0;
        let rest = now + if is_at_rest { IDLE_LOOK } else { LOOK };
        let idle = Some(pages.pace.still_at(self.idle_after())).filter(|at| *at > now);
        terms.chain(idle).chain(pages.recall).chain([rest]).min().unwrap_or(rest)
    }
}

#[cfg(test)]
mod tests;
