//! Datagrams of an admitted caller, relayed both ways between its client and its targets.
//!
//! **No open relay.** Datagrams are taken from one address only: the one that the TCP connection
//! came from, with the port that the request named or else that of the first datagram that can be
//! understood. To everybody else, and for whatever is malformed, nothing is sent, not a byte. What
//! comes back is passed on only from those addresses and ports that the client has sent to.
//!
//! **Metered.** A datagram's payload is granted as a whole or the datagram is not sent; it is
//! counted when the system has taken it. Headers are free, and so are datagrams without a payload.
//!
//! **Bounded.** An association has one task, no buffer of its own, and at most [`names`]' waiting
//! datagrams (64 KiB), [`peers`]' table and one datagram that waits for funds. What the system cannot
//! take at once is dropped, as everywhere on the way of a datagram.

mod association;
mod names;
mod outlet;
mod peers;

pub(crate) use association::{Association, Destinations};
pub(crate) use outlet::{Family, Outlet, relay_at};
