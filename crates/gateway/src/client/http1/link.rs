//! A caller's way to one target, kept between the requests of one client connection.

use std::time::Duration;

use tollgate_wire::http::{Limits, RequestHead};
use tollgate_wire::target::Target;

use crate::client::connection::Client;
use crate::client::established::Tunnel;
use crate::entry::Ticket;
use crate::exits::Upstream;
use crate::relay::{Exchange, Exchanged};
use crate::stream::{Buffered, Pending};

/// A caller's way to one target, kept between his requests.
pub(crate) struct Link {
    pub(crate) ticket: Ticket,
    pub(crate) target: Target,
    pub(crate) upstream: Upstream,
    /// Read from the upstream, not yet used.
    pub(crate) buf: Vec<u8>,
    /// Whether a request went over it before.
    used: bool,
}

impl Link {
    /// A new way.
    pub(crate) fn new(ticket: Ticket, target: Target, mut upstream: Upstream) -> Self {
        let buf = std::mem::take(&mut upstream.early);
        Self { ticket, target, upstream, buf, used: false }
    }

    /// Whether the origin still holds the connection open and has said nothing out of turn.
    pub(crate) fn is_fresh(&self) -> bool {
        self.buf.is_empty() && matches!(self.upstream.stream.peek(), Ok(Pending::Nothing))
    }

    /// Sends one request and relays its response. `may_stay` says, when the response comes, whether
    /// the client's connection may go on after it.
    pub(crate) async fn exchange(
        &mut self,
        client: &mut Buffered,
        head: &RequestHead,
        limits: &Limits,
        idle_timeout: Duration,
        may_stay: &(dyn Fn() -> bool + Sync),
    ) -> Exchanged {
        let reused = std::mem::replace(&mut self.used, true);
        let (upstream, unread) = (&self.upstream.stream, &mut self.buf);
        let exchange = Exchange { client, upstream, unread, head, limits, may_stay };
        exchange.run(&self.ticket.meter(idle_timeout), self.ticket.live.cut(), reused).await
    }

    /// After 101: from here on it is a tunnel.
    pub(crate) fn into_tunnel(self, client: Client) -> Box<Tunnel> {
        let Self { ticket, mut upstream, buf, .. } = self;
        upstream.early = buf;
        Box::new(Tunnel { client, ticket, upstream })
    }
}
