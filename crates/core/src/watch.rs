//! Has packages looked at: called by whatever changes what their watch decides by.

use tollgate_store::{self as store, RebuyStatus, Tx};
use tollgate_types::{AccountId, ProxyType, Time};

use crate::Error;
use crate::jobs::{self, JobKind};

/// Has an account's packages of a type looked at soon.
pub(crate) fn watch_soon(
    tx: &mut Tx<'_>,
    account: AccountId,
    proxy_type: ProxyType,
    now: Time,
) -> Result<(), Error> {
    jobs::hurry(tx, JobKind::PackageWatch, &format!("{account}:{proxy_type}"), now, now)
}

/// Has every type looked at soon of which the last attempt to buy again failed: money has come in.
pub(crate) fn watch_failed(tx: &mut Tx<'_>, account: AccountId, now: Time) -> Result<(), Error> {
    for settings in store::packages::settings(tx, account)? {
        if settings.auto_rebuy && settings.rebuy_status != RebuyStatus::Normal {
            watch_soon(tx, account, settings.proxy_type, now)?;
        }
    }
    Ok(())
}
