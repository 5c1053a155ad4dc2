//! The sockets of an association: towards its client, and towards its targets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// What an association's datagrams leave by: a socket for each family that they may leave in.
#[derive(Debug)]
pub(crate) struct Outlet {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    /// Whether the IPv6 socket is still to be opened, when it is needed first.
    v6_later: bool,
}

/// One of the families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Outlet {
    /// From an address of this machine, or from whichever the system chooses.
    ///
    /// # Errors
    /// The address cannot be used, or the system has no socket left.
    pub(crate) fn direct(bind_ip: Option<IpAddr>) -> io::Result<Self> {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let socket = bound(SocketAddr::new(bind_ip.unwrap_or(any), 0), Bind::Own)?;
        let outlet = Self::of(socket, bind_ip.unwrap_or(any));
        Ok(Self { v6_later: bind_ip.is_none(), ..outlet })
    }

    /// From a static proxy's address, which may be routed to this machine without being configured
    /// on it.
    ///
    /// # Errors
    /// The address cannot be used, or the system has no socket left.
    pub(crate) fn routed(ip: IpAddr) -> io::Result<Self> {
        Ok(Self::of(bound(SocketAddr::new(ip, 0), Bind::Routed)?, ip))
    }

    fn of(socket: UdpSocket, ip: IpAddr) -> Self {
        let (v4, v6) = match Family::of(ip) {
            Family::V4 => (Some(socket), None),
            Family::V6 => (None, Some(socket)),
        };
        Self { v4, v6, v6_later: false }
    }

    /// Whether datagrams of a family can leave by it.
    pub(crate) fn may_serve(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4.is_some(),
            Family::V6 => self.v6.is_some() || self.v6_later,
        }
    }

    /// The socket of a family, if there is one.
    pub(crate) fn socket(&self, family: Family) -> Option<&UdpSocket> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    /// The socket towards an address; opened now where it is needed first.
    pub(crate) fn towards(&mut self, ip: IpAddr) -> Option<&UdpSocket> {
        let family = Family::of(ip);
        if family == Family::V6 && self.v6_later {
            self.v6_later = false;
            self.v6 = bound(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), Bind::Own)
                .inspect_err(|error| tracing::debug!(%error, "no IPv6 socket for datagrams"))
                .ok();
        }
        self.socket(family)
    }
}

/// The socket that a client sends its datagrams to: at the address that it reached the gateway at.
///
/// # Errors
/// The system has no socket or no port left.
pub(crate) fn relay_at(mut local: SocketAddr) -> io::Result<UdpSocket> {
    local.set_port(0);
    bound(local, Bind::Routed)
}

/// From now on the system takes in nothing but what this address sends.
///
/// # Errors
/// The address cannot be sent to.
pub(crate) fn only_from(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    // For datagrams this sends nothing and waits for nothing.
    SockRef::from(socket).connect(&address.into())
}

/// Sends a datagram to an address.
///
/// Without asking first whether the socket can be written to: a new one is not known to be, and one
/// that cannot is a reason to drop the datagram.
///
/// # Errors
/// The system did not take it; nothing of it was sent.
pub(crate) fn send_to(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> Result<(), Errno> {
    rustix::net::sendto(socket, datagram, SendFlags::DONTWAIT, &to).map(drop)
}

/// Sends a datagram to the only address that a socket takes datagrams from.
///
/// # Errors
/// The system did not take it; nothing of it was sent.
pub(crate) fn send(socket: &UdpSocket, datagram: &[u8]) -> Result<(), Errno> {
    let send = || rustix::net::send(socket, datagram, SendFlags::DONTWAIT).map(drop);
    match send() {
        // That was about an earlier one, which found nobody.
        Err(Errno::CONNREFUSED) => send(),
        sent => sent,
    }
}

/// How an address may be this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bind {
    /// It is configured here.
    Own,
    /// It is enough that what is sent to it is routed here.
    Routed,
}

fn bound(address: SocketAddr, bind: Bind) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if bind == Bind::Routed {
        let freely = match address {
            SocketAddr::V4(_) => rustix::net::sockopt::set_ip_freebind(&socket, true),
            SocketAddr::V6(_) => rustix::net::sockopt::set_ipv6_freebind(&socket, true),
        };
        // Best effort: where the address is configured it works without.
        if let Err(error) = freely {
            tracing::trace!(%error, "a socket option was not taken");
        }
    }
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
