//! The start of a gateway: its first ports, and what can keep it from starting.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use tollgate_types::ProxyType;

use crate::client::CertificateError;
use crate::listen::{Inherited, Port};

/// A gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be bound.
    #[error("the gateway cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The data folder could not be used.
    #[error("the gateway cannot keep its journal in its data folder: {0}")]
    Journal(#[source] io::Error),
    /// The certificate cannot be used.
    #[error("the gateway's certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
}

/// The ports of the settings, and where each listens: sockets that were inherited, or else new ones.
///
/// # Errors
/// A port that cannot be had.
pub(crate) fn bind(
    listeners: &[(SocketAddr, Option<ProxyType>)],
    inherited: &mut Inherited,
) -> Result<(Vec<Port>, Vec<SocketAddr>), StartError> {
    let mut ports = Vec::new();
    let mut addresses = Vec::new();
    for (address, proxy_type) in listeners.iter().copied() {
        let failed = |source| StartError::Listen { address, source };
        let port = match inherited.take(address) {
            Some(socket) => Port::inherit(socket, proxy_type),
            None => Port::bind(address, proxy_type),
        };
        let port = port.map_err(failed)?;
        addresses.push(port.address().map_err(failed)?);
        ports.push(port);
    }
    Ok((ports, addresses))
}

/// The ports of static proxies that were inherited.
///
/// # Errors
/// A port that cannot be had.
pub(crate) fn inherit_static(inherited: &mut Inherited) -> Result<Vec<(u16, Port)>, StartError> {
    let take = |(port, socket)| {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let failed = |source| StartError::Listen { address, source };
        Port::inherit_everywhere(socket).map(|bound| (port, bound)).map_err(failed)
    };
    inherited.take_everywhere().into_iter().map(take).collect()
}
