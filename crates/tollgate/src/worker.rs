//! The worker: jobs that nobody asks for. Any number of processes may do them on one database.
//!
//! Three loops run beside each other: jobs done in the house, in batches; deliveries of notices, each
//! on its own, because strangers take their time; and leases whose gateway has fallen silent.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tollgate_core::jobs;
use tollgate_core::jobs::run::Queue;
use tollgate_core::{Core, Error, leases};

use crate::lifecycle::Stopped;
use crate::trouble::Trouble;

/// How often jobs are looked for.
const LOOK: Duration = Duration::from_millis(250);

/// Jobs done in the house at once.
const HOUSE_JOBS: usize = 32;

/// Notices on their way at once.
const LETTERS: usize = 64;

/// How often leases are looked for that ended without a word.
const VOID_EVERY: Duration = Duration::from_secs(5);

/// Batches of leases at a time, so that one look ends.
const MOST_BATCHES: usize = 100;

/// How long what has been begun may take once the worker is told to stop. A notice that is given
/// up is sent again later.
const LAST_JOBS: Duration = Duration::from_secs(5);

/// Does the jobs until told to stop.
pub async fn run(core: Core, stopped: Stopped) {
    tokio::join!(
        do_jobs(&core, Queue::House, HOUSE_JOBS, stopped.clone()),
        do_jobs(&core, Queue::Post, LETTERS, stopped.clone()),
        until(stopped, void_leases(&core)),
    );
}

/// Claims and does the jobs of one queue, so many at once at most.
async fn do_jobs(core: &Core, queue: Queue, most: usize, stopped: Stopped) {
    let mut running = JoinSet::new();
    until(stopped, keep_claiming(core, queue, most, &mut running)).await;
    let deadline = Instant::now() + LAST_JOBS;
    while let Ok(Some(_)) = timeout_at(deadline, running.join_next()).await {}
}

async fn keep_claiming(core: &Core, queue: Queue, most: usize, running: &mut JoinSet<()>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut begun = queue != Queue::House;
    let mut trouble = Trouble::default();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            // One that is done makes room for another, and may have made one.
            Some(_) = running.join_next() => {}
        }
        while running.try_join_next().is_some() {}
        if !begun {
            begun = trouble.told("the worker cannot begin", jobs::run::begin(core).await).is_some();
            continue;
        }
        let room = most - running.len().min(most);
        if room > 0 && trouble.told("jobs cannot be looked for", is_due(core).await) == Some(true) {
            let claimed = jobs::run::claim(core, queue, i64::try_from(room).unwrap_or(i64::MAX)).await;
            for job in trouble.told("jobs cannot be claimed", claimed).into_iter().flatten() {
                running.spawn(jobs::run::attempt(core.clone(), job));
            }
        }
    }
}

/// Looking does not cost what claiming in vain does.
async fn is_due(core: &Core) -> Result<bool, Error> {
    Ok(jobs::run::next_due(core).await?.is_some_and(|at| at <= core.now()))
}

/// Voids leases that ended without a word from their gateway.
async fn void_leases(core: &Core) {
    let mut ticks = interval(VOID_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = Trouble::default();
    loop {
        ticks.tick().await;
        for _ in 0..MOST_BATCHES {
            match trouble.told("leases cannot be voided", leases::void_expired(core).await) {
                None | Some(0) => break,
                Some(count) => tracing::debug!(count, "voided leases that ended without a word"),
            }
        }
    }
}

/// Runs something until told to stop. A transaction that is under way runs to its end on the
/// database's thread.
async fn until(stopped: Stopped, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stopped.wait() => {}
    }
}
