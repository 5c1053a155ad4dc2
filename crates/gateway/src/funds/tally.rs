//! Tallies: what each static proxy has moved on this run of the gateway. Its traffic is counted for
//! statistics and not granted out of anybody's funds, so a tally never says no.
//!
//! Reports say how much in all since the run began, never by how much it moved, so that one that is
//! sent again changes nothing. What was counted after the last report is lost in a crash: these are
//! statistics, and no bill depends on them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, sleep, timeout};
use tollgate_types::{BootId, GatewayId, StaticProxyId, StaticTraffic, Unavailable};

use crate::control::Control;
use crate::funds::Direction;
use crate::funds::purses::{count, lock};
use crate::funds::report::Trouble;
use crate::stats::Stats;

/// How often tallies that moved are reported.
const TICK: Duration = Duration::from_secs(3);

/// The most tallies in one report.
const TALLIES_PER_REPORT: usize = 1024;

/// A report that is not answered by then counts as not taken, and is sent again.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last report is tried for when the gateway stops.
const LAST_REPORT: Duration = Duration::from_secs(10);

/// Between two tries of it.
const LAST_REPORT_AGAIN: Duration = Duration::from_millis(200);

/// What one static proxy has moved since the run began.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    connections: AtomicU64,
}

impl Tally {
    /// So many payload bytes were forwarded.
    pub(crate) fn moved(&self, direction: Direction, bytes: usize) {
        let counter = match direction {
            Direction::Up => &self.bytes_up,
            Direction::Down => &self.bytes_down,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self, id: StaticProxyId) -> StaticTraffic {
        StaticTraffic {
            id,
            bytes_up: self.bytes_up.load(Ordering::Relaxed),
            bytes_down: self.bytes_down.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }
}

/// The tallies of all static proxies that were used on this run. None is forgotten before the run
/// ends: one that began again at zero would be taken for a report that is late.
pub(crate) struct Tallies<C> {
    control: Arc<C>,
    gateway: GatewayId,
    boot: BootId,
    tallies: Mutex<HashMap<StaticProxyId, Arc<Tally>>>,
    /// What the control plane was told and has taken; held for one report at a time.
    told: tokio::sync::Mutex<HashMap<StaticProxyId, StaticTraffic>>,
    stats: Arc<Stats>,
}

impl<C: Control> Tallies<C> {
    /// No tallies yet.
    pub(crate) fn new(control: Arc<C>, gateway: GatewayId, boot: BootId, stats: Arc<Stats>) -> Self {
        let (tallies, told) = Default::default();
        Self { control, gateway, boot, tallies, told, stats }
    }

    /// The tally of a static proxy, for a connection that is admitted to it.
    pub(crate) fn open(&self, id: StaticProxyId) -> Arc<Tally> {
        let tally = lock(&self.tallies).entry(id).or_default().clone();
        count(&tally.connections);
        tally
    }

    /// Reports for as long as it is polled.
    pub(crate) async fn run(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        loop {
            tick.tick().await;
            match self.report().await {
                Ok(()) if trouble.is_over() => tracing::info!("static proxies' traffic is told again"),
                Err(error) if trouble.is_news() => {
                    tracing::warn!(%error, "static proxies' traffic cannot be told; it is told later");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// The last report. To be made when no connection is left.
    pub(crate) async fn drain(&self) {
        let give_up = Instant::now() + LAST_REPORT;
        while let Err(error) = self.report().await {
            if Instant::now() >= give_up {
                tracing::warn!(%error, "the last of static proxies' traffic could not be told");
                return;
            }
            sleep(LAST_REPORT_AGAIN).await;
        }
    }

    /// Tells the control plane how far those tallies have got that moved since it was told last.
    async fn report(&self) -> Result<(), Unavailable> {
        let mut told = self.told.lock().await;
        let now: Vec<_> = lock(&self.tallies).iter().map(|(id, tally)| tally.read(*id)).collect();
        let moved: Vec<_> = now.into_iter().filter(|now| told.get(&now.id) != Some(now)).collect();
        for counters in moved.chunks(TALLIES_PER_REPORT) {
            self.tell(counters.to_vec()).await?;
            told.extend(counters.iter().map(|counter| (counter.id, *counter)));
        }
        Ok(())
    }

    async fn tell(&self, counters: Vec<StaticTraffic>) -> Result<(), Unavailable> {
        let taken = timeout(REPORT_TIMEOUT, self.control.static_traffic(self.gateway, self.boot, counters));
        let taken = taken.await.unwrap_or_else(|_| Err(Unavailable("no answer to a report".to_owned())));
        count(if taken.is_ok() { &self.stats.static_reports } else { &self.stats.static_report_failures });
        taken.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeControl;

    const A: StaticProxyId = StaticProxyId::new(1);
    const B: StaticProxyId = StaticProxyId::new(2);

    fn tallies(control: &Arc<FakeControl>) -> Arc<Tallies<FakeControl>> {
        let (gateway, boot) = (GatewayId::new(3), BootId::new(4));
        Arc::new(Tallies::new(control.clone(), gateway, boot, Arc::default()))
    }

    fn traffic(id: StaticProxyId, bytes_up: u64, bytes_down: u64, connections: u64) -> StaticTraffic {
        StaticTraffic { id, bytes_up, bytes_down, connections }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_moved_is_told_and_always_in_all() {
        let control = FakeControl::new();
        let tallies = tallies(&control);
        let reporting = tokio::spawn({
            let tallies = tallies.clone();
            async move { tallies.run().await }
        });
        sleep(TICK * 2).await;
        assert!(control.static_reports().is_empty());
        let a = tallies.open(A);
        a.moved(Direction::Up, 10);
        a.moved(Direction::Down, 200);
        sleep(TICK).await;
        let b = tallies.open(B);
        b.moved(Direction::Down, 7);
        sleep(TICK * 3).await;
        tallies.open(A).moved(Direction::Up, 1);
        sleep(TICK).await;
        let told = [traffic(A, 10, 200, 1), traffic(B, 0, 7, 1), traffic(A, 11, 200, 2)];
        assert_eq!(control.static_reports(), told.map(|one| vec![one]));
        reporting.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_told_is_told_later_and_what_was_may_be_told_again() {
        let control = FakeControl::new();
        let tallies = tallies(&control);
        let a = tallies.open(A);
        a.moved(Direction::Up, 5);
        control.set_away(true);
        assert!(tallies.report().await.is_err());
        assert!(control.static_reports().is_empty());
        control.set_away(false);
        control.set_loses_answers(true);
        assert!(tallies.report().await.is_err());
        a.moved(Direction::Up, 5);
        control.set_loses_answers(false);
        tallies.drain().await;
        tallies.drain().await;
        let told = [traffic(A, 5, 0, 1), traffic(A, 10, 0, 1)];
        assert_eq!(control.static_reports(), told.map(|one| vec![one]));
        assert_eq!(tallies.stats.static_report_failures.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_told_in_several_reports_and_the_end_does_not_wait_for_ever() {
        let control = FakeControl::new();
        let tallies = tallies(&control);
        for id in 0..2_500 {
            tallies.open(StaticProxyId::new(id));
        }
        control.set_away(true);
        let began = Instant::now();
        tallies.drain().await;
        assert!((LAST_REPORT..LAST_REPORT * 2).contains(&began.elapsed()));
        control.set_away(false);
        tallies.drain().await;
        let mut sizes: Vec<_> = control.static_reports().iter().map(Vec::len).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [452, 1024, 1024]);
    }
}
