//! Orders of static proxies: purchases and renewals.

use tollgate_types::{AccountId, Cents, StaticOrderId, StaticType, Time};

/// An order as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: StaticOrderId,
    /// What customers and support call it.
    pub order_no: String,
    /// Whose.
    pub account: AccountId,
    /// purchase or renewal.
    pub kind: String,
    /// What kind of address.
    pub static_type: StaticType,
    /// Where, in lower case; empty for renewals, which may be of several countries.
    pub country: String,
    /// What the proxies speak; empty for renewals.
    pub protocol: String,
    /// How many proxies.
    pub count: i64,
    /// What was paid.
    pub amount: Cents,
    /// pending, completed or cancelled.
    pub state: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}
