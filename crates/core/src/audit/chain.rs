//! The audit of the chain of entries: nothing in it was changed, taken away or moved, and it reaches
//! as far as its mark.

use tollgate_ledger::{ChainHash, Mark};
use tollgate_store::{self as store, Tx};

use super::{Difference, Report};
use crate::Error;

/// Entries that are looked at together, which bounds the memory that it takes.
const BATCH: i64 = 1000;

/// What is wrong with a chain.
#[derive(Default)]
struct Faults {
    /// Entries whose hash is not that of the entry, and the first of them.
    altered: u64,
    first_altered: i64,
    /// Places in which there is no entry, and the first of them.
    missing: i64,
    first_missing: i64,
}

pub(super) fn audit_in(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let head = store::chain::head(tx)?;
    let last = store::chain::last_place(tx)?;
    report.compare(|| "entries in the chain".to_owned(), last.into(), head.entries.into());
    let (faults, hash) = follow(tx, last)?;
    report.compare(
        || format!("entries missing from the chain, the first at place {}", faults.first_missing),
        0,
        faults.missing.into(),
    );
    report.compare(
        || format!("entries that are not as they were chained, the first at place {}", faults.first_altered),
        0,
        faults.altered.into(),
    );
    report.compare(
        || "hash at the end of the chain (1 = the last entry's)".to_owned(),
        1,
        i128::from(hash == head.hash),
    );
    Ok(())
}

/// Follows the chain to its last place. A fault is counted once: what follows it is held against what
/// is stored there.
fn follow(tx: &mut Tx<'_>, last: i64) -> Result<(Faults, ChainHash), Error> {
    let (mut faults, mut hash, mut place) = (Faults::default(), ChainHash::START, 0);
    while place < last {
        let to = place.saturating_add(BATCH).min(last);
        for chained in store::chain::range(tx, place + 1, to)? {
            faults.count_missing(place + 1, chained.place);
            let expected = hash.then(&chained.entry);
            // Behind a gap nobody knows what the hash should be: the gap itself is the fault.
            if chained.place == place + 1 && chained.hash != Some(expected) {
                faults.count_altered(chained.place);
            }
            hash = chained.hash.unwrap_or(expected);
            place = chained.place;
        }
        faults.count_missing(place + 1, to + 1);
        place = to;
    }
    Ok((faults, hash))
}

impl Faults {
    /// Counts the places from `expected` up to the one before `found`.
    fn count_missing(&mut self, expected: i64, found: i64) {
        if found <= expected {
            return;
        }
        if self.missing == 0 {
            self.first_missing = expected;
        }
        self.missing += found - expected;
    }

    fn count_altered(&mut self, place: i64) {
        if self.altered == 0 {
            self.first_altered = place;
        }
        self.altered += 1;
    }
}

/// Compares the store with a mark that was made of it before.
///
/// # Errors
/// Those of the store.
pub fn mark_in(tx: &mut Tx<'_>, mark: &Mark, report: &mut Report) -> Result<(), Error> {
    report.compared += 1;
    if let Some(loss) = store::chain::loss_since(tx, mark)? {
        let found = store::chain::head(tx)?.entries.into();
        let what = format!("the mark of the database ({loss})");
        report.differences.push(Difference { what, expected: mark.entries.into(), found });
    }
    Ok(())
}
