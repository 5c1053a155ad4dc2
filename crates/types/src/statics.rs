//! Static proxies: addresses leased by the month, as the gateway sees them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use crate::{AccountId, PasswordTag, StaticProxyId, StaticType, Time, UnknownWord};

/// What a static proxy speaks, as it was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StaticProtocol {
    /// HTTP only: CONNECT and absolute-form requests.
    Http,
    /// SOCKS5 only.
    Socks5,
    /// Both, told apart by the first byte.
    Both,
}

impl StaticProtocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http, Self::Socks5, Self::Both];

    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Socks5 => "socks5",
            Self::Both => "http/socks5",
        }
    }

    /// Whether HTTP may be spoken.
    pub const fn speaks_http(self) -> bool {
        matches!(self, Self::Http | Self::Both)
    }

    /// Whether SOCKS5 may be spoken.
    pub const fn speaks_socks5(self) -> bool {
        matches!(self, Self::Socks5 | Self::Both)
    }
}

impl fmt::Display for StaticProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StaticProtocol {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == word).ok_or(UnknownWord)
    }
}

/// What the gateway knows of a static proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticEntry {
    /// The proxy.
    pub id: StaticProxyId,
    /// Whose it is. The account's whitelisted addresses enter without credentials.
    pub account: AccountId,
    /// What it was bought as.
    pub static_type: StaticType,
    /// What it speaks.
    pub protocol: StaticProtocol,
    /// Where it is reached; the address in canonical form.
    pub listen: SocketAddr,
    /// The address that its connections leave from.
    pub exit_ip: IpAddr,
    /// Its own user name. Takes no routing parameters.
    pub username: Arc<str>,
    /// The keyed hash of its own password.
    pub password: PasswordTag,
    /// From when on it is refused.
    pub expires_at: Time,
}

/// How much one run of a gateway has moved for a static proxy. For statistics, not for bills; told
/// cumulatively, so that telling it twice, late or out of order changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticTraffic {
    /// The proxy.
    pub id: StaticProxyId,
    /// Payload bytes from the customer to targets since the run began; never decreases.
    pub bytes_up: u64,
    /// Payload bytes from targets to the customer since the run began; never decreases.
    pub bytes_down: u64,
    /// Connections that were admitted since the run began; never decreases.
    pub connections: u64,
}
