//! Calls 1 to 14: the account, sub-accounts, the whitelist, traffic.

use axum::http::Method;
use serde_json::{Value, json};

use super::Kind::{self, Day, Int, Text, Truth, When, Word};
use super::{SWITCH, check, get, post};
use crate::common::{ADMIN, Api};

const TYPES: Kind = Word(&["residential", "datacenter", "mobile"]);
const PLANS: Kind = Word(&["personal", "enterprise", "custom"]);

const SUB_USER: &[(&str, Kind)] = &[
    ("id", Int),
    ("username", Text),
    ("password", Text),
    ("remark", Text),
    ("status", SWITCH),
    ("res_traffic_limit", Int),
    ("dc_traffic_limit", Int),
    ("mobile_traffic_limit", Int),
    ("used_res_traffic", Int),
    ("used_dc_traffic", Int),
    ("used_mobile_traffic", Int),
    ("create_time", When),
    ("update_time", When),
];

const TREND: &[(&str, Kind)] = &[
    ("proxy_type", TYPES),
    ("package_traffic", Int),
    ("wallet_traffic", Int),
    ("total_traffic", Int),
    ("day", Day),
    ("remark", Text),
];

#[tokio::test]
async fn calls_1_and_2_account_and_wallet() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 5000).await;
    let me = get(&api, &key, "/api/users/me/info", json!({})).await;
    check("1", &[("username", Text), ("email", Text), ("api_key", Text), ("set_password_status", Int)], &me);
    assert_eq!(me["api_key"], key);
    let wallet = get(&api, &key, "/api/users/wallet/info", json!({})).await;
    let names = ["dc_price", "res_price", "mobile_price", "total_recharge", "total_consume", "balance"];
    check("2", &names.map(|name| (name, Int)), &wallet);
    assert_eq!(wallet["balance"], 5000);
}

#[tokio::test]
async fn calls_3_to_6_sub_accounts() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let new = json!({
        "username": "string", "password": "string", "remark": "", "status": "active",
        "res_traffic_limit": 0, "dc_traffic_limit": 0, "mobile_traffic_limit": 0,
    });
    let id = post(&api, &key, "/api/users/subuser/create", new).await["id"].as_i64().unwrap();
    let filter = json!({ "page": 1, "page_size": 10, "user_name": "", "status": "active" });
    let list = get(&api, &key, "/api/users/subuser/list", filter).await;
    assert_eq!(list["total"], 1);
    check("4", SUB_USER, &list["records"][0]);
    let change = json!({
        "id": id, "remark": "string", "password": "string2", "status": "inactive",
        "res_traffic_limit": 1, "dc_traffic_limit": "2", "mobile_traffic_limit": 3,
    });
    post(&api, &key, "/api/users/subuser/update", change).await;
    let one = get(&api, &key, &format!("/api/users/subuser/{id}"), json!({ "subuser_id": id })).await;
    check("6", SUB_USER, &one);
    for (name, value) in
        [("password", json!("string2")), ("status", json!("inactive")), ("dc_traffic_limit", json!(2))]
    {
        assert_eq!(one[name], value, "{name}");
    }
    let untouched = post(&api, &key, "/api/users/subuser/update", json!({ "id": id, "remark": "" })).await;
    assert_eq!(untouched, Value::Null);
    let one = get(&api, &key, &format!("/api/users/subuser/{id}"), json!({})).await;
    assert_eq!((&one["remark"], &one["res_traffic_limit"]), (&json!(""), &json!(1)));
}

#[tokio::test]
async fn calls_7_to_9_whitelist() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    // The document's own sample, 127.0.0.1, cannot come from anywhere; the operator may allow it.
    post(&api, &key, "/api/users/proxy/add-whitelist", json!({ "ip": "203.0.113.7", "remark": "string" }))
        .await;
    let filter = json!({ "page": 1, "page_size": 10, "ip": "203.0" });
    let list = get(&api, &key, "/api/users/proxy/whitelist", filter).await;
    assert_eq!(list["total"], 1);
    check("7", &[("id", Int), ("ip", Text), ("remark", Text), ("create_time", When)], &list["records"][0]);
    let id = list["records"][0]["id"].as_i64().unwrap();
    let deleted = api.get(&key, &format!("/api/users/proxy/delete-whitelist?id={id}")).await;
    assert_eq!(deleted.code(), 0);
    let params = json!({ "id": id }).to_string();
    let again = api.send_json(Method::GET, &key, "/api/users/proxy/delete-whitelist", &params).await;
    assert_eq!(again.code(), 40400);
}

#[tokio::test]
async fn calls_10_to_12_packages() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 10_000).await;
    let offer = api.offer().await;
    let all = get(&api, &key, "/api/users/traffic/packages", json!({ "proxy_type": "" })).await;
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["datacenter", "mobile", "residential"]);
    let list = get(&api, &key, "/api/users/traffic/packages", json!({ "proxy_type": "residential" })).await;
    assert_eq!(list.as_object().unwrap().len(), 1);
    let fields = [
        ("id", Int),
        ("traffic_gb", Int),
        ("price", Int),
        ("duration", Int),
        ("plan_type", PLANS),
        ("is_hot", Truth),
        ("extra_add_traffic", Int),
        ("plan_desc", Text),
        ("create_time", When),
        ("update_time", When),
    ];
    check("10", &fields, &list["residential"][0]);
    assert_eq!(list["residential"][0]["amount"], 3000);

    let purchase = json!({ "traffic_package_id": offer, "payment_type": "wallet_only" }).to_string();
    let bought = api.send_json(Method::GET, &key, "/api/users/traffic/packages/purchase", &purchase).await;
    assert_eq!((bought.code(), bought.message()), (0, "success"));

    let current = get(&api, &key, "/api/users/traffic/packages/current", json!({})).await;
    assert_eq!(current.as_object().unwrap().keys().collect::<Vec<_>>(), ["residential"]);
    let one = &current["residential"];
    let fields = [
        ("total_traffic", Int),
        ("cost_traffic", Int),
        ("status", SWITCH),
        ("expire_time", When),
        ("remark", Text),
    ];
    check("12", &fields, one);
    let strategy = [
        ("auto_remind", SWITCH),
        ("remind_gb", Int),
        ("remind_days", Int),
        ("auto_rebuy", SWITCH),
        ("rebuy_gb", Int),
        ("rebuy_days", Int),
        ("rebuy_package_id", Int),
        ("rebuy_traffic_gb", Int),
        ("rebuy_plan_type", PLANS),
        ("rebuy_status", Word(&["normal", "insufficient", "failed"])),
    ];
    check("12", &strategy, &one["strategy"]);
    assert_eq!(one["total_traffic"], 11i64 << 30);
    assert_eq!(api.get(&key, "/api/users/wallet/info").await.data()["balance"], 7000);
}

#[tokio::test]
async fn calls_13_and_14_trends() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let id = api.sub_account(&key, "ann.one").await;
    let params = json!({ "start_date": "2026-02-27", "end_date": "2026-03-01", "proxy_type": "residential" });
    let trend = get(&api, &key, "/api/users/traffic/trend", params.clone()).await;
    let days = trend["residential"].as_array().unwrap();
    assert_eq!((trend.as_object().unwrap().len(), days.len()), (1, 3));
    for day in days {
        check("13", TREND, day);
    }
    let mut params = params;
    params["subuser_id"] = json!(id);
    let trend = get(&api, &key, &format!("/api/users/traffic/{id}/trend"), params).await;
    check("14", TREND, &trend["residential"][0]);
    let all = json!({ "start_date": "2026-01-01", "end_date": "2026-03-01" });
    let trend = get(&api, &key, "/api/users/traffic/trend", all).await;
    for kind in ["residential", "datacenter", "mobile"] {
        assert_eq!(trend[kind].as_array().unwrap().len(), 30, "{kind}");
    }
    for (query, field) in [
        ("end_date=2026-03-01", "start_date"),
        ("start_date=&end_date=2026-03-01", "start_date"),
        ("start_date=2026-03-01", "end_date"),
        ("start_date=2026-3-1&end_date=2026-03-01", "start_date"),
        ("start_date=2026-02-29&end_date=2026-03-01", "start_date"),
        ("start_date=2026-03-02&end_date=2026-03-01", "start_date"),
        ("start_date=2026-03-01&end_date=2026-03-01&proxy_type=isp", "proxy_type"),
    ] {
        let answer = api.get(&key, &format!("/api/users/traffic/trend?{query}")).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{query}");
    }
    let with_time = "start_date=2026-03-01T10:00:00&end_date=2026-03-01%2023:59:59.43";
    assert_eq!(api.get(&key, &format!("/api/users/traffic/trend?{with_time}")).await.code(), 0);
}

#[tokio::test]
async fn buying_is_paid_once_and_never_on_credit() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 3500).await;
    let offer = api.offer().await;
    let path =
        format!("/api/users/traffic/packages/purchase?traffic_package_id={offer}&payment_type=wallet_only");
    let buy = |idempotency: &'static str| {
        let request = crate::common::request(Method::GET, &path).header("api-key", &key);
        let request = request.header("idempotency-key", idempotency).body(axum::body::Body::empty()).unwrap();
        api.send(request)
    };
    let first = buy("order-1").await;
    assert_eq!(first.data()["amount"], 3000);
    assert_eq!(buy("order-1").await.body, first.body, "the same key gives the first answer again");
    let broke = buy("order-2").await;
    assert_eq!((broke.status.as_u16(), broke.code()), (402, 40200));
    let other = json!({ "traffic_package_id": offer + 1, "payment_type": "wallet_only" });
    let request =
        crate::common::request(Method::POST, "/api/users/traffic/packages/purchase").header("api-key", &key);
    let request = request.header("idempotency-key", "order-1").header("content-type", "application/json");
    let reused = api.send(request.body(axum::body::Body::from(other.to_string())).unwrap()).await;
    assert_eq!(reused.code(), 40900);
    for bad in ["", " ", "a b"] {
        assert_eq!(buy(bad).await.code(), 40000, "{bad:?}");
    }
    let long: &'static str = "x".repeat(256).leak();
    assert_eq!(buy(long).await.code(), 40000);
    for query in
        ["payment_type=wallet_only", "traffic_package_id=1", "traffic_package_id=1&payment_type=card"]
    {
        assert_eq!(
            api.get(&key, &format!("/api/users/traffic/packages/purchase?{query}")).await.code(),
            40000
        );
    }
    let wallet = api.get(&key, "/api/users/wallet/info").await;
    assert_eq!(wallet.data()["balance"], 500);
    assert_eq!(api.get(ADMIN, "/api/admin/audit-log").await.code(), 0);
}
