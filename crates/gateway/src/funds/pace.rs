//! How fast a payer's bytes go, and so how many it pays to hold.

use std::time::Duration;

use tokio::time::Instant;

/// The least that is held for a payer whose connections move bytes, and the first that is asked for.
pub(crate) const SMALLEST_TARGET: u64 = 1 << 20;

/// The most that is held for one payer.
pub(crate) const LARGEST_TARGET: u64 = 1 << 30;

/// So many seconds' worth of the recent rate is held.
const SECONDS_HELD: u64 = 2;

/// A burst is measured over at least this long.
const SHORTEST_SPAN: Duration = Duration::from_millis(50);

/// A rate that falls is followed at most this often.
const FALL_SPAN: Duration = Duration::from_millis(250);

/// The most by which one question is larger than the one before: a short burst says little.
const GROWTH: u64 = 4;

/// The recent rate of one purse.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second.
    rate: u64,
    measured_at: Instant,
    measured_used: u64,
    last_used: u64,
    last_moved: Option<Instant>,
    last_granted: Instant,
    last_want: u64,
}

impl Pace {
    /// Nothing has moved yet.
    pub(crate) fn new(now: Instant) -> Self {
        let last_want = SMALLEST_TARGET / GROWTH;
        Self {
            rate: 0,
            measured_at: now,
            measured_used: 0,
            last_used: 0,
            last_moved: None,
            last_granted: now,
            last_want,
        }
    }

    /// Looks at how many bytes were forwarded by now. A rate that rises is believed at once, one
    /// that falls by and by.
    pub(crate) fn observe(&mut self, now: Instant, used: u64) {
        if used != self.last_used {
            (self.last_used, self.last_moved) = (used, Some(now));
        }
        let span = now.saturating_duration_since(self.measured_at);
        if span < SHORTEST_SPAN {
            return;
        }
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let measured = (used - self.measured_used).saturating_mul(1000) / millis;
        if measured < self.rate && span < FALL_SPAN {
            return;
        }
        self.rate = if measured >= self.rate { measured } else { self.rate / 4 * 3 + measured / 4 };
        (self.measured_at, self.measured_used) = (now, used);
    }

    /// Bytes came in: whoever asked for them gets time to use them.
    pub(crate) fn granted(&mut self, now: Instant) {
        self.last_granted = now;
    }

    /// Whether bytes were forwarded within the last so long.
    pub(crate) fn moved_within(&self, span: Duration, now: Instant) -> bool {
        self.last_moved.is_some_and(|at| now.saturating_duration_since(at) < span)
    }

    /// When nothing will have come or gone for so long, if nothing does.
    pub(crate) fn still_at(&self, span: Duration) -> Instant {
        self.last_moved.map_or(self.last_granted, |moved| moved.max(self.last_granted)) + span
    }

    /// How many bytes it pays to hold.
    pub(crate) fn target(&self) -> u64 {
        self.rate.saturating_mul(SECONDS_HELD).clamp(SMALLEST_TARGET, LARGEST_TARGET)
    }

    /// How many bytes to ask for now.
    pub(crate) fn next_want(&mut self) -> u64 {
        self.last_want = self.target().min(self.last_want * GROWTH).max(SMALLEST_TARGET);
        self.last_want
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_rise_at_once_and_a_fall_by_and_by() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(start);
        assert_eq!(pace.target(), SMALLEST_TARGET);
        pace.observe(at(100), 10 << 20);
        assert_eq!(pace.target(), 200 << 20, "100 MiB a second for two seconds");
        pace.observe(at(600), 10 << 20);
        assert_eq!(pace.target(), 150 << 20);
        for tick in 2..40 {
            pace.observe(at(100 + tick * 500), 10 << 20);
        }
        assert_eq!(pace.target(), SMALLEST_TARGET);
    }

    #[test]
    fn questions_grow_step_by_step_up_to_the_bound() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.next_want(), SMALLEST_TARGET);
        pace.observe(start + Duration::from_millis(100), 1 << 40);
        let wants: Vec<u64> = (0..6).map(|_| pace.next_want() >> 20).collect();
        assert_eq!(wants, [4, 16, 64, 256, 1024, 1024]);
    }

    #[test]
    fn knows_since_when_nothing_has_moved() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(start);
        let second = Duration::from_secs(1);
        assert!(!pace.moved_within(second, at(1)));
        pace.observe(at(10), 1);
        pace.observe(at(900), 1);
        assert!(pace.moved_within(second, at(1009)) && !pace.moved_within(second, at(1010)));
        assert_eq!(pace.still_at(second), at(1010));
        pace.granted(at(500));
        assert_eq!(pace.still_at(second), at(1500));
        assert!(!pace.moved_within(second, at(1010)));
    }
}
