//! The handshake of SOCKS4 and SOCKS4a: one request, with the user id in it.
//!
//! A user id of the form `NAME…:PASSWORD` is a login, routing parameters included. One without a colon
//! is what many programs send unasked, the user of their machine: it counts as none, and the address
//! decides.

use std::io;

use tollgate_types::Refusal;
use tollgate_wire::socks4::{self, UserId};

use crate::client::connection::Client;
use crate::client::greet::Greeted;
use crate::client::refuse::refuse_socks;
use crate::client::server::Server;
use crate::client::socks::handshake::{SocksRequest, log_in, message, no_target};
use crate::client::socks::version::Version;
use crate::control::Control;
use crate::entry::{Caller, Proof, Refused, TurnedAway, identify};
use crate::socket::UNSPECIFIED;
use crate::stream::say;

/// Finds out who the client is and what it asks for.
///
/// # Errors
/// The connection failed.
pub(crate) async fn greet_version_4<C: Control>(
    client: &mut Client,
    server: &Server<C>,
) -> io::Result<Greeted> {
    let is_spoken = server.settings.socks4 && server.speaks_socks(client.entrance);
    let request = if is_spoken { message(client, socks4::request).await? } else { None };
    let Some(Ok(request)) = request else {
        say(&client.io.stream, &socks4::reply(false, UNSPECIFIED)).await?;
        return Ok(Greeted::Closed);
    };
    let refused = match (caller(client, request.user, server).await, request.target) {
        (Ok(caller), _) if !request.is_connect => {
            Refused::caller(&caller, Refusal::Unsupported, "of the commands of SOCKS4 only CONNECT is served")
        }
        (Ok(caller), Ok(target)) => {
            let request = SocksRequest { caller: Ok(caller), target, version: Version::Four };
            return Ok(Greeted::Socks(Box::new(request)));
        }
        (caller, Err(bad)) => no_target(caller, bad),
        (Err(no), Ok(_)) => no.into(),
    };
    refuse_socks(client, Version::Four, server, &refused).await;
    Ok(Greeted::Closed)
}

/// Identifies a client by what its user id is.
async fn caller<C: Control>(client: &Client, user: UserId, server: &Server<C>) -> Result<Caller, TurnedAway> {
    let proof = match user {
        UserId::Credentials(login) => return log_in(client, login, server).await,
        UserId::Unchecked => Proof::Address,
        UserId::Malformed => Proof::Malformed,
    };
    identify(&server.steps.logins, &proof, client.peer.ip(), client.entrance).await
}
