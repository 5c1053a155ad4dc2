//! The handshake of SOCKS5 (RFC 1928, RFC 1929): methods, credentials, request.
//!
//! A client that offers a password is asked for it, listed or not (credentials win); one that offers
//! none, or shows an empty one, is let in if its address is listed. Where SOCKS5 is not spoken, no
//! method is chosen. Who is certain to be a customer gets through the handshake, and is told by the
//! reply to the request why it is refused.

use std::io;

use tollgate_types::Refusal;
use tollgate_wire::Parsed;
use tollgate_wire::basic::Credentials;
use tollgate_wire::socks5::{self, Command, Method, Rep};
use tollgate_wire::target::{BadTarget, Target};

use crate::client::connection::Client;
use crate::client::greet::Greeted;
use crate::client::refuse::refuse_socks;
use crate::client::server::Server;
use crate::client::socks::version::Version;
use crate::control::Control;
use crate::entry::{Caller, Proof, Refused, TurnedAway, identify};
use crate::socket::UNSPECIFIED;
use crate::stream::{fill, say};

/// More than the longest message of a handshake (776 bytes, a request of SOCKS4a), and little enough that
/// it is nobody's buffer.
const SOCKS_MESSAGE_BYTES: usize = 1024;

/// A CONNECT of SOCKS, not yet answered.
pub(crate) struct SocksRequest {
    /// Who asks, or why he is to be refused with the reply.
    pub(crate) caller: Result<Caller, TurnedAway>,
    /// Where to.
    pub(crate) target: Target,
    /// In which words it is answered.
    pub(crate) version: Version,
}

/// A SOCKS5 UDP ASSOCIATE, not yet answered.
pub(crate) struct AssociateRequest {
    /// Who asks, or why he is to be refused with the reply.
    pub(crate) caller: Result<Caller, TurnedAway>,
}

/// Finds out who the client is and what it asks for.
///
/// # Errors
/// The connection failed.
pub(crate) async fn greet<C: Control>(client: &mut Client, server: &Server<C>) -> io::Result<Greeted> {
    let Some(Ok(offered)) = message(client, socks5::greeting).await? else { return Ok(Greeted::Closed) };
    if !server.speaks_socks(client.entrance) {
        say(&client.io.stream, &socks5::method_reply(Method::None)).await?;
        return Ok(Greeted::Closed);
    }
    let caller = if offered.user_pass {
        say(&client.io.stream, &socks5::method_reply(Method::UserPass)).await?;
        let Some(Ok(login)) = message(client, socks5::credentials).await? else {
            say(&client.io.stream, &socks5::auth_reply(false)).await?;
            return Ok(Greeted::Closed);
        };
        let caller = log_in(client, login, server).await;
        let known = is_known(&caller);
        say(&client.io.stream, &socks5::auth_reply(known)).await?;
        if !known {
            return Ok(Greeted::Closed);
        }
        caller
    } else {
        let caller = identify(&server.steps.logins, &Proof::Address, client.peer.ip(), client.entrance).await;
        let method = if offered.no_auth && is_known(&caller) { Method::NoAuth } else { Method::None };
        say(&client.io.stream, &socks5::method_reply(method)).await?;
        if method == Method::None {
            return Ok(Greeted::Closed);
        }
        caller
    };
    request(client, caller, server).await
}

/// Identifies a client by its user name and password. Programs that always offer a password, and have
/// none, send an empty one, which no account has: from a listed address it counts as none.
pub(super) async fn log_in<C: Control>(
    client: &Client,
    login: Credentials,
    server: &Server<C>,
) -> Result<Caller, TurnedAway> {
    let (logins, peer) = (&server.steps.logins, client.peer.ip());
    if login.password.is_empty() {
        let caller = identify(logins, &Proof::Address, peer, client.entrance).await;
        if is_known(&caller) {
            return caller;
        }
    }
    let proof = Proof::Credentials { user: login.user, password: login.password };
    identify(logins, &proof, peer, client.entrance).await
}

/// Whether it is certain who the client is, even where its request will be refused.
fn is_known(caller: &Result<Caller, TurnedAway>) -> bool {
    caller.as_ref().map_or_else(TurnedAway::is_known, |_| true)
}

async fn request<C: Control>(
    client: &mut Client,
    caller: Result<Caller, TurnedAway>,
    server: &Server<C>,
) -> io::Result<Greeted> {
    let rep = match message(client, socks5::request).await? {
        None => return Ok(Greeted::Closed),
        Some(Ok(request)) => match (request.command, request.target) {
            (Command::Connect, Ok(target)) => {
                return Ok(Greeted::Socks(Box::new(SocksRequest { caller, target, version: Version::Five })));
            }
            (Command::Connect, Err(bad)) => {
                refuse_socks(client, Version::Five, server, &no_target(caller, bad)).await;
                return Ok(Greeted::Closed);
            }
            // What it names is not where its datagrams will be seen to come from: NAT changes the port,
            // and some clients name the destination.
            (Command::UdpAssociate, _) => {
                return Ok(Greeted::Associate(Box::new(AssociateRequest { caller })));
            }
            (Command::Bind | Command::Other(_), _) => Rep::CommandNotSupported,
        },
        Some(Err(error)) => error.rep(),
    };
    say(&client.io.stream, &socks5::reply(rep, UNSPECIFIED)).await?;
    Ok(Greeted::Closed)
}

/// Refuses a request whose target is none; its caller is told of it among the refusals.
pub(super) fn no_target(caller: Result<Caller, TurnedAway>, bad: BadTarget) -> Refused {
    match caller {
        Ok(caller) => Refused::caller(&caller, Refusal::BadRequest, bad.to_string()),
        Err(no) => no.into(),
    }
}

/// The next complete message; `None` where the stream ended before it.
pub(super) async fn message<T, E>(
    client: &mut Client,
    parse: impl Fn(&[u8]) -> Result<Parsed<T>, E>,
) -> io::Result<Option<Result<T, E>>> {
    loop {
        match parse(&client.io.buf) {
            Ok(Parsed::Done(value, consumed)) => {
                client.io.buf.drain(..consumed.min(client.io.buf.len()));
                return Ok(Some(Ok(value)));
            }
            Ok(Parsed::Need) if client.io.buf.len() >= SOCKS_MESSAGE_BYTES => return Ok(None),
            Ok(Parsed::Need) => {}
            Err(error) => return Ok(Some(Err(error))),
        }
        if fill(&client.io.stream, &mut client.io.buf).await? == 0 {
            return Ok(None);
        }
    }
}
