//! What bounds connections: every limit that can be changed while the gateway runs, in one struct that
//! each connection looks at as it is then. 0 is no limit, wherever that makes sense.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::time::Instant;
use tollgate_wire::http::Limits;

/// Through a cap of so many a second, so many seconds' worth may come at once.
const BURST_SECONDS: u32 = 2;

/// Connections of one account, caller or address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// At once; 0 = no limit.
    pub connections: u32,
    /// New ones a second, two seconds' worth of them at once; 0 = no limit.
    pub per_second: u32,
}

/// Bytes a second, both directions together; 0 = no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Of the whole gateway.
    pub whole: u64,
    /// Of one account.
    pub per_account: u64,
    /// Of one sub-account, one listed address or one static proxy.
    pub per_caller: u64,
}

/// What bounds connections. Can be changed while the gateway runs: see
/// [`Gateway::reconfigure`](crate::Gateway::reconfigure).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// From the first moment of a connection (or the first byte of a further request on it) to the
    /// end of its request head.
    pub handshake_timeout: Duration,
    /// The largest request head, and the largest response head, in bytes.
    pub head_bytes: usize,
    /// The most header fields of a head.
    pub head_fields: usize,
    /// How long a connection may carry nothing in either direction.
    pub idle_timeout: Duration,
    /// How long a client's HTTP connection may wait for its next request.
    pub keep_alive_timeout: Duration,
    /// How long a tunnel, or a way to an origin that a client's requests go over, may live in all;
    /// zero = no limit.
    pub max_connection_time: Duration,
    /// Client connections at once; more are closed as they come. One with a UDP association counts
    /// as two, for the sockets that it has.
    pub max_connections: usize,
    /// Of one account: tunnels, and ways that requests go over.
    pub per_account: Caps,
    /// Of one sub-account, of one listed address, or of one static proxy.
    pub per_caller: Caps,
    /// Client connections from one address (IPv6: from one /64), whoever they turn out to be.
    pub per_address: Caps,
    /// TLS handshakes a minute from one address (IPv6: from one /64) that may fail, or bring no request;
    /// 0 = no limit.
    pub tls_without_request: u32,
    /// How fast bytes flow.
    pub bandwidth: Bandwidth,
    /// Failed logins from one address within `failed_logins_window`; 0 = no limit.
    pub failed_logins: u32,
    /// The time in which a spent budget of failed logins comes back.
    pub failed_logins_window: Duration,
    /// How long the answer to a failed login is held back at most; it grows up to this with the
    /// failures of the address.
    pub failed_login_delay: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            head_bytes: 64 * 1024,
            head_fields: 100,
            idle_timeout: Duration::from_secs(300),
            keep_alive_timeout: Duration::from_secs(60),
            max_connection_time: Duration::ZERO,
            max_connections: 20_000,
            per_account: Caps::default(),
            per_caller: Caps { connections: 5_000, per_second: 0 },
            per_address: Caps::default(),
            tls_without_request: 300,
            bandwidth: Bandwidth::default(),
            failed_logins: 100,
            failed_logins_window: Duration::from_secs(60),
            failed_login_delay: Duration::from_secs(1),
        }
    }
}

impl Caps {
    /// Whether there is any.
    pub(crate) fn are_set(self) -> bool {
        self != Self::default()
    }
}

/// The limits that hold now, for everybody who looks at them.
#[derive(Clone, Debug)]
pub(crate) struct CurrentLimits(Arc<ArcSwap<GatewayLimits>>);

impl CurrentLimits {
    /// Begins with these.
    pub(crate) fn new(limits: GatewayLimits) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(limits)))
    }

    /// Returns the limits as they are now, to be looked at for a moment.
    pub(crate) fn now(&self) -> Guard<Arc<GatewayLimits>> {
        self.0.load()
    }

    /// Returns the limits as they are now, to be kept.
    pub(crate) fn kept(&self) -> Arc<GatewayLimits> {
        self.0.load_full()
    }

    /// Has others hold from now on.
    pub(crate) fn set(&self, limits: GatewayLimits) {
        self.0.store(Arc::new(limits));
    }

    /// Returns the largest heads that are taken.
    pub(crate) fn of_heads(&self) -> Limits {
        let limits = self.now();
        Limits { head_bytes: limits.head_bytes, fields: limits.head_fields }
    }
}

/// Which cap kept a connection out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`GatewayLimits::per_account`], connections at once.
    AccountConnections,
    /// [`GatewayLimits::per_account`], new connections a second.
    AccountRate,
    /// [`GatewayLimits::per_caller`], connections at once.
    CallerConnections,
    /// [`GatewayLimits::per_caller`], new connections a second.
    CallerRate,
    /// [`GatewayLimits::per_address`], connections at once.
    AddressConnections,
    /// [`GatewayLimits::per_address`], new connections a second.
    AddressRate,
    /// [`GatewayLimits::tls_without_request`].
    AddressHandshakes,
}

impl Limit {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::AccountConnections,
        Self::AccountRate,
        Self::CallerConnections,
        Self::CallerRate,
        Self::AddressConnections,
        Self::AddressRate,
        Self::AddressHandshakes,
    ];

    /// The name of its setting under `[gateway]`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccountConnections => "max_connections_per_account",
            Self::AccountRate => "connections_per_second_per_account",
            Self::CallerConnections => "max_connections_per_caller",
            Self::CallerRate => "connections_per_second_per_caller",
            Self::AddressConnections => "max_connections_per_address",
            Self::AddressRate => "connections_per_second_per_address",
            Self::AddressHandshakes => "tls_without_request",
        }
    }

    /// What who is refused for it is told.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::AccountConnections => "the account has too many connections at once",
            Self::AccountRate => "the account opens too many connections a second",
            Self::CallerConnections => "too many connections at once",
            Self::CallerRate => "too many new connections a second",
            Self::AddressConnections => "too many connections from this address",
            Self::AddressRate => "too many new connections a second from this address",
            Self::AddressHandshakes => "too many TLS handshakes from this address brought no request",
        }
    }
}

/// How many more of something may come now: so many a second, a few seconds' worth of them at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    /// When as many as possible may come at once again; `None` = now.
    full_at: Option<Instant>,
}

impl Rate {
    /// Whether one more may come, at so many a second.
    pub(crate) fn has_room(&self, per_second: u32, now: Instant) -> bool {
        per_second == 0 || self.missing(now) + one(per_second) <= one(per_second) * per_second * BURST_SECONDS
    }

    /// One has come.
    pub(crate) fn take(&mut self, per_second: u32, now: Instant) {
        if per_second > 0 {
            self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + one(per_second));
        }
    }

    /// Whether there is nothing to remember.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.missing(now).is_zero()
    }

    fn missing(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// The time that one takes of a second's worth.
fn one(per_second: u32) -> Duration {
    Duration::from_secs(1) / per_second.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seconds_worth_may_come_at_once_and_then_so_many_a_second() {
        let now = Instant::now();
        for per_second in [1, 3, 7, 1_000, 1_000_000_007] {
            let mut rate = Rate::default();
            let mut come = |at: Instant, most: u32| {
                let mut count = 0;
                while count < most && rate.has_room(per_second, at) {
                    rate.take(per_second, at);
                    count += 1;
                }
                count
            };
            let most = per_second.min(2_000);
            assert_eq!(come(now, 2 * most), 2 * most, "{per_second}");
            if per_second <= 1_000 {
                assert_eq!(come(now, 1), 0, "{per_second}");
                let second_later = now + Duration::from_secs(1);
                assert_eq!(come(second_later, 2 * most), per_second, "{per_second}");
            }
        }
    }

    #[test]
    fn what_is_full_again_is_forgotten_and_no_limit_remembers_nothing() {
        let now = Instant::now();
        let mut rate = Rate::default();
        rate.take(2, now);
        assert!(!rate.is_full(now) && rate.is_full(now + Duration::from_millis(500)));
        let mut unlimited = Rate::default();
        assert!((0..100_000).all(|_| {
            unlimited.take(0, now);
            unlimited.has_room(0, now)
        }));
        assert!(unlimited.is_full(now));
    }
}
