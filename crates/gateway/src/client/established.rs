//! A tunnel whose client has been told that it stands, and telling clients things.

use tokio::time::timeout;

use crate::client::connection::Client;
use crate::client::server::Server;
use crate::control::Control;
use crate::entry::Ticket;
use crate::exits::Upstream;
use crate::serve::relay;
use crate::stream::say;

/// A tunnel that stands: its client has been told so.
pub(crate) struct Tunnel {
    pub(crate) client: Client,
    pub(crate) ticket: Ticket,
    pub(crate) upstream: Upstream,
}

impl Tunnel {
    /// Relays until it ends.
    pub(crate) async fn run<C: Control>(mut self: Box<Self>, server: &Server<C>) {
        let early_up = std::mem::take(&mut self.client.io.buf);
        let early_down = std::mem::take(&mut self.upstream.early);
        let Self { client, ticket, upstream } = &*self;
        relay(&server.steps, ticket, (&client.io.stream, early_up), (&upstream.stream, early_down)).await;
    }
}

/// Tells the client that it is through.
pub(crate) async fn establish<C: Control>(
    mut client: Client,
    ticket: Ticket,
    upstream: Upstream,
    granted: &[u8],
    server: &Server<C>,
) -> Option<Box<Tunnel>> {
    tell(&client, granted, server).await?;
    // What the head was read into is not needed any more, and a tunnel may rest for long.
    client.io.buf.shrink_to_fit();
    Some(Box::new(Tunnel { client, ticket, upstream }))
}

/// Says something to a client that may not listen: `None` where it does not take it in time.
pub(crate) async fn tell<C: Control>(client: &Client, bytes: &[u8], server: &Server<C>) -> Option<()> {
    let patience = server.limits.now().handshake_timeout;
    timeout(patience, say(&client.io.stream, bytes)).await.ok()?.ok()
}
