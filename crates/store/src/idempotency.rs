//! Idempotency keys: the first answer to a call that spends money, kept to be given again.

use tollgate_types::{AccountId, Time};

use crate::{Error, Tx, params, statements};

statements! {
    FIND = "SELECT input_hash, answer, created_at FROM idempotency_keys
            WHERE account_id = ?1 AND idempotency_key = ?2";
    INSERT = "INSERT INTO idempotency_keys (account_id, idempotency_key, input_hash, answer, created_at)
              VALUES (?1, ?2, ?3, ?4, ?5)";
    FORGET_ONE = "DELETE FROM idempotency_keys WHERE account_id = ?1 AND idempotency_key = ?2";
    FORGET_OLD = "DELETE FROM idempotency_keys WHERE created_at < ?1";
}

/// A call that was answered before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The hash of the call and its parameters.
    pub input_hash: Vec<u8>,
    /// What was answered.
    pub answer: String,
    /// When.
    pub at: Time,
}

/// What was answered under a key.
pub fn find(tx: &mut Tx<'_>, account: AccountId, key: &str) -> Result<Option<Answered>, Error> {
    tx.opt(FIND, params![account, key], |row| {
        Ok(Answered { input_hash: row.blob(0)?, answer: row.text(1)?, at: Time::from_micros(row.i64(2)?) })
    })
}

/// Keeps an answer. [`Error::UniqueViolation`] where the key is taken.
pub fn insert(
    tx: &mut Tx<'_>,
    account: AccountId,
    key: &str,
    input_hash: &[u8],
    answer: &str,
    at: Time,
) -> Result<(), Error> {
    tx.execute(INSERT, params![account, key, input_hash, answer, at]).map(drop)
}

/// Frees one key.
pub fn forget(tx: &mut Tx<'_>, account: AccountId, key: &str) -> Result<(), Error> {
    tx.execute(FORGET_ONE, params![account, key]).map(drop)
}

/// Frees every key older than a moment; says how many there were.
pub fn forget_before(tx: &mut Tx<'_>, at: Time) -> Result<u64, Error> {
    tx.execute(FORGET_OLD, params![at])
}
