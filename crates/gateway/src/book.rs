//! The leases of one purse: pure bookkeeping, no clock and no atomics.
//!
//! Connections only ever say how many bytes were forwarded in all. The book says of which leases:
//! in the order in which they came, each is used up before the next. A lease's share can only grow,
//! and what is handed back only ever shrinks what it still holds, so that reports move one way.

use std::collections::VecDeque;

use tokio::time::Instant;
use tollgate_types::{Bytes, LeaseId, LeaseUsage};

/// A lease that is held, or has not been settled to its end.
#[derive(Debug, Clone)]
struct Held {
    id: LeaseId,
    granted: u64,
    deadline: Instant,
    settled: Option<LeaseUsage>,
}

/// The leases of one purse, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Book {
    leases: VecDeque<Held>,
    /// Bytes used of leases that are no longer in the list.
    closed: u64,
}

impl Book {
    /// A new lease came in.
    pub(crate) fn enter(&mut self, id: LeaseId, granted: u64, deadline: Instant) {
        self.leases.push_back(Held { id, granted, deadline, settled: None });
    }

    /// Whether nothing is held and everything is settled.
    pub(crate) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// How far each lease has got when so many bytes were forwarded in all.
    pub(crate) fn usages(&self, forwarded: u64) -> Vec<LeaseUsage> {
        let mut left = forwarded - self.closed.min(forwarded);
        let usage = |held: &Held| {
            let used = left.min(held.granted);
            left -= used;
            LeaseUsage { id: held.id, used: Bytes::new(used), granted: Bytes::new(held.granted) }
        };
        self.leases.iter().map(usage).collect()
    }

    /// The same, of those leases only of which the control plane does not know it yet.
    pub(crate) fn unsettled(&self, forwarded: u64) -> Vec<LeaseUsage> {
        let usages = self.usages(forwarded).into_iter().zip(&self.leases);
        usages.filter(|(usage, held)| held.settled != Some(*usage)).map(|(usage, _)| usage).collect()
    }

    /// The control plane knows this now. Leases that are over leave the book.
    pub(crate) fn settled(&mut self, usages: &[LeaseUsage]) {
        for usage in usages {
            if let Some(held) = self.leases.iter_mut().find(|held| held.id == usage.id) {
                held.settled = Some(*usage);
            }
        }
        let closed = &mut self.closed;
        self.leases.retain(|held| {
            let over = held
                .settled
                .is_some_and(|usage| usage.used == usage.granted && usage.granted.get() == held.granted);
            if over {
                *closed += held.granted;
            }
            !over
        });
    }

    /// How many bytes of leases that end before a moment are not yet used.
    pub(crate) fn ending_before(&self, moment: Instant, forwarded: u64) -> u64 {
        let usages = self.usages(forwarded).into_iter().zip(&self.leases);
        usages
            .filter(|(_, held)| held.deadline < moment)
            .map(|(usage, _)| usage.granted.minus(usage.used).get())
            .sum()
    }

    /// Hands back bytes that were withdrawn from what connections can take: of leases that end
    /// before a moment first, then from the newest to the oldest. Answers how many found no lease,
    /// which is none where what is withdrawn was available.
    pub(crate) fn hand_back(&mut self, mut bytes: u64, moment: Instant, forwarded: u64) -> u64 {
        let usages = self.usages(forwarded);
        let mut order: Vec<usize> = (0..self.leases.len()).collect();
        order.sort_by_key(|place| {
            let ends = self.leases.get(*place).is_some_and(|held| held.deadline < moment);
            (!ends, std::cmp::Reverse(*place))
        });
        for place in order {
            let (Some(held), Some(usage)) = (self.leases.get_mut(place), usages.get(place)) else { continue };
            let back = bytes.min(held.granted - usage.used.get());
            held.granted -= back;
            bytes -= back;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Enter(u64),
        Take(u64),
        Spend(u64),
        GiveBack(u64),
        HandBack(u64, bool),
        Settle,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (1u64..500).prop_map(Op::Enter),
            (1u64..300).prop_map(Op::Take),
            (1u64..300).prop_map(Op::Spend),
            (1u64..300).prop_map(Op::GiveBack),
            ((1u64..600), any::<bool>()).prop_map(|(n, ending)| Op::HandBack(n, ending)),
            Just(Op::Settle),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_reports_move_one_way(ops in proptest::collection::vec(op(), 0..80)) {
            let start = Instant::now();
            let (mut book, mut next) = (Book::default(), 1);
            let (mut available, mut in_flight, mut forwarded) = (0u64, 0u64, 0u64);
            let mut entered = std::collections::BTreeMap::<LeaseId, u64>::new();
            let mut last = std::collections::BTreeMap::<LeaseId, LeaseUsage>::new();
            for op in ops {
                match op {
                    Op::Enter(n) => {
                        let id = LeaseId::new(next);
                        book.enter(id, n, start + Duration::from_secs(u64::try_from(next).unwrap()));
                        entered.insert(id, n);
                        next += 1;
                        available += n;
                    }
                    Op::Take(n) => { let n = n.min(available); available -= n; in_flight += n; }
                    Op::Spend(n) => { let n = n.min(in_flight); in_flight -= n; forwarded += n; }
                    Op::GiveBack(n) => { let n = n.min(in_flight); in_flight -= n; available += n; }
                    Op::HandBack(n, ending) => {
                        let n = n.min(available);
                        available -= n;
                        let moment = if ending { start + Duration::from_secs(3) } else { start };
                        prop_assert_eq!(book.hand_back(n, moment, forwarded), 0);
                    }
                    Op::Settle => { let said = book.unsettled(forwarded); book.settled(&said); }
                }
                let usages = book.usages(forwarded);
                let held: u64 = usages.iter().map(|usage| usage.granted.get()).sum();
                let used: u64 = usages.iter().map(|usage| usage.used.get()).sum();
                prop_assert_eq!(held + book.closed, forwarded + in_flight + available);
                prop_assert_eq!(used + book.closed, forwarded);
                for usage in usages {
                    let before = last.insert(usage.id, usage);
                    let before = before.unwrap_or(LeaseUsage { used: Bytes::ZERO, granted: Bytes::new(entered[&usage.id]), ..usage });
                    prop_assert!(usage.used >= before.used && usage.granted <= before.granted && usage.used <= usage.granted);
                }
            }
        }
    }
}
