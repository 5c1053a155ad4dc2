//! The steps of a proxied request, and nothing else: identify → admit → route and dial → relay. Each
//! takes the last one's value and gives the next. A refusal is a value here; whoever speaks with the
//! client turns it into bytes.

use std::net::SocketAddr;

use tollgate_wire::target::Target;

use crate::control::Control;
use crate::entry::{Caller, Logins, Refusals, Refused, Rights, Service, Ticket, admit};
use crate::exits::{DatagramUpstream, Exits, Upstream};
use crate::funds::denial;
use crate::limits::CurrentLimits;
use crate::relay;
use crate::relay::{Broke, Ended};
use crate::stream::Stream;

/// What the steps need, each its own part.
pub(crate) struct Steps<C: Control> {
    /// For identifying.
    pub(crate) logins: Logins,
    /// For admitting.
    pub(crate) rights: Rights<C>,
    /// For routing and dialling.
    pub(crate) exits: Exits,
    pub(crate) refusals: Refusals,
    pub(crate) limits: CurrentLimits,
}

/// Admits an identified caller, and connects to the target.
///
/// # Errors
/// Why the caller is refused.
pub(crate) async fn reach<C: Control>(
    steps: &Steps<C>,
    client: SocketAddr,
    caller: Caller,
    target: &Target,
    protocol: &'static str,
) -> Result<(Ticket, Upstream), Refused> {
    let ticket = admit(&steps.rights, caller, client, target, protocol).await?;
    let upstream = connect(&steps.exits, &ticket, target).await?;
    Ok((ticket, upstream))
}

/// Connects to the target for an admitted caller: by an exit that matches, or from his static proxy's
/// address.
async fn connect(exits: &Exits, ticket: &Ticket, target: &Target) -> Result<Upstream, Refused> {
    let dialled = match &ticket.caller.service {
        Service::Metered { payer, route } => exits.dial(payer, route, target).await,
        Service::Static(entry) => exits.dial_from(entry, target).await,
    };
    let upstream = dialled.map_err(|error| Refused::unreached(&ticket.caller, error))?;
    if let Some(exit) = upstream.exit {
        ticket.live.set_exit(exit);
    }
    Ok(upstream)
}

/// Opens the way of an admitted caller's datagrams: by a direct exit that matches, or from his static
/// proxy's address.
///
/// # Errors
/// Why the caller is refused.
pub(crate) fn open_outlet(exits: &Exits, ticket: &Ticket) -> Result<DatagramUpstream, Refused> {
    let opened = match &ticket.caller.service {
        Service::Metered { payer, route } => exits.outlet(payer, route),
        Service::Static(entry) => exits.outlet_from(entry),
    };
    let upstream = opened.map_err(|error| Refused::unreached(&ticket.caller, error))?;
    if let Some(exit) = upstream.exit {
        ticket.live.set_exit(exit);
    }
    Ok(upstream)
}

/// Relays between a client and an upstream until the tunnel ends. With each stream comes what was
/// read from it before.
pub(crate) async fn relay<C: Control>(
    steps: &Steps<C>,
    ticket: &Ticket,
    (client, early_up): (&Stream, Vec<u8>),
    (upstream, early_down): (&Stream, Vec<u8>),
) {
    let meter = ticket.meter(steps.limits.now().idle_timeout);
    let cut = std::pin::pin!(ticket.live.cut());
    let ended = relay::relay(client, upstream, early_up, early_down, &meter, cut).await;
    tracing::trace!(?ended, "a tunnel ended");
    // One that was cut for want of funds is told to its owner like a refusal.
    if let Ended::Broke(Broke::Denied(denied)) = ended {
        steps.refusals.add(&Refused::caller(&ticket.caller, denied.refusal(), denial(denied)));
    }
}
