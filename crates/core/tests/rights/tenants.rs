//! Names, other tenants' things, and lists.

use std::collections::BTreeSet;

use tollgate_core::{
    Actor, Conflict, Error, Noun, accounts, audit, offers, packages, sub_accounts, trend, wallets, whitelist,
};
use tollgate_testkit::on_both_databases;
use tollgate_types::{Bytes, Cents, Day, OfferId, SubAccountId, WhitelistId};

use crate::{NOBODY, Platform, new_account, new_offer, new_sub_account, page};

on_both_databases! {
    async fn a_name_is_taken_on_the_whole_platform_until_it_is_deleted(database) {
        let world = Platform::on(&database).await;
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

    async fn what_is_deleted_is_gone_but_its_traffic_stays(database) {
        let world = Platform::on(&database).await;
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
}

on_both_databases! {
    async fn one_tenant_cannot_touch_anothers_things(database) {
        let world = Platform::on(&database).await;
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

    async fn a_custom_offer_is_seen_by_those_it_was_made_for(database) {
        let world = Platform::on(&database).await;
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
}

on_both_databases! {
    async fn lists_are_paged_newest_first_and_filters_are_literal(database) {
        let world = Platform::on(&database).await;
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

    async fn addresses_are_found_by_their_beginning(database) {
        let world = Platform::on(&database).await;
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
}
