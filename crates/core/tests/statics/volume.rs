//! Large numbers: what takes seconds for one takes hours for all.

use std::time::{Duration, Instant};

use tollgate_core::statics::{self, StaticFilter};
use tollgate_core::{Actor, jobs};
use tollgate_testkit::on_both_databases;
use tollgate_types::{BootId, GatewayId, StaticTraffic, StaticType};

use crate::{DAY, World, new_stock, page};

/// Says how long something took, for whoever reads the test's output. Debug builds on a busy
/// machine are several times slower than what is delivered: bounds are generous.
#[expect(clippy::print_stdout, reason = "how long it took is worth knowing even where nothing is wrong")]
fn took(what: &str, since: Instant) -> Duration {
    let took = since.elapsed();
    println!("{what}: {} ms", took.as_millis());
    took
}

on_both_databases! {
    async fn a_thousand_addresses_are_ordered_and_renewed_in_a_moment(database) {
        let world = World::on(&database).await;
        let items =
            (0..2000).map(|n| new_stock(&format!("10.0.{}.{}", n / 250, n % 250 + 1), 3000)).collect();
        let since = Instant::now();
        statics::import(&world.core, Actor::Operator, StaticType::Dc, "us".into(), items).await.unwrap();
        took("importing 2000 addresses", since);
        let ann = world.account("ann", 1_000_000).await;
        let price = world.price(1000, 30, 100).await;
        let since = Instant::now();
        world.order(ann, price).await;
        let ordering = took("ordering 1000 addresses", since);
        assert!(ordering < Duration::from_secs(10), "{ordering:?}");
        let proxies = world.list(ann).await;
        let since = Instant::now();
        let ids = proxies.iter().map(|proxy| proxy.id).collect();
        statics::renew(&world.core, ann, StaticType::Dc, ids, None).await.unwrap();
        took("renewing 1000 proxies", since);
        assert_eq!(world.balance(ann).await, 800_000);
        world.audit().await;
        let traffic: Vec<_> = proxies
            .iter()
            .map(|proxy| StaticTraffic { id: proxy.id, bytes_up: 1, bytes_down: 2, connections: 3 })
            .collect();
        let since = Instant::now();
        statics::count_traffic(&world.core, GatewayId::new(1), BootId::new(1), traffic.clone())
            .await
            .unwrap();
        took("counting the traffic of 1000 proxies", since);
        let since = Instant::now();
        statics::count_traffic(&world.core, GatewayId::new(1), BootId::new(1), traffic).await.unwrap();
        took("hearing of it again", since);
    }

    async fn ten_thousand_proxies_are_loaded_exported_and_expire_at_the_same_moment(database) {
        let world = World::on(&database).await;
        let items =
            (0..10_000).map(|n| new_stock(&format!("10.0.{}.{}", n / 250, n % 250 + 1), 3000)).collect();
        let since = Instant::now();
        statics::import(&world.core, Actor::Operator, StaticType::Dc, "us".into(), items).await.unwrap();
        took("importing 10000 addresses", since);
        let ann = world.account("ann", 1_000_000).await;
        let price = world.price(1000, 30, 100).await;
        let since = Instant::now();
        for _ in 0..10 {
            world.order(ann, price).await;
        }
        took("ordering 10000 addresses, 1000 at once", since);
        let since = Instant::now();
        let another = world.another().await;
        let loading = took("starting with 10000 proxies", since);
        assert!(loading < Duration::from_secs(10), "{loading:?}");
        assert_eq!(another.directory().borrow().statics.len(), 10_000);
        let since = Instant::now();
        assert_eq!(statics::export(&world.core, ann, StaticFilter::default()).await.unwrap().len(), 10_000);
        took("exporting 10000 proxies", since);
        let since = Instant::now();
        assert_eq!(
            statics::list(&world.core, ann, StaticFilter::default(), page(100, 10)).await.unwrap().1,
            10_000
        );
        took("listing ten of them", since);
        let since = Instant::now();
        tollgate_core::audit::run(&world.core).await.unwrap();
        took("auditing", since);
        world.clock.advance(DAY * 30);
        let since = Instant::now();
        // A tenth suffices to see that it goes at a steady pace.
        let mut done = 0;
        while done < 1000 {
            done += jobs::run::run_due(&world.core, 64).await.unwrap();
        }
        took("the first 1000 jobs of 20000 that are due at once", since);
    }
}
