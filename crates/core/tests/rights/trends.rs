//! Trends by day of the platform's zone.

use tollgate_core::{Actor, Policy, Rule, overview, trend, wallets};
use tollgate_testkit::on_both_databases;
use tollgate_types::{Cents, Day, ProxyType, Zone};

use crate::{Platform, refused};

on_both_databases! {
    async fn trends_follow_the_zones_days_over_months(database) {
        let shanghai = Zone::named("Asia/Shanghai").unwrap();
        let world = Platform::with(&database, shanghai, Policy::default()).await;
        let ann = world.account("ann").await;
        wallets::recharge(&world.core, Actor::Operator, ann, Cents::new(100_000), "r1".into()).await.unwrap();
        let (shop, cafe) = (world.sub_account(ann, "shop").await, world.sub_account(ann, "cafe").await);
        for (at, sub_account, bytes) in [
            ("2026-01-20 12:00:00", Some(shop), 1),
            ("2026-02-28 15:59:00", Some(shop), 10),  // 23:59 there
            ("2026-02-28 16:00:00", Some(shop), 100), // midnight there: the first of March
            ("2026-02-28 16:00:01", Some(cafe), 1_000),
            ("2026-03-01 12:00:00", None, 10_000),
        ] {
            world.clock.set(Zone::UTC.parse(at).unwrap());
            world.use_bytes(ann, sub_account, bytes).await;
        }
        let day = |text| Day::parse(text).unwrap();
        let read = async |sub_account, from, to| {
            let of_type = Some(ProxyType::Residential);
            let trend = trend::read(&world.core, ann, sub_account, (day(from), day(to)), of_type).await.unwrap();
            assert_eq!(trend.len(), 1);
            let days = trend[0].days.iter().map(|total| (total.day.to_string(), total.wallet.get()));
            days.collect::<Vec<_>>()
        };
        let whole = read(None, "2020-01-01", "9999-12-31").await;
        assert_eq!((whole.len(), whole[0].0.as_str()), (30, "2026-01-31"), "thirty days with today");
        assert_eq!(whole.iter().map(|(_, bytes)| bytes).sum::<u64>(), 11_110, "January is left out");
        let days = |days: [(&str, u64); 2]| days.map(|(day, bytes)| (day.to_owned(), bytes)).to_vec();
        assert_eq!(
            read(None, "2026-02-28", "2026-03-01").await,
            days([("2026-02-28", 10), ("2026-03-01", 11_100)])
        );
        assert_eq!(
            read(Some(shop), "2026-02-28", "2026-03-01").await,
            days([("2026-02-28", 10), ("2026-03-01", 100)])
        );
        assert_eq!(
            read(Some(cafe), "2026-02-27", "2026-02-28").await,
            days([("2026-02-27", 0), ("2026-02-28", 0)])
        );
        assert_eq!(read(None, "2020-01-01", "2020-02-01").await, [], "all too old");
        let every =
            trend::read(&world.core, ann, None, (day("2026-03-01"), day("2026-03-01")), None).await.unwrap();
        assert_eq!(every.iter().map(|trend| trend.proxy_type).collect::<Vec<_>>(), ProxyType::ALL);
        let backwards = trend::read(&world.core, ann, None, (day("2026-03-01"), day("2026-02-01")), None).await;
        assert_eq!(refused(backwards), ("start_date", Rule::Order));
        let totals = overview::read(&world.core).await.unwrap();
        assert_eq!(totals.traffic.iter().map(|total| total.wallet.get()).sum::<u64>(), 11_110);
    }
}
