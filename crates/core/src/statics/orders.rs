//! Ordering static proxies, and renewing them.

pub use tollgate_store::static_orders::Order as OrderRow;
use tollgate_types::{
    AccountId, Cents, StaticOrderId, StaticPriceId, StaticProtocol, StaticProxyId, StaticType, StockId, Time,
};

use crate::audit_log::Actor;
use crate::idempotency::IdempotencyKey;
use crate::{Core, Error, Page};

/// What a customer orders.
#[derive(Debug, Clone)]
pub struct OrderRequest {
    /// What kind of address.
    pub static_type: StaticType,
    /// Where: a country code.
    pub country: String,
    /// What the proxies are to speak.
    pub protocol: StaticProtocol,
    /// How many, for how long, at which price.
    pub price: StaticPriceId,
}

/// What an order would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// How many addresses.
    pub count: i64,
    /// Cents for one address for the period.
    pub price: Cents,
    /// Per cent off.
    pub discount: i64,
    /// For how many days.
    pub period: i64,
    /// What the order costs.
    pub amount: Cents,
    /// Whether so many are free now.
    pub in_stock: bool,
    /// What the wallet holds.
    pub balance: Cents,
}

/// What an order would cost, and whether it could be delivered now. Nothing is held.
///
/// # Errors
/// As [`order`], but for stock and money.
pub async fn quote(_: &Core, _: AccountId, _: OrderRequest) -> Result<Quote, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// What an order did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The order.
    pub order: StaticOrderId,
    /// What it is called.
    pub order_no: String,
    /// What it cost.
    pub amount: Cents,
    /// Whether it is to be delivered later, for stock is short.
    pub pending: bool,
}

/// Orders addresses from the wallet: all of them, or none (contract call 18).
///
/// # Errors
/// [`Error::Invalid`] for a `country` that is none or where there is nothing of this type, and for
/// a `price_package_id` of another type; [`Error::NotFound`] for a price package that is not on
/// sale; [`Error::OutOfStock`], [`Error::InsufficientFunds`], [`Error::Conflict`] for a reused
/// idempotency key.
pub async fn order(
    _: &Core,
    _: AccountId,
    _: OrderRequest,
    _: Option<IdempotencyKey>,
) -> Result<Ordered, Error> {
    Err(Error::Internal("not built yet".into()))
}

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
    _: &Core,
    _: AccountId,
    _: StaticType,
    _: Vec<StaticProxyId>,
) -> Result<RenewalQuote, Error> {
    Err(Error::Internal("not built yet".into()))
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
    _: &Core,
    _: AccountId,
    _: StaticType,
    _: Vec<StaticProxyId>,
    _: Option<IdempotencyKey>,
) -> Result<Renewed, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Which orders a page shows: what is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// Whose.
    pub account: Option<AccountId>,
    /// pending, completed or cancelled.
    pub state: Option<String>,
    /// Exactly this one.
    pub order_no: Option<String>,
}

/// A page of orders, newest first, and how many there are.
///
/// # Errors
/// [`Error::Invalid`] for `state`.
pub async fn orders(_: &Core, _: OrderFilter, _: Page) -> Result<(Vec<OrderRow>, i64), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Delivers a pending order: from these items, or from any that are free where none are named. The
/// time that was paid for begins now.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Conflict`] where the order is not pending, [`Error::OutOfStock`],
/// [`Error::Invalid`] for `stock_ids`: too few or too many, named twice, not free, of another type
/// or country.
pub async fn fulfil(_: &Core, _: Actor, _: StaticOrderId, _: Vec<StockId>) -> Result<(), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Cancels a pending order and gives its whole price back; answers how much.
///
/// # Errors
/// [`Error::Invalid`] for `note`, [`Error::NotFound`], [`Error::Conflict`] where the order is not
/// pending.
pub async fn cancel(_: &Core, _: Actor, _: StaticOrderId, _note: String) -> Result<Cents, Error> {
    Err(Error::Internal("not built yet".into()))
}
