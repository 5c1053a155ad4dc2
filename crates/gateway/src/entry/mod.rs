//! Who a caller is, and whether he may enter: identified, admitted under caps, and cut when he loses the
//! right to it.

mod admit;
mod attempts;
mod budget;
mod caller;
mod caps;
mod entrance;
mod handshakes;
mod identify;
mod live;
mod metered;
mod refused;
mod revoke;
mod statics;

pub(crate) use admit::{Rights, Ticket, admit};
pub(crate) use attempts::Attempts;
pub(crate) use caller::{Caller, Proof, Service, TurnedAway};
pub(crate) use caps::{CallerSlot, CallerSlots, ClientAddresses, CountedAddress};
pub(crate) use entrance::Entrance;
pub(crate) use handshakes::{Handshake, Handshakes};
pub(crate) use identify::{Logins, identify};
pub(crate) use live::Live;
#[cfg(test)]
pub(crate) use live::LiveConnection;
pub use live::{Admission, ConnectionInfo, ConnectionView, Traffic};
pub(crate) use refused::{Refusals, Refused, collect};
pub(crate) use revoke::revoke;
