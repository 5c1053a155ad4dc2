//! Notices: where an account wants its events sent, and sending them.

use tollgate_store as store;
use tollgate_store::jobs::Claimed;
use tollgate_types::{AccountId, Cents};

use crate::page::check_range;
use crate::{Core, Error};

/// Delivers an account's next event on one channel.
pub(crate) async fn deliver(_: &Core, job: &Claimed) -> Result<(), Error> {
    Err(Error::Internal(format!("{} is not built yet", job.kind)))
}

/// Sets the balance at or below which an account wants to be told; zero = never.
///
/// # Errors
/// [`Error::Invalid`] for `low_balance`.
pub async fn set_low_balance(core: &Core, account: AccountId, balance: Cents) -> Result<(), Error> {
    check_range("low_balance", balance.get(), 0, i64::MAX)?;
    core.db()
        .write(move |tx| {
            crate::wallets::lock(tx, account)?;
            Ok(store::notice_channels::set_low_balance(tx, account, balance)?)
        })
        .await
}
