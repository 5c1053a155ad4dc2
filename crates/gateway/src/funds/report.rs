//! Saying what was used: journalled twice a second against a crash, and reported to the control
//! plane twice a second and whenever somebody waits for it.
//!
//! Reports say how far each lease has got, never by how much it moved, so that one that is sent
//! again changes nothing, and a control plane that was away for minutes is told once and exactly.
//! The two go their own ways: a control plane that is away does not keep the journal from being
//! written, nor a full disk the reports from being sent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, sleep, timeout};
use tollgate_types::{LeaseUsage, Unavailable, UsageReport};

use crate::control::Control;
use crate::funds::purse::Purse;
use crate::funds::purses::{Purses, count, lock};

/// How often usage is journalled and reported.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// Between two reports at least, whoever waits.
const REPORT_SPACING: Duration = Duration::from_millis(50);

/// The most leases in one report.
const LEASES_PER_REPORT: usize = 1024;

/// A report that is not answered by then counts as not taken, and is sent again.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last report is tried for when the gateway stops.
const LAST_REPORT: Duration = Duration::from_secs(10);

/// Between two tries of it.
const LAST_REPORT_AGAIN: Duration = Duration::from_millis(200);

/// Trouble that lasts is said again at most so often.
const SAY_AGAIN: Duration = Duration::from_secs(60);

impl<C: Control> Purses<C> {
    /// Reports what the run before left, and that all its leases are over. To be done before any
    /// byte is forwarded; until it has succeeded, the journal stays as it is.
    ///
    /// # Errors
    /// The control plane is away; try again.
    pub(crate) async fn recover(&self) -> Result<(), Unavailable> {
        let left_over = lock(&self.left_over).clone();
        let (last, before) = split_last(&left_over);
        for leases in before.chunks(LEASES_PER_REPORT) {
            self.settle(false, leases.to_vec()).await?;
        }
        // The end of all other leases comes after what is known of any.
        self.settle(true, last.to_vec()).await?;
        lock(&self.left_over).clear();
        Ok(())
    }

    /// Journals and reports, for as long as it is polled.
    pub(crate) async fn run(&self) {
        tokio::join!(self.keep_journal(), self.keep_reporting());
    }

    /// Hands everything back and settles it. To be done when no connection is left.
    ///
    /// # Errors
    /// The control plane stayed away: the journal keeps what is not settled for the next run.
    pub(crate) async fn drain(&self) -> Result<(), Unavailable> {
        self.close().await;
        let purses = self.all();
        let give_up = Instant::now() + LAST_REPORT;
        self.write_journal_if_possible().await;
        loop {
            let reported = self.report(&purses).await;
            if reported.is_ok() || Instant::now() >= give_up {
                self.write_journal_if_possible().await;
                return reported.map(drop);
            }
            sleep(LAST_REPORT_AGAIN).await;
        }
    }

    /// Tells the control plane what it does not know yet of these purses. Answers whether there was
    /// anything to tell.
    pub(crate) async fn report(&self, purses: &[Arc<Purse>]) -> Result<bool, Unavailable> {
        let _one_at_a_time = self.reporting.lock().await;
        let moved = purses.iter().map(|purse| (purse, purse.unsettled()));
        let moved: Vec<_> = moved.filter(|(_, usages)| !usages.is_empty()).collect();
        let all: Vec<LeaseUsage> = moved.iter().flat_map(|(_, usages)| usages.iter().copied()).collect();
        for leases in all.chunks(LEASES_PER_REPORT) {
            self.settle(false, leases.to_vec()).await?;
        }
        moved.iter().for_each(|(purse, usages)| purse.settled(usages));
        Ok(!all.is_empty())
    }

    async fn settle(&self, recovered: bool, leases: Vec<LeaseUsage>) -> Result<(), Unavailable> {
        let report = UsageReport { gateway: self.gateway, boot: self.boot, recovered, leases };
        let settled = timeout(SETTLE_TIMEOUT, self.control.settle(report)).await;
        let settled = settled.unwrap_or_else(|_| Err(Unavailable("no answer to a report".to_owned())));
        count(if settled.is_ok() { &self.stats.settles } else { &self.stats.settle_failures });
        settled.map(drop)
    }

    async fn keep_reporting(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.hurry.notified() => {}
            }
            let reported = self.report(&self.all()).await;
            match reported {
                Ok(_) => {
                    if trouble.is_over() {
                        tracing::info!("usage is settled again");
                    }
                    sleep(REPORT_SPACING).await;
                }
                Err(error) => {
                    if trouble.is_news() {
                        tracing::warn!(%error, "usage cannot be settled; it is kept and reported again");
                    }
                    // Nobody's hurry helps a control plane that is away.
                    sleep(TICK).await;
                }
            }
        }
    }

    async fn keep_journal(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        loop {
            tick.tick().await;
            match self.write_journal().await {
                Ok(()) if trouble.is_over() => tracing::info!("the journal is written again"),
                Err(error) if trouble.is_news() => {
                    tracing::error!(%error, "the journal cannot be written; a crash now would lose usage");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// A failure is counted; the reports of a drain do not depend on it.
    async fn write_journal_if_possible(&self) {
        if let Err(error) = self.write_journal().await {
            tracing::error!(%error, "the journal cannot be written; only the control plane knows what was used");
        }
    }

    /// Writes down what a crash must not forget. Traffic does not stop for a disk that is full.
    async fn write_journal(&self) -> std::io::Result<()> {
        let mut usages = lock(&self.left_over).clone();
        usages.extend(self.all().iter().flat_map(|purse| purse.unpaid()));
        usages.sort_by_key(|usage| usage.id);
        let journal = self.journal.clone();
        // A disk may take seconds: connections do not wait for it.
        let written = tokio::task::spawn_blocking(move || lock(&journal).write_if_changed(&usages)).await;
        let written = written.unwrap_or_else(|stopped| Err(std::io::Error::other(stopped)));
        self.stats.journal_fails.store(written.is_err(), Ordering::Relaxed);
        if written.is_err() {
            self.stats.journal_failures.fetch_add(1, Ordering::Relaxed);
        }
        written
    }
}

/// The last report's worth of leases, and those before.
fn split_last(leases: &[LeaseUsage]) -> (&[LeaseUsage], &[LeaseUsage]) {
    let (before, last) = leases.split_at(leases.len().saturating_sub(LEASES_PER_REPORT));
    (last, before)
}

/// Trouble that is said when it begins, and again while it lasts, but not each time.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    said_at: Option<Instant>,
}

impl Trouble {
    /// There is trouble: whether to say so.
    pub(crate) fn is_news(&mut self) -> bool {
        let now = Instant::now();
        let is_news = self.said_at.is_none_or(|at| now.saturating_duration_since(at) >= SAY_AGAIN);
        if is_news {
            self.said_at = Some(now);
        }
        is_news
    }

    /// There is none: whether it had been said.
    pub(crate) fn is_over(&mut self) -> bool {
        self.said_at.take().is_some()
    }
}
