//! Static proxies: addresses leased by the month.
//!
//! The operator imports **stock** and writes a **price list**; a customer **orders** so many
//! addresses of a type in a country; each becomes a **proxy** that is renewed, replaced, given back
//! or left to expire. Time that was paid for is a **term** of a proxy, and never changed.
//!
//! Everything about a proxy happens under the lock of its account's wallet; whatever takes or gives
//! stock of one type and country also holds the lock of that pool. Locks are taken in this order:
//! wallet, pool, rows of both, then what `events`, `jobs` and `directory` write.

pub(crate) mod jobs;
mod orders;
mod prices;
mod proxies;
mod requests;
mod stock;

pub use orders::{
    OrderFilter, OrderRequest, OrderRow, Ordered, Quote, RenewalLine, RenewalQuote, Renewed, cancel, fulfil,
    order, orders, quote, quote_renewal, renew,
};
pub use prices::{Price, PriceChange, create_price, list_prices, order_amount, update_price, visible_prices};
pub use proxies::{
    StaticFilter, StaticProxy, UsageDay, count_traffic, export, list, set_auto_rebuy, set_remark, usage,
};
pub use requests::{Asked, RequestFilter, RequestRow, approve, refund, refuse, replace, requests, withdraw};
pub use stock::{
    NewStock, StockChange, StockFilter, StockItem, countries, import, stock, stock_totals, update_stock,
};
