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
use tollgate_api::Origins;
use tower::ServiceExt;

use crate::common::{ADMIN, Answer, Api, request};

#[tokio::test]
async fn an_unknown_path_is_answered_in_the_envelope() {
    let api = Api::new().await;
    for path in [
        "/",
        "/api",
        "/api/users/nothing",
        "/api/users/me/info//",
        "/api/",
        "/docs/nothing",
        "/api/users/%ff",
    ] {
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
        (purchase.as_str(), "GET, POST, OPTIONS"),
        ("/api/users/proxy/delete-whitelist?id=1", "GET, POST, OPTIONS"),
        ("/api/users/me/info", "GET, HEAD, OPTIONS"),
        ("/api/users/subuser/create", "POST, OPTIONS"),
        ("/api/users/subuser/1", "GET, HEAD, OPTIONS"),
        ("/api/admin/accounts", "GET, HEAD, POST, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        ("/docs/", "GET, HEAD, OPTIONS"),
    ];
    let undocumented = ["HEAD", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"];
    for (path, allow) in cases {
        let options = api.send(request(Method::OPTIONS, path).body(Body::empty()).unwrap()).await;
        assert_eq!((options.code(), options.header("allow")), (0, allow), "{path}");
        assert_eq!(options.header("access-control-allow-origin"), "", "{path}");
        for method in undocumented.into_iter().filter(|method| !allow.contains(method)) {
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
async fn one_slash_at_the_end_of_a_path_is_taken() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let id = api.sub_account(&key, "ann.one").await;
    assert_eq!(api.get(&key, "/api/users/me/info/").await.data()["username"], "ann");
    assert_eq!(api.get(&key, &format!("/api/users/subuser/{id}/")).await.data()["id"], id);
    assert_eq!(api.get(&key, "/api/users/subuser/list/?user_name=none").await.data()["total"], 0);
    let change = json!({ "id": id, "remark": "x" });
    assert_eq!(api.post(&key, "/api/users/subuser/update/", change).await.code(), 0);
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    for name in ["one.a", "two.b", "three.c"] {
        api.sub_account(&key, name).await;
    }
    for path in [
        "/api/users/me/info",
        "/api/users/subuser/list?page_size=2",
        "/api/users/subuser/99",
        "/openapi.json",
    ] {
        for encoding in ["identity", "gzip"] {
            let ask = |method| {
                let asked =
                    request(method, path).header("x-api-key", &key).header("accept-encoding", encoding);
                api.raw(asked.body(Body::empty()).unwrap())
            };
            let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
            assert_eq!((head.status, head.bytes.len()), (get.status, 0), "{path} {encoding}");
            assert_eq!(head.header("content-length"), get.bytes.len().to_string(), "{path} {encoding}");
            for name in ["content-type", "content-encoding", "vary", "content-language"] {
                assert_eq!(head.header(name), get.header(name), "{path} {encoding} {name}");
            }
        }
    }
}

#[tokio::test]
async fn pages_of_named_origins_may_call_and_no_others() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let ask = async |api: &Api, method: Method, origin: &str| {
        let asked = request(method, "/api/users/me/info").header("x-api-key", &key).header("origin", origin);
        api.send(asked.header("access-control-request-method", "GET").body(Body::empty()).unwrap()).await
    };
    let page = "https://panel.example.com";
    for method in [Method::GET, Method::OPTIONS] {
        let answer = ask(&api, method, page).await;
        let names = answer.headers.keys().map(|name| name.as_str());
        assert!(!names.into_iter().any(|name| name.starts_with("access-control")), "off by default");
    }
    let listed = Origins::Listed(vec![page.to_owned()]);
    for (origins, allowed) in [(listed, page), (Origins::Any, "*")] {
        let api = Api::with(|settings| settings.cors_origins = origins).await;
        let answer = ask(&api, Method::GET, page).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert!(answer.header("access-control-expose-headers").contains("x-request-id"));
        let before = ask(&api, Method::OPTIONS, page).await;
        assert_eq!(before.status, StatusCode::OK);
        assert_eq!(before.header("access-control-allow-origin"), allowed);
        assert_eq!(before.header("access-control-allow-methods"), "GET, HEAD, OPTIONS");
        assert!(before.header("access-control-allow-headers").contains("x-api-key"));
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_eq!(before.header("access-control-allow-credentials"), "");
        let other = ask(&api, Method::GET, "https://panel.example.com.evil.test").await;
        assert_eq!(other.header("access-control-allow-origin"), if allowed == "*" { "*" } else { "" });
        let varies = answer.headers.get_all("vary").iter().any(|value| value == "origin");
        assert_eq!(varies, allowed != "*", "a cache must not give one origin's answer to another");
    }
}

#[tokio::test]
async fn large_answers_without_secrets_are_compressed_as_asked() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    for host in 1..=9 {
        let entry = json!({ "ip": format!("203.0.113.{host}"), "remark": "r".repeat(200) });
        api.post(&key, "/api/users/proxy/add-whitelist", entry).await.data();
    }
    for number in 0..9 {
        api.sub_account(&key, &format!("ann.{number}")).await;
    }
    let ask = async |path: &str, encoding: &str| {
        let asked = request(Method::GET, path).header("x-api-key", &key);
        api.raw(asked.header("accept-encoding", encoding).body(Body::empty()).unwrap()).await
    };
    let list = "/api/users/proxy/whitelist";
    let plain = ask(list, "identity").await;
    assert_eq!((plain.header("content-encoding"), plain.varies("accept-encoding")), ("", true));
    assert!(plain.varies("accept-language") && plain.bytes.len() > 1024);
    for (asked, coding) in
        [("gzip, deflate, br", "gzip"), ("gzip, zstd", "zstd"), ("gzip;q=1, zstd;q=0.1", "gzip")]
    {
        let packed = ask(list, asked).await;
        assert_eq!((packed.header("content-encoding"), packed.status), (coding, StatusCode::OK), "{asked}");
        assert!(packed.bytes.len() < plain.bytes.len() / 2);
        assert_eq!(packed.unpacked(), plain.bytes);
    }
    for asked in ["br", "*;q=0", "identity;q=0", "gzip;q=0"] {
        let answer = ask(list, asked).await;
        assert_eq!((answer.status, &answer.bytes), (StatusCode::OK, &plain.bytes), "{asked}");
    }
    let small = ask("/api/users/proxy/whitelist?page_size=1", "gzip").await;
    assert_eq!((small.header("content-encoding"), small.varies("accept-encoding")), ("", true));
    let secret = ask("/api/users/subuser/list", "gzip").await;
    assert!(secret.bytes.len() > 1024);
    assert_eq!(secret.header("content-encoding"), "", "it holds passwords beside remarks");
}

#[tokio::test]
async fn keys_come_in_the_customary_headers_and_nowhere_else() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let path = "/api/users/me/info";
    let (bearer, token) = (format!("Bearer {key}"), format!("Token {key}"));
    for (name, value) in [
        ("authorization", &bearer),
        ("authorization", &token),
        ("authorization", &key),
        ("x-api-key", &key),
        ("api-key", &key),
        ("Api-Key", &key),
        ("apikey", &key),
        ("token", &key),
    ] {
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
    let both = request(Method::GET, path).header("x-api-key", &key).header("token", "another");
    let answer = api.send(both.header("accept-language", "en").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, 40000));
    assert!(answer.message().contains("two different API keys"), "{}", answer.message());
    let both = request(Method::GET, "/api/admin/overview").header("x-api-key", &key);
    let both = both.header("authorization", format!("Bearer {ADMIN}"));
    assert_eq!(api.send(both.body(Body::empty()).unwrap()).await.code(), 40000, "nor may the operator");
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
async fn a_post_call_takes_json_forms_and_its_query_and_the_body_wins() {
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
    assert_eq!(answer.data()["id"], 3);
    let both = format!("{path}?ip=203.0.113.10&remark=query");
    let answer = api.post(&key, &both, json!({ "ip": "203.0.113.11" })).await;
    assert_eq!(answer.data()["id"], 4);
    let newest = api.get(&key, "/api/users/proxy/whitelist?page_size=1").await;
    let newest = &newest.data()["records"][0];
    assert_eq!((&newest["ip"], &newest["remark"]), (&json!("203.0.113.11"), &json!("query")));
    for media in [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json; charset=utf-16",
    ] {
        let answer = api.send(form(media, r#"{"ip":"203.0.113.10"}"#)).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, 41500), "{media:?}");
    }
    // "中" in GBK, escaped: whatever it was meant to be is lost, and not stored.
    let lost = api.send(form("application/x-www-form-urlencoded", "ip=203.0.113.12&remark=%D6%D0")).await;
    assert_eq!((lost.code(), &lost.body["data"]["field"]), (40000, &json!("remark")));
    let german = api.send(form("application/json; charset=GBK", "{\"ip\":\"\u{e4}\"}")).await;
    assert!(german.message().contains("UTF-8"), "{}", german.message());
    let packed = request(Method::POST, path).header("x-api-key", &key).header("content-encoding", "gzip");
    let answer =
        api.send(packed.header("content-type", "application/json").body(Body::from("{}")).unwrap()).await;
    assert_eq!((answer.code(), answer.header("accept-encoding")), (41500, "identity"));
    assert!(answer.message().contains("identity"), "{}", answer.message());
}

#[tokio::test]
async fn a_body_is_taken_for_what_it_plainly_is() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    api.sub_account(&key, "one.a").await;
    api.sub_account(&key, "two.b").await;
    let list = async |media: Option<&str>, body: &str| {
        let mut asked = request(Method::GET, "/api/users/subuser/list").header("x-api-key", &key);
        if let Some(media) = media {
            asked = asked.header("content-type", media);
        }
        let answer = api.send(asked.body(Body::from(body.to_owned())).unwrap()).await;
        answer.data()["total"].as_i64().unwrap()
    };
    let (form, json) = ("application/x-www-form-urlencoded", r#"{"user_name": "one"}"#);
    for (media, body) in [
        (Some(form), "user_name=one"),
        (Some(form), json),
        (None, "user_name=one"),
        (None, json),
        (Some(""), json),
        (Some("text/json"), json),
        (Some("application/json; charset=GBK"), json),
        (Some("application/json"), "\u{feff} {\"user_name\": \"one\"}\r\n"),
    ] {
        assert_eq!(list(media, body).await, 1, "{media:?} {body}");
    }
    for (media, body) in
        [(Some("application/json"), " \r\n\t"), (Some("application/json"), "\u{feff}"), (None, " ")]
    {
        assert_eq!(list(media, body).await, 2, "{media:?} {body:?}");
    }
}

#[tokio::test]
async fn numbers_words_and_empty_values_are_taken_as_they_are_meant() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let new = json!({ "username": "one.a", "password": "secret-1", "remark": "", "status": "INACTIVE",
                      "res_traffic_limit": 5.0, "dc_traffic_limit": "", "mobile_traffic_limit": "7.0" });
    let id = api.post(&key, "/api/users/subuser/create", new).await.data()["id"].clone();
    let path = format!("/api/users/subuser/{id}");
    let made = api.get(&key, &path).await;
    let fields = ["status", "res_traffic_limit", "dc_traffic_limit", "mobile_traffic_limit", "remark"];
    let seen = fields.map(|field| made.data()[field].clone());
    assert_eq!(seen, [json!("inactive"), json!(5), json!(0), json!(7), json!("")]);

    let remark = async |remark: &str| {
        let change = json!({ "id": id, "remark": remark, "password": "", "status": "" });
        api.post(&key, "/api/users/subuser/update", change).await.data();
        api.get(&key, &path).await.data()["remark"].clone()
    };
    assert_eq!([remark("x").await, remark("").await], ["x", ""], "a remark can be taken away");

    for (given, shown) in [("res", "residential"), ("DATACENTER", "datacenter"), ("Mob", "mobile")] {
        let answer = api.get(&key, &format!("/api/users/traffic/packages?proxy_type={given}")).await;
        assert_eq!(answer.data(), &json!({ shown: [] }));
    }
    api.price("ipv6", 1, 100).await;
    for (given, found) in [("IPV6", 1), ("residential", 0), ("datacenter", 0)] {
        let answer = api.get(&key, &format!("/api/users/static/price/package?proxy_type={given}")).await;
        assert_eq!(answer.data().as_array().unwrap().len(), found, "{given}");
    }
    assert_eq!(api.get(&key, "/api/users/static/price/package?proxy_type=mobile").await.code(), 40000);
    assert_eq!(api.get(&key, "/api/users/subuser/list?page=1.0&page_size=").await.code(), 0);
}

#[tokio::test]
async fn what_is_asked_by_another_name_or_twice_is_not_quietly_something_else() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    let one = api.sub_account(&key, "one.a").await;
    let two = api.sub_account(&key, "two.b").await;
    for query in ["user_name=one", "username=one", "username=one&user_name=one", "username=one&user_name="] {
        let found = api.get(&key, &format!("/api/users/subuser/list?{query}")).await;
        assert_eq!(found.data()["total"], 1, "{query}");
    }
    let dates = "start_date=2026-03-01&end_date=2026-03-01";
    let trend = format!("/api/users/traffic/{one}/trend?{dates}");
    let record = format!("/api/users/subuser/{one}");
    for path in [format!("{trend}&"), format!("{record}?")] {
        for field in ["subuser_id", "id"] {
            assert_eq!(api.get(&key, &format!("{path}{field}={one}")).await.code(), 0, "{path}{field}");
            let other = api.get(&key, &format!("{path}{field}={two}")).await;
            assert_eq!((other.code(), &other.body["data"]["field"]), (40000, &json!(field)), "{path}{field}");
        }
    }
    let body = format!("{{\"subuser_id\": {two}}}");
    assert_eq!(api.send_json(Method::GET, &key, &record, &body).await.code(), 40000);
    assert_eq!(api.send_json(Method::GET, &key, &trend, &body).await.code(), 40000);
    // The query string wins, but that is no reason to pass over another id in the body.
    let both = format!("{record}?subuser_id={one}");
    assert_eq!(api.send_json(Method::GET, &key, &both, &body).await.code(), 40000);
    let twice = format!("{record}?subuser_id={one}&subuser_id={two}");
    assert_eq!(api.get(&key, &twice).await.code(), 40000);
    let update = json!({ "id": one, "subuser_id": two, "remark": "x" });
    assert_eq!(api.post(&key, "/api/users/subuser/update", update).await.code(), 40000);
    let update = json!({ "id": one, "subuser_id": one, "remark": "x" });
    assert_eq!(api.post(&key, "/api/users/subuser/update", update).await.code(), 0);
    assert_eq!(api.get(&key, "/api/users/subuser/list?username=one&user_name=two").await.code(), 40000);
}

#[tokio::test]
async fn times_with_an_offset_are_converted() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 100_000).await;
    api.stock("dc", "us", 1..=1).await;
    let price = api.price("dc", 1, 100).await;
    api.order(&key, "DC", "us", price).await.data();
    let found = async |start: &str, end: &str| {
        let body = json!({ "expire_start": start, "expire_end": end });
        api.post(&key, "/api/users/static/dc/list", body).await.data()["total"].clone()
    };
    // It expires on 31 March at 12:00:00.
    assert_eq!(found("2026-03-31T20:00:00+08:00", "2026-03-31 20:00:00+08:00").await, 1);
    assert_eq!(found("2026-03-31T12:00:01+00:00", "2026-03-31 21:00:00+08:00").await, 0);
    let query = "start_date=2026-02-28T20:00:00-05:00&end_date=2026-03-01T09:00:00+08:00";
    let trend = api.get(&key, &format!("/api/users/traffic/trend?{query}")).await;
    assert_eq!(trend.data()["mobile"].as_array().unwrap().len(), 1, "both are 1 March in UTC");
}

#[tokio::test]
async fn ids_of_proxies_are_taken_however_they_are_listed() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 100_000).await;
    api.stock("dc", "us", 1..=1).await;
    let price = api.price("dc", 1, 100).await;
    api.order(&key, "dc", "us", price).await.data();
    let id = api.proxies(&key, "dc").await[0]["id"].as_i64().unwrap();
    for ids in
        [json!(id), json!(format!("{id},")), json!(format!(" {id} ")), json!([id]), json!(format!("{id}.0"))]
    {
        let rebuy = json!({ "proxy_type": "datacenter", "proxy_ids": ids, "payment_type": "WALLET_ONLY" });
        let quote =
            api.send_json(Method::GET, &key, "/api/users/static/order/rebuy/quote", &rebuy.to_string()).await;
        assert_eq!(quote.data()["proxies"].as_array().unwrap().len(), 1, "{ids}");
        assert_eq!(
            api.post(&key, "/api/users/static/order/rebuy", rebuy).await.data()["amount"],
            100,
            "{ids}"
        );
    }
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
        ("page=1.5", "page"),
        ("page=99999999999999999999", "page"),
        ("page=9223372036854775807", "page"),
        ("page_size=0", "page_size"),
        ("page_size=1001", "page_size"),
        ("page_size=1e9", "page_size"),
        ("status=on", "status"),
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
