//! The API on a real store, in one process: what every test here starts from.

use std::io::Read as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_api::{
    AdminToken, ApiState, ExitError, ExitStatus, LeftOutReason, Live, LiveConnection, Settings,
};
use tollgate_core::courier::{Awaited, BadUrl, Courier, Letter, Undelivered};
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
    /// What the router was made of.
    pub(crate) state: ApiState,
    /// What the calls are answered from.
    pub(crate) core: Core,
    /// Its clock.
    pub(crate) clock: Arc<FakeClock>,
    _folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// `null` where the answer is no JSON.
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) text: String,
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

/// What was answered, byte for byte.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl RawAnswer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn varies(&self, name: &str) -> bool {
        self.headers.get_all("vary").iter().any(|value| value == name)
    }

    /// The body without its compression.
    pub(crate) fn unpacked(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        match self.header("content-encoding") {
            "gzip" => flate2::read::GzDecoder::new(&*self.bytes).read_to_end(&mut plain).map(drop).unwrap(),
            "zstd" => plain = zstd::stream::decode_all(&*self.bytes).unwrap(),
            other => panic!("not compressed: {other:?}"),
        }
        plain
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
        let core = Core::open(db, clock.clone(), Zone::UTC, Keys::new(&[7; 32]), Policy::default(), [1; 32])
            .await
            .unwrap();
        core.employ(Arc::new(IdleCourier));
        let mut settings = Settings::new(AdminToken::new(ADMIN));
        change(&mut settings);
        let state = ApiState::new(core.clone(), Arc::new(OneGateway), settings);
        let router = tollgate_api::router(state.clone());
        Self { router, state, core, clock, _folder: folder }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Makes a call exactly as it is given.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 4 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body, text }
    }

    /// Makes a call exactly as it is given, and leaves the answer as it is.
    pub(crate) async fn raw(&self, request: Request<Body>) -> RawAnswer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 4 << 20).await.unwrap().to_vec();
        RawAnswer { status: parts.status, headers: parts.headers, bytes }
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

    /// A POST call with a form.
    pub(crate) async fn post_form(&self, key: &str, path: &str, form: &str) -> Answer {
        let request = request(Method::POST, path).header("x-api-key", key);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    /// A POST call with an idempotency key.
    pub(crate) async fn post_once(&self, key: &str, path: &str, idempotency: &str, body: Value) -> Answer {
        let request = request(Method::POST, path).header("x-api-key", key);
        let request =
            request.header("content-type", "application/json").header("idempotency-key", idempotency);
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Imports addresses of `198.51.100.0/24` (of `2001:db8::/120` for ipv6), port 8080.
    pub(crate) async fn stock(&self, static_type: &str, country: &str, hosts: std::ops::RangeInclusive<u8>) {
        let ip = |host| match static_type {
            "ipv6" => format!("2001:db8::{host:x}"),
            _ => format!("198.51.100.{host}"),
        };
        let items: Vec<_> = hosts.map(|host| json!({ "listen_ip": ip(host), "listen_port": 8080 })).collect();
        let new = json!({ "proxy_type": static_type, "country": country, "items": items });
        self.post(ADMIN, "/api/admin/static/stock", new).await.data();
    }

    /// Puts so many addresses for 30 days at so many cents each on the price list.
    pub(crate) async fn price(&self, static_type: &str, count: i64, cents: i64) -> i64 {
        let new =
            json!({ "proxy_type": static_type, "count": count, "discount": 0, "period": 30, "price": cents });
        self.post(ADMIN, "/api/admin/static/prices", new).await.data()["id"].as_i64().unwrap()
    }

    /// Orders by a price package.
    pub(crate) async fn order(&self, key: &str, static_type: &str, country: &str, price: i64) -> Answer {
        let order = json!({ "proxy_type": static_type, "country": country, "protocol": "http/socks5",
                            "price_package_id": price, "payment_type": "wallet_only" });
        self.post(key, "/api/users/static/order/create", order).await
    }

    /// The account's static proxies of `res` or `dc`, newest first.
    pub(crate) async fn proxies(&self, key: &str, list: &str) -> Vec<Value> {
        let answer =
            self.post(key, &format!("/api/users/static/{list}/list"), json!({ "page_size": 1000 })).await;
        answer.data()["records"].as_array().unwrap().clone()
    }

    pub(crate) async fn balance(&self, key: &str) -> i64 {
        self.get(key, "/api/users/wallet/info").await.data()["balance"].as_i64().unwrap()
    }

    /// Does what is due, as a worker would.
    pub(crate) async fn work(&self) {
        while tollgate_core::jobs::run::run_due(&self.core, 100).await.unwrap() > 0 {}
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
        let since = Zone::UTC.parse("2026-03-01 11:58:00").unwrap();
        vec![ExitStatus {
            id: ExitId::new(1),
            healthy: false,
            latency,
            connections: 1,
            failure_percent: Some(62),
            last_error: Some(ExitError::LoginRefused),
            left_out: Some((LeftOutReason::Outlier, since)),
        }]
    }
}
