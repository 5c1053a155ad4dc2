//! The calls about events and notices: a snapshot of each, and what they refuse.

use serde_json::{Value, json};

use crate::common::{Answer, Api};

/// Status and body, without secrets.
fn shown(answer: Answer) -> Value {
    let mut shown = json!({ "status": answer.status.as_u16(), "body": answer.body });
    if let Some(secret) = shown.pointer_mut("/body/data/secret") {
        assert!(secret.as_str().unwrap().starts_with("whsec_"));
        *secret = json!("[secret]");
    }
    shown
}

macro_rules! assert_shows {
    ($name:literal, $answer:expr) => {
        insta::assert_json_snapshot!($name, shown($answer.await))
    };
}

#[tokio::test]
async fn every_call_answers_as_it_always_did() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 10_000).await;
    let post = |path: &'static str, body: Value| api.post(&key, path, body);
    assert_shows!("nothing_set", api.get(&key, "/api/users/notices"));
    assert_shows!(
        "webhook_made",
        post("/api/users/notices/webhook", json!({ "url": "https://ann.example/hook" }))
    );
    assert_shows!("webhook_changed", post("/api/users/notices/webhook", json!({ "status": "inactive" })));
    assert_shows!(
        "webhook_rotated",
        post("/api/users/notices/webhook/rotate-secret", json!({ "keep_old_hours": "2" }))
    );
    assert_shows!("email_set", post("/api/users/notices/email", json!({ "language": "en" })));
    assert_shows!("remind", post("/api/users/wallet/remind", json!({ "low_balance": 500 })));
    assert_shows!("test", post("/api/users/notices/test", json!({})));
    assert_shows!("settings", api.get(&key, "/api/users/notices"));
    assert_shows!("events", api.get(&key, "/api/users/events"));
    assert_shows!("events_none_left", api.get(&key, "/api/users/events?cursor=1&limit=1"));
    assert_shows!("webhook_deleted", post("/api/users/notices/webhook/delete", json!({})));
    assert_shows!("email_deleted", post("/api/users/notices/email/delete", json!({})));
}

#[tokio::test]
async fn a_secret_is_told_when_it_is_new_and_never_again() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let set = async || {
        let url = json!({ "url": "https://ann.example/hook" });
        api.post(&key, "/api/users/notices/webhook", url).await.data().clone()
    };
    assert!(set().await["secret"].is_string());
    assert!(set().await.get("secret").is_none());
    let all = api.get(&key, "/api/users/notices").await.data().to_string();
    assert!(all.contains("ann.example") && !all.contains("whsec_"), "{all}");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    for (path, body, field) in [
        ("notices/webhook", json!({}), "url"),
        ("notices/webhook", json!({ "url": 7 }), "url"),
        ("notices/webhook", json!({ "url": "https://u:p@ann.example/" }), "url"),
        ("notices/webhook", json!({ "url": "https://10.0.0.1/" }), "url"),
        ("notices/webhook", json!({ "url": "https://ann.example/", "status": "on" }), "status"),
        ("notices/email", json!({ "email": "nobody" }), "email"),
        ("notices/email", json!({ "language": "fr" }), "language"),
        ("wallet/remind", json!({}), "low_balance"),
        ("wallet/remind", json!({ "low_balance": -1 }), "low_balance"),
    ] {
        let refused = api.post(&key, &format!("/api/users/{path}"), body.clone()).await;
        assert_eq!(refused.code(), 40000, "{path} {body}");
        assert_eq!(refused.body["data"]["field"], field, "{path} {body}");
    }
    for (query, field) in
        [("cursor=-1", "cursor"), ("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=x", "cursor")]
    {
        let refused = api.get(&key, &format!("/api/users/events?{query}")).await;
        assert_eq!((refused.code(), &refused.body["data"]["field"]), (40000, &json!(field)), "{query}");
    }
    for path in ["webhook/rotate-secret", "webhook/delete", "email/delete", "test"] {
        let refused = api.post(&key, &format!("/api/users/notices/{path}"), json!({})).await;
        assert_eq!(refused.code(), 40400, "{path}");
    }
}

#[tokio::test]
async fn a_second_test_within_the_minute_is_told_when_to_come_back() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    api.post(&key, "/api/users/notices/email", json!({})).await.data();
    api.post(&key, "/api/users/notices/test", json!({})).await.data();
    let refused = api.post(&key, "/api/users/notices/test", json!({})).await;
    assert_eq!((refused.code(), refused.header("retry-after")), (42900, "61"));
    assert_eq!(api.get(&key, "/api/users/events").await.data()["records"].as_array().unwrap().len(), 1);
}
