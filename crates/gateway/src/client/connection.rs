//! A client's connection.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::entry::{CountedAddress, Entrance, Handshake};
use crate::slots::Slot;
use crate::stream::Buffered;

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) io: Buffered,
    pub(crate) peer: SocketAddr,
    pub(crate) entrance: Entrance,
    /// When it was accepted.
    pub(crate) since: Instant,
    /// The slot that it has among all connections.
    pub(crate) _slot: Slot,
    /// The count of its address, where addresses are counted.
    pub(crate) counted: Option<CountedAddress>,
    /// Under TLS, until the first request has come: what counts the handshake if none does.
    pub(crate) handshake: Option<Box<Handshake>>,
}

impl Client {
    /// Notes that a request has come.
    pub(crate) fn brings_request(&mut self) {
        if let Some(handshake) = self.handshake.take() {
            handshake.brought_request();
        }
    }
}
