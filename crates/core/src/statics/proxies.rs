//! A customer's static proxies: lists, settings, traffic.

use std::net::{IpAddr, SocketAddr};

use secrecy::SecretString;
pub use tollgate_store::static_usage::UsageDay;
use tollgate_types::{
    AccountId, BootId, Day, GatewayId, Settled, StaticProtocol, StaticProxyId, StaticTraffic, StaticType,
    Time, Unavailable,
};

use crate::{Core, Error, Page};

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
    /// How that went last: normal, insufficient or failed.
    pub rebuy_status: String,
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
    _: &Core,
    _: AccountId,
    _: StaticFilter,
    _: Page,
) -> Result<(Vec<StaticProxy>, i64), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// All of an account's proxies that work now, newest first; a hundred thousand at most.
///
/// # Errors
/// As [`list`].
pub async fn export(_: &Core, _: AccountId, _: StaticFilter) -> Result<Vec<StaticProxy>, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Has a proxy renewed by itself, or not (contract call 22).
///
/// # Errors
/// [`Error::NotFound`], also where it is another account's or of another type.
pub async fn set_auto_rebuy(
    _: &Core,
    _: AccountId,
    _: StaticType,
    _: StaticProxyId,
    _active: bool,
) -> Result<(), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Sets a proxy's remark (contract call 23).
///
/// # Errors
/// [`Error::Invalid`] for `remark`, [`Error::NotFound`], also where it is another account's or of
/// another type.
pub async fn set_remark(
    _: &Core,
    _: AccountId,
    _: StaticType,
    _: StaticProxyId,
    _remark: String,
) -> Result<(), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// A proxy's traffic from one day to another, both included, oldest first, without gaps. What is
/// older than 30 days, or has not come yet, is left out.
///
/// # Errors
/// [`Error::Invalid`] where the start lies after the end, [`Error::NotFound`] for a proxy that
/// never was this account's.
pub async fn usage(
    _: &Core,
    _: AccountId,
    _: StaticProxyId,
    _from: Day,
    _to: Day,
) -> Result<Vec<UsageDay>, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Takes what one run of a gateway has moved so far, cumulatively: telling it twice, late or out of
/// order changes nothing. The growth counts for today.
///
/// # Errors
/// [`Unavailable`] where the store is; tell it again.
pub async fn count_traffic(
    _: &Core,
    _: GatewayId,
    _: BootId,
    _: Vec<StaticTraffic>,
) -> Result<Settled, Unavailable> {
    Err(Unavailable("not built yet".into()))
}
