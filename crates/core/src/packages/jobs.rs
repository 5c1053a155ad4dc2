//! What happens to packages by itself: they expire, their customers are reminded, and they are
//! bought again.
//!
//! Expiry is a job of each package, due at its end. Everything else is one job of each account and
//! type, the watch: it looks at what is left, tells what is to be told once, buys again where that
//! is wanted, and leaves marks on the packages ([`tollgate_ledger::watch::marks`]) at which
//! settling has it look again, or a time at which it is due by itself.

use std::time::Duration;

use serde_json::json;
use tollgate_ledger::LedgerError;
use tollgate_ledger::watch::{Left, Threshold, marks};
use tollgate_store::jobs::Claimed;
use tollgate_store::packages::{Package, Settings};
use tollgate_store::{self as store, RebuyStatus, Tx};
use tollgate_types::{AccountId, Bytes, Cents, OfferId, PackageId, ProxyType, Time, Zone};

use super::{close_in, grant_in};
use crate::events::{self, EventKind};
use crate::jobs::{self, Next};
use crate::watch::watch_soon;
use crate::{Core, Error};

/// The rest before an expired package is looked at again that leases still hold bytes of.
const WHILE_HELD: Duration = Duration::from_secs(5);

/// Buying again by itself happens so often on a day at most, whatever the thresholds say: a
/// threshold above what one package holds would buy without end.
const MOST_REBUYS: i64 = 3;

/// Ends a package's time.
pub(crate) async fn expire(core: &Core, job: &Claimed) -> Result<(), Error> {
    let id = job.subject.parse().map(PackageId::new).map_err(|_| misnamed(job))?;
    let (now, job) = (core.now(), job.clone());
    core.db()
        .write(move |tx| {
            let next = expire_in(tx, id, now)?;
            jobs::close(tx, &job, next, now)
        })
        .await
}

fn expire_in(tx: &mut Tx<'_>, id: PackageId, now: Time) -> Result<Next, Error> {
    let Some(account) = store::packages::account_of(tx, id)? else { return Ok(Next::Done) };
    crate::locks::wallet(tx, account)?;
    let package = store::packages::lock(tx, id)?;
    if package.closed {
        return Ok(Next::Done);
    }
    if package.expires_at > now {
        return Ok(Next::At(package.expires_at));
    }
    // Leases end with their package, and are settled or voided soon after.
    if !package.reserved.is_zero() {
        return Ok(Next::At(now.plus(WHILE_HELD)));
    }
    close_in(tx, id, now)?;
    let unused = package.total.minus(package.used);
    let data = json!({ "proxy_type": package.proxy_type.as_str(), "package_id": id.get(),
                       "total_bytes": package.total.get(), "unused_bytes": unused.get() });
    events::emit(tx, account, EventKind::PackageExpired, &data, now)?;
    watch_soon(tx, account, package.proxy_type, now)?;
    Ok(Next::Done)
}

/// Reminds of what is left, and buys again.
pub(crate) async fn watch(core: &Core, job: &Claimed) -> Result<(), Error> {
    let parsed = job.subject.split_once(':').and_then(|(account, proxy_type)| {
        Some((AccountId::new(account.parse().ok()?), proxy_type.parse::<ProxyType>().ok()?))
    });
    let (account, proxy_type) = parsed.ok_or_else(|| misnamed(job))?;
    let (now, zone, job) = (core.now(), core.zone().clone(), job.clone());
    core.db()
        .write(move |tx| {
            let next = watch_in(tx, account, proxy_type, now, &zone)?;
            jobs::close(tx, &job, next, now)
        })
        .await
}

fn watch_in(
    tx: &mut Tx<'_>,
    account: AccountId,
    proxy_type: ProxyType,
    now: Time,
    zone: &Zone,
) -> Result<Next, Error> {
    crate::locks::wallet(tx, account)?;
    let settings = store::packages::settings(tx, account)?;
    let Some(before) = settings.into_iter().find(|settings| settings.proxy_type == proxy_type) else {
        return Ok(Next::Done);
    };
    let packages = store::packages::of_account(tx, account)?;
    let packages: Vec<Package> =
        packages.into_iter().filter(|package| package.proxy_type == proxy_type).collect();
    let ever_bought = !packages.is_empty();
    let unexpired: Vec<Package> = packages.into_iter().filter(|package| package.expires_at > now).collect();
    let left = what_is_left(&unexpired);
    let mut settings = before.clone();
    let reminded_at = remind(tx, account, &mut settings, left, now, zone)?;
    let rebuy = match ever_bought {
        true => buy_again(tx, account, &mut settings, left, now, zone)?,
        false => Rebuy::Never,
    };
    if settings != before {
        store::packages::write_settings(tx, account, &settings)?;
    }
    if rebuy == Rebuy::Bought {
        // There is more now: everything is looked at anew.
        return Ok(Next::At(now));
    }
    leave_marks(tx, &settings, &unexpired)?;
    let next = reminded_at.into_iter().chain(rebuy.due_at()).filter(|at| *at > now).min();
    Ok(next.map_or(Next::Done, Next::At))
}

/// What is left of unexpired packages; `None` where there are none.
fn what_is_left(unexpired: &[Package]) -> Option<Left> {
    let ends_at = unexpired.iter().map(|package| package.expires_at).max()?;
    let bytes = unexpired.iter().map(|package| package.total.minus(package.used)).sum();
    Some(Left { bytes, ends_at })
}

/// Tells what is to be told, once in each cycle: a cycle ends when there is more than the threshold
/// again. Answers when the time left will have shrunk to its threshold.
fn remind(
    tx: &mut Tx<'_>,
    account: AccountId,
    settings: &mut Settings,
    left: Option<Left>,
    now: Time,
    zone: &Zone,
) -> Result<Option<Time>, Error> {
    let Some(left) = left else { return Ok(None) };
    let data = |reason: &str| {
        json!({ "proxy_type": settings.proxy_type.as_str(), "reason": reason,
                "remaining_bytes": left.bytes.get(), "expire_time": zone.show(left.ends_at) })
    };
    let threshold = Threshold::new(settings.remind_gb, settings.remind_days);
    let exhausted = left.bytes.is_zero();
    let by_bytes = threshold.by_bytes(left);
    // Of traffic that is used up it does not matter when it would have expired.
    let by_time = threshold.by_time(left, now) && !exhausted;
    let mut told = Vec::new();
    if settings.auto_remind && by_bytes && !settings.told_gb {
        told.push((EventKind::PackageThresholdReached, data("traffic")));
    }
    if settings.auto_remind && by_time && !settings.told_days {
        told.push((EventKind::PackageThresholdReached, data("days")));
    }
    if exhausted && !settings.told_exhausted {
        told.push((EventKind::PackageExhausted, json!({ "proxy_type": settings.proxy_type.as_str() })));
    }
    settings.told_gb = by_bytes && (settings.told_gb || settings.auto_remind);
    settings.told_days = threshold.by_time(left, now) && (settings.told_days || settings.auto_remind);
    settings.told_exhausted = exhausted;
    for (kind, data) in told {
        events::emit(tx, account, kind, &data, now)?;
    }
    Ok(settings.auto_remind.then(|| threshold.due_at(left)))
}

/// What came of looking whether to buy again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rebuy {
    /// A package was bought.
    Bought,
    /// It is time, and it could not be done; to be tried again then, or when something changes.
    Failed(Option<Time>),
    /// It will be time then, unless traffic is used up before.
    Due(Time),
    /// It is not wanted.
    Never,
}

impl Rebuy {
    const fn due_at(self) -> Option<Time> {
        match self {
            Self::Due(at) | Self::Failed(Some(at)) => Some(at),
            Self::Bought | Self::Failed(None) | Self::Never => None,
        }
    }
}

/// Why a package was not bought again.
enum Obstacle {
    Insufficient { amount: Cents, balance: Cents },
    Other { reason: &'static str, again_at: Option<Time> },
}

fn buy_again(
    tx: &mut Tx<'_>,
    account: AccountId,
    settings: &mut Settings,
    left: Option<Left>,
    now: Time,
    zone: &Zone,
) -> Result<Rebuy, Error> {
    let Some(offer) = settings.rebuy_offer.filter(|_| settings.auto_rebuy && settings.active) else {
        return Ok(Rebuy::Never);
    };
    let threshold = Threshold::new(settings.rebuy_gb, settings.rebuy_days);
    if let Some(left) = left.filter(|left| !threshold.by_bytes(*left) && !threshold.by_time(*left, now)) {
        settings.rebuy_status = RebuyStatus::Normal;
        return Ok(Rebuy::Due(threshold.due_at(left)));
    }
    match try_to_buy(tx, account, settings, offer, now, zone)? {
        Ok((package, amount)) => {
            settings.rebuy_status = RebuyStatus::Normal;
            let data = json!({ "proxy_type": settings.proxy_type.as_str(), "package_id": package.get(),
                               "amount": amount.get() });
            events::emit(tx, account, EventKind::PackageRebuySucceeded, &data, now)?;
            Ok(Rebuy::Bought)
        }
        Err(obstacle) => {
            let (status, kind, data, again_at) = obstacle.told(settings.proxy_type);
            // Said once, until something changes.
            if settings.rebuy_status != status {
                settings.rebuy_status = status;
                events::emit(tx, account, kind, &data, now)?;
            }
            Ok(Rebuy::Failed(again_at))
        }
    }
}

fn try_to_buy(
    tx: &mut Tx<'_>,
    account: AccountId,
    settings: &mut Settings,
    offer: OfferId,
    now: Time,
    zone: &Zone,
) -> Result<Result<(PackageId, Cents), Obstacle>, Error> {
    let no = |reason, again_at| Ok(Err(Obstacle::Other { reason, again_at }));
    if !store::accounts::by_id(tx, account)?.is_some_and(|account| account.active) {
        return no("the account is suspended", None);
    }
    let today = zone.day(now);
    if i64::from(today.number()) != settings.rebuy_day {
        (settings.rebuy_day, settings.rebuys) = (today.number().into(), 0);
    }
    if settings.rebuys >= MOST_REBUYS {
        return no("it was bought often enough today", Some(zone.start_of(today.plus_days(1))));
    }
    let offer = crate::offers::visible_in(tx, account, offer)?;
    let Some(offer) = offer.filter(|offer| offer.proxy_type == settings.proxy_type) else {
        return no("the package is not on sale any more", None);
    };
    let amount = crate::offers::amount(&offer)?;
    if amount > settings.rebuy_amount {
        return no("the package has become dearer; choose it anew to agree", None);
    }
    let wallet = store::wallets::read(tx, account)?;
    match wallet.spend(amount) {
        Err(LedgerError::InsufficientFunds) => {
            return Ok(Err(Obstacle::Insufficient { amount, balance: wallet.balance() }));
        }
        other => other.map(drop)?,
    }
    let bought = grant_in(tx, account, &wallet, &offer, now)?;
    settings.rebuys += 1;
    Ok(Ok((bought.package, bought.amount)))
}

impl Obstacle {
    /// The status that it is shown by, how it is told, and when to try again by itself.
    fn told(self, proxy_type: ProxyType) -> (RebuyStatus, EventKind, serde_json::Value, Option<Time>) {
        let proxy_type = proxy_type.as_str();
        match self {
            Self::Insufficient { amount, balance } => {
                let data =
                    json!({ "proxy_type": proxy_type, "amount": amount.get(), "balance": balance.get() });
                (RebuyStatus::Insufficient, EventKind::PackageRebuyInsufficient, data, None)
            }
            Self::Other { reason, again_at } => {
                let data = json!({ "proxy_type": proxy_type, "reason": reason });
                (RebuyStatus::Failed, EventKind::PackageRebuyFailed, data, again_at)
            }
        }
    }
}

/// Marks packages at the bytes left of them at which there may be something to tell or to do.
fn leave_marks(tx: &mut Tx<'_>, settings: &Settings, unexpired: &[Package]) -> Result<(), Error> {
    let open = unexpired.iter().filter(|package| !package.closed);
    let left: Vec<(PackageId, Bytes)> =
        open.map(|package| (package.id, package.total.minus(package.used))).collect();
    let remind = settings.auto_remind.then(|| Threshold::new(settings.remind_gb, settings.remind_days).bytes);
    let rebuy = settings.auto_rebuy.then(|| Threshold::new(settings.rebuy_gb, settings.rebuy_days).bytes);
    let thresholds = [Some(Bytes::ZERO), remind, rebuy].into_iter().flatten();
    for (package, mark) in marks(&left, thresholds) {
        store::packages::watch(tx, package, mark)?;
    }
    Ok(())
}

fn misnamed(job: &Claimed) -> Error {
    Error::Internal(format!("a job {} about {:?} cannot be understood", job.kind, job.subject))
}
