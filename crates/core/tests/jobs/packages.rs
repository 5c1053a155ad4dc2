//! Packages expire, their customers are reminded, and they are bought again.

use tollgate_core::packages::StrategyChange;
use tollgate_core::{Actor, accounts, notices, offers, packages};
use tollgate_testkit::on_both_databases;
use tollgate_types::{Cents, OfferId};

use crate::world::{DAY, GB, TYPE, World};

fn told(names: &[(&str, u64)]) -> Vec<(String, u64)> {
    names.iter().map(|(name, day)| ((*name).to_owned(), *day)).collect()
}

/// To be reminded when so much or so little time is left.
fn remind(gb: i64, days: i64) -> StrategyChange {
    StrategyChange {
        auto_remind: Some(true),
        remind_gb: Some(gb),
        remind_days: Some(days),
        ..StrategyChange::default()
    }
}

/// To buy again when so much or so little time is left.
fn rebuy(offer: OfferId, gb: i64, days: i64) -> StrategyChange {
    StrategyChange {
        auto_rebuy: Some(true),
        rebuy_gb: Some(gb),
        rebuy_days: Some(days),
        rebuy_offer: Some(offer),
        ..StrategyChange::default()
    }
}

on_both_databases! {
    async fn a_package_expires_once_and_what_is_left_of_it_is_breakage(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        world.buy(ann, offer).await;
        world.use_bytes(ann, GB / 2).await;
        world.pass(29 * DAY).await;
        assert_eq!(world.story(ann).await, []);
        world.pass(5 * DAY).await;
        assert_eq!(world.story(ann).await, told(&[("package.expired", 30)]));
        let data: serde_json::Value = serde_json::from_str(&world.events(ann).await[0].data).unwrap();
        assert_eq!(data["unused_bytes"], 2 * GB - GB / 2);
        world.audit().await;
    }

    async fn a_package_that_is_used_up_is_exhausted_and_does_not_expire(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(1, 30).await;
        world.buy(ann, offer).await;
        world.work().await;
        world.use_bytes(ann, GB).await;
        world.pass(40 * DAY).await;
        assert_eq!(world.story(ann).await, told(&[("package.exhausted", 0)]));
        // Another one begins a cycle of its own.
        world.buy(ann, offer).await;
        world.work().await;
        world.use_bytes(ann, GB).await;
        world.work().await;
        assert_eq!(world.story(ann).await, told(&[("package.exhausted", 0), ("package.exhausted", 40)]));
        world.audit().await;
    }

    async fn a_reminder_comes_once_for_each_threshold_and_cycle(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 10_000).await;
        let offer = world.offer(4, 30).await;
        world.buy(ann, offer).await;
        world.strategy(ann, remind(1, 2)).await;
        world.work().await;
        world.use_bytes(ann, 3 * GB - 1).await;
        world.work().await;
        assert_eq!(world.story(ann).await, [], "a byte more than a GB is left");
        world.use_bytes(ann, 1).await;
        world.work().await;
        world.use_bytes(ann, GB / 2).await;
        world.work().await;
        assert_eq!(world.story(ann).await, told(&[("package.threshold_reached", 0)]));
        // More traffic ends the cycle; its own threshold is told again.
        world.buy(ann, offer).await;
        world.work().await;
        world.use_bytes(ann, 4 * GB).await;
        world.work().await;
        assert_eq!(world.story(ann).await.len(), 2);
        world.pass(40 * DAY).await;
        assert_eq!(world.story(ann).await[2..], told(&[("package.threshold_reached", 28), ("package.expired", 30)]));
        world.audit().await;
    }

    async fn of_two_packages_side_by_side_the_sum_is_watched(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 10_000).await;
        let (short, long) = (world.offer(2, 10).await, world.offer(2, 30).await);
        world.buy(ann, short).await;
        world.buy(ann, long).await;
        world.strategy(ann, remind(3, 0)).await;
        world.work().await;
        for _ in 0..8 {
            world.use_bytes(ann, GB / 8 - 1).await;
            world.work().await;
        }
        assert_eq!(world.story(ann).await, []);
        world.use_bytes(ann, 8).await;
        world.work().await;
        assert_eq!(world.story(ann).await, told(&[("package.threshold_reached", 0)]));
        world.audit().await;
    }

    async fn auto_rebuy_buys_when_little_traffic_or_time_is_left(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        world.buy(ann, offer).await;
        world.strategy(ann, rebuy(offer, 1, 1)).await;
        world.work().await;
        assert_eq!(world.balance(ann).await, 800);
        world.use_bytes(ann, GB).await;
        world.work().await;
        assert_eq!(world.balance(ann).await, 600);
        assert_eq!(world.holding(ann).await.total.get(), 4 * GB);
        world.pass(35 * DAY).await;
        let story = told(&[("package.rebuy_succeeded", 0), ("package.rebuy_succeeded", 29),
                           ("package.expired", 30), ("package.expired", 30)]);
        assert_eq!(world.story(ann).await, story);
        assert_eq!(world.balance(ann).await, 400);
        assert_eq!(world.holding(ann).await.settings.rebuy_status.as_str(), "normal");
        world.audit().await;
    }

    async fn auto_rebuy_waits_for_money_and_says_so_once(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 250).await;
        let offer = world.offer(2, 30).await;
        world.buy(ann, offer).await;
        world.strategy(ann, rebuy(offer, 1, 1)).await;
        world.work().await;
        world.use_bytes(ann, GB).await;
        world.work().await;
        world.use_bytes(ann, GB / 2).await;
        world.work().await;
        assert_eq!(world.holding(ann).await.settings.rebuy_status.as_str(), "insufficient");
        assert_eq!((world.balance(ann).await, world.story(ann).await),
                   (50, told(&[("package.rebuy_insufficient", 0)])));
        world.recharge(ann, 150, "second").await;
        world.work().await;
        assert_eq!(world.holding(ann).await.settings.rebuy_status.as_str(), "normal");
        assert_eq!(world.balance(ann).await, 0);
        assert_eq!(world.story(ann).await[1..], told(&[("package.rebuy_succeeded", 0)]));
        world.audit().await;
    }

    async fn auto_rebuy_that_failed_for_a_suspended_account_is_tried_once_it_is_active_again(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        world.buy(ann, offer).await;
        let rebuy = StrategyChange { auto_rebuy: Some(true), rebuy_gb: Some(1), rebuy_days: Some(1),
                                     rebuy_offer: Some(offer), ..StrategyChange::default() };
        world.strategy(ann, rebuy).await;
        world.work().await;
        let active = |active| accounts::Change { active: Some(active), ..accounts::Change::default() };
        accounts::update(&world.core, Actor::Operator, ann, active(false)).await.unwrap();
        world.pass(DAY * 29).await;
        assert_eq!(world.story(ann).await, told(&[("package.rebuy_failed", 29)]));
        accounts::update(&world.core, Actor::Operator, ann, active(true)).await.unwrap();
        world.work().await;
        assert_eq!(world.balance(ann).await, 600);
        world.audit().await;
    }

    async fn auto_rebuy_stops_at_three_a_day_and_goes_on_the_next(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 10_000).await;
        let offer = world.offer(1, 30).await;
        world.buy(ann, offer).await;
        // A threshold that no number of packages rises above within a day.
        world.strategy(ann, rebuy(offer, 6, 0)).await;
        world.work().await;
        assert_eq!(world.balance(ann).await, 9_600);
        assert_eq!(world.holding(ann).await.settings.rebuy_status.as_str(), "failed");
        world.pass(2 * DAY).await;
        assert_eq!(world.balance(ann).await, 9_300, "7 GB are more than 6");
        assert_eq!(world.holding(ann).await.settings.rebuy_status.as_str(), "normal");
        let story: Vec<_> = world.story(ann).await.into_iter().map(|(name, _)| name).collect();
        let bought = |n: usize| std::iter::repeat_n("package.rebuy_succeeded", n);
        assert_eq!(story, bought(3).chain(["package.rebuy_failed"]).chain(bought(3)).collect::<Vec<_>>());
        world.audit().await;
    }

    async fn auto_rebuy_does_not_pay_a_price_that_nobody_agreed_to(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        world.buy(ann, offer).await;
        world.strategy(ann, rebuy(offer, 1, 1)).await;
        let dearer = offers::OfferChange { price: Some(Cents::new(101)), ..offers::OfferChange::default() };
        offers::update(&world.core, Actor::Operator, offer, dearer).await.unwrap();
        world.use_bytes(ann, GB).await;
        world.work().await;
        assert_eq!(world.story(ann).await, told(&[("package.rebuy_failed", 0)]));
        assert_eq!(world.balance(ann).await, 800);
        // Choosing it anew is agreeing.
        world.strategy(ann, rebuy(offer, 1, 1)).await;
        world.work().await;
        assert_eq!(world.balance(ann).await, 800 - 202);
        // One that has become cheaper is bought at its price.
        let cheaper = offers::OfferChange { price: Some(Cents::new(50)), ..offers::OfferChange::default() };
        offers::update(&world.core, Actor::Operator, offer, cheaper).await.unwrap();
        world.use_bytes(ann, 2 * GB).await;
        world.work().await;
        assert_eq!(world.balance(ann).await, 800 - 202 - 100);
        world.audit().await;
    }

    async fn two_workers_buy_again_once(database) {
        let world = World::new(database).await;
        if !world.is_postgres() {
            return;
        }
        let other = world.another().await;
        let offer = world.offer(2, 30).await;
        let mut accounts = Vec::new();
        for n in 0..20 {
            let account = world.account(&format!("ann.{n}"), 1000).await;
            world.buy(account, offer).await;
            world.strategy(account, rebuy(offer, 1, 1)).await;
            accounts.push(account);
        }
        world.work().await;
        for account in &accounts {
            world.use_bytes(*account, GB).await;
        }
        let (one, two) = tokio::join!(
            tollgate_core::jobs::run::run_due(&world.core, 64),
            tollgate_core::jobs::run::run_due(&other, 64)
        );
        assert!(one.unwrap() + two.unwrap() >= 20);
        world.work().await;
        for account in accounts {
            assert_eq!(world.balance(account).await, 600);
        }
        world.audit().await;
    }

    async fn a_low_wallet_is_told_each_time_that_it_becomes_low(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        notices::set_low_balance(&world.core, ann, Cents::new(800)).await.unwrap();
        world.buy(ann, offer).await;
        world.buy(ann, offer).await;
        assert_eq!(world.story(ann).await, told(&[("wallet.low", 0)]));
        world.recharge(ann, 300, "second").await;
        world.buy(ann, offer).await;
        assert_eq!(world.story(ann).await.len(), 2);
        world.audit().await;
    }

    async fn switched_off_packages_are_not_bought_again(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        world.buy(ann, offer).await;
        packages::set_status(&world.core, ann, TYPE, false).await.unwrap();
        world.strategy(ann, rebuy(offer, 5, 1)).await;
        world.work().await;
        assert_eq!(world.balance(ann).await, 800);
        packages::set_status(&world.core, ann, TYPE, true).await.unwrap();
        world.work().await;
        assert!(world.balance(ann).await < 800);
        world.audit().await;
    }
}
