//! What holds for every call: the envelope on every path, methods, media types, where parameters
//! and keys may come from, languages, limits, headers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode};
use hyper::body::{self as http_body, Frame};
use serde_json::json;
use tower::ServiceExt;

use crate::common::{ADMIN, Answer, Api, request};

#[tokio::test]
async fn an_unknown_path_is_answered_in_the_envelope() {
    let api = Api::new().await;
    for path in ["/", "/api", "/api/users/nothing", "/api/users/me/info/", "/docs/nothing", "/api/users/%ff"]
    {
        let answer = api.get("x", path).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, 40400), "{path}");
        assert!(answer.body.as_object().unwrap().contains_key("data"), "{path}");
    }
}

#[tokio::test]
async fn only_documented_methods_act_and_allow_names_them() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 10_000).await;
    let offer = api.offer().await;
    let purchase =
        format!("/api/users/traffic/packages/purchase?traffic_package_id={offer}&payment_type=wallet_only");
    let cases = [
        (purchase.as_str(), "GET, POST"),
        ("/api/users/proxy/delete-whitelist?id=1", "GET, POST"),
        ("/api/users/me/info", "GET"),
        ("/api/users/subuser/create", "POST"),
        ("/api/users/subuser/1", "GET"),
        ("/openapi.json", "GET"),
        ("/docs/", "GET"),
    ];
    let undocumented = ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];
    for (path, allow) in cases {
        for method in undocumented {
            let request = request(Method::from_bytes(method.as_bytes()).unwrap(), path);
            let answer = api.send(request.header("x-api-key", &key).body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header("allow"), allow, "{method} {path}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{method} {path}");
        }
    }
    let wallet = api.get(&key, "/api/users/wallet/info").await;
    assert_eq!(wallet.data()["balance"], 10_000, "HEAD bought something");
}

#[tokio::test]
async fn keys_come_in_three_headers_and_nowhere_else() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let path = "/api/users/me/info";
    let bearer = format!("Bearer {key}");
    for (name, value) in
        [("authorization", &bearer), ("x-api-key", &key), ("api-key", &key), ("Api-Key", &key)]
    {
        let answer =
            api.send(request(Method::GET, path).header(name, value).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.data()["username"], "ann", "{name}");
    }
    let in_query = format!("{path}?api_key={key}&x-api-key={key}&key={key}");
    let cookie = format!("api_key={key}; api-key={key}; session={key}");
    let basic = format!("Basic {key}");
    let none = api.send(request(Method::GET, path).body(Body::empty()).unwrap()).await;
    assert_eq!(
        (none.status, none.code(), none.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, 40100, "Bearer")
    );
    for wrong in [
        request(Method::GET, path).header("x-api-key", "wrong"),
        request(Method::GET, path).header("x-api-key", ADMIN),
        request(Method::GET, &in_query),
        request(Method::GET, path).header("cookie", &cookie),
        request(Method::GET, path).header("authorization", &basic),
        request(Method::GET, path).header("authorization", "Bearer "),
    ] {
        let answer = api.send(wrong.body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status, &answer.body), (none.status, &none.body));
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn a_get_call_takes_query_and_json_body_and_the_query_wins() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    for name in ["one.a", "two.a", "three.b"] {
        api.sub_account(&key, name).await;
    }
    let list = "/api/users/subuser/list";
    let total = |answer: &Answer| answer.data()["total"].as_i64().unwrap();
    assert_eq!(total(&api.get(&key, &format!("{list}?user_name=.a")).await), 2);
    let body = r#"{"page": 1, "page_size": "10", "user_name": ".a", "status": "", "unknown": {}}"#;
    assert_eq!(total(&api.send_json(Method::GET, &key, list, body).await), 2);
    let both = api.send_json(Method::GET, &key, &format!("{list}?user_name=three"), body).await;
    assert_eq!(total(&both), 1);
    let without_type = request(Method::GET, list).header("api-key", &key).body(Body::from(body)).unwrap();
    assert_eq!(total(&api.send(without_type).await), 2);
    let nothing = api.send_json(Method::GET, &key, list, "").await;
    assert_eq!(total(&nothing), 3);
}

#[tokio::test]
async fn a_post_call_takes_json_and_forms_from_its_body_only() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let path = "/api/users/proxy/add-whitelist";
    let form = |media: &str, body: &'static str| {
        request(Method::POST, path)
            .header("x-api-key", &key)
            .header("content-type", media)
            .body(Body::from(body))
            .unwrap()
    };
    let answer = api.send(form("application/x-www-form-urlencoded", "ip=203.0.113.7&remark=a+b%21")).await;
    assert_eq!(answer.data()["id"], 1);
    let answer = api.send(form("Application/JSON; charset=\"UTF-8\"", r#"{"ip":"203.0.113.8"}"#)).await;
    assert_eq!(answer.data()["id"], 2);
    let by_query =
        request(Method::POST, "/api/users/proxy/add-whitelist?ip=203.0.113.9").header("x-api-key", &key);
    let answer = api.send(by_query.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!("ip")));
    for media in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "",
        "application/json; charset=utf-16",
    ] {
        let answer = api.send(form(media, r#"{"ip":"203.0.113.10"}"#)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, 41500), "{media:?}");
    }
    let packed = request(Method::POST, path).header("x-api-key", &key).header("content-encoding", "gzip");
    let answer =
        api.send(packed.header("content-type", "application/json").body(Body::from("{}")).unwrap()).await;
    assert_eq!(answer.code(), 41500);
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_refused_and_large_ones_too() {
    let api = Api::with(|settings| settings.bounds.body_bytes = 1000).await;
    let (_, key) = api.account("ann", 0).await;
    let path = "/api/users/subuser/create";
    for body in
        ["{", "[]", "\u{feff}{}", "{\"username\":\"\\ud800\"}", "{\"username\":1,\"username\":2}", "nonsense"]
    {
        let answer = api.send_json(Method::POST, &key, path, body).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, 40000), "{body}");
    }
    let large = format!("{{\"remark\":\"{}\"}}", "x".repeat(1000));
    let answer = api.send_json(Method::POST, &key, path, &large).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, 41300));
    // Without a length, too: the body is counted as it comes.
    let chunked = request(Method::POST, path).header("x-api-key", &key).body(Body::new(Chunks(3))).unwrap();
    assert_eq!(api.send(chunked).await.code(), 41300);
}

/// So many frames of 500 bytes, of a length that is not told.
struct Chunks(usize);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 500])))))
    }
}

/// A body that never comes.
struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let api = Api::with(|settings| settings.bounds.body_time = Duration::from_millis(20)).await;
    let (_, key) = api.account("ann", 0).await;
    let request = request(Method::POST, "/api/users/subuser/create").header("x-api-key", &key);
    let answer = api.send(request.body(Body::new(Never)).unwrap()).await;
    assert_eq!((answer.code(), answer.header("connection")), (40000, "close"));
}

#[tokio::test]
async fn messages_follow_the_language_and_codes_do_not() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let ask = |language: &str| {
        let request = request(Method::GET, "/api/users/subuser/list?page=0").header("x-api-key", &key);
        api.send(request.header("accept-language", language).body(Body::empty()).unwrap())
    };
    let (zh, en) = (ask("zh-CN").await, ask("en-US,en;q=0.9").await);
    assert_eq!((zh.code(), en.code()), (40000, 40000));
    assert!(zh.message().starts_with("参数 page 必须在 1 到"), "{}", zh.message());
    assert!(en.message().starts_with("parameter page must be from 1 to"), "{}", en.message());
    assert_eq!((zh.header("content-language"), en.header("content-language")), ("zh", "en"));
    assert_eq!((&zh.body["data"]["field"], &en.body["data"]["field"]), (&json!("page"), &json!("page")));
}

#[tokio::test]
async fn pages_and_wrong_parameters_are_named() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    for (query, field) in [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=x", "page"),
        ("page=1.0", "page"),
        ("page=99999999999999999999", "page"),
        ("page=9223372036854775807", "page"),
        ("page_size=0", "page_size"),
        ("page_size=1001", "page_size"),
        ("page_size=1e9", "page_size"),
        ("status=ACTIVE", "status"),
        ("user_name=%00", "user_name"),
    ] {
        let answer = api.get(&key, &format!("/api/users/subuser/list?{query}")).await;
        assert_eq!((answer.code(), &answer.body["data"]["field"]), (40000, &json!(field)), "{query}");
    }
    let past_the_end = api.get(&key, "/api/users/subuser/list?page=1000000000&page_size=1000").await;
    assert_eq!(past_the_end.data(), &json!({ "records": [], "total": 0 }));
    let twice = api.get(&key, "/api/users/subuser/list?page=1&page=2").await;
    assert_eq!(twice.code(), 40000);
    assert!(twice.message().contains("page"));
}

#[tokio::test]
async fn limits_answer_429_with_the_time_to_come_back() {
    let api = Api::with(|settings| settings.calls_per_minute = 3).await;
    let (_, key) = api.account("ann", 0).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(api.get(&key, "/api/users/me/info").await.code());
    }
    assert_eq!(codes, [0, 0, 0, 42900]);
    let refused = api.get(&key, "/api/users/me/info").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=60).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(api.get("wrong", "/api/users/me/info").await.code());
    }
    assert_eq!(codes, [40100, 40100, 40100, 42900]);
    assert_eq!(api.get(ADMIN, "/api/admin/overview").await.code(), 0, "the operator is not kept out");
}

#[tokio::test]
async fn every_answer_carries_the_safe_headers() {
    let api = Api::new().await;
    for path in ["/api/users/me/info", "/nothing", "/openapi.json", "/docs/"] {
        let answer = api.get("wrong", path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
        assert_eq!((answer.header("server"), answer.header("set-cookie")), ("", ""), "{path}");
    }
    assert_eq!(api.get("wrong", "/api/users/me/info").await.header("cache-control"), "no-store");
}

#[tokio::test]
async fn the_documentation_needs_nothing_from_elsewhere() {
    let api = Api::new().await;
    let document = api.get("", "/openapi.json").await;
    assert_eq!(document.body["openapi"], "3.1.0");
    for file in ["", "index.html", "swagger-initializer.js", "swagger-ui.css", "swagger-ui-bundle.js"] {
        let asked = request(Method::GET, &format!("/docs/{file}")).body(Body::empty()).unwrap();
        let response = api.router().oneshot(asked).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{file}");
        let bytes = axum::body::to_bytes(response.into_body(), 8 << 20).await.unwrap();
        // Styles and scripts name the outside world in texts; these two decide what is loaded.
        if matches!(file, "" | "index.html" | "swagger-initializer.js") {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("://") && !text.contains("src=\"//"), "{text}");
        }
    }
}
