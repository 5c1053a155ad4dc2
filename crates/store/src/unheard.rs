//! Answers to calls that spent money without an idempotency key, kept until they were heard.

use tollgate_types::{AccountId, Time};

use crate::{Error, Tx, params, statements};

statements! {
    FIND = "SELECT delivery, lost, answer, answered_at FROM unheard_answers
            WHERE account_id = ?1 AND input_hash = ?2";
    INSERT = "INSERT INTO unheard_answers (account_id, input_hash, delivery, lost, answer, answered_at)
              VALUES (?1, ?2, ?3, 0, ?4, ?5)";
    DELIVER_AGAIN = "UPDATE unheard_answers SET delivery = ?4, lost = 0, answered_at = ?5
                     WHERE account_id = ?1 AND input_hash = ?2 AND delivery = ?3";
    SET_LOST = "UPDATE unheard_answers SET lost = 1 WHERE account_id = ?1 AND input_hash = ?2 AND delivery = ?3";
    SET_HEARD = "DELETE FROM unheard_answers WHERE account_id = ?1 AND input_hash = ?2 AND delivery = ?3";
    FORGET_ONE = "DELETE FROM unheard_answers WHERE account_id = ?1 AND input_hash = ?2";
    FORGET_OLD = "DELETE FROM unheard_answers WHERE answered_at < ?1";
}

/// Names one delivery of an answer: random, drawn by whoever delivers it.
pub type DeliveryId = [u8; 16];

/// Which answer: whose call it was, and the hash of the call and its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// Whose.
    pub account: AccountId,
    /// The hash of the call and its parameters.
    pub input_hash: &'a [u8; 32],
}

/// An answer that was not heard yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheard {
    /// The last delivery.
    pub delivery: Vec<u8>,
    /// Whether it is known that the last delivery was lost.
    pub is_lost: bool,
    /// What was answered.
    pub answer: String,
    /// When it was last delivered.
    pub answered_at: Time,
}

/// Returns the answer to a call, where there is one that was not heard.
pub fn find(tx: &mut Tx<'_>, call: Call<'_>) -> Result<Option<Unheard>, Error> {
    tx.opt(FIND, params![call.account, call.input_hash], |row| {
        Ok(Unheard {
            delivery: row.blob(0)?,
            is_lost: row.i64(1)? != 0,
            answer: row.text(2)?,
            answered_at: Time::from_micros(row.i64(3)?),
        })
    })
}

/// Keeps an answer in place of an older one to the same call.
pub fn replace(
    tx: &mut Tx<'_>,
    call: Call<'_>,
    delivery: &DeliveryId,
    answer: &str,
    at: Time,
) -> Result<(), Error> {
    tx.execute(FORGET_ONE, params![call.account, call.input_hash])?;
    tx.execute(INSERT, params![call.account, call.input_hash, delivery, answer, at]).map(drop)
}

/// Writes that the answer whose last delivery was `before` is delivered again as `delivery`. Returns whether
/// it was still unheard.
pub fn deliver_again(
    tx: &mut Tx<'_>,
    call: Call<'_>,
    before: &[u8],
    delivery: &DeliveryId,
    at: Time,
) -> Result<bool, Error> {
    Ok(tx.execute(DELIVER_AGAIN, params![call.account, call.input_hash, before, delivery, at])? > 0)
}

/// Writes that a delivery was lost. Changes nothing where it was not the last one.
pub fn set_lost(tx: &mut Tx<'_>, call: Call<'_>, delivery: &DeliveryId) -> Result<(), Error> {
    tx.execute(SET_LOST, params![call.account, call.input_hash, delivery]).map(drop)
}

/// Forgets an answer whose delivery was heard. Changes nothing where it was not the last one.
pub fn set_heard(tx: &mut Tx<'_>, call: Call<'_>, delivery: &DeliveryId) -> Result<(), Error> {
    tx.execute(SET_HEARD, params![call.account, call.input_hash, delivery]).map(drop)
}

/// Forgets every answer that was last delivered before a moment. Returns the number of them.
pub fn forget_before(tx: &mut Tx<'_>, at: Time) -> Result<u64, Error> {
    tx.execute(FORGET_OLD, params![at])
}
