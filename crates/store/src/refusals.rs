//! Refusals of proxy clients, counted by day and reason.

use tollgate_types::{AccountId, Day, RefusalNote, Time};

use crate::leases::sub_account_column;
use crate::{Error, Tx, params, statements};

statements! {
    ADD = "INSERT INTO refusals (account_id, sub_account_id, refusal, day, count, detail, last_at)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
           ON CONFLICT (account_id, day, refusal, sub_account_id) DO UPDATE
           SET count = refusals.count + excluded.count, detail = excluded.detail, last_at = excluded.last_at";
    RECENT = "SELECT r.refusal, r.sub_account_id, COALESCE(s.username, ''), r.count, r.detail, r.last_at, r.day
              FROM refusals r LEFT JOIN sub_accounts s ON s.id = r.sub_account_id
              WHERE r.account_id = ?1 AND r.day >= ?2 ORDER BY r.last_at DESC LIMIT ?3";
    PRUNE = "DELETE FROM refusals WHERE day < ?1";
    KNOWN = "SELECT id FROM accounts WHERE id = ?1";
}

/// Refusals of one day, reason and sub-account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The reason's public name.
    pub refusal: String,
    /// The sub-account; 0 = none was named.
    pub sub_account: i64,
    /// Its user name; empty where none was named.
    pub username: String,
    /// How many.
    pub count: i64,
    /// What exactly, the last time.
    pub detail: String,
    /// When it last happened.
    pub last_at: Time,
    /// The day, as stored.
    pub day: i64,
}

/// Adds to a day's count.
pub fn add(tx: &mut Tx<'_>, note: &RefusalNote, day: Day, at: Time) -> Result<(), Error> {
    if tx.opt(KNOWN, params![note.account], |row| row.i64(0))?.is_none() {
        return Ok(());
    }
    let sub_account = sub_account_column(note.sub_account);
    let values =
        params![note.account, sub_account, note.refusal.name(), day, i64::from(note.count), &note.detail, at];
    tx.execute(ADD, values).map(drop)
}

/// An account's refusals since a day, the latest first.
pub fn recent(tx: &mut Tx<'_>, account: AccountId, since: Day, limit: i64) -> Result<Vec<Counted>, Error> {
    tx.all(RECENT, params![account, since, limit], |row| {
        Ok(Counted {
            refusal: row.text(0)?,
            sub_account: row.i64(1)?,
            username: row.text(2)?,
            count: row.i64(3)?,
            detail: row.text(4)?,
            last_at: Time::from_micros(row.i64(5)?),
            day: row.i64(6)?,
        })
    })
}

/// Forgets what is older than a day.
pub fn prune(tx: &mut Tx<'_>, before: Day) -> Result<u64, Error> {
    tx.execute(PRUNE, params![before])
}
