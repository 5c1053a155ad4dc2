//! Listening: one accept loop per port. Being out of file descriptors slows it down; nothing ends
//! it but the gateway's end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use tollgate_types::ProxyType;

use crate::client::{Buffered, Client};
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
    proxy_type: Option<ProxyType>,
}

impl Port {
    /// Binds it.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(crate) fn bind(address: SocketAddr, proxy_type: Option<ProxyType>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { listener: socket.listen(BACKLOG)?, proxy_type })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until the gateway drains; the port closes with that.
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
                    // Too many already: closed unread, before it can cost anything.
                    let Ok(permit) = gw.open.clone().try_acquire_owned() else {
                        gw.stats.turned_away.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    socket::prepare(&stream);
                    let io = Buffered::new(stream, Vec::new());
                    let client = Client { io, peer, port_type: self.proxy_type, _permit: permit };
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

/// Serves one client, until the gateway stops at the latest.
async fn run<C: Control>(client: Client, gw: Arc<Shared<C>>) {
    tokio::select! {
        () = serve(client, gw.clone()) => {}
        () = gw.stopped() => {}
    }
}
