//! What people ask for, one file each: open an account, list an address, buy a package, lease
//! bytes, settle what was used.
//!
//! Every job has the same rhythm: **claim → load → decide (pure) → write → commit**, in one
//! transaction of the store that runs to its end whoever stops waiting for it. A job that changes
//! what gateways need to know appends to the directory's outbox in that same transaction, and
//! wakes the refresher once it is committed.

pub mod accounts;
pub mod audit;
pub mod audit_log;
pub mod chain;
mod checks;
mod core;
pub mod courier;
pub mod directory;
mod error;
pub mod events;
pub mod exits;
pub mod idempotency;
pub mod jobs;
pub mod keys;
pub mod leases;
mod locks;
pub mod notices;
pub mod offers;
mod open;
pub mod overview;
pub mod packages;
mod page;
mod pools;
mod pruning;
pub mod refusals;
pub mod statics;
pub mod sub_accounts;
pub mod trend;
pub mod wallets;
mod watch;
pub mod whitelist;

pub use audit_log::Actor;
pub use error::{BadLine, Conflict, Error, Noun, Rule};
pub use keys::Keys;
pub use page::Page;
pub use tollgate_store::RebuyStatus;

pub use crate::core::{Core, Policy};
