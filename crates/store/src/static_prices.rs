//! The price list of static proxies.

use tollgate_types::{Cents, StaticPriceId, StaticType, Time};

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
