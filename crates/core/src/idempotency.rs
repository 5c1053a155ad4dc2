//! Calls that spend money may carry an `Idempotency-Key`: the same key and parameters within 24
//! hours give the first answer again and charge once (contract §1).
//!
//! Only a success is kept: nothing was charged by a refusal, so the same key may try again.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Time};

use crate::{Conflict, Core, Error};

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A key together with what it was used for.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    key: String,
    input_hash: [u8; 32],
}

impl IdempotencyKey {
    /// A key given with a call and the parameters that decide what the call does, in a fixed order.
    pub fn new(key: String, call: &str, parameters: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(&call).chain(parameters) {
            // Lengths keep ("ab", "c") and ("a", "bc") apart.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self { key, input_hash: hash.finalize().into() }
    }
}

/// The first answer, where the call was answered before. Asked under the wallet's lock, so that of
/// many calls at once all but the first find it.
pub(crate) fn replay(
    tx: &mut Tx<'_>,
    account: AccountId,
    key: Option<&IdempotencyKey>,
    now: Time,
) -> Result<Option<String>, Error> {
    let Some(key) = key else { return Ok(None) };
    let Some(answered) = store::idempotency::find(tx, account, &key.key)? else { return Ok(None) };
    if now.since(answered.at) >= KEPT_FOR {
        store::idempotency::forget(tx, account, &key.key)?;
        return Ok(None);
    }
    match answered.input_hash == key.input_hash {
        true => Ok(Some(answered.answer)),
        false => Err(Error::Conflict(Conflict::IdempotencyKeyReused)),
    }
}

/// Keeps the answer, in the transaction that did what it says.
pub(crate) fn keep(
    tx: &mut Tx<'_>,
    account: AccountId,
    key: Option<&IdempotencyKey>,
    answer: &str,
    now: Time,
) -> Result<(), Error> {
    match key {
        Some(key) => Ok(store::idempotency::insert(tx, account, &key.key, &key.input_hash, answer, now)?),
        None => Ok(()),
    }
}

/// That a kept answer is not one of those that its call gives.
pub(crate) fn unreadable() -> Error {
    Error::Internal("an answer kept under an idempotency key cannot be read".into())
}

/// Forgets answers that are no longer kept; says how many.
///
/// # Errors
/// Those of the store.
pub async fn forget_old(core: &Core) -> Result<u64, Error> {
    let before = core.now().minus(KEPT_FOR);
    core.db().write(move |tx| Ok(store::idempotency::forget_before(tx, before)?)).await
}
