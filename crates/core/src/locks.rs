//! Locks: the first step of whatever changes an account's money or rights is to hold its wallet.

use tollgate_ledger::Wallet;
use tollgate_store::{self as store, Tx};
use tollgate_types::AccountId;

use crate::{Error, Noun};

/// Locks an account's wallet until the transaction ends, and returns it.
///
/// # Errors
/// [`Error::NotFound`] for an unknown account.
pub(crate) fn wallet(tx: &mut Tx<'_>, account: AccountId) -> Result<Wallet, Error> {
    known(store::wallets::lock(tx, account))
}

/// Says of a wallet that is not there that the account is not.
pub(crate) fn known(wallet: Result<Wallet, store::Error>) -> Result<Wallet, Error> {
    wallet.map_err(|error| match error {
        store::Error::NoRow => Error::NotFound(Noun::Account),
        other => other.into(),
    })
}
