//! The gateway as its clients, its origins and its control plane see it: real sockets on loopback.

mod exits;
mod forwarding;
mod metering;
mod refusals;
mod tunnels;
mod world;
