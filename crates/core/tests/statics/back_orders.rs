//! Back-orders: ordered while stock is short, delivered or cancelled by the operator.

use tollgate_core::statics::{self, OrderFilter, PriceChange};
use tollgate_core::{Actor, Conflict, Error, Noun, Rule, audit_log};
use tollgate_testkit::on_both_databases;
use tollgate_types::{Cents, StaticOrderId, StaticPriceId, StaticType, StockId};

use crate::{DAY, NOBODY, World, invalid, new_price, page};

/// A price package of two addresses that may be delivered later.
async fn later(world: &World) -> StaticPriceId {
    let price = Some(Cents::new(501));
    world
        .price_of(PriceChange { back_orders: Some(true), price, discount: Some(50), ..new_price(2, 30) })
        .await
}

async fn fulfil(world: &World, order: StaticOrderId, stock: Vec<StockId>) -> Result<(), Error> {
    statics::fulfil(&world.core, Actor::Operator, order, stock).await
}

on_both_databases! {
    async fn a_back_order_is_charged_waits_and_begins_when_it_is_delivered(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let ann = world.account("ann", 1000).await;
        let price = later(&world).await;
        assert!(!statics::quote(&world.core, ann, crate::asking(price)).await.unwrap().in_stock);
        let ordered = world.order(ann, price).await;
        assert_eq!((ordered.pending, ordered.amount.get(), world.balance(ann).await), (true, 501, 499));
        let proxies = world.list(ann).await;
        assert_eq!(proxies.len(), 2);
        for proxy in &proxies {
            assert_eq!((proxy.state.as_str(), proxy.address, proxy.exit_ip), ("pending", None, None));
            assert_eq!(proxy.expires_at, world.now().plus(DAY * 30));
            assert!(world.shown(proxy.id).await.is_none());
            let undelivered = Error::Conflict(Conflict::Undelivered);
            assert_eq!(world.renew(ann, proxy.id).await, Err(undelivered.clone()));
            assert_eq!(
                statics::replace(&world.core, ann, proxy.id, "slow".into()).await,
                Err(undelivered.clone())
            );
            assert_eq!(statics::refund(&world.core, ann, proxy.id, "slow".into()).await, Err(undelivered));
        }
        assert_eq!(world.stock_states().await, [1, 0, 0, 0], "nothing is held");
        world.audit().await;
        world.pass(DAY * 40).await;
        assert_eq!(world.list(ann).await[0].state, "pending", "time has not begun");
        assert_eq!(fulfil(&world, ordered.order, vec![]).await, Err(Error::OutOfStock));
        assert!(world.told(ann).await.is_empty());
        world.stock(3, 4000).await;
        fulfil(&world, ordered.order, vec![]).await.unwrap();
        for proxy in world.list(ann).await {
            assert_eq!((proxy.state.as_str(), proxy.expires_at), ("live", world.now().plus(DAY * 30)));
            assert_eq!(world.shown(proxy.id).await.unwrap().listen, proxy.address.unwrap());
        }
        assert_eq!(world.told(ann).await[0].0, "static.order_completed");
        assert_eq!(fulfil(&world, ordered.order, vec![]).await, Err(Error::Conflict(Conflict::OrderDecided)));
        let cancelled = statics::cancel(&world.core, Actor::Operator, ordered.order, String::new()).await;
        assert_eq!(cancelled, Err(Error::Conflict(Conflict::OrderDecided)));
        world.audit().await;
        world.pass(DAY * 33).await;
        assert!(world.list(ann).await.is_empty(), "it ends like any other");
        assert_eq!(world.stock_states().await, [4, 0, 0, 0]);
        world.audit().await;
    }

    async fn a_back_order_is_delivered_from_what_the_operator_names(database) {
        let world = World::on(&database).await;
        let first = world.stock(1, 3000).await;
        let elsewhere = world.stock_of(StaticType::Dc, "de", 2, 4000).await;
        let of_another_type = world.stock_of(StaticType::Res, "us", 1, 5000).await;
        let ann = world.account("ann", 1000).await;
        let price = later(&world).await;
        let order = world.order(ann, price).await.order;
        let more = world.stock(3, 6000).await;
        let two = Rule::Count { min: 2, max: 2 };
        assert_eq!(invalid(fulfil(&world, order, vec![first[0]]).await.unwrap_err()), ("stock_ids", two));
        let doubled = fulfil(&world, order, vec![first[0], first[0]]).await;
        assert_eq!(invalid(doubled.unwrap_err()), ("stock_ids", Rule::Doubled));
        for wrong in [elsewhere[0], of_another_type[0], StockId::new(NOBODY)] {
            let refused = fulfil(&world, order, vec![more[0], wrong]).await;
            assert_eq!(invalid(refused.unwrap_err()), ("stock_ids", Rule::Reference), "{wrong:?}");
        }
        assert_eq!(
            fulfil(&world, StaticOrderId::new(NOBODY), vec![]).await,
            Err(Error::NotFound(Noun::StaticOrder))
        );
        fulfil(&world, order, vec![more[2], more[0]]).await.unwrap();
        let mut ports: Vec<_> =
            world.list(ann).await.iter().map(|proxy| proxy.address.unwrap().port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [6000, 6002]);
        let (log, _) = audit_log::list(&world.core, Some(ann), page(1, 10)).await.unwrap();
        assert_eq!(log[0].action, "static_order.fulfilled");
        world.audit().await;
    }

    async fn a_cancelled_back_order_is_paid_back_in_full(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let ann = world.account("ann", 1000).await;
        let price = later(&world).await;
        let order = world.order(ann, price).await.order;
        let long = "x".repeat(256);
        assert_eq!(
            invalid(statics::cancel(&world.core, Actor::Operator, order, long).await.unwrap_err()).0,
            "note"
        );
        let back =
            statics::cancel(&world.core, Actor::Operator, order, "none to be had".into()).await.unwrap();
        assert_eq!((back.get(), world.balance(ann).await), (501, 1000));
        assert!(world.list(ann).await.is_empty());
        let (kind, told) = world.told(ann).await.pop().unwrap();
        assert_eq!((kind.as_str(), &told["amount"]), ("static.refunded", &501.into()));
        let again = statics::cancel(&world.core, Actor::Operator, order, String::new()).await;
        assert_eq!(again, Err(Error::Conflict(Conflict::OrderDecided)));
        let filter = OrderFilter { state: Some("cancelled".into()), ..Default::default() };
        assert_eq!(statics::orders(&world.core, filter, page(1, 10)).await.unwrap().1, 1);
        world.audit().await;
        world.pass(DAY * 40).await;
        world.audit().await;
    }

    async fn what_is_in_stock_is_delivered_at_once_whatever_the_package_allows(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let ann = world.account("ann", 1000).await;
        let price = later(&world).await;
        assert!(!world.order(ann, price).await.pending);
        world.audit().await;
    }

    async fn delivering_and_cancelling_at_once_does_one_of_them(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let ann = world.account("ann", 1000).await;
        let price = later(&world).await;
        let order = world.order(ann, price).await.order;
        world.stock(2, 4000).await;
        let racing: Vec<_> = (0..8)
            .map(|n| {
                let core = world.core.clone();
                tokio::spawn(async move {
                    match n % 2 {
                        0 => statics::fulfil(&core, Actor::Operator, order, vec![]).await,
                        _ => statics::cancel(&core, Actor::Operator, order, String::new()).await.map(drop),
                    }
                })
            })
            .collect();
        let mut done = 0;
        for one in racing {
            match one.await.unwrap() {
                Ok(()) => done += 1,
                Err(error) => assert_eq!(error, Error::Conflict(Conflict::OrderDecided)),
            }
        }
        assert_eq!(done, 1);
        let delivered = world.list(ann).await.len();
        assert_eq!(world.balance(ann).await, if delivered == 2 { 499 } else { 1000 });
        world.audit().await;
    }
}
