//! Playing a plan: the clock goes to the next thing that is due or done, workers work, and what
//! happened is held against the models.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tollgate_core::packages::StrategyChange;
use tollgate_core::statics::{self, NewStock, OrderRequest, PriceChange, StaticFilter, StaticProxy};
use tollgate_core::{
    Actor, Core, Error, Keys, Page, Policy, accounts, audit, events, jobs, leases, notices, offers, packages,
    wallets,
};
use tollgate_testkit::{FakeClock, TestDb};
use tollgate_types::{
    AccountId, BootId, Bytes, Cents, Clock, GatewayId, LeaseRequest, LeaseUsage, OfferId, Payer, ProxyType,
    StaticPriceId, StaticProtocol, StaticType, Time, UsageReport, Zone,
};

use crate::packages::Packages;
use crate::plan::{Act, OFFERS, PRICES, What};
use crate::statics::{Proxy, Statics};

const TYPE: ProxyType = ProxyType::Mobile;
const GATEWAY: GatewayId = GatewayId::new(1);
const BOOT: BootId = BootId::new(1);

/// Enough for everybody: nobody is told that there is none left.
const STOCK: u32 = 3_000;

/// Who works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workers {
    count: usize,
    /// One in so many rounds ends at a random moment.
    killed_in: Option<u32>,
}

impl Workers {
    pub(crate) const ONE: Self = Self { count: 1, killed_in: None };
    pub(crate) const TWO: Self = Self { count: 2, killed_in: None };
    pub(crate) const ONE_KILLED: Self = Self { count: 1, killed_in: Some(40) };
    pub(crate) const TWO_KILLED: Self = Self { count: 2, killed_in: Some(40) };

    /// Whether everything must happen at its very time. Where workers are killed, it may be minutes
    /// late, and only what it comes to is compared.
    pub(crate) fn are_punctual(self) -> bool {
        self.killed_in.is_none()
    }
}

/// What one customer came to: entries by kind and amount, events by name, cents.
#[derive(Debug, Default)]
pub(crate) struct CustomerOutcome {
    pub(crate) entries: BTreeMap<(String, i64), u32>,
    pub(crate) events: BTreeMap<String, u32>,
    pub(crate) balance: i64,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) customers: Vec<CustomerOutcome>,
}

struct Customer {
    account: AccountId,
    seen: i64,
    balance: i64,
    low: i64,
    packages: Packages,
    statics: Statics,
    /// What the next look should find beside what the models say.
    told: Vec<&'static str>,
}

pub(crate) struct Simulation {
    cores: Vec<Core>,
    clock: Arc<FakeClock>,
    begin: Time,
    workers: Workers,
    chance: StdRng,
    offers: Vec<OfferId>,
    prices: Vec<StaticPriceId>,
    customers: Vec<Customer>,
    _database: TestDb,
}

impl Simulation {
    pub(crate) async fn new(database: TestDb, workers: Workers, customers: usize) -> Self {
        let begin = Zone::UTC.parse("2026-03-01 00:00:00").unwrap();
        let clock = Arc::new(FakeClock::new(begin));
        let mut cores = Vec::new();
        for seed in 1..=workers.count {
            cores.push(open(&database, clock.clone(), u8::try_from(seed).unwrap()).await);
        }
        let mut simulation = Self {
            cores,
            clock,
            begin,
            workers,
            chance: StdRng::seed_from_u64(1),
            offers: Vec::new(),
            prices: Vec::new(),
            customers: Vec::new(),
            _database: database,
        };
        simulation.furnish(customers).await;
        simulation
    }

    fn core(&self) -> &Core {
        &self.cores[0]
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    async fn furnish(&mut self, customers: usize) {
        let core = self.core().clone();
        for (gb, price, days) in OFFERS {
            let new = offers::OfferChange {
                proxy_type: Some(TYPE),
                traffic_gb: Some(gb),
                price: Some(Cents::new(price)),
                days: Some(days),
                plan_type: Some("personal".into()),
                ..offers::OfferChange::default()
            };
            self.offers.push(offers::create(&core, Actor::Operator, new).await.unwrap());
        }
        for (count, discount, period, price) in PRICES {
            let new = PriceChange {
                static_type: Some(StaticType::Dc),
                count: Some(count),
                discount: Some(discount),
                period: Some(period),
                price: Some(Cents::new(price)),
                ..PriceChange::default()
            };
            self.prices.push(statics::create_price(&core, Actor::Operator, new).await.unwrap());
        }
        let item = |n: u32| NewStock {
            listen_ip: format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255),
            listen_port: 9000,
            exit_ip: None,
        };
        let stock = (0..STOCK).map(item).collect();
        statics::import(&core, Actor::Operator, StaticType::Dc, "us".into(), stock).await.unwrap();
        for n in 0..customers {
            let new = accounts::NewAccount {
                username: format!("customer.{n}"),
                email: format!("customer.{n}@example.com"),
                password: None,
                prices: [None; 3],
            };
            let (account, _) = accounts::create(&core, Actor::Operator, new).await.unwrap();
            self.customers.push(Customer {
                account,
                seen: 0,
                balance: 0,
                low: 0,
                packages: Packages::default(),
                statics: Statics::default(),
                told: Vec::new(),
            });
        }
    }

    /// Plays a plan, and the days until everything that was ordered has come to its end.
    pub(crate) async fn play(mut self, plan: Vec<Act>, days: u64) -> Outcome {
        // Between two moments at which something may be due.
        let end = self.begin.plus(Duration::from_secs(days * 86_400 + 300));
        let mut acts = plan.into_iter().peekable();
        loop {
            let next_act = acts.peek().map(|act| self.begin.plus(act.at));
            let next_due = jobs::run::next_due(self.core()).await.unwrap();
            let models = self.customers.iter();
            let expected = models.filter_map(|customer| customer.next(self.now())).min();
            let Some(at) = next_act.into_iter().chain(next_due).chain(expected).min() else { break };
            if at > end {
                break;
            }
            // A worker that was killed has made it later already.
            self.clock.set(at.max(self.now()));
            self.work().await;
            self.look_at_everybody(at).await;
            while let Some(act) = acts.next_if(|act| self.begin.plus(act.at) <= at) {
                let customer = act.customer;
                self.act(act).await;
                self.work().await;
                self.look_at(customer, at, true).await;
            }
        }
        self.clock.set(end.max(self.now()));
        self.finish().await
    }

    /// Does everything that is due, until nothing is.
    async fn work(&mut self) {
        loop {
            let kill = self.workers.killed_in.is_some_and(|rounds| self.chance.random_range(0..rounds) == 0);
            let round = async {
                let rounds = self.cores.iter().map(|core| jobs::run::run_due(core, 16));
                let mut done = 0;
                for one in join_all(rounds).await {
                    done += one.unwrap();
                }
                done
            };
            if !kill {
                if round.await == 0 {
                    return;
                }
                continue;
            }
            // The workers end wherever they stand; what they claimed is claimed anew a minute later.
            let patience = Duration::from_micros(self.chance.random_range(0..4_000));
            let _ = tokio::time::timeout(patience, round).await;
            let now = self.now();
            self.clock.advance(jobs::CLAIM_TTL);
            // Where nothing had been claimed, it is as if nothing had been.
            if !is_anything_claimed(self.core()).await {
                self.clock.set(now);
            }
        }
    }

    async fn look_at_everybody(&mut self, at: Time) {
        for customer in 0..self.customers.len() {
            self.look_at(customer, at, false).await;
        }
    }

    /// Holds what has happened to a customer against what should have. Only those are asked about
    /// whom something should have happened to; the others in the end.
    async fn look_at(&mut self, number: usize, at: Time, acted: bool) {
        let day = at.since(self.begin).as_secs() / 86_400;
        let (core, is_strict, workers) = (self.core().clone(), self.workers.are_punctual(), self.workers);
        let customer = &mut self.customers[number];
        let before = customer.balance;
        let mut expected = std::mem::take(&mut customer.told);
        expected.extend(customer.statics.look(at, &mut customer.balance));
        expected.extend(customer.packages.look(at, day, &mut customer.balance));
        if before > customer.low && customer.balance <= customer.low && customer.low > 0 {
            expected.push("wallet.low");
        }
        if !is_strict || (expected.is_empty() && !acted) {
            return;
        }
        let (found, cursor) =
            events::since(&core, customer.account, customer.seen, Some(1000)).await.unwrap();
        customer.seen = cursor;
        let mut names: Vec<&str> = found.iter().map(|event| event.kind.as_str()).collect();
        names.sort_unstable();
        expected.sort_unstable();
        let failed = failed_jobs(&core).await;
        assert_eq!(names, expected, "customer {number} on day {day}, {at:?}, {:?}; {failed:?}", workers);
        for event in &found {
            assert_eq!(event.at, at, "{event:?} of customer {number}");
        }
    }

    async fn finish(mut self) -> Outcome {
        let at = self.now();
        let mut outcome = Outcome { customers: Vec::new() };
        for number in 0..self.customers.len() {
            self.look_at(number, at, true).await;
            outcome.customers.push(self.outcome_of(number).await);
        }
        let dead = jobs::admin::list(self.core(), Some("dead".into()), Page::new(None, None).unwrap())
            .await
            .unwrap();
        assert_eq!(dead.0, []);
        let report = audit::run(self.core()).await.unwrap();
        assert!(report.differences.is_empty(), "{:?}", report.differences);
        self.nobody_shares_an_address().await;
        outcome
    }

    async fn outcome_of(&self, number: usize) -> CustomerOutcome {
        let customer = &self.customers[number];
        let mut outcome = CustomerOutcome::default();
        let page = Page::new(None, Some(Page::LARGEST)).unwrap();
        for line in wallets::ledger(self.core(), customer.account, page).await.unwrap().0 {
            *outcome.entries.entry((line.kind, line.amount.get())).or_default() += 1;
        }
        for event in events::since(self.core(), customer.account, 0, Some(1000)).await.unwrap().0 {
            *outcome.events.entry(event.kind).or_default() += 1;
        }
        outcome.balance = wallets::read(self.core(), customer.account).await.unwrap().balance().get();
        assert_eq!(outcome.balance, customer.balance, "balance of customer {number}");
        let listed = self.listed(customer.account).await;
        let listed: BTreeMap<_, _> = listed.into_iter().map(|proxy| (proxy.id, proxy.expires_at)).collect();
        if self.workers.are_punctual() {
            assert_eq!(listed, customer.statics.listed(self.now()), "proxies of customer {number}");
        }
        outcome
    }

    async fn listed(&self, account: AccountId) -> Vec<StaticProxy> {
        let filter = StaticFilter { static_types: vec![StaticType::Dc], ..StaticFilter::default() };
        let page = Page::new(None, Some(Page::LARGEST)).unwrap();
        statics::list(self.core(), account, filter, page).await.unwrap().0
    }

    async fn nobody_shares_an_address(&self) {
        let mut held = BTreeSet::new();
        for customer in &self.customers {
            for proxy in self.listed(customer.account).await {
                assert!(held.insert(proxy.address.unwrap()), "{:?} is in two hands", proxy.address);
            }
        }
    }

    async fn act(&mut self, act: Act) {
        let core = self.core().clone();
        let now = self.begin.plus(act.at);
        let account = self.customers[act.customer].account;
        let customer = &mut self.customers[act.customer];
        let before = customer.balance;
        match act.what {
            What::Recharge(cents) => {
                let reference = format!("{:?}", act.at);
                let amount = Cents::new(cents);
                wallets::recharge(&core, Actor::Operator, account, amount, reference).await.unwrap();
                customer.balance += cents;
            }
            What::LowBalance(cents) => {
                notices::set_low_balance(&core, account, Cents::new(cents)).await.unwrap();
                customer.low = cents;
            }
            What::Buy(item) => {
                let (gb, price, _) = OFFERS[item];
                let bought = packages::buy(&core, account, self.offers[item], None).await;
                assert_eq!(bought.is_ok(), gb * price <= before, "{bought:?} with {before} cents");
                if bought.is_ok() {
                    customer.balance -= gb * price;
                    customer.packages.bought(item, now);
                }
            }
            What::Use(sixteenths) => {
                let bytes = customer.packages.left(now) / 16 * sixteenths;
                let bytes = if sixteenths == 16 { customer.packages.left(now) } else { bytes };
                use_bytes(&core, account, bytes).await;
                customer.packages.used(bytes, now);
            }
            What::Remind(gb, days) => {
                let change = StrategyChange {
                    auto_remind: Some(true),
                    remind_gb: Some(gb),
                    remind_days: Some(days),
                    ..StrategyChange::default()
                };
                packages::set_strategy(&core, account, TYPE, change).await.unwrap();
                customer.packages.wants_reminders(gb, days);
            }
            What::Rebuy(item, gb, days) => {
                let change = StrategyChange {
                    auto_rebuy: Some(true),
                    rebuy_gb: Some(gb),
                    rebuy_days: Some(days),
                    rebuy_offer: Some(self.offers[item]),
                    ..StrategyChange::default()
                };
                packages::set_strategy(&core, account, TYPE, change).await.unwrap();
                customer.packages.wants_rebuy(Some((item, gb, days)));
            }
            What::NoRebuy if customer.packages.has_chosen() => {
                let change = StrategyChange { auto_rebuy: Some(false), ..StrategyChange::default() };
                packages::set_strategy(&core, account, TYPE, change).await.unwrap();
                customer.packages.wants_rebuy(None);
            }
            What::NoRebuy => {}
            What::Order(..)
            | What::AutoRenew(..)
            | What::Renew(..)
            | What::Replace(..)
            | What::Refund(..) => self.act_on_statics(&core, act.customer, act.what, now).await,
        }
        let customer = &mut self.customers[act.customer];
        let (low, after) = (customer.low, customer.balance);
        if before > low && after <= low && low > 0 {
            customer.told.push("wallet.low");
        }
    }

    async fn act_on_statics(&mut self, core: &Core, number: usize, what: What, now: Time) {
        let (account, is_strict) = (self.customers[number].account, self.workers.are_punctual());
        let kind = StaticType::Dc;
        match what {
            What::Order(item, auto) => self.order(core, number, item, auto, now).await,
            What::AutoRenew(nth, on) => {
                let customer = &mut self.customers[number];
                let Some(proxy) = customer.statics.proxies.get_mut(nth).filter(|proxy| proxy.is_live(now))
                else {
                    return;
                };
                statics::set_auto_rebuy(core, account, kind, proxy.id, on).await.unwrap();
                let was = std::mem::replace(&mut proxy.auto, on);
                if on && !was {
                    proxy.switched_on(now, &mut customer.balance, &mut customer.told);
                }
            }
            What::Renew(nth) => {
                let customer = &mut self.customers[number];
                let Some(proxy) = customer.statics.proxies.get_mut(nth) else { return };
                let renewed = statics::renew(core, account, kind, vec![proxy.id], None).await;
                let enough = customer.balance >= proxy.renewal();
                match renewed {
                    Ok(renewed) => {
                        assert!(enough && proxy.is_renewable(now));
                        customer.balance -= proxy.renewal();
                        proxy.renewed(now);
                        assert!(
                            !is_strict || renewed.value.lines[0].expires_at == proxy.ends_at,
                            "{renewed:?}"
                        );
                    }
                    Err(Error::InsufficientFunds) => assert!(!enough),
                    Err(Error::NotFound(_)) => assert!(!proxy.is_renewable(now)),
                    Err(other) => panic!("{other}"),
                }
            }
            What::Replace(nth) => {
                let customer = &mut self.customers[number];
                let Some(proxy) = customer.statics.proxies.get(nth).filter(|proxy| proxy.is_live(now)) else {
                    return;
                };
                let asked = statics::replace(core, account, proxy.id, "blocked".into()).await.unwrap();
                if asked.waits_for_operator {
                    statics::approve(core, Actor::Operator, asked.request, String::new()).await.unwrap();
                }
                customer.told.push("static.replaced");
            }
            What::Refund(nth, approved) => {
                let customer = &mut self.customers[number];
                let Some(proxy) = customer.statics.proxies.get_mut(nth).filter(|proxy| proxy.is_live(now))
                else {
                    return;
                };
                let (request, offered) =
                    statics::refund(core, account, proxy.id, "no need".into()).await.unwrap();
                assert_eq!(offered.get(), proxy.refund(now), "{proxy:?}");
                if !approved {
                    return statics::refuse(core, Actor::Operator, request, "no".into()).await.unwrap();
                }
                let given = statics::approve(core, Actor::Operator, request, String::new()).await.unwrap();
                assert_eq!(given, offered);
                customer.balance += given.get();
                proxy.given_back = true;
                customer.told.push("static.refunded");
            }
            _ => unreachable!("no such act"),
        }
    }

    async fn order(&mut self, core: &Core, number: usize, item: usize, auto: bool, now: Time) {
        let customer = &mut self.customers[number];
        let (count, discount, _, price) = PRICES[item];
        let amount = count * price * (100 - discount) / 100;
        let request = OrderRequest {
            static_type: StaticType::Dc,
            country: "us".into(),
            protocol: StaticProtocol::Both,
            price: self.prices[item],
        };
        let account = customer.account;
        let ordered = match statics::order(core, account, request, None).await {
            Err(Error::InsufficientFunds) => return assert!(customer.balance < amount),
            ordered => ordered.unwrap(),
        };
        assert_eq!(ordered.value.amount.get(), amount);
        customer.balance -= amount;
        customer.told.push("static.order_completed");
        let filter = StaticFilter {
            static_types: vec![StaticType::Dc],
            order_no: Some(ordered.value.order_no),
            ..StaticFilter::default()
        };
        let (mut proxies, _) =
            statics::list(core, account, filter, Page::new(None, None).unwrap()).await.unwrap();
        proxies.sort_by_key(|proxy| proxy.id);
        assert_eq!(i64::try_from(proxies.len()).unwrap(), count);
        for proxy in proxies {
            if auto {
                statics::set_auto_rebuy(core, account, StaticType::Dc, proxy.id, true).await.unwrap();
            }
            self.customers[number].statics.proxies.push(Proxy::new(proxy.id, item, auto, now));
        }
    }
}

impl Customer {
    fn next(&self, now: Time) -> Option<Time> {
        self.packages.next(now).into_iter().chain(self.statics.next(now)).min()
    }
}

/// Whether a killed worker has left a claim behind.
async fn is_anything_claimed(core: &Core) -> bool {
    let page = Page::new(None, Some(1)).unwrap();
    jobs::admin::list(core, Some("claimed".into()), page).await.unwrap().1 > 0
}

/// Jobs that have failed and wait to be tried again.
async fn failed_jobs(core: &Core) -> Vec<jobs::admin::JobRow> {
    let page = Page::new(None, Some(Page::LARGEST)).unwrap();
    let (mut waiting, _) = jobs::admin::list(core, Some("waiting".into()), page).await.unwrap();
    waiting.retain(|job| job.attempts > 0);
    waiting
}

/// Has traffic flow, as a gateway would: leased, used and settled.
async fn use_bytes(core: &Core, account: AccountId, mut bytes: u64) {
    let payer = Payer { account, sub_account: None, proxy_type: TYPE };
    while bytes > 0 {
        let ask = LeaseRequest { gateway: GATEWAY, boot: BOOT, payer, want: Bytes::new(bytes) };
        let lease = leases::lease(core, ask).await.unwrap();
        let used = lease.granted.min(Bytes::new(bytes));
        let usage = LeaseUsage { id: lease.id, used, granted: used };
        let report = UsageReport { gateway: GATEWAY, boot: BOOT, recovered: false, leases: vec![usage] };
        leases::settle(core, report).await.unwrap();
        bytes -= used.get();
    }
}

/// Waits for all of a few futures, side by side.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in waiting.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

async fn open(database: &TestDb, clock: Arc<FakeClock>, seed: u8) -> Core {
    let keys = Keys::new(&[7; 32]);
    Core::open(database.open(), clock, Zone::UTC, keys, Policy::default(), [seed; 32]).await.unwrap()
}
