//! The gateway as its clients, its origins and its control plane see it: real sockets on loopback.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails there")]

mod datagrams;
mod exits;
mod forwarding;
mod fronts;
mod handover;
mod http2;
mod limits;
mod metering;
mod names;
mod overload;
mod pools;
mod protocols;
mod refusals;
mod secure;
mod socks4;
mod statics;
mod tunnels;
mod world;
