//! Bad input to the JSON API, row by row of a table: it is refused, in the envelope, and nothing changes.

mod common;

use common::{PASSWORD, both_databases};
use serde_json::{Value, json};
use tollgate_testkit::world::{World, int};

/// Row, path, field, and the values that it refuses. Every other field is good.
fn refused() -> Vec<(&'static str, &'static str, &'static str, Vec<Value>)> {
    let limits = json!([-1, 0.5, i64::MAX, 8_589_934_592_i64, 9_223_372_036_854_775_808_u64, "x", true]);
    let names = ["", "ab", "a b", "a:b", "a@b", "a\r\nb", "a\u{0}b", "аnn.x", "😀😀😀", "\u{202e}abc"];
    let long = "a".repeat(256);
    let ips = ["0.0.0.0/0", "::/0", "01.2.3.4", "0.0.0.0", "::", "224.0.0.1", "nonsense", ""];
    let texts = |texts: &[&str]| texts.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let create = "/api/users/subuser/create";
    vec![
        ("QM-16", create, "res_traffic_limit", limits.as_array().cloned().unwrap_or_default()),
        ("API-15", create, "username", [texts(&names), vec![json!(long), json!(7), json!([])]].concat()),
        ("bad input", create, "remark", texts(&["a\u{0}b", "a\nb", &long])),
        ("bad input", create, "status", texts(&["on", "act", " "])),
        ("bad input", create, "password", texts(&["short", "with blank", "with:colon", &long])),
        ("API-17", "/api/users/proxy/add-whitelist", "ip", texts(&ips)),
    ]
}

both_databases!(bad_values_are_refused_and_leave_nothing, |world: World| async move {
    let ann = world.customer("ann", 0).await;
    let api = world.api(&ann.key);
    for (row, path, field, values) in refused() {
        for value in values {
            let mut body = json!({ "username": "ann.one", "password": PASSWORD, "ip": "192.0.2.7" });
            body[field] = value.clone();
            let answer = api.post(path, body).await;
            assert_eq!(
                (answer.status, answer.code()),
                (400, 40000),
                "{row} {field} {value}: {}",
                answer.body
            );
            let message = answer.body["message"].as_str().expect("a message");
            assert!(message.contains(field), "{row} {field} {value}: {message}");
        }
    }
    for list in ["/api/users/subuser/list", "/api/users/proxy/whitelist"] {
        assert_eq!(int(&api.get(list).await.data()["total"]), 0, "{list}");
    }
});

both_databases!(one_cent_too_little_buys_nothing_and_a_key_charges_once, |world: World| async move {
    let ann = world.customer("ann", 299).await;
    let offer = world.offer("residential", 1, 300).await;
    let other = world.offer("residential", 1, 1).await;
    let api = world.api(&ann.key);
    let path = "/api/users/traffic/packages/purchase";
    let buy = |offer: i64| json!({ "traffic_package_id": offer, "payment_type": "wallet_only" });
    let answer = api.post(path, buy(offer)).await;
    assert_eq!((answer.status, answer.code()), (402, 40200), "{}", answer.body);
    let key = [("Idempotency-Key", "again")];
    let first = api.call("POST", path, &key, Some(&buy(other))).await;
    let again = api.call("POST", path, &key, Some(&buy(other))).await;
    assert_eq!(first.data(), again.data(), "BR-04");
    let reused = api.call("POST", path, &key, Some(&buy(offer))).await;
    assert_eq!((reused.status, reused.code()), (409, 40900), "BR-05: {}", reused.body);
    let wallet = api.get("/api/users/wallet/info").await;
    assert_eq!((int(&wallet.data()["balance"]), int(&wallet.data()["total_consume"])), (298, 1));
});
