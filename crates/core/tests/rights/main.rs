//! Rights through the real store: who may do what, what is taken and what is refused, and that
//! gateways hear of every change.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod changes;
mod directory;
mod parameters;
mod secrets;
mod tenants;
mod trends;

use std::fmt::Debug;
use std::sync::Arc;

use tollgate_core::{
    Actor, Core, Error, Keys, Page, Policy, Rule, accounts, exits, leases, offers, sub_accounts,
};
use tollgate_testkit::{FakeClock, TestDb};
use tollgate_types::{
    AccountId, BootId, Bytes, Cents, Directory, ExitId, GatewayId, LeaseRequest, LeaseUsage, Payer,
    ProxyType, SubAccountId, UsageReport, Zone,
};

const MASTER: [u8; 32] = [7; 32];
const NOBODY: i64 = 3_000_000_000;

struct Platform {
    core: Core,
    clock: Arc<FakeClock>,
}

impl Platform {
    async fn on(database: &TestDb) -> Self {
        Self::with(database, Zone::UTC, Policy::default()).await
    }

    async fn with(database: &TestDb, zone: Zone, policy: Policy) -> Self {
        let clock = Arc::new(FakeClock::new(Zone::UTC.parse("2026-03-01 12:00:00").unwrap()));
        let db = database.open();
        let core = Core::open(db, clock.clone(), zone, Keys::new(&MASTER), policy, [1; 32]).await.unwrap();
        Self { core, clock }
    }

    async fn account(&self, username: &str) -> AccountId {
        accounts::create(&self.core, Actor::Operator, new_account(username)).await.unwrap().0
    }

    async fn sub_account(&self, account: AccountId, username: &str) -> SubAccountId {
        sub_accounts::create(&self.core, account, new_sub_account(username)).await.unwrap()
    }

    async fn exit(&self, name: &str) -> ExitId {
        exits::create(&self.core, Actor::Operator, new_exit(name)).await.unwrap()
    }

    /// Uses bytes of a sub-account, from the wallet, now.
    async fn use_bytes(&self, account: AccountId, sub_account: Option<SubAccountId>, bytes: u64) {
        let (gateway, boot) = (GatewayId::new(1), BootId::new(1));
        let payer = Payer { account, sub_account, proxy_type: ProxyType::Residential };
        let want = Bytes::new(bytes);
        let lease = leases::lease(&self.core, LeaseRequest { gateway, boot, payer, want }).await.unwrap();
        assert_eq!(lease.granted, want);
        let usage = LeaseUsage { id: lease.id, used: want, granted: want };
        let report = UsageReport { gateway, boot, recovered: false, leases: vec![usage] };
        leases::settle(&self.core, report).await.unwrap();
    }

    /// Another process on the same database, started now.
    async fn another(&self) -> Core {
        let (db, clock) = (self.core.db().clone(), self.clock.clone());
        Core::open(db, clock, Zone::UTC, Keys::new(&MASTER), Policy::default(), [2; 32]).await.unwrap()
    }
}

fn shown(core: &Core) -> Arc<Directory> {
    core.directory().borrow().clone()
}

fn new_account(username: &str) -> accounts::NewAccount {
    let email = "someone@example.com".to_owned();
    accounts::NewAccount { username: username.to_owned(), email, password: None, prices: [None; 3] }
}

fn new_sub_account(username: &str) -> sub_accounts::NewSubAccount {
    sub_accounts::NewSubAccount {
        username: username.to_owned(),
        password: "secret-1".to_owned().into(),
        remark: String::new(),
        active: true,
        limits_gb: [0; 3],
    }
}

fn new_exit(name: &str) -> exits::ExitChange {
    exits::ExitChange {
        name: Some(name.to_owned()),
        proxy_type: Some(ProxyType::Residential),
        kind: Some("direct".to_owned()),
        country: Some("US".to_owned()),
        ..exits::ExitChange::default()
    }
}

fn new_offer() -> offers::OfferChange {
    offers::OfferChange {
        proxy_type: Some(ProxyType::Residential),
        traffic_gb: Some(5),
        price: Some(Cents::new(300)),
        days: Some(30),
        plan_type: Some("personal".to_owned()),
        ..offers::OfferChange::default()
    }
}

fn page(number: i64, size: i64) -> Page {
    Page::new(Some(number), Some(size)).unwrap()
}

/// The parameter that was refused, and the rule that it breaks.
fn refused<T: Debug>(answer: Result<T, Error>) -> (&'static str, Rule) {
    match answer {
        Err(Error::Invalid { field, rule }) => (field, rule),
        other => panic!("{other:?} instead of a refused parameter"),
    }
}
