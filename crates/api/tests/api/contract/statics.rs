//! Calls 15 to 23: static proxies; and what of them the document implies.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use super::Kind::{self, Int, Text, Truth, When, Word};
use super::{SWITCH, check, get, post};
use crate::common::{ADMIN, Api, request};

const TYPES: Kind = Word(&["res", "dc", "ipv6"]);
const PROTOCOLS: Kind = Word(&["http", "socks5", "http/socks5"]);

const PROXY: &[(&str, Kind)] = &[
    ("order_no", Text),
    ("order_status", Word(&["pending", "completed", "refunding", "changing"])),
    ("proxy_address", Text),
    ("proxy_port", Text),
    ("proxy_user", Text),
    ("proxy_password", Text),
    ("protocol", PROTOCOLS),
    ("country", Text),
    ("remark", Text),
    ("auto_rebuy", SWITCH),
    ("rebuy_status", Word(&["normal", "insufficient", "failed"])),
    ("expire_time", When),
    ("create_time", When),
    // What the later calls need of a record.
    ("id", Int),
    ("proxy_type", TYPES),
];

const CREATE: &str = "/api/users/static/order/create";
const REBUY: &str = "/api/users/static/order/rebuy";

fn order(price: i64) -> Value {
    json!({
        "proxy_type": "res", "country": "us", "protocol": "http", "price_package_id": price,
        "payment_type": "wallet_only",
    })
}

#[tokio::test]
async fn calls_15_to_17_what_can_be_ordered() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let res = "/api/users/static/res/country";
    assert_eq!(get(&api, &key, res, json!({})).await, json!([]));
    for (static_type, country, host) in
        [("res", "us", 1), ("res", "hk", 2), ("res", "AL", 3), ("dc", "jp", 4), ("ipv6", "de", 5)]
    {
        api.stock(static_type, country, host..=host).await;
    }
    let names = |list: &Value| {
        let names =
            list.as_array().unwrap().iter().map(|one| one["country_name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let countries = get(&api, &key, res, json!({})).await;
    check("15", &[("country_code", Text), ("country_name", Text)], &countries[0]);
    assert_eq!(names(&countries), ["阿尔巴尼亚", "美国", "香港"], "by pinyin");
    assert_eq!(countries[2], json!({ "country_code": "hk", "country_name": "香港" }), "as in the document");
    let english = request(Method::GET, res).header("x-api-key", &key).header("accept-language", "en");
    let english = api.send(english.body(Body::empty()).unwrap()).await;
    assert_eq!(names(english.data()), ["Albania", "Hong Kong", "United States"]);

    let dc = "/api/users/static/dc/country";
    for (params, name) in [
        (json!({}), "日本"),
        (json!({ "ip_type": "" }), "日本"),
        (json!({ "ip_type": "ipv4" }), "日本"),
        (json!({ "ip_type": "ipv6" }), "德国"),
    ] {
        let countries = get(&api, &key, dc, params).await;
        check("16", &[("country_code", Text), ("country_name", Text)], &countries[0]);
        assert_eq!(names(&countries), [name]);
    }
    let wrong = api.get(&key, &format!("{dc}?ip_type=ipv5")).await;
    assert_eq!((wrong.code(), &wrong.body["data"]["field"]), (40000, &json!("ip_type")));

    let new = json!({ "proxy_type": "res", "count": 3, "discount": 15, "period": 30, "price": 333 });
    api.post(ADMIN, "/api/admin/static/prices", new).await.data();
    api.price("dc", 1, 100).await;
    let prices = "/api/users/static/price/package";
    let all = get(&api, &key, prices, json!({ "proxy_type": "" })).await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    let res = get(&api, &key, prices, json!({ "proxy_type": "res" })).await;
    let fields = [
        ("id", Int),
        ("proxy_type", TYPES),
        ("count", Int),
        ("discount", Int),
        ("period", Int),
        ("price", Int),
        ("amount", Int),
    ];
    check("17", &fields, &res[0]);
    assert_eq!((res.as_array().unwrap().len(), &res[0]["amount"]), (1, &json!(849)), "849.15 cents");
}

#[tokio::test]
async fn calls_18_and_19_ordering_and_renewing() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 4000).await;
    api.stock("res", "us", 1..=3).await;
    let price = api.price("res", 2, 500).await;
    let placed = post(&api, &key, CREATE, order(price)).await;
    check("18", &[("order_no", Text), ("amount", Int)], &placed);
    assert_eq!((&placed["amount"], &placed["order_status"]), (&json!(1000), &json!("completed")));

    let proxies = api.proxies(&key, "res").await;
    let ids: Vec<_> = proxies.iter().map(|proxy| proxy["id"].to_string()).collect();
    assert_eq!(ids.len(), 2);
    let rebuy = json!({ "proxy_type": "res", "proxy_ids": ids.join(","), "payment_type": "wallet_only" });
    let quote = "/api/users/static/order/rebuy/quote";
    let quoted = get(&api, &key, quote, rebuy.clone()).await;
    check("rebuy/quote", &[("amount", Int), ("balance", Int)], &quoted);
    let renewed = post(&api, &key, REBUY, rebuy.clone()).await;
    check("19", &[("order_no", Text), ("amount", Int)], &renewed);
    assert_eq!((&renewed["amount"], &renewed["proxies"]), (&quoted["amount"], &quoted["proxies"]));
    assert_eq!(renewed["proxies"][0]["expire_time"], "2026-04-30 12:00:00", "30 days and 30 more");
    assert_eq!(api.balance(&key).await, 2000);

    // By a form, with blanks as people write them.
    let form = format!("proxy_type=res&proxy_ids={}&payment_type=wallet_only", ids.join("%2C+"));
    assert_eq!(api.post_form(&key, REBUY, &form).await.data()["amount"], 1000);
    let orders = get(&api, &key, "/api/users/static/orders", json!({ "page": 1, "page_size": "10" })).await;
    let kinds: Vec<_> = orders["records"].as_array().unwrap().iter().map(|order| &order["kind"]).collect();
    assert_eq!(kinds, ["renewal", "renewal", "purchase"]);
}

#[tokio::test]
async fn ordering_is_paid_once_and_never_on_credit() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 1500).await;
    api.stock("res", "us", 1..=4).await;
    let price = api.price("res", 1, 500).await;
    let first = api.post_once(&key, CREATE, "order-1", order(price)).await;
    assert_eq!(first.data()["amount"], 500);
    let mut upper = order(price);
    upper["country"] = json!("US");
    upper["price_package_id"] = json!(price.to_string());
    for again in [order(price), upper] {
        assert_eq!(api.post_once(&key, CREATE, "order-1", again).await.body, first.body);
    }
    let mut other = order(price);
    other["protocol"] = json!("socks5");
    assert_eq!(api.post_once(&key, CREATE, "order-1", other).await.code(), 40900);
    assert_eq!(api.post_once(&key, CREATE, "a b", order(price)).await.code(), 40000);

    let id = api.proxies(&key, "res").await[0]["id"].to_string();
    let rebuy = json!({ "proxy_type": "res", "proxy_ids": id, "payment_type": "wallet_only" });
    let first = api.post_once(&key, REBUY, "renewal-1", rebuy.clone()).await;
    assert_eq!(first.data()["amount"], 500);
    assert_eq!(api.post_once(&key, REBUY, "renewal-1", rebuy.clone()).await.body, first.body);
    assert_eq!(
        api.post_once(&key, CREATE, "renewal-1", order(price)).await.code(),
        40900,
        "another call's key"
    );

    assert_eq!(api.post_once(&key, REBUY, "renewal-2", rebuy).await.data()["amount"], 500);
    assert_eq!(api.balance(&key).await, 0);
    let broke = api.post_once(&key, CREATE, "order-2", order(price)).await;
    assert_eq!((broke.status.as_u16(), broke.code()), (402, 40200));
    assert_eq!(api.proxies(&key, "res").await.len(), 1, "nothing half-allocated");
}

#[tokio::test]
async fn prices_cannot_be_talked_down() {
    // API-19
    let api = Api::new().await;
    let (_, key) = api.account("ann", 100_000).await;
    api.stock("res", "us", 1..=2).await;
    api.stock("dc", "us", 3..=4).await;
    let [price, dc, withdrawn] =
        [api.price("res", 2, 500).await, api.price("dc", 1, 1).await, api.price("res", 1, 1).await];
    let change = json!({ "on_sale": false });
    api.post(ADMIN, &format!("/api/admin/static/prices/{withdrawn}/update"), change).await.data();
    let long = "9".repeat(20);
    for (field, value, code) in [
        ("price_package_id", json!(dc), 40000),
        ("price_package_id", json!(withdrawn), 40400),
        ("price_package_id", json!(99), 40400),
        ("price_package_id", json!(-1), 40400),
        ("price_package_id", json!(0), 40400),
        ("price_package_id", json!(1.5), 40000),
        ("price_package_id", json!(long), 40000),
        ("price_package_id", json!(""), 40000),
        ("price_package_id", Value::Null, 40000),
        ("payment_type", json!("card"), 40000),
        ("payment_type", json!(""), 40000),
        ("payment_type", Value::Null, 40000),
        ("proxy_type", json!("mobile"), 40000),
        ("proxy_type", json!(["res"]), 40000),
        ("protocol", json!("https"), 40000),
        ("protocol", json!("socks5/http"), 40000),
        ("country", json!("usa"), 40000),
        ("country", json!("U"), 40000),
        ("country", json!("德国"), 40000),
        ("country", json!("xx"), 40000),
        ("country", json!("any"), 40000),
        ("country", json!(1), 40000),
    ] {
        let mut body = order(price);
        body[field] = value.clone();
        let answer = api.post(&key, CREATE, body).await;
        assert_eq!(answer.code(), code, "{field} {value}: {}", answer.text);
        if code == 40000 {
            assert_eq!(answer.body["data"]["field"], field, "{value}");
        }
    }
    assert_eq!(api.balance(&key).await, 100_000);
    // What is not the customer's to say is not listened to.
    let mut body = order(price);
    for (field, value) in [("amount", 1), ("price", 0), ("count", -5), ("discount", 100), ("account_id", 99)]
    {
        body[field] = json!(value);
    }
    assert_eq!(post(&api, &key, CREATE, body).await["amount"], 1000);
    let short = api.post(&key, CREATE, order(price)).await;
    assert_eq!((short.status.as_u16(), short.code()), (409, 40901));
    assert_eq!(api.balance(&key).await, 99_000);
}

#[tokio::test]
async fn a_quote_is_what_is_charged() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 5000).await;
    api.stock("res", "us", 1..=3).await;
    let new = json!({ "proxy_type": "res", "count": "3", "discount": 15, "period": 30, "price": 333 });
    let price = api.post(ADMIN, "/api/admin/static/prices", new).await.data()["id"].as_i64().unwrap();
    let quote = async || get(&api, &key, "/api/users/static/order/quote", order(price)).await;
    let before = quote().await;
    let fields = ["count", "period", "price", "discount", "amount", "balance"].map(|name| (name, Int));
    check("order/quote", &fields, &before);
    check("order/quote", &[("in_stock", Truth)], &before);
    assert_eq!(before["in_stock"], true);
    let placed = post(&api, &key, CREATE, order(price)).await;
    assert_eq!(placed["amount"], before["amount"]);
    let after = quote().await;
    let spent = before["balance"].as_i64().unwrap() - after["balance"].as_i64().unwrap();
    assert_eq!((json!(spent), &after["in_stock"]), (before["amount"].clone(), &json!(false)));
}

#[tokio::test]
async fn calls_20_and_21_lists() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 100_000).await;
    for (static_type, country, host) in [("res", "us", 1), ("dc", "jp", 2), ("ipv6", "de", 3)] {
        api.stock(static_type, country, host..=host).await;
        let price = api.price(static_type, 1, 100).await;
        api.order(&key, static_type, country, price).await.data();
    }
    for (list, addresses) in [("res", &["198.51.100.1"][..]), ("dc", &["2001:db8::3", "198.51.100.2"])] {
        let path = format!("/api/users/static/{list}/list");
        let records = post(&api, &key, &path, json!({ "page": 1, "page_size": 10 })).await;
        assert_eq!(records["total"], addresses.len());
        for (record, address) in records["records"].as_array().unwrap().iter().zip(addresses) {
            check("20, 21", PROXY, record);
            assert_eq!((&record["proxy_address"], &record["proxy_port"]), (&json!(address), &json!("8080")));
            assert_eq!(record["order_status"], "completed");
            assert_eq!(record["expire_time"], "2026-03-31 12:00:00");
        }
        // The document's own parameters, its malformed date among them.
        let sample = json!({
            "page": 1, "page_size": 10, "protocol": "http", "proxy_address": "127.0.0.1",
            "order_no": "16987AE6182", "expire_start": "2025-09-1412:50:06.43",
            "expire_end": "2025-09-14 12:50:06.43",
        });
        assert_eq!(post(&api, &key, &path, sample).await, json!({ "records": [], "total": 0 }));
        let none = json!({
            "page": "", "page_size": "", "protocol": "", "proxy_address": "", "order_no": "",
            "expire_start": "", "expire_end": "",
        });
        assert_eq!(post(&api, &key, &path, none).await, records, "what is empty filters nothing");
        assert_eq!(api.post_form(&key, &path, "page=1&page_size=10&protocol=").await.data(), &records);
        assert_eq!(api.post_form(&key, &path, "").await.data(), &records, "no body at all");
    }
}

#[tokio::test]
async fn lists_are_filtered_exactly_and_literally() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 100_000).await;
    api.stock("dc", "jp", 1..=2).await;
    api.stock("ipv6", "jp", 3..=3).await;
    for static_type in ["dc", "ipv6", "dc"] {
        let price = api.price(static_type, 1, 100).await;
        api.order(&key, static_type, "jp", price).await.data();
    }
    let proxies = api.proxies(&key, "dc").await;
    let order_no = proxies[0]["order_no"].as_str().unwrap();
    let path = "/api/users/static/dc/list";
    for (field, value, total) in [
        ("proxy_address", "198.51.100.1", 1),
        ("proxy_address", "2001:DB8:0::3", 1),
        ("proxy_address", "198.51.100.3", 0),
        ("order_no", order_no, 1),
        ("order_no", &order_no[..6], 0),
        ("order_no", &order_no.to_lowercase(), 0),
        // API-14
        ("order_no", "%", 0),
        ("order_no", "____________", 0),
        ("order_no", "' OR '1'='1", 0),
        ("protocol", "http/socks5", 3),
        ("protocol", "http", 0),
        // API-26
        ("expire_start", "2026-03-31", 3),
        ("expire_start", "2026-03-31 12:00:00", 3),
        ("expire_start", "2026-03-31T12:00:00.000001Z", 0),
        ("expire_start", "2026-03-3112:00:00.43", 0),
        ("expire_end", "2026-03-31", 3),
        ("expire_end", "2026-03-31 12:00:00", 3),
        ("expire_end", "2026-03-31 11:59", 0),
        ("expire_end", "2026-03-30", 0),
    ] {
        let answer = api.post(&key, path, json!({ field: value })).await;
        assert_eq!(answer.data()["total"], total, "{field} {value}");
    }
    for (params, field) in [
        (json!({ "proxy_address": "198.51.100.%" }), "proxy_address"),
        (json!({ "proxy_address": "198.51.100" }), "proxy_address"),
        (json!({ "proxy_address": "a\u{0}b" }), "proxy_address"),
        (json!({ "order_no": 7 }), "order_no"),
        (json!({ "protocol": "https" }), "protocol"),
        (json!({ "expire_start": "2025-09-14:32:33" }), "expire_start"),
        (json!({ "expire_start": "2026-02-29" }), "expire_start"),
        (json!({ "expire_end": "yesterday" }), "expire_end"),
        (json!({ "expire_end": 1_700_000_000 }), "expire_end"),
        (json!({ "expire_start": "2026-03-02", "expire_end": "2026-03-01" }), "expire_start"),
        (json!({ "page": 0 }), "page"),
        (json!({ "page_size": 1001 }), "page_size"),
    ] {
        let answer = api.post(&key, path, params.clone()).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{params}");
        assert!(answer.message().contains(field), "{}", answer.message());
    }
}

#[tokio::test]
async fn calls_22_and_23_renewing_by_itself_and_remarks() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 600).await;
    api.stock("res", "us", 1..=1).await;
    let price = api.price("res", 1, 300).await;
    post(&api, &key, CREATE, order(price)).await;
    let id = api.proxies(&key, "res").await[0]["id"].as_i64().unwrap();
    let switch = |on: &str| json!({ "id": id, "proxy_type": "res", "auto_rebuy": on });
    let remark = json!({ "id": id, "proxy_type": "res", "remark": "string" });
    assert_eq!(post(&api, &key, "/api/users/static/auto-rebuy", switch("active")).await, Value::Null);
    assert_eq!(post(&api, &key, "/api/users/static/remark", remark).await, Value::Null);
    let proxy = &api.proxies(&key, "res").await[0];
    assert_eq!((&proxy["auto_rebuy"], &proxy["remark"]), (&json!("active"), &json!("string")));
    let form = format!("id={id}&proxy_type=res&remark=");
    assert_eq!(
        api.post_form(&key, "/api/users/static/remark", &form).await.code(),
        0,
        "a remark may be empty"
    );
    assert_eq!(api.proxies(&key, "res").await[0]["remark"], "");

    // It renews itself three days ahead, and then cannot any more.
    api.clock.advance(Duration::from_secs(27 * 24 * 3600));
    api.work().await;
    let proxy = &api.proxies(&key, "res").await[0];
    assert_eq!(proxy["expire_time"], "2026-04-30 12:00:00");
    assert_eq!((api.balance(&key).await, &proxy["rebuy_status"]), (0, &json!("normal")));
    api.clock.advance(Duration::from_secs(30 * 24 * 3600));
    api.work().await;
    assert_eq!(api.proxies(&key, "res").await[0]["rebuy_status"], "insufficient");

    for (path, body, code, field) in [
        ("auto-rebuy", json!({ "id": id, "proxy_type": "dc", "auto_rebuy": "active" }), 40400, None),
        ("auto-rebuy", json!({ "id": id, "proxy_type": "res" }), 40000, Some("auto_rebuy")),
        (
            "auto-rebuy",
            json!({ "id": id, "proxy_type": "res", "auto_rebuy": true }),
            40000,
            Some("auto_rebuy"),
        ),
        ("auto-rebuy", json!({ "id": 99, "proxy_type": "res", "auto_rebuy": "active" }), 40400, None),
        ("remark", json!({ "id": id, "proxy_type": "dc", "remark": "x" }), 40400, None),
        ("remark", json!({ "id": id, "proxy_type": "res" }), 40000, Some("remark")),
        ("remark", json!({ "id": id, "proxy_type": "res", "remark": "a\nb" }), 40000, Some("remark")),
        (
            "remark",
            json!({ "id": id, "proxy_type": "res", "remark": "x".repeat(256) }),
            40000,
            Some("remark"),
        ),
        ("remark", json!({ "proxy_type": "res", "remark": "x" }), 40000, Some("id")),
    ] {
        let answer = api.post(&key, &format!("/api/users/static/{path}"), body.clone()).await;
        assert_eq!(answer.code(), code, "{body}");
        assert_eq!(answer.body["data"]["field"].as_str(), field, "{body}");
    }
}
