//! The engine of the store against the real SQLite and a real PostgreSQL.

mod postgres;
mod probe;
mod schema;
mod sqlite;
mod transactions;
