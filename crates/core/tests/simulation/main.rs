//! A hundred and twenty days of two hundred customers, with everything that happens by itself: on
//! one worker, on two, and on workers that are killed at random moments.
//!
//! What the customers do is drawn by chance beforehand ([`plan`]); the clock goes from one thing that
//! is due or done to the next ([`run`]). Beside the first runs goes a naive model of what should
//! have happened, when ([`packages`], [`statics`]); the other runs must come to the same money.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packages;
mod plan;
mod run;
mod statics;

use std::sync::LazyLock;

use tollgate_testkit::TestDb;

use crate::run::{CustomerOutcome, Outcome, Simulation, Workers};

const CUSTOMERS: usize = 200;
/// Of these, the first ones, who do the same however many come after them. Two workers that are
/// killed again and again take their time over them.
const SOME: usize = 80;
const DAYS: u64 = 120;
const SEED: u64 = 20_260_301;

fn simulate(database: Option<TestDb>, workers: Workers, customers: usize) -> Option<Outcome> {
    let database = database?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    Some(runtime.block_on(async {
        let plan = plan::draw(SEED, customers, DAYS);
        Simulation::new(database, workers, customers).await.play(plan, DAYS).await
    }))
}

/// What is told of what is left at a moment. Two packages that were bought at one moment end at one
/// moment; where a worker that died made a minute of it, they end a minute apart, and in between
/// there may be something to tell.
const REMINDERS: [&str; 2] = ["package.threshold_reached", "package.exhausted"];

/// The same money and the same events, whoever did the work; where workers were killed, without
/// what depends on the minute.
fn assert_same(one: &Outcome, other: &Outcome, workers: Workers) {
    let events = |customer: &CustomerOutcome| {
        let mut events = customer.events.clone();
        events.retain(|kind, _| workers.are_punctual() || !REMINDERS.contains(&kind.as_str()));
        events
    };
    assert!(!other.customers.is_empty() && other.customers.len() <= one.customers.len());
    for (number, (one, other)) in one.customers.iter().zip(&other.customers).enumerate() {
        assert_eq!(one.entries, other.entries, "entries of customer {number}, {workers:?}");
        assert_eq!(events(one), events(other), "events of customer {number}, {workers:?}");
        assert_eq!(one.balance, other.balance, "balance of customer {number}, {workers:?}");
    }
}

/// Everything that can happen did, often enough to mean something.
fn assert_eventful(outcome: &Outcome) {
    let mut counts = std::collections::BTreeMap::<&str, u32>::new();
    for (kind, count) in outcome.customers.iter().flat_map(|customer| &customer.events) {
        *counts.entry(kind.as_str()).or_default() += count;
    }
    for kind in [
        "package.threshold_reached",
        "package.exhausted",
        "package.expired",
        "package.rebuy_succeeded",
        "package.rebuy_insufficient",
        "package.rebuy_failed",
        "wallet.low",
        "static.order_completed",
        "static.expiring",
        "static.renewed",
        "static.renewal_insufficient",
        "static.expired",
        "static.replaced",
        "static.refunded",
    ] {
        assert!(counts.get(kind).is_some_and(|count| *count >= 5), "{kind}: {counts:?}");
    }
}

/// One worker on SQLite, which the others are compared with.
static PLAIN: LazyLock<Outcome> =
    LazyLock::new(|| simulate(Some(TestDb::sqlite()), Workers::ONE, CUSTOMERS).unwrap());

#[test]
fn everything_happens_once_and_at_its_time_whoever_does_it() {
    assert_eventful(&PLAIN);
    for (workers, customers) in [(Workers::TWO, CUSTOMERS), (Workers::TWO_KILLED, SOME)] {
        if let Some(outcome) = simulate(TestDb::postgres(), workers, customers) {
            assert_same(&PLAIN, &outcome, workers);
        }
    }
}

#[test]
fn killed_workers_on_sqlite_come_to_the_same_money() {
    let killed = simulate(Some(TestDb::sqlite()), Workers::ONE_KILLED, CUSTOMERS).unwrap();
    assert_same(&PLAIN, &killed, Workers::ONE_KILLED);
}
