//! Hostile callers and racing money around static proxies, on the real program: whatever they try, the
//! audit that each world ends with finds nothing.

#[expect(dead_code, reason = "these stories have no sub-accounts")]
mod common;

use common::both_databases;
use serde_json::{Value, json};
use tollgate_testkit::client::Api;
use tollgate_testkit::world::{World, int};

const CREATE: &str = "/api/users/static/order/create";
const REBUY: &str = "/api/users/static/order/rebuy";

/// Imports so many addresses in the US, from `127.0.9.1` on.
async fn stock(world: &World, count: u8) {
    let items: Vec<_> = (1..=count)
        .map(|host| json!({ "listen_ip": format!("127.0.9.{host}"), "listen_port": 9100 }))
        .collect();
    let new = json!({ "proxy_type": "res", "country": "us", "items": items });
    world.admin().post("/api/admin/static/stock", new).await.data();
}

/// Puts so many addresses at so many cents each on the price list.
async fn price(world: &World, static_type: &str, count: i64, cents: i64) -> i64 {
    let new =
        json!({ "proxy_type": static_type, "count": count, "discount": 0, "period": 30, "price": cents });
    int(&world.admin().post("/api/admin/static/prices", new).await.data()["id"])
}

fn order(price: i64) -> Value {
    json!({ "proxy_type": "res", "country": "us", "protocol": "http/socks5", "price_package_id": price,
            "payment_type": "wallet_only" })
}

async fn proxies(api: &Api) -> Vec<Value> {
    let answer = api.post("/api/users/static/res/list", json!({ "page_size": 1000 })).await;
    answer.data()["records"].as_array().cloned().unwrap_or_default()
}

async fn balance(api: &Api) -> i64 {
    int(&api.get("/api/users/wallet/info").await.data()["balance"])
}

both_databases!(a_hundred_orders_race_for_the_last_seven_addresses, |world: World| async move {
    // BR-10
    stock(&world, 7).await;
    let price = price(&world, "res", 1, 500).await;
    let mut buyers = Vec::new();
    for n in 0..10 {
        buyers.push(world.customer(&format!("buyer{n}"), 10 * 500).await);
    }
    let orders: Vec<_> = (0..100)
        .map(|n: usize| {
            let api = buyers[n % buyers.len()].api.clone();
            tokio::spawn(async move { api.post(CREATE, order(price)).await.code() })
        })
        .collect();
    let mut codes = Vec::new();
    for order in orders {
        codes.push(order.await.expect("an answer"));
    }
    let count = |code: i64| codes.iter().filter(|given| **given == code).count();
    assert_eq!((count(0), count(40901)), (7, 93), "{codes:?}");
    let (mut left, mut addresses) = (0, std::collections::BTreeSet::new());
    for buyer in &buyers {
        left += balance(&buyer.api).await;
        addresses.extend(proxies(&buyer.api).await.iter().map(|proxy| proxy["proxy_address"].to_string()));
    }
    assert_eq!((left, addresses.len()), (100 * 500 - 7 * 500, 7), "no address in two hands");
});

both_databases!(what_is_not_ones_own_or_not_on_sale_is_not_had, |world: World| async move {
    // API-03, API-14, API-19, API-26
    let (ann, bob) = (world.customer("ann", 10_000).await, world.customer("bob", 10_000).await);
    stock(&world, 4).await;
    let (res, dc) = (price(&world, "res", 1, 500).await, price(&world, "dc", 1, 1).await);
    for customer in [&ann, &bob] {
        assert_eq!(customer.api.post(CREATE, order(res)).await.code(), 0);
    }
    let (own, foreign) = (proxies(&ann.api).await, proxies(&bob.api).await);
    let before = (balance(&ann.api).await, own.clone(), foreign.clone());
    let (own_id, foreign_id) = (int(&own[0]["id"]), int(&foreign[0]["id"]));
    let rebuy = |ids: String| json!({ "proxy_type": "res", "proxy_ids": ids, "payment_type": "wallet_only" });
    let with = |field: &str, value: Value| {
        let mut body = order(res);
        body[field] = value;
        body
    };
    for (path, body, code) in [
        (REBUY, rebuy(format!("{own_id},{foreign_id}")), 40400),
        (REBUY, rebuy(format!("{own_id},{own_id}")), 40000),
        (CREATE, with("price_package_id", json!(dc)), 40000),
        (CREATE, with("price_package_id", json!(-1)), 40400),
        (CREATE, with("payment_type", json!("credit")), 40000),
        (CREATE, with("country", json!("fr")), 40000),
        ("/api/users/static/replace", json!({ "id": foreign_id, "reason": "mine" }), 40400),
        ("/api/users/static/refund", json!({ "id": foreign_id, "reason": "mine" }), 40400),
        (
            "/api/users/static/remark",
            json!({ "id": foreign_id, "proxy_type": "res", "remark": "mine" }),
            40400,
        ),
        ("/api/users/static/res/list", json!({ "order_no": "a\u{0}b" }), 40000),
        ("/api/users/static/res/list", json!({ "proxy_address": "127.0.9.%" }), 40000),
        ("/api/users/static/res/list", json!({ "expire_start": "2025-09-14:32:33" }), 40000),
        (
            "/api/users/static/res/list",
            json!({ "expire_start": "2026-03-02", "expire_end": "2026-03-01" }),
            40000,
        ),
    ] {
        let answer = ann.api.post(path, body.clone()).await;
        assert_eq!(answer.code(), code, "{path} {body}: {}", answer.body);
    }
    for wildcard in ["%", "_", "____________", "' OR '1'='1", "\\"] {
        let found = ann.api.post("/api/users/static/res/list", json!({ "order_no": wildcard })).await;
        assert_eq!(int(&found.data()["total"]), 0, "{wildcard}");
    }
    let sample = json!({ "expire_start": "2025-09-1412:50:06.43", "expire_end": "2100-01-01 00:00:00" });
    assert_eq!(int(&ann.api.post("/api/users/static/res/list", sample).await.data()["total"]), 1);
    assert_eq!((balance(&ann.api).await, proxies(&ann.api).await, proxies(&bob.api).await), before);
});

both_databases!(the_same_addresses_imported_at_once_are_there_once, |world: World| async move {
    let items: Vec<_> =
        (1..=50).map(|host| json!({ "listen_ip": format!("127.0.9.{host}"), "listen_port": 9100 })).collect();
    let new = json!({ "proxy_type": "res", "country": "us", "items": items });
    let imports: Vec<_> = (0..8)
        .map(|_| {
            let (admin, new) = (world.admin(), new.clone());
            tokio::spawn(async move { admin.post("/api/admin/static/stock", new).await })
        })
        .collect();
    let mut imported = 0;
    for import in imports {
        let answer = import.await.expect("an answer");
        match answer.code() {
            0 => imported += 1,
            _ => {
                assert_eq!(answer.body["data"]["lines"].as_array().map(Vec::len), Some(50), "{}", answer.body)
            }
        }
    }
    assert_eq!(imported, 1);
    let stock = world.admin().get("/api/admin/static/stock?state=free").await;
    assert_eq!(int(&stock.data()["total"]), 50);
});
