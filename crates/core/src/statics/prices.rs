//! The price list of static proxies.

use serde_json::json;
pub use tollgate_store::statics::prices::Price;
use tollgate_store::{self as store, Tx};
use tollgate_types::{Cents, StaticPriceId, StaticType, Time};

use crate::audit_log::{self, Actor};
use crate::checks::check_range;
use crate::{Core, Error, Noun, Page, Rule};

/// The most addresses of one order.
pub(super) const MOST_ADDRESSES: i64 = 1000;

/// The longest period: ten years.
const MOST_DAYS: i64 = 3_650;

/// The dearest address, in cents.
const DEAREST: i64 = 100_000_000;

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
pub async fn create_price(core: &Core, actor: Actor, new: PriceChange) -> Result<StaticPriceId, Error> {
    let missing = |field| Error::invalid(field, Rule::Required);
    let now = core.now();
    let price = Price {
        id: StaticPriceId::new(0),
        static_type: new.static_type.ok_or_else(|| missing("proxy_type"))?,
        count: new.count.ok_or_else(|| missing("count"))?,
        period: new.period.ok_or_else(|| missing("period"))?,
        price: new.price.ok_or_else(|| missing("price"))?,
        discount: new.discount.unwrap_or(0),
        back_orders: new.back_orders.unwrap_or(false),
        on_sale: new.on_sale.unwrap_or(true),
        created_at: now,
        updated_at: now,
    };
    check(&price)?;
    core.db()
        .write(move |tx| {
            let id = store::statics::prices::insert(tx, &price, now)?;
            log(tx, now, &actor, "static_price.created", &Price { id, ..price.clone() })?;
            Ok(id)
        })
        .await
}

/// Changes an item. What was ordered by it is renewed at the new price.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, with `Rule::Immutable` for another type, count or
/// period; [`Error::NotFound`].
pub async fn update_price(
    core: &Core,
    actor: Actor,
    id: StaticPriceId,
    change: PriceChange,
) -> Result<(), Error> {
    let now = core.now();
    core.db()
        .write(move |tx| {
            let price = store::statics::prices::lock(tx, id)?.ok_or(Error::NotFound(Noun::StaticPrice))?;
            check_fixed("proxy_type", change.static_type, price.static_type)?;
            check_fixed("count", change.count, price.count)?;
            check_fixed("period", change.period, price.period)?;
            let price = Price {
                price: change.price.unwrap_or(price.price),
                discount: change.discount.unwrap_or(price.discount),
                back_orders: change.back_orders.unwrap_or(price.back_orders),
                on_sale: change.on_sale.unwrap_or(price.on_sale),
                ..price
            };
            check(&price)?;
            store::statics::prices::update(tx, &price, now)?;
            log(tx, now, &actor, "static_price.updated", &price)
        })
        .await
}

/// A page of the whole price list, newest first, and how many items there are.
///
/// # Errors
/// Those of the store.
pub async fn list_prices(core: &Core, page: Page) -> Result<(Vec<Price>, i64), Error> {
    core.db().read(move |tx| Ok(store::statics::prices::page(tx, page.limit(), page.offset())?)).await
}

/// What can be ordered, by type, count and period; only of one type where one is named (contract
/// call 17).
///
/// # Errors
/// Those of the store.
pub async fn visible_prices(core: &Core, only: Option<StaticType>) -> Result<Vec<Price>, Error> {
    core.db().read(move |tx| Ok(store::statics::prices::on_sale(tx, only)?)).await
}

/// What an order by an item costs: `count × price × (100 − discount) / 100`, rounded half up
/// (contract call 17).
///
/// # Errors
/// [`Error::Invalid`] where that is more than can be counted, which no stored item is.
pub fn order_amount(price: &Price) -> Result<Cents, Error> {
    Ok(tollgate_ledger::statics::order_amount(price.count, price.price, price.discount)?)
}

/// What was bought by an item is renewed by it: what that means cannot change.
fn check_fixed<T: PartialEq>(field: &'static str, given: Option<T>, kept: T) -> Result<(), Error> {
    match given.is_none_or(|given| given == kept) {
        true => Ok(()),
        false => Err(Error::invalid(field, Rule::Immutable)),
    }
}

fn check(price: &Price) -> Result<(), Error> {
    check_range("count", price.count, 1, MOST_ADDRESSES)?;
    check_range("period", price.period, 1, MOST_DAYS)?;
    check_range("price", price.price.get(), 0, DEAREST)?;
    check_range("discount", price.discount, 0, 100)
}

fn log(tx: &mut Tx<'_>, now: Time, actor: &Actor, action: &str, price: &Price) -> Result<(), Error> {
    let detail = json!({
        "proxy_type": price.static_type.as_str(), "count": price.count, "period": price.period,
        "price": price.price.get(), "discount": price.discount, "back_orders": price.back_orders,
        "on_sale": price.on_sale,
    });
    audit_log::append(tx, now, actor, action, None, &format!("static_price:{}", price.id), &detail)
}
