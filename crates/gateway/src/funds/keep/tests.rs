use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_types::{AccountId, Bytes, LeaseId, Payer, ProxyType};

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Take(usize),
    Spend(usize),
    GiveBack(usize),
    Join,
    Leave,
    Wait(u64),
    Tend,
    Grant(u64, u64),
    Deny(LeaseDenied),
    Recheck,
    Report(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let denied = prop_oneof![
        Just(LeaseDenied::BalanceEmpty),
        Just(LeaseDenied::HeldElsewhere),
        Just(LeaseDenied::LimitHeldElsewhere),
        Just(LeaseDenied::Unavailable)
    ];
    prop_oneof![
        4 => (1usize..5000).prop_map(Op::Take),
        4 => (1usize..5000).prop_map(Op::Spend),
        2 => (1usize..5000).prop_map(Op::GiveBack),
        1 => Just(Op::Join),
        1 => Just(Op::Leave),
        4 => (1u64..4000).prop_map(Op::Wait),
        6 => Just(Op::Tend),
        4 => (1u64..20_000, 0u64..12_000).prop_map(|(bytes, ttl)| Op::Grant(bytes, ttl)),
        1 => denied.prop_map(Op::Deny),
        1 => Just(Op::Recheck),
        2 => any::<bool>().prop_map(Op::Report),
    ]
}

/// A purse, and a naive account of what became of its bytes.
struct Model {
    purse: Purse,
    now: Instant,
    asked_at: Option<Instant>,
    in_flight: usize,
    forwarded: u64,
    users: usize,
    epoch: i64,
    /// What the control plane knows of each lease: used, granted.
    known: BTreeMap<LeaseId, (u64, u64)>,
}

impl Model {
    fn new() -> Self {
        let proxy_type = ProxyType::Mobile;
        let payer = Payer { account: AccountId::new(1), sub_account: None, proxy_type };
        let (purse, now) = (Purse::new(payer, Terms::default()), Instant::now());
        let known = BTreeMap::new();
        Self { purse, now, asked_at: None, in_flight: 0, forwarded: 0, users: 0, epoch: 0, known }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Take(n) => self.in_flight += self.purse.take(n),
            Op::Spend(n) => {
                let n = n.min(self.in_flight);
                self.purse.spent(n);
                self.in_flight -= n;
                self.forwarded += n as u64;
            }
            Op::GiveBack(n) => {
                let n = n.min(self.in_flight);
                self.purse.give_back(n);
                self.in_flight -= n;
            }
            Op::Join => {
                self.purse.join();
                self.users += 1;
            }
            Op::Leave if self.users > 0 => {
                self.purse.leave();
                self.users -= 1;
            }
            Op::Leave => {}
            Op::Wait(millis) => self.now += Duration::from_millis(millis),
            Op::Tend => self.tend(),
            Op::Grant(bytes, ttl) => self.grant(bytes, Duration::from_millis(ttl)),
            Op::Deny(why) => {
                if let Some(asked_at) = self.asked_at.take() {
                    self.purse.answered(Err(why), asked_at, self.now);
                }
            }
            Op::Recheck => {
                self.epoch += 1;
                self.purse.recheck(Terms { funds_epoch: Some(self.epoch), limit: None }, self.now);
                assert_eq!(self.available(), 0);
            }
            Op::Report(is_taken) => self.report(is_taken),
        }
    }

    fn tend(&mut self) {
        let tended = self.purse.tend(self.now);
        assert!(tended.next > self.now);
        if tended.ask.is_some() {
            assert_eq!(self.asked_at, None, "one question at a time");
            self.asked_at = Some(self.now);
        }
        let (used, now) = (self.forwarded, self.now);
        let stopped = |term: &Term| term.stop_at <= now;
        let pages = self.purse.pages();
        let overdue: u64 =
            pages.leases.unused(used).filter(|(_, term)| stopped(term)).map(|(left, _)| left).sum();
        drop(pages);
        assert!(overdue == 0 || self.available() == 0, "what can be taken is of leases that last");
        assert!(overdue <= self.in_flight as u64);
    }

    fn grant(&mut self, bytes: u64, ttl: Duration) {
        if let Some(asked_at) = self.asked_at.take() {
            let id = LeaseId::new(i64::try_from(self.known.len()).unwrap() + 1);
            self.known.insert(id, (0, bytes));
            let lease = ByteLease { id, granted: Bytes::new(bytes), ttl };
            self.purse.answered(Ok(lease), asked_at, self.now);
        }
    }

    fn report(&mut self, is_taken: bool) {
        let usages = self.purse.unsettled();
        for usage in &usages {
            let known = self.known[&usage.id];
            let (used, granted) = (usage.used.get(), usage.granted.get());
            assert!(used >= known.0 && granted <= known.1 && used <= granted, "{usage:?} after {known:?}");
            if is_taken {
                self.known.insert(usage.id, (used, granted));
            }
        }
        if is_taken {
            self.purse.settled(&usages);
        }
    }

    fn available(&self) -> u64 {
        self.purse.available.load(Ordering::SeqCst)
    }

    fn check(&self) {
        let total = self.purse.pages().leases.total();
        assert_eq!(total, self.forwarded + self.in_flight as u64 + self.available());
        assert_eq!(total, self.purse.total.load(Ordering::SeqCst));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_byte_granted_is_forwarded_or_handed_back(ops in proptest::collection::vec(op(), 0..150)) {
        let mut model = Model::new();
        for op in &ops {
            model.step(op);
            model.check();
        }
        // An answer is still on its way when the gateway stops.
        model.purse.close();
        model.step(&Op::Grant(1000, 9000));
        model.step(&Op::GiveBack(usize::MAX));
        model.purse.close();
        model.step(&Op::Report(true));
        prop_assert!(model.purse.pages().leases.is_empty());
        let used: u64 = model.known.values().map(|(used, _)| used).sum();
        prop_assert_eq!(used, model.forwarded);
        prop_assert!(model.known.values().all(|(used, granted)| used == granted));
    }
}

#[test]
fn a_lease_that_comes_too_late_is_not_used() {
    let mut model = Model::new();
    model.asked_at = Some(model.now);
    model.now += Duration::from_secs(3);
    model.grant(1000, Duration::from_secs(4));
    assert_eq!(model.purse.take(1), 0);
    let returned: Vec<_> = model.purse.unsettled().iter().map(|usage| usage.granted).collect();
    assert_eq!(returned, [Bytes::ZERO]);
}

#[test]
fn a_lease_stops_a_margin_before_its_end_and_is_renewed_before_that() {
    let now = Instant::now();
    let at = |term: Instant| (term - now).as_millis();
    let of = |ttl| {
        let term = Term::new(now, Duration::from_millis(ttl));
        (at(term.renew_at), at(term.stop_at), at(term.end))
    };
    assert_eq!(of(30_000), (27_000, 28_000, 30_000));
    assert_eq!(of(400), (250, 300, 400));
    assert_eq!(of(0), (0, 0, 0));
    assert_eq!(of(u64::MAX).2, LONGEST_TTL.as_millis());
}
