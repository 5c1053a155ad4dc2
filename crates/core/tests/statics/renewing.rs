//! Renewing by hand.

use tollgate_core::idempotency::IdempotencyKey;
use tollgate_core::statics::{self, OrderFilter, PriceChange};
use tollgate_core::{Conflict, Error, Noun, Rule, wallets};
use tollgate_testkit::on_both_databases;
use tollgate_types::{Cents, StaticProxyId, StaticType};

use crate::{DAY, HOUR, NOBODY, World, invalid, new_price, page};

on_both_databases! {
    async fn a_renewal_adds_exactly_the_period_once_for_each_charge(database) {
        let world = World::on(&database).await;
        world.stock(3, 3000).await;
        let ann = world.account("ann", 10_000).await;
        let price = world.price_of(PriceChange { discount: Some(50), ..new_price(3, 30) }).await;
        world.order(ann, price).await;
        assert_eq!(world.balance(ann).await, 9250);
        let bought = world.now();
        world.clock.advance(DAY * 10);
        let ids: Vec<_> = world.list(ann).await.iter().map(|proxy| proxy.id).take(2).collect();
        let quote = statics::quote_renewal(&world.core, ann, StaticType::Dc, ids.clone()).await.unwrap();
        assert_eq!((quote.amount.get(), quote.balance.get()), (1000, 9250), "without the discount");
        let renewed = statics::renew(&world.core, ann, StaticType::Dc, ids.clone(), None).await.unwrap().value;
        assert_eq!((renewed.amount, &renewed.lines), (quote.amount, &quote.lines));
        assert_eq!(renewed.lines.iter().map(|line| line.proxy).collect::<Vec<_>>(), ids, "in their order");
        let until = |periods: u32| bought.plus(DAY * 30 * periods);
        assert!(renewed.lines.iter().all(|line| line.amount.get() == 500 && line.expires_at == until(2)));
        world.renew(ann, ids[0]).await.unwrap();
        assert_eq!(world.balance(ann).await, 7750);
        for (proxy, expires_at) in world.list(ann).await.iter().zip([until(3), until(2), until(1)]) {
            assert_eq!((proxy.expires_at, proxy.state.as_str()), (expires_at, "live"));
            assert_eq!(world.shown(proxy.id).await.unwrap().expires_at, expires_at, "gateways know");
        }
        let (orders, _) = statics::orders(&world.core, OrderFilter::default(), page(1, 10)).await.unwrap();
        let said =
            |row: &statics::OrderRow| (row.kind.clone(), row.count, row.amount.get(), row.country.clone());
        assert_eq!(said(&orders[1]), ("renewal".into(), 2, 1000, String::new()));
        assert_eq!(orders[1].order_no, renewed.order_no);
        let (lines, _) = wallets::ledger(&world.core, ann, page(1, 10)).await.unwrap();
        let lines: Vec<_> = lines.iter().map(|line| (line.kind.as_str(), line.amount.get())).collect();
        assert_eq!(
            lines,
            [
                ("static_renewed", -500),
                ("static_renewed", -1000),
                ("static_bought", -750),
                ("recharge", 10_000)
            ]
        );
        world.audit().await;
    }

    async fn a_renewal_is_of_all_that_are_named_or_of_none(database) {
        let world = World::on(&database).await;
        world.stock(3, 3000).await;
        world.stock_of(StaticType::Res, "us", 1, 4000).await;
        let (ann, own) = world.customer("ann", 3000).await;
        let (ben, others) = world.customer("ben", 3000).await;
        let price =
            world.price_of(PriceChange { static_type: Some(StaticType::Res), ..new_price(1, 30) }).await;
        let mut ask = crate::asking(price);
        ask.static_type = StaticType::Res;
        statics::order(&world.core, ann, ask, None).await.unwrap();
        let of_another_type = world.list(ann).await[0].id;
        let before = world.balance(ann).await;
        let renew = async |ids: Vec<StaticProxyId>| {
            let quoted =
                statics::quote_renewal(&world.core, ann, StaticType::Dc, ids.clone()).await.map(drop);
            let renewed = statics::renew(&world.core, ann, StaticType::Dc, ids, None).await.map(drop);
            assert_eq!(quoted, renewed, "a quote refuses what a renewal does");
            renewed.unwrap_err()
        };
        let missing = Error::NotFound(Noun::StaticProxy);
        assert_eq!(renew(vec![own, others]).await, missing, "another's");
        assert_eq!(renew(vec![own, of_another_type]).await, missing);
        assert_eq!(renew(vec![StaticProxyId::new(NOBODY), own]).await, missing);
        assert_eq!(invalid(renew(vec![own, own]).await), ("proxy_ids", Rule::Doubled));
        let count = Rule::Count { min: 1, max: 1000 };
        assert_eq!(invalid(renew(vec![]).await), ("proxy_ids", count));
        assert_eq!(invalid(renew((0..1001).map(StaticProxyId::new).collect()).await), ("proxy_ids", count));
        assert_eq!((world.balance(ann).await, world.balance(ben).await), (before, 3000));
        let expires_at = world.now().plus(DAY * 30);
        assert!(world.list(ann).await.iter().all(|proxy| proxy.expires_at == expires_at));
        world.audit().await;
    }

    async fn a_wallet_that_suffices_for_some_renews_none(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let ann = world.account("ann", 1000 + 999).await;
        let price = world.price(2, 30, 500).await;
        world.order(ann, price).await;
        let ids: Vec<_> = world.list(ann).await.iter().map(|proxy| proxy.id).collect();
        let renewed = statics::renew(&world.core, ann, StaticType::Dc, ids.clone(), None).await;
        assert_eq!(renewed, Err(Error::InsufficientFunds));
        let quoted = statics::quote_renewal(&world.core, ann, StaticType::Dc, ids).await.unwrap();
        assert_eq!((quoted.amount.get(), quoted.balance.get()), (1000, 999));
        assert_eq!(world.balance(ann).await, 999);
        world.audit().await;
    }

    async fn the_same_key_renews_once_and_gives_the_first_answer_again(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 9000).await;
        let key = |parameter: &str| Some(IdempotencyKey::new("k".into(), "order/rebuy", &[parameter]).into());
        let renew = async |key| {
            let renewed = statics::renew(&world.core, ann, StaticType::Dc, vec![id], key).await;
            renewed.map(|renewed| renewed.value)
        };
        let first = renew(key("a")).await.unwrap();
        world.clock.advance(HOUR);
        assert_eq!(renew(key("a")).await.unwrap(), first);
        assert_eq!(renew(key("b")).await, Err(Error::Conflict(Conflict::IdempotencyKeyReused)));
        assert_eq!(world.balance(ann).await, 6000);
        assert_eq!(world.only(ann).await.expires_at, first.lines[0].expires_at);
        world.audit().await;
    }

    async fn a_package_that_is_no_longer_sold_still_renews_at_its_price_of_the_day(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let ann = world.account("ann", 5000).await;
        let price = world.price(1, 30, 500).await;
        world.order(ann, price).await;
        let id = world.only(ann).await.id;
        world
            .change_price(
                price,
                PriceChange { on_sale: Some(false), price: Some(Cents::new(700)), ..Default::default() },
            )
            .await;
        assert_eq!(world.renew(ann, id).await.unwrap().amount, Cents::new(700));
        world.change_price(price, PriceChange { price: Some(Cents::ZERO), ..Default::default() }).await;
        assert_eq!(world.renew(ann, id).await.unwrap().amount, Cents::ZERO);
        assert_eq!(world.balance(ann).await, 3800);
        assert_eq!(world.only(ann).await.expires_at, world.now().plus(DAY * 90));
        world.audit().await;
    }

    async fn renewals_of_the_same_proxy_at_once_each_add_their_time(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 4 * 3000 + 2999).await;
        let racing: Vec<_> = (0..12)
            .map(|_| {
                let core = world.core.clone();
                tokio::spawn(async move { statics::renew(&core, ann, StaticType::Dc, vec![id], None).await })
            })
            .collect();
        let mut renewed = 0;
        for one in racing {
            match one.await.unwrap() {
                Ok(_) => renewed += 1,
                Err(error) => assert_eq!(error, Error::InsufficientFunds),
            }
        }
        assert_eq!((renewed, world.balance(ann).await), (4, 2999));
        assert_eq!(world.only(ann).await.expires_at, world.now().plus(DAY * 30 * 5));
        world.audit().await;
    }
}
