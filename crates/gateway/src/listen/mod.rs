//! Ports and the connections that come to them: bound or inherited, accepted, and closed unread where
//! there is no room for them.

mod accept;
mod inherit;
mod intake;
mod introduce;
mod spare;
mod static_ports;

pub(crate) use accept::{Port, Serve};
pub use inherit::Inherited;
pub(crate) use intake::Intake;
pub(crate) use introduce::introduce;
pub(crate) use spare::Spare;
pub(crate) use static_ports::Ports;
