//! Settling: what a report changes.
//!
//! A lease's two numbers move one way only, so that the result of any number of reports in any
//! order is the largest `used` and the smallest `granted` among them.

use tollgate_types::Bytes;

/// How far a lease has got, as stored or as reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes forwarded.
    pub used: Bytes,
    /// Bytes still held or used; at least `used`.
    pub granted: Bytes,
}

/// What a report of an open lease changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Where the lease is now.
    pub now: Progress,
    /// Bytes to charge.
    pub charge: Bytes,
    /// Bytes by which what is held shrinks: those charged and those handed back.
    pub release: Bytes,
    /// Nothing is held any more.
    pub ended: bool,
}

/// Decides what a report changes. A report can neither claim more than was granted nor take back
/// what was used; a nonsensical one is read as the nearest that makes sense.
pub fn settle(stored: Progress, reported: Progress) -> Settlement {
    let used = reported.used.min(stored.granted).max(stored.used);
    let granted = reported.granted.min(stored.granted).max(used);
    let charge = used.minus(stored.used);
    let held = |progress: Progress| progress.granted.minus(progress.used);
    let now = Progress { used, granted };
    Settlement { now, charge, release: held(stored).minus(held(now)), ended: used == granted }
}

/// Ends a lease where it is.
pub fn void(stored: Progress) -> Settlement {
    settle(stored, Progress { used: stored.used, granted: stored.used })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn progress(used: u64, granted: u64) -> Progress {
        Progress { used: Bytes::new(used), granted: Bytes::new(granted) }
    }

    #[test]
    fn charges_the_difference_and_releases_what_is_handed_back() {
        let settled = settle(progress(10, 100), progress(40, 70));
        assert_eq!(
            settled,
            Settlement {
                now: progress(40, 70),
                charge: Bytes::new(30),
                release: Bytes::new(60),
                ended: false
            }
        );
        let over = settle(settled.now, progress(70, 70));
        assert_eq!((over.charge, over.release, over.ended), (Bytes::new(30), Bytes::new(30), true));
        assert_eq!(settle(over.now, progress(70, 70)).charge, Bytes::ZERO);
        assert_eq!(
            void(progress(3, 9)),
            Settlement { now: progress(3, 3), charge: Bytes::ZERO, release: Bytes::new(6), ended: true }
        );
    }

    proptest! {
        #[test]
        fn reports_twice_late_or_out_of_order_change_nothing(
            granted in 1u64..1000,
            reports in proptest::collection::vec((0u64..1200, 0u64..1200), 1..12),
            order in any::<proptest::sample::Index>(),
        ) {
            // Whatever a gateway says holds: used within granted.
            let reports: Vec<_> = reports.into_iter().map(|(a, b)| progress(a.min(b).min(granted), b.max(a.min(granted)).min(granted))).collect();
            // One gateway's story is monotone: drop what contradicts itself.
            let mut story = vec![progress(0, granted)];
            for report in reports {
                let last = story[story.len() - 1];
                let used = report.used.max(last.used).min(last.granted);
                story.push(Progress { used, granted: report.granted.min(last.granted).max(used) });
            }
            let run = |reports: &[Progress]| {
                let (mut now, mut charged, mut held) = (progress(0, granted), 0, granted);
                for report in reports {
                    let settled = settle(now, *report);
                    charged += settled.charge.get();
                    held -= settled.release.get();
                    now = settled.now;
                    assert_eq!(held, now.granted.get() - now.used.get());
                }
                (now, charged)
            };
            let once = run(&story);
            let mut shuffled = [story.clone(), story.clone()].concat();
            let cut = order.index(shuffled.len());
            shuffled.rotate_left(cut);
            shuffled.reverse();
            prop_assert_eq!(run(&shuffled), once);
            prop_assert_eq!(once.1, once.0.used.get());
        }
    }
}
