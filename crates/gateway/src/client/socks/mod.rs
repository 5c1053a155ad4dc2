//! SOCKS with clients: the handshakes of versions 5 and 4, CONNECT and UDP ASSOCIATE.

mod associate;
mod handshake;
mod version;
mod version4;

use std::sync::atomic::Ordering;

use crate::client::connection::Client;
use crate::client::established::{Tunnel, establish};
use crate::client::refuse::refuse_socks;
use crate::client::server::Server;
use crate::control::Control;
use crate::serve::reach;

pub(crate) use associate::associate;
pub(crate) use handshake::{AssociateRequest, SocksRequest, greet};
pub(crate) use version::Version;
pub(crate) use version4::greet_version_4;

/// Connects to the target, and tells the client.
pub(crate) async fn connect<C: Control>(
    client: Client,
    request: SocksRequest,
    server: &Server<C>,
) -> Option<Box<Tunnel>> {
    let SocksRequest { caller, target, version } = request;
    let reached = match caller {
        Ok(caller) => reach(&server.steps, client.peer, caller, &target, version.protocol()).await,
        Err(no) => Err(no.into()),
    };
    match reached {
        Ok((ticket, upstream)) => {
            version.tunnels(&server.stats).fetch_add(1, Ordering::Relaxed);
            let granted = version.granted(upstream.bound());
            establish(client, ticket, upstream, &granted, server).await
        }
        Err(refused) => {
            refuse_socks(&client, version, server, &refused).await;
            None
        }
    }
}
