//! Another address: asked for by the customer, or because the operator takes one out of service.

use tollgate_core::statics::{self, RequestFilter, RequestRow, StockChange};
use tollgate_core::{Actor, Conflict, Error, Noun, Rule, jobs};
use tollgate_testkit::on_both_databases;
use tollgate_types::{AccountId, StaticProxyId, StaticRequestId, StockId};

use crate::{DAY, HOUR, NOBODY, World, invalid, page};

async fn replace(world: &World, account: AccountId, id: StaticProxyId) -> Result<statics::Asked, Error> {
    statics::replace(&world.core, account, id, "blocked".into()).await
}

async fn requests(world: &World) -> Vec<RequestRow> {
    statics::requests(&world.core, RequestFilter::default(), page(1, 100)).await.unwrap().0
}

async fn states(world: &World) -> Vec<String> {
    requests(world).await.into_iter().map(|request| request.state).collect()
}

async fn set_service(world: &World, id: StockId, in_service: bool) -> Option<StaticRequestId> {
    let change = StockChange { in_service: Some(in_service), exit_ip: None };
    statics::update_stock(&world.core, Actor::Operator, id, change).await.unwrap()
}

async fn port(world: &World, account: AccountId) -> u16 {
    world.only(account).await.address.unwrap().port()
}

on_both_databases! {
    async fn a_customer_gets_another_address_once_a_day_by_itself(database) {
        let world = World::on(&database).await;
        let ids = world.stock(4, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let before = world.only(ann).await;
        let asked = replace(&world, ann, id).await.unwrap();
        assert!(!asked.waits_for_operator);
        assert_eq!(world.only(ann).await.request.as_deref(), Some("replace"), "changing until it is done");
        assert_eq!(replace(&world, ann, id).await, Err(Error::Conflict(Conflict::OpenRequest)));
        world.work().await;
        let after = world.only(ann).await;
        assert_eq!(
            (after.id, after.expires_at, &after.username),
            (id, before.expires_at, &before.username),
            "all the rest stays"
        );
        assert_eq!((after.address.unwrap().port(), after.request), (3001, None));
        assert_eq!(world.shown(id).await.unwrap().listen.port(), 3001);
        let old = world.item(ids[0]).await;
        assert_eq!(
            (old.state.as_str(), old.holder, old.release_at),
            ("grace", None, Some(world.now().plus(DAY * 3)))
        );
        let done = requests(&world).await.remove(0);
        assert_eq!((done.id, done.state.as_str(), done.reason.as_str()), (asked.request, "done", "blocked"));
        assert_eq!(
            (done.old_address.as_str(), done.new_address.as_str()),
            ("192.0.2.7:3000", "192.0.2.7:3001")
        );
        let (kind, told) = world.told(ann).await.pop().unwrap();
        assert_eq!(
            (kind.as_str(), &told["old_port"], &told["proxy_port"]),
            ("static.replaced", &"3000".into(), &"3001".into())
        );
        world.audit().await;
        world.pass(DAY - HOUR).await;
        let second = replace(&world, ann, id).await.unwrap();
        assert!(second.waits_for_operator, "within a day the operator decides");
        world.work().await;
        assert_eq!((port(&world, ann).await, states(&world).await[0].as_str()), (3001, "asked"));
        statics::approve(&world.core, Actor::Operator, second.request, "fine".into()).await.unwrap();
        world.work().await;
        assert_eq!((port(&world, ann).await, requests(&world).await[0].note.as_str()), (3002, "fine"));
        world.pass(DAY).await;
        assert!(!replace(&world, ann, id).await.unwrap().waits_for_operator, "a day later");
        world.work().await;
        assert_eq!(world.stock_states().await, [0, 1, 3, 0]);
        world.audit().await;
        world.pass(DAY * 4).await;
        assert_eq!(world.stock_states().await, [3, 1, 0, 0], "what has rested is free");
        world.audit().await;
    }

    async fn what_cannot_be_replaced_says_so_at_once(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        world.stock_of(tollgate_types::StaticType::Dc, "de", 1, 4000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let ben = world.account("ben", 0).await;
        assert_eq!(replace(&world, ann, id).await, Err(Error::OutOfStock), "none in that country");
        world.stock(1, 5000).await;
        assert_eq!(replace(&world, ben, id).await, Err(Error::NotFound(Noun::StaticProxy)));
        assert_eq!(
            replace(&world, ann, StaticProxyId::new(NOBODY)).await,
            Err(Error::NotFound(Noun::StaticProxy))
        );
        for (reason, rule) in [("", Rule::Length { min: 1, max: 255 }), ("a\nb", Rule::Characters)] {
            let refused = statics::replace(&world.core, ann, id, reason.into()).await.unwrap_err();
            assert_eq!(invalid(refused), ("reason", rule));
        }
        world.pass(DAY * 31).await;
        assert_eq!(replace(&world, ann, id).await, Err(Error::Conflict(Conflict::Expired)));
        assert!(requests(&world).await.is_empty());
        world.audit().await;
    }

    async fn a_refused_or_withdrawn_request_changes_nothing(database) {
        let world = World::on(&database).await;
        world.stock(3, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        replace(&world, ann, id).await.unwrap();
        world.work().await;
        let asked = replace(&world, ann, id).await.unwrap();
        let refuse =
            async |request| statics::refuse(&world.core, Actor::Operator, request, "enough".into()).await;
        refuse(asked.request).await.unwrap();
        assert_eq!(refuse(asked.request).await, Err(Error::Conflict(Conflict::RequestDecided)));
        let approved = statics::approve(&world.core, Actor::Operator, asked.request, String::new()).await;
        assert_eq!(approved, Err(Error::Conflict(Conflict::RequestDecided)));
        assert_eq!(refuse(StaticRequestId::new(NOBODY)).await, Err(Error::NotFound(Noun::StaticRequest)));
        assert!(replace(&world, ann, id).await.unwrap().waits_for_operator);
        statics::withdraw(&world.core, ann, id).await.unwrap();
        let nothing = Err(Error::NotFound(Noun::StaticRequest));
        assert_eq!(statics::withdraw(&world.core, ann, id).await, nothing);
        assert_eq!(states(&world).await, ["dropped", "refused", "done"]);
        world.work().await;
        assert_eq!(port(&world, ann).await, 3001);
        let filter =
            RequestFilter { state: Some("refused".into()), account: Some(ann), kind: Some("replace".into()) };
        assert_eq!(statics::requests(&world.core, filter, page(1, 10)).await.unwrap().1, 1);
        for (field, filter) in [
            ("state", RequestFilter { state: Some("lost".into()), ..Default::default() }),
            ("kind", RequestFilter { kind: Some("repair".into()), ..Default::default() }),
        ] {
            assert_eq!(
                invalid(statics::requests(&world.core, filter, page(1, 10)).await.unwrap_err()).0,
                field
            );
        }
        world.audit().await;
    }

    async fn one_that_is_under_way_can_be_withdrawn_before_it_is_done(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        replace(&world, ann, id).await.unwrap();
        statics::withdraw(&world.core, ann, id).await.unwrap();
        world.work().await;
        assert_eq!(port(&world, ann).await, 3000);
        assert!(!replace(&world, ann, id).await.unwrap().waits_for_operator, "none was given yet");
        world.work().await;
        assert_eq!(port(&world, ann).await, 3001);
        world.audit().await;
    }

    async fn an_address_out_of_service_is_served_until_there_is_another(database) {
        let world = World::on(&database).await;
        let ids = world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let request = set_service(&world, ids[0], false).await.unwrap();
        assert_eq!(set_service(&world, ids[0], false).await, Some(request), "again, the same follows");
        world.work().await;
        assert_eq!((world.item(ids[0]).await.state.as_str(), port(&world, ann).await), ("disabled", 3000));
        assert!(world.shown(id).await.is_some(), "still served");
        assert_eq!(world.only(ann).await.request.as_deref(), Some("replace"));
        world.audit().await;
        // None is free: it looks again, at growing rests of at most an hour.
        let (left, _) = jobs::admin::list(&world.core, None, page(1, 10)).await.unwrap();
        let due = left.iter().find(|job| job.kind == "static.replacement").unwrap().run_at;
        assert_eq!(due, world.now().plus(HOUR / 12));
        world.pass(HOUR * 5).await;
        let (left, _) = jobs::admin::list(&world.core, None, page(1, 10)).await.unwrap();
        let due = left.iter().find(|job| job.kind == "static.replacement").unwrap().run_at;
        assert!(due > world.now() && due <= world.now().plus(HOUR), "{due:?}");
        world.stock(1, 4000).await;
        world.pass(HOUR).await;
        assert_eq!((port(&world, ann).await, states(&world).await), (4000, vec!["done".to_owned()]));
        let old = world.item(ids[0]).await;
        assert_eq!((old.state.as_str(), old.holder), ("disabled", None), "it stays out of service");
        assert_eq!(world.told_kinds(ann).await, ["static.replaced"]);
        world.audit().await;
        assert!(
            !replace(&world, ann, id).await.is_ok_and(|asked| asked.waits_for_operator),
            "it was not the customer's"
        );
        world.pass(DAY * 9).await;
        assert_eq!(world.item(ids[0]).await.state, "disabled");
        world.audit().await;
    }

    async fn an_address_that_is_back_in_service_stays_where_it_was(database) {
        let world = World::on(&database).await;
        let ids = world.stock(1, 3000).await;
        let (ann, _) = world.customer("ann", 0).await;
        set_service(&world, ids[0], false).await.unwrap();
        world.work().await;
        assert_eq!(set_service(&world, ids[0], true).await, None);
        world.stock(1, 4000).await;
        world.pass(DAY).await;
        assert_eq!((port(&world, ann).await, states(&world).await), (3000, vec!["dropped".to_owned()]));
        assert_eq!(world.stock_states().await, [1, 1, 0, 0]);
        world.audit().await;
    }

    async fn a_customers_own_request_needs_no_approval_once_the_address_is_out_of_service(database) {
        let world = World::on(&database).await;
        let ids = world.stock(3, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        replace(&world, ann, id).await.unwrap();
        world.work().await;
        let asked = replace(&world, ann, id).await.unwrap();
        assert!(asked.waits_for_operator);
        assert_eq!(set_service(&world, ids[1], false).await, Some(asked.request));
        world.work().await;
        assert_eq!(port(&world, ann).await, 3002);
        world.audit().await;
    }

    async fn a_proxy_that_is_given_back_is_replaced_only_if_it_is_kept_after_all(database) {
        let world = World::on(&database).await;
        let ids = world.stock(3, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let (ben, others) = world.customer("ben", 0).await;
        let (first, _) = statics::refund(&world.core, ann, id, "no need".into()).await.unwrap();
        statics::refund(&world.core, ben, others, "no need".into()).await.unwrap();
        assert_eq!(set_service(&world, ids[0], false).await, None, "that is decided first");
        assert_eq!(set_service(&world, ids[1], false).await, None);
        world.work().await;
        assert_eq!((port(&world, ann).await, port(&world, ben).await), (3000, 3001));
        statics::refuse(&world.core, Actor::Operator, first, String::new()).await.unwrap();
        world.work().await;
        assert_eq!(port(&world, ann).await, 3002);
        statics::withdraw(&world.core, ben, others).await.unwrap();
        world.work().await;
        assert_eq!(port(&world, ben).await, 3001, "none is left");
        world.audit().await;
        world.stock(1, 4000).await;
        world.pass(HOUR).await;
        assert_eq!(port(&world, ben).await, 4000);
        world.audit().await;
    }

    async fn a_proxy_that_expires_first_is_replaced_only_if_it_is_renewed(database) {
        let world = World::on(&database).await;
        let ids = world.stock(2, 3000).await;
        let (ann, id) = world.customer("ann", 3000).await;
        let (ben, _) = world.customer("ben", 3000).await;
        for stock in ids {
            set_service(&world, stock, false).await.unwrap();
        }
        world.pass(DAY * 31).await;
        world.stock(2, 4000).await;
        world.pass(HOUR * 2).await;
        assert_eq!((world.only(ann).await.state.as_str(), port(&world, ann).await), ("grace", 3000));
        assert!(world.shown(id).await.is_some());
        world.audit().await;
        world.renew(ann, id).await.unwrap();
        world.work().await;
        assert_eq!(port(&world, ann).await, 4000);
        world.pass(DAY * 3).await;
        assert!(world.list(ben).await.is_empty());
        assert_eq!(world.stock_states().await, [1, 1, 0, 2]);
        assert_eq!(states(&world).await, ["dropped", "done"]);
        world.audit().await;
    }

    async fn an_address_goes_out_of_service_while_its_proxy_is_in_grace_and_comes_back(database) {
        let world = World::on(&database).await;
        let ids = world.stock(1, 3000).await;
        let (ann, _) = world.customer("ann", 0).await;
        world.pass(DAY * 31).await;
        let release_at = world.item(ids[0]).await.release_at;
        set_service(&world, ids[0], false).await.unwrap();
        world.audit().await;
        set_service(&world, ids[0], true).await;
        let item = world.item(ids[0]).await;
        assert_eq!((item.state.as_str(), item.release_at), ("grace", release_at));
        world.pass(DAY * 2).await;
        assert!(world.list(ann).await.is_empty());
        assert_eq!(world.stock_states().await, [1, 0, 0, 0]);
        world.audit().await;
    }

    async fn an_address_that_rests_alone_can_go_out_of_service(database) {
        let world = World::on(&database).await;
        let ids = world.stock(2, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        replace(&world, ann, id).await.unwrap();
        world.work().await;
        assert_eq!(set_service(&world, ids[0], false).await, None);
        world.pass(DAY * 9).await;
        assert_eq!(world.item(ids[0]).await.state, "disabled", "nothing sets it free");
        set_service(&world, ids[0], true).await;
        assert_eq!(world.item(ids[0]).await.state, "free");
        world.audit().await;
    }
}
