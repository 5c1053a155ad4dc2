//! A customer's static proxies: lists and settings.

use std::net::{IpAddr, SocketAddr};

use secrecy::SecretString;
use tollgate_store::statics::proxies::{Filter, Proxy};
use tollgate_store::{self as store, ProxyState, RebuyStatus, Tx};
use tollgate_types::{AccountId, StaticProtocol, StaticProxyId, StaticType, Time};

use super::{Held, credentials, hold_own, marks};
use crate::checks::check_text;
use crate::jobs::{self, JobKind};
use crate::{Core, Error, Noun, Page, Rule};

/// The most proxies of one export.
const MOST_EXPORTED: i64 = 100_000;

/// Which proxies are shown: what is `None` or empty is not asked for.
#[derive(Debug, Clone, Default)]
pub struct StaticFilter {
    /// Of these types.
    pub static_types: Vec<StaticType>,
    /// That speak exactly this.
    pub protocol: Option<StaticProtocol>,
    /// At exactly this address, in any valid spelling.
    pub address: Option<String>,
    /// Bought by exactly this order.
    pub order_no: Option<String>,
    /// That expire then or later.
    pub expire_start: Option<Time>,
    /// That expire then or earlier.
    pub expire_end: Option<Time>,
}

/// A static proxy with its password in the clear.
#[derive(Debug, Clone)]
pub struct StaticProxy {
    /// Its id: the same over renewals and replacements.
    pub id: StaticProxyId,
    /// The order that it was bought by.
    pub order_no: String,
    /// Whose.
    pub account: AccountId,
    /// What kind of address.
    pub static_type: StaticType,
    /// What it speaks.
    pub protocol: StaticProtocol,
    /// Where it is, in lower case.
    pub country: String,
    /// Where it is reached; `None` while it is pending.
    pub address: Option<SocketAddr>,
    /// The address that its connections leave from; `None` while it is pending.
    pub exit_ip: Option<IpAddr>,
    /// Its own user name.
    pub username: String,
    /// Its own password.
    pub password: SecretString,
    /// The customer's remark.
    pub remark: String,
    /// Whether it is renewed by itself.
    pub auto_rebuy: bool,
    /// How that went last.
    pub rebuy_status: RebuyStatus,
    /// pending, live, or grace (expired, and may still be renewed).
    pub state: String,
    /// The request that is under way: refund or replace.
    pub request: Option<String>,
    /// Until when it works.
    pub expires_at: Time,
    /// When it was ordered.
    pub created_at: Time,
}

/// A page of an account's proxies, newest first, and how many there are (contract calls 20 and
/// 21). Those that have ended are not among them.
///
/// # Errors
/// [`Error::Invalid`] for `proxy_address`, or where the start lies after the end.
pub async fn list(
    core: &Core,
    account: AccountId,
    filter: StaticFilter,
    page: Page,
) -> Result<(Vec<StaticProxy>, i64), Error> {
    let filter = understood(filter)?;
    let read = move |tx: &mut Tx<'_>| {
        Ok::<_, Error>(store::statics::proxies::page(tx, account, &filter, page.limit(), page.offset())?)
    };
    let (rows, total) = core.db().read(read).await?;
    Ok((opened(core, rows)?, total))
}

/// All of an account's proxies that work now, newest first; a hundred thousand at most.
///
/// # Errors
/// As [`list`].
pub async fn export(
    core: &Core,
    account: AccountId,
    filter: StaticFilter,
) -> Result<Vec<StaticProxy>, Error> {
    let (filter, now) = (understood(filter)?, core.now());
    let read = move |tx: &mut Tx<'_>| {
        Ok::<_, Error>(store::statics::proxies::live(tx, account, &filter, MOST_EXPORTED)?)
    };
    let mut rows = core.db().read(read).await?;
    // One that has just expired is live until a worker has seen to it.
    rows.retain(|proxy| proxy.expires_at > now);
    opened(core, rows)
}

fn understood(filter: StaticFilter) -> Result<Filter, Error> {
    let (from, to) = (filter.expire_start, filter.expire_end);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Error::invalid("expire_start", Rule::Order));
    }
    let any = filter.static_types.is_empty();
    Ok(Filter {
        static_types: if any { StaticType::ALL.to_vec() } else { filter.static_types },
        protocol: filter.protocol.map_or("", StaticProtocol::as_str),
        listen_ip: address("proxy_address", filter.address)?,
        order_no: storable(filter.order_no),
        from: from.unwrap_or(Time::from_micros(i64::MIN)),
        to: to.unwrap_or(Time::from_micros(i64::MAX)),
    })
}

/// An address to look for as it is stored; empty for any.
pub(super) fn address(field: &'static str, given: Option<String>) -> Result<String, Error> {
    let text = given.unwrap_or_default();
    match text.trim() {
        "" => Ok(String::new()),
        text => {
            let ip: IpAddr = text.parse().map_err(|_| Error::invalid(field, Rule::Address))?;
            Ok(ip.to_canonical().to_string())
        }
    }
}

/// A text to look for. No stored text holds a NUL character, and none can be asked for: one that
/// stands for what cannot be written finds as little.
pub(super) fn storable(given: Option<String>) -> String {
    given.unwrap_or_default().replace('\0', "\u{fffd}")
}

fn opened(core: &Core, rows: Vec<Proxy>) -> Result<Vec<StaticProxy>, Error> {
    let open = |row: Proxy| {
        Ok(StaticProxy {
            password: credentials::open(core, &row.username, &row.password_sealed)?,
            id: row.id,
            order_no: row.order_no,
            account: row.account,
            static_type: row.static_type,
            protocol: row.protocol,
            country: row.country.to_string(),
            address: row.place.map(|place| place.listen),
            exit_ip: row.place.map(|place| place.exit_ip),
            username: row.username,
            remark: row.remark,
            auto_rebuy: row.auto_rebuy,
            rebuy_status: row.rebuy_status,
            state: row.state.as_str().to_owned(),
            request: row.request.map(|(_, kind)| kind.as_str().to_owned()),
            expires_at: row.expires_at,
            created_at: row.created_at,
        })
    };
    rows.into_iter().map(open).collect()
}

/// Has a proxy renewed by itself, or not (contract call 22).
///
/// # Errors
/// [`Error::NotFound`], also where it is another account's or of another type.
pub async fn set_auto_rebuy(
    core: &Core,
    account: AccountId,
    static_type: StaticType,
    id: StaticProxyId,
    active: bool,
) -> Result<(), Error> {
    let now = core.now();
    core.db()
        .write(move |tx| {
            let mut proxy = hold_of_type(tx, account, static_type, id)?;
            proxy.auto_rebuy = active;
            store::statics::proxies::write(tx, &proxy, now)?;
            if !active || proxy.state != ProxyState::Live || now >= proxy.expires_at {
                return Ok(());
            }
            // Past the last mark, the try is made now.
            let mark = marks::next(proxy.expires_at, now).unwrap_or(now);
            jobs::hurry(tx, JobKind::StaticRenewal, &id.to_string(), mark, now)
        })
        .await
}

/// Sets a proxy's remark (contract call 23).
///
/// # Errors
/// [`Error::Invalid`] for `remark`, [`Error::NotFound`], also where it is another account's or of
/// another type.
pub async fn set_remark(
    core: &Core,
    account: AccountId,
    static_type: StaticType,
    id: StaticProxyId,
    remark: String,
) -> Result<(), Error> {
    check_text("remark", &remark, 0, 255)?;
    let now = core.now();
    core.db()
        .write(move |tx| {
            let mut proxy = hold_of_type(tx, account, static_type, id)?;
            proxy.remark.clone_from(&remark);
            Ok(store::statics::proxies::write(tx, &proxy, now)?)
        })
        .await
}

fn hold_of_type(
    tx: &mut Tx<'_>,
    account: AccountId,
    static_type: StaticType,
    id: StaticProxyId,
) -> Result<Proxy, Error> {
    let Held { proxy, .. } = hold_own(tx, account, id)?;
    match proxy.static_type == static_type {
        true => Ok(proxy),
        false => Err(Error::NotFound(Noun::StaticProxy)),
    }
}
