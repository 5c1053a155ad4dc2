//! Exits: the configured ways out, as the gateway sees them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use secrecy::SecretString;

use crate::{Country, ExitId, ProxyType};

/// How an exit reaches the target.
#[derive(Clone, Debug)]
pub enum ExitKind {
    /// From this machine, optionally leaving from one of its addresses.
    Direct {
        /// The local address to leave from; the system's choice where absent.
        bind_ip: Option<IpAddr>,
    },
    /// Through another HTTP proxy, by CONNECT.
    Http {
        /// `host:port` of that proxy.
        address: String,
        /// What it wants to hear, with placeholders.
        credentials: Option<ExitCredentials>,
    },
    /// Through another SOCKS5 proxy.
    Socks5 {
        /// `host:port` of that proxy.
        address: String,
        /// What it wants to hear, with placeholders.
        credentials: Option<ExitCredentials>,
    },
}

/// User name and password for an upstream proxy. Both may hold `{country}`, `{state}`, `{city}`
/// and `{session}`, which the gateway fills from the request's routing parameters.
#[derive(Clone)]
pub struct ExitCredentials {
    /// User name, with placeholders.
    pub username: String,
    /// Password, with placeholders.
    pub password: SecretString,
}

impl fmt::Debug for ExitCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExitCredentials(…)")
    }
}

/// One configured way out.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Its id.
    pub id: ExitId,
    /// The operator's name for it.
    pub name: String,
    /// The pool it belongs to.
    pub proxy_type: ProxyType,
    /// How it reaches the target.
    pub kind: ExitKind,
    /// The country it comes out in.
    pub country: Country,
    /// The state or region, normalised as by [`normalise_place`]; empty where unknown.
    pub state: String,
    /// The city, normalised likewise; empty where unknown.
    pub city: String,
    /// The autonomous system number; 0 where unknown.
    pub asn: u32,
    /// Its share among matching exits; at least 1.
    pub weight: u32,
    /// Connections it carries at once; 0 = no limit.
    pub max_connections: u32,
}

/// All active exits, by type.
#[derive(Clone, Debug, Default)]
pub struct Pools {
    by_type: [Vec<Arc<Exit>>; 3],
}

impl Pools {
    /// Sorts exits into their pools.
    pub fn new(exits: impl IntoIterator<Item = Exit>) -> Self {
        let mut pools = Self::default();
        for exit in exits {
            pools.by_type[exit.proxy_type.index()].push(Arc::new(exit));
        }
        pools
    }

    /// The exits of one type.
    pub fn of(&self, proxy_type: ProxyType) -> &[Arc<Exit>] {
        &self.by_type[proxy_type.index()]
    }

    /// Every exit of every type.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Exit>> {
        self.by_type.iter().flatten()
    }
}

/// Cities and states compare without case, blanks, `_` and `+` (platform.md §3).
pub fn normalise_place(place: &str) -> String {
    place
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '+'))
        .flat_map(char::to_lowercase)
        .collect()
}
