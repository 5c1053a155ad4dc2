//! What static proxies move: for statistics, not for bills.

use std::collections::BTreeMap;

pub use tollgate_store::statics::usage::UsageDay;
use tollgate_store::statics::usage::{Moved, Run};
use tollgate_store::{self as store, Tx};
use tollgate_types::{
    AccountId, BootId, Bytes, Day, GatewayId, Settled, StaticProxyId, StaticTraffic, Time, Unavailable,
};

use crate::{Core, Error, Noun, Rule};

/// How many days are shown, today included.
const DAYS: i32 = 30;

/// How many proxies are counted in one transaction.
const PROXIES_PER_TX: usize = 256;

/// A proxy's traffic from one day to another, both included, oldest first, without gaps. What is
/// older than 30 days, or has not come yet, is left out.
///
/// # Errors
/// [`Error::Invalid`] where the start lies after the end, [`Error::NotFound`] for a proxy that
/// never was this account's.
pub async fn usage(
    core: &Core,
    account: AccountId,
    id: StaticProxyId,
    from: Day,
    to: Day,
) -> Result<Vec<UsageDay>, Error> {
    if from > to {
        return Err(Error::invalid("start_date", Rule::Order));
    }
    let today = core.zone().day(core.now());
    let (from, to) = (from.max(today.plus_days(1 - DAYS)), to.min(today));
    let days = core
        .db()
        .read(move |tx| {
            if store::statics::proxies::owner(tx, id)? != Some(account) {
                return Err(Error::NotFound(Noun::StaticProxy));
            }
            Ok(store::statics::usage::of_proxy(tx, id, from, to)?)
        })
        .await?;
    Ok((from.number()..=to.number()).map(|number| on(&days, Day::from_number(number))).collect())
}

/// A day, of zeros where there was no traffic.
fn on(days: &[UsageDay], day: Day) -> UsageDay {
    let none = UsageDay { day, up: Bytes::ZERO, down: Bytes::ZERO, connections: 0 };
    days.iter().find(|found| found.day == day).copied().unwrap_or(none)
}

/// Takes what one run of a gateway has moved so far, cumulatively: telling it twice, late or out of
/// order changes nothing. The growth counts for today.
///
/// # Errors
/// [`Unavailable`] where the store is; tell it again.
pub async fn count_traffic(
    core: &Core,
    gateway: GatewayId,
    boot: BootId,
    traffic: Vec<StaticTraffic>,
) -> Result<Settled, Unavailable> {
    let run = Run { gateway, boot };
    let counted = count(core, run, traffic).await;
    counted.map(|()| Settled).map_err(|error| Unavailable(error.to_string()))
}

async fn count(core: &Core, run: Run, traffic: Vec<StaticTraffic>) -> Result<(), Error> {
    let (now, today) = (core.now(), core.zone().day(core.now()));
    let known = core.db().read(move |tx| Ok::<_, Error>(store::statics::usage::of_run(tx, run)?)).await?;
    for group in grown(traffic, known).chunks(PROXIES_PER_TX) {
        let group = group.to_vec();
        let count = move |tx: &mut Tx<'_>| {
            group.iter().try_for_each(|(id, moved)| count_one(tx, run, *id, *moved, today, now))
        };
        core.db().write(count).await?;
    }
    Ok(())
}

/// What has grown since it was last told of, by proxy: most of what a report says has not.
fn grown(traffic: Vec<StaticTraffic>, known: Vec<(StaticProxyId, Moved)>) -> Vec<(StaticProxyId, Moved)> {
    let known: BTreeMap<StaticProxyId, Moved> = known.into_iter().collect();
    let mut grown = BTreeMap::<StaticProxyId, Moved>::new();
    for told in traffic {
        let moved = Moved {
            up: Bytes::new(told.bytes_up),
            down: Bytes::new(told.bytes_down),
            connections: i64::try_from(told.connections).unwrap_or(i64::MAX),
        };
        let before = known.get(&told.id).copied().unwrap_or_default();
        if moved.most(before) != before {
            let most = grown.entry(told.id).or_default();
            *most = most.most(moved);
        }
    }
    grown.into_iter().collect()
}

fn count_one(
    tx: &mut Tx<'_>,
    run: Run,
    id: StaticProxyId,
    moved: Moved,
    today: Day,
    now: Time,
) -> Result<(), Error> {
    let Some(before) = store::statics::usage::lock(tx, run, id, now)? else {
        tracing::warn!(proxy = %id, gateway = %run.gateway, "a gateway reported a static proxy that there is not");
        return Ok(());
    };
    let most = moved.most(before);
    if most == before {
        return Ok(());
    }
    store::statics::usage::write(tx, run, id, most, now)?;
    Ok(store::statics::usage::add(tx, id, today, most.since(before))?)
}
