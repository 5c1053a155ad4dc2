//! Refusals on their way to the customer's statistics: noted where it is certain whose they are,
//! counted together, and passed on once a second. Nothing waits for this, and a flood loses notes
//! rather than memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tollgate_types::{AccountId, Refusal, RefusalNote, SubAccountId};

use crate::control::Control;
use crate::dial::DialError;
use crate::entry::caller::{Caller, TurnedAway};
use crate::stats::Stats;

/// Notes that wait to be collected.
const QUEUE: usize = 1024;
/// Kinds of notes that are counted apart before they are passed on.
const MAX_KINDS: usize = 1024;
/// How often notes are passed on.
const EVERY: Duration = Duration::from_secs(1);

/// Why a request is refused, and whose it was where that is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) detail: String,
    pub(crate) who: Option<(AccountId, Option<SubAccountId>)>,
}

impl Refused {
    /// Refuses a request of which it is not certain whose it is.
    pub(crate) fn anybody(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { refusal, detail: detail.into(), who: None }
    }

    /// Refuses a request of this caller.
    pub(crate) fn caller(caller: &Caller, refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { refusal, detail: detail.into(), who: Some(caller.who()) }
    }

    /// Refuses a request of this caller, whose target was not reached.
    pub(crate) fn unreached(caller: &Caller, error: DialError) -> Self {
        Self::caller(caller, error.refusal, error.detail)
    }
}

impl From<TurnedAway> for Refused {
    fn from(no: TurnedAway) -> Self {
        Self { refusal: no.refusal, detail: no.detail, who: no.who }
    }
}

/// Where refusals are noted.
#[derive(Clone, Debug)]
pub(crate) struct Notes(mpsc::Sender<RefusalNote>);

impl Notes {
    /// Notes a refusal whose owner is certain.
    pub(crate) fn note(&self, refused: &Refused) {
        if let Some((account, sub_account)) = refused.who {
            let (refusal, detail) = (refused.refusal, refused.detail.clone());
            // A full queue loses the note: these are statistics.
            let _ = self.0.try_send(RefusalNote { account, sub_account, refusal, detail, count: 1 });
        }
    }
}

/// Where every refusal is counted, and noted for its owner.
#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    pub(crate) notes: Notes,
    pub(crate) stats: Arc<Stats>,
}

impl Refusals {
    /// Counts a refusal, and notes it where its owner is certain.
    pub(crate) fn add(&self, refused: &Refused) {
        self.stats.refused(refused.refusal);
        self.notes.note(refused);
        tracing::debug!(refusal = %refused.refusal, detail = %refused.detail, "refused");
    }
}

/// Makes the queue and starts passing notes on; ends when the last [`Notes`] is gone.
pub(crate) fn collect<C: Control>(control: Arc<C>) -> Notes {
    let (notes, mut queue) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Some(first) = queue.recv().await {
            let mut kinds = HashMap::new();
            add(&mut kinds, first);
            let until = tokio::time::Instant::now() + EVERY;
            while let Ok(Some(note)) = tokio::time::timeout_at(until, queue.recv()).await {
                add(&mut kinds, note);
            }
            control.refused(kinds.into_values().collect()).await;
        }
    });
    Notes(notes)
}

type Kind = (AccountId, Option<SubAccountId>, Refusal, String);

fn add(kinds: &mut HashMap<Kind, RefusalNote>, note: RefusalNote) {
    let kind = (note.account, note.sub_account, note.refusal, note.detail.clone());
    if kinds.len() < MAX_KINDS || kinds.contains_key(&kind) {
        kinds.entry(kind).and_modify(|known| known.count = known.count.saturating_add(1)).or_insert(note);
    }
}
