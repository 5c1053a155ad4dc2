//! The worker: jobs that nobody asks for. Any number of processes may do them on one database.

use std::time::Duration;

use tollgate_core::{Core, Error, directory, idempotency, leases, packages, refusals};

use crate::lifecycle::Stopped;

/// How often there is something to do.
const TICK: Duration = Duration::from_secs(5);

/// Every so many ticks, what has grown old is forgotten: once in ten minutes.
const TICKS_TO_FORGET: u64 = 120;

/// Batches of one job in one tick, so that one that never ends cannot keep the others waiting.
const MOST_BATCHES: usize = 100;

/// Does the jobs until told to stop.
pub async fn run(core: Core, stopped: Stopped) {
    let work = async {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for count in 0_u64.. {
            ticks.tick().await;
            tick(&core, count.is_multiple_of(TICKS_TO_FORGET)).await;
        }
    };
    // A job that is cut short was one transaction, which runs to its end on the database's thread.
    tokio::select! {
        () = work => {}
        () = stopped.wait() => {}
    }
}

/// A job that deals with a batch of things at a time.
#[derive(Clone, Copy, Debug)]
enum Batch {
    VoidLeases,
    ClosePackages,
}

impl Batch {
    const fn name(self) -> &'static str {
        match self {
            Self::VoidLeases => "void leases that ended without a word",
            Self::ClosePackages => "close packages that expired",
        }
    }

    async fn run(self, core: &Core) -> Result<usize, Error> {
        match self {
            Self::VoidLeases => leases::void_expired(core).await,
            Self::ClosePackages => packages::close_expired(core).await,
        }
    }

    /// Does it again until nothing is left of it.
    async fn run_all(self, core: &Core) {
        for _ in 0..MOST_BATCHES {
            if told(self.name(), self.run(core).await) == 0 {
                return;
            }
        }
    }
}

async fn tick(core: &Core, forget: bool) {
    Batch::VoidLeases.run_all(core).await;
    Batch::ClosePackages.run_all(core).await;
    if forget {
        told("forget old lines of the directory's outbox", directory::prune(core).await);
        told("forget old refusals", refusals::prune(core).await);
        told("forget old idempotency keys", idempotency::forget_old(core).await);
    }
}

/// Logs what a job has done, and says how much that was.
fn told<N: Into<Count>>(job: &'static str, done: Result<N, Error>) -> u64 {
    match done.map(Into::into) {
        Ok(Count(0)) => 0,
        Ok(Count(count)) => {
            tracing::debug!(job, count, "done");
            count
        }
        Err(error) => {
            tracing::warn!(job, %error, "a job has failed and will be tried again");
            0
        }
    }
}

/// How many things a job has dealt with.
struct Count(u64);

impl From<usize> for Count {
    fn from(count: usize) -> Self {
        Self(count as u64)
    }
}

impl From<u64> for Count {
    fn from(count: u64) -> Self {
        Self(count)
    }
}
