//! The handshake of a client that speaks TLS.

use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};

use crate::client::connection::Client;
use crate::client::server::Server;
use crate::control::Control;
use crate::stream::{Buffered, Stream, TlsSide};

/// Does the handshake with a client whose first byte has announced it, until the deadline at the
/// latest. `None` where that comes to nothing: there is no certificate, the connection failed, or
/// the client speaks no TLS that goes here; it has been told so, if it can be.
pub(crate) async fn secure<C: Control>(
    client: Client,
    deadline: Instant,
    server: &Server<C>,
) -> Option<Client> {
    let config = server.certificates.as_ref()?.current();
    let Buffered { stream, buf } = client.io;
    // No TLS within TLS.
    let Stream::Plain(socket) = stream else { return None };
    let side = TlsSide::new(socket, buf, config).ok()?;
    match timeout_at(deadline, side.handshake()).await {
        Ok(Ok(())) => {
            server.stats.tls_handshakes.fetch_add(1, Ordering::Relaxed);
            let io = Buffered::new(Stream::Tls(Box::new(side)), Vec::new());
            Some(Client { io, ..client })
        }
        failed => {
            server.stats.tls_failures.fetch_add(1, Ordering::Relaxed);
            side.never_began();
            if let Ok(Err(error)) = failed {
                tracing::debug!(%error, "a TLS handshake failed");
                side.part_after_alert().await;
            }
            None
        }
    }
}
