//! Months of a platform's life: customers and the operator do whatever comes to their minds, back
//! orders and addresses out of service among it, and workers die in the middle of what they do.
//! (That it is the same money whoever does the jobs, the simulation says.)

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tollgate_core::statics::{self, PriceChange, RequestFilter, StaticFilter, StockChange};
use tollgate_core::{Actor, Core, Error, jobs, wallets};
use tollgate_testkit::{TestDb, on_both_databases};
use tollgate_types::{AccountId, Cents, StaticPriceId, StaticType, StockId, Time};

use crate::{DAY, World, asking, new_price, page};

const DAYS: u64 = 120;
const CUSTOMERS: usize = 12;
/// What happens on a day, but for what happens by itself.
const DEEDS: u64 = 4;

/// Who does the jobs, in turn.
#[derive(Debug, Clone, Copy)]
enum Workers {
    One,
    Two,
    /// Two, of which one is killed in the middle of what it does.
    Killed,
}

impl Workers {
    const ALL: [Self; 3] = [Self::One, Self::Two, Self::Killed];
}

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let place = usize::try_from(self.roll(of.len().max(1) as u64)).unwrap();
        of.get(place).copied()
    }
}

struct Months {
    world: World,
    other: Core,
    /// How many jobs were in the hands of workers that were killed.
    lost: AtomicUsize,
    dice: Dice,
    customers: Vec<(AccountId, StaticPriceId)>,
    stock: Vec<StockId>,
}

impl Months {
    async fn begin(database: &TestDb) -> Self {
        let world = World::on(database).await;
        let stock = world.stock(100, 10_000).await;
        let mut customers = Vec::new();
        for n in 0..CUSTOMERS {
            let account = world.account(&format!("customer.{n}"), 400).await;
            let days = [1, 3, 7, 30][n % 4];
            let price = Some(Cents::new(60 + 5 * n as i64));
            let (count, discount) = (1 + n as i64 % 3, Some(n as i64));
            let back_orders = Some(n % 5 == 0);
            let new = PriceChange { price, discount, back_orders, ..new_price(count, days) };
            customers.push((account, world.price_of(new).await));
        }
        let other = world.another().await;
        let (lost, dice) = (AtomicUsize::new(0), Dice(0x2545_f491_4f6c_dd1d));
        Self { world, other, lost, dice, customers, stock }
    }

    /// Lets time pass up to a moment, doing each job when it is due or shortly after.
    async fn pass_until(&self, until: Time) {
        let world = &self.world;
        let mut workers = Workers::ALL.into_iter().cycle();
        while let Some(due) = jobs::run::next_due(&world.core).await.unwrap().filter(|due| *due <= until) {
            world.clock.set(due.max(world.now()));
            match workers.next().unwrap() {
                Workers::One => while jobs::run::run_due(&world.core, 16).await.unwrap() > 0 {},
                Workers::Two => while self.both().await > 0 {},
                Workers::Killed => {
                    let doomed = self.other.clone();
                    let doomed = tokio::spawn(async move { jobs::run::run_due(&doomed, 16).await });
                    let _ = jobs::run::run_due(&world.core, 4).await.unwrap();
                    doomed.abort();
                    let _ = doomed.await;
                    let held =
                        jobs::admin::list(&world.core, Some("claimed".into()), page(1, 1)).await.unwrap().1;
                    self.lost.fetch_add(usize::try_from(held).unwrap(), Ordering::Relaxed);
                    world.clock.advance(jobs::CLAIM_TTL + Duration::from_secs(1));
                    while jobs::run::run_due(&world.core, 16).await.unwrap() > 0 {}
                }
            }
        }
        world.clock.set(until.max(world.now()));
    }

    async fn both(&self) -> usize {
        let (one, other) =
            tokio::join!(jobs::run::run_due(&self.world.core, 4), jobs::run::run_due(&self.other, 4));
        one.unwrap() + other.unwrap()
    }

    /// Somebody does something. What came of it, in a word.
    async fn act(&mut self, day: u64) -> &'static str {
        let core = &self.world.core;
        let (account, price) = self.dice.pick(&self.customers).unwrap();
        let (listed, _) = statics::list(core, account, StaticFilter::default(), page(1, 100)).await.unwrap();
        let ids: Vec<_> = listed.iter().map(|proxy| proxy.id).collect();
        let what = self.dice.roll(9);
        let (one, active) = (self.dice.pick(&ids), self.dice.roll(3) > 0);
        let kind = StaticType::Dc;
        let done = match (what, one) {
            (0 | 1, _) => statics::order(core, account, asking(price), None).await.map(drop),
            (2, _) => {
                let (cents, reference) = (Cents::new(1 + self.dice.roll(200) as i64), format!("day {day}"));
                wallets::recharge(core, Actor::Operator, account, cents, reference).await.map(drop)
            }
            (3 | 4, Some(id)) => statics::set_auto_rebuy(core, account, kind, id, active).await,
            (5, Some(id)) => statics::renew(core, account, kind, vec![id], None).await.map(drop),
            (6, Some(id)) => statics::replace(core, account, id, "blocked".into()).await.map(drop),
            (7, Some(id)) => statics::refund(core, account, id, "no need".into()).await.map(drop),
            _ => self.operate(active).await,
        };
        match done {
            Ok(()) => "ok",
            Err(Error::InsufficientFunds) => "poor",
            Err(Error::OutOfStock) => "short",
            Err(Error::Conflict(_)) => "conflict",
            Err(other) => panic!("{other:?}"),
        }
    }

    /// The operator decides what waits longest, and has a look at an address.
    async fn operate(&mut self, fine: bool) -> Result<(), Error> {
        let core = &self.world.core;
        let filter = RequestFilter { state: Some("asked".into()), ..Default::default() };
        let (asked, _) = statics::requests(core, filter, page(1, 100)).await?;
        if let Some(request) = asked.last() {
            match fine {
                true => statics::approve(core, Actor::Operator, request.id, String::new()).await.map(drop)?,
                false => statics::refuse(core, Actor::Operator, request.id, String::new()).await?,
            }
        }
        let filter = statics::OrderFilter { state: Some("pending".into()), ..Default::default() };
        if let Some(order) = statics::orders(core, filter, page(1, 100)).await?.0.last() {
            statics::fulfil(core, Actor::Operator, order.id, vec![]).await?;
        }
        // One at a time is out of service: there is always stock enough for all.
        let id = self.dice.pick(&self.stock).unwrap();
        for in_service in [false, true] {
            let change = StockChange { in_service: Some(in_service), exit_ip: None };
            statics::update_stock(core, Actor::Operator, id, change).await?;
        }
        Ok(())
    }

    /// Everything that anybody was told.
    async fn told(&self) -> BTreeSet<String> {
        let mut told = BTreeSet::new();
        for (account, _) in &self.customers {
            told.extend(self.world.told_kinds(*account).await);
        }
        told
    }
}

on_both_databases! {
    async fn months_of_deeds_and_dying_workers_leave_nothing_for_the_audit_to_find(database) {
        let mut months = Months::begin(&database).await;
        let (start, mut outcomes) = (months.world.now(), Vec::new());
        for day in 0..DAYS {
            let noon = start.plus(DAY * u32::try_from(day).unwrap());
            for deed in 0..DEEDS {
                months.pass_until(noon.plus(Duration::from_secs((day * 7919 + deed * 1013) % 80_000))).await;
                outcomes.push(months.act(day * DEEDS + deed).await);
            }
            if day % 20 == 19 {
                months.world.audit().await;
            }
        }
        months.pass_until(start.plus(DAY * u32::try_from(DAYS + 1).unwrap())).await;
        months.world.audit().await;
        assert!(months.lost.load(Ordering::Relaxed) > 0, "no job was in the hands of the dead");
        let count = |outcome: &str| outcomes.iter().filter(|found| **found == outcome).count();
        let counts = ["ok", "poor", "conflict"].map(count);
        assert!(counts.iter().all(|count| *count > 3), "{counts:?}");
        let told = months.told().await;
        for kind in [
            "renewed",
            "renewal_insufficient",
            "renewal_failed",
            "expiring",
            "expired",
            "replaced",
            "refunded",
        ] {
            assert!(told.contains(&format!("static.{kind}")), "{kind} never happened: {told:?}");
        }
    }
}
