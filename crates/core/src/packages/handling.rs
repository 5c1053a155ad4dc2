//! How an account wants its packages handled: reminders, buying again, and whether they are drawn
//! on at all.

use tollgate_store::packages::Settings;
use tollgate_store::{self as store, RebuyStatus, Tx};
use tollgate_types::{AccountId, Cents, OfferId, ProxyType};

use crate::watch::watch_soon;
use crate::{Core, Error, Rule, directory};

/// The largest number of days that a reminder or rebuy may look ahead.
const MOST_DAYS: i64 = 3_650;

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
    let now = core.now();
    core.db()
        .write(move |tx| {
            crate::locks::wallet(tx, account)?;
            let mut settings = settings_in(tx, account, proxy_type)?;
            if change.rebuy_offer.is_some() || change.auto_rebuy.is_some() {
                // What was wrong with it before has been seen.
                settings.rebuy_status = RebuyStatus::Normal;
            }
            if let Some(offer) = change.rebuy_offer {
                agreed_amount(tx, account, proxy_type, offer)?;
                settings.rebuy_offer = Some(offer);
            }
            settings.auto_remind = change.auto_remind.unwrap_or(settings.auto_remind);
            settings.remind_gb = change.remind_gb.unwrap_or(settings.remind_gb);
            settings.remind_days = change.remind_days.unwrap_or(settings.remind_days);
            settings.auto_rebuy = change.auto_rebuy.unwrap_or(settings.auto_rebuy);
            settings.rebuy_gb = change.rebuy_gb.unwrap_or(settings.rebuy_gb);
            settings.rebuy_days = change.rebuy_days.unwrap_or(settings.rebuy_days);
            if settings.auto_rebuy {
                let required = Error::Invalid { field: "rebuy_package_id", rule: Rule::Required };
                let offer = settings.rebuy_offer.ok_or(required)?;
                if change.rebuy_offer.is_some() || change.auto_rebuy.is_some() {
                    settings.rebuy_amount = agreed_amount(tx, account, proxy_type, offer)?;
                }
            }
            store::packages::write_settings(tx, account, &settings)?;
            watch_soon(tx, account, proxy_type, now)
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
            crate::locks::wallet(tx, account)?;
            let mut settings = settings_in(tx, account, proxy_type)?;
            if settings.active == active {
                return Ok(());
            }
            settings.active = active;
            store::packages::write_settings(tx, account, &settings)?;
            watch_soon(tx, account, proxy_type, now)?;
            store::accounts::bump_funds_epoch(tx, account)?;
            directory::publish(tx, directory::Subject::Account(account), now)
        })
        .await?;
    core.directory_changed();
    Ok(())
}

fn settings_in(tx: &mut Tx<'_>, account: AccountId, proxy_type: ProxyType) -> Result<Settings, Error> {
    store::packages::make_settings(tx, account, proxy_type)?;
    let mut settings = store::packages::settings(tx, account)?.into_iter();
    settings
        .find(|settings| settings.proxy_type == proxy_type)
        .ok_or_else(|| Error::Internal("package settings that were just made are not there".into()))
}

/// What buying an item again costs as the customer sees it now: should it become dearer, he is asked
/// anew.
fn agreed_amount(
    tx: &mut Tx<'_>,
    account: AccountId,
    proxy_type: ProxyType,
    offer: OfferId,
) -> Result<Cents, Error> {
    let offer = crate::offers::visible_in(tx, account, offer)?;
    match offer.filter(|offer| offer.proxy_type == proxy_type) {
        Some(offer) => crate::offers::amount(&offer),
        None => Err(Error::Invalid { field: "rebuy_package_id", rule: Rule::Reference }),
    }
}
