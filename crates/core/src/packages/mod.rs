//! Packages: buying traffic in advance, seeing what is left ([`current`]), how it is to be handled
//! ([`set_strategy`], [`set_status`]), and what happens to it by itself (`jobs`).

mod handling;
mod jobs;

use tollgate_ledger::package::{earned, quote};
use tollgate_ledger::{Entry, Wallet};
use tollgate_store::packages::{NewPackage, Package, Settings};
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Bytes, Cents, OfferId, PackageId, ProxyType, Time};

use crate::idempotency::{self, Kept, Once, Outcome};
use crate::jobs::JobKind;
use crate::offers::Offer;
use crate::watch::watch_soon;
use crate::{Core, Error, Noun};

pub use handling::{StrategyChange, set_status, set_strategy};
pub(crate) use jobs::{expire, watch};

/// What a purchase did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bought {
    /// The package.
    pub package: PackageId,
    /// What it cost.
    pub amount: Cents,
}

/// Buys a package of the catalogue from the wallet: charged once, granted once, or neither
/// (contract call 11).
///
/// # Errors
/// [`Error::NotFound`] for an offer that this account cannot see, [`Error::Invalid`] for one that
/// is not on sale, [`Error::InsufficientFunds`], [`Error::Conflict`] for a reused idempotency key.
pub async fn buy(
    core: &Core,
    account: AccountId,
    offer: OfferId,
    once: Option<Once>,
) -> Result<Outcome<Bought>, Error> {
    let work = move |tx: &mut Tx<'_>, wallet: Wallet, now| {
        let offer = crate::offers::visible_in(tx, account, offer)?.ok_or(Error::NotFound(Noun::Offer))?;
        let bought = grant_in(tx, account, &wallet, &offer, now)?;
        watch_soon(tx, account, offer.proxy_type, now)?;
        Ok(bought)
    };
    idempotency::once(core, account, once, work).await
}

/// Charges a locked wallet for an item and grants what it holds.
fn grant_in(
    tx: &mut Tx<'_>,
    account: AccountId,
    wallet: &Wallet,
    offer: &Offer,
    now: Time,
) -> Result<Bought, Error> {
    let quote = quote(offer.traffic_gb, offer.extra_gb, offer.price, offer.days)?;
    crate::wallets::write(tx, account, wallet, &wallet.spend(quote.amount)?, now)?;
    let new = NewPackage {
        account,
        offer: offer.id,
        proxy_type: offer.proxy_type,
        total: quote.total,
        amount: quote.amount,
        bought_at: now,
        expires_at: now.plus(quote.duration),
    };
    let package = store::packages::insert(tx, &new)?;
    store::packages::make_settings(tx, account, offer.proxy_type)?;
    let memo = format!("{} {} GB, offer {}", offer.proxy_type, offer.traffic_gb, offer.id);
    if let Some(entry) = Entry::package_bought(account, package, quote.amount, memo)? {
        store::entries::insert(tx, &entry, now)?;
    }
    crate::jobs::set(tx, JobKind::PackageExpiry, &package.to_string(), new.expires_at, now)?;
    Ok(Bought { package, amount: quote.amount })
}

impl Kept for Bought {
    fn to_text(&self) -> String {
        format!("{} {}", self.package, self.amount)
    }

    fn from_text(text: &str) -> Option<Self> {
        let (package, amount) = text.split_once(' ')?;
        Some(Self {
            package: PackageId::new(package.parse().ok()?),
            amount: Cents::new(amount.parse().ok()?),
        })
    }
}

/// What an account has of one type of traffic (contract call 12).
#[derive(Debug, Clone)]
pub struct Holding {
    /// The type.
    pub proxy_type: ProxyType,
    /// What the unexpired packages held to begin with.
    pub total: Bytes,
    /// What has been used of them.
    pub used: Bytes,
    /// When the last of all packages expires, or did.
    pub expires_at: Time,
    /// How packages of the type are to be handled.
    pub settings: Settings,
    /// What auto-rebuy would buy, where it has been chosen and still exists.
    pub rebuy: Option<crate::offers::Offer>,
    /// Each unexpired package, in the order in which they are drawn down.
    pub packages: Vec<Package>,
}

/// What an account has, for each type of which it ever bought a package.
///
/// # Errors
/// Those of the store.
pub async fn current(core: &Core, account: AccountId) -> Result<Vec<Holding>, Error> {
    let now = core.now();
    core.db()
        .read(move |tx| {
            let packages = store::packages::of_account(tx, account)?;
            let mut holdings = Vec::new();
            for settings in store::packages::settings(tx, account)? {
                let of_type = packages.iter().filter(|package| package.proxy_type == settings.proxy_type);
                let of_type: Vec<Package> = of_type.cloned().collect();
                holdings.extend(holding(tx, settings, of_type, now)?);
            }
            Ok(holdings)
        })
        .await
}

fn holding(
    tx: &mut Tx<'_>,
    settings: Settings,
    mut packages: Vec<Package>,
    now: Time,
) -> Result<Option<Holding>, Error> {
    let Some(expires_at) = packages.iter().map(|package| package.expires_at).max() else { return Ok(None) };
    packages.retain(|package| package.expires_at > now);
    let rebuy = match settings.rebuy_offer {
        None => None,
        Some(offer) => crate::offers::by_id_in(tx, offer)?,
    };
    Ok(Some(Holding {
        proxy_type: settings.proxy_type,
        total: packages.iter().map(|package| package.total).sum(),
        used: packages.iter().map(|package| package.used).sum(),
        expires_at,
        settings,
        rebuy,
        packages,
    }))
}

/// Closes a package that is used up or has expired.
pub(crate) fn close_in(tx: &mut Tx<'_>, id: PackageId, now: Time) -> Result<(), Error> {
    let package = store::packages::lock(tx, id)?;
    store::packages::close(tx, id)?;
    let earned = earned(package.amount, package.used, package.total);
    if let Some(entry) = Entry::package_closed(package.account, id, package.proxy_type, earned)? {
        store::entries::insert(tx, &entry, now)?;
    }
    Ok(())
}
