//! What happens by itself, on both databases.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auditing;
mod chaining;
mod engine;
mod packages;
mod restoring;
mod unheard;
mod upgrading;
mod world;
