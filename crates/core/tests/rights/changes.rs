//! Changes made at once: each names what it changes, and none undoes another.

use tollgate_core::{Actor, accounts, exits, offers, sub_accounts};
use tollgate_testkit::on_both_databases;
use tollgate_types::Cents;

use crate::{Platform, new_exit, new_offer, page};

/// Often enough that two transactions meet.
const ROUNDS: i64 = 20;

on_both_databases! {
    async fn of_an_exit(database) {
        let world = Platform::on(&database).await;
        let id = exits::create(&world.core, Actor::Operator, new_exit("paris")).await.unwrap();
        for round in 1..=ROUNDS {
            let heavier = exits::ExitChange { weight: Some(round), ..Default::default() };
            let switched = exits::ExitChange { active: Some(round % 2 == 0), ..Default::default() };
            let (one, other) = tokio::join!(
                exits::update(&world.core, Actor::Operator, id, heavier),
                exits::update(&world.core, Actor::Operator, id, switched),
            );
            one.and(other).unwrap();
            let exit = exits::list(&world.core, page(1, 1)).await.unwrap().0.remove(0);
            assert_eq!((exit.weight, exit.active), (round, round % 2 == 0));
        }
    }

    async fn of_an_offer(database) {
        let world = Platform::on(&database).await;
        let id = offers::create(&world.core, Actor::Operator, new_offer()).await.unwrap();
        for round in 1..=ROUNDS {
            let dearer = offers::OfferChange { price: Some(Cents::new(round)), ..Default::default() };
            let switched = offers::OfferChange { on_sale: Some(round % 2 == 0), ..Default::default() };
            let (one, other) = tokio::join!(
                offers::update(&world.core, Actor::Operator, id, dearer),
                offers::update(&world.core, Actor::Operator, id, switched),
            );
            one.and(other).unwrap();
            let offer = offers::list(&world.core, page(1, 1)).await.unwrap().0.remove(0).0;
            assert_eq!((offer.price, offer.on_sale), (Cents::new(round), round % 2 == 0));
        }
    }

    async fn of_an_account_and_its_login(database) {
        let world = Platform::on(&database).await;
        let ann = world.account("ann").await;
        let shop = world.sub_account(ann, "shop").await;
        for round in 1..=ROUNDS {
            let price = accounts::Change { prices: [Some(Cents::new(round)), None, None], ..Default::default() };
            let status = accounts::Change { active: Some(round % 2 == 0), ..Default::default() };
            let limit = sub_accounts::Change { limits_gb: [None, Some(round), None], ..Default::default() };
            let remark = sub_accounts::Change { remark: Some(round.to_string()), ..Default::default() };
            let done = tokio::join!(
                accounts::update(&world.core, Actor::Operator, ann, price),
                accounts::update(&world.core, Actor::Operator, ann, status),
                sub_accounts::update(&world.core, ann, shop, limit),
                sub_accounts::update(&world.core, ann, shop, remark),
            );
            done.0.and(done.1).and(done.2).and(done.3).unwrap();
            let account = accounts::get(&world.core, ann).await.unwrap().account;
            assert_eq!((account.prices[0], account.active), (Cents::new(round), round % 2 == 0));
            let login = sub_accounts::get(&world.core, ann, shop).await.unwrap().row;
            assert_eq!((login.limits_gb[1], login.remark), (round, round.to_string()));
        }
    }
}
