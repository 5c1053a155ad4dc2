//! What is another tenant's does not exist, and what two want at once one of them gets.

use std::time::Duration;

use serde_json::json;

use crate::common::Api;

const REBUY: &str = "/api/users/static/order/rebuy";

#[tokio::test]
async fn a_list_of_ids_that_mixes_tenants_changes_nothing() {
    // API-03
    let api = Api::new().await;
    let (_, ann) = api.account("ann", 10_000).await;
    let (_, bob) = api.account("bob", 10_000).await;
    api.stock("res", "us", 1..=2).await;
    api.stock("dc", "us", 3..=3).await;
    let (price, dc) = (api.price("res", 1, 500).await, api.price("dc", 1, 500).await);
    api.order(&ann, "res", "us", price).await.data();
    api.order(&ann, "dc", "us", dc).await.data();
    api.order(&bob, "res", "us", price).await.data();
    let id = async |key: &str, list: &str| api.proxies(key, list).await[0]["id"].as_i64().unwrap();
    let (own, own_dc, foreign) = (id(&ann, "res").await, id(&ann, "dc").await, id(&bob, "res").await);
    let before = (api.proxies(&ann, "res").await, api.proxies(&bob, "res").await, api.balance(&ann).await);
    let many = (1..=1001).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    for (ids, code) in [
        (format!("{own},{foreign}"), 40400),
        (format!("{foreign}"), 40400),
        (format!("{own},{own_dc}"), 40400),
        (format!("{own},99999"), 40400),
        (format!("{own},-1"), 40400),
        (format!("{own},{own}"), 40000),
        (format!("{own},0{own}"), 40000),
        (format!("{own},,"), 40000),
        (format!("{own};{own_dc}"), 40000),
        (format!("{own} {own_dc}"), 40000),
        ("1e3".to_owned(), 40000),
        (String::new(), 40000),
        (",".to_owned(), 40000),
        ("9".repeat(30), 40000),
        (many, 40000),
    ] {
        let ask = json!({ "proxy_type": "res", "proxy_ids": ids, "payment_type": "wallet_only" });
        let answer = api.post(&ann, REBUY, ask).await;
        assert_eq!(answer.code(), code, "{ids}: {}", answer.text);
        if code == 40000 {
            assert_eq!(answer.body["data"]["field"], "proxy_ids", "{ids}");
        }
    }
    let after = (api.proxies(&ann, "res").await, api.proxies(&bob, "res").await, api.balance(&ann).await);
    assert_eq!(before, after);
    let order_no = before.1[0]["order_no"].as_str().unwrap();
    let of_bob = api.post(&ann, "/api/users/static/res/list", json!({ "order_no": order_no })).await;
    assert_eq!(of_bob.data()["total"], 0);
    let of_bob = api.get(&ann, &format!("/api/users/static/orders?order_no={order_no}")).await;
    assert_eq!(of_bob.data()["total"], 0);
}

#[tokio::test]
async fn twenty_buyers_of_the_last_address() {
    // BR-10
    let api = Api::new().await;
    api.stock("res", "us", 1..=1).await;
    let price = api.price("res", 1, 500).await;
    let mut keys = Vec::new();
    for n in 0..20 {
        keys.push(api.account(&format!("buyer{n}"), 500).await.1);
    }
    let codes = all(keys.iter().map(async |key| api.order(key, "res", "us", price).await.code())).await;
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 40901).count(), 19, "{codes:?}");
    for (key, code) in keys.iter().zip(codes) {
        let (left, proxies) = if code == 0 { (0, 1) } else { (500, 0) };
        assert_eq!((api.balance(key).await, api.proxies(key, "res").await.len()), (left, proxies));
    }
}

#[tokio::test]
async fn money_for_three_renewals_of_five_renews_three() {
    // BR-09
    let api = Api::new().await;
    let (_, key) = api.account("ann", 5 * 500 + 3 * 500 + 499).await;
    api.stock("res", "us", 1..=5).await;
    let price = api.price("res", 5, 500).await;
    api.order(&key, "res", "us", price).await.data();
    for proxy in api.proxies(&key, "res").await {
        let switch = json!({ "id": proxy["id"], "proxy_type": "res", "auto_rebuy": "active" });
        assert_eq!(api.post(&key, "/api/users/static/auto-rebuy", switch).await.code(), 0);
    }
    api.clock.advance(Duration::from_secs(27 * 24 * 3600));
    api.work().await;
    let proxies = api.proxies(&key, "res").await;
    let count = |field: &str, value: &str| proxies.iter().filter(|proxy| proxy[field] == value).count();
    assert_eq!(count("expire_time", "2026-04-30 12:00:00"), 3);
    assert_eq!((count("rebuy_status", "normal"), count("rebuy_status", "insufficient")), (3, 2));
    assert_eq!(api.balance(&key).await, 499);
}

#[tokio::test]
async fn the_same_key_a_hundred_times_at_once_orders_once() {
    // BR-04
    let api = Api::new().await;
    let (_, key) = api.account("ann", 10_000).await;
    api.stock("res", "us", 1..=10).await;
    let price = api.price("res", 1, 500).await;
    let order = json!({ "proxy_type": "res", "country": "us", "protocol": "http", "price_package_id": price,
                        "payment_type": "wallet_only" });
    let path = "/api/users/static/order/create";
    let answers =
        all((0..100).map(async |_| api.post_once(&key, path, "once", order.clone()).await.body)).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer["code"] == 0), "{answers:?}");
    assert_eq!((api.balance(&key).await, api.proxies(&key, "res").await.len()), (9500, 1));
}

/// What all of them come to, asked at once.
async fn all<F: Future>(asked: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = asked.map(Box::pin).map(Some).collect();
    let mut done: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        for (one, answer) in waiting.iter_mut().zip(&mut done) {
            if let Some(asked) = one
                && let std::task::Poll::Ready(ready) = asked.as_mut().poll(cx)
            {
                *answer = Some(ready);
                *one = None;
            }
        }
        match waiting.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(done.drain(..).flatten().collect()),
            false => std::task::Poll::Pending,
        }
    })
    .await
}
