//! Counters of the gateway, read when metrics are asked for. Plain atomics: nothing waits for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tollgate_types::Refusal;

use crate::limits::Limit;

/// How many kinds of refusal there are.
const KINDS: usize = Refusal::ALL.len();
/// How many limits keep connections out.
const LIMITS: usize = Limit::ALL.len();

/// How many reasons there are to drop a datagram.
const REASONS: usize = Dropped::ALL.len();

/// Why a datagram was dropped. The client is not told: nobody is sent anything for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// It came from somebody who is not the association's client.
    Stranger,
    /// Its header is cut short or no header, or names no target.
    Malformed,
    /// It is a fragment.
    Fragment,
    /// Its destination is not allowed.
    Blocked,
    /// Its destination's name does not resolve.
    Unresolved,
    /// Too many wait for names to resolve.
    Busy,
    /// There is no way to its destination from where the association leaves.
    Unreachable,
    /// The system's buffer to the next hop is full.
    Congested,
    /// It came from somebody whom the client has not sent anything to.
    Unsolicited,
    /// With the header it is longer than a datagram can be.
    TooLarge,
}

impl Dropped {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Stranger,
        Self::Malformed,
        Self::Fragment,
        Self::Blocked,
        Self::Unresolved,
        Self::Busy,
        Self::Unreachable,
        Self::Congested,
        Self::Unsolicited,
        Self::TooLarge,
    ];

    /// As metrics call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Malformed => "malformed",
            Self::Fragment => "fragment",
            Self::Blocked => "blocked",
            Self::Unresolved => "unresolved",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::Congested => "congested",
            Self::Unsolicited => "unsolicited",
            Self::TooLarge => "too_large",
        }
    }
}

/// What the gateway has been doing since it was started.
#[derive(Debug)]
pub struct Stats {
    /// Client connections accepted.
    pub accepted: AtomicU64,
    /// Client connections turned away before a byte was read, for want of room.
    pub turned_away: AtomicU64,
    /// Tunnels opened by CONNECT.
    pub connect_tunnels: AtomicU64,
    /// Tunnels opened by SOCKS4.
    pub socks4_tunnels: AtomicU64,
    /// Tunnels opened by SOCKS5.
    pub socks5_tunnels: AtomicU64,
    /// UDP associations opened.
    pub udp_associations: AtomicU64,
    /// Absolute-form requests forwarded.
    pub forwarded_requests: AtomicU64,
    /// TLS handshakes with clients that were done.
    pub tls_handshakes: AtomicU64,
    /// TLS handshakes with clients that failed.
    pub tls_failures: AtomicU64,
    /// TLS handshakes with clients that failed, or after which no request came.
    pub tls_without_request: AtomicU64,
    /// HTTP/2 connections of clients.
    pub http2_connections: AtomicU64,
    /// Streams that were begun on them.
    pub http2_streams: AtomicU64,
    /// Payload bytes from clients to targets.
    pub bytes_up: AtomicU64,
    /// Payload bytes from targets to clients.
    pub bytes_down: AtomicU64,
    /// Leases asked for.
    pub leases: AtomicU64,
    /// Leases asked for in vain.
    pub leases_denied: AtomicU64,
    /// Reports settled.
    pub settles: AtomicU64,
    /// Reports that could not be settled then.
    pub settle_failures: AtomicU64,
    /// Times the journal could not be written.
    pub journal_failures: AtomicU64,
    /// Whether the last attempt to write the journal failed.
    pub journal_fails: AtomicBool,
    /// Live connections cut: a right or the funds were lost, or the operator or the drain ended them.
    pub cuts: AtomicU64,
    /// Client connections accepted at static proxies' addresses; among `accepted`.
    pub static_accepted: AtomicU64,
    /// Client connections closed unread because the address that they came to is nobody's static
    /// proxy; among `accepted`.
    pub static_strays: AtomicU64,
    /// Ports of static proxies that are listened on now.
    pub static_listeners: AtomicU64,
    /// Ports of static proxies that cannot be listened on now.
    pub static_ports_failed: AtomicU64,
    /// Reports of static proxies' traffic that were taken.
    pub static_reports: AtomicU64,
    /// Reports of static proxies' traffic that could not be told then.
    pub static_report_failures: AtomicU64,
    /// Probes of exits.
    pub probes: AtomicU64,
    /// Probes of exits that failed, or did not come to an end.
    pub probe_failures: AtomicU64,
    refusals: [AtomicU64; KINDS],
    dropped: [AtomicU64; REASONS],
    /// Live connections cut because they had lived as long as connections may; among `cuts`.
    pub overtime: AtomicU64,
    /// Times a connection waited for its turn because of a limit on bandwidth.
    pub throttle_waits: AtomicU64,
    /// How long they waited in all, in microseconds.
    pub throttled_micros: AtomicU64,
    /// Answers to failed logins that were held back.
    pub logins_delayed: AtomicU64,
    /// Connections from fronts that did not begin with a PROXY header, or with a broken one; among
    /// `accepted`.
    pub proxy_headers_refused: AtomicU64,
    limited: [AtomicU64; LIMITS],
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            connect_tunnels: AtomicU64::new(0),
            socks4_tunnels: AtomicU64::new(0),
            socks5_tunnels: AtomicU64::new(0),
            udp_associations: AtomicU64::new(0),
            forwarded_requests: AtomicU64::new(0),
            tls_handshakes: AtomicU64::new(0),
            tls_failures: AtomicU64::new(0),
            tls_without_request: AtomicU64::new(0),
            http2_connections: AtomicU64::new(0),
            http2_streams: AtomicU64::new(0),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
            leases: AtomicU64::new(0),
            leases_denied: AtomicU64::new(0),
            settles: AtomicU64::new(0),
            settle_failures: AtomicU64::new(0),
            journal_failures: AtomicU64::new(0),
            journal_fails: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            static_accepted: AtomicU64::new(0),
            static_strays: AtomicU64::new(0),
            static_listeners: AtomicU64::new(0),
            static_ports_failed: AtomicU64::new(0),
            static_reports: AtomicU64::new(0),
            static_report_failures: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            probe_failures: AtomicU64::new(0),
            refusals: std::array::from_fn(|_| AtomicU64::new(0)),
            dropped: std::array::from_fn(|_| AtomicU64::new(0)),
            overtime: AtomicU64::new(0),
            throttle_waits: AtomicU64::new(0),
            throttled_micros: AtomicU64::new(0),
            logins_delayed: AtomicU64::new(0),
            proxy_headers_refused: AtomicU64::new(0),
            limited: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Stats {
    /// Counts a refusal.
    pub fn refused(&self, refusal: Refusal) {
        if let Some(counter) = self.refusals.get(refusal as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a dropped datagram.
    pub fn dropped(&self, why: Dropped) {
        if let Some(counter) = self.dropped.get(why as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection that a limit kept out.
    pub fn limited(&self, limit: Limit) {
        if let Some(counter) = self.limited.get(limit as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many datagrams were dropped for each reason.
    pub fn drops(&self) -> impl Iterator<Item = (Dropped, u64)> + '_ {
        Dropped::ALL.iter().zip(&self.dropped).map(|(why, count)| (*why, count.load(Ordering::Relaxed)))
    }

    /// Counts a wait for bandwidth.
    pub(crate) fn throttled(&self, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.throttle_waits.fetch_add(1, Ordering::Relaxed);
        self.throttled_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many connections each limit kept out.
    pub fn limits(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        Limit::ALL.iter().zip(&self.limited).map(|(limit, count)| (*limit, count.load(Ordering::Relaxed)))
    }

    /// How many refusals of each kind there were.
    pub fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.iter().zip(&self.refusals).map(|(kind, count)| (*kind, count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_apart() {
        let stats = Stats::default();
        for (times, why) in (1..).zip(Dropped::ALL) {
            (0..times).for_each(|_| stats.dropped(why));
        }
        for ((times, why), counted) in (1..).zip(Dropped::ALL).zip(stats.drops()) {
            assert_eq!(counted, (why, times), "{}", why.as_str());
        }
    }
}
