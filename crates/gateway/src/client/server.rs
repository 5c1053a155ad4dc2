//! What serving a client needs, whatever it speaks.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tollgate_types::{Directory, StaticProtocol};

use crate::client::certs::Certificates;
use crate::control::Control;
use crate::entry::{CallerSlots, Entrance, Handshakes};
use crate::lifecycle::Lifecycle;
use crate::limits::CurrentLimits;
use crate::random::Random;
use crate::serve::Steps;
use crate::slots::ConnectionSlots;
use crate::stats::Stats;

/// What serving a client needs.
pub(crate) struct Server<C: Control> {
    pub(crate) steps: Steps<C>,
    pub(crate) settings: ProtocolSettings,
    /// Where there is one, TLS is spoken to clients.
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// TLS handshakes that brought no request.
    pub(crate) handshakes: Arc<Handshakes>,
    pub(crate) directory: watch::Receiver<Arc<Directory>>,
    /// One for each client connection, each stream of HTTP/2, and a second one for each association.
    pub(crate) slots: ConnectionSlots,
    /// UDP associations, which are connections too.
    pub(crate) associations: Arc<CallerSlots>,
    pub(crate) limits: CurrentLimits,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) stats: Arc<Stats>,
    pub(crate) random: Random,
}

/// What the protocols may be used for: of the gateway's settings those that only they look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProtocolSettings {
    /// [`GatewayConfig::http2_streams`](crate::GatewayConfig::http2_streams).
    pub(crate) http2_streams: u32,
    /// [`GatewayConfig::socks4`](crate::GatewayConfig::socks4).
    pub(crate) socks4: bool,
    /// [`GatewayConfig::udp`](crate::GatewayConfig::udp).
    pub(crate) udp: bool,
    /// [`GatewayConfig::udp_associations_per_caller`](crate::GatewayConfig::udp_associations_per_caller).
    pub(crate) udp_associations_per_caller: u32,
    /// [`GatewayConfig::udp_public_address`](crate::GatewayConfig::udp_public_address).
    pub(crate) udp_public_address: Option<IpAddr>,
}

impl<C: Control> Server<C> {
    /// Whether HTTP is spoken where a connection came in. Where a static proxy is gone meanwhile,
    /// nobody will be identified.
    pub(crate) fn speaks_http(&self, entrance: Entrance) -> bool {
        self.protocol_at(entrance).is_none_or(StaticProtocol::speaks_http)
    }

    /// Whether SOCKS is spoken where a connection came in: where a static proxy was bought for SOCKS5,
    /// SOCKS4 is as well.
    pub(crate) fn speaks_socks(&self, entrance: Entrance) -> bool {
        self.protocol_at(entrance).is_none_or(StaticProtocol::speaks_socks5)
    }

    /// What the static proxy speaks that a connection came to; `None` where it came to none.
    fn protocol_at(&self, entrance: Entrance) -> Option<StaticProtocol> {
        match entrance {
            Entrance::Metered(_) => None,
            Entrance::Static(local) => self.directory.borrow().static_at(local).map(|entry| entry.protocol),
        }
    }
}
