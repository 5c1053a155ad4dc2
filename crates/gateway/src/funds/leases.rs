//! The leases of one purse: pure bookkeeping, without a clock and without atomics.
//!
//! Connections only ever say how many bytes were forwarded in all. This file says of which leases: in
//! the order in which they came, each is used up before the next. What a lease has used can only
//! grow, and handing back only shrinks what is not used of it, so that reports move one way.
//!
//! The purse keeps this law, and this file relies on it: what the leases hold in all equals what was
//! forwarded, what connections have taken but not forwarded yet, and what is there to be taken.

use std::collections::VecDeque;

use tokio::time::Instant;
use tollgate_types::{Bytes, LeaseId, LeaseUsage};

/// How long a lease is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// From now on the lease does not count as supply: the next one is asked for.
    pub(crate) renew_at: Instant,
    /// From now on no byte of it is taken: what is left of it is handed back.
    pub(crate) stop_at: Instant,
    /// Its end.
    pub(crate) end: Instant,
}

/// A lease that is held, or whose last word the control plane has not acknowledged.
#[derive(Debug)]
struct Held {
    id: LeaseId,
    granted: u64,
    term: Term,
    /// What the control plane is known to know.
    known: LeaseUsage,
}

/// The leases of one purse, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    leases: VecDeque<Held>,
    /// Bytes used of leases that are over.
    closed: u64,
}

impl Leases {
    /// Enters a new lease of `granted` bytes.
    pub(crate) fn enter(&mut self, id: LeaseId, granted: Bytes, term: Term) {
        let known = LeaseUsage { id, used: Bytes::ZERO, granted };
        self.leases.push_back(Held { id, granted: granted.get(), term, known });
    }

    /// Whether nothing is held and the control plane knows everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Returns the number of bytes that were ever granted and not handed back.
    pub(crate) fn total(&self) -> u64 {
        self.closed + self.leases.iter().map(|held| held.granted).sum::<u64>()
    }

    /// Returns the leases that are not used up when `forwarded` bytes were forwarded in all: how many
    /// bytes are left of each, and for how long.
    pub(crate) fn unused(&self, forwarded: u64) -> impl Iterator<Item = (u64, Term)> {
        let left = |(held, used): (&Held, u64)| (held.granted - used, held.term);
        self.attribute(forwarded).map(left).filter(|(left, _)| *left > 0)
    }

    /// Returns how far each lease has got, for those leases of which the control plane does not know it
    /// yet.
    pub(crate) fn unsettled(&self, forwarded: u64) -> impl Iterator<Item = LeaseUsage> {
        self.attribute(forwarded).filter_map(|(held, used)| {
            let now = LeaseUsage { id: held.id, used: Bytes::new(used), granted: Bytes::new(held.granted) };
            (now != held.known).then_some(now)
        })
    }

    /// Returns how far each lease has got of which bytes were forwarded that the control plane does not
    /// know of: what a crash must not forget.
    pub(crate) fn unpaid(&self, forwarded: u64) -> impl Iterator<Item = LeaseUsage> {
        let known = |id| self.leases.iter().find(|held| held.id == id).map(|held| held.known.used);
        self.unsettled(forwarded).filter(move |usage| Some(usage.used) != known(usage.id))
    }

    /// Notes that the control plane knows `usages` now. Leases that are over are forgotten.
    pub(crate) fn settled(&mut self, usages: &[LeaseUsage]) {
        for usage in usages {
            if let Some(held) = self.leases.iter_mut().find(|held| held.id == usage.id) {
                held.known.used = held.known.used.max(usage.used);
                held.known.granted = held.known.granted.min(usage.granted);
            }
        }
        let closed = &mut self.closed;
        self.leases.retain(|held| {
            let over = held.known.used == held.known.granted && held.known.granted.get() == held.granted;
            // A lease that was used up has only such before it, so that it does not matter to the
            // others whether its bytes count as held or as closed.
            *closed += if over { held.granted } else { 0 };
            !over
        });
    }

    /// Hands back at most so many bytes of the leases whose term `which` accepts, newest first.
    /// `withdraw` takes up to a number of bytes out of what connections can take, and says how many
    /// it got. Answers how many bytes were handed back.
    pub(crate) fn hand_back(
        &mut self,
        most: u64,
        forwarded: u64,
        which: impl Fn(Term) -> bool,
        mut withdraw: impl FnMut(u64) -> u64,
    ) -> u64 {
        let used: Vec<u64> = self.attribute(forwarded).map(|(_, used)| used).collect();
        let mut back = 0;
        for (held, used) in self.leases.iter_mut().zip(used).rev() {
            let room = (held.granted - used).min(most - back);
            if room > 0 && which(held.term) {
                let got = withdraw(room).min(room);
                held.granted -= got;
                back += got;
            }
        }
        back
    }

    /// Each lease and how many bytes of it are used, oldest first.
    fn attribute(&self, forwarded: u64) -> impl Iterator<Item = (&Held, u64)> {
        self.leases.iter().scan(forwarded.saturating_sub(self.closed), |left, held| {
            let used = held.granted.min(*left);
            *left -= used;
            Some((held, used))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Enter(u64),
        Take(u64),
        Spend(u64),
        GiveBack(u64),
        HandBack(u64, u64),
        Report,
        Acknowledge(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (1u64..500).prop_map(Op::Enter),
            (1u64..300).prop_map(Op::Take),
            (1u64..300).prop_map(Op::Spend),
            (1u64..300).prop_map(Op::GiveBack),
            ((1u64..600), 0u64..8).prop_map(|(n, ended)| Op::HandBack(n, ended)),
            Just(Op::Report),
            any::<usize>().prop_map(Op::Acknowledge),
        ]
    }

    /// What the purse's atomics hold, and what the control plane was told.
    #[derive(Default)]
    struct Model {
        available: u64,
        in_flight: u64,
        forwarded: u64,
        reports: Vec<Vec<LeaseUsage>>,
        /// As the control plane has it: largest used, smallest granted.
        told: BTreeMap<LeaseId, (u64, u64)>,
    }

    fn term(start: Instant, nth: u64) -> Term {
        let end = start + Duration::from_secs(nth);
        Term { renew_at: end, stop_at: end, end }
    }

    fn step(op: &Op, nth: u64, start: Instant, leases: &mut Leases, model: &mut Model) {
        match *op {
            Op::Enter(n) => {
                let id = LeaseId::new(i64::try_from(nth).unwrap());
                leases.enter(id, Bytes::new(n), term(start, nth % 8));
                model.told.insert(id, (0, n));
                model.available += n;
            }
            Op::Take(n) => {
                let n = n.min(model.available);
                model.available -= n;
                model.in_flight += n;
            }
            Op::Spend(n) => {
                let n = n.min(model.in_flight);
                model.in_flight -= n;
                model.forwarded += n;
            }
            Op::GiveBack(n) => {
                let n = n.min(model.in_flight);
                model.in_flight -= n;
                model.available += n;
            }
            Op::HandBack(n, ended) => {
                let before = model.available;
                let now = start + Duration::from_secs(ended);
                let back = leases.hand_back(
                    n,
                    model.forwarded,
                    |term| term.stop_at <= now,
                    |most| {
                        let got = most.min(model.available);
                        model.available -= got;
                        got
                    },
                );
                assert_eq!(before - model.available, back);
                assert!(back <= n);
            }
            Op::Report => {
                let report: Vec<_> = leases.unsettled(model.forwarded).collect();
                for usage in &report {
                    let told = model.told[&usage.id];
                    assert!(
                        usage.used.get() >= told.0 && usage.granted.get() <= told.1,
                        "{usage:?} after {told:?}"
                    );
                    assert!(usage.used <= usage.granted);
                    model.told.insert(usage.id, (usage.used.get(), usage.granted.get()));
                }
                model.reports.push(report);
            }
            Op::Acknowledge(which) => {
                if !model.reports.is_empty() {
                    // Any of them, in any order: an acknowledgement may be late.
                    let report = model.reports.swap_remove(which % model.reports.len());
                    leases.settled(&report);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_reports_move_one_way(ops in proptest::collection::vec(op(), 0..120)) {
            let start = Instant::now();
            let (mut leases, mut model) = (Leases::default(), Model::default());
            for (nth, op) in ops.iter().enumerate() {
                step(op, u64::try_from(nth).unwrap(), start, &mut leases, &mut model);
                prop_assert_eq!(leases.total(), model.forwarded + model.in_flight + model.available);
                let unused: u64 = leases.unused(model.forwarded).map(|(left, _)| left).sum();
                prop_assert_eq!(unused, model.in_flight + model.available);
            }
            // In the end everything comes back, and everybody agrees on what was used.
            step(&Op::GiveBack(u64::MAX), 0, start, &mut leases, &mut model);
            step(&Op::HandBack(u64::MAX, u64::from(u32::MAX)), 0, start, &mut leases, &mut model);
            step(&Op::Report, 0, start, &mut leases, &mut model);
            step(&Op::Acknowledge(model.reports.len() - 1), 0, start, &mut leases, &mut model);
            prop_assert!(leases.is_empty());
            prop_assert_eq!(model.told.values().map(|(used, _)| used).sum::<u64>(), model.forwarded);
            prop_assert!(model.told.values().all(|(used, granted)| used == granted));
        }

        #[test]
        fn what_a_crash_must_not_forget_is_what_was_forwarded_and_not_settled(
            grants in proptest::collection::vec(1u64..100, 1..6), share in 0u64..=100, later in 0u64..=100,
        ) {
            let start = Instant::now();
            let mut leases = Leases::default();
            for (id, n) in (1..).zip(&grants) {
                leases.enter(LeaseId::new(id), Bytes::new(*n), term(start, 9));
            }
            let all: u64 = grants.iter().sum();
            let first = all * share / 100;
            let settled: Vec<_> = leases.unsettled(first).collect();
            leases.settled(&settled);
            let second = first + (all - first) * later / 100;
            let known: BTreeMap<_, _> = settled.iter().map(|usage| (usage.id, usage.used.get())).collect();
            let unpaid: u64 = leases
                .unpaid(second)
                .map(|usage| usage.used.get() - known.get(&usage.id).copied().unwrap_or(0))
                .sum();
            prop_assert_eq!(unpaid, second - first);
            prop_assert_eq!(leases.unpaid(first).count(), 0);
        }
    }
}
