//! What refusals look like to clients, in the words of each protocol. Never after the first relayed
//! byte.

use tollgate_types::Refusal;
use tollgate_wire::http::{Framing, RequestHead, RequestTarget};
use tollgate_wire::refusal::{http_response, http_response_to_head};

use crate::client::connection::Client;
use crate::client::established::tell;
use crate::client::server::Server;
use crate::client::socks::Version;
use crate::control::Control;
use crate::entry::Refused;
use crate::relay::close_gently;

/// What becomes of a client's connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Request,
    Close,
    /// The connection breaks off: its end would say that the response was whole.
    Reset,
    Upgrade,
}

/// Refuses a request of SOCKS.
pub(crate) async fn refuse_socks<C: Control>(
    client: &Client,
    version: Version,
    server: &Server<C>,
    refused: &Refused,
) {
    server.steps.refusals.add(refused);
    if tell(client, &version.refused(refused.refusal), server).await.is_some() {
        close_gently(&client.io.stream).await;
    }
}

/// Refuses a request whose body, if any, has been begun.
pub(crate) async fn refuse_and_close<C: Control>(
    client: &Client,
    head: &RequestHead,
    server: &Server<C>,
    refused: &Refused,
) -> Next {
    write_refusal(client, Some(head), false, server, refused).await;
    Next::Close
}

/// Refuses a request of which only the head has been read. The connection stays usable where it is
/// certain what the next byte on it means.
pub(crate) async fn refuse_http<C: Control>(
    client: &Client,
    head: Option<&RequestHead>,
    server: &Server<C>,
    refused: &Refused,
) -> Next {
    let stays = head.is_some_and(|head| match head.form {
        // What a client sent ahead into a tunnel that it did not get is no request.
        RequestTarget::Authority(_) => head.keep_alive() && client.io.buf.is_empty(),
        _ => head.keep_alive() && head.framing() == Framing::None,
    });
    let stays = stays && refused.refusal != Refusal::TooManyAttempts;
    if write_refusal(client, head, stays, server, refused).await && stays {
        Next::Request
    } else {
        Next::Close
    }
}

async fn write_refusal<C: Control>(
    client: &Client,
    head: Option<&RequestHead>,
    stays: bool,
    server: &Server<C>,
    refused: &Refused,
) -> bool {
    server.steps.refusals.add(refused);
    let retry_after = retry_after(refused.refusal);
    let to_head = head.is_some_and(|head| head.method == "HEAD");
    let write = if to_head { http_response_to_head } else { http_response };
    let response = write(refused.refusal, &refused.detail, stays, retry_after);
    tell(client, &response, server).await.is_some()
}

/// Seconds after which trying again makes sense.
const fn retry_after(refusal: Refusal) -> Option<u32> {
    match refusal {
        Refusal::TooManyConnections | Refusal::TooManyAttempts => Some(1),
        Refusal::Unavailable | Refusal::NoExit => Some(5),
        _ => None,
    }
}
