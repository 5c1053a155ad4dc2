//! The audit finds what nobody is going to do.

use tollgate_core::audit;
use tollgate_core::notices::{self, ChannelChange};
use tollgate_store::Sql;
use tollgate_testkit::on_both_databases;
use tollgate_types::Cents;

use crate::world::World;

async fn spoil(world: &World, statement: &'static str) -> String {
    let sql = Sql::new("spoil", statement);
    let spoilt: Result<u64, tollgate_store::Error> =
        world.core.db().write(move |tx| tx.execute(sql, &[])).await;
    assert_eq!(spoilt, Ok(1), "{statement}");
    let report = audit::run(&world.core).await.unwrap();
    assert_eq!(report.differences.len(), 1, "{:?}", report.differences);
    report.differences[0].what.clone()
}

on_both_databases! {
    async fn a_package_that_nothing_closes_is_found(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        world.buy(ann, offer).await;
        world.audit().await;
        let found = spoil(&world, "DELETE FROM jobs WHERE kind = 'package.expiry'").await;
        assert_eq!(found, "jobs that close package 1");
    }

    async fn a_notice_that_nobody_carries_is_found(database) {
        let world = World::new(database).await;
        let ann = world.account("ann", 1000).await;
        let offer = world.offer(2, 30).await;
        let target = Some("https://example.com/hook".to_owned());
        notices::set_webhook(&world.core, ann, ChannelChange { target, ..ChannelChange::default() }).await.unwrap();
        notices::set_low_balance(&world.core, ann, Cents::new(900)).await.unwrap();
        world.buy(ann, offer).await;
        assert_eq!(world.events(ann).await.len(), 1);
        world.audit().await;
        let found = spoil(&world, "DELETE FROM jobs WHERE kind = 'notice.delivery'").await;
        assert_eq!(found, "jobs that deliver what waits on channel 1:webhook");
    }
}
