//! Static proxies: addresses leased by the month.

pub(crate) mod jobs;
