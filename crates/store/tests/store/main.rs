//! The engine of the store against the real SQLite and a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chain;
mod copy;
mod everything;
mod postgres;
mod probe;
mod samples;
mod schema;
mod sqlite;
mod transactions;
