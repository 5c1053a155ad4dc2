//! Listening: one accept loop per port. Being out of file descriptors slows it down; nothing ends
//! it but the gateway's end, or that its port is not needed any more.
//!
//! A socket that closes resets who waits in its queue. So a port that ends takes those in first,
//! unless its socket was inherited: then it stays open elsewhere, and they are served from there.

use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tollgate_types::ProxyType;

use crate::client::Client;
use crate::entry::Entrance;
use crate::listen::intake::Intake;
use crate::socket;
use crate::stream::Buffered;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// The rest after a failed accept, so that it does not spin where descriptors have run out.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// How often failed accepts are logged at most.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What is done with each connection that is taken in.
pub(crate) trait Serve: Clone + Send + Sync + 'static {
    /// Serves a client to its end.
    fn serve(&self, client: Client) -> impl Future<Output = ()> + Send + 'static;
}

impl<S, F> Serve for S
where
    S: Fn(Client) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn serve(&self, client: Client) -> impl Future<Output = ()> + Send + 'static {
        self(client)
    }
}

/// One port.
#[derive(Debug)]
pub(crate) struct Port {
    listener: TcpListener,
    kind: Kind,
    /// Whether somebody else has the socket, too, and keeps it when this port ends.
    is_inherited: bool,
    /// Connections taken in since the gateway drains.
    late: u32,
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
        Ok(Self::new(listen(socket, address)?, Kind::Metered(proxy_type)))
    }

    /// Takes a socket that listens already.
    ///
    /// # Errors
    /// The system would not.
    pub(crate) fn inherit(socket: net::TcpListener, proxy_type: Option<ProxyType>) -> io::Result<Self> {
        Ok(Self { is_inherited: true, ..Self::new(adopt(socket)?, Kind::Metered(proxy_type)) })
    }

    /// Takes a socket for static proxies that listens already, on every address of the machine.
    ///
    /// # Errors
    /// The system would not.
    pub(crate) fn inherit_everywhere(socket: net::TcpListener) -> io::Result<Self> {
        Ok(Self { is_inherited: true, ..Self::new(adopt(socket)?, Kind::Static) })
    }

    fn new(listener: TcpListener, kind: Kind) -> Self {
        Self { listener, kind, is_inherited: false, late: 0 }
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
        Ok(Self::new(listener, Kind::Static))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until the gateway drains, or this is dropped; the port closes with that. Each connection
    /// that is taken in is given to `serve`, and runs apart.
    pub(crate) fn accept<S: Serve>(self, intake: Arc<Intake>, serve: S) -> impl Future<Output = ()> + Send {
        // From now on, not from when it first runs: a drain waits for it.
        let accepting = intake.accepting.subscribe();
        async move {
            self.accept_all(intake, serve).await;
            drop(accepting);
        }
    }

    async fn accept_all(mut self, intake: Arc<Intake>, serve: impl Serve) {
        let mut next_log = Instant::now();
        let mut draining = std::pin::pin!(intake.lifecycle.draining());
        let mut is_draining = false;
        loop {
            let accepted = if is_draining {
                let Some(waiting) = self.queued() else { return };
                Ok(waiting)
            } else {
                tokio::select! {
                    accepted = self.listener.accept() => accepted,
                    () = &mut draining => {
                        is_draining = true;
                        continue;
                    }
                }
            };
            match accepted {
                Ok((stream, peer)) => {
                    intake.stats.accepted.fetch_add(1, Ordering::Relaxed);
                    if let Some(client) = self.receive(stream, canonical(peer), &intake) {
                        tokio::spawn(serve.serve(client));
                    }
                }
                Err(error) => {
                    if Instant::now() >= next_log {
                        next_log = Instant::now() + LOG_EVERY;
                        tracing::warn!(%error, "a connection could not be accepted");
                    }
                    self.turn_away(&error, &intake);
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
    /// A connection that waits already, asked of the system itself: the runtime may not know of it
    /// yet. No more of them than fit into the queue, for there may be no end of those who come.
    fn queued(&mut self) -> Option<(TcpStream, SocketAddr)> {
        if self.is_inherited || self.late >= BACKLOG {
            return None;
        }
        self.late += 1;
        let (accepted, peer) = SockRef::from(&self.listener).accept().ok()?;
        accepted.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(accepted.into()).ok()?, peer.as_socket()?))
    }

    /// Closes those who wait where there are no descriptors for them. At an inherited socket they
    /// are left to others, who may have some.
    fn turn_away(&self, error: &io::Error, intake: &Intake) {
        if socket::is_exhaustion(error) && !self.is_inherited {
            let closed = intake.spare.turn_away(&self.listener);
            intake.stats.accepted.fetch_add(closed as u64, Ordering::Relaxed);
            intake.stats.turned_away.fetch_add(closed as u64, Ordering::Relaxed);
        }
    }

    /// A client, where there is room for it; else it is closed unread, before it can cost anything.
    fn receive(&self, stream: TcpStream, peer: SocketAddr, intake: &Intake) -> Option<Client> {
        // What a front connects for is not known yet.
        let is_front = intake.is_front(peer.ip());
        let entrance = self.entrance(&stream)?;
        if !is_front && !intake.counts_as_entrance(entrance) {
            return None;
        }
        let slot = intake.slots.take()?;
        let counted = if is_front { None } else { intake.count(peer.ip())? };
        let io = Buffered::new(stream.into(), Vec::new());
        Some(Client { io, peer, entrance, since: Instant::now(), _slot: slot, counted, handshake: None })
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
    // Accepted connections have what their listener has, without a further call for each.
    socket::send_at_once(&socket);
    socket::notice_silence(&socket);
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Makes a socket that listens already like one of ours, its queue's length included.
fn adopt(socket: net::TcpListener) -> io::Result<TcpListener> {
    socket::send_at_once(&socket);
    socket::notice_silence(&socket);
    SockRef::from(&socket).listen(BACKLOG.cast_signed())?;
    TcpListener::from_std(socket)
}

/// An IPv4 address that came through a socket for both families is the IPv4 one.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
