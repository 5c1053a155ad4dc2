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
        let mut draining = std::pin::pin!(gw.draining());
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut draining => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    gw.stats.accepted.fetch_add(1, Ordering::Relaxed);
                    let Some(entrance) = self.entrance(&stream, &gw) else { continue };
                    // Too many already: closed unread, before it can cost anything.
                    let Ok(permit) = gw.open.clone().try_acquire_owned() else {
                        gw.stats.turned_away.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    let io = Buffered::new(stream.into(), Vec::new());
                    let client = Client { io, peer: canonical(peer), entrance, _permit: permit };
                    tokio::spawn(run(client, gw.clone()));
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
    /// Where a connection came in; `None` where that is nobody's address, and the connection is
    /// closed unread, before it can cost anything.
    fn entrance<C: Control>(&self, stream: &TcpStream, gw: &Shared<C>) -> Option<Entrance> {
        match self.kind {
            Kind::Metered(proxy_type) => Some(Entrance::Metered(proxy_type)),
            Kind::Static => {
                // Without an address it is over already.
                let local = canonical(stream.local_addr().ok()?);
                let is_proxy = gw.directory().static_at(local).is_some();
                let counter = if is_proxy { &gw.stats.static_accepted } else { &gw.stats.static_strays };
                counter.fetch_add(1, Ordering::Relaxed);
                is_proxy.then_some(Entrance::Static(local))
            }
        }
    }
}

fn listen(socket: TcpSocket, address: SocketAddr) -> io::Result<TcpListener> {
    socket.set_reuseaddr(true)?;
    // Accepted connections have what their listener has, without a further call for each.
    socket::send_at_once(&socket);
    socket::notice_silence(&socket);
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An IPv4 address that came through a socket for both families is the IPv4 one.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Serves one client.
async fn run<C: Control>(client: Client, gw: Arc<Shared<C>>) {
    // What it takes to get there is much more than a tunnel needs, which may rest for long: that has
    // a place of its own, which is given back when the tunnel stands.
    if let Some(tunnel) = Box::pin(serve(client, gw.clone())).await {
        tunnel.run(&gw).await;
    }
}
