//! Many at once: for the last addresses, and workers for the same jobs.

use std::collections::BTreeSet;

use tollgate_core::statics::{self, StaticFilter};
use tollgate_core::{Actor, Core, Error, jobs};
use tollgate_testkit::on_both_databases;
use tollgate_types::{AccountId, StaticProxyId};

use crate::{DAY, HOUR, World, asking, page};

/// Orders one address for each of these accounts at once; says who got one.
async fn race(world: &World, accounts: &[AccountId], price: tollgate_types::StaticPriceId) -> Vec<AccountId> {
    let racing: Vec<_> = accounts
        .iter()
        .map(|account| {
            let (core, account) = (world.core.clone(), *account);
            tokio::spawn(async move { (account, statics::order(&core, account, asking(price), None).await) })
        })
        .collect();
    let mut served = Vec::new();
    for one in racing {
        match one.await.unwrap() {
            (account, Ok(ordered)) => {
                assert!(!ordered.value.pending);
                served.push(account);
            }
            (_, Err(error)) => assert_eq!(error, Error::OutOfStock),
        }
    }
    served
}

on_both_databases! {
    async fn one_hundred_orders_for_the_last_seven_addresses(database) {
        let world = World::on(&database).await;
        world.stock(7, 3000).await;
        let price = world.price(1, 30, 500).await;
        let mut accounts = Vec::new();
        for n in 0..100 {
            accounts.push(world.account(&format!("account.{n}"), 777).await);
        }
        let served: BTreeSet<_> = race(&world, &accounts, price).await.into_iter().collect();
        assert_eq!(served.len(), 7);
        let mut hands = BTreeSet::new();
        for account in accounts {
            let proxies = world.list(account).await;
            let (balance, count) = if served.contains(&account) { (277, 1) } else { (777, 0) };
            assert_eq!((world.balance(account).await, proxies.len()), (balance, count), "{account}");
            hands.extend(proxies.iter().map(|proxy| proxy.address.unwrap()));
        }
        assert_eq!(hands.len(), 7, "no address in two hands");
        assert_eq!(world.stock_states().await, [0, 7, 0, 0]);
        world.audit().await;
    }

    async fn one_hundred_orders_of_one_account_for_the_last_seven_addresses(database) {
        let world = World::on(&database).await;
        world.stock(7, 3000).await;
        let price = world.price(1, 30, 500).await;
        let ann = world.account("ann", 100_000).await;
        assert_eq!(race(&world, &[ann; 100], price).await.len(), 7);
        assert_eq!((world.balance(ann).await, world.list(ann).await.len()), (96_500, 7));
        world.audit().await;
    }

    /// Orders of several: what one that fails for want of money or stock had in its hands is
    /// there for the others.
    async fn nobody_is_refused_while_there_is_enough_that_nobody_takes(database) {
        let world = World::on(&database).await;
        world.stock(12, 3000).await;
        let (three, five) = (world.price(3, 30, 100).await, world.price(5, 30, 100).await);
        let mut racing = Vec::new();
        for n in 0..24 {
            // Every second one wants five and cannot pay for them.
            let price = if n % 2 == 0 { three } else { five };
            let account = world.account(&format!("account.{n}"), 300).await;
            let core = world.core.clone();
            racing
                .push(tokio::spawn(async move { statics::order(&core, account, asking(price), None).await }));
        }
        let (mut served, mut short, mut poor) = (0, 0, 0);
        for one in racing {
            match one.await.unwrap() {
                Ok(_) => served += 1,
                Err(Error::OutOfStock) => short += 1,
                Err(Error::InsufficientFunds) => poor += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((served, served + short, poor), (4, 12, 12));
        assert_eq!(world.stock_states().await, [0, 12, 0, 0]);
        world.audit().await;
    }

    async fn orders_replacements_and_changes_of_stock_at_once_agree_in_the_end(database) {
        let world = World::on(&database).await;
        let ids = world.stock(16, 3000).await;
        let price = world.price(2, 30, 100).await;
        let mut accounts = Vec::new();
        for n in 0..4 {
            let account = world.account(&format!("account.{n}"), 10_000).await;
            world.order(account, price).await;
            accounts.push(account);
        }
        let mut racing = Vec::new();
        for n in 0..48_usize {
            let (core, account, stock) = (world.core.clone(), accounts[n % 4], ids[(n * 7) % ids.len()]);
            racing.push(tokio::spawn(async move {
                match n % 6 {
                    0 => statics::order(&core, account, asking(price), None).await.map(drop),
                    1 | 2 => {
                        let change = statics::StockChange { in_service: Some(n % 6 == 1), exit_ip: None };
                        statics::update_stock(&core, Actor::Operator, stock, change).await.map(drop)
                    }
                    3 => renew_all(&core, account).await,
                    4 => replace_first(&core, account).await,
                    _ => jobs::run::run_due(&core, 8).await.map(drop),
                }
            }));
        }
        for one in racing {
            match one.await.unwrap() {
                Ok(()) | Err(Error::OutOfStock | Error::Conflict(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        world.work().await;
        world.audit().await;
        world.pass(DAY * 120).await;
        world.audit().await;
    }

    async fn two_workers_on_one_database_do_each_job_once(database) {
        let world = World::on(&database).await;
        world.stock(20, 3000).await;
        let other = world.another().await;
        let price = world.price(10, 30, 100).await;
        let (ann, ben) = (world.account("ann", 1000 + 5 * 100).await, world.account("ben", 1000).await);
        world.order(ann, price).await;
        world.order(ben, price).await;
        for proxy in world.list(ann).await {
            world.auto_rebuy(ann, proxy.id, true).await;
        }
        for _ in 0..34 * 24 {
            world.clock.advance(HOUR);
            while both(&world.core, &other).await > 0 {}
        }
        assert_eq!(world.balance(ann).await, 0, "five renewals, each once");
        let count = |kinds: &[String], kind: &str| kinds.iter().filter(|told| *told == kind).count();
        let kinds = world.told_kinds(ann).await;
        let anns = ["static.renewed", "static.renewal_insufficient", "static.expired", "static.expiring"];
        assert_eq!(
            anns.map(|kind| count(&kinds, kind)),
            [5, 15, 5, 0],
            "at each of three marks, five in vain"
        );
        let kinds = world.told_kinds(ben).await;
        assert_eq!(anns.map(|kind| count(&kinds, kind)), [0, 0, 10, 20]);
        assert_eq!((world.list(ann).await.len(), world.list(ben).await.len()), (5, 0));
        assert_eq!(world.stock_states().await, [15, 5, 0, 0]);
        world.audit().await;
    }

    async fn a_worker_that_was_presumed_dead_changes_nothing_any_more(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        world.auto_rebuy(ann, id, true).await;
        world.clock.advance(DAY * 27);
        // Somebody claims the job and is not heard of again.
        let (now, until) = (world.now(), world.now().plus(jobs::CLAIM_TTL));
        let claim = world.core.db().write(move |tx| tollgate_store::jobs::claim(tx, false, now, until, 8));
        let claimed = claim.await.unwrap();
        assert_eq!(claimed.len(), 1);
        world.work_claimed().await;
        assert_eq!(world.balance(ann).await, 3000, "it is in somebody's hands");
        world.clock.advance(jobs::CLAIM_TTL);
        world.work().await;
        assert_eq!(world.balance(ann).await, 0);
        let (job, claim) = (claimed[0].id, claimed[0].claim);
        let late = world.core.db().write(move |tx| tollgate_store::jobs::finish(tx, job, claim)).await;
        assert_eq!(late, Ok(false), "the first comes back too late");
        world.audit().await;
    }
}

async fn both(one: &Core, other: &Core) -> usize {
    let (done, also) = tokio::join!(jobs::run::run_due(one, 8), jobs::run::run_due(other, 8));
    done.unwrap() + also.unwrap()
}

async fn ids_of(core: &Core, account: AccountId) -> Vec<StaticProxyId> {
    let (proxies, _) = statics::list(core, account, StaticFilter::default(), page(1, 4)).await.unwrap();
    proxies.iter().map(|proxy| proxy.id).collect()
}

async fn renew_all(core: &Core, account: AccountId) -> Result<(), Error> {
    let ids = ids_of(core, account).await;
    statics::renew(core, account, tollgate_types::StaticType::Dc, ids, None).await.map(drop)
}

async fn replace_first(core: &Core, account: AccountId) -> Result<(), Error> {
    let ids = ids_of(core, account).await;
    statics::replace(core, account, ids[0], "blocked".into()).await.map(drop)
}
