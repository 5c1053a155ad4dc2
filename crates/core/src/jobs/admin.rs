//! Jobs as an operator sees them: listed by state; dead ones are tried again or forgotten.

pub use tollgate_store::jobs::JobRow;
use tollgate_store::{self as store, Tx};
use tollgate_types::JobId;

use crate::audit_log::{self, Actor};
use crate::{Core, Error, Noun, Page, Rule};

/// The states a job can be in, in the operator API's words.
pub const STATES: &[&str] = &["waiting", "claimed", "dead"];

/// A page of jobs by when they are due, and how many there are; only those in one state where one
/// is named.
///
/// # Errors
/// [`Error::Invalid`] for `state`.
pub async fn list(core: &Core, state: Option<String>, page: Page) -> Result<(Vec<JobRow>, i64), Error> {
    if state.as_ref().is_some_and(|state| !STATES.contains(&state.as_str())) {
        return Err(Error::Invalid { field: "state", rule: Rule::OneOf(STATES) });
    }
    core.db().read(move |tx| Ok(store::jobs::page(tx, state.as_deref(), page.limit(), page.offset())?)).await
}

/// Has a dead job tried again.
///
/// # Errors
/// [`Error::NotFound`] where there is no dead job of that id.
pub async fn retry(core: &Core, actor: Actor, id: JobId) -> Result<(), Error> {
    let now = core.now();
    decide_dead(core, actor, id, "job.retried", move |tx| store::jobs::revive(tx, id, now)).await
}

/// Forgets a dead job.
///
/// # Errors
/// [`Error::NotFound`] where there is no dead job of that id.
pub async fn discard(core: &Core, actor: Actor, id: JobId) -> Result<(), Error> {
    decide_dead(core, actor, id, "job.discarded", move |tx| store::jobs::discard(tx, id)).await
}

async fn decide_dead(
    core: &Core,
    actor: Actor,
    id: JobId,
    action: &'static str,
    decide: impl Fn(&mut Tx<'_>) -> Result<bool, store::Error> + Send + 'static,
) -> Result<(), Error> {
    let now = core.now();
    core.db()
        .write(move |tx| {
            let job = store::jobs::lock(tx, id)?.ok_or(Error::NotFound(Noun::Job))?;
            if !decide(tx)? {
                return Err(Error::NotFound(Noun::Job));
            }
            let detail =
                serde_json::json!({ "kind": job.kind, "subject": job.subject, "error": job.last_error });
            audit_log::append(tx, now, &actor, action, None, &format!("job:{id}"), &detail)
        })
        .await
}
