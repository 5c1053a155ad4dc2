//! Running jobs: a worker claims what is due and does it. This file alone knows what each kind does.

use std::time::Duration;

use tollgate_store as store;
use tollgate_store::jobs::Claimed;
use tollgate_types::Time;

use super::{CLAIM_TTL, JobKind, hurry};
use crate::{Core, Error};

/// How often a worker says that it is still at a job.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Failures in a row after which a job is dead.
const MOST_ATTEMPTS: i64 = 10;

/// The rest after a first failure; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_secs(5);

/// The longest rest after a failure.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// The longest error that is kept, in characters.
const LONGEST_ERROR: usize = 500;

/// Which jobs: those that wait for strangers are kept apart, so that they hold up no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Everything that is done in the house.
    House,
    /// Deliveries of notices.
    Post,
}

/// Claims jobs that are due, so many at most. Each is to be given to [`attempt`].
///
/// # Errors
/// Those of the store.
pub async fn claim(core: &Core, queue: Queue, most: i64) -> Result<Vec<Claimed>, Error> {
    let (now, deliveries) = (core.now(), queue == Queue::Post);
    core.db().write(move |tx| Ok(store::jobs::claim(tx, deliveries, now, now.plus(CLAIM_TTL), most)?)).await
}

/// Does a claimed job. One that fails is put back and tells the log.
pub async fn attempt(core: Core, job: Claimed) {
    let done = tokio::select! {
        done = perform(&core, &job) => done,
        // Lost: whoever has the job now does it.
        () = keep_claim(&core, &job) => return,
    };
    if let Err(error) = done {
        put_back(&core, &job, &error).await;
    }
}

/// Claims and does jobs that are due, so many of each queue at most, beside each other; returns
/// when they are done, and says how many they were.
///
/// # Errors
/// Those of the store, where nothing can be claimed.
pub async fn run_due(core: &Core, most: i64) -> Result<usize, Error> {
    let mut jobs = claim(core, Queue::House, most).await?;
    jobs.extend(claim(core, Queue::Post, most).await?);
    let count = jobs.len();
    let mut running = tokio::task::JoinSet::new();
    for job in jobs {
        running.spawn(attempt(core.clone(), job));
    }
    while running.join_next().await.is_some() {}
    Ok(count)
}

/// When there is something to claim again.
///
/// # Errors
/// Those of the store.
pub async fn next_due(core: &Core) -> Result<Option<Time>, Error> {
    core.db().read(|tx| Ok(store::jobs::next_due(tx)?)).await
}

/// Writes the jobs that nothing causes: called by every worker as it starts.
///
/// # Errors
/// Those of the store.
pub async fn begin(core: &Core) -> Result<(), Error> {
    let now = core.now();
    core.db().write(move |tx| hurry(tx, JobKind::Pruning, "all", now, now)).await
}

async fn perform(core: &Core, job: &Claimed) -> Result<(), Error> {
    let misnamed =
        || Error::Internal(format!("a job {} about {:?} cannot be understood", job.kind, job.subject));
    match job.kind.parse::<JobKind>().map_err(|_| misnamed())? {
        JobKind::PackageExpiry => crate::packages::expire(core, job).await,
        JobKind::PackageWatch => crate::packages::watch(core, job).await,
        JobKind::StaticRenewal => crate::statics::jobs::renewal(core, job).await,
        JobKind::StaticExpiry => crate::statics::jobs::expiry(core, job).await,
        JobKind::StaticReplacement => crate::statics::jobs::replacement(core, job).await,
        JobKind::StockRelease => crate::statics::jobs::release(core, job).await,
        JobKind::NoticeDelivery => crate::notices::deliver(core, job).await,
        JobKind::Pruning => crate::pruning::prune(core, job).await,
    }
}

/// Prolongs the claim for as long as it is polled; returns when it is lost.
async fn keep_claim(core: &Core, job: &Claimed) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let (id, claim, until) = (job.id, job.claim, core.now().plus(CLAIM_TTL));
        let held =
            core.db().write(move |tx| Ok::<_, Error>(store::jobs::prolong(tx, id, claim, until)?)).await;
        if held == Ok(false) {
            tracing::warn!(job = %id, kind = job.kind, "another worker has taken a job over");
            return;
        }
    }
}

/// Puts a job back that failed, to be tried again after a rest, or sets it aside. Where even that
/// fails the claim runs out by itself.
async fn put_back(core: &Core, job: &Claimed, error: &Error) {
    let (id, claim, now) = (job.id, job.claim, core.now());
    let again_at = (job.attempts + 1 < MOST_ATTEMPTS).then(|| now.plus(rest_after(job.attempts)));
    match again_at {
        Some(_) => {
            tracing::warn!(job = %id, kind = job.kind, subject = job.subject, %error, "a job has failed and will be tried again")
        }
        None => {
            tracing::error!(job = %id, kind = job.kind, subject = job.subject, %error, "a job has failed too often and waits for the operator")
        }
    }
    let text: String = error.to_string().chars().take(LONGEST_ERROR).collect();
    let put_back = core
        .db()
        .write(move |tx| Ok::<_, Error>(store::jobs::fail(tx, id, claim, again_at, &text, now)?))
        .await;
    if let Err(error) = put_back {
        tracing::warn!(job = %id, %error, "a failed job could not be put back; its claim will run out");
    }
}

/// The rest after so many failures before this one.
fn rest_after(failures: i64) -> Duration {
    let doublings = u32::try_from(failures.clamp(0, 20)).unwrap_or(20);
    FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_an_hour() {
        let seconds: Vec<u64> = (0..12).map(|failures| rest_after(failures).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
    }
}
