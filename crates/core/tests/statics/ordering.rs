//! The price list, and ordering from it.

use std::collections::BTreeSet;

use secrecy::ExposeSecret;
use tollgate_core::idempotency::IdempotencyKey;
use tollgate_core::statics::{self, OrderFilter, PriceChange, StaticFilter};
use tollgate_core::{Actor, Conflict, Error, Noun, Rule};
use tollgate_testkit::on_both_databases;
use tollgate_types::{Cents, StaticPriceId, StaticProtocol, StaticType};

use crate::{DAY, NOBODY, World, asking, invalid, new_price, page};

on_both_databases! {
    async fn an_order_is_charged_and_delivered_at_once(database) {
        let world = World::on(&database).await;
        world.stock(5, 3000).await;
        let ann = world.account("ann", 2000).await;
        let price = world.price_of(PriceChange { discount: Some(15), ..new_price(3, 30) }).await;
        let quote = statics::quote(&world.core, ann, asking(price)).await.unwrap();
        assert_eq!((quote.count, quote.period, quote.discount), (3, 30, 15));
        assert_eq!((quote.price.get(), quote.amount.get(), quote.balance.get()), (500, 1275, 2000));
        assert!(quote.in_stock);
        let ordered = world.order(ann, price).await;
        assert!(!ordered.pending && ordered.amount == quote.amount);
        assert!(
            ordered.order_no.len() == 12
                && ordered.order_no.bytes().all(|b| b"0123456789ABCDEF".contains(&b))
        );
        assert_eq!(world.balance(ann).await, 725);
        let proxies = world.list(ann).await;
        assert_eq!(proxies.len(), 3);
        assert_eq!(proxies.iter().map(|proxy| proxy.address.unwrap()).collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(proxies.iter().map(|proxy| &proxy.username).collect::<BTreeSet<_>>().len(), 3);
        for proxy in &proxies {
            assert_eq!(
                (proxy.state.as_str(), &proxy.order_no, proxy.request.as_deref()),
                ("live", &ordered.order_no, None)
            );
            assert_eq!((proxy.country.as_str(), proxy.protocol), ("us", StaticProtocol::Both));
            assert_eq!(proxy.expires_at, world.now().plus(DAY * 30));
            let entry = world.shown(proxy.id).await.unwrap();
            assert_eq!(
                (entry.account, entry.listen, entry.expires_at),
                (ann, proxy.address.unwrap(), proxy.expires_at)
            );
            assert_eq!(
                (entry.protocol, entry.exit_ip, &*entry.username),
                (proxy.protocol, proxy.exit_ip.unwrap(), &*proxy.username)
            );
            let key = world.core.directory().borrow().password_key.clone();
            assert!(
                entry.password == key.tag(proxy.password.expose_secret().as_bytes()),
                "what gateways compare"
            );
        }
        assert_eq!(world.stock_states().await, [2, 3, 0, 0]);
        let told = world.told(ann).await;
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].0.as_str(), &told[0].1["order_no"]),
            ("static.order_completed", &ordered.order_no.clone().into())
        );
        assert_eq!((&told[0].1["count"], &told[0].1["amount"]), (&3.into(), &1275.into()));
        world.audit().await;
    }

    async fn what_cannot_be_ordered_costs_nothing(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        world.stock_of(StaticType::Res, "de", 1, 3000 + 100).await;
        let ann = world.account("ann", 1000).await;
        let (one, three) = (world.price(1, 30, 500).await, world.price(3, 30, 100).await);
        let dear = world.price(1, 30, 1001).await;
        assert_eq!(world.try_order(ann, three).await, Err(Error::OutOfStock), "one short");
        assert_eq!(world.try_order(ann, dear).await, Err(Error::InsufficientFunds), "a cent short");
        let nowhere = Error::NotFound(Noun::StaticPrice);
        assert_eq!(world.try_order(ann, StaticPriceId::new(NOBODY)).await, Err(nowhere.clone()));
        let mut ask = asking(one);
        ask.static_type = StaticType::Res;
        ask.country = "de".into();
        let refused = statics::order(&world.core, ann, ask.clone(), None).await.unwrap_err();
        assert_eq!(
            invalid(refused),
            ("price_package_id", Rule::Reference),
            "a price package of another type"
        );
        for (country, rule) in [
            ("de", Rule::Reference),
            ("zz", Rule::Reference),
            ("u", Rule::Length { min: 2, max: 2 }),
            ("", Rule::Length { min: 2, max: 2 }),
            ("ü", Rule::Length { min: 2, max: 2 }),
        ] {
            let mut ask = asking(one);
            ask.country = country.into();
            assert_eq!(
                invalid(statics::quote(&world.core, ann, ask.clone()).await.unwrap_err()),
                ("country", rule),
                "{country}"
            );
            assert_eq!(
                invalid(statics::order(&world.core, ann, ask, None).await.unwrap_err()),
                ("country", rule),
                "{country}"
            );
        }
        world.change_price(one, PriceChange { on_sale: Some(false), ..Default::default() }).await;
        assert_eq!(world.try_order(ann, one).await, Err(nowhere.clone()), "no longer on sale");
        assert_eq!(statics::quote(&world.core, ann, asking(one)).await, Err(nowhere));
        assert!(!statics::quote(&world.core, ann, asking(three)).await.unwrap().in_stock);
        assert_eq!(world.balance(ann).await, 1000);
        assert_eq!(world.stock_states().await, [3, 0, 0, 0]);
        assert!(world.list(ann).await.is_empty() && world.told(ann).await.is_empty());
        let (orders, total) =
            statics::orders(&world.core, OrderFilter::default(), page(1, 10)).await.unwrap();
        assert!(orders.is_empty() && total == 0);
        world.audit().await;
    }

    async fn the_same_key_orders_once_and_gives_the_first_answer_again(database) {
        let world = World::on(&database).await;
        world.stock(3, 3000).await;
        let ann = world.account("ann", 3000).await;
        let price = world.price(1, 30, 500).await;
        let key = |parameter: &str| Some(IdempotencyKey::new("k".into(), "order/create", &[parameter]).into());
        let order = async |key| {
            statics::order(&world.core, ann, asking(price), key).await.map(|ordered| ordered.value)
        };
        let first = order(key("a")).await.unwrap();
        assert_eq!(order(key("a")).await.unwrap(), first);
        // Not even a price package that is gone from the list changes what was answered.
        world.change_price(price, PriceChange { on_sale: Some(false), ..Default::default() }).await;
        assert_eq!(order(key("a")).await.unwrap(), first);
        let reused = order(key("b")).await;
        assert_eq!(reused, Err(Error::Conflict(Conflict::IdempotencyKeyReused)));
        assert_eq!((world.balance(ann).await, world.list(ann).await.len()), (2500, 1));
        world.change_price(price, PriceChange { on_sale: Some(true), ..Default::default() }).await;
        world.clock.advance(DAY);
        assert_ne!(
            order(key("b")).await.unwrap(),
            first,
            "a day later"
        );
        world.audit().await;
    }

    async fn an_order_that_costs_nothing_is_an_order(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let ann = world.account("ann", 0).await;
        let free = world.price(2, 7, 0).await;
        let given = world.price_of(PriceChange { discount: Some(100), ..new_price(2, 7) }).await;
        assert_eq!(world.order(ann, free).await.amount, Cents::ZERO);
        assert_eq!(world.try_order(ann, given).await, Err(Error::OutOfStock));
        assert_eq!(world.list(ann).await.len(), 2);
        world.audit().await;
    }

    async fn the_price_list_is_checked_and_what_was_bought_by_it_stays(database) {
        let world = World::on(&database).await;
        let create = async |change| statics::create_price(&world.core, Actor::Operator, change).await;
        for (field, change) in [
            ("proxy_type", PriceChange { static_type: None, ..new_price(1, 1) }),
            ("count", PriceChange { count: None, ..new_price(1, 1) }),
            ("period", PriceChange { period: None, ..new_price(1, 1) }),
            ("price", PriceChange { price: None, ..new_price(1, 1) }),
        ] {
            assert_eq!(invalid(create(change).await.unwrap_err()), (field, Rule::Required));
        }
        for (field, change) in [
            ("count", new_price(0, 1)),
            ("count", new_price(1001, 1)),
            ("period", new_price(1, 0)),
            ("period", new_price(1, 3651)),
            ("price", PriceChange { price: Some(Cents::new(-1)), ..new_price(1, 1) }),
            ("price", PriceChange { price: Some(Cents::new(100_000_001)), ..new_price(1, 1) }),
            ("discount", PriceChange { discount: Some(101), ..new_price(1, 1) }),
            ("discount", PriceChange { discount: Some(-1), ..new_price(1, 1) }),
        ] {
            let (found, rule) = invalid(create(change).await.unwrap_err());
            assert!(found == field && matches!(rule, Rule::Range { .. }), "{field}: {found} {rule:?}");
        }
        let id = create(new_price(2, 30)).await.unwrap();
        let update = async |change| statics::update_price(&world.core, Actor::Operator, id, change).await;
        for (field, change) in [
            ("proxy_type", PriceChange { static_type: Some(StaticType::Res), ..Default::default() }),
            ("count", PriceChange { count: Some(3), ..Default::default() }),
            ("period", PriceChange { period: Some(31), ..Default::default() }),
        ] {
            assert_eq!(invalid(update(change).await.unwrap_err()), (field, Rule::Immutable));
        }
        update(PriceChange { discount: Some(5), back_orders: Some(true), ..new_price(2, 30) }).await.unwrap();
        let missing = statics::update_price(
            &world.core,
            Actor::Operator,
            StaticPriceId::new(NOBODY),
            PriceChange::default(),
        );
        assert_eq!(missing.await, Err(Error::NotFound(Noun::StaticPrice)));
        let other = create(PriceChange {
            static_type: Some(StaticType::Res),
            on_sale: Some(false),
            ..new_price(1, 1)
        })
        .await
        .unwrap();
        let (all, total) = statics::list_prices(&world.core, page(1, 10)).await.unwrap();
        assert_eq!((total, all.iter().map(|price| price.id).collect::<Vec<_>>()), (2, vec![other, id]));
        assert_eq!((all[1].discount, all[1].back_orders, all[1].count), (5, true, 2));
        assert_eq!(statics::order_amount(&all[1]).unwrap(), Cents::new(950));
        let visible = async |only| statics::visible_prices(&world.core, only).await.unwrap();
        assert_eq!(visible(None).await.iter().map(|price| price.id).collect::<Vec<_>>(), [id]);
        assert_eq!(visible(Some(StaticType::Dc)).await.len(), 1);
        assert!(visible(Some(StaticType::Res)).await.is_empty());
    }

    async fn orders_are_found_by_account_state_and_number(database) {
        let world = World::on(&database).await;
        world.stock(3, 3000).await;
        let (ann, ben) = (world.account("ann", 1000).await, world.account("ben", 1000).await);
        let price = world.price(1, 30, 100).await;
        let (first, second) = (world.order(ann, price).await, world.order(ben, price).await);
        let find = async |filter| {
            let (rows, total) = statics::orders(&world.core, filter, page(1, 10)).await.unwrap();
            assert_eq!(total, rows.len() as i64);
            rows.into_iter().map(|row| row.order_no).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(find(OrderFilter::default()).await, format!("{} {}", second.order_no, first.order_no));
        assert_eq!(find(OrderFilter { account: Some(ann), ..Default::default() }).await, first.order_no);
        assert_eq!(
            find(OrderFilter { order_no: Some(second.order_no.clone()), ..Default::default() }).await,
            second.order_no
        );
        assert!(find(OrderFilter { order_no: Some("\0".into()), ..Default::default() }).await.is_empty());
        assert!(find(OrderFilter { state: Some("pending".into()), ..Default::default() }).await.is_empty());
        let wrong = OrderFilter { state: Some("lost".into()), ..Default::default() };
        let refused = statics::orders(&world.core, wrong, page(1, 10)).await.unwrap_err();
        assert!(matches!(invalid(refused), ("state", Rule::OneOf(_))));
        let filter = StaticFilter { order_no: Some(first.order_no), ..Default::default() };
        assert_eq!(
            statics::list(&world.core, ben, filter, page(1, 10)).await.unwrap().1,
            0,
            "another's order"
        );
    }
}
