//! HTTP/1 with clients: the requests of a connection, one after the other, each answered, forwarded,
//! or turned into a tunnel; and the answers to the requests that come by HTTP/2.

mod link;

use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};
use tollgate_types::Refusal;
use tollgate_wire::Parsed;
use tollgate_wire::http::{self, Framing, HeadError, Limits, ProxyAuthorization, RequestHead, RequestTarget};
use tollgate_wire::target::Target;

use crate::client::connection::Client;
use crate::client::established::{Tunnel, establish, tell};
use crate::client::http1::link::Link;
use crate::client::refuse::{Next, refuse_and_close, refuse_http};
use crate::client::server::Server;
use crate::control::Control;
use crate::entry::{Caller, Proof, Refused, TurnedAway, identify};
use crate::relay::{Exchanged, break_off, close_gently};
use crate::serve::reach;
use crate::stream::fill;

/// What answers a granted CONNECT: no body, no framing, for what follows is the tunnel.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// The requests of an HTTP connection, one after the other.
pub(crate) async fn http<C: Control>(
    mut client: Client,
    first_deadline: Instant,
    server: &Server<C>,
) -> Option<Box<Tunnel>> {
    let limits = server.limits.of_heads();
    let mut deadline = Some(first_deadline);
    let mut link = None;
    while let Some(head) = next_request(&mut client, deadline.take(), &limits, &mut link, server).await {
        match answer(client, &head, &mut link, &limits, server).await {
            Answered::Request(back) => client = back,
            Answered::Over(tunnel) => return tunnel,
        }
    }
    None
}

/// The request of an HTTP/2 stream, which is all that there is on it.
pub(crate) async fn http2_request<C: Control>(
    client: Client,
    head: Result<RequestHead, HeadError>,
    server: &Server<C>,
) -> Option<Box<Tunnel>> {
    match head {
        Ok(head) => match answer(client, &head, &mut None, &server.limits.of_heads(), server).await {
            Answered::Request(_) => None,
            Answered::Over(tunnel) => tunnel,
        },
        Err(error) => {
            refuse_http(&client, None, server, &bad_head(&error)).await;
            close_gently(&client.io.stream).await;
            None
        }
    }
}

/// What a request came to.
enum Answered {
    /// The client may ask for more.
    Request(Client),
    /// There is nothing more to be asked on its connection, but there may be a tunnel.
    Over(Option<Box<Tunnel>>),
}

/// Answers one request.
async fn answer<C: Control>(
    mut client: Client,
    head: &RequestHead,
    link: &mut Option<Link>,
    limits: &Limits,
    server: &Server<C>,
) -> Answered {
    let next = match &head.form {
        _ if !server.speaks_http(client.entrance) => {
            let no = Refused::anybody(Refusal::Unsupported, "this static proxy speaks SOCKS5 only");
            refuse_and_close(&client, head, server, &no).await
        }
        RequestTarget::Authority(target) => {
            *link = None;
            match connect(client, head, target, server).await {
                Connected::Tunnel(tunnel) => return Answered::Over(tunnel),
                Connected::Refused(back, next) => {
                    client = back;
                    next
                }
            }
        }
        RequestTarget::Absolute { target, .. } => {
            forward(&mut client, head, target.clone(), link, limits, server).await
        }
        RequestTarget::Asterisk => answer_here(&client, head, server).await,
        RequestTarget::Origin => {
            let no = Refused::anybody(Refusal::BadRequest, "a proxy needs the whole URL in the request line");
            refuse_http(&client, Some(head), server, &no).await
        }
    };
    match next {
        Next::Request => Answered::Request(client),
        Next::Close => {
            close_gently(&client.io.stream).await;
            Answered::Over(None)
        }
        // Without the end of the stream that a gentle close would send first.
        Next::Reset => Answered::Over(None),
        Next::Upgrade => Answered::Over(link.take().map(|link| link.into_tunnel(client))),
    }
}

/// What a CONNECT came to.
enum Connected {
    /// It stands; `None` where the client has gone meanwhile.
    Tunnel(Option<Box<Tunnel>>),
    Refused(Client, Next),
}

/// The next request's head; `None` where there is none, or where it was refused.
async fn next_request<C: Control>(
    client: &mut Client,
    deadline: Option<Instant>,
    limits: &Limits,
    link: &mut Option<Link>,
    server: &Server<C>,
) -> Option<RequestHead> {
    if client.io.buf.is_empty() && deadline.is_none() {
        wait_for_more(client, link, server).await?;
    }
    let deadline = deadline.unwrap_or_else(|| Instant::now() + server.limits.now().handshake_timeout);
    let refusal = loop {
        match http::request_head(&client.io.buf, limits) {
            Ok(Parsed::Done(head, consumed)) => {
                client.io.buf.drain(..consumed.min(client.io.buf.len()));
                client.brings_request();
                return Some(head);
            }
            Ok(Parsed::Need) => match timeout_at(deadline, fill(&client.io.stream, &mut client.io.buf)).await
            {
                Ok(Ok(1..)) => {}
                // Slow, silent or gone: there is nobody to talk to.
                Ok(Ok(0) | Err(_)) | Err(_) => return None,
            },
            Err(error) => break bad_head(&error),
        }
    };
    if refuse_http(client, None, server, &refusal).await == Next::Close {
        close_gently(&client.io.stream).await;
    }
    None
}

/// Waits for a further request's first byte. A kept way to an origin is given up when its caller
/// loses the right to it.
async fn wait_for_more<C: Control>(
    client: &mut Client,
    link: &mut Option<Link>,
    server: &Server<C>,
) -> Option<()> {
    let give_up = Instant::now() + server.limits.now().keep_alive_timeout;
    loop {
        let lost = async {
            match link.as_ref() {
                Some(link) => link.ticket.live.cut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // A request that has come is answered, also where the gateway drains.
            biased;
            filled = timeout_at(give_up, fill(&client.io.stream, &mut client.io.buf)) => {
                return matches!(filled, Ok(Ok(1..))).then_some(());
            }
            () = server.lifecycle.draining() => return None,
            () = lost => *link = None,
        }
    }
}

/// CONNECT. Gives the client back where it was refused.
async fn connect<C: Control>(
    client: Client,
    head: &RequestHead,
    target: &Target,
    server: &Server<C>,
) -> Connected {
    let refused = match who_asks(&client, head, server).await {
        Err(no) => no.into(),
        Ok(caller) => match reach(&server.steps, client.peer, caller, target, "connect").await {
            Ok((ticket, upstream)) => {
                server.stats.connect_tunnels.fetch_add(1, Ordering::Relaxed);
                return Connected::Tunnel(establish(client, ticket, upstream, ESTABLISHED, server).await);
            }
            Err(refused) => refused,
        },
    };
    let next = refuse_http(&client, Some(head), server, &refused).await;
    Connected::Refused(client, next)
}

/// One absolute-form request: identified by its own credentials, over the kept way where that is
/// this caller's to this target, else over a new one.
async fn forward<C: Control>(
    client: &mut Client,
    head: &RequestHead,
    target: Target,
    link: &mut Option<Link>,
    limits: &Limits,
    server: &Server<C>,
) -> Next {
    let caller = match who_asks(client, head, server).await {
        Ok(caller) => caller,
        Err(no) => return refuse_http(client, Some(head), server, &no.into()).await,
    };
    if head.max_forwards() == Some(0) {
        return answer_here(client, head, server).await;
    }
    let kept =
        link.take().filter(|kept| kept.target == target && kept.ticket.caller == caller && kept.is_fresh());
    let mut way = match kept {
        Some(kept) => kept,
        None => match reach(&server.steps, client.peer, caller.clone(), &target, "http").await {
            Ok((ticket, upstream)) => Link::new(ticket, target.clone(), upstream),
            Err(refused) => return refuse_http(client, Some(head), server, &refused).await,
        },
    };
    server.stats.forwarded_requests.fetch_add(1, Ordering::Relaxed);
    let mut exchanged = exchange(&mut way, client, head, limits, server).await;
    if matches!(exchanged, Exchanged::Stale) {
        drop(way);
        way = match reach(&server.steps, client.peer, caller.clone(), &target, "http").await {
            Ok((ticket, upstream)) => Link::new(ticket, target, upstream),
            Err(refused) => return refuse_http(client, Some(head), server, &refused).await,
        };
        exchanged = exchange(&mut way, client, head, limits, server).await;
    }
    match exchanged {
        Exchanged::Whole { client_stays, upstream_stays } => {
            *link = upstream_stays.then_some(way);
            if client_stays { Next::Request } else { Next::Close }
        }
        Exchanged::Upgraded => {
            *link = Some(way);
            Next::Upgrade
        }
        Exchanged::Refuse(refusal, detail) => {
            let refused = Refused::caller(&caller, refusal, detail);
            refuse_and_close(client, head, server, &refused).await
        }
        Exchanged::Broken { reset } => {
            if !reset {
                return Next::Close;
            }
            break_off(&client.io.stream).await;
            Next::Reset
        }
        Exchanged::Stale => {
            let refused = Refused::caller(&caller, Refusal::BadGateway, "the target closed the connection");
            refuse_and_close(client, head, server, &refused).await
        }
    }
}

/// `OPTIONS *`, and requests that were to come no further than here.
async fn answer_here<C: Control>(client: &Client, head: &RequestHead, server: &Server<C>) -> Next {
    let stays = head.keep_alive() && head.framing() == Framing::None;
    match head.answer_here(stays) {
        Some(answer) if tell(client, &answer, server).await.is_some() && stays => Next::Request,
        _ => Next::Close,
    }
}

async fn exchange<C: Control>(
    way: &mut Link,
    client: &mut Client,
    head: &RequestHead,
    limits: &Limits,
    server: &Server<C>,
) -> Exchanged {
    let idle_timeout = server.limits.now().idle_timeout;
    let may_stay = || !server.lifecycle.is_draining();
    way.exchange(&mut client.io, head, limits, idle_timeout, &may_stay).await
}

/// Identifies who sent a request.
async fn who_asks<C: Control>(
    client: &Client,
    head: &RequestHead,
    server: &Server<C>,
) -> Result<Caller, TurnedAway> {
    identify(&server.steps.logins, &proof(head), client.peer.ip(), client.entrance).await
}

fn proof(head: &RequestHead) -> Proof {
    match head.proxy_credentials() {
        ProxyAuthorization::Absent => Proof::Address,
        ProxyAuthorization::Malformed => Proof::Malformed,
        ProxyAuthorization::Given(login) => Proof::Credentials { user: login.user, password: login.password },
    }
}

fn bad_head(error: &HeadError) -> Refused {
    Refused::anybody(error.refusal(), error.to_string())
}
