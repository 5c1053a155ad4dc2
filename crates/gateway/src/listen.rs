//! Listening: one accept loop per port. Being out of file descriptors slows it down; nothing ends
//! it but the gateway's end, or that its port is not needed any more.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tollgate_types::ProxyType;

use crate::client::{Buffered, Client, Entrance};
use crate::control::Control;
use crate::gateway::Shared;
use crate::introduce::introduce;
use crate::serve::serve;
use crate::socket;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// The rest after a failed accept, so that it does not spin where descriptors have run out.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// How often failed accepts are logged at most.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// One port.
#[derive(Debug)]
pub(crate) struct Port {
    listener: TcpListener,
    kind: Kind,
}

/// For whom a port is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// For metered traffic, of one type or (`None`) of all.
    Metered(Option<ProxyType>),
    /// For the static proxies that are reached on it.
    Static,
}

impl Port {
    /// Binds it.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(crate) fn bind(address: SocketAddr, proxy_type: Option<ProxyType>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        Ok(Self { listener: listen(socket, address)?, kind: Kind::Metered(proxy_type) })
    }

    /// Binds a port for static proxies on every address of the machine: of both families by one
    /// socket, where the machine has both.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub(crate) fn bind_everywhere(port: u16) -> io::Result<Self> {
        let both = || {
            let socket = TcpSocket::new_v6()?;
            SockRef::from(&socket).set_only_v6(false)?;
            listen(socket, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        };
        let listener = match both() {
            Err(error) if socket::lacks_ipv6(&error) => {
                listen(TcpSocket::new_v4()?, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?
            }
            listener => listener?,
        };
        Ok(Self { listener, kind: Kind::Static })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until the gateway drains, or this is dropped; the port closes with that.
    pub(crate) async fn accept<C: Control>(self, gw: Arc<Shared<C>>) {
        let mut next_log = Instant::now();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = gw.draining() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    gw.stats.accepted.fetch_add(1, Ordering::Relaxed);
                    if let Some(client) = self.receive(stream, canonical(peer), &gw) {
                        tokio::spawn(run(client, gw.clone()));
                    }
                }
                Err(error) => {
                    if Instant::now() >= next_log {
                        next_log = Instant::now() + LOG_EVERY;
                        tracing::warn!(%error, "a connection could not be accepted");
                    }
                    // A client that left before it was accepted does not hold up the others.
                    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted) {
                        tokio::time::sleep(AFTER_ERROR).await;
                    }
                }
            }
        }
    }
}

impl Port {
    /// A client, where there is room for it; else it is closed unread, before it can cost anything.
    fn receive<C: Control>(&self, stream: TcpStream, peer: SocketAddr, gw: &Shared<C>) -> Option<Client> {
        // What a front connects for is not known yet.
        let is_front = gw.is_front(peer.ip());
        let entrance = self.entrance(&stream)?;
        if !is_front && !gw.counts_as_entrance(entrance) {
            return None;
        }
        let seat = gw.seat()?;
        let guest = if is_front { None } else { gw.let_in(peer.ip())? };
        socket::prepare(&stream);
        let io = Buffered::new(stream, Vec::new());
        Some(Client { io, peer, entrance, since: Instant::now(), _seat: seat, guest })
    }

    /// Where a connection came in; `None` where it is over already, and has no address any more.
    fn entrance(&self, stream: &TcpStream) -> Option<Entrance> {
        match self.kind {
            Kind::Metered(proxy_type) => Some(Entrance::Metered(proxy_type)),
            Kind::Static => stream.local_addr().ok().map(|local| Entrance::Static(canonical(local))),
        }
    }
}

fn listen(socket: TcpSocket, address: SocketAddr) -> io::Result<TcpListener> {
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An IPv4 address that came through a socket for both families is the IPv4 one.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Serves one client, until the gateway stops at the latest.
async fn run<C: Control>(client: Client, gw: Arc<Shared<C>>) {
    let served = async {
        if let Some(client) = introduce(client, &gw).await {
            serve(client, gw.clone()).await;
        }
    };
    tokio::select! {
        () = served => {}
        () = gw.stopped() => {}
    }
}
