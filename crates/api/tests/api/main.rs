//! The API on a real store: what holds for every call, the contract, the rights, and one snapshot
//! of each call.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod common;
mod contract;
mod logging;
mod notices;
mod plumbing;
mod rights;
mod server;
mod snapshots;
mod statics;
mod unheard;
