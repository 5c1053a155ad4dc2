//! The SOCKS5 side of UDP ASSOCIATE (RFC 1928 §7): who may have an association, where its client is told
//! to send datagrams to, and how long it lasts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;

use tokio::net::UdpSocket;
use tokio::time::Instant;
use tollgate_types::Refusal;
use tollgate_wire::socks5::{self, Rep};
use tollgate_wire::target::{Host, Target};

use crate::client::connection::Client;
use crate::client::refuse::refuse_socks;
use crate::client::server::Server;
use crate::client::socks::{AssociateRequest, Version};
use crate::control::Control;
use crate::entry::{Caller, CallerSlot, Entrance, Refused, Ticket, admit};
use crate::exits::DatagramUpstream;
use crate::funds::denial;
use crate::limits::Caps;
use crate::relay::{Association, Broke, close_gently, relay_at};
use crate::serve::open_outlet;
use crate::slots::Slot;
use crate::socket::UNSPECIFIED;
use crate::stream::say;

/// Bytes that a client may send on the TCP connection of its association, which nobody reads. One
/// that sends more does not know what it is talking to.
const IDLE_TALK: usize = 4096;

/// What is shown as the target of an association: any.
const ANYWHERE: Target = Target { host: Host::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port: 0 };

/// An association that may begin.
struct Granted {
    ticket: Ticket,
    relay: UdpSocket,
    upstream: DatagramUpstream,
    /// Where the client is told to send its datagrams to.
    told: SocketAddr,
    _of_caller: CallerSlot,
    /// A second one: the client's socket and the association's are as many as two connections'.
    _slot: Slot,
}

/// How an association ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Nothing moved for too long, or no more bytes were granted.
    Broke(Broke),
    /// The TCP connection ended.
    Closed,
    /// The customer lost the right to it, or the operator closed it.
    Cut,
}

/// Serves a UDP ASSOCIATE.
pub(crate) async fn associate<C: Control>(client: Client, request: AssociateRequest, server: &Server<C>) {
    if !server.settings.udp {
        let reply = socks5::reply(Rep::CommandNotSupported, UNSPECIFIED);
        if say(&client.io.stream, &reply).await.is_ok() {
            close_gently(&client.io.stream).await;
        }
        return;
    }
    let granted = match request.caller {
        Ok(caller) => grant(&client, caller, server).await,
        Err(no) => Err(no.into()),
    };
    match granted {
        Ok(granted) => {
            server.stats.udp_associations.fetch_add(1, Ordering::Relaxed);
            let ended = relay(&client, granted, server).await;
            tracing::trace!(?ended, "an association ended");
            close_gently(&client.io.stream).await;
        }
        Err(refused) => refuse_socks(&client, Version::Five, server, &refused).await,
    }
}

/// Admits the caller, and opens the sockets.
async fn grant<C: Control>(client: &Client, caller: Caller, server: &Server<C>) -> Result<Granted, Refused> {
    let at_once = Caps { connections: server.settings.udp_associations_per_caller, per_second: 0 };
    let of_caller =
        server.associations.take_within(&caller, Caps::default(), at_once, Instant::now()).map_err(|_| {
            Refused::caller(&caller, Refusal::TooManyConnections, "too many UDP associations at once")
        })?;
    let slot = server.slots.take().ok_or_else(|| {
        let detail = "the gateway is at its limit of connections";
        Refused::caller(&caller, Refusal::Unavailable, detail)
    })?;
    let ticket = admit(&server.steps.rights, caller, client.peer, &ANYWHERE, "socks5-udp").await?;
    let upstream = open_outlet(&server.steps.exits, &ticket)?;
    let no_relay = |_| {
        let detail = "the gateway is at its limit of open sockets";
        Refused::caller(&ticket.caller, Refusal::Unavailable, detail)
    };
    let local = client.io.stream.local_addr().map_err(no_relay)?;
    let relay = relay_at(without_mapping(local)).map_err(no_relay)?;
    let told =
        told(relay.local_addr().map_err(no_relay)?, client.entrance, server.settings.udp_public_address);
    Ok(Granted { ticket, relay, upstream, told, _of_caller: of_caller, _slot: slot })
}

/// Tells the client where to send its datagrams to, and relays them. When this returns the ports are
/// closed.
async fn relay<C: Control>(client: &Client, granted: Granted, server: &Server<C>) -> Ended {
    let Granted { ticket, relay, upstream, told, _of_caller, _slot } = granted;
    let (outlet, _load) = upstream.into_parts();
    if say(&client.io.stream, &socks5::reply(Rep::Succeeded, told)).await.is_err() {
        return Ended::Closed;
    }
    let meter = ticket.meter(server.limits.now().idle_timeout);
    let (account, _) = ticket.caller.who();
    let destinations = &server.steps.exits.dialer;
    let association =
        Association::new(destinations, &server.stats, &meter, relay, outlet, (account, client.peer.ip()));
    let ended = tokio::select! {
        broke = association.run() => Ended::Broke(broke),
        () = meter.idle() => Ended::Broke(Broke::Idle),
        () = hang_up(client) => Ended::Closed,
        () = ticket.live.cut() => Ended::Cut,
    };
    if let Ended::Broke(Broke::Denied(denied)) = ended {
        // It may be held by nobody but this caller, in a rest that is too small.
        let is_rest = denied.is_held();
        let detail = if is_rest { "what is left is less than the next datagram" } else { denial(denied) };
        server.steps.refusals.add(&Refused::caller(&ticket.caller, denied.refusal(), detail));
    }
    ended
}

/// Resolves when the client ends the TCP connection.
async fn hang_up(client: &Client) {
    let mut left = IDLE_TALK.saturating_sub(client.io.buf.len());
    let mut talk = [0; 256];
    while client.io.stream.readable().await.is_ok() {
        match client.io.stream.try_read(&mut talk) {
            Ok(read @ 1..) if read <= left => left -= read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// What a client is told: where it has reached the gateway, or the address that the operator says
/// the gateway has from outside. Static proxies have addresses of their own.
fn told(relay: SocketAddr, entrance: Entrance, public: Option<IpAddr>) -> SocketAddr {
    match (entrance, public) {
        (Entrance::Metered(_), Some(public)) if public.is_ipv4() == relay.is_ipv4() => {
            SocketAddr::new(public, relay.port())
        }
        (Entrance::Metered(_) | Entrance::Static(_), _) => relay,
    }
}

/// An IPv4 address that came through a socket for both families is the IPv4 one; others keep their
/// scope.
fn without_mapping(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_the_public_address_of_their_family_and_static_proxies_their_own() {
        let relay: SocketAddr = "10.0.0.7:5000".parse().unwrap();
        let public = |text: &str| Some(text.parse().unwrap());
        let metered = Entrance::Metered(None);
        assert_eq!(told(relay, metered, None), relay);
        assert_eq!(told(relay, metered, public("198.51.100.1")), "198.51.100.1:5000".parse().unwrap());
        assert_eq!(told(relay, metered, public("2001:db8::1")), relay);
        assert_eq!(told(relay, Entrance::Static(relay), public("198.51.100.1")), relay);
    }
}
