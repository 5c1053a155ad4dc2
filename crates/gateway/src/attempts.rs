//! Failed logins, counted by the peer's address.
//!
//! Each address has a budget of failures that refills steadily. While it is used up, every login
//! from there is refused before its password is looked at, so that guessing proceeds at the rate of
//! the refill and no faster. Other addresses are unaffected, and the address itself recovers within
//! moments of the guessing's end.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most addresses that are remembered.
const MAX_ADDRESSES: usize = 65_536;

/// The failures of all addresses.
#[derive(Debug)]
pub(crate) struct Attempts {
    budget: u32,
    refill_one: Duration,
    /// When the whole budget will be there again. An address that is not listed has it.
    full_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Attempts {
    /// So many failures per window; 0 = any number.
    pub(crate) fn new(budget: u32, window: Duration) -> Self {
        Self { budget, refill_one: window / budget.max(1), full_at: Mutex::default() }
    }

    /// Whether a login from this address is looked at now.
    pub(crate) fn may_try(&self, peer: IpAddr, now: Instant) -> bool {
        let full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full_at.get(&key(peer)).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        self.budget == 0 || missing + self.refill_one <= self.refill_one * self.budget
    }

    /// A login from this address failed.
    pub(crate) fn failed(&self, peer: IpAddr, now: Instant) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MAX_ADDRESSES {
            full_at.retain(|_, at| *at > now);
        }
        if full_at.len() >= MAX_ADDRESSES {
            full_at.clear();
        }
        let at = full_at.entry(key(peer)).or_insert(now);
        *at = (*at).max(now) + self.refill_one;
    }
}

/// IPv6 peers count by /64, which is what one customer of a provider has.
fn key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hp_17_guessing_is_slowed_by_address_and_recovers() {
        let attempts = Attempts::new(10, Duration::from_secs(60));
        let now = Instant::now();
        let guesser: IpAddr = "198.51.100.1".parse().unwrap();
        let looked_at =
            (0..1_000).filter(|_| attempts.may_try(guesser, now)).map(|_| attempts.failed(guesser, now));
        assert_eq!(looked_at.count(), 10);
        assert!(!attempts.may_try(guesser, now));
        assert!(attempts.may_try("198.51.100.2".parse().unwrap(), now));
        assert!(attempts.may_try(guesser, now + Duration::from_secs(6)));
    }

    #[test]
    fn ipv6_neighbours_count_together() {
        let attempts = Attempts::new(1, Duration::from_secs(60));
        let now = Instant::now();
        attempts.failed("2001:db8::1".parse().unwrap(), now);
        assert!(!attempts.may_try("2001:db8::2".parse().unwrap(), now));
        assert!(attempts.may_try("2001:db8:0:1::2".parse().unwrap(), now));
    }
}
