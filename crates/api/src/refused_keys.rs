//! Keys that were refused: counted, and told of in the log, at most once a minute for each address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::neighbourhood;
use crate::untold::Untold;

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
    /// By address. `None`: all addresses that found no room.
    untold: Arc<Untold<Option<IpAddr>>>,
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
    pub(crate) fn note(&self, client: IpAddr, key_of: KeyOf) {
        let count = match key_of {
            KeyOf::Customer => &self.customer,
            KeyOf::Operator => &self.operator,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let client = Some(neighbourhood(client));
        let has_room = self.untold.has(&client) || self.untold.len() < MOST_ADDRESSES;
        let about = client.filter(|_| has_room);
        self.untold.note(about, move |count| tell(about, count));
    }
}

fn tell(client: Option<IpAddr>, count: u64) {
    match client {
        // It was quiet for a minute, which nobody has to know.
        _ if count == 0 => {}
        Some(client) => tracing::warn!(%client, count, "keys were refused"),
        None => tracing::warn!(count, "keys were refused from more addresses than are told of one by one"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_free_again_after_a_quiet_minute() {
        let keys = RefusedKeys::default();
        for host in 0..u32::try_from(MOST_ADDRESSES).unwrap() + 100 {
            keys.note(IpAddr::V4(std::net::Ipv4Addr::from_bits(host)), KeyOf::Customer);
        }
        keys.note(IpAddr::V4(std::net::Ipv4Addr::from_bits(1)), KeyOf::Operator);
        assert_eq!(keys.untold.len(), MOST_ADDRESSES + 1);
        assert_eq!(keys.counts(), RefusedKeyCounts { customer: 10_100, operator: 1 });
        tokio::time::sleep(Duration::from_secs(130)).await;
        assert_eq!(keys.untold.len(), 0);
    }
}
