//! Who may call what: every route × no key, a wrong key, another tenant, a suspended account, the
//! operator. A route that is missing from the matrix fails the test.

mod statics;

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::common::{ADMIN, Answer, Api, request};
use statics::Statics;

/// Whom a route is for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum For {
    /// Any customer.
    Customers,
    /// The customer whose thing is named; to any other there is no such thing.
    Owner,
    /// The operator.
    Operator,
}

use For::{Customers, Operator, Owner};

/// What the calls are made about: all of it account A's.
struct Things {
    account: i64,
    sub_account: i64,
    entry: i64,
    offer: i64,
    exit: i64,
    statics: Statics,
}

type Row = (&'static str, &'static str, For, Value);

/// Every route, with a body that makes sense. `{…}` in paths is filled in.
fn matrix(things: &Things) -> Vec<Row> {
    let Things { sub_account, entry, offer, .. } = *things;
    let none = Value::Null;
    let dates = json!({ "start_date": "2026-03-01", "end_date": "2026-03-01" });
    let purchase = json!({ "traffic_package_id": offer, "payment_type": "wallet_only" });
    let mut rows = vec![
        ("GET", "/api/users/me/info", Customers, none.clone()),
        ("GET", "/api/users/wallet/info", Customers, none.clone()),
        ("GET", "/api/users/wallet/ledger", Customers, none.clone()),
        (
            "POST",
            "/api/users/subuser/create",
            Customers,
            json!({ "username": "new.one", "password": "secret-1" }),
        ),
        ("GET", "/api/users/subuser/list", Customers, none.clone()),
        ("POST", "/api/users/subuser/update", Owner, json!({ "id": sub_account, "remark": "changed" })),
        ("GET", "/api/users/subuser/{subuser_id}", Owner, none.clone()),
        ("GET", "/api/users/proxy/whitelist", Customers, none.clone()),
        ("POST", "/api/users/proxy/add-whitelist", Customers, json!({ "ip": "198.51.100.1" })),
        ("GET", "/api/users/proxy/delete-whitelist", Owner, json!({ "id": entry })),
        ("POST", "/api/users/proxy/delete-whitelist", Owner, json!({ "id": entry })),
        ("GET", "/api/users/proxy/endpoints", Owner, json!({ "subuser_id": sub_account })),
        ("GET", "/api/users/proxy/refusals", Customers, none.clone()),
        ("GET", "/api/users/traffic/packages", Customers, none.clone()),
        ("GET", "/api/users/traffic/packages/purchase", Owner, purchase.clone()),
        ("POST", "/api/users/traffic/packages/purchase", Owner, purchase),
        ("GET", "/api/users/traffic/packages/current", Customers, none.clone()),
        (
            "POST",
            "/api/users/traffic/packages/strategy",
            Customers,
            json!({ "proxy_type": "mobile", "remind_gb": 2 }),
        ),
        (
            "POST",
            "/api/users/traffic/packages/status",
            Customers,
            json!({ "proxy_type": "mobile", "status": "active" }),
        ),
        ("GET", "/api/users/events", Customers, none.clone()),
        ("GET", "/api/users/notices", Customers, none.clone()),
        ("POST", "/api/users/notices/webhook", Customers, json!({ "url": "https://ann.example/" })),
        ("POST", "/api/users/notices/webhook/rotate-secret", Customers, none.clone()),
        ("POST", "/api/users/notices/email", Customers, none.clone()),
        ("POST", "/api/users/notices/test", Customers, none.clone()),
        ("POST", "/api/users/notices/webhook/delete", Customers, none.clone()),
        ("POST", "/api/users/notices/email/delete", Customers, none.clone()),
        ("POST", "/api/users/wallet/remind", Customers, json!({ "low_balance": 1 })),
        ("GET", "/api/users/traffic/trend", Customers, dates.clone()),
        ("GET", "/api/users/traffic/{subuser_id}/trend", Owner, dates),
        ("POST", "/api/users/subuser/delete", Owner, json!({ "id": sub_account })),
        ("POST", "/api/users/me/rotate-key", Customers, none.clone()),
        ("GET", "/api/admin/accounts", Operator, none.clone()),
        ("POST", "/api/admin/accounts", Operator, json!({ "username": "carl", "email": "carl@example.com" })),
        ("GET", "/api/admin/accounts/{id}", Operator, none.clone()),
        ("POST", "/api/admin/accounts/{id}/update", Operator, json!({ "res_price": 1 })),
        ("POST", "/api/admin/accounts/{id}/recharge", Operator, json!({ "amount": 1, "reference": "r" })),
        ("POST", "/api/admin/accounts/{id}/adjust", Operator, json!({ "amount": 1, "reason": "r" })),
        ("GET", "/api/admin/accounts/{id}/ledger", Operator, none.clone()),
        ("POST", "/api/admin/accounts/{id}/rotate-key", Operator, none.clone()),
        ("GET", "/api/admin/traffic-packages", Operator, none.clone()),
        (
            "POST",
            "/api/admin/traffic-packages",
            Operator,
            json!({ "proxy_type": "mobile", "traffic_gb": 1, "price": 1, "duration": 1, "plan_type": "personal" }),
        ),
        ("POST", "/api/admin/traffic-packages/{id}/update", Operator, json!({ "price": 2 })),
        ("GET", "/api/admin/exits", Operator, none.clone()),
        (
            "POST",
            "/api/admin/exits",
            Operator,
            json!({ "name": "new", "proxy_type": "mobile", "kind": "direct", "country": "us" }),
        ),
        ("POST", "/api/admin/exits/{id}/update", Operator, json!({ "weight": 2 })),
        ("POST", "/api/admin/exits/{id}/delete", Operator, none.clone()),
        ("GET", "/api/admin/overview", Operator, none.clone()),
        ("GET", "/api/admin/connections", Operator, none.clone()),
        ("POST", "/api/admin/connections/{id}/close", Operator, none.clone()),
        ("GET", "/api/admin/audit-log", Operator, none),
    ];
    rows.extend(things.statics.rows());
    rows
}

fn path_of(template: &str, things: &Things) -> String {
    let id = match template {
        path if path.starts_with("/api/admin/accounts") => things.account,
        path if path.starts_with("/api/admin/traffic-packages") => things.offer,
        path if path.starts_with("/api/admin/exits") => things.exit,
        path => things.statics.id_in(path).unwrap_or(7),
    };
    template.replace("{subuser_id}", &things.sub_account.to_string()).replace("{id}", &id.to_string())
}

async fn call(api: &Api, key: Option<&str>, (method, template, _, body): &Row, things: &Things) -> Answer {
    let mut call = request(Method::from_bytes(method.as_bytes()).unwrap(), &path_of(template, things));
    if let Some(key) = key {
        call = call.header("authorization", format!("Bearer {key}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    api.send(call.header("content-type", "application/json").body(body).unwrap()).await
}

/// Account A with one of each thing; its key.
async fn furnished(api: &Api) -> (Things, String) {
    let (account, key) = api.account("ann", 100_000).await;
    let sub_account = api.sub_account(&key, "ann.one").await;
    let listed = api.post(&key, "/api/users/proxy/add-whitelist", json!({ "ip": "203.0.113.7" })).await;
    let entry = listed.data()["id"].as_i64().unwrap();
    // Made for A alone, so that to anybody else there is no such package.
    let new = json!({ "proxy_type": "residential", "traffic_gb": 1, "price": 100, "duration": 30,
                      "plan_type": "custom", "account_ids": [account] });
    let made = api.post(ADMIN, "/api/admin/traffic-packages", new).await;
    let offer = made.data()["id"].as_i64().unwrap();
    let exit = api.exit("out").await;
    let statics = Statics::furnished(api, &key).await;
    (Things { account, sub_account, entry, offer, exit, statics }, key)
}

#[tokio::test]
async fn the_matrix_holds_every_route() {
    let document = serde_json::to_value(tollgate_api::openapi()).unwrap();
    let mut published = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            published.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let statics = Statics::default();
    let things = Things { account: 1, sub_account: 1, entry: 1, offer: 1, exit: 1, statics };
    let held: BTreeSet<_> =
        matrix(&things).iter().map(|(method, path, ..)| format!("{method} {path}")).collect();
    assert_eq!(published, held);
}

#[tokio::test]
async fn strangers_and_the_suspended_are_kept_out_of_everything() {
    let api = Api::new().await;
    let (things, _) = furnished(&api).await;
    let (suspended, key) = api.account("sue", 100_000).await;
    let change = json!({ "status": "suspended" });
    api.post(ADMIN, &format!("/api/admin/accounts/{suspended}/update"), change).await.data();
    for row in matrix(&things) {
        let expected_of_suspended = 40300;
        for (key, expected) in [
            (None, 40100),
            (Some("wrong"), 40100),
            (Some(""), 40100),
            (Some(key.as_str()), expected_of_suspended),
        ] {
            let answer = call(&api, key, &row, &things).await;
            assert_eq!(answer.code(), expected, "{} {} with {key:?}", row.0, row.1);
            assert_eq!(i64::from(answer.status.as_u16()), expected / 100);
        }
    }
}

#[tokio::test]
async fn customers_and_the_operator_stay_on_their_own_side() {
    let api = Api::new().await;
    let (things, key) = furnished(&api).await;
    for row in matrix(&things) {
        let (wrong_side, expected) = match row.2 {
            Customers | Owner => (ADMIN, 40100),
            Operator => (key.as_str(), 40300),
        };
        let answer = call(&api, Some(wrong_side), &row, &things).await;
        assert_eq!(answer.code(), expected, "{} {}", row.0, row.1);
    }
}

#[tokio::test]
async fn another_tenants_things_do_not_exist_and_do_not_change() {
    let api = Api::new().await;
    let (things, key) = furnished(&api).await;
    let (_, other) = api.account("bob", 100_000).await;
    let state = async || {
        let sub_account = api.get(&key, &format!("/api/users/subuser/{}", things.sub_account)).await.body;
        let whitelist = api.get(&key, "/api/users/proxy/whitelist").await.body;
        let proxies = api.proxies(&key, "res").await;
        (sub_account, whitelist, proxies, api.get(&key, "/api/users/wallet/info").await.body)
    };
    let before = state().await;
    for row in matrix(&things).into_iter().filter(|row| row.2 == Owner) {
        let answer = call(&api, Some(&other), &row, &things).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, 40400), "{} {}", row.0, row.1);
    }
    assert_eq!(state().await, before);
    assert_eq!(api.get(&other, "/api/users/wallet/info").await.data()["balance"], 100_000);
}

#[tokio::test]
async fn everyone_may_do_what_is_theirs() {
    let api = Api::new().await;
    let (things, key) = furnished(&api).await;
    let mut key = key;
    for row in matrix(&things) {
        let token = if row.2 == Operator { ADMIN } else { &key };
        let answer = call(&api, Some(token), &row, &things).await;
        // The entry is deleted by GET first, so that by POST there is none left.
        let gone = row.1.ends_with("delete-whitelist") && row.0 == "POST";
        assert_eq!(answer.code(), if gone { 40400 } else { 0 }, "{} {}: {answer:?}", row.0, row.1);
        if row.1.ends_with("/rotate-key") {
            let dead = api.get(&key, "/api/users/me/info").await;
            assert_eq!(dead.code(), 40100, "the old key is dead at once");
            key = answer.data()["api_key"].as_str().unwrap().to_owned();
        }
    }
}
