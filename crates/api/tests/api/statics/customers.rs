//! Exports, replacements, refunds, traffic.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_core::statics::count_traffic;
use tollgate_types::{BootId, GatewayId, StaticProxyId, StaticTraffic};

use crate::common::{ADMIN, Answer, Api};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Ann with a proxy of each type: an HTTP one in the US, a SOCKS5 one in Japan, a German one that
/// speaks both; newest first.
async fn three() -> (Api, String, Vec<Value>) {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 100_000).await;
    for (static_type, country, protocol, host) in
        [("res", "us", "http", 1), ("dc", "jp", "socks5", 2), ("ipv6", "de", "http/socks5", 3)]
    {
        api.stock(static_type, country, host..=host).await;
        let price = api.price(static_type, 1, 3000).await;
        let order = json!({ "proxy_type": static_type, "country": country, "protocol": protocol,
                            "price_package_id": price, "payment_type": "wallet_only" });
        api.post(&key, "/api/users/static/order/create", order).await.data();
    }
    let proxies = [api.proxies(&key, "dc").await, api.proxies(&key, "res").await].concat();
    (api, key, proxies)
}

async fn export(api: &Api, key: &str, query: &str) -> Answer {
    api.get(key, &format!("/api/users/static/export?{query}")).await
}

fn text<'v>(proxy: &'v Value, field: &str) -> &'v str {
    proxy[field].as_str().unwrap()
}

#[tokio::test]
async fn exports_come_in_the_forms_that_are_pasted() {
    let (api, key, proxies) = three().await;
    let hosts = ["[2001:db8::3]:8080", "198.51.100.2:8080", "198.51.100.1:8080"];
    let logins: Vec<_> = proxies
        .iter()
        .map(|proxy| format!("{}:{}", text(proxy, "proxy_user"), text(proxy, "proxy_password")))
        .collect();
    let lines = |line: &dyn Fn(usize) -> String| (0..3).map(|n| line(n) + "\n").collect::<String>();

    let txt = lines(&|n| format!("{}:{}", hosts[n], logins[n]));
    for query in ["", "format=", "format=txt", "format=txt&template=&proxy_type="] {
        let answer = export(&api, &key, query).await;
        assert_eq!(answer.text, txt, "{query}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("content-disposition"), "attachment; filename=\"static-proxies.txt\"");
        assert_eq!(
            (answer.header("cache-control"), answer.header("x-content-type-options")),
            ("no-store", "nosniff")
        );
    }
    let url = export(&api, &key, "format=url").await;
    let schemes = ["http", "socks5", "http"];
    assert_eq!(url.text, lines(&|n| format!("{}://{}@{}", schemes[n], logins[n], hosts[n])));

    let own = export(&api, &key, "template=%25protocol%25%5Ct%25country%25%5Ct%25ip%25%25port%25").await;
    assert_eq!(
        own.text,
        "http/socks5\tde\t2001:db8::38080\nsocks5\tjp\t198.51.100.28080\nhttp\tus\t198.51.100.18080\n"
    );
    let own = export(&api, &key, "proxy_type=ipv6&template=%25login%25@%25ip%25:%25port%25").await;
    assert_eq!(own.text, format!("{}@[2001:db8::3]:8080\n", text(&proxies[0], "proxy_user")));

    let json = export(&api, &key, "format=json").await;
    assert_eq!(json.data(), &json!(proxies), "as the lists show them");
    assert_eq!(json.header("content-disposition"), "attachment; filename=\"static-proxies.json\"");
}

#[tokio::test]
async fn an_export_holds_what_matches_and_works() {
    let (api, key, proxies) = three().await;
    for (query, count) in [
        ("proxy_type=res", 1),
        ("protocol=socks5", 1),
        ("proxy_address=2001:db8:0::3", 1),
        ("proxy_address=198.51.100.9", 0),
        (&format!("order_no={}", text(&proxies[1], "order_no")), 1),
        ("expire_start=2026-03-31&expire_end=2026-03-31", 3),
        ("expire_end=2026-03-30", 0),
    ] {
        let answer = export(&api, &key, query).await;
        assert_eq!(answer.text.lines().count(), count, "{query}");
    }
    for (query, field) in [
        ("format=xml", "format"),
        ("template=%25user%25", "template"),
        ("template=100%25", "template"),
        ("template=nothing", "template"),
        ("template=%25ip%25%0A", "template"),
        ("format=csv&template=%25ip%25", "template"),
        (&format!("template=%25ip%25{}", "x".repeat(200)), "template"),
        ("proxy_type=mobile", "proxy_type"),
        ("expire_start=2026-03-02&expire_end=2026-03-01", "expire_start"),
    ] {
        let answer = export(&api, &key, query).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{query}");
        assert!(answer.message().contains(field), "{}", answer.message());
    }
    api.clock.advance(30 * DAY);
    assert_eq!(export(&api, &key, "").await.text, "", "what has expired is not handed out");
}

#[tokio::test]
async fn a_table_is_quoted_and_holds_no_formulas() {
    let (api, key, proxies) = three().await;
    let remark = "=HYPERLINK(\"http://evil\",\"x\")";
    let id = &proxies[2]["id"];
    let change = json!({ "id": id, "proxy_type": "res", "remark": remark });
    api.post(&key, "/api/users/static/remark", change).await;
    let answer = export(&api, &key, "format=csv&proxy_type=res").await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    let header = "proxy_address,proxy_port,proxy_user,proxy_password,protocol,country,proxy_type,order_no,expire_time,remark,id";
    let [user, password, order_no] =
        ["proxy_user", "proxy_password", "order_no"].map(|field| text(&proxies[2], field));
    let row = format!(
        "198.51.100.1,8080,{user},{password},http,us,res,{order_no},2026-03-31 12:00:00,\
         \"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\",{id}"
    );
    assert_eq!(answer.text, format!("{header}\r\n{row}\r\n"));
}

#[tokio::test]
async fn a_proxy_gets_another_address_once_a_day() {
    let (api, key, proxies) = three().await;
    let replace = async |reason: &str| {
        let ask = json!({ "id": proxies[2]["id"], "reason": reason });
        api.post(&key, "/api/users/static/replace", ask).await
    };
    let none = replace("blocked").await;
    assert_eq!((none.status.as_u16(), none.code()), (409, 40901), "no other address is free");
    api.stock("res", "us", 11..=12).await;
    for wrong in ["", "a\nb", &"x".repeat(256)] {
        assert_eq!(replace(wrong).await.body["data"]["field"], "reason", "{wrong:?}");
    }
    assert_eq!(replace("blocked").await.data()["waits_for_operator"], false);
    assert_eq!(api.proxies(&key, "res").await[0]["order_status"], "changing");
    assert_eq!(replace("blocked").await.code(), 40900, "one at a time");
    api.work().await;
    let proxy = &api.proxies(&key, "res").await[0];
    assert_eq!(
        (&proxy["order_status"], &proxy["proxy_address"]),
        (&json!("completed"), &json!("198.51.100.11"))
    );
    for same in ["id", "proxy_user", "proxy_password", "expire_time", "order_no", "country"] {
        assert_eq!(proxy[same], proxies[2][same], "{same}");
    }

    let again = replace("blocked again").await;
    assert_eq!(again.data()["waits_for_operator"], true);
    api.work().await;
    assert_eq!(api.proxies(&key, "res").await[0]["order_status"], "changing");
    let id = &again.data()["request_id"];
    let approve = format!("/api/admin/static/requests/{id}/approve");
    api.post(ADMIN, &approve, json!({ "note": "as you like" })).await.data();
    api.work().await;
    assert_eq!(api.proxies(&key, "res").await[0]["proxy_address"], "198.51.100.12");
    assert_eq!(api.post(ADMIN, &approve, json!({})).await.code(), 40900, "decided already");

    let history = api.get(&key, "/api/users/static/requests?kind=replace&state=done").await;
    let moved: Vec<_> = history.data()["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|request| (text(request, "old_address"), text(request, "new_address"), text(request, "note")))
        .collect();
    assert_eq!(
        moved,
        [
            ("198.51.100.11:8080", "198.51.100.12:8080", "as you like"),
            ("198.51.100.1:8080", "198.51.100.11:8080", ""),
        ]
    );
}

#[tokio::test]
async fn a_refund_pays_back_the_days_that_are_left() {
    let (api, key, proxies) = three().await;
    let id = &proxies[2]["id"];
    let ask = json!({ "id": id, "reason": "not needed" });
    let rebuy = json!({ "proxy_type": "res", "proxy_ids": id.to_string(), "payment_type": "wallet_only" });
    let before = api.balance(&key).await;
    api.clock.advance(DAY / 2);
    let asked = api.post(&key, "/api/users/static/refund", ask.clone()).await;
    assert_eq!(asked.data()["amount"], 2900, "29 whole days of 30");
    assert_eq!(api.proxies(&key, "res").await[0]["order_status"], "refunding");
    assert_eq!(api.post(&key, "/api/users/static/order/rebuy", rebuy.clone()).await.code(), 40900);
    assert_eq!(api.balance(&key).await, before, "nothing before the operator says so");

    let withdraw = json!({ "id": id });
    assert_eq!(api.post(&key, "/api/users/static/withdraw", withdraw.clone()).await.code(), 0);
    assert_eq!(api.post(&key, "/api/users/static/withdraw", withdraw).await.code(), 40400);
    let refused = api.post(&key, "/api/users/static/refund", ask.clone()).await.data()["request_id"].clone();
    let refuse = format!("/api/admin/static/requests/{refused}/refuse");
    api.post(ADMIN, &refuse, json!({ "note": "it works" })).await;
    assert_eq!(api.proxies(&key, "res").await[0]["order_status"], "completed");

    let asked = api.post(&key, "/api/users/static/refund", ask).await.data()["request_id"].clone();
    let waiting = api.get(ADMIN, "/api/admin/static/requests?kind=refund&state=asked").await;
    assert_eq!((&waiting.data()["total"], &waiting.data()["records"][0]["id"]), (&json!(1), &asked));
    let approve = format!("/api/admin/static/requests/{asked}/approve");
    assert_eq!(api.post(ADMIN, &approve, json!({})).await.data()["amount"], 2900);
    assert_eq!(api.balance(&key).await, before + 2900);
    assert_eq!(api.proxies(&key, "res").await, Vec::<Value>::new());
    assert_eq!(api.post(&key, "/api/users/static/order/rebuy", rebuy).await.code(), 40400);
    let wallet = api.get(&key, "/api/users/wallet/info").await;
    let [recharged, consumed, balance] =
        ["total_recharge", "total_consume", "balance"].map(|field| wallet.data()[field].as_i64().unwrap());
    assert_eq!(recharged - consumed, balance);
    let ledger = api.get(&key, "/api/users/wallet/ledger?page_size=1").await;
    let line = &ledger.data()["records"][0];
    assert_eq!((&line["kind"], &line["amount"]), (&json!("static_refunded"), &json!(2900)));
}

#[tokio::test]
async fn traffic_is_told_by_day() {
    let (api, key, proxies) = three().await;
    let id = proxies[2]["id"].as_i64().unwrap();
    let traffic = StaticTraffic { id: StaticProxyId::new(id), bytes_up: 10, bytes_down: 200, connections: 3 };
    for _ in 0..2 {
        count_traffic(&api.core, GatewayId::new(1), BootId::new(1), vec![traffic]).await.unwrap();
    }
    let path = |query: &str| format!("/api/users/static/{id}/usage?{query}");
    let days = api.get(&key, &path("start_date=2026-02-28&end_date=2026-03-01")).await;
    let expected = json!([
        { "day": "2026-02-28", "upload": 0, "download": 0, "total_traffic": 0, "connections": 0 },
        { "day": "2026-03-01", "upload": 10, "download": 200, "total_traffic": 210, "connections": 3 },
    ]);
    assert_eq!(days.data(), &expected);
    for (query, field) in [
        ("end_date=2026-03-01", "start_date"),
        ("start_date=2026-03-01", "end_date"),
        ("start_date=2026-3-1&end_date=2026-03-01", "start_date"),
        ("start_date=2026-03-02&end_date=2026-03-01", "start_date"),
    ] {
        let answer = api.get(&key, &path(query)).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{query}");
    }
    for wrong in ["res", "x", "-1", "1.0", "99999999999999999999"] {
        let answer = api.get(&key, &format!("/api/users/static/{wrong}/usage")).await;
        assert_eq!(answer.body["data"]["field"], "id", "{wrong}");
    }
}
