//! The relaying part of an association: one task moves datagrams both ways, each as a whole.
//!
//! A datagram is looked at in the buffer of the thread that it was received into and sent on from
//! there; only what has to wait, for a name or for funds, is copied.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use rustix::io::Errno;
use tokio::net::UdpSocket;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tollgate_types::AccountId;
use tollgate_wire::socks5::{
    DATAGRAM_HEADER_MAX, Datagram, Destination, SocksError, datagram_header, parse_datagram,
};
use tollgate_wire::target::{Host, Target};

use super::names::{Names, Verdict};
use super::outlet::{self, Family, Outlet};
use super::peers::Peers;
use crate::funds::Direction;
use crate::relay::meter::{Broke, Meter};
use crate::stats::{Dropped, Stats};

/// What a received datagram can have at most: more than any has.
const DATAGRAM_MAX: usize = 1 << 16;
/// Datagrams that one direction may move before the other, and other connections, get their turn.
const BATCH: usize = 16;

thread_local! {
    /// Room for a datagram, and before it for a header.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; DATAGRAM_HEADER_MAX + DATAGRAM_MAX]);
}

/// Where datagrams may go.
pub(crate) trait Destinations: Clone + Send + Sync + 'static {
    /// Checks an address that the client has written down.
    ///
    /// # Errors
    /// Why nothing is sent there.
    fn check(&self, target: &Target) -> Result<(), Dropped>;

    /// Finds an address of a target that datagrams of `account` may be sent to, in one of `families`,
    /// the first of them before the second.
    ///
    /// # Errors
    /// Why there is none.
    fn find(
        &self,
        target: &Target,
        account: AccountId,
        families: [Option<Family>; 2],
    ) -> impl Future<Output = Result<IpAddr, Dropped>> + Send;
}

/// An association that relays.
pub(crate) struct Association<'a, D> {
    destinations: &'a D,
    stats: &'a Stats,
    meter: &'a Meter<'a>,
    /// Where the client sends its datagrams to.
    relay: UdpSocket,
    outlet: Outlet,
    client: Client,
    peers: Peers,
    names: Names,
    asked: JoinSet<Resolved>,
    /// Which source of datagrams is looked at first.
    turn: usize,
}

/// Whom datagrams are taken from.
#[derive(Debug)]
struct Client {
    /// Whose it is.
    account: AccountId,
    /// The address that the TCP connection came from.
    ip: IpAddr,
    /// Where its first datagram came from: from then on nobody else is listened to.
    known: Option<SocketAddr>,
}

/// What became of a name.
struct Resolved {
    name: Box<[u8]>,
    ip: Result<IpAddr, Dropped>,
}

/// A datagram that waits for funds.
struct Held {
    bytes: Vec<u8>,
    /// How many of the bytes are payload: the last ones.
    payload: usize,
    /// The target; `None` where it goes to the client.
    to: Option<SocketAddr>,
}

/// Whether a datagram may be forgotten.
type Settled = Result<(), Held>;

/// What there is to do.
enum Ready {
    Client,
    Target(Family),
    Answered(Result<Resolved, JoinError>),
}

impl<'a, D: Destinations> Association<'a, D> {
    /// Returns an association of `account`, whose client sends from the address `ip`.
    pub(crate) fn new(
        destinations: &'a D,
        stats: &'a Stats,
        meter: &'a Meter<'a>,
        relay: UdpSocket,
        outlet: Outlet,
        (account, ip): (AccountId, IpAddr),
    ) -> Self {
        let client = Client { account, ip, known: None };
        let (peers, names, asked) = Default::default();
        Self { destinations, stats, meter, relay, outlet, client, peers, names, asked, turn: 0 }
    }

    /// Relays until there are no more funds. May be dropped at any time: what was not sent is not
    /// counted.
    pub(crate) async fn run(mut self) -> Broke {
        loop {
            let moved = match std::future::poll_fn(|cx| self.poll_ready(cx)).await {
                Ready::Client => self.hear_client(),
                Ready::Target(family) => self.hear_targets(family),
                Ready::Answered(answer) => {
                    if let Err(broke) = self.answered(answer).await {
                        return broke;
                    }
                    continue;
                }
            };
            match moved {
                Ok(BATCH..) => tokio::task::yield_now().await,
                Ok(_) => {}
                Err(held) => {
                    if let Err(broke) = self.wait_for_funds(held).await {
                        return broke;
                    }
                }
            }
        }
    }

    /// Whichever has something, each in its turn.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Ready> {
        if let Poll::Ready(Some(answer)) = self.asked.poll_join_next(cx) {
            return Poll::Ready(Ready::Answered(answer));
        }
        for step in 0..3 {
            let source = (self.turn + step) % 3;
            let (socket, ready) = match source {
                0 => (Some(&self.relay), Ready::Client),
                1 => (self.outlet.socket(Family::V4), Ready::Target(Family::V4)),
                _ => (self.outlet.socket(Family::V6), Ready::Target(Family::V6)),
            };
            if socket.is_some_and(|socket| socket.poll_recv_ready(cx).is_ready()) {
                self.turn = source + 1;
                return Poll::Ready(ready);
            }
        }
        Poll::Pending
    }

    fn drop_for(&self, why: Dropped) {
        self.stats.dropped(why);
    }

    // From the client ------------------------------------------------------------------------------

    /// Takes in a few of the client's datagrams. Answers how many there were.
    fn hear_client(&mut self) -> Result<usize, Held> {
        SCRATCH.with_borrow_mut(|scratch| {
            for count in 0..BATCH {
                match self.relay.try_recv_from(scratch) {
                    Ok((length, from)) => self.up(scratch.get(..length).unwrap_or_default(), from)?,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count),
                    // The client's machine says that nobody was there for what was sent to it.
                    Err(_) => {}
                }
            }
            Ok(BATCH)
        })
    }

    fn up(&mut self, datagram: &[u8], from: SocketAddr) -> Settled {
        if !self.client.may_be(from) {
            self.drop_for(Dropped::Stranger);
            return Ok(());
        }
        match parse_datagram(datagram) {
            Ok(datagram) => {
                if self.client.known.is_none() && outlet::only_from(&self.relay, from).is_ok() {
                    self.client.known = Some(from);
                }
                self.send_off(datagram)
            }
            Err(SocksError::Fragment) => {
                self.drop_for(Dropped::Fragment);
                Ok(())
            }
            Err(_) => {
                self.drop_for(Dropped::Malformed);
                Ok(())
            }
        }
    }

    fn send_off(&mut self, Datagram { to, payload }: Datagram<'_>) -> Settled {
        match to {
            Destination::Address(to) => self.send_up(to, payload),
            Destination::Name { port: 0, .. } => {
                self.drop_for(Dropped::Malformed);
                Ok(())
            }
            Destination::Name { name, port } => {
                match self.names.look_up(name, port, payload, Instant::now()) {
                    Verdict::Send(ip) => return self.send_up(SocketAddr::new(ip, port), payload),
                    Verdict::Drop(why) => self.drop_for(why),
                    Verdict::Ask => self.ask(name, to),
                    Verdict::Waits => {}
                }
                Ok(())
            }
        }
    }

    /// Sends a payload to an address, if that may be reached and the payload is granted.
    fn send_up(&mut self, to: SocketAddr, payload: &[u8]) -> Settled {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        let destinations = self.destinations;
        let check = || match Target::new(Host::Ip(to.ip()), to.port()) {
            Ok(target) => destinations.check(&target),
            Err(_) => Err(Dropped::Malformed),
        };
        if let Err(why) = self.peers.sends(to, Instant::now(), check) {
            self.drop_for(why);
            return Ok(());
        }
        let Some(socket) = self.outlet.towards(to.ip()) else {
            self.drop_for(Dropped::Unreachable);
            return Ok(());
        };
        let Some(mut grant) = self.meter.take_whole(payload.len()) else {
            return Err(Held { bytes: payload.to_vec(), payload: payload.len(), to: Some(to) });
        };
        match outlet::send_to(socket, payload, to) {
            Ok(()) => grant.spend(Direction::Up, payload.len()),
            Err(errno) => self.drop_for(unsent(errno)),
        }
        Ok(())
    }

    // Names ----------------------------------------------------------------------------------------

    fn ask(&mut self, name: &[u8], to: Destination<'_>) {
        let (destinations, who) = (self.destinations.clone(), self.client.account);
        let name = Box::from(name);
        let families = [Family::V4, Family::V6].map(|family| self.outlet.may_serve(family).then_some(family));
        let target = to.target();
        self.asked.spawn(async move {
            let ip = match target {
                Ok(target) => destinations.find(&target, who, families).await,
                Err(_) => Err(Dropped::Malformed),
            };
            Resolved { name, ip }
        });
    }

    /// An answer has come: what waited for it goes.
    async fn answered(&mut self, answer: Result<Resolved, JoinError>) -> Result<(), Broke> {
        let Ok(Resolved { name, ip }) = answer else { return Ok(()) };
        for waited in self.names.answered(&name, ip, Instant::now()) {
            match ip {
                Ok(ip) => {
                    if let Err(held) = self.send_up(SocketAddr::new(ip, waited.port), &waited.payload) {
                        self.wait_for_funds(held).await?;
                    }
                }
                Err(why) => self.drop_for(why),
            }
        }
        Ok(())
    }

    // From the targets -----------------------------------------------------------------------------

    /// Takes in a few of the datagrams that came for the client. Answers how many there were.
    fn hear_targets(&mut self, family: Family) -> Result<usize, Held> {
        let Some(socket) = self.outlet.socket(family) else { return Ok(0) };
        SCRATCH.with_borrow_mut(|scratch| {
            for count in 0..BATCH {
                let Some((room, payload)) = scratch.split_first_chunk_mut() else { return Ok(0) };
                match socket.try_recv_from(payload) {
                    Ok((length, from)) => {
                        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                        if !self.peers.know(from) {
                            self.drop_for(Dropped::Unsolicited);
                            continue;
                        }
                        let begins = datagram_header(from, room);
                        let wrapped = scratch.get(begins..DATAGRAM_HEADER_MAX + length).unwrap_or_default();
                        self.send_down(wrapped, length)?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count),
                    Err(_) => {}
                }
            }
            Ok(BATCH)
        })
    }

    /// Sends a payload, behind its header, to the client, if it is granted.
    fn send_down(&self, wrapped: &[u8], payload: usize) -> Settled {
        let Some(mut grant) = self.meter.take_whole(payload) else {
            return Err(Held { bytes: wrapped.to_vec(), payload, to: None });
        };
        // The socket is the client's alone: nobody answers before it has sent something.
        match outlet::send(&self.relay, wrapped) {
            Ok(()) => grant.spend(Direction::Down, payload),
            Err(errno) => self.drop_for(unsent(errno)),
        }
        Ok(())
    }

    // Funds ----------------------------------------------------------------------------------------

    /// Waits until a datagram is granted as a whole, and sends it.
    async fn wait_for_funds(&mut self, mut held: Held) -> Result<(), Broke> {
        loop {
            self.meter.refill_whole(held.payload).await?;
            let sent = match held.to {
                Some(to) => self.send_up(to, &held.bytes),
                None => self.send_down(&held.bytes, held.payload),
            };
            match sent {
                Ok(()) => return Ok(()),
                // Others were quicker.
                Err(still) => held = still,
            }
        }
    }
}

impl Client {
    fn may_be(&self, from: SocketAddr) -> bool {
        match self.known {
            Some(known) => known == from,
            None => from.ip().to_canonical() == self.ip,
        }
    }
}

/// Why the system did not send a datagram.
fn unsent(errno: Errno) -> Dropped {
    match errno {
        Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM => Dropped::Congested,
        Errno::MSGSIZE => Dropped::TooLarge,
        _ => Dropped::Unreachable,
    }
}
