//! The price list of static proxies.

use tollgate_types::{Cents, StaticPriceId, StaticType, Time};

use crate::words::word;
use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO static_prices (static_type, count, period, price, discount, back_orders, on_sale, created_at,
                                         updated_at)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) RETURNING id";
    /// What was ordered by an item is renewed by it: its type, count and period stay.
    UPDATE = "UPDATE static_prices SET price = ?2, discount = ?3, back_orders = ?4, on_sale = ?5, updated_at = ?6
              WHERE id = ?1";
    /// Held to the end of the transaction: of two changes at once, neither undoes the other.
    LOCK = "SELECT id FROM static_prices WHERE id = ?1{for_update}";
    BY_ID = "SELECT id, static_type, count, period, price, discount, back_orders, on_sale, created_at, updated_at
             FROM static_prices WHERE id = ?1";
    COUNT = "SELECT COUNT(*) FROM static_prices";
    PAGE = "SELECT id, static_type, count, period, price, discount, back_orders, on_sale, created_at, updated_at
            FROM static_prices ORDER BY id DESC LIMIT ?1 OFFSET ?2";
    ON_SALE = "SELECT id, static_type, count, period, price, discount, back_orders, on_sale, created_at, updated_at
               FROM static_prices WHERE on_sale = 1 AND (?1 = '' OR static_type = ?1)
               ORDER BY static_type, count, period, id";
}

/// An item of the price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// Its id; 0 before it is written.
    pub id: StaticPriceId,
    /// What kind of address.
    pub static_type: StaticType,
    /// Addresses in an order.
    pub count: i64,
    /// For how many days.
    pub period: i64,
    /// Cents for one address for the period.
    pub price: Cents,
    /// Per cent off an order; 0 = none.
    pub discount: i64,
    /// Whether it may be ordered while stock is short, to be delivered later.
    pub back_orders: bool,
    /// Whether it can be ordered. What was bought by it is renewed by it all the same.
    pub on_sale: bool,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// Adds an item.
pub fn insert(tx: &mut Tx<'_>, new: &Price, now: Time) -> Result<StaticPriceId, Error> {
    let values = params![
        new.static_type,
        new.count,
        new.period,
        new.price,
        new.discount,
        new.back_orders,
        new.on_sale,
        now
    ];
    tx.insert(INSERT, values).map(StaticPriceId::new)
}

/// Writes back what may change of an item.
pub fn update(tx: &mut Tx<'_>, price: &Price, now: Time) -> Result<(), Error> {
    let values = params![price.id, price.price, price.discount, price.back_orders, price.on_sale, now];
    tx.execute(UPDATE, values).map(drop)
}

/// One item, on sale or not.
pub fn by_id(tx: &mut Tx<'_>, id: StaticPriceId) -> Result<Option<Price>, Error> {
    tx.opt(BY_ID, params![id], price)
}

/// The same, locked to the end of the transaction.
pub fn lock(tx: &mut Tx<'_>, id: StaticPriceId) -> Result<Option<Price>, Error> {
    tx.opt(LOCK, params![id], |row| row.i64(0))?;
    by_id(tx, id)
}

/// A page of all items, newest first, and how many there are.
pub fn page(tx: &mut Tx<'_>, limit: i64, offset: i64) -> Result<(Vec<Price>, i64), Error> {
    let total = tx.one(COUNT, params![], |row| row.i64(0))?;
    Ok((tx.all(PAGE, params![limit, offset], price)?, total))
}

/// What can be ordered, by type, count and period; only of one type where one is named.
pub fn on_sale(tx: &mut Tx<'_>, only: Option<StaticType>) -> Result<Vec<Price>, Error> {
    tx.all(ON_SALE, params![only.map_or("", StaticType::as_str)], price)
}

fn price(row: &Row<'_>) -> Result<Price, Error> {
    Ok(Price {
        id: StaticPriceId::new(row.i64(0)?),
        static_type: word(row, 1)?,
        count: row.i64(2)?,
        period: row.i64(3)?,
        price: Cents::new(row.i64(4)?),
        discount: row.i64(5)?,
        back_orders: row.bool(6)?,
        on_sale: row.bool(7)?,
        created_at: Time::from_micros(row.i64(8)?),
        updated_at: Time::from_micros(row.i64(9)?),
    })
}
