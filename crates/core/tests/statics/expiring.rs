//! Expiry, the time of grace, and release.

use secrecy::ExposeSecret;
use tollgate_core::{Conflict, Error, Noun, statics};
use tollgate_testkit::on_both_databases;

use crate::{DAY, HOUR, World};

on_both_databases! {
    async fn a_proxy_expires_rests_in_grace_and_gives_its_address_back(database) {
        let world = World::on(&database).await;
        let ids = world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let first = world.only(ann).await;
        world.pass(DAY * 30 - HOUR).await;
        assert_eq!(world.only(ann).await.state, "live");
        world.pass(HOUR).await;
        let proxy = world.only(ann).await;
        assert_eq!((proxy.state.as_str(), proxy.expires_at), ("grace", first.expires_at));
        let release_at = first.expires_at.plus(DAY * 3);
        let item = world.item(ids[0]).await;
        assert_eq!(
            (item.state.as_str(), item.release_at, item.holder),
            ("grace", Some(release_at), Some((id, ann)))
        );
        assert_eq!(
            world.shown(id).await.unwrap().expires_at,
            first.expires_at,
            "gateways say that it has expired"
        );
        world.audit().await;
        world.pass(DAY * 3 - HOUR).await;
        assert_eq!(world.only(ann).await.state, "grace");
        world.pass(HOUR).await;
        assert!(world.list(ann).await.is_empty(), "history");
        assert!(world.shown(id).await.is_none());
        assert_eq!(world.stock_states().await, [1, 0, 0, 0]);
        assert_eq!(world.renew(ann, id).await, Err(Error::NotFound(Noun::StaticProxy)));
        let told = world.told(ann).await;
        let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["static.order_completed", "static.expiring", "static.expiring", "static.expired"]);
        assert_eq!(told[1].1["expire_time"], "2026-03-31 12:00:00");
        assert_eq!(
            (&told[3].1["grace_until"], &told[3].1["proxy_address"]),
            (&"2026-04-03 12:00:00".into(), &"192.0.2.7".into())
        );
        world.audit().await;
        // Whoever comes next gets the address with other credentials.
        let (ben, _) = world.customer("ben", 0).await;
        let next = world.only(ben).await;
        assert_eq!(next.address, first.address);
        assert_ne!(next.username, first.username);
        assert_ne!(next.password.expose_secret(), first.password.expose_secret());
        world.audit().await;
    }

    async fn a_renewal_in_grace_counts_from_now_and_brings_the_proxy_back(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        world.pass(DAY * 32).await;
        let renewed = world.renew(ann, id).await.unwrap();
        assert_eq!(renewed.lines[0].expires_at, world.now().plus(DAY * 30), "the gap is not charged");
        let proxy = world.only(ann).await;
        assert_eq!((proxy.state.as_str(), proxy.expires_at), ("live", world.now().plus(DAY * 30)));
        assert_eq!(world.stock_states().await, [0, 1, 0, 0]);
        assert_eq!(world.shown(id).await.unwrap().expires_at, proxy.expires_at);
        world.audit().await;
        world.pass(DAY * 29).await;
        assert_eq!(world.only(ann).await.state, "live", "the old release is forgotten");
        world.pass(DAY * 4).await;
        assert!(world.list(ann).await.is_empty());
        assert_eq!(world.told_kinds(ann).await.iter().filter(|kind| *kind == "static.expired").count(), 2);
        world.audit().await;
    }

    async fn a_worker_that_comes_late_finds_what_is_true_by_then(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        let (ben, others) = world.customer("ben", 3000).await;
        world.clock.advance(DAY * 31);
        // Nobody has seen to it yet; the gateway refuses by itself, and a renewal is still taken.
        assert_eq!(world.only(ann).await.state, "live");
        assert!(statics::export(&world.core, ann, Default::default()).await.unwrap().is_empty());
        assert_eq!(world.renew(ann, id).await.unwrap().lines[0].expires_at, world.now().plus(DAY * 30));
        world.work().await;
        assert_eq!(
            (world.only(ann).await.state.as_str(), world.only(ben).await.state.as_str()),
            ("live", "grace")
        );
        assert_eq!(world.told_kinds(ann).await, [] as [String; 0], "it was renewed in time");
        world.audit().await;
        world.clock.advance(DAY * 3);
        assert_eq!(
            world.renew(ben, others).await,
            Err(Error::Conflict(Conflict::Expired)),
            "too late, though still there"
        );
        world.work().await;
        assert!(world.list(ben).await.is_empty());
        world.audit().await;
    }

    async fn a_worker_that_comes_after_the_grace_does_both_at_once(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        world.clock.advance(DAY * 40);
        assert_eq!(world.renew(ann, id).await, Err(Error::Conflict(Conflict::Expired)));
        world.work().await;
        assert!(world.list(ann).await.is_empty());
        assert_eq!(world.told_kinds(ann).await, ["static.expired"]);
        assert_eq!(world.stock_states().await, [1, 0, 0, 0]);
        world.audit().await;
    }

    async fn reminders_come_at_three_days_and_one_day_to_those_who_renew_by_hand(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        world.pass(DAY * 27 - HOUR).await;
        assert!(world.told_kinds(ann).await.is_empty());
        world.pass(HOUR).await;
        assert_eq!(world.told_kinds(ann).await, ["static.expiring"]);
        world.renew(ann, id).await.unwrap();
        world.pass(DAY * 30 - HOUR).await;
        assert_eq!(world.told_kinds(ann).await.len(), 1, "renewed: nothing is near");
        world.pass(HOUR).await;
        assert_eq!(world.told_kinds(ann).await.len(), 2);
        world.pass(DAY * 3 - HOUR * 2).await;
        assert_eq!(world.told_kinds(ann).await.len(), 3);
        world.pass(HOUR * 2).await;
        let kinds = world.told_kinds(ann).await;
        assert_eq!(
            kinds.iter().map(String::as_str).collect::<Vec<_>>(),
            ["static.expiring", "static.expiring", "static.expiring", "static.expired"]
        );
        world.audit().await;
    }

    async fn a_suspended_accounts_proxies_expire_like_any_other(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        world.suspend(ann, true).await;
        assert!(world.shown(id).await.is_some(), "it is the account's status that gateways refuse by");
        world.pass(DAY * 34).await;
        assert!(world.list(ann).await.is_empty());
        assert_eq!(world.stock_states().await, [1, 0, 0, 0]);
        world.audit().await;
    }
}
