//! The chain of entries ([`tollgate_ledger::chain`]): committed entries get their place and hash here,
//! in batches, and what is known of a database from before is held against it.

use tollgate_ledger::{ChainHash, Mark, StoredEntry, StoredLine};
use tollgate_types::{AccountId, EntryId, Time};

use crate::db::Options;
use crate::migrate::{self, Dialect};
use crate::{Error, Row, Tx, params, statements};

statements! {
    HEAD = "SELECT entries, hash, accepted_at FROM entry_chain WHERE id = 1";
    /// No row where another process is chaining entries just now.
    LOCK_HEAD = "SELECT entries, hash, accepted_at FROM entry_chain WHERE id = 1{skip_locked}";
    FIRST_UNCHAINED = "SELECT id FROM entries WHERE place IS NULL ORDER BY id LIMIT 1";
    UNCHAINED = "SELECT e.id, e.account_id, e.kind, e.reference, e.memo, e.at, p.line, p.ledger_account, p.amount
                 FROM entries e LEFT JOIN postings p ON p.entry_id = e.id
                 WHERE e.id IN (SELECT id FROM entries WHERE place IS NULL ORDER BY id LIMIT ?1)
                 ORDER BY e.id, p.line";
    CHAIN = "UPDATE entries SET place = ?2, hash = ?3 WHERE id = ?1";
    MOVE_HEAD = "UPDATE entry_chain SET entries = ?1, hash = ?2 WHERE id = 1";
    HASH_AT = "SELECT hash FROM entries WHERE place = ?1";
    /// Entries in the order of the chain, with the places from ?1 up to ?2.
    CHAINED = "SELECT e.id, e.account_id, e.kind, e.reference, e.memo, e.at, p.line, p.ledger_account, p.amount,
                      e.place, e.hash
               FROM entries e LEFT JOIN postings p ON p.entry_id = e.id
               WHERE e.place >= ?1 AND e.place <= ?2 ORDER BY e.place, p.line";
    LAST_PLACE = "SELECT place FROM entries WHERE place IS NOT NULL ORDER BY place DESC LIMIT 1";
    ACCEPT = "UPDATE entry_chain SET accepted_at = CASE WHEN accepted_at < ?1 THEN ?1 ELSE accepted_at + 1 END
              WHERE id = 1";
    /// Changes nothing, but is written.
    TRY_TO_WRITE = "UPDATE entry_chain SET id = id WHERE id = 1";
}

/// What is known of a database before it is opened. One that holds less has lost something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: it may be new.
    Anything,
    /// It has been used.
    Database,
    /// Its chain reached this far.
    Mark(Mark),
}

/// What a database has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// It is not there, or empty.
    #[error("there is no database, although there was one")]
    Everything,
    /// It was made by an older program, before there was a mark.
    #[error(
        "it has no chain of entries, although its mark tells of {expected} entries: it is older than its mark"
    )]
    Chain {
        /// The number of entries in the mark.
        expected: i64,
    },
    /// It is as it was some time before the mark was made.
    #[error(
        "it is older than its mark: the chain holds {found} entries and held {expected}; the last {} are missing",
        .expected.saturating_sub(*.found)
    )]
    Entries {
        /// The number of entries in the mark.
        expected: i64,
        /// The number of entries in the chain.
        found: i64,
    },
    /// It has another history.
    #[error("entry {place} of its chain is not the one that its mark tells of: it is another database")]
    History {
        /// The place of the entry that the mark tells of.
        place: i64,
    },
}

/// An entry in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chained {
    /// Its place, counting from 1.
    pub place: i64,
    /// Its stored hash; `None` where it has none.
    pub hash: Option<ChainHash>,
    /// The entry.
    pub entry: StoredEntry,
}

/// Returns how far the chain reaches.
pub fn head(tx: &mut Tx<'_>) -> Result<Mark, Error> {
    tx.one(HEAD, params![], mark)
}

/// Returns whether there are entries that are not in the chain yet.
pub fn is_behind(tx: &mut Tx<'_>) -> Result<bool, Error> {
    tx.opt(FIRST_UNCHAINED, params![], |row| row.i64(0)).map(|first| first.is_some())
}

/// Appends up to `most` committed entries to the chain, and returns the number of entries appended.
/// Zero where another process is doing so just now.
pub fn extend(tx: &mut Tx<'_>, most: i64) -> Result<usize, Error> {
    let Some(mut head) = tx.opt(LOCK_HEAD, params![], mark)? else { return Ok(0) };
    let mut entries = Vec::new();
    tx.all(UNCHAINED, params![most], |row| gather(row, &mut entries))?;
    for entry in &entries {
        head.entries += 1;
        head.hash = head.hash.then(entry);
        tx.execute(CHAIN, params![entry.id, head.entries, &head.hash.as_bytes()[..]])?;
    }
    if !entries.is_empty() {
        tx.execute(MOVE_HEAD, params![head.entries, &head.hash.as_bytes()[..]])?;
    }
    Ok(entries.len())
}

/// Returns the entries in the places `from` to `to`, in the order of the chain.
pub fn range(tx: &mut Tx<'_>, from: i64, to: i64) -> Result<Vec<Chained>, Error> {
    let mut entries = Vec::<StoredEntry>::new();
    let mut chained = Vec::<(i64, Option<ChainHash>)>::new();
    tx.all(CHAINED, params![from, to], |row| {
        gather(row, &mut entries)?;
        if chained.len() < entries.len() {
            let hash = row.opt_blob(10)?.and_then(|bytes| ChainHash::try_from(bytes.as_slice()).ok());
            chained.push((row.i64(9)?, hash));
        }
        Ok(())
    })?;
    let all = entries.into_iter().zip(chained);
    Ok(all.map(|(entry, (place, hash))| Chained { place, hash, entry }).collect())
}

/// Returns the last place that an entry has; zero where none has any.
pub fn last_place(tx: &mut Tx<'_>) -> Result<i64, Error> {
    tx.opt(LAST_PLACE, params![], |row| row.i64(0)).map(Option::unwrap_or_default)
}

/// Returns what a database with the present schema has lost since a mark was made. Nothing where a
/// loss was accepted later.
pub fn loss_since(tx: &mut Tx<'_>, mark: &Mark) -> Result<Option<Loss>, Error> {
    let head = head(tx)?;
    if head.accepted_at > mark.accepted_at || mark.entries == 0 {
        return Ok(None);
    }
    if head.entries < mark.entries {
        return Ok(Some(Loss::Entries { expected: mark.entries, found: head.entries }));
    }
    let there = tx.opt(HASH_AT, params![mark.entries], |row| row.opt_blob(0))?.flatten();
    let is_same = there.is_some_and(|bytes| bytes == mark.hash.as_bytes());
    Ok((!is_same).then_some(Loss::History { place: mark.entries }))
}

/// Writes down that a loss of entries was accepted now. Marks made before tell of nothing any more.
pub fn accept_loss(tx: &mut Tx<'_>, now: Time) -> Result<(), Error> {
    tx.execute(ACCEPT, params![now]).map(drop)
}

/// Writes something that changes nothing, to learn whether anything can be written.
pub fn try_to_write(tx: &mut Tx<'_>) -> Result<(), Error> {
    tx.execute(TRY_TO_WRITE, params![]).map(drop)
}

/// Returns what a database that may have any schema, or none, has lost.
pub(crate) fn loss(tx: &mut Tx<'_>, dialect: &Dialect, expected: Expected) -> Result<Option<Loss>, Error> {
    if expected == Expected::Anything {
        return Ok(None);
    }
    if !migrate::has_begun(tx, dialect)? {
        return Ok(Some(Loss::Everything));
    }
    let Expected::Mark(mark) = expected else { return Ok(None) };
    if migrate::has_table(tx, dialect, "entry_chain")? {
        return loss_since(tx, &mark);
    }
    Ok((mark.entries > 0).then_some(Loss::Chain { expected: mark.entries }))
}

/// Refuses a database that has lost something, unless the loss is accepted.
pub(crate) fn refuse(loss: Option<Loss>, options: &Options) -> Result<(), Error> {
    match loss {
        Some(loss) if !options.accept_loss => Err(Error::Lost(loss)),
        Some(loss) => {
            tracing::warn!(%loss, "the loss is accepted; the platform goes on with what there is");
            Ok(())
        }
        None => Ok(()),
    }
}

fn mark(row: &Row<'_>) -> Result<Mark, Error> {
    let hash = row.opt_blob(1)?;
    let hash = hash.map_or(Ok(ChainHash::START), |bytes| {
        ChainHash::try_from(bytes.as_slice()).map_err(|error| Error::Unexpected(error.to_string()))
    })?;
    Ok(Mark { entries: row.i64(0)?, hash, accepted_at: Time::from_micros(row.i64(2)?) })
}

/// Adds a line to the last entry, or begins the next one.
fn gather(row: &Row<'_>, entries: &mut Vec<StoredEntry>) -> Result<(), Error> {
    let id = EntryId::new(row.i64(0)?);
    if entries.last().is_none_or(|last| last.id != id) {
        entries.push(StoredEntry {
            id,
            account: AccountId::new(row.i64(1)?),
            kind: row.text(2)?,
            reference: row.text(3)?,
            memo: row.text(4)?,
            at: Time::from_micros(row.i64(5)?),
            lines: Vec::new(),
        });
    }
    // An entry without lines is none that should be there; the audit says so.
    let Some(line) = row.opt_i64(6)? else { return Ok(()) };
    let line = StoredLine { line, ledger_account: row.text(7)?, amount: row.i64(8)? };
    if let Some(entry) = entries.last_mut() {
        entry.lines.push(line);
    }
    Ok(())
}
