//! A platform that ran before there were jobs: what it had sold goes on by itself.

use tollgate_core::packages::StrategyChange;
use tollgate_core::{audit, chain, jobs};
use tollgate_store::Sql;
use tollgate_testkit::on_both_databases;

use crate::world::{DAY, GB, World};

/// Takes away all that later migrations add, last first: what is left is what migration 1 makes.
const BACK_TO_THE_FIRST: &[Sql] = &[
    Sql::new("back", "DROP TABLE entry_chain"),
    Sql::new("back", "DROP INDEX entries_to_chain"),
    Sql::new("back", "DROP INDEX entries_by_place"),
    Sql::new("back", "ALTER TABLE entries DROP COLUMN place"),
    Sql::new("back", "ALTER TABLE entries DROP COLUMN hash"),
    Sql::new("back", "DROP TABLE unheard_answers"),
    Sql::new("back", "DROP TABLE static_usage"),
    Sql::new("back", "DROP TABLE static_counters"),
    Sql::new("back", "DROP TABLE static_requests"),
    Sql::new("back", "DROP TABLE static_terms"),
    Sql::new("back", "DROP TABLE static_proxies"),
    Sql::new("back", "DROP TABLE static_orders"),
    Sql::new("back", "DROP TABLE stock_items"),
    Sql::new("back", "DROP TABLE stock_shelves"),
    Sql::new("back", "DROP TABLE static_prices"),
    Sql::new("back", "DROP TABLE jobs"),
    Sql::new("back", "DROP TABLE events"),
    Sql::new("back", "DROP TABLE event_heads"),
    Sql::new("back", "DROP TABLE notice_channels"),
    Sql::new("back", "ALTER TABLE wallets DROP COLUMN low_balance"),
    Sql::new("back", "ALTER TABLE packages DROP COLUMN watch_bytes"),
    Sql::new("back", "ALTER TABLE package_settings DROP COLUMN told_gb"),
    Sql::new("back", "ALTER TABLE package_settings DROP COLUMN told_days"),
    Sql::new("back", "ALTER TABLE package_settings DROP COLUMN told_exhausted"),
    Sql::new("back", "ALTER TABLE package_settings DROP COLUMN rebuy_amount"),
    Sql::new("back", "ALTER TABLE package_settings DROP COLUMN rebuy_day"),
    Sql::new("back", "ALTER TABLE package_settings DROP COLUMN rebuys"),
    Sql::new("back", "DELETE FROM schema_migrations WHERE version >= 2"),
];

on_both_databases! {
    async fn packages_that_were_bought_before_there_were_jobs_are_watched_renewed_and_closed(database) {
        let mut world = World::new(database).await;
        let (ann, ben) = (world.account("ann", 1000).await, world.account("ben", 1000).await);
        let (offer, short) = (world.offer(2, 30).await, world.offer(3, 10).await);
        world.buy(ann, offer).await;
        let rebuy = StrategyChange { auto_rebuy: Some(true), rebuy_gb: Some(1), rebuy_days: Some(1),
                                     rebuy_offer: Some(offer), ..StrategyChange::default() };
        world.strategy(ann, rebuy).await;
        world.buy(ben, short).await;
        world.buy(ben, offer).await;
        let remind = StrategyChange { auto_remind: Some(true), remind_gb: Some(1), remind_days: Some(1),
                                      ..StrategyChange::default() };
        world.strategy(ben, remind).await;
        world.use_bytes(ben, GB).await;
        let back = |tx: &mut tollgate_store::Tx<'_>| {
            BACK_TO_THE_FIRST.iter().try_for_each(|sql| tx.execute(*sql, &[]).map(drop))
        };
        world.core.db().write(back).await.unwrap();
        world.core.db().close().await;

        world.core = world.another().await;
        world.audit().await;
        // What had been entered before there was a chain is chained.
        while chain::extend(&world.core).await.unwrap() {}
        assert_eq!(chain::head(&world.core).await.unwrap().entries, 5);
        world.audit().await;
        let (waiting, _) = jobs::admin::list(&world.core, None, tollgate_core::Page::new(None, None).unwrap()).await.unwrap();
        let mut waiting: Vec<_> = waiting.iter().map(|job| (job.kind.as_str(), job.subject.as_str())).collect();
        waiting.sort_unstable();
        assert_eq!(waiting, [("package.expiry", "1"), ("package.expiry", "2"), ("package.expiry", "3"),
                             ("package.watch", "1:residential"), ("package.watch", "2:residential")]);
        world.work().await;
        assert!(world.events(ann).await.is_empty() && world.events(ben).await.is_empty(), "nothing is due yet");
        // What was agreed to is what it cost when the platform was brought up to date.
        world.use_bytes(ann, GB).await;
        world.work().await;
        assert_eq!(world.balance(ann).await, 600);
        assert_eq!(world.story(ann).await, [("package.rebuy_succeeded".to_owned(), 0)]);
        world.pass(DAY * 31).await;
        let story = [("package.expired", 10), ("package.threshold_reached", 29), ("package.expired", 30)];
        assert_eq!(world.story(ben).await, story.map(|(kind, day)| (kind.to_owned(), day)));
        assert!(world.dead_jobs().await.is_empty());
        assert!(audit::run(&world.core).await.unwrap().differences.is_empty());
    }
}
