//! Traffic of static proxies: told cumulatively by each run of a gateway.

use tollgate_core::statics::{self, UsageDay};
use tollgate_core::{Error, Rule, jobs};
use tollgate_testkit::on_both_databases;
use tollgate_types::{AccountId, BootId, Bytes, Day, GatewayId, StaticProxyId, StaticTraffic};

use crate::{DAY, NOBODY, World, invalid};

async fn tell(world: &World, (gateway, boot): (i64, i64), told: &[(StaticProxyId, u64, u64, u64)]) {
    let traffic = told.iter().map(|&(id, bytes_up, bytes_down, connections)| StaticTraffic {
        id,
        bytes_up,
        bytes_down,
        connections,
    });
    let (gateway, boot) = (GatewayId::new(gateway), BootId::new(boot));
    statics::count_traffic(&world.core, gateway, boot, traffic.collect()).await.unwrap();
}

async fn days(
    world: &World,
    account: AccountId,
    id: StaticProxyId,
    from: Day,
    to: Day,
) -> Vec<(u64, u64, i64)> {
    let days = statics::usage(&world.core, account, id, from, to).await.unwrap();
    days.iter().map(|day| (day.up.get(), day.down.get(), day.connections)).collect()
}

fn today(world: &World) -> Day {
    world.core.zone().day(world.now())
}

on_both_databases! {
    async fn reports_that_come_twice_late_or_reordered_count_once(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let (ben, others) = world.customer("ben", 0).await;
        let day = today(&world);
        tell(&world, (1, 1), &[(id, 100, 1000, 1), (others, 7, 7, 7)]).await;
        tell(&world, (1, 1), &[(id, 300, 3000, 3)]).await;
        tell(&world, (1, 1), &[(id, 100, 1000, 1)]).await;
        tell(&world, (1, 1), &[(id, 300, 3000, 3), (id, 200, 2000, 2)]).await;
        assert_eq!(days(&world, ann, id, day, day).await, [(300, 3000, 3)]);
        tell(&world, (1, 2), &[(id, 10, 20, 1)]).await;
        tell(&world, (2, 1), &[(id, 1, 2, 1), (StaticProxyId::new(NOBODY), 5, 5, 5)]).await;
        assert_eq!(days(&world, ann, id, day, day).await, [(311, 3022, 5)], "each run adds to it");
        assert_eq!(days(&world, ben, others, day, day).await, [(7, 7, 7)]);
        let (most, most_of_all) = (i64::MAX as u64, i64::MAX);
        tell(&world, (3, 1), &[(id, u64::MAX, 0, u64::MAX), (others, 8, 7, 7)]).await;
        assert_eq!(days(&world, ann, id, day, day).await, [(most, 3022, most_of_all)]);
        assert_eq!(
            days(&world, ben, others, day, day).await,
            [(15, 14, 14)],
            "nonsense about one is not about another"
        );
    }

    async fn growth_counts_for_the_day_on_which_it_is_told(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        let first = today(&world);
        tell(&world, (1, 1), &[(id, 100, 10, 1)]).await;
        world.clock.advance(DAY * 2);
        tell(&world, (1, 1), &[(id, 150, 10, 2)]).await;
        assert_eq!(
            days(&world, ann, id, first, first.plus_days(5)).await,
            [(100, 10, 1), (0, 0, 0), (50, 0, 1)],
            "no gaps, no future"
        );
        assert!(days(&world, ann, id, first.plus_days(9), first.plus_days(10)).await.is_empty());
        let refused = statics::usage(&world.core, ann, id, first.plus_days(1), first).await.unwrap_err();
        assert_eq!(invalid(refused), ("start_date", Rule::Order));
        world.clock.advance(DAY * 29);
        let shown = statics::usage(&world.core, ann, id, first, today(&world)).await.unwrap();
        assert_eq!(shown.len(), 30, "a month");
        assert_eq!(
            shown[0],
            UsageDay { day: first.plus_days(2), up: Bytes::new(50), down: Bytes::ZERO, connections: 1 }
        );
        let missing = statics::usage(&world.core, ann, StaticProxyId::new(NOBODY), first, first).await;
        assert!(matches!(missing, Err(Error::NotFound(_))));
    }

    async fn what_a_proxy_moved_can_be_seen_after_its_end(database) {
        let world = World::on(&database).await;
        world.stock(1, 3000).await;
        let (ann, id) = world.customer("ann", 0).await;
        tell(&world, (1, 1), &[(id, 5, 6, 7)]).await;
        world.pass(DAY * 34).await;
        tell(&world, (1, 1), &[(id, 8, 6, 7)]).await;
        assert_eq!(days(&world, ann, id, today(&world), today(&world)).await, [(3, 0, 0)]);
    }

    async fn the_same_report_twice_at_once_counts_once(database) {
        let world = World::on(&database).await;
        world.stock(8, 3000).await;
        let ann = world.account("ann", 8000).await;
        let price = world.price(8, 30, 100).await;
        world.order(ann, price).await;
        let ids: Vec<_> = world.list(ann).await.iter().map(|proxy| proxy.id).collect();
        let told = move |n: u64| {
            ids.iter()
                .map(|id| StaticTraffic { id: *id, bytes_up: n, bytes_down: 2 * n, connections: n })
                .collect::<Vec<_>>()
        };
        let racing: Vec<_> = [10, 30, 30, 20, 30, 10]
            .into_iter()
            .map(|n| {
                let (core, traffic) = (world.core.clone(), told(n));
                tokio::spawn(async move {
                    statics::count_traffic(&core, GatewayId::new(1), BootId::new(1), traffic).await
                })
            })
            .collect();
        for one in racing {
            one.await.unwrap().unwrap();
        }
        for proxy in world.list(ann).await {
            assert_eq!(days(&world, ann, proxy.id, today(&world), today(&world)).await, [(30, 60, 30)]);
        }
    }

    async fn counters_of_runs_that_went_silent_are_forgotten_whole(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let ann = world.account("ann", 8000).await;
        let price = world.price(2, 100, 100).await;
        world.order(ann, price).await;
        let ids: Vec<_> = world.list(ann).await.iter().map(|proxy| proxy.id).collect();
        let first = today(&world);
        tell(&world, (1, 1), &[(ids[0], 100, 0, 0), (ids[1], 100, 0, 0)]).await;
        tell(&world, (1, 2), &[(ids[0], 100, 0, 0), (ids[1], 100, 0, 0)]).await;
        world.clock.advance(DAY * 29);
        tell(&world, (1, 2), &[(ids[1], 101, 0, 0)]).await;
        world.clock.advance(DAY * 2);
        jobs::run::begin(&world.core).await.unwrap();
        world.work().await;
        // Of the run that goes on, what is told again changes nothing; the silent one is a new one.
        tell(&world, (1, 2), &[(ids[0], 100, 0, 0)]).await;
        assert_eq!(days(&world, ann, ids[0], first.plus_days(31), today(&world)).await, [(0, 0, 0)]);
        tell(&world, (1, 1), &[(ids[0], 100, 0, 0)]).await;
        assert_eq!(days(&world, ann, ids[0], first.plus_days(31), today(&world)).await, [(100, 0, 0)]);
    }

    async fn a_run_that_goes_on_is_remembered_though_nothing_moves(database) {
        let world = World::on(&database).await;
        world.stock(2, 3000).await;
        let ann = world.account("ann", 8000).await;
        let price = world.price(2, 100, 100).await;
        world.order(ann, price).await;
        let ids: Vec<_> = world.list(ann).await.iter().map(|proxy| proxy.id).collect();
        tell(&world, (1, 1), &[(ids[0], 100, 0, 1)]).await;
        tell(&world, (2, 1), &[(ids[1], 7, 0, 1)]).await;
        world.clock.advance(DAY * 40);
        jobs::run::begin(&world.core).await.unwrap();
        world.work().await;
        tell(&world, (1, 1), &[(ids[0], 150, 0, 2)]).await;
        assert_eq!(days(&world, ann, ids[0], today(&world), today(&world)).await, [(50, 0, 1)]);
    }
}
