//! The worker's jobs: what waits, and what has failed too often.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::jobs;
use tollgate_core::jobs::admin::JobRow;
use tollgate_core::{Actor, Core, Page};
use tollgate_types::{JobId, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Operator;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::params::{Filters, PathId};

/// waiting: until it is due, claimed: a worker is at it, dead: has failed too often
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "waiting")]
pub(crate) enum JobState {
    Waiting,
    Claimed,
    Dead,
}

impl JobState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Dead => "dead",
        }
    }

    /// The stored word's; anything but the three is not stored.
    fn of(word: &str) -> Self {
        match word {
            "claimed" => Self::Claimed,
            "dead" => Self::Dead,
            _ => Self::Waiting,
        }
    }
}

/// Something to be done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobRecord {
    /// Its id.
    #[schema(example = 1)]
    id: i64,
    /// What is to be done.
    #[schema(example = "static.expiry")]
    kind: String,
    /// What it is about.
    #[schema(example = "10000")]
    subject: String,
    /// waiting: until it is due, claimed: a worker is at it, dead: has failed too often
    state: JobState,
    /// When it is due.
    #[schema(example = "2025-09-14 12:57:38")]
    run_time: String,
    /// How often it has failed in a row.
    #[schema(example = 0, minimum = 0)]
    attempts: i64,
    /// Why, the last time; empty where it has not.
    #[schema(example = "")]
    last_error: String,
    /// When it was made.
    #[schema(example = "2025-09-14 12:57:38")]
    create_time: String,
    /// When it was last changed.
    #[schema(example = "2025-09-14 12:57:38")]
    update_time: String,
}

impl JobRecord {
    fn new(job: JobRow, zone: &Zone) -> Self {
        Self {
            id: job.id.get(),
            kind: job.kind,
            subject: job.subject,
            state: JobState::of(&job.state),
            run_time: zone.show(job.run_at),
            attempts: job.attempts,
            last_error: job.last_error,
            create_time: zone.show(job.created_at),
            update_time: zone.show(job.updated_at),
        }
    }
}

/// Which jobs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobFilter {
    /// The page, from 1.
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// Records per page.
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// waiting, claimed or dead.
    #[param(inline)]
    state: Option<JobState>,
}

/// List the worker's jobs
///
/// By when they are due.
#[utoipa::path(get, path = "/api/admin/jobs", tag = "operator", params(JobFilter),
    responses((status = 200, body = Envelope<List<JobRecord>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    Filters(params): Filters<JobFilter>,
) -> Answer<List<JobRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let state = params.state.map(|state| state.as_str().to_owned());
    let (found, total) = jobs::admin::list(&core, state, page).await?;
    ok(List { records: found.into_iter().map(|job| JobRecord::new(job, core.zone())).collect(), total })
}

/// Try a dead job again
#[utoipa::path(post, path = "/api/admin/jobs/{id}/retry", tag = "operator",
    params(("id" = i64, Path, description = "The job's id", minimum = 0)),
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such dead job"),
    ))]
pub(crate) async fn retry(_: Operator, PathId(id): PathId, State(core): State<Core>) -> Answer<()> {
    jobs::admin::retry(&core, Actor::Operator, JobId::new(id)).await?;
    done()
}

/// Forget a dead job
#[utoipa::path(post, path = "/api/admin/jobs/{id}/discard", tag = "operator",
    params(("id" = i64, Path, description = "The job's id", minimum = 0)),
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such dead job"),
    ))]
pub(crate) async fn discard(_: Operator, PathId(id): PathId, State(core): State<Core>) -> Answer<()> {
    jobs::admin::discard(&core, Actor::Operator, JobId::new(id)).await?;
    done()
}
