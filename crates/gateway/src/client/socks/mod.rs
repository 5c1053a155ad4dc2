//! SOCKS5 with clients: its handshake, CONNECT and UDP ASSOCIATE.

mod associate;
mod handshake;

use std::sync::atomic::Ordering;

use tollgate_wire::socks5::{self, Rep};
use tollgate_wire::target::Target;

use crate::client::connection::Client;
use crate::client::established::{Tunnel, establish};
use crate::client::refuse::refuse_socks;
use crate::client::server::Server;
use crate::control::Control;
use crate::entry::Caller;
use crate::serve::reach;

pub(crate) use associate::associate;
pub(crate) use handshake::{AssociateRequest, SocksRequest, greet};

/// Connects to the target, and tells the client.
pub(crate) async fn connect<C: Control>(
    client: Client,
    caller: Caller,
    target: Target,
    server: &Server<C>,
) -> Option<Box<Tunnel>> {
    match reach(&server.steps, client.peer, caller, &target, "socks5").await {
        Ok((ticket, upstream)) => {
            server.stats.socks5_tunnels.fetch_add(1, Ordering::Relaxed);
            let granted = socks5::reply(Rep::Succeeded, upstream.bound());
            establish(client, ticket, upstream, &granted, server).await
        }
        Err(refused) => {
            refuse_socks(&client, server, &refused).await;
            None
        }
    }
}
