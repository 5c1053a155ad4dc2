//! Connecting to a target: its name resolved, its address checked, and that same address connected to,
//! directly or through an upstream proxy.

mod chain;
mod destinations;
mod dialer;
mod error;
mod grounds;
mod guard;
mod nameserver;
mod race;
mod resolve;

pub(crate) use dialer::{Checked, Dialer, Dialled};
pub use error::ExitTrouble;
pub(crate) use error::{Blame, DialError};
pub(crate) use grounds::Grounds;
pub(crate) use guard::Guard;
pub(crate) use resolve::Resolver;
