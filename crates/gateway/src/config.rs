//! The gateway's settings: every bound has a name here, or among the limits.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tollgate_types::{Cidr, ProxyType};
use tollgate_wire::target::Target;

use crate::client::CertificateFiles;
use crate::limits::GatewayLimits;

/// How a gateway behaves. The defaults are those of the product, without listeners.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where to listen, and the type of traffic of each port; `None` takes the type from the user
    /// name. Port 0 lets the system choose.
    pub listeners: Vec<(SocketAddr, Option<ProxyType>)>,
    /// Whether static proxies are served: on every address of the machine, on the ports that they
    /// are reached on.
    pub static_proxies: bool,
    /// What can be changed while it runs.
    pub limits: GatewayLimits,
    /// The fronts (load balancers) whose connections begin with a PROXY header that says who is behind
    /// them.
    pub proxy_protocol_from: Vec<Cidr>,
    /// From an accepted request to an established connection, everything included.
    pub connect_timeout: Duration,
    /// For one name to resolve.
    pub dns_timeout: Duration,
    /// The name servers to ask; none = the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// The most answers that are kept of the name servers.
    pub dns_cache_entries: u64,
    /// Names (lower-case) that are answered from here without asking a name server.
    pub hosts: HashMap<String, Vec<IpAddr>>,
    /// Whether SOCKS4 and SOCKS4a are served.
    pub socks4: bool,
    /// Whether SOCKS5 UDP ASSOCIATE is served.
    pub udp: bool,
    /// UDP associations at once of one sub-account, of one listed address, or of one static proxy; 0 =
    /// no limit. Their TCP connections are counted among the connections, too.
    pub udp_associations_per_caller: u32,
    /// The address that clients of ports for metered traffic are told to send datagrams to, where
    /// that is not the one that they have connected to (behind NAT).
    pub udp_public_address: Option<IpAddr>,
    /// Sticky sessions that are remembered.
    pub max_sessions: usize,
    /// Destinations opened in spite of the guard.
    pub allow_destinations: Vec<Cidr>,
    /// Destination ports that are refused.
    pub blocked_ports: Vec<u16>,
    /// Further listeners of the platform (API, metrics, database): closed to customers even where
    /// their address is opened.
    pub own_addresses: Vec<SocketAddr>,
    /// The certificate with which TLS is spoken to customers; without one it is not.
    pub certificate: Option<CertificateFiles>,
    /// Streams of one HTTP/2 connection at once.
    pub http2_streams: u32,
    /// How often exits are probed that are left out, or that nobody uses; zero = never.
    pub probe_interval: Duration,
    /// What upstream proxies are asked for by a probe; nothing where it is `None`, only whether they
    /// can be reached.
    pub probe_target: Option<Target>,
    /// How long running connections may go on when the gateway stops.
    pub drain_timeout: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            static_proxies: true,
            limits: GatewayLimits::default(),
            proxy_protocol_from: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            dns_timeout: Duration::from_secs(5),
            dns_servers: Vec::new(),
            dns_cache_entries: 8192,
            hosts: HashMap::new(),
            socks4: true,
            udp: true,
            udp_associations_per_caller: 256,
            udp_public_address: None,
            max_sessions: 1_000_000,
            allow_destinations: Vec::new(),
            blocked_ports: vec![25],
            own_addresses: Vec::new(),
            certificate: None,
            http2_streams: 100,
            probe_interval: Duration::from_secs(10),
            probe_target: None,
            drain_timeout: Duration::from_secs(30),
        }
    }
}
