//! TLS handshakes that bring no request, counted by the client's address.
//!
//! A handshake costs far more than the connection that it is done on. A program that cannot go on after
//! it, and tries again at once, does hundreds in seconds. So each address has a budget of handshakes that
//! fail, or after which no request comes. While it is used up, connections from there that begin with
//! TLS are closed before the handshake. Plain connections, and other addresses, are unaffected.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::entry::budget::{Budget, Spent};
use crate::entry::caps::neighbourhood;
use crate::limits::{CurrentLimits, Limit};
use crate::stats::Stats;

/// The most addresses whose handshakes are remembered.
const MAX_ADDRESSES: usize = 65_536;
/// The time in which a spent budget comes back.
const WINDOW: Duration = Duration::from_secs(60);

/// The handshakes of all addresses that brought no request.
#[derive(Debug)]
pub(crate) struct Handshakes {
    spent: Mutex<HashMap<IpAddr, Spent>>,
    limits: CurrentLimits,
    stats: Arc<Stats>,
}

/// A handshake, and the connection after it until its first request has come. Where it is dropped before, it
/// has brought none.
#[derive(Debug)]
pub(crate) struct Handshake {
    all: Arc<Handshakes>,
    address: IpAddr,
    brought_request: bool,
}

impl Handshakes {
    /// No address has done any.
    pub(crate) fn new(limits: CurrentLimits, stats: Arc<Stats>) -> Self {
        Self { spent: Mutex::default(), limits, stats }
    }

    /// Begins a handshake of `peer`; `None`, which is counted, where too many of its address brought no
    /// request.
    pub(crate) fn begin(self: &Arc<Self>, peer: IpAddr) -> Option<Handshake> {
        let address = neighbourhood(peer);
        if let Some(budget) = self.budget() {
            let spent = self.spent().get(&address).copied();
            if spent.is_some_and(|spent| !spent.has_room(budget, Instant::now())) {
                self.stats.limited(Limit::AddressHandshakes);
                return None;
            }
        }
        Some(Handshake { all: self.clone(), address, brought_request: false })
    }

    fn in_vain(&self, address: IpAddr, now: Instant) {
        self.stats.tls_without_request.fetch_add(1, Ordering::Relaxed);
        let Some(budget) = self.budget() else { return };
        let mut all = self.spent();
        if all.len() >= MAX_ADDRESSES {
            all.retain(|_, spent| spent.full_at > now);
            // A flood from everywhere does not have all of it looked through for each newcomer.
            if all.len() > MAX_ADDRESSES / 2 {
                all.clear();
            }
        }
        all.entry(address).or_insert(Spent { full_at: now }).spend(budget, now);
    }

    fn budget(&self) -> Option<Budget> {
        Budget::new(self.limits.now().tls_without_request, WINDOW)
    }

    fn spent(&self) -> MutexGuard<'_, HashMap<IpAddr, Spent>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handshake {
    /// Notes that a request has come.
    pub(crate) fn brought_request(mut self) {
        self.brought_request = true;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        if !self.brought_request {
            self.all.in_vain(self.address, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::GatewayLimits;

    fn handshakes(tls_without_request: u32) -> Arc<Handshakes> {
        let limits = GatewayLimits { tls_without_request, ..GatewayLimits::default() };
        Arc::new(Handshakes::new(CurrentLimits::new(limits), Arc::default()))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_in_vain_are_begun_from_an_address_and_more_as_time_goes_by() {
        let all = handshakes(6);
        let begun = |peer: &str| (0..100).filter(|_| all.begin(ip(peer)).is_some()).count();
        assert_eq!(begun("198.51.100.1"), 6);
        assert_eq!(begun("198.51.100.2"), 6, "another address");
        assert_eq!(begun("2001:db8::1"), 6);
        assert_eq!(begun("2001:db8::2"), 0, "its neighbour in the same network");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(begun("198.51.100.1"), 1, "a sixth of a minute later");
        assert_eq!(all.stats.tls_without_request.load(Ordering::Relaxed), 6 * 3 + 1);
        let refused = all.stats.limits().find(|(limit, _)| *limit == Limit::AddressHandshakes);
        assert_eq!(refused.map(|(_, count)| count), Some(4 * 100 + 100 - 19));
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_that_bring_requests_are_not_counted() {
        let all = handshakes(1);
        for _ in 0..100 {
            all.begin(ip("198.51.100.1")).unwrap().brought_request();
        }
        assert!(all.spent().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_none_is_refused_and_nothing_remembered() {
        let all = handshakes(0);
        assert!((0..1000).all(|_| all.begin(ip("198.51.100.1")).is_some()));
        assert!(all.spent().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_whoever_comes() {
        let all = handshakes(10);
        for i in 0..200_000_u32 {
            drop(all.begin(std::net::Ipv4Addr::from_bits(i).into()));
        }
        assert!(all.spent().len() <= MAX_ADDRESSES);
    }
}
