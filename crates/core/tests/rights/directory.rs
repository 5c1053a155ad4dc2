//! Gateways hear of every change.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;
use tollgate_core::{Actor, accounts, directory, exits, packages, sub_accounts, whitelist};
use tollgate_store as store;
use tollgate_testkit::{TestDb, on_both_databases};
use tollgate_types::{
    AccountId, Bytes, Directory, ExitId, ExitKind, ProxyType, SubAccountId, Time, WhitelistId,
};

use crate::{Platform, new_exit, new_sub_account, shown};

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

on_both_databases! {
    async fn whoever_made_a_change_may_count_on_it(database) {
        let world = Platform::on(&database).await;
        let ann = world.account("ann").await;
        assert!(shown(&world.core).accounts.contains_key(&ann), "in the same process, at once");
    }

    async fn another_process_hears_of_a_change_soon(database) {
        let world = Platform::on(&database).await;
        let elsewhere = world.another().await;
        let mut watching = elsewhere.directory();
        let refresher = tokio::spawn(directory::keep_fresh(elsewhere));
        let ann = world.account("ann").await;
        let known = watching.wait_for(|directory| directory.accounts.contains_key(&ann));
        tokio::time::timeout(Duration::from_secs(10), known).await.expect("heard of it").unwrap();
        refresher.abort();
    }

    async fn every_kind_of_change_reaches_the_gateways(database) {
        let world = Platform::on(&database).await;
        let elsewhere = world.another().await;
        let ann = world.account("ann").await;
        let shop = world.sub_account(ann, "shop").await;
        let entry = whitelist::add(&world.core, ann, "203.0.113.9", String::new()).await.unwrap();
        let mut exit = new_exit("paris");
        (exit.kind, exit.address) = (Some("socks5".into()), Some("proxy.example:1080".into()));
        (exit.username, exit.password) = (Some("me-{session}".into()), Some("supplier".to_owned().into()));
        let exit = exits::create(&world.core, Actor::Operator, exit).await.unwrap();
        directory::refresh(&elsewhere).await.unwrap();
        let picture = shown(&elsewhere);
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
        directory::refresh(&elsewhere).await.unwrap();
        let picture = shown(&elsewhere);
        assert!(!picture.accounts[&ann].active);
        let known = picture.sub_account(shop).unwrap();
        assert!(!known.active && known.password == picture.password_key.tag(b"secret-2"));
        assert_eq!(known.limit(ProxyType::Datacenter), Bytes::from_gb(3));
        assert!(picture.whitelist.is_empty() && picture.whitelist_addresses.is_empty());
        assert_eq!(picture.exits.all().count(), 0);

        sub_accounts::delete(&world.core, ann, shop).await.unwrap();
        let before = picture.accounts[&ann].funds_epoch;
        packages::set_status(&world.core, ann, ProxyType::Residential, false).await.unwrap();
        directory::refresh(&elsewhere).await.unwrap();
        assert!(shown(&elsewhere).sub_account(shop).is_none());
        assert!(shown(&elsewhere).accounts[&ann].funds_epoch > before, "purses ask anew");
    }

    async fn a_process_that_slept_too_long_loads_everything(database) {
        let world = Platform::on(&database).await;
        let sleeper = world.another().await;
        let ann = world.account("ann").await;
        world.clock.advance(Duration::from_secs(2 * 60 * 60));
        assert_eq!(directory::prune(&world.core).await.unwrap(), 1, "the news is gone");
        world.sub_account(ann, "shop").await;
        assert!(!shown(&sleeper).accounts.contains_key(&ann));
        directory::refresh(&sleeper).await.unwrap();
        assert!(shown(&sleeper).accounts.contains_key(&ann));
        assert_eq!(said(&shown(&sleeper)), said(&shown(&world.another().await)));
    }

    /// It knows versions that the restored store has never had, and will give out again.
    async fn a_process_that_lived_through_a_restore_loads_everything(database) {
        let world = Platform::on(&database).await;
        let ann = world.account("ann").await;
        let survivor = world.another().await;
        let backed_up = world.core.db().write(|tx| {
            store::directory::prune(tx, Time::from_micros(i64::MAX))?;
            store::directory::skip(tx, -1)?;
            directory::restored_in(tx)
        });
        backed_up.await.unwrap();
        let change = accounts::Change { active: Some(false), ..Default::default() };
        accounts::update(&world.core, Actor::Operator, ann, change).await.unwrap();
        directory::refresh(&survivor).await.unwrap();
        assert!(!shown(&survivor).accounts[&ann].active);
    }
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
            Step::Refresh => {}
        }
    }
}

/// Takes the steps in one process and follows them in another, now and then.
fn follow(database: TestDb, steps: Vec<Step>) {
    tollgate_testkit::database::run(Some(database), async |database: TestDb| {
        let (world, mut made) = (Platform::on(&database).await, Made::default());
        let elsewhere = world.another().await;
        for step in steps {
            match step {
                Step::Refresh => directory::refresh(&elsewhere).await.unwrap(),
                step => made.take(&world, step).await,
            }
        }
        directory::refresh(&elsewhere).await.unwrap();
        let fresh = said(&shown(&world.another().await));
        assert_eq!(said(&shown(&elsewhere)), fresh, "in the other process");
        assert_eq!(said(&shown(&world.core)), fresh, "in the process that made the changes");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, and whenever the refresher looks: it shows what a fresh start would.
    #[test]
    fn following_changes_shows_the_same_as_loading_everything(steps in prop::collection::vec(step(), 1..60)) {
        follow(TestDb::sqlite(), steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same on PostgreSQL.
    #[test]
    fn following_changes_on_postgres_does_too(steps in prop::collection::vec(step(), 1..60)) {
        if let Some(database) = TestDb::postgres() {
            follow(database, steps);
        }
    }
}
