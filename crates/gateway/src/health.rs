//! How each exit is doing, learnt from the traffic itself: failures in a row take it out for a
//! growing while, one success clears it; how quickly it connects; how many connections it carries.
//!
//! Only an exit's own failures count (it cannot be reached, does not complete its handshake). That
//! a target refuses or does not answer through it says nothing about the exit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tollgate_types::{Exit, ExitId};

/// Failures in a row after which an exit is left out.
const FAILURES_TO_LEAVE: u32 = 3;
/// How long it is left out at first; doubles with every further failure.
const FIRST_LEAVE: Duration = Duration::from_secs(5);
/// The longest it is left out before it is tried again.
const LONGEST_LEAVE: Duration = Duration::from_secs(5 * 60);

/// What the operator's list of exits shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ExitStatus {
    /// False while left out.
    pub healthy: bool,
    /// Its own failures in a row.
    pub failures: u32,
    /// How long connecting through it takes, in microseconds: a moving average over about eight
    /// connections; 0 where nothing is known yet.
    pub latency_micros: u64,
    /// Connections that it carries now.
    pub connections: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    failures: u32,
    out_until: Option<Instant>,
    latency_micros: u64,
    connections: u32,
}

/// The state of all exits on this gateway.
#[derive(Debug, Default)]
pub(crate) struct Health {
    records: Mutex<HashMap<ExitId, Record>>,
}

/// One connection carried by an exit; gone when dropped.
#[derive(Debug)]
pub(crate) struct Load {
    health: Arc<Health>,
    exit: ExitId,
}

impl Health {
    /// Whether an exit may be used now.
    pub(crate) fn is_healthy(&self, exit: ExitId, now: Instant) -> bool {
        self.lock().get(&exit).is_none_or(|record| record.out_until.is_none_or(|until| now >= until))
    }

    /// Takes one of an exit's connections; `None` where it carries as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, exit: &Exit) -> Option<Load> {
        let mut records = self.lock();
        let record = records.entry(exit.id).or_default();
        if exit.max_connections != 0 && record.connections >= exit.max_connections {
            return None;
        }
        record.connections += 1;
        Some(Load { health: self.clone(), exit: exit.id })
    }

    /// An exit connected, in this time.
    pub(crate) fn succeeded(&self, exit: ExitId, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let mut records = self.lock();
        let record = records.entry(exit).or_default();
        record.failures = 0;
        record.out_until = None;
        record.latency_micros = match record.latency_micros {
            0 => took,
            known => (known.saturating_mul(7).saturating_add(took)) / 8,
        };
    }

    /// An exit works, though the target did not: clears it, says nothing about its speed.
    pub(crate) fn answered(&self, exit: ExitId) {
        if let Some(record) = self.lock().get_mut(&exit) {
            record.failures = 0;
            record.out_until = None;
        }
    }

    /// An exit failed by itself.
    pub(crate) fn failed(&self, exit: ExitId, now: Instant) {
        let mut records = self.lock();
        let record = records.entry(exit).or_default();
        record.failures = record.failures.saturating_add(1);
        if let Some(beyond) = record.failures.checked_sub(FAILURES_TO_LEAVE) {
            let leave = FIRST_LEAVE.saturating_mul(1_u32 << beyond.min(10)).min(LONGEST_LEAVE);
            record.out_until = Some(now + leave);
        }
    }

    /// How an exit is doing.
    pub(crate) fn status(&self, exit: ExitId, now: Instant) -> ExitStatus {
        let record = self.lock().get(&exit).copied().unwrap_or_default();
        ExitStatus {
            healthy: record.out_until.is_none_or(|until| now >= until),
            failures: record.failures,
            latency_micros: record.latency_micros,
            connections: record.connections,
        }
    }

    /// Forgets exits that are configured no more and carry nothing.
    pub(crate) fn keep(&self, configured: impl Fn(ExitId) -> bool) {
        self.lock().retain(|exit, record| record.connections > 0 || configured(*exit));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExitId, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(record) = self.health.lock().get_mut(&self.exit) {
            record.connections = record.connections.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_types::{ExitKind, ProxyType};

    use super::*;

    const EXIT: ExitId = ExitId::new(1);

    #[test]
    fn cf_14_failures_take_an_exit_out_for_a_growing_while_and_one_success_clears_it() {
        let health = Health::default();
        let start = Instant::now();
        health.failed(EXIT, start);
        health.failed(EXIT, start);
        assert!(health.is_healthy(EXIT, start));
        health.failed(EXIT, start);
        assert!(!health.is_healthy(EXIT, start));
        assert!(health.is_healthy(EXIT, start + FIRST_LEAVE));
        health.failed(EXIT, start + FIRST_LEAVE);
        assert!(!health.is_healthy(EXIT, start + FIRST_LEAVE * 2));
        assert!(health.is_healthy(EXIT, start + FIRST_LEAVE * 3));
        health.succeeded(EXIT, Duration::from_millis(8));
        assert!(health.is_healthy(EXIT, start + FIRST_LEAVE));
        health.succeeded(EXIT, Duration::from_millis(16));
        assert_eq!(health.status(EXIT, start).latency_micros, 9_000);
    }

    #[test]
    fn an_exit_carries_no_more_than_it_may() {
        let health = Arc::new(Health::default());
        let exit = Exit {
            id: EXIT,
            name: "one".into(),
            proxy_type: ProxyType::Mobile,
            kind: ExitKind::Direct { bind_ip: None },
            country: "us".parse().unwrap(),
            state: String::new(),
            city: String::new(),
            asn: 0,
            weight: 1,
            max_connections: 1,
        };
        let load = health.enter(&exit);
        assert!(load.is_some());
        assert!(health.enter(&exit).is_none());
        drop(load);
        assert!(health.enter(&exit).is_some());
    }
}
