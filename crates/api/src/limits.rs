//! How often one may call: per API key, and per peer address for failed logins. Memory is bounded:
//! who has been quiet is forgotten, and past a cap everybody is.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tollgate_types::AccountId;

use crate::error::ApiError;

/// How many callers are remembered at once.
const REMEMBERED: usize = 100_000;

/// The limits of one process.
pub(crate) struct Limits {
    calls: Option<PerMinute<AccountId>>,
    failed_logins: Option<PerMinute<IpAddr>>,
}

impl Limits {
    /// So many per minute of either; 0 = no limit.
    pub(crate) fn new(most: u32) -> Self {
        Self { calls: PerMinute::new(most), failed_logins: PerMinute::new(most) }
    }

    /// Counts a call of an account, which has one key at a time.
    pub(crate) fn call(&self, account: AccountId) -> Result<(), ApiError> {
        self.calls.as_ref().map_or(Ok(()), |limit| limit.take(account))
    }

    /// Counts a failed login from an address.
    pub(crate) fn failed_login(&self, peer: IpAddr) -> Result<(), ApiError> {
        self.failed_logins.as_ref().map_or(Ok(()), |limit| limit.take(neighbourhood(peer)))
    }
}

/// Returns what counts as one address: whoever holds one IPv6 address usually holds its whole /64.
pub(crate) fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

/// So many per minute for each key, all of them at once where need be.
struct PerMinute<K: Hash + Eq + Clone> {
    quota: Quota,
    limiter: Mutex<DefaultKeyedRateLimiter<K>>,
}

impl<K: Hash + Eq + Clone> PerMinute<K> {
    fn new(most: u32) -> Option<Self> {
        let quota = Quota::per_minute(NonZeroU32::new(most)?);
        Some(Self { quota, limiter: Mutex::new(RateLimiter::keyed(quota)) })
    }

    fn take(&self, key: K) -> Result<(), ApiError> {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        if limiter.len() >= REMEMBERED {
            limiter.retain_recent();
            if limiter.len() >= REMEMBERED {
                *limiter = RateLimiter::keyed(self.quota);
            }
        }
        limiter.check_key(&key).map_err(|refused| ApiError::TooMany {
            retry_after: refused.wait_time_from(DefaultClock::default().now()).max(Duration::from_millis(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_has_its_own_allowance() {
        let limits = Limits::new(2);
        let [one, other] = [1, 2].map(AccountId::new);
        assert_eq!((limits.call(one), limits.call(one)), (Ok(()), Ok(())));
        assert!(
            matches!(limits.call(one), Err(ApiError::TooMany { retry_after }) if retry_after.as_secs() <= 30)
        );
        assert_eq!(limits.call(other), Ok(()));
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = Limits::new(0);
        assert!((0..1000).all(|_| limits.call(AccountId::new(1)).is_ok()));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_ipv4() {
        let same = |a: &str, b: &str| neighbourhood(a.parse().unwrap()) == neighbourhood(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:2"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
    }

    #[test]
    fn memory_is_bounded() {
        let limit = PerMinute::new(1).unwrap();
        for key in 0..=u32::try_from(REMEMBERED).unwrap() {
            limit.take(key).unwrap();
        }
        assert!(limit.limiter.lock().unwrap().len() <= REMEMBERED);
    }
}
