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
mod assemble;
mod attempt;
mod attempts;
mod bandwidth;
mod buffered;
mod caller;
mod caps;
mod certs;
mod chain;
mod client;
mod config;
mod conversation;
mod destinations;
mod dial;
mod dial_error;
mod entrance;
mod established;
mod forward;
mod gateway;
mod greet;
mod grounds;
mod guard;
mod health;
mod http1;
mod http2;
mod identify;
mod inherit;
mod intake;
mod introduce;
mod lifecycle;
mod limits;
mod link;
mod listen;
mod meter;
mod metered;
mod moved;
mod nameserver;
mod ports;
mod probe;
mod race;
mod random;
mod refuse;
mod refused;
mod resolve;
mod route;
mod serve;
mod server;
mod session_file;
mod sessions;
mod slots;
mod socket;
mod socks;
mod spare;
mod standing;
mod start;
mod statics;
mod stream;
mod tls;
mod tls_side;
mod tunnel;
mod udp;
mod udp_associate;
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
