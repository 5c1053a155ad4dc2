//! Events: what happened to an account, for those who are told of it (webhook, mail) and those who
//! ask (the customer's `events` call). Written in the transaction of what they tell.

use std::fmt;

use serde_json::Value;
pub use tollgate_store::events::Event;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Time};

use crate::checks::check_range;
use crate::jobs::{self, JobKind};
use crate::{Core, Error};

/// The most events of one answer.
const MOST: i64 = 1000;

/// How many numbers of each account a restored store leaves out.
const GAP: i64 = 1 << 20;

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// What can happen: a noun and a past verb.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $variant,)*
        }

        impl EventKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The public name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

events! {
    /// The traffic or the days left of a type's packages fell to what the customer set.
    PackageThresholdReached = "package.threshold_reached",
    /// No traffic is left in a type's packages.
    PackageExhausted = "package.exhausted",
    /// A package ran out of time.
    PackageExpired = "package.expired",
    /// A package was bought again by itself.
    PackageRebuySucceeded = "package.rebuy_succeeded",
    /// It was not, for the wallet does not hold what it costs.
    PackageRebuyInsufficient = "package.rebuy_insufficient",
    /// It was not, for another reason.
    PackageRebuyFailed = "package.rebuy_failed",
    /// The balance fell to what the customer set.
    WalletLow = "wallet.low",
    /// Static proxies that were ordered are there.
    StaticOrderCompleted = "static.order_completed",
    /// A static proxy that is not renewed by itself ends soon.
    StaticExpiring = "static.expiring",
    /// A static proxy was renewed by itself.
    StaticRenewed = "static.renewed",
    /// It was not, for the wallet does not hold what it costs.
    StaticRenewalInsufficient = "static.renewal_insufficient",
    /// It was not, for another reason.
    StaticRenewalFailed = "static.renewal_failed",
    /// A static proxy's time is over.
    StaticExpired = "static.expired",
    /// A static proxy has another address.
    StaticReplaced = "static.replaced",
    /// A static proxy was given back, and the rest of its price with it.
    StaticRefunded = "static.refunded",
    /// The customer tries a channel out.
    NoticeTested = "notice.tested",
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says that something happened, and has every channel of the account told. Called late in its
/// transaction: from here to the commit, nothing else happens to the account.
pub(crate) fn emit(
    tx: &mut Tx<'_>,
    account: AccountId,
    kind: EventKind,
    data: &Value,
    now: Time,
) -> Result<(), Error> {
    store::events::insert(tx, account, kind.as_str(), &data.to_string(), now)?;
    for (channel, retry_at) in store::notice_channels::active(tx, account)? {
        let subject = format!("{account}:{channel}");
        jobs::hurry(tx, JobKind::NoticeDelivery, &subject, now.max(retry_at), now)?;
    }
    Ok(())
}

/// Called in the transaction that restores a store as it was some time ago. Receivers and those who
/// poll pass over every number up to the highest that they have had: numbers go on far behind
/// whatever was given out after the backup.
///
/// # Errors
/// Those of the store.
pub fn restored_in(tx: &mut Tx<'_>) -> Result<(), Error> {
    Ok(store::events::skip(tx, GAP)?)
}

/// What happened to an account after a cursor, oldest first, and the cursor that follows it. The
/// cursor is the number of the last event that is known; 0 to begin with.
///
/// # Errors
/// [`Error::Invalid`] for `cursor` or `limit`.
pub async fn since(
    core: &Core,
    account: AccountId,
    cursor: i64,
    limit: Option<i64>,
) -> Result<(Vec<Event>, i64), Error> {
    let limit = limit.unwrap_or(100);
    check_range("cursor", cursor, 0, i64::MAX)?;
    check_range("limit", limit, 1, MOST)?;
    let events =
        core.db().read(move |tx| Ok::<_, Error>(store::events::since(tx, account, cursor, limit)?)).await?;
    let next = events.last().map_or(cursor, |event| event.seq);
    Ok((events, next))
}
