//! What the log says of calls: from where, by whom, and of keys that were refused.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Method;
use tollgate_api::RefusedKeyCounts;
use tracing::dispatcher::DefaultGuard;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use crate::common::{ADMIN, Api, request};

/// Keeps the lines of the API that a test causes on its own thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tollgate_api") && *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Lines {
    /// Begins to keep lines. While only one subscriber is registered, whichever thread logs a line first decides
    /// for all whether it is of interest, so a second one is kept beside it.
    fn listen() -> (Self, (DefaultGuard, Dispatch)) {
        let lines = Self::default();
        let (first, second) = (Dispatch::new(lines.clone()), Dispatch::new(lines.clone()));
        (lines, (tracing::dispatcher::set_default(&first), second))
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A call from a peer that says that it connects for somebody else.
async fn call(api: &Api, peer: &str, forwarded: &str, key: &str, path: &str) -> i64 {
    let mut asked = request(Method::GET, path).header("authorization", format!("Bearer {key}"));
    if !forwarded.is_empty() {
        asked = asked.header("x-forwarded-for", forwarded);
    }
    let peer: SocketAddr = peer.parse().unwrap();
    api.send(asked.extension(ConnectInfo(peer)).body(Body::empty()).unwrap()).await.code()
}

const ME: &str = "/api/users/me/info";

#[tokio::test]
async fn each_line_says_from_where_and_who() {
    let api = Api::with(|settings| settings.forwarded_from = vec!["192.0.2.0/28".parse().unwrap()]).await;
    let (id, key) = api.account("ann", 0).await;
    let (lines, _guard) = Lines::listen();
    for (peer, forwarded, key, path, expected) in [
        ("198.51.100.7:1000", "", &*key, ME, format!("client=198.51.100.7 account={id} ")),
        ("198.51.100.7:1000", "203.0.113.7", &key, ME, format!("client=198.51.100.7 account={id} ")),
        ("192.0.2.1:1000", "203.0.113.7", &key, ME, format!("client=203.0.113.7 account={id} ")),
        (
            "192.0.2.1:1000",
            "9.9.9.9, 203.0.113.7",
            ADMIN,
            "/api/admin/overview",
            "client=203.0.113.7 operator=true ".into(),
        ),
        ("198.51.100.7:1000", "", &key, "/api/admin/overview", format!("client=198.51.100.7 account={id} ")),
        ("198.51.100.7:1000", "", "", ME, "client=198.51.100.7 method=GET ".into()),
    ] {
        call(&api, peer, forwarded, key, path).await;
        let said = lines.take();
        assert!(said.len() == 1 && said[0].contains(&expected), "{expected}: {said:?}");
        assert!(!said[0].contains(&*api_key(key)), "a key is in the log: {said:?}");
    }
}

/// A key, or something that no line holds in place of none.
fn api_key(key: &str) -> String {
    if key.is_empty() { "no key".to_owned() } else { key.to_owned() }
}

#[tokio::test]
async fn refused_keys_are_counted_and_told_of_once_a_minute_for_each_address() {
    let api = Api::new().await;
    let (lines, _guard) = Lines::listen();
    let path = "/api/admin/overview";
    for (peer, path) in [
        ("198.51.100.7:1", ME),
        ("198.51.100.7:2", ME),
        ("198.51.100.7:3", path),
        ("198.51.100.8:1", path),
        ("[2001:db8::1]:1", ME),
        ("[2001:db8::2]:1", ME),
    ] {
        assert_eq!(call(&api, peer, "", "guess", path).await, 40100);
    }
    assert_eq!(call(&api, "198.51.100.9:1", "", "", ME).await, 40100);
    let warned: Vec<_> = lines.take().into_iter().filter(|line| line.starts_with("WARN")).collect();
    let told = ["198.51.100.7", "198.51.100.8", "2001:db8::"];
    assert_eq!(warned, told.map(|client| format!("WARN message=keys were refused client={client} count=1")));
    assert_eq!(api.state.refused_keys(), RefusedKeyCounts { customer: 4, operator: 2 });
}

#[tokio::test]
async fn that_the_database_is_away_is_said_once() {
    let api = Api::new().await;
    let (_, key) = api.account("ann", 0).await;
    api.core.db().close().await;
    let (lines, _guard) = Lines::listen();
    for _ in 0..20 {
        assert_eq!(call(&api, "198.51.100.7:1", "", &key, ME).await, 50300);
    }
    let warned = lines.take().into_iter().filter(|line| line.starts_with("WARN")).count();
    assert_eq!(warned, 1);
}

#[tokio::test]
async fn failed_logins_are_limited_by_the_client_behind_a_front() {
    let api = Api::with(|settings| {
        settings.calls_per_minute = 2;
        settings.forwarded_from = vec!["192.0.2.1".parse().unwrap()];
    })
    .await;
    let front = "192.0.2.1:1000";
    let mut codes = Vec::new();
    for client in ["203.0.113.7", "203.0.113.7", "203.0.113.7", "203.0.113.8"] {
        codes.push(call(&api, front, client, "guess", ME).await);
    }
    assert_eq!(codes, [40100, 40100, 42900, 40100], "one guesser does not lock the others out");
}
