//! What differs between the versions of SOCKS once a request is understood.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;

use tollgate_types::Refusal;
use tollgate_wire::refusal::socks_rep;
use tollgate_wire::socks5::Rep;
use tollgate_wire::{socks4, socks5};

use crate::socket::UNSPECIFIED;
use crate::stats::Stats;

/// The version of SOCKS that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// SOCKS4 and SOCKS4a.
    Four,
    /// SOCKS5.
    Five,
}

impl Version {
    /// Returns the name of the protocol of its tunnels.
    pub(super) const fn protocol(self) -> &'static str {
        match self {
            Self::Four => "socks4",
            Self::Five => "socks5",
        }
    }

    /// Returns the counter of its tunnels.
    pub(super) const fn tunnels(self, stats: &Stats) -> &AtomicU64 {
        match self {
            Self::Four => &stats.socks4_tunnels,
            Self::Five => &stats.socks5_tunnels,
        }
    }

    /// Returns the reply that a tunnel stands, which leaves from `bound`.
    pub(super) fn granted(self, bound: SocketAddr) -> Vec<u8> {
        match self {
            Self::Four => socks4::reply(true, bound).to_vec(),
            Self::Five => socks5::reply(Rep::Succeeded, bound),
        }
    }

    /// Returns the reply that a request is refused. SOCKS4 has one for all reasons.
    pub(crate) fn refused(self, refusal: Refusal) -> Vec<u8> {
        match self {
            Self::Four => socks4::reply(false, UNSPECIFIED).to_vec(),
            Self::Five => socks5::reply(socks_rep(refusal), UNSPECIFIED),
        }
    }
}
