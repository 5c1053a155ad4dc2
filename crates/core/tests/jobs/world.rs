//! A control plane with a clock in the test's hand, and whatever number of workers.

use std::sync::Arc;
use std::time::Duration;

use tollgate_core::events::{self, Event};
use tollgate_core::packages::{StrategyChange, set_strategy};
use tollgate_core::{
    Actor, Core, Keys, Page, Policy, accounts, audit, jobs, leases, offers, packages, wallets,
};
use tollgate_testkit::{FakeClock, TestDb};
use tollgate_types::{
    AccountId, BootId, Bytes, Cents, Clock, GatewayId, LeaseRequest, LeaseUsage, OfferId, Payer, ProxyType,
    Time, UsageReport, Zone,
};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const GB: u64 = 1 << 30;
const GATEWAY: GatewayId = GatewayId::new(1);
const BOOT: BootId = BootId::new(1);

/// The traffic of every test here.
pub(crate) const TYPE: ProxyType = ProxyType::Residential;

pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) clock: Arc<FakeClock>,
    database: TestDb,
}

impl World {
    pub(crate) async fn new(database: TestDb) -> Self {
        let clock = Arc::new(FakeClock::new(Zone::UTC.parse("2026-03-01 12:00:00").unwrap()));
        let core = open(&database, clock.clone(), 1).await;
        Self { core, clock, database }
    }

    /// Another process on the same database; PostgreSQL only.
    pub(crate) async fn another(&self) -> Core {
        open(&self.database, self.clock.clone(), 2).await
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.database.engine() == "postgres"
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) async fn account(&self, name: &str, cents: i64) -> AccountId {
        let new = accounts::NewAccount {
            username: name.into(),
            email: format!("{name}@example.com"),
            password: None,
            prices: [Some(Cents::new(200)); 3],
        };
        let (id, _) = accounts::create(&self.core, Actor::Operator, new).await.unwrap();
        if cents > 0 {
            self.recharge(id, cents, "first").await;
        }
        id
    }

    pub(crate) async fn recharge(&self, account: AccountId, cents: i64, reference: &str) {
        let cents = Cents::new(cents);
        wallets::recharge(&self.core, Actor::Operator, account, cents, reference.into()).await.unwrap();
    }

    pub(crate) async fn balance(&self, account: AccountId) -> i64 {
        wallets::read(&self.core, account).await.unwrap().balance().get()
    }

    /// `gb` at 100 cents each, for so many days.
    pub(crate) async fn offer(&self, gb: i64, days: i64) -> OfferId {
        let new = offers::OfferChange {
            proxy_type: Some(TYPE),
            traffic_gb: Some(gb),
            price: Some(Cents::new(100)),
            days: Some(days),
            plan_type: Some("personal".into()),
            ..offers::OfferChange::default()
        };
        offers::create(&self.core, Actor::Operator, new).await.unwrap()
    }

    pub(crate) async fn buy(&self, account: AccountId, offer: OfferId) {
        packages::buy(&self.core, account, offer, None).await.unwrap();
    }

    pub(crate) async fn strategy(&self, account: AccountId, change: StrategyChange) {
        set_strategy(&self.core, account, TYPE, change).await.unwrap();
    }

    /// Has traffic flow, as a gateway would: leased, used and settled.
    pub(crate) async fn use_bytes(&self, account: AccountId, mut bytes: u64) {
        let payer = Payer { account, sub_account: None, proxy_type: TYPE };
        while bytes > 0 {
            let ask = LeaseRequest { gateway: GATEWAY, boot: BOOT, payer, want: Bytes::new(bytes) };
            let lease = leases::lease(&self.core, ask).await.unwrap();
            let used = lease.granted.min(Bytes::new(bytes));
            let usage = LeaseUsage { id: lease.id, used, granted: used };
            let report = UsageReport { gateway: GATEWAY, boot: BOOT, recovered: false, leases: vec![usage] };
            leases::settle(&self.core, report).await.unwrap();
            bytes -= used.get();
        }
    }

    /// Does everything that is due now, until nothing is.
    pub(crate) async fn work(&self) {
        for _ in 0..1000 {
            if jobs::run::run_due(&self.core, 64).await.unwrap() == 0 {
                return;
            }
        }
        panic!("there is no end to what is due");
    }

    /// Lets time pass, from one thing that is due to the next.
    pub(crate) async fn pass(&self, time: Duration) {
        let end = self.now().plus(time);
        self.work().await;
        while let Some(at) = jobs::run::next_due(&self.core).await.unwrap().filter(|at| *at <= end) {
            self.clock.set(at.max(self.now()));
            self.work().await;
        }
        self.clock.set(end);
    }

    pub(crate) async fn events(&self, account: AccountId) -> Vec<Event> {
        events::since(&self.core, account, 0, Some(1000)).await.unwrap().0
    }

    /// What happened to an account, by name, with the days since the beginning.
    pub(crate) async fn story(&self, account: AccountId) -> Vec<(String, u64)> {
        let begin = Zone::UTC.parse("2026-03-01 12:00:00").unwrap();
        let days = |event: &Event| event.at.since(begin).as_secs() / 86_400;
        self.events(account).await.into_iter().map(|event| (event.kind.clone(), days(&event))).collect()
    }

    pub(crate) async fn holding(&self, account: AccountId) -> packages::Holding {
        packages::current(&self.core, account).await.unwrap().remove(0)
    }

    pub(crate) async fn dead_jobs(&self) -> Vec<jobs::admin::JobRow> {
        jobs::admin::list(&self.core, Some("dead".into()), Page::new(None, None).unwrap()).await.unwrap().0
    }

    pub(crate) async fn audit(&self) {
        let report = audit::run(&self.core).await.unwrap();
        assert!(report.differences.is_empty(), "{:?}", report.differences);
    }
}

async fn open(database: &TestDb, clock: Arc<FakeClock>, seed: u8) -> Core {
    let keys = Keys::new(&[7; 32]);
    Core::open(database.open(), clock, Zone::UTC, keys, Policy::default(), [seed; 32]).await.unwrap()
}
