//! The price list of static proxies.

pub use tollgate_store::static_prices::Price;
use tollgate_types::{Cents, StaticPriceId, StaticType};

use crate::audit_log::Actor;
use crate::{Core, Error, Page};

/// What an operator says of an item, or changes of it: what is `None` stays, or is the default.
#[derive(Debug, Clone, Default)]
pub struct PriceChange {
    /// What kind of address. Cannot be changed.
    pub static_type: Option<StaticType>,
    /// Addresses in an order. Cannot be changed.
    pub count: Option<i64>,
    /// For how many days. Cannot be changed.
    pub period: Option<i64>,
    /// Cents for one address for the period.
    pub price: Option<Cents>,
    /// Per cent off an order.
    pub discount: Option<i64>,
    /// Whether it may be ordered while stock is short.
    pub back_orders: Option<bool>,
    /// Whether it can be ordered.
    pub on_sale: Option<bool>,
}

/// Adds an item to the price list.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter.
pub async fn create_price(_: &Core, _: Actor, _: PriceChange) -> Result<StaticPriceId, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Changes an item. What was ordered by it is renewed at the new price.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, with `Rule::Immutable` for another type, count or
/// period; [`Error::NotFound`].
pub async fn update_price(_: &Core, _: Actor, _: StaticPriceId, _: PriceChange) -> Result<(), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// A page of the whole price list, newest first, and how many items there are.
///
/// # Errors
/// Those of the store.
pub async fn list_prices(_: &Core, _: Page) -> Result<(Vec<Price>, i64), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// What can be ordered, by type, count and period; only of one type where one is named (contract
/// call 17).
///
/// # Errors
/// Those of the store.
pub async fn visible_prices(_: &Core, _: Option<StaticType>) -> Result<Vec<Price>, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// What an order by an item costs: `count × price × (100 − discount) / 100`, rounded half up
/// (contract call 17).
///
/// # Errors
/// [`Error::Invalid`] where that is more than can be counted, which no stored item is.
pub fn order_amount(_: &Price) -> Result<Cents, Error> {
    Err(Error::Internal("not built yet".into()))
}
