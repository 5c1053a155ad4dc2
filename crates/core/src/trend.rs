//! Trends: traffic by day (contract calls 13 and 14).

use tollgate_store as store;
use tollgate_store::usage::DayTotal;
use tollgate_types::{AccountId, Bytes, Day, ProxyType, SubAccountId};

use crate::{Core, Error, Noun, Rule};

/// How many days are shown, today included.
const DAYS: i32 = 30;

/// The days of one type, oldest first, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trend {
    /// The type.
    pub proxy_type: ProxyType,
    /// Its days.
    pub days: Vec<DayTotal>,
}

/// An account's traffic from one day to another, both included: of each type, or of one. With a
/// sub-account, of that alone. What is older than 30 days, or has not come yet, is left out.
///
/// # Errors
/// [`Error::Invalid`] where the start lies after the end, [`Error::NotFound`] for a sub-account
/// that never was this account's.
pub async fn read(
    core: &Core,
    account: AccountId,
    sub_account: Option<SubAccountId>,
    (from, to): (Day, Day),
    only: Option<ProxyType>,
) -> Result<Vec<Trend>, Error> {
    if from > to {
        return Err(Error::Invalid { field: "start_date", rule: Rule::Order });
    }
    let today = core.zone().day(core.now());
    let from = from.max(today.plus_days(1 - DAYS));
    let to = to.min(today);
    let totals = core
        .db()
        .read(move |tx| {
            if let Some(id) = sub_account
                && !store::sub_accounts::was_of(tx, id, account)?
            {
                return Err(Error::NotFound(Noun::SubAccount));
            }
            Ok(store::usage::of_account(tx, account, sub_account, from, to)?)
        })
        .await?;
    let types = ProxyType::ALL.into_iter().filter(|proxy_type| only.is_none_or(|only| only == *proxy_type));
    Ok(types.map(|proxy_type| Trend { proxy_type, days: filled(&totals, proxy_type, from, to) }).collect())
}

/// The days of a type, with zeros where there was no traffic.
fn filled(totals: &[DayTotal], proxy_type: ProxyType, from: Day, to: Day) -> Vec<DayTotal> {
    (from.number()..=to.number())
        .map(|number| {
            let day = Day::from_number(number);
            let found = totals.iter().find(|total| total.day == day && total.proxy_type == proxy_type);
            found.cloned().unwrap_or(DayTotal { day, proxy_type, package: Bytes::ZERO, wallet: Bytes::ZERO })
        })
        .collect()
}
