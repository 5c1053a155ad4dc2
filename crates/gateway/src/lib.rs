//! The data plane: listen → greet → identify → admit → route → dial → relay.
//!
//! Knows no SQL, no money and no JSON. What it needs from the rest of the house is the one trait
//! [`Control`]. Nothing metered is forwarded that has not been granted: every payload byte passes a
//! [`Purse`], or is counted for a static proxy.

// The rooms, from top to bottom: a file imports from its own room and from those below it
// (`tests/tests/tidy.rs`).
mod assemble;
mod client;
mod config;
mod control;
mod dial;
mod entry;
mod exits;
mod funds;
mod gateway;
mod lifecycle;
mod limits;
mod listen;
mod random;
mod relay;
mod serve;
mod slots;
mod socket;
mod start;
mod stats;
mod stream;

#[cfg(test)]
mod testing;

pub use client::{CertificateError, CertificateFiles};
pub use config::GatewayConfig;
pub use control::Control;
pub use dial::ExitTrouble;
pub use entry::{Admission, ConnectionInfo, ConnectionView, Traffic};
pub use exits::{ExitStatus, LeftOut};
pub use funds::Purse;
pub use gateway::{Gateway, Presence, Run};
pub use limits::{Bandwidth, Caps, GatewayLimits, Limit};
pub use listen::Inherited;
pub use stats::{Dropped, Stats};
pub use tollgate_wire::target::{BadTarget, Target};
