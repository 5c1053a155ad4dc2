//! Static proxies in the store: stock and prices, orders and the proxies that come of them, their terms,
//! what customers request, and what was moved.

pub mod orders;
pub mod prices;
pub mod proxies;
pub mod requests;
pub mod stock;
pub mod terms;
pub mod usage;
