//! For tests only: the whole platform as a process, clocks, origins and clients, and a throw-away
//! PostgreSQL.
//!
//! What fails here fails the test that asked for it, by panicking with a sentence that says what.

pub mod client;
mod clock;
mod origin;
pub mod world;

pub use clock::FakeClock;
pub use origin::Origin;
