//! The API on a real store, in one process: what every test here starts from.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_api::{AdminToken, ApiState, ExitStatus, Live, LiveConnection, Settings};
use tollgate_core::jobs::{Awaited, BadUrl, Courier, Letter, Undelivered};
use tollgate_core::{Core, Keys, Policy};
use tollgate_store::{Db, DbUrl, Options};
use tollgate_testkit::FakeClock;
use tollgate_types::{AccountId, Bytes, Clock, ConnectionId, ExitId, ProxyType, SubAccountId, Zone};
use tower::ServiceExt;

/// The operator's token.
pub(crate) const ADMIN: &str = "operator-token";

/// The API with nobody in it yet.
pub(crate) struct Api {
    router: Router,
    _folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> i64 {
        self.body["code"].as_i64().unwrap_or_else(|| panic!("no code in {self:?}"))
    }

    pub(crate) fn data(&self) -> &Value {
        assert_eq!((self.status, self.code()), (StatusCode::OK, 0), "{self:?}");
        &self.body["data"]
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_else(|| panic!("no message in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::new(Zone::UTC.parse("2026-03-01 12:00:00").unwrap()));
        let url = DbUrl::sqlite(folder.path().join("tollgate.db"));
        let db = Db::open(&url, Options::new(clock.now())).unwrap();
        let core =
            Core::open(db, clock, Zone::UTC, Keys::new(&[7; 32]), Policy::default(), [1; 32]).await.unwrap();
        core.employ(Arc::new(IdleCourier));
        let mut settings = Settings::new(AdminToken::new(ADMIN));
        change(&mut settings);
        let router = tollgate_api::router(ApiState::new(core, Arc::new(OneGateway), settings));
        Self { router, _folder: folder }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Makes a call exactly as it is given.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        self.send(
            request(Method::GET, path)
                .header("authorization", format!("Bearer {key}"))
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: Value) -> Answer {
        self.send_json(Method::POST, key, path, &body.to_string()).await
    }

    pub(crate) async fn send_json(&self, method: Method, key: &str, path: &str, body: &str) -> Answer {
        let request = request(method, path).header("authorization", format!("Bearer {key}"));
        self.send(
            request.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap(),
        )
        .await
    }

    /// Opens an account with so many cents; answers its id and its API key.
    pub(crate) async fn account(&self, name: &str, cents: i64) -> (i64, String) {
        let new = json!({ "username": name, "email": format!("{name}@example.com") });
        let made = self.post(ADMIN, "/api/admin/accounts", new).await;
        let (id, key) =
            (made.data()["id"].as_i64().unwrap(), made.data()["api_key"].as_str().unwrap().to_owned());
        if cents > 0 {
            let recharge = json!({ "amount": cents, "reference": "opening" });
            self.post(ADMIN, &format!("/api/admin/accounts/{id}/recharge"), recharge).await.data();
        }
        (id, key)
    }

    /// Puts 10 GB of residential traffic at 300 cents, with one free on top, into the catalogue.
    pub(crate) async fn offer(&self) -> i64 {
        let new = json!({ "proxy_type": "residential", "traffic_gb": 10, "price": 300, "duration": 30,
                          "plan_type": "personal", "extra_add_traffic": 1, "is_hot": true, "plan_desc": "ten" });
        self.post(ADMIN, "/api/admin/traffic-packages", new).await.data()["id"].as_i64().unwrap()
    }

    pub(crate) async fn sub_account(&self, key: &str, name: &str) -> i64 {
        let new = json!({ "username": name, "password": "secret-1" });
        self.post(key, "/api/users/subuser/create", new).await.data()["id"].as_i64().unwrap()
    }

    pub(crate) async fn exit(&self, name: &str) -> i64 {
        let new = json!({ "name": name, "proxy_type": "mobile", "kind": "http", "address": "192.0.2.1:8000",
                          "username": "supplier-{country}", "password": "p-{session}", "country": "US" });
        self.post(ADMIN, "/api/admin/exits", new).await.data()["id"].as_i64().unwrap()
    }
}

/// Takes every letter, and would send to every public host.
#[derive(Debug)]
struct IdleCourier;

impl Courier for IdleCourier {
    fn deliver(&self, _: Letter) -> Awaited<'_, Result<(), Undelivered>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn check_url<'a>(&'a self, url: &'a str) -> Awaited<'a, Result<(), BadUrl>> {
        let checked = if url.contains("10.0.0.1") { Err(BadUrl::Unreachable) } else { Ok(()) };
        Box::pin(std::future::ready(checked))
    }

    fn has_mail(&self) -> bool {
        true
    }

    fn takes_address(&self, _: &str) -> bool {
        true
    }
}

pub(crate) fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path)
}

/// A gateway that carries one connection, number 7, of account 1 through exit 1.
struct OneGateway;

impl Live for OneGateway {
    fn connections(&self) -> Vec<LiveConnection> {
        vec![LiveConnection {
            id: ConnectionId::new(7),
            account: AccountId::new(1),
            sub_account: Some(SubAccountId::new(1)),
            static_proxy: None,
            username: "ann.one".into(),
            client: "203.0.113.7:51234".parse().unwrap(),
            target: "example.com:443".into(),
            exit: ExitId::new(1),
            proxy_type: ProxyType::Mobile,
            since: Zone::UTC.parse("2026-03-01 11:59:00").unwrap(),
            sent: Bytes::new(100),
            received: Bytes::new(2000),
        }]
    }

    fn close(&self, id: i64) -> bool {
        id == 7
    }

    fn exits(&self) -> Vec<ExitStatus> {
        let latency = Some(std::time::Duration::from_millis(42));
        vec![ExitStatus { id: ExitId::new(1), healthy: true, latency, connections: 1 }]
    }
}
