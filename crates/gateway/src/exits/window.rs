//! What happened within about the last minute, counted in two halves: the present one and the one
//! before. A few bytes, whatever the traffic.

use std::time::Duration;

use tollgate_types::AccountId;

/// How long one half lasts.
const HALF: Duration = Duration::from_secs(30);

/// Attempts, and the failures among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
    users: Crowd,
    unlucky: Crowd,
}

impl Counts {
    fn count(&mut self, failed: bool, who: AccountId) {
        self.attempts = self.attempts.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(failed));
        self.users = self.users.with(who);
        if failed {
            self.unlucky = self.unlucky.with(who);
        }
    }

    /// Both together.
    fn plus(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_add(other.attempts),
            failures: self.failures.saturating_add(other.failures),
            users: self.users.plus(other.users),
            unlucky: self.unlucky.plus(other.unlucky),
        }
    }

    /// What of it is not in a part.
    pub(crate) fn without(self, part: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_sub(part.attempts),
            failures: self.failures.saturating_sub(part.failures),
            ..self
        }
    }

    /// Whether the failures are spread over the users: at least half of them had one, and where
    /// there are several users at least two. One customer who asks for what cannot be reached says
    /// nothing about what carries him.
    pub(crate) fn are_spread(self) -> bool {
        let (users, unlucky) = (self.users.size(), self.unlucky.size());
        unlucky * 2 >= users && (users == 1 || unlucky >= 2)
    }
}

/// Accounts, counted roughly: up to 64 bits, several of many accounts in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Crowd(u64);

impl Crowd {
    fn with(self, who: AccountId) -> Self {
        // Ids follow one another, so that the last six bits tell up to 64 of them apart.
        Self(self.0 | 1 << (who.get() & 63))
    }

    fn plus(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn size(self) -> u32 {
        self.0.count_ones()
    }
}

/// The counts of both halves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    /// Which half the present one is, counted from the beginning of time.
    turn: u64,
    present: Counts,
    before: Counts,
}

impl Window {
    /// The number of the half that is so long after the beginning.
    pub(crate) fn turn(since_the_beginning: Duration) -> u64 {
        since_the_beginning.as_secs() / HALF.as_secs()
    }

    /// Counts one attempt of an account.
    pub(crate) fn count(&mut self, turn: u64, failed: bool, who: AccountId) {
        *self = self.at(turn);
        self.present.count(failed, who);
    }

    /// What was counted within the last one to two halves.
    pub(crate) fn counts(&self, turn: u64) -> Counts {
        let Self { present, before, .. } = self.at(turn);
        present.plus(before)
    }

    fn at(&self, turn: u64) -> Self {
        let nothing = Counts::default();
        match turn.saturating_sub(self.turn) {
            0 => *self,
            1 => Self { turn, present: nothing, before: self.present },
            _ => Self { turn, present: nothing, before: nothing },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: AccountId = AccountId::new(1);

    fn of(window: &Window, turn: u64) -> (u32, u32) {
        let counts = window.counts(turn);
        (counts.attempts, counts.failures)
    }

    #[test]
    fn what_is_older_than_two_halves_is_forgotten() {
        let mut window = Window::default();
        window.count(0, true, WHO);
        window.count(1, false, WHO);
        assert_eq!(of(&window, 1), (2, 1));
        assert_eq!(of(&window, 2), (1, 0));
        assert_eq!(of(&window, 3), (0, 0));
        window.count(9, true, WHO);
        assert_eq!(of(&window, 9), (1, 1));
        assert_eq!(Window::turn(HALF * 3 / 2), 1);
    }

    #[test]
    fn failures_of_one_among_several_are_not_spread() {
        let spread = |tries: &[(i64, bool)]| {
            let mut window = Window::default();
            for (who, failed) in tries {
                window.count(0, *failed, AccountId::new(*who));
            }
            window.counts(0).are_spread()
        };
        assert!(spread(&[(1, true)]));
        assert!(!spread(&[(1, true), (1, true), (2, false)]));
        assert!(spread(&[(1, true), (2, true), (2, false)]));
        assert!(!spread(&[(1, true), (2, true), (3, false), (4, false), (5, false)]));
    }
}
