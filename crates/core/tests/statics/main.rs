//! Static proxies through the real store: what is ordered, paid, renewed, replaced, given back and
//! left to expire, and the audit after each.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auditing;
mod back_orders;
mod expiring;
mod importing;
mod listing;
mod months;
mod ordering;
mod races;
mod refunding;
mod renewing;
mod renewing_by_itself;
mod replacing;
mod traffic;
mod volume;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tollgate_core::statics::{
    self, NewStock, OrderRequest, Ordered, PriceChange, StaticFilter, StaticProxy, StockFilter, StockItem,
};
use tollgate_core::{Actor, Core, Error, Keys, Page, Policy, accounts, audit, events, jobs, wallets};
use tollgate_store::Sql;
use tollgate_testkit::{FakeClock, TestDb};
use tollgate_types::{
    AccountId, Cents, Clock, StaticEntry, StaticPriceId, StaticProtocol, StaticProxyId, StaticType, StockId,
    Time, Zone,
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const NOBODY: i64 = 3_000_000_000;

struct World {
    core: Core,
    clock: Arc<FakeClock>,
}

impl World {
    async fn on(database: &TestDb) -> Self {
        let clock = Arc::new(FakeClock::new(Zone::UTC.parse("2026-03-01 12:00:00").unwrap()));
        let core = open(database, &clock, 1).await;
        Self { core, clock }
    }

    /// Another process on the same database.
    async fn another(&self) -> Core {
        let (db, clock) = (self.core.db().clone(), self.clock.clone());
        Core::open(db, clock, Zone::UTC, Keys::new(&[7; 32]), policy(), [2; 32]).await.unwrap()
    }

    async fn account(&self, name: &str, cents: i64) -> AccountId {
        let email = "someone@example.com".to_owned();
        let new =
            accounts::NewAccount { username: name.to_owned(), email, password: None, prices: [None; 3] };
        let (id, _) = accounts::create(&self.core, Actor::Operator, new).await.unwrap();
        if cents > 0 {
            self.recharge(id, cents, "r1").await;
        }
        id
    }

    async fn recharge(&self, account: AccountId, cents: i64, reference: &str) {
        let cents = Cents::new(cents);
        wallets::recharge(&self.core, Actor::Operator, account, cents, reference.to_owned()).await.unwrap();
    }

    async fn balance(&self, account: AccountId) -> i64 {
        wallets::read(&self.core, account).await.unwrap().balance().get()
    }

    async fn suspend(&self, account: AccountId, suspended: bool) {
        let change = accounts::Change { active: Some(!suspended), ..Default::default() };
        accounts::update(&self.core, Actor::Operator, account, change).await.unwrap();
    }

    /// So many addresses of datacenters in the US, at ports from this one on.
    async fn stock(&self, count: u16, first_port: u16) -> Vec<StockId> {
        self.stock_of(StaticType::Dc, "us", count, first_port).await
    }

    async fn stock_of(&self, kind: StaticType, country: &str, count: u16, first_port: u16) -> Vec<StockId> {
        let ip = if kind == StaticType::Ipv6 { "2001:db8::7" } else { "192.0.2.7" };
        let items = (0..count).map(|n| new_stock(ip, i64::from(first_port + n))).collect();
        let country = country.to_owned();
        statics::import(&self.core, Actor::Operator, kind, country, items).await.unwrap()
    }

    /// A price package of datacenter addresses.
    async fn price(&self, count: i64, days: i64, cents: i64) -> StaticPriceId {
        self.price_of(PriceChange { price: Some(Cents::new(cents)), ..new_price(count, days) }).await
    }

    async fn price_of(&self, new: PriceChange) -> StaticPriceId {
        statics::create_price(&self.core, Actor::Operator, new).await.unwrap()
    }

    async fn change_price(&self, id: StaticPriceId, change: PriceChange) {
        statics::update_price(&self.core, Actor::Operator, id, change).await.unwrap();
    }

    async fn try_order(&self, account: AccountId, price: StaticPriceId) -> Result<Ordered, Error> {
        statics::order(&self.core, account, asking(price), None).await.map(|ordered| ordered.value)
    }

    async fn order(&self, account: AccountId, price: StaticPriceId) -> Ordered {
        self.try_order(account, price).await.unwrap()
    }

    /// An account with money that has ordered one proxy for 30 days at 3000 cents.
    async fn customer(&self, name: &str, cents: i64) -> (AccountId, StaticProxyId) {
        let account = self.account(name, cents + 3000).await;
        let price = self.price(1, 30, 3000).await;
        self.order(account, price).await;
        (account, self.only(account).await.id)
    }

    async fn list(&self, account: AccountId) -> Vec<StaticProxy> {
        statics::list(&self.core, account, StaticFilter::default(), page(1, 1000)).await.unwrap().0
    }

    async fn only(&self, account: AccountId) -> StaticProxy {
        let mut proxies = self.list(account).await;
        assert_eq!(proxies.len(), 1, "{proxies:?}");
        proxies.pop().unwrap()
    }

    async fn all_stock(&self) -> Vec<StockItem> {
        statics::stock(&self.core, StockFilter::default(), page(1, 1000)).await.unwrap().0
    }

    async fn item(&self, id: StockId) -> StockItem {
        self.all_stock().await.into_iter().find(|item| item.id == id).unwrap()
    }

    /// How many items are free, leased, in grace and disabled.
    async fn stock_states(&self) -> [usize; 4] {
        let stock = self.all_stock().await;
        ["free", "leased", "grace", "disabled"]
            .map(|state| stock.iter().filter(|item| item.state == state).count())
    }

    async fn renew(&self, account: AccountId, id: StaticProxyId) -> Result<statics::Renewed, Error> {
        let renewed = statics::renew(&self.core, account, StaticType::Dc, vec![id], None).await;
        renewed.map(|renewed| renewed.value)
    }

    async fn auto_rebuy(&self, account: AccountId, id: StaticProxyId, active: bool) {
        statics::set_auto_rebuy(&self.core, account, StaticType::Dc, id, active).await.unwrap();
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    /// Does all jobs that are due now; none may fail.
    async fn work(&self) {
        while jobs::run::run_due(&self.core, 64).await.unwrap() > 0 {}
        let (left, _) = jobs::admin::list(&self.core, None, page(1, 1000)).await.unwrap();
        let failed: Vec<_> = left.iter().filter(|job| job.attempts > 0 || job.state != "waiting").collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }

    /// Does all jobs that are due now and that nobody has claimed.
    async fn work_claimed(&self) {
        while jobs::run::run_due(&self.core, 64).await.unwrap() > 0 {}
    }

    /// Lets time pass, doing each job at the moment when it is due.
    async fn pass(&self, time: Duration) {
        let until = self.now().plus(time);
        while let Some(due) = jobs::run::next_due(&self.core).await.unwrap().filter(|due| *due <= until) {
            self.clock.set(due.max(self.now()));
            self.work().await;
        }
        self.clock.set(until);
    }

    /// What a gateway is shown of a proxy.
    async fn shown(&self, id: StaticProxyId) -> Option<StaticEntry> {
        tollgate_core::directory::refresh(&self.core).await.unwrap();
        let directory = self.core.directory().borrow().clone();
        directory.static_proxy(id).map(|entry| StaticEntry::clone(entry))
    }

    /// What an account was told of, in order.
    async fn told(&self, account: AccountId) -> Vec<(String, Value)> {
        let (events, _) = events::since(&self.core, account, 0, Some(1000)).await.unwrap();
        let told = |event: events::Event| (event.kind, serde_json::from_str(&event.data).unwrap());
        events.into_iter().map(told).collect()
    }

    /// The names of what an account was told of, but for orders that are there.
    async fn told_kinds(&self, account: AccountId) -> Vec<String> {
        let told = self.told(account).await.into_iter().map(|(kind, _)| kind);
        told.filter(|kind| kind != "static.order_completed").collect()
    }

    /// Runs a statement behind everybody's back.
    async fn spoil(&self, statement: &'static str) {
        let sql = Sql::new("spoil", statement);
        let spoilt: Result<u64, tollgate_store::Error> =
            self.core.db().write(move |tx| tx.execute(sql, &[])).await;
        assert!(spoilt.unwrap() > 0, "{statement}");
    }

    async fn audit(&self) {
        let report = audit::run(&self.core).await.unwrap();
        assert!(report.differences.is_empty(), "{:#?}", report.differences);
        assert!(report.compared > 5, "an audit that compares nothing");
        self.directory_is_fresh().await;
    }

    /// What gateways are shown after all changes is what they would be shown after a start.
    async fn directory_is_fresh(&self) {
        tollgate_core::directory::refresh(&self.core).await.unwrap();
        let fresh = self.another().await;
        let of = |core: &Core| {
            let directory = core.directory().borrow().clone();
            let mut entries: Vec<_> =
                directory.statics.iter().map(|(at, entry)| (*at, entry.clone())).collect();
            entries.sort_by_key(|(at, _)| *at);
            format!("{entries:?} {}", directory.static_addresses.len())
        };
        assert_eq!(of(&self.core), of(&fresh));
    }
}

async fn open(database: &TestDb, clock: &Arc<FakeClock>, seed: u8) -> Core {
    let keys = Keys::new(&[7; 32]);
    Core::open(database.open(), clock.clone(), Zone::UTC, keys, policy(), [seed; 32]).await.unwrap()
}

fn policy() -> Policy {
    Policy { reserved_ports: vec![7000, 8080], ..Policy::default() }
}

fn new_price(count: i64, days: i64) -> PriceChange {
    PriceChange {
        static_type: Some(StaticType::Dc),
        count: Some(count),
        period: Some(days),
        price: Some(Cents::new(500)),
        ..PriceChange::default()
    }
}

fn new_stock(ip: &str, port: i64) -> NewStock {
    NewStock { listen_ip: ip.to_owned(), listen_port: port, exit_ip: None }
}

/// An order of datacenter addresses in the US.
fn asking(price: StaticPriceId) -> OrderRequest {
    let (static_type, country, protocol) = (StaticType::Dc, "US".to_owned(), StaticProtocol::Both);
    OrderRequest { static_type, country, protocol, price }
}

fn page(number: i64, size: i64) -> Page {
    Page::new(Some(number), Some(size)).unwrap()
}

/// The field and rule of a refusal.
fn invalid(error: Error) -> (&'static str, tollgate_core::Rule) {
    match error {
        Error::Invalid { field, rule } => (field, rule),
        other => panic!("{other:?}"),
    }
}
