//! Traffic packages: calls 10–12, and how an account wants its packages handled.

pub(crate) mod catalogue;
pub(crate) mod current;
pub(crate) mod handling;
pub(crate) mod purchase;
