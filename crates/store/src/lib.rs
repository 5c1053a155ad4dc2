//! The only room that knows SQL: transactions as closures, on SQLite or PostgreSQL.
//!
//! - [`Db`] runs closures in transactions on threads of its own; [`Tx`] is what they get.
//! - Statements ([`Sql`]) are declared once, in one text for both engines, by the files of the
//!   nouns: what can be said of accounts, of wallets, and so on, each a plain function of a `Tx`.
//! - [`copy`] takes everything of one database into another, on either engine.
//! - `sqlite.rs` and `postgres.rs` hold everything in which the two differ, `migrations/` the
//!   schema.

pub mod copy;
mod db;
mod error;
mod job;
mod migrate;
mod postgres;
mod sql;
mod sqlite;
mod tx;
mod url;
mod value;
mod words;

pub use chain::{Expected, Loss};
pub use db::{Db, Options, Stats};
pub use error::Error;
pub use sql::Sql;
pub use tx::Tx;
pub use url::{DbUrl, DbUrlError};
pub use value::{Row, Value};
pub use words::{OrderKind, OrderState, ProxyState, RebuyStatus, RequestKind, RequestState, StockState};

// The nouns: a `pub mod` line here, and the name in the list below (a test compares them).

/// Lists every file that declares statements.
macro_rules! nouns {
    ($($($noun:ident)::+),* $(,)?) => {
        /// Every statement of this room by the file that declares it, for the test that prepares
        /// them all on both engines.
        pub fn statements() -> Vec<(&'static str, &'static [Sql])> {
            vec![$((stringify!($($noun)::+), $($noun)::+::ALL)),*]
        }
    };
}

pub mod accounts;
pub mod audit_log;
pub mod chain;
pub mod directory;
pub mod entries;
pub mod events;
pub mod exits;
pub mod idempotency;
pub mod jobs;
pub mod leases;
pub mod notice_channels;
pub mod offers;
pub mod packages;
pub mod refusals;
pub mod statics;
pub mod sub_accounts;
pub mod unheard;
pub mod usage;
pub mod wallets;
pub mod whitelist;

nouns! {
    migrate,
    accounts,
    audit_log,
    chain,
    directory,
    entries,
    events,
    exits,
    idempotency,
    jobs,
    leases,
    notice_channels,
    offers,
    packages,
    refusals,
    statics::orders,
    statics::prices,
    statics::proxies,
    statics::requests,
    statics::stock,
    statics::terms,
    statics::usage,
    sub_accounts,
    unheard,
    usage,
    wallets,
    whitelist,
}
