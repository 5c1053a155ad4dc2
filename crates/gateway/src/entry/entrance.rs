//! Where a connection came in, which decides who may enter by it.

use std::net::SocketAddr;

use tollgate_types::ProxyType;

/// Where a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// A port for metered traffic, of one type or (`None`) of all.
    Metered(Option<ProxyType>),
    /// A static proxy's address.
    Static(SocketAddr),
}
