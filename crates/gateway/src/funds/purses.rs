//! All purses of a gateway, and getting them bytes. Saying what was used is in [`crate::funds::report`], on
//! the same struct.
//!
//! Each purse has a keeper, a task that looks after it: see [`crate::funds::keep`] for what it decides.
//! At most one question is on its way for each purse, and at most [`MOST_ASKING`] in all, so that a
//! change that concerns thousands of purses does not fall upon the control plane at once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};
use tollgate_types::{
    BootId, ByteLease, Bytes, Directory, GatewayId, LeaseDenied, LeaseRequest, LeaseUsage, Payer,
};

use crate::control::Control;
use crate::funds::journal::Journal;
use crate::funds::purse::{Purse, Terms};
use crate::stats::Stats;

/// Questions for leases on their way at once.
const MOST_ASKING: usize = 64;

/// A question that is not answered by then counts as not answered. Bytes that are granted later
/// come back to the payer when the lease has run out.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// A gateway that stops waits so long for questions on their way, so that it can hand back what it
/// is granted.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The purses are kept in so many maps, so that looking at all of them holds up few connections.
const SHARDS: usize = 16;

type Shard = Mutex<HashMap<Payer, Arc<Purse>>>;

/// All purses of a gateway.
pub(crate) struct Purses<C> {
    pub(crate) control: Arc<C>,
    pub(crate) gateway: GatewayId,
    pub(crate) boot: BootId,
    directory: watch::Receiver<Arc<Directory>>,
    shards: [Shard; SHARDS],
    asking: Semaphore,
    /// The gateway stops: no purse is opened any more.
    closed: AtomicBool,
    /// What the run before left in the journal, until it is settled.
    pub(crate) left_over: Mutex<Vec<LeaseUsage>>,
    pub(crate) journal: Arc<Mutex<Journal>>,
    /// One report at a time.
    pub(crate) reporting: tokio::sync::Mutex<()>,
    /// Somebody waits for what the next report says.
    pub(crate) hurry: Notify,
    pub(crate) stats: Arc<Stats>,
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
            directory: control.directory(),
            control,
            gateway: journal.gateway(),
            boot,
            shards: Default::default(),
            asking: Semaphore::new(MOST_ASKING),
            closed: AtomicBool::new(false),
            left_over: Mutex::new(left_over),
            journal: Arc::new(Mutex::new(journal)),
            reporting: tokio::sync::Mutex::new(()),
            hurry: Notify::new(),
            stats,
            this: this.clone(),
        })
    }

    /// The purse of a payer, with at least one byte in it just now.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) async fn open(&self, payer: Payer) -> Result<Arc<Purse>, LeaseDenied> {
        let purse = self.purse(payer);
        purse.first_bytes().await?;
        Ok(purse)
    }

    /// How many payers have a purse.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Holds every purse against the newest directory: those whose funds or limits changed ask anew.
    pub(crate) fn recheck(&self) {
        let purses = self.all();
        // Looked at after the purses: none is held against a directory older than its terms.
        let newest = self.directory.borrow().clone();
        for purse in purses {
            purse.recheck(terms(&newest, purse.payer()), Instant::now());
        }
    }

    /// Closes every purse, and waits until no question is on its way.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for purse in self.all() {
            purse.close();
        }
        // Whoever has all the permits knows that nobody is asking.
        let everyone = u32::try_from(MOST_ASKING).unwrap_or(u32::MAX);
        drop(timeout(CLOSE_TIMEOUT, self.asking.acquire_many(everyone)).await);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Purse>> {
        self.shards.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>()).collect()
    }

    fn purse(&self, payer: Payer) -> Arc<Purse> {
        let mut shard = lock(self.shard(payer));
        if let Some(purse) = shard.get(&payer) {
            return purse.clone();
        }
        // Read under the lock: whoever holds a later directory against all purses finds this one.
        let purse = Arc::new(Purse::new(payer, terms(&self.directory.borrow(), payer)));
        if self.closed.load(Ordering::SeqCst) {
            purse.close();
            return purse;
        }
        shard.insert(payer, purse.clone());
        tokio::spawn(keep(self.this.clone(), purse.clone()));
        purse
    }

    /// Forgets a purse that nobody uses, that holds nothing, and of which everything is settled.
    pub(crate) fn forget(&self, purse: &Arc<Purse>) -> bool {
        let mut shard = lock(self.shard(purse.payer()));
        // Its keeper has it, and the map: nobody else, and under the lock nobody new.
        let is_alone = Arc::strong_count(purse) == 2;
        if is_alone && purse.settle_estate(Instant::now()) {
            shard.remove(&purse.payer());
            return true;
        }
        false
    }

    fn shard(&self, payer: Payer) -> &Shard {
        let mut hash = DefaultHasher::new();
        payer.hash(&mut hash);
        // A remainder of SHARDS, and of SHARDS.
        &self.shards[(hash.finish() % SHARDS as u64) as usize]
    }

    // Asking ---------------------------------------------------------------------------------------

    /// Asks for bytes, and answers the purse.
    async fn ask(&self, purse: Arc<Purse>, want: u64) {
        let question = Question { purse: &purse, asked_at: Instant::now(), answer: None };
        self.put(question, Bytes::new(want)).await;
    }

    async fn put(&self, mut question: Question<'_>, want: Bytes) {
        let Ok(_permit) = self.asking.acquire().await else { return };
        for is_last in [false, true] {
            question.asked_at = Instant::now();
            let answer = self.ask_once(question.purse.payer(), want).await;
            let held = answer.is_err_and(LeaseDenied::is_held);
            question.answer = Some(answer);
            // What is held may be what this purse has used up or handed back and not said yet.
            if is_last || !held || self.report(std::slice::from_ref(question.purse)).await != Ok(true) {
                return;
            }
        }
    }

    async fn ask_once(&self, payer: Payer, want: Bytes) -> Result<ByteLease, LeaseDenied> {
        count(&self.stats.leases);
        let ask = LeaseRequest { gateway: self.gateway, boot: self.boot, payer, want };
        let answer = timeout(ASK_TIMEOUT, self.control.lease(ask)).await;
        let answer = answer.unwrap_or(Err(LeaseDenied::Unavailable));
        if answer.is_err() {
            count(&self.stats.leases_denied);
        }
        answer
    }
}

/// A question on its way. However it ends, even by a panic, the purse gets an answer.
struct Question<'a> {
    purse: &'a Arc<Purse>,
    asked_at: Instant,
    answer: Option<Result<ByteLease, LeaseDenied>>,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let answer = self.answer.unwrap_or(Err(LeaseDenied::Unavailable));
        self.purse.answered(answer, self.asked_at, Instant::now());
    }
}

/// Keeps one purse, for as long as it is needed.
async fn keep<C: Control>(purses: Weak<Purses<C>>, purse: Arc<Purse>) {
    loop {
        // The gateway may be gone; so is the runtime then, or nobody is left to be served.
        let Some(purses) = purses.upgrade() else { return };
        let tended = purse.tend(Instant::now());
        if tended.report {
            purses.hurry.notify_one();
        }
        if let Some(want) = tended.ask {
            let (purses, purse) = (purses.clone(), purse.clone());
            tokio::spawn(async move { purses.ask(purse, want).await });
        } else if purses.forget(&purse) {
            return;
        }
        drop(purses);
        tokio::select! {
            () = purse.stirred() => {}
            () = tokio::time::sleep_until(tended.next) => {}
        }
    }
}

/// What a directory says about a payer's funds.
fn terms(directory: &Directory, payer: Payer) -> Terms {
    let account = directory.accounts.get(&payer.account).filter(|account| account.active);
    let sub_account = payer.sub_account.and_then(|id| directory.sub_account(id));
    Terms {
        funds_epoch: account.map(|account| account.funds_epoch),
        limit: sub_account.filter(|entry| entry.active).map(|entry| entry.limit(payer.proxy_type).get()),
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
