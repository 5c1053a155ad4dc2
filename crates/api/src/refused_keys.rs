//! Keys that were refused: counted, and told of in the log, at most once a minute for each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits::neighbourhood;

/// How long the next line about an address waits.
const PAUSE: Duration = Duration::from_secs(60);

/// How many addresses have lines of their own at once; those beyond share one.
const MOST_ADDRESSES: usize = 10_000;

/// Whom a key was presented as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyOf {
    Customer,
    Operator,
}

/// How many keys were refused since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefusedKeyCounts {
    /// On customers' calls.
    pub customer: u64,
    /// On the operator's calls.
    pub operator: u64,
}

/// What is known of refused keys. Memory is bounded: an address is forgotten after a quiet minute.
#[derive(Debug, Default)]
pub(crate) struct RefusedKeys {
    customer: AtomicU64,
    operator: AtomicU64,
    /// By address, how many were refused since the last line about it. `None`: all addresses that found no room.
    untold: Mutex<HashMap<Option<IpAddr>, u64>>,
}

impl RefusedKeys {
    /// Returns how many there were.
    pub(crate) fn counts(&self) -> RefusedKeyCounts {
        RefusedKeyCounts {
            customer: self.customer.load(Ordering::Relaxed),
            operator: self.operator.load(Ordering::Relaxed),
        }
    }

    /// Counts one. The first from an address is told at once, the others together a minute later.
    pub(crate) fn note(self: &Arc<Self>, client: IpAddr, key_of: KeyOf) {
        let count = match key_of {
            KeyOf::Customer => &self.customer,
            KeyOf::Operator => &self.operator,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let Some(told) = self.begin(client) else { return };
        tell(told, 1);
        let keys = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                let Some(count) = keys.end(told) else { break };
                tell(told, count);
            }
        });
    }

    /// Counts one from an address. Returns what to tell of, if a minute begins with it.
    fn begin(&self, client: IpAddr) -> Option<Option<IpAddr>> {
        let mut untold = self.untold();
        let mut key = Some(neighbourhood(client));
        if untold.len() >= MOST_ADDRESSES && !untold.contains_key(&key) {
            key = None;
        }
        match untold.entry(key) {
            Entry::Occupied(mut count) => {
                *count.get_mut() += 1;
                None
            }
            Entry::Vacant(place) => {
                place.insert(0);
                Some(key)
            }
        }
    }

    /// Ends an address's minute. Returns how many came within it, after which the next minute begins; forgets
    /// the address if there were none.
    fn end(&self, told: Option<IpAddr>) -> Option<u64> {
        let mut untold = self.untold();
        let count = untold.get_mut(&told).map_or(0, std::mem::take);
        if count == 0 {
            untold.remove(&told);
        }
        Some(count).filter(|count| *count > 0)
    }

    fn untold(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, u64>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(client: Option<IpAddr>, count: u64) {
    match client {
        Some(client) => tracing::warn!(%client, count, "keys were refused"),
        None => tracing::warn!(count, "keys were refused from more addresses than are told of one by one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(host))
    }

    #[test]
    fn each_address_is_told_of_once_a_minute_with_all_that_came_within_it() {
        let keys = RefusedKeys::default();
        let told = keys.begin(address(1));
        assert_eq!(told, Some(Some(address(1))));
        assert_eq!([keys.begin(address(1)), keys.begin(address(1))], [None, None]);
        assert_eq!(keys.begin(address(2)), Some(Some(address(2))));
        assert_eq!(keys.end(Some(address(1))), Some(2));
        assert_eq!(keys.begin(address(1)), None, "the next minute has begun");
        assert_eq!(keys.end(Some(address(1))), Some(1));
        assert_eq!(keys.end(Some(address(1))), None);
        assert_eq!(keys.begin(address(1)), told, "it was quiet for a minute");
    }

    #[test]
    fn memory_is_bounded() {
        let keys = RefusedKeys::default();
        let beyond = u32::try_from(MOST_ADDRESSES).unwrap();
        assert!((0..beyond).all(|host| keys.begin(address(host)) == Some(Some(address(host)))));
        assert_eq!(keys.begin(address(beyond)), Some(None));
        assert_eq!(keys.begin(address(beyond + 1)), None);
        assert_eq!(keys.untold().len(), MOST_ADDRESSES + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_keys_are_counted_and_forgotten_after_a_quiet_minute() {
        let keys = Arc::new(RefusedKeys::default());
        keys.note(address(1), KeyOf::Customer);
        keys.note(address(1), KeyOf::Operator);
        keys.note(address(1), KeyOf::Operator);
        assert_eq!(keys.counts(), RefusedKeyCounts { customer: 1, operator: 2 });
        tokio::time::sleep(PAUSE + Duration::from_secs(1)).await;
        assert_eq!(keys.untold().len(), 1, "two were told of together, and the next minute has begun");
        tokio::time::sleep(PAUSE + Duration::from_secs(1)).await;
        assert!(keys.untold().is_empty());
    }
}
