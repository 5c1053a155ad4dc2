//! A client's connection.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::admit::Guest;
use crate::buffered::Buffered;
use crate::entrance::Entrance;
use crate::seats::Seat;

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) io: Buffered,
    pub(crate) peer: SocketAddr,
    pub(crate) entrance: Entrance,
    /// When it was accepted.
    pub(crate) since: Instant,
    /// Its place among all connections.
    pub(crate) _seat: Seat,
    /// And among those of its address, where they are counted.
    pub(crate) guest: Option<Guest>,
}
