//! All purses of a gateway: getting them bytes, and saying what was used.
//!
//! Twice a second the state of every lease is journalled and what moved is reported. Reports say
//! how far each lease has got, never by how much it moved, so that one that is sent again changes
//! nothing, and a control plane that was away for minutes is told once and exactly.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tollgate_types::{
    BootId, Bytes, GatewayId, LeaseDenied, LeaseRequest, LeaseUsage, Payer, Unavailable, UsageReport,
};

use crate::control::Control;
use crate::journal::Journal;
use crate::purse::{Lender, Purse};
use crate::stats::Stats;

/// How often usage is journalled and reported.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// How long to wait before asking again after a no that may pass, and for how long to go on.
const ASK_AGAIN: Duration = Duration::from_millis(100);
const ASK_FOR: Duration = Duration::from_secs(5);

/// A lease that ends sooner than this gets a timer of its own.
const SHORT_LEASE: Duration = Duration::from_secs(5);

/// The most leases in one report.
const LEASES_PER_REPORT: usize = 1024;

/// How often the last report is tried when the gateway stops.
const LAST_TRIES: u32 = 20;

/// All purses of a gateway.
pub(crate) struct Purses<C> {
    control: Arc<C>,
    gateway: GatewayId,
    boot: BootId,
    purses: Mutex<HashMap<Payer, Arc<Purse>>>,
    /// What the run before left in the journal, until it is settled.
    left_over: Mutex<Vec<LeaseUsage>>,
    journal: Mutex<Journal>,
    /// One report at a time, so that what is remembered as settled is what was settled last.
    reporting: tokio::sync::Mutex<()>,
    stats: Arc<Stats>,
    this: Weak<Self>,
}

impl<C: Control> Purses<C> {
    /// No purses yet. `left_over` is what the run before left in the journal.
    pub(crate) fn new(
        control: Arc<C>,
        boot: BootId,
        (journal, left_over): (Journal, Vec<LeaseUsage>),
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            control,
            gateway: journal.gateway(),
            boot,
            purses: Mutex::default(),
            left_over: Mutex::new(left_over),
            journal: Mutex::new(journal),
            reporting: tokio::sync::Mutex::new(()),
            stats,
            this: this.clone(),
        })
    }

    /// Reports what the run before left, and that all its leases are over. To be done before any
    /// byte is forwarded.
    ///
    /// # Errors
    /// The control plane is away; try again.
    pub(crate) async fn recover(&self) -> Result<(), Unavailable> {
        let leases = lock(&self.left_over).clone();
        let report = UsageReport { gateway: self.gateway, boot: self.boot, recovered: true, leases };
        self.control.settle(report).await?;
        lock(&self.left_over).clear();
        Ok(())
    }

    /// The purse of a payer, with at least one byte in it just now.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) async fn open(&self, payer: Payer) -> Result<Arc<Purse>, LeaseDenied> {
        let purse = self.purse(payer);
        purse.refill().await?;
        Ok(purse)
    }

    /// Takes back from connections all that this purse holds, tells the control plane, and asks
    /// anew: what is granted then follows the payer's present rights.
    ///
    /// # Errors
    /// Why nothing is granted any more, where that will not pass by itself.
    pub(crate) async fn recall(&self, purse: &Arc<Purse>) -> Result<(), LeaseDenied> {
        purse.recall();
        if self.report(std::slice::from_ref(purse)).await.is_err() {
            return Ok(());
        }
        match purse.refill().await {
            Err(denied) if !denied.is_passing() => Err(denied),
            _ => Ok(()),
        }
    }

    /// Journals and reports twice a second, for as long as it is polled.
    pub(crate) async fn run(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tick.tick().await;
            let purses = self.all();
            purses.iter().for_each(|purse| purse.tick(TICK * 2));
            self.write_journal(&purses);
            match self.report(&purses).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "usage cannot be settled; it is kept and reported again");
                }
                Err(_) => {}
            }
            drop(purses);
            self.forget_idle();
        }
    }

    /// Hands everything back and settles it. To be done when no connection is left.
    ///
    /// # Errors
    /// The control plane stayed away: the journal keeps what is not settled for the next run.
    pub(crate) async fn drain(&self) -> Result<(), Unavailable> {
        let purses = self.all();
        purses.iter().for_each(|purse| purse.recall());
        self.write_journal(&purses);
        for _ in 1..LAST_TRIES {
            if self.report(&purses).await.is_ok() {
                break;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        self.report(&purses).await?;
        self.write_journal(&purses);
        Ok(())
    }

    fn purse(&self, payer: Payer) -> Arc<Purse> {
        let lender: Weak<dyn Lender> = self.this.clone();
        lock(&self.purses).entry(payer).or_insert_with(|| Purse::new(payer, lender)).clone()
    }

    fn all(&self) -> Vec<Arc<Purse>> {
        lock(&self.purses).values().cloned().collect()
    }

    /// Forgets purses that nobody has, that hold nothing and of which everything is settled.
    fn forget_idle(&self) {
        lock(&self.purses).retain(|_, purse| Arc::strong_count(purse) > 1 || !purse.is_done());
    }

    fn write_journal(&self, purses: &[Arc<Purse>]) {
        let mut usages = lock(&self.left_over).clone();
        usages.extend(purses.iter().flat_map(|purse| purse.usages()));
        // Traffic does not stop for a disk that is full: what a crash could lose then is counted.
        if let Err(error) = lock(&self.journal).write_if_changed(&usages) {
            let failures = self.stats.journal_failures.fetch_add(1, Ordering::Relaxed);
            if failures.is_multiple_of(120) {
                tracing::error!(%error, "the journal cannot be written; a crash now would lose usage");
            }
        }
    }

    /// Tells the control plane what it does not know yet.
    async fn report(&self, purses: &[Arc<Purse>]) -> Result<(), Unavailable> {
        let _one_at_a_time = self.reporting.lock().await;
        let moved: Vec<(&Arc<Purse>, Vec<LeaseUsage>)> = purses
            .iter()
            .map(|purse| (purse, purse.unsettled()))
            .filter(|(_, usages)| !usages.is_empty())
            .collect();
        let all: Vec<LeaseUsage> = moved.iter().flat_map(|(_, usages)| usages.iter().copied()).collect();
        for leases in all.chunks(LEASES_PER_REPORT) {
            let report = UsageReport {
                gateway: self.gateway,
                boot: self.boot,
                recovered: false,
                leases: leases.to_vec(),
            };
            let settled = self.control.settle(report).await;
            let counter = if settled.is_ok() { &self.stats.settles } else { &self.stats.settle_failures };
            counter.fetch_add(1, Ordering::Relaxed);
            settled?;
        }
        moved.iter().for_each(|(purse, usages)| purse.settled(usages));
        Ok(())
    }

    /// Asks until there is an answer that stands.
    async fn borrow(&self, purse: &Arc<Purse>) {
        let give_up = Instant::now() + ASK_FOR;
        loop {
            // Where the last byte is gone, the answer depends on the control plane knowing it.
            if purse.is_dry() {
                let _ = self.report(std::slice::from_ref(purse)).await;
            }
            let want = Bytes::new(purse.want());
            let ask = LeaseRequest { gateway: self.gateway, boot: self.boot, payer: purse.payer(), want };
            self.stats.leases.fetch_add(1, Ordering::Relaxed);
            let denied = match self.control.lease(ask).await {
                Ok(lease) => {
                    let deadline = purse.granted(lease);
                    if lease.ttl < SHORT_LEASE {
                        expire_at(purse, deadline);
                    }
                    return;
                }
                Err(denied) => denied,
            };
            self.stats.leases_denied.fetch_add(1, Ordering::Relaxed);
            match denied.is_passing() {
                // There is still something to take: whoever finds nothing any more asks again.
                true if !purse.is_dry() => return purse.asked_in_vain(),
                true if Instant::now() < give_up => tokio::time::sleep(ASK_AGAIN).await,
                _ => return purse.refused(denied),
            }
        }
    }
}

impl<C: Control> Lender for Purses<C> {
    fn ask(&self, purse: Arc<Purse>) {
        let Some(this) = self.this.upgrade() else { return purse.refused(LeaseDenied::Unavailable) };
        tokio::spawn(async move { this.borrow(&purse).await });
    }
}

fn expire_at(purse: &Arc<Purse>, deadline: Instant) {
    let purse = Arc::downgrade(purse);
    tokio::spawn(async move {
        tokio::time::sleep_until(deadline).await;
        if let Some(purse) = purse.upgrade() {
            purse.expire(deadline + Duration::from_millis(1));
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
