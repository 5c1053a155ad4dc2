//! Renewing by itself, at the marks before the expiry.

use tollgate_core::statics::PriceChange;
use tollgate_core::{Error, Noun, jobs, statics};
use tollgate_testkit::on_both_databases;
use tollgate_types::{Cents, StaticType};

use crate::{DAY, HOUR, World};

on_both_databases! {
    async fn a_proxy_is_renewed_three_days_ahead_for_as_long_as_there_is_money(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 3 * 3000 + 2999).await;
        world.auto_rebuy(ann, id, true).await;
        let bought = world.now();
        world.pass(DAY * 27 - HOUR).await;
        assert_eq!(world.balance(ann).await, 11_999);
        world.pass(HOUR).await;
        assert_eq!(world.balance(ann).await, 8999);
        assert_eq!(world.only(ann).await.expires_at, bought.plus(DAY * 60));
        let (kind, told) = world.told(ann).await.pop().unwrap();
        assert_eq!(
            (kind.as_str(), &told["amount"], &told["expire_time"]),
            ("static.renewed", &3000.into(), &"2026-04-30 12:00:00".into())
        );
        world.pass(DAY * 60).await;
        let proxy = world.only(ann).await;
        assert_eq!((proxy.expires_at, proxy.rebuy_status.as_str()), (bought.plus(DAY * 120), "normal"));
        assert_eq!(world.balance(ann).await, 2999);
        world.audit().await;
        // The fourth renewal is a cent short: tried at each mark, told each time.
        world.pass(DAY * 30).await;
        let proxy = world.only(ann).await;
        assert_eq!((proxy.expires_at, proxy.rebuy_status.as_str()), (bought.plus(DAY * 120), "insufficient"));
        world.pass(DAY * 3).await;
        assert_eq!(world.only(ann).await.state, "grace");
        let kinds = world.told_kinds(ann).await;
        let count = |kind: &str| kinds.iter().filter(|told| *told == kind).count();
        assert_eq!((count("static.renewed"), count("static.renewal_insufficient")), (3, 3));
        assert_eq!((count("static.expired"), count("static.expiring")), (1, 0));
        let told = world.told(ann).await;
        let (_, told) = told.iter().find(|(kind, _)| kind == "static.renewal_insufficient").unwrap();
        assert_eq!((&told["amount"], &told["balance"]), (&3000.into(), &2999.into()));
        assert_eq!(world.balance(ann).await, 2999);
        world.audit().await;
    }

    async fn money_that_comes_between_two_marks_is_used_at_the_second(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        world.auto_rebuy(ann, id, true).await;
        world.pass(DAY * 28).await;
        assert_eq!(world.only(ann).await.rebuy_status.as_str(), "insufficient");
        world.recharge(ann, 3000, "r2").await;
        world.pass(DAY).await;
        let proxy = world.only(ann).await;
        assert_eq!((proxy.rebuy_status.as_str(), proxy.expires_at), ("normal", world.now().plus(DAY * 31)));
        assert_eq!(world.told_kinds(ann).await, ["static.renewal_insufficient", "static.renewed"]);
        world.pass(DAY * 2).await;
        assert_eq!(world.balance(ann).await, 0);
        world.audit().await;
    }

    async fn switching_it_on_late_counts_for_the_next_mark_or_for_now(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        let (ben, others) = world.customer("ben", 3000).await;
        world.pass(DAY * 28).await;
        world.auto_rebuy(ann, id, true).await;
        world.work().await;
        assert_eq!(world.balance(ann).await, 3000, "not before the mark");
        world.pass(DAY).await;
        assert_eq!(world.balance(ann).await, 0);
        world.pass(DAY - HOUR / 2).await;
        world.auto_rebuy(ben, others, true).await;
        world.work().await;
        assert_eq!(world.balance(ben).await, 0, "half an hour before the end: at once");
        assert_eq!(world.only(ben).await.expires_at, world.now().plus(DAY * 30 + HOUR / 2));
        world.audit().await;
    }

    async fn switching_it_off_and_on_again_renews_once(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 9000).await;
        for active in [true, false, true, true] {
            world.auto_rebuy(ann, id, active).await;
        }
        assert!(world.only(ann).await.auto_rebuy);
        world.pass(DAY * 28).await;
        assert_eq!(world.balance(ann).await, 6000);
        world.auto_rebuy(ann, id, false).await;
        world.pass(DAY * 30).await;
        assert_eq!(world.balance(ann).await, 6000);
        assert_eq!(world.told_kinds(ann).await.last().unwrap(), "static.expiring");
        world.audit().await;
    }

    async fn what_is_switched_on_when_the_mark_is_due_is_still_tried_at_it(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        // The three-day mark has just passed and no worker has come yet.
        world.clock.advance(DAY * 27 + HOUR);
        world.auto_rebuy(ann, id, true).await;
        world.work().await;
        assert_eq!(world.balance(ann).await, 0);
        world.audit().await;
    }

    async fn a_suspended_account_and_one_that_gives_back_are_not_renewed(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        let (ben, others) = world.customer("ben", 3000).await;
        world.auto_rebuy(ann, id, true).await;
        world.auto_rebuy(ben, others, true).await;
        world.suspend(ann, true).await;
        statics::refund(&world.core, ben, others, "no need".into()).await.unwrap();
        world.pass(DAY * 27).await;
        for (account, reason) in [(ann, "suspended"), (ben, "refunding")] {
            let proxy = world.only(account).await;
            assert_eq!(proxy.rebuy_status.as_str(), "failed");
            let (kind, told) = world.told(account).await.pop().unwrap();
            assert_eq!((kind.as_str(), &told["reason"]), ("static.renewal_failed", &reason.into()));
        }
        world.suspend(ann, false).await;
        statics::withdraw(&world.core, ben, others).await.unwrap();
        world.pass(DAY * 2).await;
        for account in [ann, ben] {
            assert_eq!(
                (world.balance(account).await, world.only(account).await.rebuy_status.as_str()),
                (0, "normal")
            );
        }
        world.audit().await;
    }

    async fn a_worker_that_was_away_over_the_expiry_still_renews(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 9000).await;
        world.auto_rebuy(ann, id, true).await;
        world.clock.advance(DAY * 31);
        world.work().await;
        let proxy = world.only(ann).await;
        assert_eq!((proxy.state.as_str(), proxy.expires_at), ("live", world.now().plus(DAY * 30)));
        assert_eq!(world.balance(ann).await, 6000, "once");
        assert_eq!(world.stock_states().await, [0, 1, 0, 0]);
        world.audit().await;
    }

    async fn a_proxy_by_the_day_is_looked_at_an_hour_ahead(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let ann = world.account("ann", 350).await;
        let price = world.price(1, 1, 100).await;
        world.order(ann, price).await;
        let proxy = world.only(ann).await;
        world.auto_rebuy(ann, proxy.id, true).await;
        world.pass(DAY * 3).await;
        assert_eq!((world.balance(ann).await, world.only(ann).await.state.as_str()), (50, "grace"));
        // The first look is an hour ahead; from then on a day ahead, for that mark is still to come.
        let told = world.told_kinds(ann).await;
        let told: Vec<_> = told.iter().map(|kind| kind.trim_start_matches("static.")).collect();
        assert_eq!(told, ["renewed", "renewed", "renewal_insufficient", "renewal_insufficient", "expired"]);
        world.audit().await;
    }

    async fn a_renewal_by_hand_is_not_followed_at_once_by_one_that_was_claimed_before(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let ann = world.account("ann", 1000).await;
        let price = world.price(1, 1, 100).await;
        world.order(ann, price).await;
        let proxy = world.only(ann).await;
        world.auto_rebuy(ann, proxy.id, true).await;
        world.clock.advance(HOUR * 23);
        let claimed = jobs::run::claim(&world.core, jobs::run::Queue::House, 8).await.unwrap();
        assert_eq!(claimed.len(), 1);
        world.renew(ann, proxy.id).await.unwrap();
        for job in claimed {
            jobs::run::attempt(world.core.clone(), job).await;
        }
        assert_eq!(world.balance(ann).await, 800, "ordered and renewed, each once");
        assert_eq!(world.only(ann).await.expires_at, proxy.expires_at.plus(DAY));
        world.pass(HOUR).await;
        assert_eq!(world.balance(ann).await, 700, "the next mark is a day ahead of the new expiry");
        world.audit().await;
    }

    async fn it_costs_what_it_costs_on_the_day(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let ann = world.account("ann", 10_000).await;
        let price = world.price(1, 30, 500).await;
        world.order(ann, price).await;
        let id = world.only(ann).await.id;
        world.auto_rebuy(ann, id, true).await;
        world.change_price(price, PriceChange { price: Some(Cents::new(800)), ..Default::default() }).await;
        world.pass(DAY * 27).await;
        assert_eq!(world.balance(ann).await, 8700);
        world.audit().await;
    }

    async fn it_is_switched_for_ones_own_proxies_of_that_type_only(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let ben = world.account("ben", 0).await;
        let missing = Err(Error::NotFound(Noun::StaticProxy));
        for (account, kind) in [(ben, StaticType::Dc), (ann, StaticType::Res)] {
            assert_eq!(statics::set_auto_rebuy(&world.core, account, kind, id, true).await, missing);
            assert_eq!(statics::set_remark(&world.core, account, kind, id, "x".into()).await, missing);
        }
        assert!(!world.only(ann).await.auto_rebuy);
    }
}
