//! One client connection from its first byte to its last. Every step takes the last value and gives
//! the next; only here is a refusal turned into bytes, and never after the first relayed byte.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout, timeout_at};
use tollgate_types::Refusal;
use tollgate_wire::Parsed;
use tollgate_wire::http::{self, Framing, HeadError, Limits, ProxyAuthorization, RequestHead, RequestTarget};
use tollgate_wire::refusal::{http_response, http_response_to_head, socks_rep};
use tollgate_wire::socks5::{self, Rep};
use tollgate_wire::target::Target;

use crate::admit::Ticket;
use crate::buffered::{fill, say};
use crate::client::Client;
use crate::control::Control;
use crate::dial::Upstream;
use crate::forward::{Exchanged, Link};
use crate::funds::denial;
use crate::gateway::Shared;
use crate::greet::{Greeted, greet};
use crate::http2::Spoken;
use crate::identify::{Caller, Proof};
use crate::meter::Broke;
use crate::refuse::Refused;
use crate::socket::UNSPECIFIED;
use crate::tunnel::{self, Ended};
use crate::{http2, tls, udp};

/// What answers a granted CONNECT: no body, no framing, for what follows is the tunnel.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A tunnel that stands: its client has been told so.
pub(crate) struct Tunnel {
    client: Client,
    ticket: Ticket,
    upstream: Upstream,
}

/// Serves a client until it or we have had enough, or until there is a tunnel to be relayed.
pub(crate) async fn serve<C: Control>(mut client: Client, gw: Arc<Shared<C>>) -> Option<Box<Tunnel>> {
    let deadline = client.since + gw.limits().handshake_timeout;
    let mut greeted = greet(&mut client, deadline, &gw).await;
    if matches!(greeted, Greeted::Tls) {
        client = Box::pin(tls::secure(client, deadline, &gw)).await?;
        client = match http2::spoken(client) {
            Spoken::Other(client) => client,
            Spoken::Http2(wanted) => {
                Box::pin(wanted.serve(deadline, &gw)).await;
                return None;
            }
        };
        greeted = greet(&mut client, deadline, &gw).await;
    }
    match greeted {
        Greeted::Http => http(client, deadline, &gw).await,
        Greeted::Socks(request) => match request.caller {
            Ok(caller) => socks(client, caller, request.target, &gw).await,
            Err(no) => {
                refuse_socks(&client, &gw, &no.into()).await;
                None
            }
        },
        Greeted::Associate(request) => {
            // Apart, so that others do not carry the room that it needs.
            Box::pin(udp::serve(client, *request, &gw)).await;
            None
        }
        Greeted::Tls | Greeted::Closed => None,
    }
}

/// A SOCKS5 CONNECT, whose caller is known.
async fn socks<C: Control>(
    client: Client,
    caller: Caller,
    target: Target,
    gw: &Shared<C>,
) -> Option<Box<Tunnel>> {
    match reach(gw, &client, caller, &target, "socks5").await {
        Ok((ticket, upstream)) => {
            gw.stats.socks5_tunnels.fetch_add(1, Ordering::Relaxed);
            let granted = socks5::reply(Rep::Succeeded, upstream.bound());
            establish(client, ticket, upstream, &granted, gw).await
        }
        Err(refused) => {
            refuse_socks(&client, gw, &refused).await;
            None
        }
    }
}

pub(crate) async fn refuse_socks<C: Control>(client: &Client, gw: &Shared<C>, refused: &Refused) {
    gw.refused(refused);
    let reply = socks5::reply(socks_rep(refused.refusal), UNSPECIFIED);
    if tell(client, &reply, gw).await.is_some() {
        tunnel::close_gently(&client.io.stream).await;
    }
}

/// Admits the caller, and connects to his target.
async fn reach<C: Control>(
    gw: &Shared<C>,
    client: &Client,
    caller: Caller,
    target: &Target,
    protocol: &'static str,
) -> Result<(Ticket, Upstream), Refused> {
    let ticket = gw.admit(caller, client.peer, target, protocol).await?;
    let upstream = gw.connect(&ticket, target).await?;
    Ok((ticket, upstream))
}

/// Tells the client that it is through.
async fn establish<C: Control>(
    mut client: Client,
    ticket: Ticket,
    upstream: Upstream,
    granted: &[u8],
    gw: &Shared<C>,
) -> Option<Box<Tunnel>> {
    tell(&client, granted, gw).await?;
    // What the head was read into is not needed any more, and a tunnel may rest for long.
    client.io.buf.shrink_to_fit();
    Some(Box::new(Tunnel { client, ticket, upstream }))
}

/// Says something to a client that may not listen: `None` where it does not take it in time.
async fn tell<C: Control>(client: &Client, bytes: &[u8], gw: &Shared<C>) -> Option<()> {
    let patience = gw.limits().handshake_timeout;
    timeout(patience, say(&client.io.stream, bytes)).await.ok()?.ok()
}

impl Link {
    /// After 101: from here on it is a tunnel.
    fn into_tunnel(self, client: Client) -> Box<Tunnel> {
        let Self { ticket, mut upstream, buf, .. } = self;
        upstream.early = buf;
        Box::new(Tunnel { client, ticket, upstream })
    }
}

impl Tunnel {
    /// Relays until it ends.
    pub(crate) async fn run<C: Control>(mut self: Box<Self>, gw: &Shared<C>) {
        let early_up = std::mem::take(&mut self.client.io.buf);
        let early_down = std::mem::take(&mut self.upstream.early);
        let Self { client, ticket, upstream } = &*self;
        let meter = ticket.meter(gw.limits().idle_timeout);
        let cut = std::pin::pin!(ticket.live.cut());
        let ended =
            tunnel::relay(&client.io.stream, &upstream.stream, early_up, early_down, &meter, cut).await;
        tracing::trace!(?ended, "a tunnel ended");
        // One that was cut for want of funds is told to its owner like a refusal.
        if let Ended::Broke(Broke::Denied(denied)) = ended {
            gw.refused(&Refused::caller(&ticket.caller, denied.refusal(), denial(denied)));
        }
    }
}

/// The requests of an HTTP connection, one after the other.
async fn http<C: Control>(
    mut client: Client,
    first_deadline: Instant,
    gw: &Shared<C>,
) -> Option<Box<Tunnel>> {
    let limits = gw.head_limits();
    let mut deadline = Some(first_deadline);
    let mut link = None;
    while let Some(head) = next_request(&mut client, deadline.take(), &limits, &mut link, gw).await {
        match answer(client, &head, &mut link, &limits, gw).await {
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
    gw: &Shared<C>,
) -> Option<Box<Tunnel>> {
    match head {
        Ok(head) => match answer(client, &head, &mut None, &gw.head_limits(), gw).await {
            Answered::Request(_) => None,
            Answered::Over(tunnel) => tunnel,
        },
        Err(error) => {
            refuse_http(&client, None, gw, &bad_head(&error)).await;
            tunnel::close_gently(&client.io.stream).await;
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
    gw: &Shared<C>,
) -> Answered {
    let next = match &head.form {
        _ if !gw.speaks_http(client.entrance) => {
            let no = Refused::anybody(Refusal::Unsupported, "this static proxy speaks SOCKS5 only");
            refuse_and_close(&client, head, gw, &no).await
        }
        RequestTarget::Authority(target) => {
            *link = None;
            match connect(client, head, target, gw).await {
                Connected::Tunnel(tunnel) => return Answered::Over(tunnel),
                Connected::Refused(back, next) => {
                    client = back;
                    next
                }
            }
        }
        RequestTarget::Absolute { target, .. } => {
            forward(&mut client, head, target.clone(), link, limits, gw).await
        }
        RequestTarget::Asterisk => answer_here(&client, head, gw).await,
        RequestTarget::Origin => {
            let no = Refused::anybody(Refusal::BadRequest, "a proxy needs the whole URL in the request line");
            refuse_http(&client, Some(head), gw, &no).await
        }
    };
    match next {
        Next::Request => Answered::Request(client),
        Next::Close => {
            tunnel::close_gently(&client.io.stream).await;
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

/// What becomes of a client's connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Request,
    Close,
    /// The connection breaks off: its end would say that the response was whole.
    Reset,
    Upgrade,
}

/// The next request's head; `None` where there is none, or where it was refused.
async fn next_request<C: Control>(
    client: &mut Client,
    deadline: Option<Instant>,
    limits: &Limits,
    link: &mut Option<Link>,
    gw: &Shared<C>,
) -> Option<RequestHead> {
    if client.io.buf.is_empty() && deadline.is_none() {
        wait_for_more(client, link, gw).await?;
    }
    let deadline = deadline.unwrap_or_else(|| Instant::now() + gw.limits().handshake_timeout);
    let refusal = loop {
        match http::request_head(&client.io.buf, limits) {
            Ok(Parsed::Done(head, consumed)) => {
                client.io.buf.drain(..consumed.min(client.io.buf.len()));
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
    if refuse_http(client, None, gw, &refusal).await == Next::Close {
        tunnel::close_gently(&client.io.stream).await;
    }
    None
}

/// Waits for a further request's first byte. A kept way to an origin is given up when its caller
/// loses the right to it.
async fn wait_for_more<C: Control>(
    client: &mut Client,
    link: &mut Option<Link>,
    gw: &Shared<C>,
) -> Option<()> {
    let give_up = Instant::now() + gw.limits().keep_alive_timeout;
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
            () = gw.draining() => return None,
            () = lost => *link = None,
        }
    }
}

/// CONNECT. Gives the client back where it was refused.
async fn connect<C: Control>(
    client: Client,
    head: &RequestHead,
    target: &Target,
    gw: &Shared<C>,
) -> Connected {
    let refused = match gw.identify(&proof(head), client.peer.ip(), client.entrance).await {
        Err(no) => no.into(),
        Ok(caller) => match reach(gw, &client, caller, target, "connect").await {
            Ok((ticket, upstream)) => {
                gw.stats.connect_tunnels.fetch_add(1, Ordering::Relaxed);
                return Connected::Tunnel(establish(client, ticket, upstream, ESTABLISHED, gw).await);
            }
            Err(refused) => refused,
        },
    };
    let next = refuse_http(&client, Some(head), gw, &refused).await;
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
    gw: &Shared<C>,
) -> Next {
    let caller = match gw.identify(&proof(head), client.peer.ip(), client.entrance).await {
        Ok(caller) => caller,
        Err(no) => return refuse_http(client, Some(head), gw, &no.into()).await,
    };
    if head.max_forwards() == Some(0) {
        return answer_here(client, head, gw).await;
    }
    let kept =
        link.take().filter(|kept| kept.target == target && kept.ticket.caller == caller && kept.is_fresh());
    let mut way = match kept {
        Some(kept) => kept,
        None => match reach(gw, client, caller.clone(), &target, "http").await {
            Ok((ticket, upstream)) => Link::new(ticket, target.clone(), upstream),
            Err(refused) => return refuse_http(client, Some(head), gw, &refused).await,
        },
    };
    gw.stats.forwarded_requests.fetch_add(1, Ordering::Relaxed);
    let mut exchanged = exchange(&mut way, client, head, limits, gw).await;
    if matches!(exchanged, Exchanged::Stale) {
        drop(way);
        way = match reach(gw, client, caller.clone(), &target, "http").await {
            Ok((ticket, upstream)) => Link::new(ticket, target, upstream),
            Err(refused) => return refuse_http(client, Some(head), gw, &refused).await,
        };
        exchanged = exchange(&mut way, client, head, limits, gw).await;
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
            refuse_and_close(client, head, gw, &refused).await
        }
        Exchanged::Broken { reset } => {
            if !reset {
                return Next::Close;
            }
            client.io.stream.break_off();
            Next::Reset
        }
        Exchanged::Stale => {
            let refused = Refused::caller(&caller, Refusal::BadGateway, "the target closed the connection");
            refuse_and_close(client, head, gw, &refused).await
        }
    }
}

/// `OPTIONS *`, and requests that were to come no further than here.
async fn answer_here<C: Control>(client: &Client, head: &RequestHead, gw: &Shared<C>) -> Next {
    let stays = head.keep_alive() && head.framing() == Framing::None;
    match head.answer_here(stays) {
        Some(answer) if tell(client, &answer, gw).await.is_some() && stays => Next::Request,
        _ => Next::Close,
    }
}

async fn exchange<C: Control>(
    way: &mut Link,
    client: &mut Client,
    head: &RequestHead,
    limits: &Limits,
    gw: &Shared<C>,
) -> Exchanged {
    let idle_timeout = gw.limits().idle_timeout;
    let may_stay = || !gw.is_draining();
    way.exchange(&mut client.io, head, limits, idle_timeout, &may_stay).await
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

/// Refuses a request whose body, if any, has been begun.
async fn refuse_and_close<C: Control>(
    client: &Client,
    head: &RequestHead,
    gw: &Shared<C>,
    refused: &Refused,
) -> Next {
    write_refusal(client, Some(head), false, gw, refused).await;
    Next::Close
}

/// Refuses a request of which only the head has been read. The connection stays usable where it is
/// certain what the next byte on it means.
async fn refuse_http<C: Control>(
    client: &Client,
    head: Option<&RequestHead>,
    gw: &Shared<C>,
    refused: &Refused,
) -> Next {
    let stays = head.is_some_and(|head| match head.form {
        // What a client sent ahead into a tunnel that it did not get is no request.
        RequestTarget::Authority(_) => head.keep_alive() && client.io.buf.is_empty(),
        _ => head.keep_alive() && head.framing() == Framing::None,
    });
    let stays = stays && refused.refusal != Refusal::TooManyAttempts;
    if write_refusal(client, head, stays, gw, refused).await && stays { Next::Request } else { Next::Close }
}

async fn write_refusal<C: Control>(
    client: &Client,
    head: Option<&RequestHead>,
    stays: bool,
    gw: &Shared<C>,
    refused: &Refused,
) -> bool {
    gw.refused(refused);
    let retry_after = retry_after(refused.refusal);
    let to_head = head.is_some_and(|head| head.method == "HEAD");
    let write = if to_head { http_response_to_head } else { http_response };
    let response = write(refused.refusal, &refused.detail, stays, retry_after);
    tell(client, &response, gw).await.is_some()
}

/// Seconds after which trying again makes sense.
const fn retry_after(refusal: Refusal) -> Option<u32> {
    match refusal {
        Refusal::TooManyConnections | Refusal::TooManyAttempts => Some(1),
        Refusal::Unavailable | Refusal::NoExit => Some(5),
        _ => None,
    }
}
