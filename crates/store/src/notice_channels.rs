//! Notice channels: where an account wants its events sent, and how far each way has got.

use tollgate_types::{AccountId, Cents, Time};

use crate::{Error, Row, Tx, params, statements};

statements! {
    OF_ACCOUNT = "SELECT account_id, channel, target, secret_sealed, old_secret_sealed, old_secret_until, language,
                         status, sent_seq, attempts, retry_at, last_error, given_up, created_at, updated_at
                  FROM notice_channels WHERE account_id = ?1 ORDER BY channel";
    LOCK = "SELECT account_id, channel, target, secret_sealed, old_secret_sealed, old_secret_until, language,
                   status, sent_seq, attempts, retry_at, last_error, given_up, created_at, updated_at
            FROM notice_channels WHERE account_id = ?1 AND channel = ?2{for_update}";
    ACTIVE = "SELECT channel, retry_at FROM notice_channels WHERE account_id = ?1 AND status = 'active' ORDER BY channel";
    WRITE = "INSERT INTO notice_channels (account_id, channel, target, secret_sealed, old_secret_sealed,
                                          old_secret_until, language, status, sent_seq, attempts, retry_at, last_error,
                                          given_up, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT (account_id, channel) DO UPDATE SET
                 target = excluded.target, secret_sealed = excluded.secret_sealed,
                 old_secret_sealed = excluded.old_secret_sealed, old_secret_until = excluded.old_secret_until,
                 language = excluded.language, status = excluded.status, sent_seq = excluded.sent_seq,
                 attempts = excluded.attempts, retry_at = excluded.retry_at, last_error = excluded.last_error,
                 given_up = excluded.given_up, updated_at = excluded.updated_at";
    SET_LOW_BALANCE = "UPDATE wallets SET low_balance = ?2 WHERE account_id = ?1";
    /// Those on which something waits that nobody is going to send.
    UNPROMISED = "SELECT c.account_id, c.channel FROM notice_channels c
                  WHERE c.status = 'active'
                    AND EXISTS (SELECT 1 FROM events e WHERE e.account_id = c.account_id AND e.seq > c.sent_seq)
                    AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.kind = ?1
                                    AND j.subject = CAST(c.account_id AS TEXT) || ':' || c.channel)
                  ORDER BY c.account_id, c.channel";
    DELETE = "DELETE FROM notice_channels WHERE account_id = ?1 AND channel = ?2";
}

/// One way on which an account's events leave the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Whose.
    pub account: AccountId,
    /// webhook or email.
    pub channel: String,
    /// The URL, or the mail address.
    pub target: String,
    /// What a webhook is signed with, sealed.
    pub secret_sealed: Option<Vec<u8>>,
    /// The secret before, sealed: signed with as well until `old_secret_until`.
    pub old_secret_sealed: Option<Vec<u8>>,
    /// See `old_secret_sealed`.
    pub old_secret_until: Time,
    /// zh or en.
    pub language: String,
    /// False while nothing is sent.
    pub active: bool,
    /// Every event up to this number is delivered or given up.
    pub sent_seq: i64,
    /// Failures in a row with the next one.
    pub attempts: i64,
    /// It is not tried again before.
    pub retry_at: Time,
    /// Why it failed last.
    pub last_error: String,
    /// How many events were never delivered.
    pub given_up: i64,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// An account's channels.
pub fn of_account(tx: &mut Tx<'_>, account: AccountId) -> Result<Vec<Channel>, Error> {
    tx.all(OF_ACCOUNT, params![account], channel)
}

/// One channel, locked.
pub fn lock(tx: &mut Tx<'_>, account: AccountId, name: &str) -> Result<Option<Channel>, Error> {
    tx.opt(LOCK, params![account, name], channel)
}

/// The names of an account's channels that are switched on, and when each may be used again after
/// a failure.
pub fn active(tx: &mut Tx<'_>, account: AccountId) -> Result<Vec<(String, Time)>, Error> {
    tx.all(ACTIVE, params![account], |row| Ok((row.text(0)?, Time::from_micros(row.i64(1)?))))
}

/// Writes a channel, new or changed.
pub fn write(tx: &mut Tx<'_>, one: &Channel) -> Result<(), Error> {
    let status = if one.active { "active" } else { "inactive" };
    let values = params![
        one.account,
        &one.channel,
        &one.target,
        one.secret_sealed.as_ref(),
        one.old_secret_sealed.as_ref(),
        one.old_secret_until,
        &one.language,
        status,
        one.sent_seq,
        one.attempts,
        one.retry_at,
        &one.last_error,
        one.given_up,
        one.created_at,
        one.updated_at
    ];
    tx.execute(WRITE, values).map(drop)
}

/// Channels on which something waits and that no job of a kind is about, by their jobs' subject; for
/// the audit.
pub fn unpromised(tx: &mut Tx<'_>, kind: &str) -> Result<Vec<String>, Error> {
    tx.all(UNPROMISED, params![kind], |row| Ok(format!("{}:{}", row.i64(0)?, row.text(1)?)))
}

/// Sets the balance at or below which an account wants to be told; zero = never.
pub fn set_low_balance(tx: &mut Tx<'_>, account: AccountId, balance: Cents) -> Result<(), Error> {
    tx.execute(SET_LOW_BALANCE, params![account, balance]).map(drop)
}

/// Takes a channel away; false where there is none.
pub fn delete(tx: &mut Tx<'_>, account: AccountId, name: &str) -> Result<bool, Error> {
    Ok(tx.execute(DELETE, params![account, name])? == 1)
}

fn channel(row: &Row<'_>) -> Result<Channel, Error> {
    Ok(Channel {
        account: AccountId::new(row.i64(0)?),
        channel: row.text(1)?,
        target: row.text(2)?,
        secret_sealed: row.opt_blob(3)?,
        old_secret_sealed: row.opt_blob(4)?,
        old_secret_until: Time::from_micros(row.i64(5)?),
        language: row.text(6)?,
        active: row.text(7)? == "active",
        sent_seq: row.i64(8)?,
        attempts: row.i64(9)?,
        retry_at: Time::from_micros(row.i64(10)?),
        last_error: row.text(11)?,
        given_up: row.i64(12)?,
        created_at: Time::from_micros(row.i64(13)?),
        updated_at: Time::from_micros(row.i64(14)?),
    })
}
