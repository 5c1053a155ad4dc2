//! One client connection from its first byte to its last, or to the tunnel that it has led to.

use std::sync::Arc;

use crate::client::connection::Client;
use crate::client::established::Tunnel;
use crate::client::greet::{Greeted, greet};
use crate::client::http2::Spoken;
use crate::client::server::Server;
use crate::client::{http1, http2, socks, tls};
use crate::control::Control;

/// Serves a client until it or we have had enough, or until there is a tunnel to be relayed.
pub(crate) async fn converse<C: Control>(mut client: Client, server: &Arc<Server<C>>) -> Option<Box<Tunnel>> {
    let deadline = client.since + server.limits.now().handshake_timeout;
    let mut greeted = greet(&mut client, deadline, server).await;
    if matches!(greeted, Greeted::Tls) {
        client = Box::pin(tls::secure(client, deadline, server)).await?;
        client = match http2::spoken(client, deadline).await? {
            Spoken::Other(client) => client,
            Spoken::Http2(wanted) => {
                Box::pin(wanted.serve(deadline, server)).await;
                return None;
            }
        };
        greeted = greet(&mut client, deadline, server).await;
    }
    if matches!(greeted, Greeted::Socks(_) | Greeted::Associate(_)) {
        client.brings_request();
    }
    match greeted {
        Greeted::Http => http1::http(client, deadline, server).await,
        Greeted::Socks(request) => socks::connect(client, *request, server).await,
        Greeted::Associate(request) => {
            // Apart, so that others do not carry the room that it needs.
            Box::pin(socks::associate(client, *request, server)).await;
            None
        }
        Greeted::Tls | Greeted::Closed => None,
    }
}
