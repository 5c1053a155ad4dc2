//! Events: what happened to an account, numbered in the order of the commits.

use tollgate_types::{AccountId, Time};

use crate::{Error, Row, Tx, params, statements};

statements! {
    /// Its row's lock is held to the end of the transaction: an account's events are committed in
    /// their order.
    NEXT_SEQ = "INSERT INTO event_heads (account_id, last_seq) VALUES (?1, 1)
                ON CONFLICT (account_id) DO UPDATE SET last_seq = event_heads.last_seq + 1 RETURNING last_seq";
    /// A head to lock, where there never was an event.
    HEAD = "INSERT INTO event_heads (account_id, last_seq) VALUES (?1, 0) ON CONFLICT (account_id) DO NOTHING";
    LOCK_HEAD = "SELECT last_seq FROM event_heads WHERE account_id = ?1{for_update}";
    LAST_SEQ = "SELECT last_seq FROM event_heads WHERE account_id = ?1";
    INSERT = "INSERT INTO events (account_id, seq, kind, data, at) VALUES (?1, ?2, ?3, ?4, ?5)";
    SINCE = "SELECT account_id, seq, kind, data, at FROM events WHERE account_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
    COUNT_SINCE = "SELECT COUNT(*) FROM events WHERE account_id = ?1 AND seq > ?2";
    LAST_BEFORE = "SELECT COALESCE(MAX(seq), 0) FROM events WHERE account_id = ?1 AND at < ?2";
    LAST_OF_KIND = "SELECT MAX(at) FROM events WHERE account_id = ?1 AND kind = ?2 AND at > ?3";
    /// A head for every account that there is.
    HEADS = "INSERT INTO event_heads (account_id, last_seq) SELECT id, 0 FROM accounts WHERE 1 = 1
             ON CONFLICT (account_id) DO NOTHING";
    SKIP = "UPDATE event_heads SET last_seq = last_seq + ?1";
    PRUNE = "DELETE FROM events WHERE at < ?1";
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// To whom.
    pub account: AccountId,
    /// Its number among the account's events: one more than the one before, but after a restore.
    pub seq: i64,
    /// What.
    pub kind: String,
    /// More of it, in JSON.
    pub data: String,
    /// When.
    pub at: Time,
}

/// Writes an event; answers its number. Called late in its transaction: from here to the commit,
/// nothing else happens to the account.
pub fn insert(tx: &mut Tx<'_>, account: AccountId, kind: &str, data: &str, at: Time) -> Result<i64, Error> {
    let seq = tx.one(NEXT_SEQ, params![account], |row| row.i64(0))?;
    tx.execute(INSERT, params![account, seq, kind, data, at])?;
    Ok(seq)
}

/// Holds an account's events as they are to the end of the transaction: whoever writes one waits,
/// and what was being written is there. Answers the number of the newest; 0 where there never was
/// one. Taken before channels and jobs.
pub fn lock_head(tx: &mut Tx<'_>, account: AccountId) -> Result<i64, Error> {
    tx.execute(HEAD, params![account])?;
    tx.one(LOCK_HEAD, params![account], |row| row.i64(0))
}

/// The number of the newest event; 0 where there never was one.
pub fn last_seq(tx: &mut Tx<'_>, account: AccountId) -> Result<i64, Error> {
    Ok(tx.opt(LAST_SEQ, params![account], |row| row.i64(0))?.unwrap_or(0))
}

/// What happened after a number, oldest first.
pub fn since(tx: &mut Tx<'_>, account: AccountId, seq: i64, limit: i64) -> Result<Vec<Event>, Error> {
    tx.all(SINCE, params![account, seq, limit], event)
}

/// How much happened after a number.
pub fn count_since(tx: &mut Tx<'_>, account: AccountId, seq: i64) -> Result<i64, Error> {
    tx.one(COUNT_SINCE, params![account, seq], |row| row.i64(0))
}

/// The number of the newest event before a moment; 0 where none is known.
pub fn last_before(tx: &mut Tx<'_>, account: AccountId, moment: Time) -> Result<i64, Error> {
    tx.one(LAST_BEFORE, params![account, moment], |row| row.i64(0))
}

/// When something of a kind happened last, if it was after a moment.
pub fn last_of_kind(
    tx: &mut Tx<'_>,
    account: AccountId,
    kind: &str,
    after: Time,
) -> Result<Option<Time>, Error> {
    tx.one(LAST_OF_KIND, params![account, kind, after], |row| Ok(row.opt_i64(0)?.map(Time::from_micros)))
}

/// Leaves out so many numbers of every account.
pub fn skip(tx: &mut Tx<'_>, numbers: i64) -> Result<(), Error> {
    tx.execute(HEADS, params![])?;
    tx.execute(SKIP, params![numbers]).map(drop)
}

/// Forgets what happened before a moment.
pub fn prune(tx: &mut Tx<'_>, before: Time) -> Result<u64, Error> {
    tx.execute(PRUNE, params![before])
}

fn event(row: &Row<'_>) -> Result<Event, Error> {
    Ok(Event {
        account: AccountId::new(row.i64(0)?),
        seq: row.i64(1)?,
        kind: row.text(2)?,
        data: row.text(3)?,
        at: Time::from_micros(row.i64(4)?),
    })
}
