//! Money and bytes through the real store: leases, settlements, purchases, and the audit after each.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use tollgate_core::{
    Actor, Core, Error, Keys, Page, Policy, accounts, audit, jobs, leases, offers, packages, sub_accounts,
    wallets,
};
use tollgate_store::{Db, DbUrl, Options};
use tollgate_testkit::FakeClock;
use tollgate_types::{
    AccountId, BootId, ByteLease, Bytes, Cents, GatewayId, LeaseDenied, LeaseId, LeaseRequest, LeaseUsage,
    OfferId, Payer, ProxyType, SubAccountId, UsageReport, Zone,
};

const GATEWAY: GatewayId = GatewayId::new(1);
const BOOT: BootId = BootId::new(1);
const GB: u64 = 1 << 30;

struct Platform {
    core: Core,
    clock: Arc<FakeClock>,
    _folder: tempfile::TempDir,
}

impl Platform {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::new(Zone::UTC.parse("2026-03-01 12:00:00").unwrap()));
        let url = DbUrl::sqlite(folder.path().join("tollgate.db"));
        let db = Db::open(&url, Options::new(tollgate_types::Clock::now(&*clock))).unwrap();
        let core =
            Core::open(db, clock.clone(), Zone::UTC, Keys::new(&[7; 32]), Policy::default(), [1; 32]).await;
        Self { core: core.unwrap(), clock, _folder: folder }
    }

    /// Does everything that is due now.
    async fn work(&self) {
        while jobs::run::run_due(&self.core, 16).await.unwrap() > 0 {}
    }

    async fn account(&self, cents: i64) -> AccountId {
        let new = accounts::NewAccount {
            username: "ann".into(),
            email: "ann@example.com".into(),
            password: None,
            prices: [Some(Cents::new(200)), Some(Cents::new(100)), Some(Cents::new(400))],
        };
        let (id, _) = accounts::create(&self.core, Actor::Operator, new).await.unwrap();
        if cents > 0 {
            wallets::recharge(&self.core, Actor::Operator, id, Cents::new(cents), "r1".into()).await.unwrap();
        }
        id
    }

    async fn offer(&self, gb: i64, price: i64) -> OfferId {
        let new = offers::OfferChange {
            proxy_type: Some(ProxyType::Residential),
            traffic_gb: Some(gb),
            price: Some(Cents::new(price)),
            days: Some(30),
            plan_type: Some("personal".into()),
            ..offers::OfferChange::default()
        };
        offers::create(&self.core, Actor::Operator, new).await.unwrap()
    }

    async fn sub_account(&self, account: AccountId, limit_gb: i64) -> SubAccountId {
        let new = sub_accounts::NewSubAccount {
            username: "ann.one".into(),
            password: "secret-1".to_owned().into(),
            remark: String::new(),
            active: true,
            limits_gb: [limit_gb; 3],
        };
        sub_accounts::create(&self.core, account, new).await.unwrap()
    }

    async fn lease(&self, payer: Payer, want: u64) -> Result<ByteLease, LeaseDenied> {
        let ask = LeaseRequest { gateway: GATEWAY, boot: BOOT, payer, want: Bytes::new(want) };
        leases::lease(&self.core, ask).await
    }

    async fn report(&self, usages: &[(ByteLease, u64, u64)]) {
        let leases = usages.iter().map(|(lease, used, granted)| LeaseUsage {
            id: lease.id,
            used: Bytes::new(*used),
            granted: Bytes::new(*granted),
        });
        let report = UsageReport { gateway: GATEWAY, boot: BOOT, recovered: false, leases: leases.collect() };
        leases::settle(&self.core, report).await.unwrap();
    }

    async fn use_up(&self, lease: ByteLease, used: u64) {
        self.report(&[(lease, used, used)]).await;
    }

    async fn balance(&self, account: AccountId) -> i64 {
        wallets::read(&self.core, account).await.unwrap().balance().get()
    }

    async fn audit(&self) {
        let report = audit::run(&self.core).await.unwrap();
        assert!(report.differences.is_empty(), "{:#?}", report.differences);
        assert!(report.compared > 5, "an audit that compares nothing");
    }
}

fn payer(account: AccountId, sub_account: Option<SubAccountId>) -> Payer {
    Payer { account, sub_account, proxy_type: ProxyType::Residential }
}

#[tokio::test]
async fn a_package_runs_over_into_the_wallet_to_the_byte_and_the_cent() {
    let world = Platform::new().await;
    let ann = world.account(1000).await;
    let offer = world.offer(1, 300).await;
    packages::buy(&world.core, ann, offer, None).await.unwrap();
    assert_eq!(world.balance(ann).await, 700);
    let mut from_package = 0;
    while from_package < GB {
        let lease = world.lease(payer(ann, None), GB).await.unwrap();
        world.use_up(lease, lease.granted.get()).await;
        from_package += lease.granted.get();
    }
    assert_eq!(from_package, GB, "leases never mix sources");
    assert_eq!(world.balance(ann).await, 700, "the package paid");
    // 200 cents a GB: half a GB costs a dollar.
    let mut from_wallet = 0;
    while from_wallet < GB / 2 {
        let lease = world.lease(payer(ann, None), GB / 2 - from_wallet).await.unwrap();
        world.use_up(lease, lease.granted.get()).await;
        from_wallet += lease.granted.get();
    }
    assert_eq!(world.balance(ann).await, 600);
    world.audit().await;
}

#[tokio::test]
async fn the_last_cent_pays_for_exactly_its_bytes_and_then_there_is_nothing() {
    let world = Platform::new().await;
    let ann = world.account(1).await;
    let mut used = 0;
    let denied = loop {
        match world.lease(payer(ann, None), GB).await {
            Ok(lease) => {
                used += lease.granted.get();
                world.use_up(lease, lease.granted.get()).await;
            }
            Err(denied) => break denied,
        }
    };
    assert_eq!(
        (denied, used),
        (LeaseDenied::BalanceEmpty, GB / 200),
        "one cent at 200 cents a GB, rounded down"
    );
    assert_eq!(world.balance(ann).await, 1, "less than a cent was used: it is carried, not charged");
    wallets::recharge(&world.core, Actor::Operator, ann, Cents::new(1), "r2".into()).await.unwrap();
    let lease = world.lease(payer(ann, None), 4096).await.unwrap();
    world.use_up(lease, 4096).await;
    assert_eq!(world.balance(ann).await, 1, "the carried remainder and the new bytes make a cent");
    world.audit().await;
}

#[tokio::test]
async fn reports_that_come_twice_late_or_reordered_change_nothing() {
    let world = Platform::new().await;
    let ann = world.account(1000).await;
    let lease = world.lease(payer(ann, None), 50 << 20).await.unwrap();
    let granted = lease.granted.get();
    world.report(&[(lease, 10 << 20, granted)]).await;
    world.report(&[(lease, 30 << 20, 30 << 20)]).await;
    let after = world.balance(ann).await;
    world.report(&[(lease, 10 << 20, granted)]).await;
    world.report(&[(lease, 30 << 20, 30 << 20)]).await;
    world.report(&[(lease, 0, granted)]).await;
    assert_eq!(world.balance(ann).await, after);
    world.audit().await;
}

#[tokio::test]
async fn a_limit_lets_exactly_its_bytes_through_and_more_when_it_is_raised() {
    let world = Platform::new().await;
    let ann = world.account(100_000).await;
    let sub_account = world.sub_account(ann, 1).await;
    let who = payer(ann, Some(sub_account));
    let mut used = 0;
    let denied = loop {
        match world.lease(who, GB).await {
            Ok(lease) => {
                used += lease.granted.get();
                world.use_up(lease, lease.granted.get()).await;
            }
            Err(denied) => break denied,
        }
    };
    assert_eq!((denied, used), (LeaseDenied::TrafficLimit, GB));
    let change = sub_accounts::Change { limits_gb: [Some(2), None, None], ..sub_accounts::Change::default() };
    sub_accounts::update(&world.core, ann, sub_account, change).await.unwrap();
    assert!(world.lease(who, GB).await.is_ok());
    world.audit().await;
}

#[tokio::test]
async fn what_is_held_by_a_vanished_gateway_comes_back_and_a_late_report_is_still_paid() {
    let world = Platform::new().await;
    let ann = world.account(1000).await;
    let lease = world.lease(payer(ann, None), 100 << 20).await.unwrap();
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(leases::void_expired(&world.core).await.unwrap(), 1);
    world.audit().await;
    assert_eq!(wallets::read(&world.core, ann).await.unwrap().spendable(), Cents::new(1000));
    // The gateway comes back with its journal: what it had forwarded is charged after all, once.
    for _ in 0..2 {
        world.use_up(lease, 100 << 20).await;
    }
    assert_eq!(world.balance(ann).await, 1000 - 200 * 100 / 1024);
    world.audit().await;
}

/// As after a restore: the gateway knows leases that were issued after the backup was made.
#[tokio::test]
async fn leases_that_the_store_has_never_issued_are_passed_over_and_the_others_settled() {
    let world = Platform::new().await;
    let ann = world.account(1000).await;
    let known = world.lease(payer(ann, None), GB).await.unwrap();
    let unknown = ByteLease { id: LeaseId::new(known.id.get() + 1), ..known };
    let half = known.granted.get() / 2;
    world.report(&[(unknown, half, half), (known, half, half)]).await;
    let cents = i64::try_from(half * 200 / GB).unwrap();
    assert_eq!(world.balance(ann).await, 1000 - cents, "one of them is paid for");
    world.audit().await;
}

#[tokio::test]
async fn a_new_run_of_a_gateway_ends_the_leases_of_the_run_before() {
    let world = Platform::new().await;
    let ann = world.account(1000).await;
    let (kept, lost) = (
        world.lease(payer(ann, None), 1 << 20).await.unwrap(),
        world.lease(payer(ann, None), 1 << 20).await.unwrap(),
    );
    let usage = LeaseUsage { id: kept.id, used: Bytes::new(1000), granted: Bytes::new(1 << 20) };
    let report = UsageReport { gateway: GATEWAY, boot: BootId::new(2), recovered: true, leases: vec![usage] };
    leases::settle(&world.core, report).await.unwrap();
    assert_eq!(wallets::read(&world.core, ann).await.unwrap().reserved, tollgate_ledger::rating::Units::ZERO);
    world.use_up(lost, 0).await;
    world.audit().await;
}

#[tokio::test]
async fn a_hundred_purchases_race_for_money_that_suffices_for_seven() {
    let world = Platform::new().await;
    let ann = world.account(7 * 500 + 499).await;
    let offer = world.offer(1, 500).await;
    let racing = (0..100).map(|_| {
        let core = world.core.clone();
        tokio::spawn(async move { packages::buy(&core, ann, offer, None).await })
    });
    let racing: Vec<_> = racing.collect();
    let mut bought = 0;
    for purchase in racing {
        match purchase.await.unwrap() {
            Ok(_) => bought += 1,
            Err(error) => assert_eq!(error, Error::InsufficientFunds),
        }
    }
    assert_eq!((bought, world.balance(ann).await), (7, 499));
    world.audit().await;
}

#[tokio::test]
async fn an_expired_package_is_closed_and_the_rest_is_breakage() {
    let world = Platform::new().await;
    let ann = world.account(1000).await;
    let offer = world.offer(1, 300).await;
    packages::buy(&world.core, ann, offer, None).await.unwrap();
    let lease = world.lease(payer(ann, None), GB / 4).await.unwrap();
    world.use_up(lease, GB / 4).await;
    world.work().await;
    world.clock.advance(Duration::from_secs(31 * 86_400));
    world.work().await;
    let (lines, total) = wallets::ledger(&world.core, ann, Page::new(None, None).unwrap()).await.unwrap();
    assert_eq!((lines.len(), total), (3, 3), "recharged, bought, closed");
    world.audit().await;
}

#[tokio::test]
async fn an_idempotency_key_buys_once_and_refuses_other_parameters() {
    use tollgate_core::idempotency::IdempotencyKey;
    let world = Platform::new().await;
    let ann = world.account(5000).await;
    let offer = world.offer(1, 300).await;
    let key = |parameter: &str| Some(IdempotencyKey::new("k".into(), "purchase", &[parameter]).into());
    let buy = async |key| packages::buy(&world.core, ann, offer, key).await.map(|bought| bought.value);
    let first = buy(key("a")).await.unwrap();
    assert_eq!(buy(key("a")).await.unwrap(), first);
    assert!(matches!(buy(key("b")).await, Err(Error::Conflict(_))));
    assert_eq!(world.balance(ann).await, 4700);
    world.clock.advance(Duration::from_secs(86_400));
    assert_ne!(buy(key("b")).await.unwrap(), first);
    world.audit().await;
}
