//! What a trusted front (a load balancer) says of whom it connects for: a PROXY header before the first
//! byte of the connection itself. From then on the connection counts as that client's: for the
//! whitelist, for failed logins and caps, and where operators see it.
//!
//! Whoever is no front is never believed: to everybody else such a header is a request that cannot be
//! understood.

use std::io;
use std::sync::atomic::Ordering;

use tokio::time::timeout_at;
use tollgate_wire::Parsed;
use tollgate_wire::proxy_protocol::{self, Ends};

use crate::client::Client;
use crate::entry::Entrance;
use crate::listen::intake::Intake;
use crate::stream::fill;

/// A client as who he is: at once, or, where a front connects for him, when it has said so. `None` where
/// the connection is to be closed.
pub(crate) async fn introduce(client: Client, intake: &Intake) -> Option<Client> {
    if intake.is_front(client.peer.ip()) { hear(client, intake).await } else { Some(client) }
}

async fn hear(mut client: Client, intake: &Intake) -> Option<Client> {
    let deadline = client.since + intake.limits.now().handshake_timeout;
    let heard = timeout_at(deadline, header(&mut client)).await.unwrap_or(Heard::Nonsense);
    let ends = match heard {
        Heard::Ends(ends) => ends,
        // A front that only looks whether somebody listens.
        Heard::Nothing => return None,
        Heard::Nonsense => {
            intake.stats.proxy_headers_refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
    };
    if let Entrance::Static(local) = client.entrance {
        let meant =
            ends.map(|ends| ends.destination).filter(|at| intake.directory.borrow().static_at(*at).is_some());
        client.entrance = Entrance::Static(meant.unwrap_or(local));
    }
    if !intake.counts_as_entrance(client.entrance) {
        return None;
    }
    // Where it is not said who connects, there is nobody to be counted.
    if let Some(ends) = ends {
        client.peer = ends.source;
        client.counted = intake.count(client.peer.ip())?;
    }
    Some(client)
}

/// What a front said.
enum Heard {
    /// A header, and whom it speaks for.
    Ends(Option<Ends>),
    /// Not a byte.
    Nothing,
    /// No header, or not all of it.
    Nonsense,
}

async fn header(client: &mut Client) -> Heard {
    let mut read: io::Result<usize> = Ok(1);
    loop {
        match proxy_protocol::header(&client.io.buf) {
            Ok(Parsed::Done(ends, consumed)) => {
                client.io.buf.drain(..consumed.min(client.io.buf.len()));
                return Heard::Ends(ends);
            }
            Ok(Parsed::Need) if matches!(read, Ok(1..)) => {}
            Ok(Parsed::Need) if client.io.buf.is_empty() => return Heard::Nothing,
            Ok(Parsed::Need) | Err(_) => return Heard::Nonsense,
        }
        read = fill(&client.io.stream, &mut client.io.buf).await;
    }
}
