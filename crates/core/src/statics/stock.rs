//! Stock: the addresses that the operator can lease out.

use std::net::IpAddr;

use tollgate_types::{AccountId, Country, StaticProxyId, StaticRequestId, StaticType, StockId, Time};

use crate::audit_log::Actor;
use crate::{Core, Error, Page};

/// A line of an import.
#[derive(Debug, Clone)]
pub struct NewStock {
    /// The address that the proxy is reached at, in any valid spelling.
    pub listen_ip: String,
    /// The port that it is reached at.
    pub listen_port: i64,
    /// The address that it leaves from; `None` or empty = the same.
    pub exit_ip: Option<String>,
}

/// Adds addresses of one type in one country: all of them, or none. Ten thousand at most.
///
/// # Errors
/// [`Error::Invalid`] for `country` or `items` (none, or too many), [`Error::Lines`] naming every
/// line that cannot be taken: a malformed address, one that is not a single host's or of the wrong
/// family, a port out of range or reserved, an address and port that are named twice or in stock.
pub async fn import(
    _: &Core,
    _: Actor,
    _static_type: StaticType,
    _country: String,
    _items: Vec<NewStock>,
) -> Result<Vec<StockId>, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Which stock a page shows: what is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct StockFilter {
    /// free, leased, grace or disabled.
    pub state: Option<String>,
    /// What kind of address.
    pub static_type: Option<StaticType>,
    /// Country code.
    pub country: Option<String>,
    /// Exactly this address, in any valid spelling.
    pub listen_ip: Option<String>,
}

/// An address and port that can be leased out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockItem {
    /// Its id.
    pub id: StockId,
    /// What kind of address.
    pub static_type: StaticType,
    /// Where it is.
    pub country: Country,
    /// The address that the proxy is reached at.
    pub listen_ip: IpAddr,
    /// The port that it is reached at.
    pub listen_port: u16,
    /// The address that it leaves from.
    pub exit_ip: IpAddr,
    /// free, leased, grace or disabled.
    pub state: String,
    /// In grace: when it is free again.
    pub release_at: Option<Time>,
    /// Who holds it. A proxy that has expired does so until it is released; one whose address was
    /// taken out of service, until it is replaced.
    pub holder: Option<(StaticProxyId, AccountId)>,
    /// When it was imported.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A page of stock, newest first, and how many items there are.
///
/// # Errors
/// [`Error::Invalid`] for `state`, `country` or `listen_ip`.
pub async fn stock(_: &Core, _: StockFilter, _: Page) -> Result<(Vec<StockItem>, i64), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// How many items there are of each type in each state. What there is none of is left out.
///
/// # Errors
/// Those of the store.
pub async fn stock_totals(_: &Core) -> Result<Vec<(StaticType, String, i64)>, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// What an operator changes of an item: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct StockChange {
    /// False takes it out of service: whoever holds it gets another one by itself, and is served
    /// there until then. True takes that back.
    pub in_service: Option<bool>,
    /// The address that it leaves from, in any valid spelling; empty = the one it is reached at.
    pub exit_ip: Option<String>,
}

/// Changes an item. Answers the request by which its holder gets another address, where that
/// follows from it.
///
/// # Errors
/// [`Error::Invalid`] for `exit_ip`, [`Error::NotFound`].
pub async fn update_stock(
    _: &Core,
    _: Actor,
    _: StockId,
    _: StockChange,
) -> Result<Option<StaticRequestId>, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Where addresses of these types can be ordered now, by code: where some are free, or where there
/// are any and a price package takes back-orders (contract calls 15 and 16).
///
/// # Errors
/// Those of the store.
pub async fn countries(_: &Core, _: Vec<StaticType>) -> Result<Vec<Country>, Error> {
    Err(Error::Internal("not built yet".into()))
}
