//! Rights and caps: an identified caller gets a ticket or a refusal. The ticket owns every guard of
//! the connection, so that dropping it undoes all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_types::{Clock, LeaseDenied, Refusal};
use tollgate_wire::target::Target;

use crate::control::Control;
use crate::entry::caller::{Caller, Service};
use crate::entry::caps::{CallerSlot, CallerSlots};
use crate::entry::live::{ConnectionInfo, Live, LiveConnection};
use crate::entry::refused::Refused;
use crate::funds::{Funds, Purses, Tallies, denial};
use crate::lifecycle::Lifecycle;
use crate::limits::CurrentLimits;
use crate::relay::Meter;
use crate::stats::Stats;

/// What admitting needs: the slots and the funds of callers, and the live connections.
pub(crate) struct Rights<C: Control> {
    pub(crate) slots: Arc<CallerSlots>,
    pub(crate) purses: Arc<Purses<C>>,
    pub(crate) tallies: Arc<Tallies<C>>,
    pub(crate) live: Arc<Live>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) limits: CurrentLimits,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Proof of admission.
pub(crate) struct Ticket {
    pub(crate) caller: Caller,
    /// What every byte goes on.
    pub(crate) funds: Funds,
    /// The connection among the live ones.
    pub(crate) live: LiveConnection,
    pub(crate) slot: CallerSlot,
}

impl Ticket {
    /// Returns the meter that the connection's bytes pass. It calls the connection idle after
    /// `idle_timeout` without a byte.
    pub(crate) fn meter(&self, idle_timeout: Duration) -> Meter<'_> {
        Meter::new(&self.funds, &self.slot.throttle, self.live.moved(), idle_timeout)
    }
}

/// Admits an identified caller who asks for a target: counts his connection, opens his funds, and has
/// the connection among the live ones.
///
/// # Errors
/// A cap is reached, there are no funds, or the gateway has stopped.
pub(crate) async fn admit<C: Control>(
    rights: &Rights<C>,
    caller: Caller,
    peer: SocketAddr,
    target: &Target,
    protocol: &'static str,
) -> Result<Ticket, Refused> {
    let stopped = || Refused::caller(&caller, Refusal::Unavailable, "the gateway has stopped");
    // While the gateway drains, who was accepted before is served.
    if rights.lifecycle.has_stopped() {
        return Err(stopped());
    }
    let slot = rights.slots.take(&caller, &rights.limits.now(), Instant::now()).map_err(|limit| {
        rights.stats.limited(limit);
        Refused::caller(&caller, Refusal::TooManyConnections, limit.detail())
    })?;
    let no_funds = |denied: LeaseDenied| Refused::caller(&caller, denied.refusal(), denial(denied));
    let funds = match &caller.service {
        Service::Metered { payer, .. } => Funds::Purse(rights.purses.open(*payer).await.map_err(no_funds)?),
        Service::Static(entry) => Funds::Tally(rights.tallies.open(entry.id)),
    };
    let (account, sub_account) = caller.who();
    let info = ConnectionInfo {
        account,
        sub_account,
        traffic: caller.traffic(),
        username: caller.username.clone(),
        client: peer,
        target: target.to_string(),
        protocol,
        since: rights.clock.now(),
    };
    let live = rights.live.enter(info, funds.clone(), caller.admission.clone(), rights.stats.clone());
    // Looked at after it is in: either it is found by who cuts all of them, or the stop is found here.
    if rights.lifecycle.has_stopped() {
        return Err(stopped());
    }
    Ok(Ticket { caller, funds, live, slot })
}
