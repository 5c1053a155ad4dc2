//! The chain of entries, kept up soon after each commit, and how far it reaches.
//!
//! Whoever enters something does not wait for the chain: an entry is committed without a place in it,
//! and whichever process looks next appends what it finds, in batches.

pub use tollgate_ledger::{ChainHash, Mark};
use tollgate_store as store;

use crate::{Core, Error};

/// Entries that are appended in one transaction at most, which bounds how long others wait for it.
const BATCH: usize = 256;

/// Appends committed entries to the chain, one batch at most. Returns whether there may be more.
///
/// # Errors
/// Those of the store.
pub async fn extend(core: &Core) -> Result<bool, Error> {
    // Looking costs nobody anything; what locks is done only where there is something to do.
    if !core.db().read(store::chain::is_behind).await? {
        return Ok(false);
    }
    let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let appended = core.db().write(move |tx| store::chain::extend(tx, most)).await?;
    Ok(appended == BATCH)
}

/// Returns how far the chain reaches.
///
/// # Errors
/// Those of the store.
pub async fn head(core: &Core) -> Result<Mark, Error> {
    Ok(core.db().read(store::chain::head).await?)
}

/// Called in the transaction that restores a store as it was some time ago: that it holds less than
/// marks say is accepted.
///
/// # Errors
/// Those of the store.
pub fn restored_in(tx: &mut store::Tx<'_>, now: tollgate_types::Time) -> Result<(), Error> {
    Ok(store::chain::accept_loss(tx, now)?)
}

/// Returns how far the chain reaches, in a transaction.
///
/// # Errors
/// Those of the store.
pub fn head_in(tx: &mut store::Tx<'_>) -> Result<Mark, Error> {
    Ok(store::chain::head(tx)?)
}

/// Writes something that changes nothing, to learn whether the store can be written again.
///
/// # Errors
/// Those of the store.
pub async fn try_to_write(core: &Core) -> Result<(), Error> {
    Ok(core.db().write(store::chain::try_to_write).await?)
}
