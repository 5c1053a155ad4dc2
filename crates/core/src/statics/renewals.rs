//! Renewing static proxies.

use std::collections::BTreeSet;

use tollgate_ledger::Wallet;
use tollgate_ledger::statics::{extension, total};
use tollgate_store::statics::orders::NewOrder;
use tollgate_store::statics::proxies::Proxy;
use tollgate_store::{
    self as store, OrderKind, OrderState, ProxyState, RebuyStatus, RequestKind, StockState, Tx,
};
use tollgate_types::{AccountId, Cents, StaticOrderId, StaticPriceId, StaticProxyId, StaticType, Time};

use super::{marks, orders, replacing};
use crate::directory::{self, Subject};
use crate::idempotency::{self, Kept, Once, Outcome};
use crate::jobs::{self, JobKind};
use crate::{Conflict, Core, Error, Noun, Rule};

/// The most proxies of one renewal.
const MOST_PROXIES: usize = 1000;

/// One proxy's part in a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalLine {
    /// The proxy.
    pub proxy: StaticProxyId,
    /// What it costs.
    pub amount: Cents,
    /// Until when it works then.
    pub expires_at: Time,
}

/// What a renewal would cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalQuote {
    /// What it costs in all.
    pub amount: Cents,
    /// Each proxy, in the order in which they were named.
    pub lines: Vec<RenewalLine>,
    /// What the wallet holds.
    pub balance: Cents,
}

/// What a renewal would cost.
///
/// # Errors
/// As [`renew`], but for money.
pub async fn quote_renewal(
    core: &Core,
    account: AccountId,
    static_type: StaticType,
    ids: Vec<StaticProxyId>,
) -> Result<RenewalQuote, Error> {
    check_ids(&ids)?;
    let (now, inner) = (core.now(), core.clone());
    core.db()
        .read(move |tx| {
            let proxies = named(tx, account, static_type, &ids)?;
            let lines = lines(&inner, &proxies, now)?;
            let balance = store::wallets::read(tx, account)?.balance();
            Ok(RenewalQuote { amount: total(lines.iter().map(|line| line.amount))?, lines, balance })
        })
        .await
}

/// What a renewal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// What the order is called that stands for it.
    pub order_no: String,
    /// What it cost in all.
    pub amount: Cents,
    /// Each proxy, in the order in which they were named.
    pub lines: Vec<RenewalLine>,
}

/// Extends proxies from the wallet, each by the period that it was bought for, from the later of
/// now and its expiry: all of them, or none (contract call 19).
///
/// # Errors
/// [`Error::Invalid`] for `proxy_ids` (none, too many, one named twice), [`Error::NotFound`] where
/// one is not this account's or of another type, [`Error::Conflict`] where one is being refunded,
/// has not been delivered yet, or expired too long ago; [`Error::InsufficientFunds`].
pub async fn renew(
    core: &Core,
    account: AccountId,
    static_type: StaticType,
    ids: Vec<StaticProxyId>,
    once: Option<Once>,
) -> Result<Outcome<Renewed>, Error> {
    check_ids(&ids)?;
    let inner = core.clone();
    let work = move |tx: &mut Tx<'_>, wallet: Wallet, now| {
        let mut proxies = named(tx, account, static_type, &ids)?;
        let (order, renewed) = renew_in(tx, &inner, wallet, &mut proxies, now)?;
        for proxy in &proxies {
            set_jobs(tx, proxy, now)?;
        }
        directory::publish(tx, Subject::StaticOrder(order), now)?;
        Ok(renewed)
    };
    let renewed = idempotency::once(core, account, once, work).await?;
    directory::published(core).await;
    Ok(renewed)
}

/// Renews proxies of one account, all of one type, under its wallet's lock. Their jobs are set by
/// the caller, late in the transaction.
pub(super) fn renew_in(
    tx: &mut Tx<'_>,
    core: &Core,
    wallet: Wallet,
    proxies: &mut [Proxy],
    now: Time,
) -> Result<(StaticOrderId, Renewed), Error> {
    let lines = lines(core, proxies, now)?;
    let amount = total(lines.iter().map(|line| line.amount))?;
    let first = proxies.first().ok_or_else(|| Error::Internal("a renewal of nothing".into()))?;
    let new = NewOrder {
        account: first.account,
        kind: OrderKind::Renewal,
        static_type: first.static_type,
        country: String::new(),
        protocol: "",
        price: StaticPriceId::new(0),
        count: i64::try_from(proxies.len()).unwrap_or(i64::MAX),
        amount,
        state: OrderState::Completed,
    };
    crate::wallets::write(tx, new.account, &wallet, &wallet.spend(amount)?, now)?;
    let (order, order_no) = orders::number(tx, core, &new, now)?;
    let memo = format!("{} × {}", new.count, new.static_type);
    orders::enter_sale(tx, &new, &order_no, memo, now)?;
    for (proxy, line) in proxies.iter_mut().zip(&lines) {
        extend(tx, order, proxy, line, now)?;
    }
    Ok((order, Renewed { order_no, amount, lines }))
}

/// Adds the time that a line pays for to its proxy.
fn extend(
    tx: &mut Tx<'_>,
    order: StaticOrderId,
    proxy: &mut Proxy,
    line: &RenewalLine,
    now: Time,
) -> Result<(), Error> {
    let term = extension(now, proxy.expires_at, proxy.period);
    store::statics::terms::insert(tx, proxy.id, order, line.amount, term)?;
    if let Some(place) = proxy.place.filter(|place| place.state == StockState::Grace) {
        store::statics::stock::set_state(tx, place.stock, StockState::Leased, None, now)?;
    }
    proxy.expires_at = term.1;
    proxy.state = ProxyState::Live;
    proxy.rebuy_status = RebuyStatus::Normal;
    Ok(store::statics::proxies::write(tx, proxy, now)?)
}

/// What is to happen by itself to a proxy that has just been renewed.
pub(super) fn set_jobs(tx: &mut Tx<'_>, proxy: &Proxy, now: Time) -> Result<(), Error> {
    let subject = proxy.id.to_string();
    jobs::set(tx, JobKind::StaticExpiry, &subject, proxy.expires_at, now)?;
    if let Some(mark) = marks::next(proxy.expires_at, now) {
        jobs::set(tx, JobKind::StaticRenewal, &subject, mark, now)?;
    }
    // A proxy that had expired was not worth another address. It is now.
    if proxy.place.is_some_and(|place| place.state == StockState::Disabled) {
        replacing::out_of_service(tx, proxy, now)?;
    }
    Ok(())
}

/// What each proxy's renewal costs, and until when it works then.
fn lines(core: &Core, proxies: &[Proxy], now: Time) -> Result<Vec<RenewalLine>, Error> {
    let line = |proxy: &Proxy| {
        check_renewable(core, proxy, now)?;
        let (_, expires_at) = extension(now, proxy.expires_at, proxy.period);
        Ok(RenewalLine { proxy: proxy.id, amount: proxy.price_now, expires_at })
    };
    proxies.iter().map(line).collect()
}

fn check_renewable(core: &Core, proxy: &Proxy, now: Time) -> Result<(), Error> {
    let conflict = match (proxy.state, proxy.request) {
        (ProxyState::Pending, _) => Conflict::Undelivered,
        (ProxyState::Ended, _) => Conflict::Expired,
        (ProxyState::Live | ProxyState::Grace, Some((_, RequestKind::Refund))) => Conflict::OpenRequest,
        (ProxyState::Live | ProxyState::Grace, None | Some((_, RequestKind::Replace))) => {
            if now < super::kept_until(core, proxy) {
                return Ok(());
            }
            Conflict::Expired
        }
    };
    Err(Error::Conflict(conflict))
}

/// An account's own proxies of one type, in the order in which they are named.
fn named(
    tx: &mut Tx<'_>,
    account: AccountId,
    static_type: StaticType,
    ids: &[StaticProxyId],
) -> Result<Vec<Proxy>, Error> {
    let of_type = |id: &StaticProxyId| {
        let proxy = super::own(tx, account, *id)?;
        match proxy.static_type == static_type {
            true => Ok(proxy),
            false => Err(Error::NotFound(Noun::StaticProxy)),
        }
    };
    ids.iter().map(of_type).collect()
}

fn check_ids(ids: &[StaticProxyId]) -> Result<(), Error> {
    if !(1..=MOST_PROXIES).contains(&ids.len()) {
        return Err(Error::invalid("proxy_ids", Rule::Count { min: 1, max: MOST_PROXIES }));
    }
    match ids.iter().collect::<BTreeSet<_>>().len() == ids.len() {
        true => Ok(()),
        false => Err(Error::invalid("proxy_ids", Rule::Doubled)),
    }
}

impl Kept for Renewed {
    fn to_text(&self) -> String {
        let mut text = format!("{} {}", self.order_no, self.amount);
        for RenewalLine { proxy, amount, expires_at } in &self.lines {
            text += &format!(" {proxy}:{amount}:{}", expires_at.micros());
        }
        text
    }

    fn from_text(text: &str) -> Option<Self> {
        let line = |word: &str| {
            let mut numbers = word.split(':').map(|number| number.parse().ok());
            Some(RenewalLine {
                proxy: StaticProxyId::new(numbers.next()??),
                amount: Cents::new(numbers.next()??),
                expires_at: Time::from_micros(numbers.next()??),
            })
        };
        let mut words = text.split(' ');
        Some(Self {
            order_no: words.next()?.to_owned(),
            amount: Cents::new(words.next()?.parse().ok()?),
            lines: words.map(line).collect::<Option<_>>()?,
        })
    }
}
