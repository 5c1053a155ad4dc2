//! The data plane: listen → greet → identify → admit → route → dial → relay.
//!
//! Knows no SQL, no money and no JSON. What it needs from the rest of the house is the one trait
//! [`Control`]. Nothing metered is forwarded that has not been granted: every payload byte passes a
//! [`Purse`], or is counted for a static proxy.

// Metering: what may be forwarded, and saying what was.
mod book;
mod control;
mod funds;
mod journal;
mod keep;
mod live;
mod pace;
mod pipe;
mod purse;
mod purses;
mod report;
mod revoke;
mod stats;
mod tally;
#[cfg(test)]
mod testing;

// The wire side: from an accepted socket to the relay.
mod admit;
mod attempts;
mod bandwidth;
mod buffered;
mod certs;
mod chain;
mod client;
mod config;
mod dial;
mod dial_error;
mod entrance;
mod forward;
mod gateway;
mod greet;
mod guard;
mod health;
mod http2;
mod identify;
mod inherit;
mod introduce;
mod limits;
mod listen;
mod meter;
mod moved;
mod nameserver;
mod ports;
mod probe;
mod race;
mod refuse;
mod resolve;
mod route;
mod seats;
mod serve;
mod session_file;
mod sessions;
mod socket;
mod spare;
mod standing;
mod start;
mod statics;
mod stream;
mod tls;
mod tls_side;
mod tunnel;
mod udp;
mod way_out;
mod window;

pub use certs::{CertificateError, CertificateFiles};
pub use config::GatewayConfig;
pub use control::Control;
pub use dial_error::ExitTrouble;
pub use gateway::{Gateway, Presence, Run};
pub use health::ExitStatus;
pub use inherit::Inherited;
pub use limits::{Bandwidth, Caps, GatewayLimits, Limit};
pub use live::{Admission, ConnectionInfo, ConnectionView, Traffic};
pub use purse::Purse;
pub use standing::LeftOut;
pub use stats::{Dropped, Stats};
pub use tollgate_wire::target::{BadTarget, Target};
