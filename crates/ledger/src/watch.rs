//! Watching what is left of bought traffic: when a threshold is reached, and when to look again.

use std::time::Duration;

use tollgate_types::{Bytes, PackageId, Time};

/// What is left of one type's unexpired packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Bytes not yet used, over all of them.
    pub bytes: Bytes,
    /// When the last of them expires.
    pub ends_at: Time,
}

/// A threshold that a customer set: so many bytes, or so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Reached when so much is left, or less.
    pub bytes: Bytes,
    /// Reached when so much time is left, or less.
    pub ahead: Duration,
}

impl Threshold {
    /// From the contract's units.
    pub fn new(gb: i64, days: i64) -> Self {
        let positive = |n: i64| u64::try_from(n).unwrap_or(0);
        Self {
            bytes: Bytes::from_gb(positive(gb)),
            ahead: Duration::from_secs(positive(days).saturating_mul(86_400)),
        }
    }

    /// Whether the bytes left have fallen to it.
    pub fn by_bytes(&self, left: Left) -> bool {
        left.bytes <= self.bytes
    }

    /// Whether the time left has shrunk to it.
    pub fn by_time(&self, left: Left, now: Time) -> bool {
        self.due_at(left) <= now
    }

    /// When the time left shrinks to it.
    pub fn due_at(&self, left: Left) -> Time {
        left.ends_at.minus(self.ahead)
    }
}

/// Where to put the marks at which somebody looks again: the bytes left of each package at or below
/// which a threshold may have been reached. `packages` are those that can be drawn on, each with
/// what is left of it; `thresholds` are those that nobody has been told of yet.
///
/// Packages may be drawn on in any order and side by side. Before `distance` bytes are gone
/// altogether, at least one of n packages has lost an n-th of them: marks there are never passed
/// over, and each time that one is reached the distance has shrunk by that share at least.
pub fn marks(
    packages: &[(PackageId, Bytes)],
    thresholds: impl IntoIterator<Item = Bytes>,
) -> Vec<(PackageId, Option<Bytes>)> {
    let all: Bytes = packages.iter().map(|(_, left)| *left).sum();
    let next = thresholds.into_iter().filter(|threshold| *threshold < all).max();
    let share = next.map(|next| all.minus(next).get().div_ceil(packages.len().max(1) as u64));
    let mark = |left: Bytes| share.map(|share| left.minus(Bytes::new(share)));
    packages.iter().map(|(id, left)| (*id, mark(*left))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_package_is_marked_at_the_threshold_itself() {
        let package = [(PackageId::new(1), Bytes::from_gb(10))];
        let marked = marks(&package, [Bytes::ZERO, Bytes::from_gb(3), Bytes::from_gb(12)]);
        assert_eq!(marked, [(PackageId::new(1), Some(Bytes::from_gb(3)))]);
        assert_eq!(marks(&package, [Bytes::from_gb(10)]), [(PackageId::new(1), None)]);
    }

    #[test]
    fn a_threshold_is_reached_from_its_moment_on() {
        let left = Left { bytes: Bytes::from_gb(2), ends_at: Time::from_micros(10 * 86_400_000_000) };
        let threshold = Threshold::new(2, 3);
        assert!(threshold.by_bytes(left));
        assert!(!Threshold::new(1, 3).by_bytes(left));
        let due = Time::from_micros(7 * 86_400_000_000);
        assert_eq!(threshold.due_at(left), due);
        assert!(
            threshold.by_time(left, due) && !threshold.by_time(left, due.minus(Duration::from_micros(1)))
        );
    }

    proptest! {
        #[test]
        fn no_threshold_is_passed_without_a_look(
            sizes in proptest::collection::vec(0u64..1 << 40, 1..6),
            threshold in 0u64..1 << 40,
            draws in proptest::collection::vec((any::<proptest::sample::Index>(), 1u64..1 << 38), 1..200),
        ) {
            let mut left = sizes;
            let total = |left: &[u64]| left.iter().sum::<u64>();
            let look = |left: &[u64]| {
                let packages: Vec<_> =
                    (1..).zip(left).map(|(id, n)| (PackageId::new(id), Bytes::new(*n))).collect();
                marks(&packages, [Bytes::new(threshold)])
            };
            let mut marked = look(&left);
            prop_assume!(total(&left) > threshold);
            let mut looks = 0;
            for (which, bytes) in draws {
                let which = which.index(left.len());
                left[which] = left[which].saturating_sub(bytes);
                if marked[which].1.is_some_and(|mark| Bytes::new(left[which]) <= mark) {
                    looks += 1;
                    marked = look(&left);
                }
                if total(&left) <= threshold {
                    // Whoever looked last saw it.
                    prop_assert!(looks > 0 && marked.iter().all(|(_, mark)| mark.is_none()));
                }
            }
        }
    }
}
