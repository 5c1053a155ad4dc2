//! Refusals: what customers' proxy clients were told no for, so that they can help themselves.

pub use tollgate_store::refusals::Counted;
use tollgate_store::{self as store};
use tollgate_types::{AccountId, RefusalNote};

use crate::{Core, Error};

/// How many days back are shown, today included.
const SHOWN_DAYS: i32 = 7;

/// How many days back are kept.
const KEPT_DAYS: i32 = 30;

/// The longest detail, in characters.
const LONGEST_DETAIL: usize = 255;

/// The most lines that are shown.
const MOST_LINES: i64 = 200;

/// Adds to today's counts. Statistics only: what cannot be written is let go.
pub async fn note(core: &Core, notes: Vec<RefusalNote>) {
    let now = core.now();
    let day = core.zone().day(now);
    let notes: Vec<RefusalNote> = notes.into_iter().map(storable).collect();
    let written = core.db().write(move |tx| {
        for note in &notes {
            store::refusals::add(tx, note, day, now)?;
        }
        Ok::<_, Error>(())
    });
    if let Err(error) = written.await {
        tracing::warn!(%error, "refusals could not be counted");
    }
}

/// An account's refusals of the last days, the latest first.
///
/// # Errors
/// Those of the store.
pub async fn recent(core: &Core, account: AccountId) -> Result<Vec<Counted>, Error> {
    let since = core.zone().day(core.now()).plus_days(1 - SHOWN_DAYS);
    core.db().read(move |tx| Ok(store::refusals::recent(tx, account, since, MOST_LINES)?)).await
}

/// Forgets what is no longer kept.
///
/// # Errors
/// Those of the store.
pub async fn prune(core: &Core) -> Result<u64, Error> {
    let before = core.zone().day(core.now()).plus_days(-KEPT_DAYS);
    core.db().write(move |tx| Ok(store::refusals::prune(tx, before)?)).await
}

/// A detail may hold what a client sent: it is kept short and on one line.
fn storable(mut note: RefusalNote) -> RefusalNote {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    note.detail = note.detail.chars().take(LONGEST_DETAIL).map(shown).collect();
    note
}
