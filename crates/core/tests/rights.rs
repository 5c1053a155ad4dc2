//! Rights through the real store: who may do what, what is taken and what is refused, and that
//! gateways hear of every change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;
use tollgate_core::{
    Actor, Conflict, Core, Error, Keys, Noun, Page, Policy, Rule, accounts, audit, audit_log, directory,
    exits, leases, offers, overview, packages, refusals, sub_accounts, trend, wallets, whitelist,
};
use tollgate_store::{Db, DbUrl, Options};
use tollgate_testkit::FakeClock;
use tollgate_types::{
    AccountId, BootId, Bytes, Cents, Clock, Day, Directory, ExitId, ExitKind, GatewayId, LeaseRequest,
    LeaseUsage, OfferId, Payer, ProxyType, Refusal, RefusalNote, SubAccountId, UsageReport, WhitelistId,
    Zone,
};

const MASTER: [u8; 32] = [7; 32];
const NOBODY: i64 = 3_000_000_000;

struct Platform {
    core: Core,
    clock: Arc<FakeClock>,
    folder: tempfile::TempDir,
}

impl Platform {
    async fn new() -> Self {
        Self::with(Zone::UTC, Policy::default()).await
    }

    async fn with(zone: Zone, policy: Policy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::new(Zone::UTC.parse("2026-03-01 12:00:00").unwrap()));
        let url = DbUrl::sqlite(folder.path().join("tollgate.db"));
        let db = Db::open(&url, Options::new(clock.now())).unwrap();
        let core = Core::open(db, clock.clone(), zone, Keys::new(&MASTER), policy, [1; 32]).await.unwrap();
        Self { core, clock, folder }
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

    fn picture(&self) -> Arc<Directory> {
        self.core.directory().borrow().clone()
    }

    /// What a process that starts now would show its gateways.
    async fn fresh_picture(&self) -> Arc<Directory> {
        let (db, clock) = (self.core.db().clone(), self.clock.clone());
        let other =
            Core::open(db, clock, Zone::UTC, Keys::new(&MASTER), Policy::default(), [2; 32]).await.unwrap();
        other.directory().borrow().clone()
    }
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

// What is taken -----------------------------------------------------------------------------------

#[tokio::test]
async fn an_accounts_parameters_are_checked() {
    let world = Platform::new().await;
    let create = async |change: fn(&mut accounts::NewAccount)| {
        let mut new = new_account("ann");
        change(&mut new);
        refused(accounts::create(&world.core, Actor::Operator, new).await)
    };
    assert_eq!(
        create(|new| new.username = "an".into()).await,
        ("username", Rule::Length { min: 3, max: 64 })
    );
    assert_eq!(create(|new| new.username = "a:nn".into()).await, ("username", Rule::Characters));
    assert_eq!(create(|new| new.email = "ann".into()).await.0, "email");
    assert_eq!(create(|new| new.email = "a b@example.com".into()).await.0, "email");
    assert_eq!(create(|new| new.password = Some("short".to_owned().into())).await.0, "password");
    assert_eq!(create(|new| new.prices[0] = Some(Cents::new(-1))).await.0, "res_price");
    assert_eq!(create(|new| new.prices[2] = Some(Cents::new(i64::MAX))).await.0, "mobile_price");
    assert_eq!(accounts::list(&world.core, String::new(), page(1, 10)).await.unwrap().1, 0, "none was made");
}

#[tokio::test]
async fn a_sub_accounts_parameters_are_checked() {
    let world = Platform::new().await;
    let ann = world.account("ann").await;
    let long = "a".repeat(65);
    for name in [
        "",
        "ab",
        "a b",
        "a-b",
        "a:b",
        "a@b.c",
        "naïve",
        "😀😀😀",
        "a\r\nb",
        "a\0b",
        &long,
        &"x".repeat(10_000),
    ] {
        let answer = sub_accounts::create(&world.core, ann, new_sub_account(name)).await;
        assert_eq!(refused(answer).0, "username", "{name:?}");
    }
    for password in
        ["", "short", "with:colon", "with blank", "no\u{a0}break", "new\nline", "a\0bcdef", &"p".repeat(129)]
    {
        let new = sub_accounts::NewSubAccount {
            password: password.to_owned().into(),
            ..new_sub_account("ann.one")
        };
        assert_eq!(refused(sub_accounts::create(&world.core, ann, new).await).0, "password", "{password:?}");
    }
    for (index, field) in
        ["res_traffic_limit", "dc_traffic_limit", "mobile_traffic_limit"].into_iter().enumerate()
    {
        for limit in [-1, 1_000_000_001, 8_589_934_592, i64::MAX] {
            let mut new = new_sub_account("ann.one");
            new.limits_gb[index] = limit;
            let rule = Rule::Range { min: 0, max: 1_000_000_000 };
            assert_eq!(refused(sub_accounts::create(&world.core, ann, new).await), (field, rule), "{limit}");
        }
    }
    let new = sub_accounts::NewSubAccount { remark: "r".repeat(256), ..new_sub_account("ann.one") };
    assert_eq!(refused(sub_accounts::create(&world.core, ann, new).await).0, "remark");
    let new = sub_accounts::NewSubAccount { remark: "two\nlines".into(), ..new_sub_account("ann.one") };
    assert_eq!(refused(sub_accounts::create(&world.core, ann, new).await).0, "remark");
}

#[tokio::test]
async fn the_widest_sub_account_is_kept_as_it_was_given() {
    let world = Platform::new().await;
    let ann = world.account("ann").await;
    let new = sub_accounts::NewSubAccount {
        username: format!("{}_.Z", "a9".repeat(30)),
        password: "пароль-é!\"'<>%_\\".to_owned().into(),
        remark: "\"><img src=x onerror=alert(1)> 办公室 🏢".into(),
        active: false,
        limits_gb: [1_000_000_000, 0, 1],
    };
    let id = sub_accounts::create(&world.core, ann, new.clone()).await.unwrap();
    let kept = sub_accounts::get(&world.core, ann, id).await.unwrap();
    assert_eq!((kept.row.username, kept.row.remark), (new.username, new.remark));
    assert_eq!((kept.row.active, kept.row.limits_gb), (new.active, new.limits_gb));
    assert_eq!(kept.password.expose_secret(), new.password.expose_secret());
}

#[tokio::test]
async fn listed_addresses_are_canonical_and_somebodys() {
    let world = Platform::new().await;
    let ann = world.account("ann").await;
    for bad in [
        "",
        "x",
        "01.2.3.4",
        "1.2.3",
        "1.2.3.4/32",
        "0.0.0.0/0",
        "::/0",
        "fe80::1%eth0",
        "localhost",
        "1.2.3.4:80",
    ] {
        assert_eq!(
            refused(whitelist::add(&world.core, ann, bad, String::new()).await),
            ("ip", Rule::Address),
            "{bad:?}"
        );
    }
    let private = [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.9.9",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fd00::1",
        "fe80::1",
        "ff02::1",
        "::ffff:10.0.0.1",
    ];
    for ip in private {
        let answer = refused(whitelist::add(&world.core, ann, ip, String::new()).await);
        assert_eq!(answer, ("ip", Rule::PrivateAddress), "{ip}");
    }
    for (given, kept) in [("::ffff:203.0.113.9", "203.0.113.9"), ("2001:DB8:0:0::1", "2001:db8::1")] {
        whitelist::add(&world.core, ann, given, String::new()).await.unwrap();
        let (listed, _) = whitelist::list(&world.core, ann, String::new(), page(1, 1)).await.unwrap();
        assert_eq!(listed[0].ip.to_string(), kept);
    }
    let again = whitelist::add(&world.core, ann, "203.0.113.9", String::new()).await;
    assert_eq!(again, Err(Error::Conflict(Conflict::AddressListed)));
}

#[tokio::test]
async fn the_operator_may_allow_private_addresses() {
    let world = Platform::with(Zone::UTC, Policy { allow_private_whitelist: true }).await;
    let ann = world.account("ann").await;
    for ip in ["127.0.0.1", "10.0.0.1", "::1"] {
        whitelist::add(&world.core, ann, ip, String::new()).await.unwrap();
    }
    for ip in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
        let answer = refused(whitelist::add(&world.core, ann, ip, String::new()).await);
        assert_eq!(answer, ("ip", Rule::PrivateAddress), "{ip}: nobody can come from there");
    }
}

#[tokio::test]
async fn an_offers_parameters_are_checked() {
    let world = Platform::new().await;
    let create = async |change: fn(&mut offers::OfferChange)| {
        let mut new = new_offer();
        change(&mut new);
        refused(offers::create(&world.core, Actor::Operator, new).await)
    };
    assert_eq!(create(|new| new.traffic_gb = None).await, ("traffic_gb", Rule::Required));
    assert_eq!(create(|new| new.traffic_gb = Some(0)).await.0, "traffic_gb");
    assert_eq!(create(|new| new.price = Some(Cents::new(-1))).await.0, "price");
    assert_eq!(create(|new| new.days = Some(0)).await.0, "duration");
    assert_eq!(create(|new| new.extra_gb = Some(-1)).await.0, "extra_add_traffic");
    assert_eq!(
        create(|new| new.plan_type = Some("family".into())).await,
        ("plan_type", Rule::OneOf(offers::PLAN_TYPES))
    );
    assert_eq!(
        create(|new| new.accounts = Some(vec![AccountId::new(NOBODY)])).await,
        ("account_ids", Rule::Reference)
    );
    assert_eq!(offers::list(&world.core, page(1, 10)).await.unwrap().1, 0, "none was made");
}

#[tokio::test]
async fn an_exits_parameters_are_checked() {
    let world = Platform::new().await;
    let create = async |change: fn(&mut exits::ExitChange)| {
        let mut new = new_exit("paris");
        change(&mut new);
        refused(exits::create(&world.core, Actor::Operator, new).await)
    };
    assert_eq!(create(|new| new.name = None).await, ("name", Rule::Required));
    assert_eq!(create(|new| new.name = Some(String::new())).await.0, "name");
    assert_eq!(create(|new| new.kind = Some("ssh".into())).await, ("kind", Rule::OneOf(exits::KINDS)));
    assert_eq!(create(|new| new.country = Some("USA".into())).await.0, "country");
    assert_eq!(create(|new| new.weight = Some(0)).await.0, "weight");
    assert_eq!(create(|new| new.max_connections = Some(-1)).await.0, "max_connections");
    assert_eq!(create(|new| new.asn = Some(1 << 32)).await.0, "asn");
    assert_eq!(create(|new| new.bind_ip = Some("nowhere".into())).await, ("bind_ip", Rule::Address));
    assert_eq!(create(|new| new.kind = Some("http".into())).await, ("address", Rule::Address));
    for bad in
        ["host", "host:", ":80", "host:0", "host:65536", "host:+80", "host: 80", "ho st:80", "http://host:80"]
    {
        let mut new = new_exit("paris");
        (new.kind, new.address) = (Some("socks5".into()), Some(bad.to_owned()));
        assert_eq!(
            refused(exits::create(&world.core, Actor::Operator, new).await),
            ("address", Rule::Address),
            "{bad}"
        );
    }
    world.exit("paris").await;
    let again = exits::create(&world.core, Actor::Operator, new_exit("paris")).await;
    assert_eq!(again, Err(Error::Conflict(Conflict::NameTaken)));
}

// Names -------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_name_is_taken_on_the_whole_platform_until_it_is_deleted() {
    let world = Platform::new().await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let taken = Error::Conflict(Conflict::UsernameTaken);
    assert_eq!(accounts::create(&world.core, Actor::Operator, new_account("ANN")).await.unwrap_err(), taken);
    let first = world.sub_account(ann, "Shop_1").await;
    for (account, name) in [(ann, "Shop_1"), (ann, "shop_1"), (bob, "SHOP_1")] {
        assert_eq!(
            sub_accounts::create(&world.core, account, new_sub_account(name)).await.unwrap_err(),
            taken
        );
    }
    sub_accounts::delete(&world.core, ann, first).await.unwrap();
    let second = world.sub_account(bob, "shop_1").await;
    assert_ne!(first, second);
    sub_accounts::delete(&world.core, bob, second).await.unwrap();
    world.sub_account(ann, "Shop_1").await;
}

#[tokio::test]
async fn what_is_deleted_is_gone_but_its_traffic_stays() {
    let world = Platform::new().await;
    let ann = world.account("ann").await;
    wallets::recharge(&world.core, Actor::Operator, ann, Cents::new(1000), "r1".into()).await.unwrap();
    let shop = world.sub_account(ann, "shop").await;
    world.use_bytes(ann, Some(shop), 1000).await;
    sub_accounts::delete(&world.core, ann, shop).await.unwrap();
    let gone = Error::NotFound(Noun::SubAccount);
    assert_eq!(sub_accounts::get(&world.core, ann, shop).await.unwrap_err(), gone);
    assert_eq!(sub_accounts::delete(&world.core, ann, shop).await.unwrap_err(), gone, "only once");
    assert_eq!(
        sub_accounts::update(&world.core, ann, shop, sub_accounts::Change::default()).await.unwrap_err(),
        gone
    );
    assert_eq!(
        sub_accounts::list(&world.core, ann, sub_accounts::Filter::default(), page(1, 10)).await.unwrap().1,
        0
    );
    let today = Day::parse("2026-03-01").unwrap();
    let trend = trend::read(&world.core, ann, None, (today, today), None).await.unwrap();
    assert_eq!(trend[0].days[0].wallet, Bytes::new(1000), "the account's trend");
    assert!(audit::run(&world.core).await.unwrap().differences.is_empty());
}

// Tenants -----------------------------------------------------------------------------------------

#[tokio::test]
async fn one_tenant_cannot_touch_anothers_things() {
    let world = Platform::new().await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let (shop, ip) = (world.sub_account(ann, "shop").await, "203.0.113.9");
    let entry = whitelist::add(&world.core, ann, ip, "office".into()).await.unwrap();
    let today = Day::parse("2026-03-01").unwrap();
    for id in [shop, SubAccountId::new(NOBODY), SubAccountId::new(-1), SubAccountId::new(i64::MIN)] {
        let gone = Error::NotFound(Noun::SubAccount);
        assert_eq!(sub_accounts::get(&world.core, bob, id).await.unwrap_err(), gone);
        let change = sub_accounts::Change { active: Some(false), ..Default::default() };
        assert_eq!(sub_accounts::update(&world.core, bob, id, change).await.unwrap_err(), gone);
        assert_eq!(sub_accounts::delete(&world.core, bob, id).await.unwrap_err(), gone);
        assert_eq!(trend::read(&world.core, bob, Some(id), (today, today), None).await.unwrap_err(), gone);
    }
    for id in [entry, WhitelistId::new(NOBODY), WhitelistId::new(0)] {
        let gone = Error::NotFound(Noun::WhitelistEntry);
        assert_eq!(whitelist::delete(&world.core, bob, id).await.unwrap_err(), gone);
    }
    let taken = whitelist::add(&world.core, bob, ip, String::new()).await;
    assert_eq!(taken, Err(Error::Conflict(Conflict::AddressListed)), "an address is one account's only");
    assert_eq!(
        sub_accounts::list(&world.core, bob, sub_accounts::Filter::default(), page(1, 10)).await.unwrap().1,
        0
    );
    assert_eq!(whitelist::list(&world.core, bob, String::new(), page(1, 10)).await.unwrap().1, 0);
    assert!(sub_accounts::get(&world.core, ann, shop).await.unwrap().row.active, "nothing changed");
    assert_eq!(whitelist::list(&world.core, ann, String::new(), page(1, 10)).await.unwrap().1, 1);
}

#[tokio::test]
async fn a_custom_offer_is_seen_by_those_it_was_made_for() {
    let world = Platform::new().await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let custom = offers::OfferChange {
        plan_type: Some("custom".into()),
        accounts: Some(vec![ann, ann]),
        ..new_offer()
    };
    let custom = offers::create(&world.core, Actor::Operator, custom).await.unwrap();
    let hidden = offers::OfferChange { on_sale: Some(false), ..new_offer() };
    let hidden = offers::create(&world.core, Actor::Operator, hidden).await.unwrap();
    let open = offers::create(&world.core, Actor::Operator, new_offer()).await.unwrap();
    let seen = async |account| -> BTreeSet<OfferId> {
        offers::visible(&world.core, account).await.unwrap().into_iter().map(|offer| offer.id).collect()
    };
    assert_eq!(seen(ann).await, [custom, open].into());
    assert_eq!(seen(bob).await, [open].into());
    for offer in [custom, hidden, OfferId::new(NOBODY), OfferId::new(0), OfferId::new(-1)] {
        let answer = packages::buy(&world.core, bob, offer, None).await;
        assert_eq!(answer, Err(Error::NotFound(Noun::Offer)), "{offer}");
    }
    let change = offers::OfferChange { accounts: Some(vec![bob]), ..Default::default() };
    offers::update(&world.core, Actor::Operator, custom, change).await.unwrap();
    assert_eq!((seen(ann).await, seen(bob).await), ([open].into(), [custom, open].into()));
}

// Lists -------------------------------------------------------------------------------------------

#[tokio::test]
async fn lists_are_paged_newest_first_and_filters_are_literal() {
    let world = Platform::new().await;
    let ann = world.account("ann").await;
    let mut made = Vec::new();
    for name in ["alpha.1", "beta_2", "beta.3", "Gamma_4"] {
        made.push(world.sub_account(ann, name).await);
    }
    let change = sub_accounts::Change { active: Some(false), ..Default::default() };
    sub_accounts::update(&world.core, ann, made[0], change).await.unwrap();
    let list = async |name: &str, status, number, size| {
        let filter = sub_accounts::Filter { username: name.to_owned(), status };
        let (rows, total) = sub_accounts::list(&world.core, ann, filter, page(number, size)).await.unwrap();
        (rows.into_iter().map(|row| row.row.username).collect::<Vec<_>>(), total)
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(list("", "", 1, 3).await, (names(&["Gamma_4", "beta.3", "beta_2"]), 4));
    assert_eq!(list("", "", 2, 3).await, (names(&["alpha.1"]), 4));
    assert_eq!(list("", "", 3, 3).await, (names(&[]), 4), "past the end");
    assert_eq!(list("BETA", "", 1, 10).await, (names(&["beta.3", "beta_2"]), 2));
    assert_eq!(list("a_", "", 1, 10).await, (names(&["Gamma_4", "beta_2"]), 2), "no wildcard");
    for nothing in ["%", "\\", "'", "a%", "a\0", "' OR 1=1 --"] {
        assert_eq!(list(nothing, "", 1, 10).await, (names(&[]), 0), "{nothing:?}");
    }
    assert_eq!(list("", "inactive", 1, 10).await, (names(&["alpha.1"]), 1));
    assert_eq!(list("", "active", 1, 2).await, (names(&["Gamma_4", "beta.3"]), 3));
}

#[tokio::test]
async fn addresses_are_found_by_their_beginning() {
    let world = Platform::new().await;
    let ann = world.account("ann").await;
    for ip in ["203.0.113.1", "203.0.113.12", "198.51.100.203", "2001:db8::1"] {
        whitelist::add(&world.core, ann, ip, String::new()).await.unwrap();
    }
    let count = async |prefix: &str| {
        whitelist::list(&world.core, ann, prefix.to_owned(), page(1, 10)).await.unwrap().1
    };
    assert_eq!((count("203").await, count("203.0.113.1").await, count("2001:DB8").await), (2, 2, 1));
    assert_eq!((count("%").await, count("_").await, count("\0").await, count("0.113").await), (0, 0, 0, 0));
}

// Callers and secrets -----------------------------------------------------------------------------

#[tokio::test]
async fn an_api_key_names_its_account_until_it_is_rotated() {
    let world = Platform::new().await;
    let (ann, key) = accounts::create(&world.core, Actor::Operator, new_account("ann")).await.unwrap();
    assert_eq!(accounts::by_api_key(&world.core, &key).await.unwrap(), Some((ann, true)));
    assert_eq!(accounts::info(&world.core, ann).await.unwrap().api_key.expose_secret(), key.expose_secret());
    let new = accounts::rotate_key(&world.core, Actor::Account(ann), ann).await.unwrap();
    assert_eq!(accounts::by_api_key(&world.core, &key).await.unwrap(), None, "dead at once");
    assert_eq!(accounts::by_api_key(&world.core, &new).await.unwrap(), Some((ann, true)));
    let change = accounts::Change { active: Some(false), ..Default::default() };
    accounts::update(&world.core, Actor::Operator, ann, change).await.unwrap();
    assert_eq!(accounts::by_api_key(&world.core, &new).await.unwrap(), Some((ann, false)));
    for bad in ["", "tg_", "a\0b", &new.expose_secret().to_uppercase(), &format!("{} ", new.expose_secret())]
    {
        assert_eq!(accounts::by_api_key(&world.core, &bad.to_owned().into()).await.unwrap(), None, "{bad:?}");
    }
    let nobody = AccountId::new(NOBODY);
    let gone = Error::NotFound(Noun::Account);
    assert_eq!(accounts::rotate_key(&world.core, Actor::Operator, nobody).await.unwrap_err(), gone);
    assert_eq!(accounts::get(&world.core, nobody).await.unwrap_err(), gone);
    assert_eq!(accounts::info(&world.core, nobody).await.unwrap_err(), gone);
}

#[tokio::test]
async fn no_secret_can_be_read_in_the_database() {
    let world = Platform::new().await;
    let mut new = new_account("ann");
    new.password = Some("console-password".to_owned().into());
    let (ann, key) = accounts::create(&world.core, Actor::Operator, new).await.unwrap();
    assert!(accounts::info(&world.core, ann).await.unwrap().account.has_password);
    let shop = sub_accounts::NewSubAccount {
        password: "proxy-password-1".to_owned().into(),
        ..new_sub_account("shop")
    };
    let shop = sub_accounts::create(&world.core, ann, shop).await.unwrap();
    let change =
        sub_accounts::Change { password: Some("proxy-password-2".to_owned().into()), ..Default::default() };
    sub_accounts::update(&world.core, ann, shop, change).await.unwrap();
    let kept = sub_accounts::get(&world.core, ann, shop).await.unwrap();
    assert_eq!(kept.password.expose_secret(), "proxy-password-2");
    let mut exit = new_exit("supplier");
    (exit.kind, exit.address) = (Some("http".into()), Some("proxy.example:8080".into()));
    (exit.username, exit.password) = (Some("me".into()), Some("supplier-password".to_owned().into()));
    exits::create(&world.core, Actor::Operator, exit).await.unwrap();
    let (lines, _) = audit_log::list(&world.core, None, page(1, 100)).await.unwrap();
    world.core.db().close().await;
    let mut stored = format!("{lines:?}").into_bytes();
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        stored.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("supplier") && holds("shop"), "the files were read");
    for secret in ["console-password", "proxy-password", "supplier-password", key.expose_secret()] {
        assert!(!holds(secret), "{secret}");
    }
}

#[tokio::test]
async fn another_master_key_is_noticed_at_the_start() {
    let world = Platform::new().await;
    let open = async |key: [u8; 32]| {
        let (db, clock) = (world.core.db().clone(), world.clock.clone());
        Core::open(db, clock, Zone::UTC, Keys::new(&key), Policy::default(), [3; 32]).await
    };
    open(MASTER).await.unwrap();
    let error = open([8; 32]).await.unwrap_err().to_string();
    assert!(error.contains("master key"), "{error}");
}

// What is written down ----------------------------------------------------------------------------

#[tokio::test]
async fn changes_of_rights_are_written_down() {
    let world = Platform::new().await;
    let ann = world.account("ann").await;
    let change = accounts::Change { active: Some(false), ..Default::default() };
    accounts::update(&world.core, Actor::Operator, ann, change).await.unwrap();
    accounts::rotate_key(&world.core, Actor::Operator, ann).await.unwrap();
    let shop = world.sub_account(ann, "shop").await;
    sub_accounts::delete(&world.core, ann, shop).await.unwrap();
    let offer = offers::create(&world.core, Actor::Operator, new_offer()).await.unwrap();
    offers::update(&world.core, Actor::Operator, offer, offers::OfferChange::default()).await.unwrap();
    let exit = world.exit("paris").await;
    exits::delete(&world.core, Actor::Operator, exit).await.unwrap();
    let (lines, total) = audit_log::list(&world.core, None, page(1, 100)).await.unwrap();
    let said: Vec<_> = lines.iter().rev().map(|line| (line.actor.as_str(), line.action.as_str())).collect();
    let by_ann = format!("account:{ann}");
    assert_eq!(
        said,
        [
            ("operator", "account.created"),
            ("operator", "account.updated"),
            ("operator", "account.key_rotated"),
            (by_ann.as_str(), "sub_account.created"),
            (by_ann.as_str(), "sub_account.deleted"),
            ("operator", "package_offer.created"),
            ("operator", "package_offer.updated"),
            ("operator", "exit.created"),
            ("operator", "exit.deleted"),
        ]
    );
    let (of_ann, count) = audit_log::list(&world.core, Some(ann), page(1, 2)).await.unwrap();
    assert_eq!((total, count, of_ann.len()), (9, 5, 2));
    assert_eq!(audit_log::list(&world.core, Some(AccountId::new(NOBODY)), page(1, 2)).await.unwrap().1, 0);
}

#[tokio::test]
async fn refusals_are_counted_by_reason_and_forgotten() {
    let world = Platform::new().await;
    let ann = world.account("ann").await;
    let note = |account, refusal, detail: &str, count| {
        let detail = detail.to_owned();
        RefusalNote { account, sub_account: None, refusal, detail, count }
    };
    refusals::note(
        &world.core,
        vec![
            note(ann, Refusal::HostBlocked, "10.0.0.1", 2),
            note(AccountId::new(NOBODY), Refusal::HostBlocked, "nobody", 5),
            note(ann, Refusal::HostBlocked, "a\0b", 3),
            note(ann, Refusal::NoExit, &"x".repeat(100_000), 1),
        ],
    )
    .await;
    let recent = refusals::recent(&world.core, ann).await.unwrap();
    let counts: BTreeMap<_, _> =
        recent.iter().map(|counted| (counted.refusal.as_str(), counted.count)).collect();
    assert_eq!(counts, [("HOST_BLOCKED", 5), ("NO_EXIT", 1)].into());
    assert!(recent.iter().all(|counted| counted.detail.len() <= 1000), "a detail is a line");
    world.clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
    assert_eq!(refusals::recent(&world.core, ann).await.unwrap(), [], "no longer recent");
    assert_eq!(refusals::prune(&world.core).await.unwrap(), 0, "but kept");
    world.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    assert_eq!(refusals::prune(&world.core).await.unwrap(), 2);
}

// Trends ------------------------------------------------------------------------------------------

#[tokio::test]
async fn trends_follow_the_zones_days_over_months() {
    let shanghai = Zone::named("Asia/Shanghai").unwrap();
    let world = Platform::with(shanghai, Policy::default()).await;
    let ann = world.account("ann").await;
    wallets::recharge(&world.core, Actor::Operator, ann, Cents::new(100_000), "r1".into()).await.unwrap();
    let (shop, cafe) = (world.sub_account(ann, "shop").await, world.sub_account(ann, "cafe").await);
    for (at, sub_account, bytes) in [
        ("2026-01-20 12:00:00", Some(shop), 1),
        ("2026-02-28 15:59:00", Some(shop), 10),  // 23:59 there
        ("2026-02-28 16:00:00", Some(shop), 100), // midnight there: the first of March
        ("2026-02-28 16:00:01", Some(cafe), 1_000),
        ("2026-03-01 12:00:00", None, 10_000),
    ] {
        world.clock.set(Zone::UTC.parse(at).unwrap());
        world.use_bytes(ann, sub_account, bytes).await;
    }
    let day = |text| Day::parse(text).unwrap();
    let read = async |sub_account, from, to| {
        let of_type = Some(ProxyType::Residential);
        let trend = trend::read(&world.core, ann, sub_account, (day(from), day(to)), of_type).await.unwrap();
        assert_eq!(trend.len(), 1);
        let days = trend[0].days.iter().map(|total| (total.day.to_string(), total.wallet.get()));
        days.collect::<Vec<_>>()
    };
    let whole = read(None, "2020-01-01", "9999-12-31").await;
    assert_eq!((whole.len(), whole[0].0.as_str()), (30, "2026-01-31"), "thirty days with today");
    assert_eq!(whole.iter().map(|(_, bytes)| bytes).sum::<u64>(), 11_110, "January is left out");
    let days = |days: [(&str, u64); 2]| days.map(|(day, bytes)| (day.to_owned(), bytes)).to_vec();
    assert_eq!(
        read(None, "2026-02-28", "2026-03-01").await,
        days([("2026-02-28", 10), ("2026-03-01", 11_100)])
    );
    assert_eq!(
        read(Some(shop), "2026-02-28", "2026-03-01").await,
        days([("2026-02-28", 10), ("2026-03-01", 100)])
    );
    assert_eq!(
        read(Some(cafe), "2026-02-27", "2026-02-28").await,
        days([("2026-02-27", 0), ("2026-02-28", 0)])
    );
    assert_eq!(read(None, "2020-01-01", "2020-02-01").await, [], "all too old");
    let every =
        trend::read(&world.core, ann, None, (day("2026-03-01"), day("2026-03-01")), None).await.unwrap();
    assert_eq!(every.iter().map(|trend| trend.proxy_type).collect::<Vec<_>>(), ProxyType::ALL);
    let backwards = trend::read(&world.core, ann, None, (day("2026-03-01"), day("2026-02-01")), None).await;
    assert_eq!(refused(backwards), ("start_date", Rule::Order));
    let totals = overview::read(&world.core).await.unwrap();
    assert_eq!(totals.traffic.iter().map(|total| total.wallet.get()).sum::<u64>(), 11_110);
}

// The directory -----------------------------------------------------------------------------------

/// All that a directory says, in a form that can be compared.
fn said(directory: &Directory) -> String {
    let accounts: BTreeMap<_, _> = directory.accounts.iter().collect();
    let sub_accounts: BTreeMap<_, _> = directory
        .sub_accounts
        .iter()
        .map(|(name, entry)| (name, (format!("{entry:?}"), *entry.password.as_bytes())))
        .collect();
    let names: BTreeMap<_, _> = directory.sub_account_names.iter().collect();
    let whitelist: BTreeMap<_, _> = directory.whitelist.iter().collect();
    let addresses: BTreeMap<_, _> = directory.whitelist_addresses.iter().collect();
    let exits: Vec<_> = directory
        .exits
        .all()
        .map(|exit| {
            let secret = match &exit.kind {
                ExitKind::Direct { .. } => None,
                ExitKind::Http { credentials, .. } | ExitKind::Socks5 { credentials, .. } => {
                    credentials.as_ref().map(|c| (c.username.clone(), c.password.expose_secret().to_owned()))
                }
            };
            (format!("{exit:?}"), secret)
        })
        .collect();
    format!(
        "{} {accounts:?} {sub_accounts:?} {names:?} {whitelist:?} {addresses:?} {exits:?}",
        directory.version
    )
}

#[tokio::test]
async fn a_waiting_gateway_hears_of_a_change_at_once() {
    let world = Platform::new().await;
    let mut watching = world.core.directory();
    let refresher = tokio::spawn(directory::keep_fresh(world.core.clone()));
    let ann = world.account("ann").await;
    let known = watching.wait_for(|directory| directory.accounts.contains_key(&ann));
    tokio::time::timeout(Duration::from_secs(10), known).await.expect("heard of it").unwrap();
    refresher.abort();
}

#[tokio::test]
async fn every_kind_of_change_reaches_the_gateways() {
    let world = Platform::new().await;
    let ann = world.account("ann").await;
    let shop = world.sub_account(ann, "shop").await;
    let entry = whitelist::add(&world.core, ann, "203.0.113.9", String::new()).await.unwrap();
    let mut exit = new_exit("paris");
    (exit.kind, exit.address) = (Some("socks5".into()), Some("proxy.example:1080".into()));
    (exit.username, exit.password) = (Some("me-{session}".into()), Some("supplier".to_owned().into()));
    let exit = exits::create(&world.core, Actor::Operator, exit).await.unwrap();
    directory::refresh(&world.core).await.unwrap();
    let picture = world.picture();
    assert!(picture.accounts[&ann].active);
    let known = picture.sub_account(shop).unwrap();
    assert_eq!((known.account, known.active), (ann, true));
    assert!(known.password == picture.password_key.tag(b"secret-1"), "what gateways compare");
    assert_eq!(picture.whitelisted("::ffff:203.0.113.9".parse().unwrap()).unwrap().id, entry);
    assert_eq!(picture.exits.of(ProxyType::Residential).len(), 1);

    let change = accounts::Change { active: Some(false), ..Default::default() };
    accounts::update(&world.core, Actor::Operator, ann, change).await.unwrap();
    let change = sub_accounts::Change {
        active: Some(false),
        password: Some("secret-2".to_owned().into()),
        limits_gb: [None, Some(3), None],
        ..Default::default()
    };
    sub_accounts::update(&world.core, ann, shop, change).await.unwrap();
    whitelist::delete(&world.core, ann, entry).await.unwrap();
    let change = exits::ExitChange { active: Some(false), ..Default::default() };
    exits::update(&world.core, Actor::Operator, exit, change).await.unwrap();
    directory::refresh(&world.core).await.unwrap();
    let picture = world.picture();
    assert!(!picture.accounts[&ann].active);
    let known = picture.sub_account(shop).unwrap();
    assert!(!known.active && known.password == picture.password_key.tag(b"secret-2"));
    assert_eq!(known.limit(ProxyType::Datacenter), Bytes::from_gb(3));
    assert!(picture.whitelist.is_empty() && picture.whitelist_addresses.is_empty());
    assert_eq!(picture.exits.all().count(), 0);

    sub_accounts::delete(&world.core, ann, shop).await.unwrap();
    let before = picture.accounts[&ann].funds_epoch;
    packages::set_status(&world.core, ann, ProxyType::Residential, false).await.unwrap();
    directory::refresh(&world.core).await.unwrap();
    assert!(world.picture().sub_account(shop).is_none());
    assert!(world.picture().accounts[&ann].funds_epoch > before, "purses ask anew");
}

#[tokio::test]
async fn a_process_that_slept_too_long_loads_everything() {
    let world = Platform::new().await;
    let version = world.picture().version;
    let ann = world.account("ann").await;
    world.clock.advance(Duration::from_secs(2 * 60 * 60));
    assert_eq!(directory::prune(&world.core).await.unwrap(), 1, "the news is gone");
    world.sub_account(ann, "shop").await;
    assert_eq!(world.picture().version, version);
    directory::refresh(&world.core).await.unwrap();
    assert_eq!(said(&world.picture()), said(&*world.fresh_picture().await));
    assert!(world.picture().accounts.contains_key(&ann));
}

/// One change of rights; numbers pick among what there is.
#[derive(Debug, Clone)]
enum Step {
    Account,
    Suspend(usize, bool),
    SubAccount(usize, u8),
    Password(usize, u8),
    Delete(usize),
    List(usize, u8),
    Unlist(usize),
    Exit(u8),
    SwitchExit(usize, bool),
    DropExit(usize),
    Refresh,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Account),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(i, active)| Step::Suspend(i, active)),
        5 => (any::<usize>(), 0..6u8).prop_map(|(i, name)| Step::SubAccount(i, name)),
        3 => (any::<usize>(), any::<u8>()).prop_map(|(i, password)| Step::Password(i, password)),
        3 => any::<usize>().prop_map(Step::Delete),
        4 => (any::<usize>(), 0..4u8).prop_map(|(i, ip)| Step::List(i, ip)),
        3 => any::<usize>().prop_map(Step::Unlist),
        2 => (0..4u8).prop_map(Step::Exit),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(i, active)| Step::SwitchExit(i, active)),
        1 => any::<usize>().prop_map(Step::DropExit),
        4 => Just(Step::Refresh),
    ]
}

/// What has been made, in the order in which it was.
#[derive(Default)]
struct Made {
    accounts: Vec<AccountId>,
    sub_accounts: Vec<(AccountId, SubAccountId)>,
    listed: Vec<(AccountId, WhitelistId)>,
    exits: Vec<ExitId>,
}

impl Made {
    /// Takes a step. What is refused (a taken name, a deleted thing) changes nothing.
    async fn take(&mut self, world: &Platform, step: Step) {
        let core = &world.core;
        let pick = |i: usize, of: usize| i.checked_rem(of);
        match step {
            Step::Account => {
                self.accounts.push(world.account(&format!("account.{}", self.accounts.len())).await)
            }
            Step::Suspend(i, active) => {
                let Some(i) = pick(i, self.accounts.len()) else { return };
                let change = accounts::Change { active: Some(active), ..Default::default() };
                accounts::update(core, Actor::Operator, self.accounts[i], change).await.unwrap();
            }
            Step::SubAccount(i, name) => {
                let Some(i) = pick(i, self.accounts.len()) else { return };
                let new = new_sub_account(&format!("name.{name}"));
                if let Ok(id) = sub_accounts::create(core, self.accounts[i], new).await {
                    self.sub_accounts.push((self.accounts[i], id));
                }
            }
            Step::Password(i, password) => {
                let Some(i) = pick(i, self.sub_accounts.len()) else { return };
                let (account, id) = self.sub_accounts[i];
                let password = Some(format!("password-{password}").into());
                let change = sub_accounts::Change {
                    password,
                    limits_gb: [Some(i as i64), None, None],
                    ..Default::default()
                };
                let _ = sub_accounts::update(core, account, id, change).await;
            }
            Step::Delete(i) => {
                let Some(i) = pick(i, self.sub_accounts.len()) else { return };
                let _ = sub_accounts::delete(core, self.sub_accounts[i].0, self.sub_accounts[i].1).await;
            }
            Step::List(i, ip) => {
                let Some(i) = pick(i, self.accounts.len()) else { return };
                let ip = format!("203.0.113.{ip}");
                if let Ok(id) = whitelist::add(core, self.accounts[i], &ip, String::new()).await {
                    self.listed.push((self.accounts[i], id));
                }
            }
            Step::Unlist(i) => {
                let Some(i) = pick(i, self.listed.len()) else { return };
                let _ = whitelist::delete(core, self.listed[i].0, self.listed[i].1).await;
            }
            Step::Exit(name) => {
                let new = new_exit(&format!("exit.{name}"));
                self.exits.extend(exits::create(core, Actor::Operator, new).await);
            }
            Step::SwitchExit(i, active) => {
                let Some(i) = pick(i, self.exits.len()) else { return };
                let change = exits::ExitChange { active: Some(active), ..Default::default() };
                let _ = exits::update(core, Actor::Operator, self.exits[i], change).await;
            }
            Step::DropExit(i) => {
                let Some(i) = pick(i, self.exits.len()) else { return };
                let _ = exits::delete(core, Actor::Operator, self.exits[i]).await;
            }
            Step::Refresh => directory::refresh(core).await.unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, and whenever the refresher looks: it shows what a fresh start would.
    #[test]
    fn following_changes_shows_the_same_as_loading_everything(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (world, mut made) = (Platform::new().await, Made::default());
            for step in steps {
                made.take(&world, step).await;
            }
            directory::refresh(&world.core).await.unwrap();
            assert_eq!(said(&world.picture()), said(&*world.fresh_picture().await));
        });
    }
}
