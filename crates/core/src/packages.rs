//! Packages: buying traffic in advance, seeing what is left, and how it is to be handled.

use tollgate_ledger::Entry;
use tollgate_ledger::package::{earned, quote};
use tollgate_store::packages::{NewPackage, Package, Settings};
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Bytes, Cents, OfferId, PackageId, ProxyType, Time};

use crate::idempotency::{self, IdempotencyKey};
use crate::{Core, Error, Noun, Rule, directory};

/// How many expired packages one round of the worker closes in a transaction.
const CLOSED_PER_TX: i64 = 64;

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
    key: Option<IdempotencyKey>,
) -> Result<Bought, Error> {
    let now = core.now();
    core.db().write(move |tx| buy_in(tx, account, offer, key.as_ref(), now)).await
}

fn buy_in(
    tx: &mut Tx<'_>,
    account: AccountId,
    offer: OfferId,
    key: Option<&IdempotencyKey>,
    now: Time,
) -> Result<Bought, Error> {
    let wallet = crate::wallets::lock(tx, account)?;
    if let Some(answer) = idempotency::replay(tx, account, key, now)? {
        return Bought::from_answer(&answer);
    }
    let offer = crate::offers::visible_in(tx, account, offer)?.ok_or(Error::NotFound(Noun::Offer))?;
    let quote = quote(offer.traffic_gb, offer.extra_gb, offer.price, offer.days)?;
    store::wallets::write(tx, account, &wallet.spend(quote.amount)?)?;
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
    let bought = Bought { package, amount: quote.amount };
    idempotency::keep(tx, account, key, &bought.to_answer(), now)?;
    Ok(bought)
}

impl Bought {
    fn to_answer(self) -> String {
        format!("{} {}", self.package, self.amount)
    }

    fn from_answer(answer: &str) -> Result<Self, Error> {
        let parsed = answer.split_once(' ').and_then(|(package, amount)| {
            Some(Self {
                package: PackageId::new(package.parse().ok()?),
                amount: Cents::new(amount.parse().ok()?),
            })
        });
        parsed.ok_or_else(idempotency::unreadable)
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
    let rebuy = match settings.rebuy_offer.get() {
        0 => None,
        _ => crate::offers::by_id_in(tx, settings.rebuy_offer)?,
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

/// A change to how packages of a type are handled: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct StrategyChange {
    /// Remind when little is left.
    pub auto_remind: Option<bool>,
    /// Remind when so many GB are left.
    pub remind_gb: Option<i64>,
    /// Remind when so many days are left.
    pub remind_days: Option<i64>,
    /// Buy again when little is left.
    pub auto_rebuy: Option<bool>,
    /// Buy again when so many GB are left.
    pub rebuy_gb: Option<i64>,
    /// Buy again when so many days are left.
    pub rebuy_days: Option<i64>,
    /// What to buy again.
    pub rebuy_offer: Option<OfferId>,
}

/// Sets reminders and auto-rebuy of one type (platform.md §2).
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, also for an offer that this account cannot buy or of
/// another type, and for switching auto-rebuy on without having chosen one.
pub async fn set_strategy(
    core: &Core,
    account: AccountId,
    proxy_type: ProxyType,
    change: StrategyChange,
) -> Result<(), Error> {
    for (field, value, max) in [
        ("remind_gb", change.remind_gb, tollgate_types::MAX_LIMIT_GB),
        ("remind_days", change.remind_days, MOST_DAYS),
        ("rebuy_gb", change.rebuy_gb, tollgate_types::MAX_LIMIT_GB),
        ("rebuy_days", change.rebuy_days, MOST_DAYS),
    ] {
        if value.is_some_and(|value| !(0..=max).contains(&value)) {
            return Err(Error::Invalid { field, rule: Rule::Range { min: 0, max } });
        }
    }
    core.db()
        .write(move |tx| {
            crate::wallets::lock(tx, account)?;
            let mut settings = settings_in(tx, account, proxy_type)?;
            if let Some(offer) = change.rebuy_offer {
                check_rebuy_offer(tx, account, proxy_type, offer)?;
                settings.rebuy_offer = offer;
            }
            settings.auto_remind = change.auto_remind.unwrap_or(settings.auto_remind);
            settings.remind_gb = change.remind_gb.unwrap_or(settings.remind_gb);
            settings.remind_days = change.remind_days.unwrap_or(settings.remind_days);
            settings.auto_rebuy = change.auto_rebuy.unwrap_or(settings.auto_rebuy);
            settings.rebuy_gb = change.rebuy_gb.unwrap_or(settings.rebuy_gb);
            settings.rebuy_days = change.rebuy_days.unwrap_or(settings.rebuy_days);
            if settings.auto_rebuy && settings.rebuy_offer.get() == 0 {
                return Err(Error::Invalid { field: "rebuy_package_id", rule: Rule::Required });
            }
            Ok(store::packages::write_settings(tx, account, &settings)?)
        })
        .await
}

/// Switches drawing traffic of a type from packages on or off. Connections that live on packages
/// go on from the wallet, or end, within a second.
///
/// # Errors
/// Those of the store.
pub async fn set_status(
    core: &Core,
    account: AccountId,
    proxy_type: ProxyType,
    active: bool,
) -> Result<(), Error> {
    let now = core.now();
    core.db()
        .write(move |tx| {
            crate::wallets::lock(tx, account)?;
            let mut settings = settings_in(tx, account, proxy_type)?;
            if settings.active == active {
                return Ok(());
            }
            settings.active = active;
            store::packages::write_settings(tx, account, &settings)?;
            store::accounts::bump_funds_epoch(tx, account)?;
            directory::publish(tx, directory::Subject::Account(account), now)
        })
        .await?;
    core.directory_changed();
    Ok(())
}

/// Closes packages that have expired: what was used is earned, the rest is breakage. Says how many.
///
/// # Errors
/// Those of the store.
pub async fn close_expired(core: &Core) -> Result<usize, Error> {
    let now = core.now();
    let due =
        core.db().read(move |tx| Ok::<_, Error>(store::packages::to_close(tx, now, CLOSED_PER_TX)?)).await?;
    for package in &due {
        let id = *package;
        core.db().write(move |tx| close_due(tx, id, now)).await?;
    }
    Ok(due.len())
}

fn close_due(tx: &mut Tx<'_>, id: PackageId, now: Time) -> Result<(), Error> {
    let package = store::packages::lock(tx, id)?;
    // A report may have come in between: a lease that was voided can be paid late.
    if package.closed || !package.reserved.is_zero() {
        return Ok(());
    }
    close_in(tx, id, now)
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

/// The largest number of days that a reminder or rebuy may look ahead.
const MOST_DAYS: i64 = 3_650;

fn settings_in(tx: &mut Tx<'_>, account: AccountId, proxy_type: ProxyType) -> Result<Settings, Error> {
    store::packages::make_settings(tx, account, proxy_type)?;
    let mut settings = store::packages::settings(tx, account)?.into_iter();
    settings
        .find(|settings| settings.proxy_type == proxy_type)
        .ok_or_else(|| Error::Internal("package settings that were just made are not there".into()))
}

fn check_rebuy_offer(
    tx: &mut Tx<'_>,
    account: AccountId,
    proxy_type: ProxyType,
    offer: OfferId,
) -> Result<(), Error> {
    let offer = crate::offers::visible_in(tx, account, offer)?;
    match offer.is_some_and(|offer| offer.proxy_type == proxy_type) {
        true => Ok(()),
        false => Err(Error::Invalid { field: "rebuy_package_id", rule: Rule::Reference }),
    }
}

/// Ends a package's time.
pub(crate) async fn expire(_: &Core, job: &store::jobs::Claimed) -> Result<(), Error> {
    Err(Error::Internal(format!("{} is not built yet", job.kind)))
}

/// Reminds of what is left, and buys again.
pub(crate) async fn watch(_: &Core, job: &store::jobs::Claimed) -> Result<(), Error> {
    Err(Error::Internal(format!("{} is not built yet", job.kind)))
}
