//! For tests only: the whole platform as a process, clocks, origins and clients, and a throw-away
//! PostgreSQL.
//!
//! What fails here fails the test that asked for it, by panicking with a sentence that says what.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "what fails here fails the test that asked for it"
)]

pub mod client;
mod clock;
pub mod database;
mod origin;
pub mod postgres;
pub mod receiver;
pub mod relay;
pub mod world;

pub use clock::FakeClock;
pub use database::{TestDb, databases};
pub use origin::Origin;
pub use receiver::Receiver;
pub use relay::LossyRelay;
