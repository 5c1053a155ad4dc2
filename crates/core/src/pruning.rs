//! Forgetting what has grown old: everything that has a time to be kept for.

use std::time::Duration;

use tollgate_store as store;
use tollgate_store::jobs::Claimed;

use crate::jobs::{self, Next};
use crate::{Core, Error, directory, idempotency, refusals};

/// How often it is done.
const EVERY: Duration = Duration::from_secs(600);

/// How long events can be read.
const EVENTS_KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long a run of a gateway may be silent, once another has followed it, before what it counted
/// for static proxies is forgotten. What it added to the days stays.
const SILENT_RUNS_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Forgets all that has grown old.
pub(crate) async fn prune(core: &Core, job: &Claimed) -> Result<(), Error> {
    let forgotten = [
        ("lines of the directory's outbox", directory::prune(core).await?),
        ("refusals", refusals::prune(core).await?),
        ("idempotency keys", idempotency::forget_old(core).await?),
        ("unheard answers", idempotency::forget_unheard(core).await?),
        ("events", events(core).await?),
        ("counters of static proxies", static_counters(core).await?),
    ];
    for (what, count) in forgotten.into_iter().filter(|(_, count)| *count > 0) {
        tracing::debug!(what, count, "forgotten");
    }
    let (now, job) = (core.now(), job.clone());
    core.db().write(move |tx| jobs::close(tx, &job, Next::At(now.plus(EVERY)), now)).await
}

async fn events(core: &Core) -> Result<u64, Error> {
    let before = core.now().minus(EVENTS_KEPT_FOR);
    core.db().write(move |tx| Ok(store::events::prune(tx, before)?)).await
}

async fn static_counters(core: &Core) -> Result<u64, Error> {
    let before = core.now().minus(SILENT_RUNS_KEPT_FOR);
    core.db().write(move |tx| Ok(store::statics::usage::prune(tx, before)?)).await
}
