//! Rows of the catalogue of hostile inputs that concern rights, prices and billing, on the whole
//! program. `docs/hostile-api.md` says which row is where.

mod common;

use std::time::Duration;

use common::{PASSWORD, both_databases};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tollgate_testkit::Origin;
use tollgate_testkit::client::Way;
use tollgate_testkit::postgres;
use tollgate_testkit::world::{Setup, World, eventually, int, text};

const PURCHASE: &str = "/api/users/traffic/packages/purchase";

both_databases!(fields_that_are_not_a_customers_to_set_change_nothing, |world: World| async move {
    // API-05
    let ann = world.customer("ann", 100).await;
    let body = json!({ "username": "ann.one", "password": PASSWORD, "id": 99, "user_id": 7, "role": "admin",
                       "balance": 1_000_000, "used_res_traffic": -5, "create_time": "2001-01-01 00:00:00" });
    let id = int(&ann.api.post("/api/users/subuser/create", body).await.data()["id"]);
    let body = json!({ "id": id, "used_res_traffic": 5, "username": "other", "account_id": 9, "balance": 7 });
    ann.api.post("/api/users/subuser/update", body).await.data();
    let made = ann.api.get(&format!("/api/users/subuser/{id}")).await;
    assert_eq!(
        (int(&made.data()["used_res_traffic"]), text(&made.data()["username"])),
        (0, "ann.one".to_owned())
    );
    assert_ne!(text(&made.data()["create_time"]), "2001-01-01 00:00:00");
    assert_eq!(int(&ann.api.get("/api/users/wallet/info").await.data()["balance"]), 100);
});

both_databases!(a_rotated_key_is_dead_at_once, |world: World| async move {
    // API-07
    let ann = world.customer("ann", 0).await;
    let fresh = text(&ann.api.post("/api/users/me/rotate-key", json!({})).await.data()["api_key"]);
    assert_eq!(ann.api.get("/api/users/me/info").await.code(), 40100);
    assert_eq!(text(&world.api(&fresh).get("/api/users/me/info").await.data()["api_key"]), fresh);
});

both_databases!(prices_cannot_be_talked_down, |world: World| async move {
    // API-19, BR-13
    let ann = world.customer("ann", 1000).await;
    let offer = world.offer("residential", 1, 300).await;
    let bodies = [
        json!({ "traffic_package_id": offer, "payment_type": "free" }),
        json!({ "traffic_package_id": offer }),
        json!({ "traffic_package_id": -1, "payment_type": "wallet_only" }),
        json!({ "traffic_package_id": 0, "payment_type": "wallet_only" }),
        json!({ "traffic_package_id": i64::MAX, "payment_type": "wallet_only" }),
    ];
    for body in bodies {
        let answer = ann.api.post(PURCHASE, body.clone()).await;
        assert!([40000, 40400].contains(&answer.code()), "{body}: {}", answer.body);
    }
    let body = json!({ "traffic_package_id": offer, "payment_type": "wallet_only", "price": 1, "amount": 0 });
    let bought = ann.api.post(PURCHASE, body.clone()).await;
    assert_eq!(int(&bought.data()["amount"]), 300, "the catalogue's price, whatever the caller says");
    let update = format!("/api/admin/traffic-packages/{offer}/update");
    world.admin().post(&update, json!({ "price": 400 })).await.data();
    assert_eq!(int(&ann.api.post(PURCHASE, body.clone()).await.data()["amount"]), 400);
    world.admin().post(&update, json!({ "on_sale": false })).await.data();
    assert_eq!(ann.api.post(PURCHASE, body).await.code(), 40400);
    assert_eq!(int(&ann.api.get("/api/users/wallet/info").await.data()["balance"]), 300);
});

both_databases!(many_short_connections_add_up, |world: World| async move {
    // QM-02
    let origin = Origin::start().await;
    let ann = world.customer("ann", 1000).await;
    world.exit("us-1", "residential", "us", "127.0.0.11").await;
    let id = world.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    let user = world.user(&format!("ann.one:{PASSWORD}"));
    let target = origin.address().to_string();
    for batch in 0..10 {
        let way = if batch % 2 == 0 { Way::Connect } else { Way::Socks5 };
        let batch: Vec<_> = (0..50)
            .map(|_| {
                let (user, target) = (user.clone(), target.clone());
                tokio::spawn(async move {
                    let mut tunnel = user.tunnel(way, &target).await.expect("admitted");
                    tunnel.write_all(b"SEND 100\n").await.expect("a line");
                    let mut answer = Vec::new();
                    tunnel.read_to_end(&mut answer).await.expect("an answer");
                    assert_eq!(answer.len(), 100);
                })
            })
            .collect();
        for connection in batch {
            connection.await.expect("a connection");
        }
    }
    let expected = 500 * (100 + "SEND 100\n".len() as i64);
    eventually("every byte of them is billed", Duration::from_secs(5), async || {
        let answer = world.api(&ann.key).get(&format!("/api/users/subuser/{id}")).await;
        (int(&answer.data()["used_res_traffic"]) == expected).then_some(())
    })
    .await;
});

both_databases!(dates_of_trends_are_checked, |world: World| async move {
    // QM-26, API-26
    let ann = world.customer("ann", 0).await;
    let trend = |query: &str| {
        let (api, path) = (ann.api.clone(), format!("/api/users/traffic/trend?{query}"));
        async move { api.get(&path).await }
    };
    for bad in [
        "start_date=2026-02-30&end_date=2026-03-01",
        "start_date=2025-9-1&end_date=2025-9-2",
        "start_date=2026-03-02&end_date=2026-03-01",
        "start_date=2026-03-02",
        "end_date=2026-03-02",
        "start_date=x&end_date=y",
    ] {
        assert_eq!(trend(bad).await.code(), 40000, "{bad}");
    }
    let days = trend("start_date=1990-01-01&end_date=2100-01-01").await;
    assert_eq!(days.data()["residential"].as_array().expect("days").len(), 30);
    let future = trend("start_date=2100-01-01&end_date=2100-01-02").await;
    assert_eq!(future.data()["residential"], json!([]));
});

/// BR-02, BR-16: two processes on one PostgreSQL are one platform.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_database_sell_and_see_as_one() {
    let Some(url) = postgres::fresh_database() else { return };
    let setup = || {
        let setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test")).on(Some(url.to_string()));
        setup.with("TOLLGATE_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    };
    let (one, two) = (World::start(setup()), World::start(setup()));
    let ann = one.customer("ann", 7 * 300 + 299).await;
    let offer = one.offer("residential", 1, 300).await;
    let body = json!({ "traffic_package_id": offer, "payment_type": "wallet_only" });
    let racing: Vec<_> = (0..100)
        .map(|n| {
            let api = if n % 2 == 0 { one.api(&ann.key) } else { two.api(&ann.key) };
            let body = body.clone();
            tokio::spawn(async move { api.post(PURCHASE, body).await.code() })
        })
        .collect();
    let mut codes = Vec::new();
    for purchase in racing {
        codes.push(purchase.await.expect("an answer"));
    }
    codes.sort_unstable();
    assert_eq!(codes, [vec![0; 7], vec![40200; 93]].concat());
    for world in [&one, &two] {
        let wallet = world.api(&ann.key).get("/api/users/wallet/info").await;
        assert_eq!(int(&wallet.data()["balance"]), 299, "read right after the last answer, on either");
    }

    // A login made by one is known to the other's gateway within a second, and billed as one.
    let origin = Origin::start().await;
    one.exit("us-1", "residential", "us", "127.0.0.11").await;
    let id = one.sub_account(&ann, "ann.one", PASSWORD, 0).await;
    let target = origin.address().to_string();
    for world in [&one, &two] {
        let user = world.user(&format!("ann.one:{PASSWORD}"));
        let mut tunnel = eventually("admitted", Duration::from_secs(1), async || {
            user.tunnel(Way::Connect, &target).await.ok()
        })
        .await;
        tunnel.write_all(b"SEND 1000\n").await.expect("a line");
        let mut answer = Vec::new();
        tunnel.read_to_end(&mut answer).await.expect("an answer");
        assert_eq!(answer.len(), 1000);
    }
    eventually("both gateways' bytes are billed", Duration::from_secs(5), async || {
        let answer = two.api(&ann.key).get(&format!("/api/users/subuser/{id}")).await;
        (int(&answer.data()["used_res_traffic"]) == 2 * 1010).then_some(())
    })
    .await;
}
