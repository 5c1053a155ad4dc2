//! The operator's price list, stock, orders and jobs.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_store as store;
use tollgate_types::Time;

use crate::common::{ADMIN, Api};

#[tokio::test]
async fn prices_are_checked_and_what_was_bought_by_them_stays() {
    let api = Api::new().await;
    let good = json!({ "proxy_type": "res", "count": 1, "discount": 0, "period": 30, "price": 500 });
    for (field, values) in [
        ("proxy_type", vec![json!("mobile"), Value::Null]),
        ("count", vec![json!(0), json!(-1), json!(1001), json!("x"), Value::Null]),
        ("discount", vec![json!(-1), json!(101), json!(0.5), Value::Null]),
        ("period", vec![json!(0), json!(3651), Value::Null]),
        ("price", vec![json!(-1), json!(100_000_001), Value::Null]),
        ("on_sale", vec![json!("yes")]),
        ("back_orders", vec![json!(2)]),
    ] {
        for value in values {
            let mut new = good.clone();
            new[field] = value.clone();
            let answer = api.post(ADMIN, "/api/admin/static/prices", new).await;
            assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{value}");
        }
    }
    let id = api.post(ADMIN, "/api/admin/static/prices", good).await.data()["id"].clone();
    let update = format!("/api/admin/static/prices/{id}/update");
    for (field, value) in [("proxy_type", json!("dc")), ("count", json!(2)), ("period", json!(31))] {
        let answer = api.post(ADMIN, &update, json!({ field: value })).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)));
    }
    let form = "count=1&price=600&discount=50&back_orders=true&on_sale=0";
    let answer = api.post_form(ADMIN, &update, form).await;
    assert_eq!(answer.code(), 40100, "a customer's header does not make an operator");
    let change =
        json!({ "count": 1, "price": "600", "discount": 50, "back_orders": "true", "on_sale": false });
    assert_eq!(api.post(ADMIN, &update, change).await.code(), 0);
    let list = api.get(ADMIN, "/api/admin/static/prices").await;
    let one = &list.data()["records"][0];
    for (field, value) in [
        ("price", json!(600)),
        ("amount", json!(300)),
        ("back_orders", json!(true)),
        ("on_sale", json!(false)),
    ] {
        assert_eq!(one[field], value, "{field}");
    }
    assert_eq!(api.post(ADMIN, "/api/admin/static/prices/99/update", json!({})).await.code(), 40400);
}

#[tokio::test]
async fn an_address_out_of_service_is_replaced_by_itself() {
    let api = Api::new().await;
    let (account, key) = api.account("ann", 1000).await;
    api.stock("res", "us", 1..=2).await;
    let price = api.price("res", 1, 500).await;
    api.order(&key, "res", "us", price).await.data();
    let leased = api.get(ADMIN, "/api/admin/static/stock?state=leased").await;
    let item = &leased.data()["records"][0];
    assert_eq!((&item["account_id"], &item["static_id"]), (&json!(account), &json!(1)));
    let update = format!("/api/admin/static/stock/{}/update", item["id"]);
    let changed = api.post(ADMIN, &update, json!({ "status": "disabled" })).await;
    assert_eq!(changed.data()["request_id"], 1);
    assert_eq!(api.proxies(&key, "res").await[0]["order_status"], "changing");
    api.work().await;
    let proxy = &api.proxies(&key, "res").await[0];
    assert_eq!(
        (&proxy["proxy_address"], &proxy["order_status"]),
        (&json!("198.51.100.2"), &json!("completed"))
    );
    let disabled = api.get(ADMIN, "/api/admin/static/stock?state=disabled&listen_ip=198.51.100.1").await;
    assert_eq!(
        (&disabled.data()["total"], &disabled.data()["records"][0]["account_id"]),
        (&json!(1), &json!(0))
    );
    let requests = api.get(&key, "/api/users/static/requests").await;
    assert_eq!(requests.data()["records"][0]["asked_by"], "operator");

    let back = api.post(ADMIN, &update, json!({ "status": "active", "exit_ip": "192.0.2.9" })).await;
    assert_eq!(back.data()["request_id"], 0);
    let free = api.get(ADMIN, "/api/admin/static/stock?state=free").await;
    assert_eq!(free.data()["records"][0]["exit_ip"], "192.0.2.9");
    for (body, field) in [
        (json!({ "status": "free" }), "status"),
        (json!({ "exit_ip": "nowhere" }), "exit_ip"),
        (json!({ "exit_ip": "2001:db8::1" }), "exit_ip"),
    ] {
        let answer = api.post(ADMIN, &update, body.clone()).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{body}");
    }
    for (query, field) in
        [("state=gone", "state"), ("country=usa", "country"), ("listen_ip=1.2.3", "listen_ip")]
    {
        let answer = api.get(ADMIN, &format!("/api/admin/static/stock?{query}")).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{query}");
    }
}

#[tokio::test]
async fn back_orders_wait_and_are_delivered_or_paid_back() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 1000).await;
    api.stock("dc", "jp", 1..=1).await;
    let new = json!({ "proxy_type": "dc", "count": 2, "discount": 0, "period": 30, "price": 200, "back_orders": true });
    let price = api.post(ADMIN, "/api/admin/static/prices", new).await.data()["id"].as_i64().unwrap();
    for _ in 0..2 {
        let placed = api.order(&key, "dc", "jp", price).await;
        assert_eq!(
            (&placed.data()["order_status"], &placed.data()["amount"]),
            (&json!("pending"), &json!(400))
        );
    }
    assert_eq!(api.balance(&key).await, 200);
    let waiting = api.proxies(&key, "dc").await;
    assert_eq!(waiting.len(), 4);
    for field in ["proxy_address", "proxy_port", "exit_ip"] {
        assert_eq!(waiting[0][field], "", "{field}");
    }
    assert_eq!(waiting[0]["order_status"], "pending");
    let rebuy = json!({ "proxy_type": "dc", "proxy_ids": waiting[0]["id"].to_string(), "payment_type": "wallet_only" });
    assert_eq!(api.post(&key, "/api/users/static/order/rebuy", rebuy).await.code(), 40900);
    assert_eq!(api.get(&key, "/api/users/static/export").await.text, "", "nothing to be reached yet");

    let orders = api.get(ADMIN, "/api/admin/static/orders?state=pending").await;
    assert_eq!(orders.data()["total"], 2);
    let [later, first] = [0, 1].map(|n| orders.data()["records"][n]["id"].clone());
    let of = |id: &Value, what: &str| format!("/api/admin/static/orders/{id}/{what}");
    assert_eq!(api.post(ADMIN, &of(&first, "fulfil"), json!({})).await.code(), 40901);
    api.stock("dc", "jp", 2..=3).await;
    for (ids, code) in
        [(json!([1]), 40000), (json!([1, 1]), 40000), (json!([1, 99]), 40000), (json!(["x", 1]), 40000)]
    {
        let answer = api.post(ADMIN, &of(&first, "fulfil"), json!({ "stock_ids": ids })).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (code, &json!("stock_ids")), "{ids}");
    }
    api.clock.advance(Duration::from_secs(3600));
    assert_eq!(api.post(ADMIN, &of(&first, "fulfil"), json!({ "stock_ids": [1, 3] })).await.code(), 0);
    assert_eq!(api.post(ADMIN, &of(&first, "fulfil"), json!({})).await.code(), 40900);
    let paid_back = api.post(ADMIN, &of(&later, "cancel"), json!({ "note": "sorry" })).await;
    assert_eq!(paid_back.data()["amount"], 400);
    assert_eq!(api.post(ADMIN, &of(&later, "cancel"), json!({})).await.code(), 40900);
    assert_eq!(api.balance(&key).await, 600);
    let delivered = api.proxies(&key, "dc").await;
    let addresses: Vec<_> = delivered.iter().map(|proxy| proxy["proxy_address"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["198.51.100.3", "198.51.100.1"]);
    assert_eq!(delivered[0]["expire_time"], "2026-03-31 13:00:00", "the time began with the delivery");
    let states = api.get(&key, "/api/users/static/orders").await;
    let states: Vec<_> =
        states.data()["records"].as_array().unwrap().iter().map(|order| &order["state"]).collect();
    assert_eq!(states, ["cancelled", "completed"]);
    for (query, total) in [("account_id=1", 2), ("account_id=2", 0), ("order_no=%25", 0)] {
        let answer = api.get(ADMIN, &format!("/api/admin/static/orders?{query}")).await;
        assert_eq!(answer.data()["total"], total, "{query}");
    }
}

#[tokio::test]
async fn dead_jobs_wait_for_the_operator() {
    let api = Api::new().await;
    let now = Time::from_micros(1);
    api.core
        .db()
        .write(move |tx| {
            for subject in ["1", "2"] {
                store::jobs::set(tx, "static.expiry", subject, now, now)?;
            }
            for job in store::jobs::claim(tx, false, now, now, 10)? {
                store::jobs::fail(tx, job.id, job.claim, None, "it broke", now)?;
            }
            Ok::<_, store::Error>(())
        })
        .await
        .unwrap();
    let dead = async || api.get(ADMIN, "/api/admin/jobs?state=dead").await.data().clone();
    assert_eq!(dead().await["total"], 2);
    assert_eq!(dead().await["records"][0]["last_error"], "it broke");
    assert_eq!(api.get(ADMIN, "/api/admin/overview").await.data()["dead_jobs"], 2);
    let [first, second] = [0, 1].map(async |n| dead().await["records"][n]["id"].clone());
    let (first, second) = (first.await, second.await);
    assert_eq!(api.post(ADMIN, &format!("/api/admin/jobs/{first}/retry"), json!({})).await.code(), 0);
    assert_eq!(api.post(ADMIN, &format!("/api/admin/jobs/{first}/retry"), json!({})).await.code(), 40400);
    assert_eq!(api.post(ADMIN, &format!("/api/admin/jobs/{second}/discard"), json!({})).await.code(), 0);
    assert_eq!(dead().await["total"], 0);
    let waiting = api.get(ADMIN, "/api/admin/jobs?state=waiting").await;
    let left: Vec<_> = waiting.data()["records"].as_array().unwrap().iter().map(|job| &job["id"]).collect();
    assert_eq!(left, [&first]);
    assert_eq!(api.get(ADMIN, "/api/admin/jobs?state=gone").await.body["data"]["field"], "state");
    let log = api.get(ADMIN, "/api/admin/audit-log").await;
    let actions: Vec<_> =
        log.data()["records"].as_array().unwrap().iter().map(|line| &line["action"]).collect();
    assert_eq!(actions, ["job.discarded", "job.retried"]);
}

#[tokio::test]
async fn the_overview_counts_the_stock() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 1000).await;
    api.stock("res", "us", 1..=3).await;
    let price = api.price("res", 1, 500).await;
    api.order(&key, "res", "us", price).await.data();
    let free = api.get(ADMIN, "/api/admin/static/stock?state=free&page_size=1").await;
    let update = format!("/api/admin/static/stock/{}/update", free.data()["records"][0]["id"]);
    api.post(ADMIN, &update, json!({ "status": "disabled" })).await.data();
    let stock = api.get(ADMIN, "/api/admin/overview").await.data()["stock"].clone();
    assert_eq!(
        stock,
        json!([
            { "proxy_type": "res", "free": 1, "leased": 1, "grace": 0, "disabled": 1 },
            { "proxy_type": "dc", "free": 0, "leased": 0, "grace": 0, "disabled": 0 },
            { "proxy_type": "ipv6", "free": 0, "leased": 0, "grace": 0, "disabled": 0 },
        ])
    );
}
