//! Giving proxies back.

use tollgate_core::statics::{self, RequestFilter};
use tollgate_core::{Actor, Conflict, Error, Noun, audit_log, overview, wallets};
use tollgate_testkit::on_both_databases;
use tollgate_types::{AccountId, Cents, StaticProxyId, StaticRequestId};

use crate::{DAY, HOUR, World, page};

async fn ask(
    world: &World,
    account: AccountId,
    id: StaticProxyId,
) -> Result<(StaticRequestId, Cents), Error> {
    statics::refund(&world.core, account, id, "no need".into()).await
}

async fn approve(world: &World, request: StaticRequestId) -> Result<Cents, Error> {
    statics::approve(&world.core, Actor::Operator, request, "ok".into()).await
}

on_both_databases! {
    async fn whole_unused_days_of_every_term_come_back(database) {
        let world = World::on(&database).await;
        let ids = world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 6001).await;
        world.renew(ann, id).await.unwrap();
        world.pass(DAY * 10 + HOUR).await;
        let (request, now) = ask(&world, ann, id).await.unwrap();
        assert_eq!(now.get(), 1900 + 3000, "19 whole days of the first term, and the second");
        assert_eq!(world.only(ann).await.request.as_deref(), Some("refund"));
        assert!(world.shown(id).await.is_some(), "it goes on working");
        let open = Err(Error::Conflict(Conflict::OpenRequest));
        assert_eq!(world.renew(ann, id).await.map(drop), open);
        assert_eq!(ask(&world, ann, id).await.map(drop), open);
        assert_eq!(statics::replace(&world.core, ann, id, "x".into()).await.map(drop), open);
        world.pass(DAY).await;
        let back = approve(&world, request).await.unwrap();
        assert_eq!(back.get(), 4800, "as of the day of the decision");
        assert_eq!(world.balance(ann).await, 3001 + 4800);
        assert!(world.list(ann).await.is_empty() && world.shown(id).await.is_none());
        let item = world.item(ids[0]).await;
        assert_eq!(
            (item.state.as_str(), item.holder, item.release_at),
            ("grace", None, Some(world.now().plus(DAY * 3)))
        );
        let (kind, told) = world.told(ann).await.pop().unwrap();
        assert_eq!(
            (kind.as_str(), &told["amount"], &told["proxy_port"]),
            ("static.refunded", &4800.into(), &"3000".into())
        );
        let (rows, _) = statics::requests(&world.core, RequestFilter::default(), page(1, 10)).await.unwrap();
        assert_eq!((rows[0].state.as_str(), rows[0].amount, rows[0].note.as_str()), ("done", back, "ok"));
        assert_eq!(approve(&world, request).await, Err(Error::Conflict(Conflict::RequestDecided)));
        assert_eq!(ask(&world, ann, id).await.map(drop), Err(Error::NotFound(Noun::StaticProxy)));
        let wallet = wallets::read(&world.core, ann).await.unwrap();
        assert_eq!(
            (wallet.total_recharge.get(), wallet.total_consume.get()),
            (9001 + 4800, 6000),
            "totals never decrease"
        );
        let (lines, _) = wallets::ledger(&world.core, ann, page(1, 1)).await.unwrap();
        assert_eq!((lines[0].kind.as_str(), lines[0].amount.get()), ("static_refunded", 4800));
        assert_eq!(overview::read(&world.core).await.unwrap().money_in, Cents::new(9001), "no money came in");
        let (log, _) = audit_log::list(&world.core, Some(ann), page(1, 1)).await.unwrap();
        assert_eq!(log[0].action, "static_request.approved");
        world.audit().await;
        world.pass(DAY * 3).await;
        assert_eq!(world.stock_states().await, [1, 0, 0, 0]);
        world.pass(DAY * 90).await;
        assert_eq!(world.told_kinds(ann).await, ["static.refunded"], "nothing is left to happen");
        world.audit().await;
    }

    async fn shares_that_do_not_divide_are_rounded_down(database) {
        let world = World::on(&database).await;
        world.stock(3, 3000).await;
        let ann = world.account("ann", 1000).await;
        let price = world
            .price_of(statics::PriceChange {
                price: Some(Cents::new(67)),
                discount: Some(50),
                ..crate::new_price(3, 7)
            })
            .await;
        assert_eq!(world.order(ann, price).await.amount.get(), 101, "100.5");
        // 34 + 34 + 33; two of seven days have begun.
        world.pass(DAY + HOUR).await;
        let mut back = Vec::new();
        for proxy in world.list(ann).await {
            let (request, _) = ask(&world, ann, proxy.id).await.unwrap();
            back.push(approve(&world, request).await.unwrap().get());
            world.audit().await;
        }
        assert_eq!(back, [33 * 5 / 7, 34 * 5 / 7, 34 * 5 / 7]);
        assert_eq!(world.balance(ann).await, 1000 - 101 + 23 + 24 + 24);
    }

    async fn a_request_that_nobody_decides_ends_with_the_proxy(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let (request, now) = ask(&world, ann, id).await.unwrap();
        assert_eq!(now.get(), 3000, "not a moment was used");
        world.pass(DAY * 31).await;
        assert_eq!(world.only(ann).await.state, "grace");
        world.audit().await;
        world.pass(DAY * 3).await;
        assert_eq!(approve(&world, request).await, Err(Error::Conflict(Conflict::RequestDecided)));
        assert_eq!(world.balance(ann).await, 0);
        world.audit().await;
    }

    async fn one_that_is_approved_after_the_expiry_pays_nothing_and_ends_the_proxy(database) {
        let world = World::on(&database).await;
        let ids = world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let (request, _) = ask(&world, ann, id).await.unwrap();
        world.pass(DAY * 31).await;
        let release_at = world.item(ids[0]).await.release_at;
        assert_eq!(approve(&world, request).await, Ok(Cents::ZERO));
        assert!(world.list(ann).await.is_empty());
        assert_eq!(world.item(ids[0]).await.release_at, release_at, "it rests as long as it would have");
        world.audit().await;
        world.pass(DAY * 3).await;
        assert_eq!(world.stock_states().await, [1, 0, 0, 0]);
        world.audit().await;
    }

    async fn an_address_out_of_service_stays_so_when_its_proxy_is_given_back(database) {
        let world = World::on(&database).await;
        let ids = world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let (request, _) = ask(&world, ann, id).await.unwrap();
        let change = statics::StockChange { in_service: Some(false), exit_ip: None };
        statics::update_stock(&world.core, Actor::Operator, ids[0], change).await.unwrap();
        approve(&world, request).await.unwrap();
        world.pass(DAY * 9).await;
        let item = world.item(ids[0]).await;
        assert_eq!((item.state.as_str(), item.holder), ("disabled", None));
        world.audit().await;
    }

    async fn a_proxy_can_be_given_back_whose_address_went_out_of_service_and_has_no_other(database) {
        let world = World::on(&database).await;
        let ids = world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let change = statics::StockChange { in_service: Some(false), exit_ip: None };
        statics::update_stock(&world.core, Actor::Operator, ids[0], change).await.unwrap();
        world.work().await;
        let (first, _) = ask(&world, ann, id).await.unwrap();
        world.audit().await;
        // Nothing comes of it: the other address is looked for again.
        statics::refuse(&world.core, Actor::Operator, first, String::new()).await.unwrap();
        world.audit().await;
        assert_eq!(world.only(ann).await.request.as_deref(), Some("replace"));
        let (second, _) = ask(&world, ann, id).await.unwrap();
        assert_eq!(approve(&world, second).await, Ok(Cents::new(3000)));
        world.work().await;
        assert_eq!(world.stock_states().await, [0, 0, 0, 1]);
        world.audit().await;
    }

    async fn what_cannot_be_given_back_says_so(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let ben = world.account("ben", 0).await;
        assert_eq!(ask(&world, ben, id).await.map(drop), Err(Error::NotFound(Noun::StaticProxy)));
        assert!(matches!(
            statics::refund(&world.core, ann, id, String::new()).await,
            Err(Error::Invalid { field: "reason", .. })
        ));
        let long =
            statics::approve(&world.core, Actor::Operator, StaticRequestId::new(1), "x".repeat(256)).await;
        assert!(matches!(long, Err(Error::Invalid { field: "note", .. })));
        assert_eq!(approve(&world, StaticRequestId::new(1)).await, Err(Error::NotFound(Noun::StaticRequest)));
        world.pass(DAY * 31).await;
        assert_eq!(ask(&world, ann, id).await.map(drop), Err(Error::Conflict(Conflict::Expired)));
        world.audit().await;
    }

    async fn approving_withdrawing_and_renewing_at_once_does_what_can_be_done_in_some_order(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        let (request, _) = ask(&world, ann, id).await.unwrap();
        world.clock.advance(DAY * 15);
        let racing: Vec<_> = (0..9)
            .map(|n| {
                let core = world.core.clone();
                tokio::spawn(async move {
                    let kind = tollgate_types::StaticType::Dc;
                    let done = match n % 3 {
                        0 => statics::approve(&core, Actor::Operator, request, String::new()).await.is_ok(),
                        1 => statics::renew(&core, ann, kind, vec![id], None).await.is_ok(),
                        _ => statics::withdraw(&core, ann, id).await.is_ok(),
                    };
                    (n % 3, done)
                })
            })
            .collect();
        let mut done = [0; 3];
        for one in racing {
            let (what, worked) = one.await.unwrap();
            done[what] += i64::from(worked);
        }
        let [approved, renewed, withdrawn] = done;
        assert_eq!(approved + withdrawn, 1, "one of them decided it");
        assert!(renewed <= withdrawn, "what is given back is not renewed");
        assert_eq!(world.balance(ann).await, 3000 + 1500 * approved - 3000 * renewed);
        assert_eq!(world.list(ann).await.len() as i64, withdrawn);
        world.audit().await;
    }
}
