//! Budgets that refill steadily: so many of something within a while, and then as many as come back.

use std::time::Duration;

use tokio::time::Instant;

/// What may be spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    times: u32,
    pub(super) window: Duration,
}

/// What has been spent of a budget, by when all of it will be there again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) full_at: Instant,
}

impl Budget {
    /// Returns a budget of `times` within `window`; `None` where `times` is 0, which is no limit.
    pub(super) fn new(times: u32, window: Duration) -> Option<Self> {
        (times > 0).then_some(Self { times, window })
    }

    fn one(self) -> Duration {
        self.window / self.times.max(1)
    }
}

impl Spent {
    /// Returns how long it takes until all of the budget is there again.
    pub(super) fn missing(self, now: Instant) -> Duration {
        self.full_at.saturating_duration_since(now)
    }

    /// Returns whether one more may be spent.
    pub(super) fn has_room(self, budget: Budget, now: Instant) -> bool {
        self.missing(now) + budget.one() <= budget.one() * budget.times
    }

    /// Spends one, or what is left.
    pub(super) fn spend(&mut self, budget: Budget, now: Instant) {
        self.full_at = (self.full_at.max(now) + budget.one()).min(now + budget.window);
    }
}
