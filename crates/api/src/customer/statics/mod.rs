//! Static proxies: calls 15–23, and what goes with them.

pub(crate) mod catalogue;
pub(crate) mod export;
pub(crate) mod orders;
pub(crate) mod proxies;
pub(crate) mod requests;
