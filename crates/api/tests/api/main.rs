//! The API on a real store: what holds for every call, the contract, the rights, and one snapshot
//! of each call.

mod common;
mod contract;
mod plumbing;
mod rights;
mod server;
mod snapshots;
