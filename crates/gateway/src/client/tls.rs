//! The handshake of a client that speaks TLS.

use std::io;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};

use crate::client::certs::Offers;
use crate::client::connection::Client;
use crate::client::server::Server;
use crate::control::Control;
use crate::stream::{Buffered, Hello, Stream, TlsSide, part_after_alert};

/// Does the handshake with a client whose first byte has announced it, until the deadline at the
/// latest. `None` where that comes to nothing: there is no certificate, its address has done too many
/// that brought no request, the connection failed, or the client speaks no TLS that goes here; it has
/// been told so, if it can be.
pub(crate) async fn secure<C: Control>(
    client: Client,
    deadline: Instant,
    server: &Server<C>,
) -> Option<Client> {
    let offers = server.certificates.as_ref()?.current();
    let Buffered { stream, buf } = client.io;
    // No TLS within TLS.
    let Stream::Plain(socket) = stream else { return None };
    let handshake = server.handshakes.begin(client.peer.ip())?;
    let done = match timeout_at(deadline, Hello::read(socket, buf)).await {
        Ok(Ok(hello)) => answer(hello, &offers, deadline).await,
        Ok(Err((error, socket))) => {
            tracing::debug!(%error, "a TLS handshake failed");
            part_after_alert(&socket).await;
            None
        }
        Err(_) => None,
    };
    let counter = if done.is_some() { &server.stats.tls_handshakes } else { &server.stats.tls_failures };
    counter.fetch_add(1, Ordering::Relaxed);
    let io = Buffered::new(Stream::Tls(Box::new(done?)), Vec::new());
    Some(Client { io, handshake: Some(Box::new(handshake)), ..client })
}

/// Goes on with the handshake of a client that has said hello.
async fn answer(hello: Hello, offers: &Offers, deadline: Instant) -> Option<TlsSide> {
    let config = offers.to(&hello.said());
    let failed = |error: io::Error| tracing::debug!(%error, "a TLS handshake failed");
    let side = match hello.go_on(config) {
        Ok(side) => side,
        Err((error, socket)) => {
            failed(error);
            part_after_alert(&socket).await;
            return None;
        }
    };
    match timeout_at(deadline, side.handshake()).await {
        Ok(Ok(())) => return Some(side),
        Ok(Err(error)) => {
            side.never_began();
            failed(error);
            side.part_after_alert().await;
        }
        Err(_) => side.never_began(),
    }
    None
}
