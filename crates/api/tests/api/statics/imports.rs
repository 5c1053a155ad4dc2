//! Importing stock: all or nothing, every bad line named, as JSON and as CSV.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::common::{ADMIN, Answer, Api, request};

const STOCK: &str = "/api/admin/static/stock";

async fn csv(api: &Api, query: &str, media: &str, body: impl Into<Body>) -> Answer {
    let request = request(Method::POST, &format!("{STOCK}?{query}")).header("content-type", media);
    api.send(request.header("authorization", format!("Bearer {ADMIN}")).body(body.into()).unwrap()).await
}

async fn items(api: &Api, items: Value) -> Answer {
    api.post(ADMIN, STOCK, json!({ "proxy_type": "res", "country": "us", "items": items })).await
}

async fn total(api: &Api) -> i64 {
    api.get(ADMIN, STOCK).await.data()["total"].as_i64().unwrap()
}

/// Line and field of everything that is wrong.
fn bad(answer: &Answer) -> Vec<(i64, &str)> {
    assert_eq!((answer.status.as_u16(), answer.code()), (400, 40000), "{}", answer.text);
    let lines =
        answer.body["data"]["lines"].as_array().unwrap_or_else(|| panic!("no lines: {}", answer.text));
    lines.iter().map(|bad| (bad["line"].as_i64().unwrap(), bad["field"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn every_bad_item_is_named_and_none_is_imported() {
    let api = Api::new().await;
    api.stock("dc", "jp", 1..=1).await;
    let answer = items(
        &api,
        json!([
            { "listen_ip": "192.0.2.1", "listen_port": 8080 },
            { "listen_ip": "192.0.2.2", "listen_port": "8080", "exit_ip": null },
            { "listen_ip": "192.0.2.256", "listen_port": 8080 },
            { "listen_ip": "192.0.2.3" },
            { "listen_ip": "192.0.2.4", "listen_port": 0 },
            { "listen_ip": "192.0.2.5", "listen_port": 65536 },
            { "listen_ip": "192.0.2.6", "listen_port": 1.5 },
            { "listen_ip": 7, "listen_port": 8080 },
            "192.0.2.7:8080",
            { "listen_ip": "192.0.2.1", "listen_port": 8080 },
            { "listen_ip": "198.51.100.1", "listen_port": 8080 },
            { "listen_ip": "0.0.0.0", "listen_port": 8080 },
            { "listen_ip": "224.0.0.1", "listen_port": 8080 },
            { "listen_ip": "192.0.2.8", "listen_port": 8080, "exit_ip": "2001:db8::1" },
            { "listen_ip": "192.0.2.9", "listen_port": 8080, "exit_ip": "nowhere" },
            { "listen_ip": "192.0.2.10", "listen_port": 8080, "exit_ip": 7 },
        ]),
    )
    .await;
    let expected = [
        (3, "listen_ip"),
        (4, "listen_port"),
        (5, "listen_port"),
        (6, "listen_port"),
        (7, "listen_port"),
        (8, "listen_ip"),
        (9, "items"),
        (10, "listen_ip"),
        (11, "listen_ip"),
        (12, "listen_ip"),
        (13, "listen_ip"),
        (14, "exit_ip"),
        (15, "exit_ip"),
        (16, "exit_ip"),
    ];
    assert_eq!(bad(&answer), expected);
    assert!(
        answer.message().contains("14") && answer.message().contains("listen_ip"),
        "{}",
        answer.message()
    );
    assert_eq!(answer.body["data"]["lines"][7]["message"], "参数 listen_ip 重复");
    assert_eq!(total(&api).await, 1);

    let good = json!([
        { "listen_ip": "192.0.2.1", "listen_port": "8080" },
        { "listen_ip": "127.0.0.9", "listen_port": 8080, "exit_ip": " 10.0.0.1 " },
        { "listen_ip": "::ffff:192.0.2.2", "listen_port": 8080 },
        { "listen_ip": "2001:DB8:0::1", "listen_port": 8080, "exit_ip": "192.0.2.3", "country": "jp" },
    ]);
    let imported = items(&api, good.clone()).await;
    assert_eq!((&imported.data()["count"], imported.data()["ids"].as_array().unwrap().len()), (&json!(4), 4));
    let stock = api.get(ADMIN, &format!("{STOCK}?country=us")).await;
    let kept: Vec<_> = stock.data()["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["listen_ip"].as_str().unwrap(), item["exit_ip"].as_str().unwrap()))
        .collect();
    assert_eq!(
        kept,
        [
            ("2001:db8::1", "192.0.2.3"),
            ("192.0.2.2", "192.0.2.2"),
            ("127.0.0.9", "10.0.0.1"),
            ("192.0.2.1", "192.0.2.1"),
        ]
    );
    let again = items(&api, good).await;
    assert_eq!(bad(&again).len(), 4, "an address imported twice");
    assert_eq!(total(&api).await, 5);
}

#[tokio::test]
async fn only_the_address_of_one_host_is_taken() {
    // API-17
    let api = Api::new().await;
    let addresses = [
        "0.0.0.0/0",
        "::/0",
        "192.0.2.0/24",
        "01.2.3.4",
        "1.2.3",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        "fe80::1%eth0",
        "[::1]",
        "localhost",
        "192.0.2.1:80",
        "192.0.2.1\u{0}",
        "１.2.3.4",
        "",
        "' OR 1=1",
        "a\r\nb",
    ];
    let all: Vec<_> =
        addresses.map(|ip| json!({ "listen_ip": ip, "listen_port": 1, "exit_ip": "192.0.2.1" })).into();
    let lines: Vec<_> = (1..).zip(&all).map(|(line, _)| (line, "listen_ip")).collect();
    assert_eq!(bad(&items(&api, json!(all)).await), lines);
    let exits: Vec<_> = addresses
        .iter()
        .filter(|ip| !ip.is_empty())
        .map(|ip| json!({ "listen_ip": "192.0.2.1", "listen_port": 1, "exit_ip": ip }))
        .collect();
    let answer = items(&api, json!(exits)).await;
    assert_eq!(bad(&answer).iter().filter(|(_, field)| *field == "exit_ip").count(), exits.len());
    assert_eq!(total(&api).await, 0);
}

#[tokio::test]
async fn what_is_said_of_all_items_is_checked_too() {
    let api = Api::new().await;
    let one = json!([{ "listen_ip": "192.0.2.1", "listen_port": 1 }]);
    for (body, field) in [
        (json!({ "country": "us", "items": one }), "proxy_type"),
        (json!({ "proxy_type": "mobile", "country": "us", "items": one }), "proxy_type"),
        (json!({ "proxy_type": "res", "items": one }), "country"),
        (json!({ "proxy_type": "res", "country": "usa", "items": one }), "country"),
        (json!({ "proxy_type": "res", "country": "us" }), "items"),
        (json!({ "proxy_type": "res", "country": "us", "items": null }), "items"),
        (json!({ "proxy_type": "res", "country": "us", "items": [] }), "items"),
        (json!({ "proxy_type": "res", "country": "us", "items": {} }), "items"),
        (json!({ "proxy_type": "res", "country": "us", "items": "192.0.2.1:1" }), "items"),
    ] {
        let answer = api.post(ADMIN, STOCK, body.clone()).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{body}");
    }
    let twice = r#"{"proxy_type":"res","country":"us","items":[],"items":[{}]}"#;
    assert_eq!(api.send_json(Method::POST, ADMIN, STOCK, twice).await.body["data"]["field"], "items");
    let form = request(Method::POST, STOCK).header("authorization", format!("Bearer {ADMIN}"));
    let form = form.header("content-type", "application/x-www-form-urlencoded").body(Body::from("items=1"));
    assert_eq!(api.send(form.unwrap()).await.code(), 41500);
    assert_eq!(total(&api).await, 0);
}

#[tokio::test]
async fn a_csv_is_taken_as_spreadsheets_write_it() {
    let api = Api::new().await;
    let of = "proxy_type=ipv6&country=DE";
    let table = "\u{feff}listen_port,state,listen_ip,exit_ip\r\n\
                 8080,leased,\"2001:db8::1\",\r\n\
                 \r\n\
                 8081 , , 2001:db8::1 ,2001:db8::2\r\n\
                 8080,free,2001:db8::3\r\n";
    let answer = csv(&api, of, "text/csv; charset=UTF-8; header=present", table).await;
    assert_eq!(answer.data()["count"], 3, "{}", answer.text);
    let stock = api.get(ADMIN, &format!("{STOCK}?proxy_type=ipv6&country=de&listen_ip=2001:DB8::1")).await;
    let records = stock.data()["records"].as_array().unwrap();
    let kept: Vec<_> = records
        .iter()
        .map(|item| (item["listen_port"].as_i64().unwrap(), &item["exit_ip"], &item["state"]))
        .collect();
    assert_eq!(
        kept,
        [(8081, &json!("2001:db8::2"), &json!("free")), (8080, &json!("2001:db8::1"), &json!("free")),]
    );
}

#[tokio::test]
async fn every_bad_line_of_a_csv_is_named_as_an_editor_counts_it() {
    let api = Api::new().await;
    let of = "proxy_type=res&country=us";
    let table = "listen_ip,listen_port,exit_ip\n\
                 192.0.2.1,8080,\n\
                 192.0.2.2,x,\n\
                 \n\
                 ,8080,\n\
                 192.0.2.1,8080\n\
                 192.0.2.4,8080,,,\n\
                 192.0.2.5,8080,,stray\n\
                 nowhere,70000,::1\n";
    let answer = csv(&api, of, "text/csv", table).await;
    assert_eq!(
        bad(&answer),
        [
            (3, "listen_port"),
            (5, "listen_ip"),
            (6, "listen_ip"),
            (8, "cells"),
            (9, "listen_ip"),
            (9, "exit_ip"),
            (9, "listen_port"),
        ]
    );
    for (table, missing) in [
        ("192.0.2.1,8080\n", "listen_ip"),
        ("192.0.2.1,8080\n192.0.2.2,8080\n", "listen_ip"),
        ("listen_ip;listen_port\n192.0.2.1;8080\n", "listen_ip"),
        ("listen_ip,port\n192.0.2.1,8080\n", "listen_port"),
    ] {
        let answer = csv(&api, of, "text/csv", table).await;
        assert_eq!(answer.code(), 40000, "the first line is a header");
        assert!(answer.message().contains(missing), "{}", answer.message());
    }
    let doubled = csv(&api, of, "text/csv", "listen_ip,listen_ip,listen_port\n192.0.2.1,192.0.2.2,1\n").await;
    assert_eq!(bad(&doubled), [(2, "listen_ip")]);
    for (table, line) in [
        (&b"listen_ip,listen_port\n\"192.0.2.1,8080\n"[..], "2"),
        (b"listen_ip,listen_port\n192.0.2.1,8080\n19\"2.0.2.1,8080\n", "3"),
        (b"listen_ip,listen_port\n192.0.2.1,8080\n\xff,8080\n", "3"),
    ] {
        let answer = csv(&api, of, "text/csv", table.to_vec()).await;
        assert_eq!(answer.code(), 40000);
        assert!(answer.message().contains(line), "{}", answer.message());
    }
    for (query, table, field) in [
        ("country=us", "listen_ip,listen_port\n192.0.2.1,1\n", "proxy_type"),
        ("proxy_type=res", "listen_ip,listen_port\n192.0.2.1,1\n", "country"),
        ("proxy_type=&country=us", "listen_ip,listen_port\n192.0.2.1,1\n", "proxy_type"),
        ("proxy_type=res&country=us", "listen_ip,listen_port\n", "items"),
        ("proxy_type=res&country=us", "", "items"),
    ] {
        let answer = csv(&api, query, "text/csv", table).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{query}");
    }
    for media in ["text/csv; charset=utf-16", "text/plain", "text/tab-separated-values"] {
        assert_eq!(
            csv(&api, of, media, "listen_ip,listen_port\n192.0.2.1,1\n").await.code(),
            41500,
            "{media}"
        );
    }
    assert_eq!(total(&api).await, 0);
}

#[tokio::test]
async fn ten_thousand_addresses_are_imported_at_once_and_not_one_more() {
    let api = Api::with(|settings| settings.bounds.body_bytes = 1000).await;
    let item = |n: usize| {
        let ip = format!("2001:0db8:85a3:0000:0000:8a2e:{:04x}:{:04x}", n >> 16, n & 0xffff);
        json!({ "listen_ip": ip, "listen_port": 65535, "exit_ip": ip })
    };
    let all = |count: usize| {
        let items: Vec<_> = (0..count).map(item).collect();
        json!({ "proxy_type": "ipv6", "country": "us", "items": items })
    };
    let more = api.post(ADMIN, STOCK, all(10_001)).await;
    assert_eq!((more.code(), &more.body["data"]["field"]), (40000, &json!("items")));
    let whole = serde_json::to_string_pretty(&all(10_000)).unwrap();
    assert!(whole.len() > 1 << 20, "more than other calls take");
    assert_eq!(api.send_json(Method::POST, ADMIN, STOCK, &whole).await.data()["count"], 10_000);
    let again = api.send_json(Method::POST, ADMIN, STOCK, &whole).await;
    assert_eq!(bad(&again).len(), 10_000);
    let huge = "x".repeat((4 << 20) + 1);
    assert_eq!(csv(&api, "proxy_type=res&country=us", "text/csv", huge).await.code(), 41300);
    let elsewhere = json!({ "proxy_type": "res", "count": 1, "discount": 0, "period": 1, "price": 1, "x": "x".repeat(1000) });
    assert_eq!(api.post(ADMIN, "/api/admin/static/prices", elsewhere).await.code(), 41300);
}
