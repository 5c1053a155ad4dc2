//! The port of machines: `/healthz`, `/readyz`, `/metrics`.
//!
//! Metrics are read from the counters of the rooms when somebody asks; nothing is counted twice.
//! None is labelled by customer: what concerns one of them is in the database.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tollgate_api::ApiState;
use tollgate_store::Db;

/// Whether the process should be sent work.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says so, or the opposite.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// Whether it has been said.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that some room counts, and how it is told.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its name behind `tollgate_`, without a counter's `_total`.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// Its values, each with its labels.
    pub values: Vec<(Labels, u64)>,
}

/// Names and values, few and fixed.
pub type Labels = Vec<(&'static str, String)>;

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Reading {
    /// A number without labels.
    pub fn one(name: &'static str, kind: Kind, help: &'static str, value: u64) -> Self {
        Self { name, help, kind, values: vec![(Vec::new(), value)] }
    }
}

/// Where readings come from.
pub type Source = Box<dyn Fn() -> Vec<Reading> + Send + Sync>;

struct Sources(Vec<Source>);

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sources").field(&self.0.len()).finish()
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for reading in self.0.iter().flat_map(|source| source()) {
            encode(&mut encoder, &reading)?;
        }
        Ok(())
    }
}

fn encode(encoder: &mut DescriptorEncoder<'_>, reading: &Reading) -> Result<(), fmt::Error> {
    let kind = match reading.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    };
    let mut metric = encoder.encode_descriptor(reading.name, reading.help, None, kind)?;
    for (labels, value) in &reading.values {
        let metric = metric.encode_family(labels)?;
        match reading.kind {
            Kind::Counter => ConstCounter::new(*value).encode(metric)?,
            Kind::Gauge => ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX)).encode(metric)?,
        }
    }
    Ok(())
}

#[derive(Clone)]
struct Port {
    registry: Arc<Registry>,
    readiness: Readiness,
    db: Option<Db>,
    journal_fails: Option<Alarm>,
}

/// Whether something is wrong just now.
pub type Alarm = Arc<dyn Fn() -> bool + Send + Sync>;

/// The routes of the port. Without a database, readiness does not ask for one; `journal_fails` says
/// whether the gateway's journal cannot be written.
pub fn router(
    readiness: Readiness,
    db: Option<Db>,
    journal_fails: Option<Alarm>,
    sources: Vec<Source>,
) -> Router {
    let mut registry = Registry::with_prefix("tollgate");
    registry.register_collector(Box::new(Sources(sources)));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Port { registry: Arc::new(registry), readiness, db, journal_fails })
}

/// Ready: started, not draining, the database answers, and it and the journal can be written.
async fn readyz(State(port): State<Port>) -> (StatusCode, &'static str) {
    if !port.readiness.get() {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n");
    }
    let unwritable = port.db.as_ref().is_some_and(|db| db.stats().unwritable);
    if unwritable || port.journal_fails.as_ref().is_some_and(|fails| fails()) {
        return (StatusCode::SERVICE_UNAVAILABLE, "nothing can be written\n");
    }
    let asked = match &port.db {
        Some(db) => db.read(|_| Ok::<_, tollgate_store::Error>(())).await,
        None => Ok(()),
    };
    match asked {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}

async fn metrics(State(port): State<Port>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &port.registry) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
                .into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What the database has been doing.
pub fn of_db(db: &Db) -> Source {
    let db = db.clone();
    Box::new(move || {
        let stats = db.stats();
        vec![
            Reading::one(
                "store_reads",
                Kind::Counter,
                "Reading transactions that were finished",
                stats.reads,
            ),
            Reading::one(
                "store_writes",
                Kind::Counter,
                "Writing transactions that were finished",
                stats.writes,
            ),
            Reading::one(
                "store_commits",
                Kind::Counter,
                "Commits; SQLite shares one among waiting transactions",
                stats.groups,
            ),
            Reading::one("store_retries", Kind::Counter, "Transactions that were run again", stats.retries),
            Reading::one(
                "store_queued",
                Kind::Gauge,
                "Transactions that wait for a thread",
                stats.queued as u64,
            ),
            Reading::one(
                "store_journal_failures",
                Kind::Counter,
                "Transactions that were refused because nothing can be written to the database",
                stats.write_failures,
            ),
        ]
    })
}

/// What the API refused.
pub fn of_api(state: &ApiState) -> Source {
    let state = state.clone();
    Box::new(move || {
        let refused = state.refused_keys();
        let values = [("customer", refused.customer), ("operator", refused.operator)];
        vec![Reading {
            name: "api_refused_keys",
            help: "API keys and operator's tokens that were presented and are not valid, by whose calls they came with",
            kind: Kind::Counter,
            values: values.map(|(calls, count)| (vec![("calls", calls.to_owned())], count)).into(),
        }]
    })
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tollgate_store::{DbUrl, Error, Options, Sql};
    use tollgate_types::Time;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router.clone().oneshot(request).await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn readiness_comes_and_goes() {
        let readiness = Readiness::default();
        let router = router(readiness.clone(), None, None, Vec::new());
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        readiness.set(true);
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::OK);
        assert_eq!(ask(&router, "/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
        assert_eq!(ask(&router, "/").await.0, StatusCode::NOT_FOUND);
    }

    /// Until a database that cannot grow has room again, and then the journal.
    #[tokio::test]
    async fn who_cannot_write_is_not_ready() {
        const PAGES: Sql = Sql::new("pages", "SELECT page_count FROM pragma_page_count");
        const BIG: Sql =
            Sql::new("big", "INSERT INTO meta (name, value) VALUES ('big', hex(zeroblob(100000)))");
        let folder = tempfile::tempdir().expect("a folder");
        let url = DbUrl::sqlite(folder.path().join("tollgate.db"));
        let db = Db::open(&url, Options::new(Time::from_micros(0))).expect("a database");
        let journal = Readiness::default();
        let fails = journal.clone();
        let readiness = Readiness::default();
        readiness.set(true);
        let sources = vec![of_db(&db)];
        let router = router(readiness, Some(db.clone()), Some(Arc::new(move || fails.get())), sources);
        let no_room = (StatusCode::SERVICE_UNAVAILABLE, "nothing can be written\n".to_owned());
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::OK);

        let pages: Result<i64, Error> = db.read(|tx| tx.one(PAGES, &[], |row| row.i64(0))).await;
        limit_pages(&db, pages.expect("a count")).await;
        let refused = db.write(|tx| tx.execute(BIG, &[]).map(drop)).await;
        assert!(matches!(refused, Err(Error::Unwritable(_))), "{refused:?}");
        assert_eq!(ask(&router, "/readyz").await, no_room);
        let (_, text) = ask(&router, "/metrics").await;
        assert!(text.contains("\ntollgate_store_journal_failures_total 1\n"), "{text}");
        // A transaction that changes nothing proves nothing.
        db.write(|_| Ok::<_, Error>(())).await.expect("committed");
        assert_eq!(ask(&router, "/readyz").await, no_room);

        limit_pages(&db, 1 << 30).await;
        db.write(tollgate_store::chain::try_to_write).await.expect("written");
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::OK);
        journal.set(true);
        assert_eq!(ask(&router, "/readyz").await, no_room);
        db.close().await;
    }

    async fn limit_pages(db: &Db, pages: i64) {
        let limit: &'static str = format!("PRAGMA max_page_count = {pages}").leak();
        let limited: Result<i64, Error> =
            db.write(move |tx| tx.one(Sql::new("limit", limit), &[], |row| row.i64(0))).await;
        limited.expect("a limit");
    }

    #[tokio::test]
    async fn readings_are_told_in_the_text_format() {
        let source: Source = Box::new(|| {
            let by_kind = vec![(vec![("kind", "a".to_owned())], 1), (vec![("kind", "b".to_owned())], 2)];
            vec![
                Reading { name: "refusals", help: "Refusals", kind: Kind::Counter, values: by_kind },
                Reading::one("connections", Kind::Gauge, "Live connections", 3),
            ]
        });
        let (status, text) = ask(&router(Readiness::default(), None, None, vec![source]), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        for line in [
            "# TYPE tollgate_refusals counter",
            "tollgate_refusals_total{kind=\"a\"} 1",
            "tollgate_refusals_total{kind=\"b\"} 2",
            "tollgate_connections 3",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}:\n{text}");
        }
    }
}
