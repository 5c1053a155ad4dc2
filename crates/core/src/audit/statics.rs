//! The audit of static proxies: money against terms, time against terms, stock against proxies, and
//! what is promised against the jobs that are to do it.

use std::collections::BTreeMap;

use tollgate_ledger::statics::DAY;
use tollgate_ledger::{EntryKind, LedgerAccount, Product};
use tollgate_store::statics::stock::Holding;
use tollgate_store::{self as store, OrderKind, OrderState, ProxyState, StockState, Tx};

use super::{Difference, Report};
use crate::Error;
use crate::jobs::JobKind;

pub(super) fn audit_in(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    terms_follow_entries(tx, report)?;
    orders_are_what_they_say(tx, report)?;
    requests_follow_terms(tx, report)?;
    proxies_follow_terms(tx, report)?;
    stock_follows_proxies(tx, report)?;
    promises_have_jobs(tx, report)
}

/// What terms say was paid and given back, against postings.
fn terms_follow_entries(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let (mut sold, mut back) = (BTreeMap::new(), BTreeMap::new());
    for earned in store::entries::earned_by_statics(tx)? {
        let key = format!("{} to account {}", earned.ledger_account, earned.account);
        match earned.kind == EntryKind::StaticRefunded.as_str() {
            true => *back.entry(key).or_insert(0) -= i128::from(earned.net.get()),
            false => *sold.entry(key).or_insert(0) += i128::from(earned.net.get()),
        }
    }
    let (mut paid, mut refunded) = (BTreeMap::new(), BTreeMap::new());
    for terms in store::statics::terms::totals(tx)? {
        let product = LedgerAccount::Revenue(Product::Static(terms.static_type));
        let key = format!("{product} to account {}", terms.account);
        paid.insert(key.clone(), i128::from(terms.amount.get()));
        refunded.insert(key, i128::from(terms.refunded.get()));
    }
    report.compare_tables(|key| format!("terms sold by {key}"), sold, paid);
    report.compare_tables(|key| format!("terms given back by {key}"), back, refunded);
    Ok(())
}

fn orders_are_what_they_say(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    for order in store::statics::orders::tallies(tx)? {
        let name = &order.order_no;
        report.compare(
            || format!("amount of order {name}"),
            order.paid.get().into(),
            order.amount.get().into(),
        );
        report.compare(|| format!("count of order {name}"), order.terms.into(), order.count.into());
        let bought = if order.kind == OrderKind::Purchase { order.count } else { 0 };
        report.compare(|| format!("proxies of order {name}"), bought.into(), order.proxies.into());
        let pending = if order.state == OrderState::Pending { bought } else { 0 };
        report.compare(
            || format!("undelivered proxies of order {name}"),
            pending.into(),
            order.pending.into(),
        );
        if order.state == OrderState::Cancelled {
            let paid = order.amount.get().into();
            report.compare(
                || format!("given back of cancelled order {name}"),
                paid,
                order.refunded.get().into(),
            );
            report.compare(
                || format!("ended proxies of cancelled order {name}"),
                bought.into(),
                order.ended.into(),
            );
        }
    }
    Ok(())
}

fn requests_follow_terms(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    for (id, by_terms, by_requests) in store::statics::requests::given_back(tx)? {
        let what = || format!("given back by requests about static proxy {id}");
        report.compare(what, by_terms.get().into(), by_requests.get().into());
    }
    Ok(())
}

fn proxies_follow_terms(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let day = i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX);
    for time in store::statics::terms::last_ends(tx, day)? {
        let id = time.proxy;
        report.compare(
            || format!("terms of static proxy {id} that are not of its period"),
            0,
            time.uneven.into(),
        );
        report.compare(|| format!("terms of static proxy {id} that overlap"), 0, time.overlapping.into());
        if time.state != ProxyState::Ended {
            let ends_at = time.ends_at.map_or(0, |ends_at| ends_at.micros());
            let what = || format!("expiry of static proxy {id}, in microseconds");
            report.compare(what, ends_at.into(), time.expires_at.micros().into());
        }
    }
    Ok(())
}

/// Each address in one hand at most, and both agree on it.
fn stock_follows_proxies(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let holdings = store::statics::stock::holdings(tx)?;
    for held in holdings.chunk_by(|one, next| one.id == next.id) {
        let Some(item) = held.first() else { continue };
        let hands = held.iter().filter(|holding| holding.proxy.is_some()).count();
        let most = i128::from(hands > 0);
        let (id, state) = (item.id, item.state.as_str());
        report.compare(
            || format!("proxies that hold stock item {id}"),
            most,
            i128::try_from(hands).unwrap_or(0),
        );
        let agree = held.iter().all(agrees);
        report.compare(|| format!("whether stock item {id} is rightly {state}"), 1, agree.into());
    }
    Ok(())
}

fn agrees(holding: &Holding) -> bool {
    let states = match (holding.state, holding.proxy) {
        (StockState::Free, None) => true,
        (StockState::Leased, Some(ProxyState::Live)) => true,
        // With a proxy that has expired, or resting without one.
        (StockState::Grace, Some(ProxyState::Grace) | None) => true,
        // Its proxy is served until it has another address.
        (StockState::Disabled, Some(ProxyState::Live | ProxyState::Grace) | None) => true,
        (StockState::Free | StockState::Leased | StockState::Grace | StockState::Disabled, _) => false,
    };
    states && !holding.alien
}

/// What is to happen by itself has a job that sees to it.
fn promises_have_jobs(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let mut missing = Vec::new();
    for id in store::statics::proxies::unpromised(tx, JobKind::StaticExpiry.as_str())? {
        missing.push(format!("jobs that end static proxy {id}"));
    }
    for id in store::statics::stock::unpromised(tx, JobKind::StockRelease.as_str())? {
        missing.push(format!("jobs that set stock item {id} free"));
    }
    for id in store::statics::requests::unpromised(tx, JobKind::StaticReplacement.as_str())? {
        missing.push(format!("jobs that do replacement {id}"));
    }
    for id in store::statics::requests::stranded(tx)? {
        missing.push(format!("requests for another address of static proxy {id}"));
    }
    for id in store::packages::unpromised(tx, JobKind::PackageExpiry.as_str())? {
        missing.push(format!("jobs that close package {id}"));
    }
    for channel in store::notice_channels::unpromised(tx, JobKind::NoticeDelivery.as_str())? {
        missing.push(format!("jobs that deliver what waits on channel {channel}"));
    }
    report.compared += 7;
    report.differences.extend(missing.into_iter().map(|what| Difference { what, expected: 1, found: 0 }));
    for id in store::statics::requests::pointless(tx)? {
        let what = format!("open requests {id} about a static proxy without an address");
        report.differences.push(Difference { what, expected: 0, found: 1 });
    }
    Ok(())
}
