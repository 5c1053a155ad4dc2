//! The audit finds what is not as the records say.

use tollgate_core::statics::{self, PriceChange};
use tollgate_core::{Actor, audit};
use tollgate_testkit::{TestDb, on_both_databases};

use crate::{World, new_price};

/// A platform where there is one of everything that the audit looks at.
async fn one_of_everything(database: &TestDb) -> World {
    let world = World::on(database).await;
    world.stock(6, 3000).await;
    let (ann, id) = world.customer("ann", 9000).await;
    world.renew(ann, id).await.unwrap();
    statics::replace(&world.core, ann, id, "blocked".into()).await.unwrap();
    world.work().await;
    let (ben, others) = world.customer("ben", 9000).await;
    let (request, _) = statics::refund(&world.core, ben, others, "no need".into()).await.unwrap();
    statics::approve(&world.core, Actor::Operator, request, String::new()).await.unwrap();
    let later = world.price_of(PriceChange { back_orders: Some(true), ..new_price(9, 30) }).await;
    assert!(world.order(ann, later).await.pending);
    world.audit().await;
    world
}

on_both_databases! {
    async fn whatever_is_changed_behind_everybodys_back_is_found(database) {
        let changes = [
            (
                "UPDATE static_terms SET amount = amount + 1 WHERE order_id = 1",
                "terms sold by revenue:static:dc to account 1",
            ),
            ("UPDATE static_terms SET amount = amount + 1 WHERE order_id = 1", "amount of order"),
            (
                "UPDATE static_terms SET refunded = refunded - 1 WHERE refunded > 0",
                "terms given back by revenue:static:dc to account 2",
            ),
            ("UPDATE static_orders SET amount = amount + 1 WHERE id = 1", "amount of order"),
            ("UPDATE static_orders SET count = count + 1 WHERE id = 1", "count of order"),
            ("UPDATE static_orders SET count = count + 1 WHERE id = 1", "proxies of order"),
            (
                "UPDATE static_orders SET state = 'completed' WHERE state = 'pending'",
                "undelivered proxies of order",
            ),
            (
                "UPDATE static_proxies SET expires_at = expires_at + 1 WHERE id = 1",
                "expiry of static proxy 1",
            ),
            ("UPDATE static_terms SET ends_at = ends_at + 1 WHERE proxy_id = 1", "not of its period"),
            (
                "UPDATE static_terms SET starts_at = starts_at - 1 WHERE proxy_id = 1",
                "terms of static proxy 1 that overlap",
            ),
            ("DELETE FROM static_terms WHERE order_id = 2", "expiry of static proxy 1"),
            ("UPDATE stock_items SET state = 'free' WHERE state = 'leased'", "is rightly free"),
            ("UPDATE stock_items SET state = 'leased' WHERE state = 'free'", "is rightly leased"),
            ("UPDATE static_proxies SET stock_id = NULL, state = 'ended' WHERE id = 1", "is rightly leased"),
            ("UPDATE static_proxies SET static_type = 'res' WHERE id = 1", "is rightly leased"),
            ("DELETE FROM jobs WHERE kind = 'static.expiry'", "jobs that end static proxy 1"),
            (
                "UPDATE jobs SET run_at = run_at + 1 WHERE kind = 'static.expiry'",
                "jobs that end static proxy 1",
            ),
            (
                "UPDATE stock_items SET state = 'disabled' WHERE state = 'leased'",
                "requests for another address of static proxy 1",
            ),
            ("UPDATE static_orders SET state = 'cancelled' WHERE id = 1", "given back of cancelled order"),
            ("UPDATE static_orders SET state = 'cancelled' WHERE id = 1", "ended proxies of cancelled order"),
            (
                "UPDATE static_requests SET amount = amount + 1 WHERE kind = 'refund'",
                "given back by requests about static proxy 2",
            ),
            ("DELETE FROM jobs WHERE kind = 'stock.release'", "jobs that set stock item 1 free"),
            (
                "UPDATE static_requests SET state = 'going' WHERE kind = 'replace'",
                "jobs that do replacement 1",
            ),
            ("UPDATE static_requests SET state = 'asked' WHERE kind = 'refund'", "open requests 2"),
            (
                "UPDATE postings SET amount = amount * 2 WHERE entry_id = (SELECT MIN(id) FROM entries WHERE kind = 'static_refunded')",
                "terms given back",
            ),
            ("UPDATE entries SET kind = 'static_refunded' WHERE kind = 'static_renewed'", "terms sold by"),
        ];
        for (change, found) in changes {
            // A database of its own for each: what one change hides, another must not.
            let another =
                if database.engine() == "sqlite" { Some(TestDb::sqlite()) } else { TestDb::postgres() };
            let another = another.unwrap();
            let world = one_of_everything(&another).await;
            world.spoil(change).await;
            let report = audit::run(&world.core).await.unwrap();
            let differences: Vec<_> = report.differences.iter().map(ToString::to_string).collect();
            assert!(differences.iter().any(|line| line.contains(found)), "{change}: {differences:#?}");
            world.core.db().close().await;
        }
    }
}
