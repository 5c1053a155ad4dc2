//! The first byte of a connection: which protocol it speaks, and for SOCKS everything up to its
//! request. Bounded in bytes, and in time by one deadline for all of it.

use tokio::time::{Instant, timeout_at};
use tollgate_wire::sniff::{Protocol, sniff};

use crate::client::connection::Client;
use crate::client::server::Server;
use crate::client::socks::{self, AssociateRequest, SocksRequest};
use crate::control::Control;
use crate::stream::fill;

/// What a connection turned out to be.
pub(crate) enum Greeted {
    /// HTTP; its first request has not been read yet.
    Http,
    /// CONNECT of SOCKS5 or SOCKS4.
    Socks(Box<SocksRequest>),
    /// SOCKS5 UDP ASSOCIATE.
    Associate(Box<AssociateRequest>),
    /// TLS, under which it is to be found out anew.
    Tls,
    /// Over: nothing (more) is to be said.
    Closed,
}

/// Finds out what the client wants, and for SOCKS who it is.
pub(crate) async fn greet<C: Control>(client: &mut Client, deadline: Instant, server: &Server<C>) -> Greeted {
    let greeting = async {
        let protocol = loop {
            match client.io.buf.first().copied() {
                Some(first) => break sniff(first),
                None if fill(&client.io.stream, &mut client.io.buf).await? == 0 => {
                    return Ok(Greeted::Closed);
                }
                None => {}
            }
        };
        match protocol {
            Protocol::Http => Ok(Greeted::Http),
            Protocol::Socks5 => socks::greet(client, server).await,
            Protocol::Socks4 => socks::greet_version_4(client, server).await,
            Protocol::Tls => Ok(Greeted::Tls),
            Protocol::Unknown => Ok(Greeted::Closed),
        }
    };
    match timeout_at(deadline, greeting).await {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(_)) | Err(_) => Greeted::Closed,
    }
}
