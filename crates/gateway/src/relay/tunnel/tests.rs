//! The relay between real sockets, paid for by a purse that a control plane in memory fills.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tollgate_types::{AccountId, BootId, GatewayId, LeaseDenied, SystemClock, Time, WhitelistId};

use super::*;
use crate::control::Control;
use crate::entry::{Admission, ConnectionInfo, Live, LiveConnection, Traffic};
use crate::funds::{Funds, Journal, Purses};
use crate::relay::bandwidth::{Bucket, Throttle};
use crate::stats::Stats;
use crate::testing::{FakeControl, payer};

/// Enough to be spliced for the most part.
const MUCH: usize = 24 * 1024 * 1024 + 7;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// A tunnel under way: a client, a target, and the relay between them.
struct Relayed {
    client: TcpStream,
    target: TcpStream,
    relay: JoinHandle<Ended>,
    purses: Arc<Purses<FakeControl>>,
    control: Arc<FakeControl>,
    account: AccountId,
    live: Arc<Live>,
    _folder: tempfile::TempDir,
}

impl Relayed {
    async fn start(funds: u64, early_up: &[u8]) -> Self {
        let control = FakeControl::new();
        let account = control.account(1, funds);
        let folder = tempfile::tempdir().unwrap();
        let stats = Arc::new(Stats::default());
        let journal = Journal::open(folder.path(), GatewayId::new(3)).unwrap();
        let purses = Purses::new(control.clone(), BootId::new(1), journal, stats.clone());
        purses.recover().await.unwrap();
        let live = Arc::new(Live::new(control.directory(), Arc::new(SystemClock)));
        let listed = control.whitelist(account, 1, Ipv4Addr::LOCALHOST.into());
        let funds = Funds::Purse(purses.open(payer(account)).await.unwrap());
        let entry = live.enter(info(account), funds.clone(), Admission::Whitelist(listed), stats);
        let ((client, near), (far, target)) = (pair().await, pair().await);
        let relay = tokio::spawn(run(near, far, early_up.to_vec(), funds, entry));
        Self { client, target, relay, purses, control, account, live, _folder: folder }
    }

    /// The relay has ended, everything is handed back and told: how it ended, and what was charged.
    async fn ended(self) -> (Ended, u64) {
        let ended = timeout(LONG, self.relay).await.expect("the tunnel ends").unwrap();
        self.purses.drain().await.unwrap();
        assert_eq!(self.control.held(self.account), 0);
        assert_eq!(self.control.faults(), Vec::<String>::new());
        (ended, self.control.used(self.account))
    }
}

async fn run(client: Stream, upstream: Stream, early: Vec<u8>, funds: Funds, live: LiveConnection) -> Ended {
    let throttle = unlimited();
    let meter = Meter::new(&funds, &throttle, live.moved(), LONG);
    relay(&client, &upstream, early, Vec::new(), &meter, pin!(live.cut())).await
}

fn unlimited() -> Throttle {
    Throttle::new(std::array::from_fn(|_| Arc::new(Bucket::new(0))), Arc::default())
}

fn info(account: AccountId) -> ConnectionInfo {
    ConnectionInfo {
        account,
        sub_account: None,
        traffic: Traffic::Metered(payer(account).proxy_type),
        username: String::new(),
        client: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        target: "example.com:443".to_owned(),
        protocol: "connect",
        since: Time::from_micros(0),
    }
}

/// Two ends of a connection.
#[expect(clippy::disallowed_methods, reason = "a test is a peer, too")]
async fn pair<Near: From<TcpStream>, Far: From<TcpStream>>() -> (Near, Far) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0.into(), dialled.into())
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn everything_arrives_as_it_was_sent_both_ways_at_once_and_is_charged_to_the_byte() {
    let mut relayed = Relayed::start(1 << 40, b"first words").await;
    let (sent, back) = (pattern(MUCH), pattern(MUCH / 2));
    let (mut client_reads, mut client_writes) = relayed.client.split();
    let (mut target_reads, mut target_writes) = relayed.target.split();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let all = async {
        tokio::try_join!(
            async { client_writes.write_all(&sent).await.and(client_writes.shutdown().await) },
            async { target_writes.write_all(&back).await.and(target_writes.shutdown().await) },
            target_reads.read_to_end(&mut up),
            client_reads.read_to_end(&mut down),
        )
    };
    timeout(LONG, all).await.expect("in time").unwrap();
    assert!(up == [b"first words".as_slice(), &sent].concat(), "{} bytes up", up.len());
    assert!(down == back, "{} bytes down", down.len());
    let charged = (11 + MUCH + MUCH / 2) as u64;
    assert_eq!(relayed.ended().await, (Ended::Done, charged));
}

#[tokio::test]
async fn a_spliced_flow_ends_at_the_last_granted_byte() {
    let funds = 5 * 1024 * 1024 + 3;
    let mut relayed = Relayed::start(funds, b"").await;
    let sent = pattern(MUCH);
    let (mut reads, mut writes) = relayed.target.split();
    let mut received = Vec::new();
    let receive = relayed.client.read_to_end(&mut received);
    // The sender sees the end of it sooner or later.
    let send = async { writes.write_all(&sent).await.and(reads.read(&mut [0]).await.map(|_| ())) };
    let (_, received_all) = timeout(LONG, async { tokio::join!(send, receive) }).await.expect("in time");
    assert!(is_reset(received_all), "a part is not ended like the whole");
    assert_eq!(received.len() as u64, funds);
    assert!(received == sent[..received.len()]);
    assert_eq!(relayed.ended().await, (Ended::Broke(Broke::Denied(LeaseDenied::BalanceEmpty)), funds));
}

#[tokio::test]
async fn one_direction_may_end_long_before_the_other() {
    let mut relayed = Relayed::start(1 << 40, b"").await;
    relayed.client.write_all(b"request").await.unwrap();
    relayed.client.shutdown().await.unwrap();
    let mut request = Vec::new();
    relayed.target.read_to_end(&mut request).await.unwrap();
    assert_eq!(request, b"request");
    let answer = pattern(MUCH);
    let mut received = Vec::new();
    let send = async { relayed.target.write_all(&answer).await.and(relayed.target.shutdown().await) };
    let all = async { tokio::try_join!(send, relayed.client.read_to_end(&mut received)) };
    timeout(LONG, all).await.expect("in time").unwrap();
    assert!(received == answer);
    assert_eq!(relayed.ended().await, (Ended::Done, 7 + MUCH as u64));
}

#[tokio::test]
async fn a_reader_that_stops_holds_up_its_sender_and_gets_everything_later() {
    let mut relayed = Relayed::start(1 << 40, b"").await;
    let sent = pattern(MUCH);
    let (mut target, expected) = (relayed.target, sent.clone());
    // Nobody reads until nothing moves any more: the sockets and the pipe are full.
    let (told, mut written) = tokio::sync::watch::channel(0);
    let sender = tokio::spawn(async move {
        for piece in sent.chunks(4096) {
            target.write_all(piece).await.unwrap();
            told.send_modify(|written| *written += piece.len());
        }
    });
    while timeout(Duration::from_millis(200), written.changed()).await.is_ok() {}
    assert!(*written.borrow() < MUCH, "what nobody reads is not taken from its sender");
    let mut received = vec![0; MUCH];
    timeout(LONG, relayed.client.read_exact(&mut received)).await.expect("in time").unwrap();
    assert!(received == expected);
    sender.await.unwrap();
    drop(relayed.client);
    timeout(LONG, relayed.relay).await.expect("the tunnel ends").unwrap();
}

#[tokio::test]
async fn what_was_forwarded_before_a_cut_is_charged_and_nothing_else() {
    let mut relayed = Relayed::start(1 << 40, b"").await;
    let sent = pattern(MUCH);
    let mut received = vec![0; MUCH / 3];
    let cut = async {
        relayed.client.read_exact(&mut received).await.unwrap();
        relayed.live.cut_all();
        let mut rest = Vec::new();
        let end = relayed.client.read_to_end(&mut rest).await;
        received.extend(rest);
        end
    };
    // It would go on for ever: whoever sends learns of the cut however much is under way.
    let send = async { while relayed.target.write_all(&sent).await.is_ok() {} };
    let ((), end) = timeout(LONG, async { tokio::join!(send, cut) }).await.expect("both are told in time");
    assert!(is_reset(end), "the client is told that it was cut");
    let arrived = received.len() as u64;
    assert!(received.iter().eq(sent.iter().cycle().take(received.len())));
    assert_eq!(relayed.ended().await, (Ended::Cut, arrived));
}

/// Whether a side was told by a reset that there is more to come that will not come.
fn is_reset<T>(end: io::Result<T>) -> bool {
    end.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

/// Reads to the end of a connection, whichever it is.
async fn is_reset_at_the_end(side: &mut TcpStream) -> bool {
    is_reset(timeout(LONG, side.read_to_end(&mut Vec::new())).await.expect("it ends in time"))
}

/// Writes until nothing more is taken: what is in between is full.
async fn fill_up(side: &mut TcpStream) {
    while timeout(Duration::from_millis(200), side.write_all(&[7; 64 * 1024])).await.is_ok_and(|w| w.is_ok())
    {
    }
}

#[tokio::test]
async fn a_client_that_breaks_off_at_rest_is_seen_to_by_the_target() {
    let mut relayed = Relayed::start(1 << 40, b"").await;
    relayed.client.write_all(b"x").await.unwrap();
    relayed.target.read_exact(&mut [0]).await.unwrap();
    Stream::from(relayed.client).break_off();
    assert!(is_reset_at_the_end(&mut relayed.target).await);
    let ended = timeout(LONG, relayed.relay).await.unwrap().unwrap();
    assert_eq!(ended, Ended::Broke(Broke::Reading(Direction::Up)));
}

#[tokio::test]
async fn a_client_that_breaks_off_after_its_end_is_seen_to_by_the_target() {
    let mut relayed = Relayed::start(1 << 40, b"").await;
    relayed.client.shutdown().await.unwrap();
    assert_eq!(timeout(LONG, relayed.target.read(&mut [0])).await.expect("in time").unwrap(), 0);
    Stream::from(relayed.client).break_off();
    timeout(LONG, relayed.relay).await.expect("the tunnel ends").unwrap();
    // The target has read the end before: only what it writes shows that nobody is there.
    let written = async { while relayed.target.write_all(b"x").await.is_ok() {} };
    timeout(LONG, written).await.expect("in time");
}

#[tokio::test]
async fn a_client_that_breaks_off_while_its_target_does_not_read_is_seen_to_by_it() {
    let mut relayed = Relayed::start(1 << 40, b"").await;
    fill_up(&mut relayed.client).await;
    Stream::from(relayed.client).break_off();
    timeout(LONG, relayed.relay).await.expect("the tunnel ends").unwrap();
    assert!(is_reset_at_the_end(&mut relayed.target).await);
}

#[tokio::test]
async fn a_client_that_breaks_off_while_it_does_not_read_is_seen_to_by_the_target() {
    let mut relayed = Relayed::start(1 << 40, b"").await;
    fill_up(&mut relayed.target).await;
    Stream::from(relayed.client).break_off();
    timeout(LONG, relayed.relay).await.expect("the tunnel ends").unwrap();
    assert!(is_reset_at_the_end(&mut relayed.target).await);
}

#[tokio::test]
async fn a_client_that_breaks_off_without_funds_is_seen_to_by_the_target() {
    let mut relayed = Relayed::start(1, b"").await;
    relayed.client.write_all(b"too much").await.unwrap();
    Stream::from(relayed.client).break_off();
    assert!(is_reset_at_the_end(&mut relayed.target).await);
}

#[tokio::test]
async fn of_a_client_that_left_nothing_more_is_read_from_the_target() {
    let mut relayed = Relayed::start(1 << 50, b"").await;
    let mut target = relayed.target;
    let sender = tokio::spawn(async move {
        let (mut written, piece) = (0, vec![7; 64 * 1024]);
        while let Ok(more) = target.write(&piece).await {
            written += more;
        }
        written
    });
    relayed.client.read_exact(&mut vec![0; MUCH]).await.unwrap();
    drop(relayed.client);
    let written = timeout(LONG, sender).await.expect("the target is told").unwrap();
    // What is under way fits into buffers; within half a second there would be a hundred times as much.
    assert!(written < 2 * MUCH + (48 << 20), "{written} bytes");
    timeout(LONG, relayed.relay).await.expect("the tunnel ends").unwrap();
}

#[tokio::test]
async fn what_a_target_said_before_it_broke_off_arrives_before_the_reset() {
    let mut relayed = Relayed::start(1 << 40, b"").await;
    let answer = pattern(200_000);
    // Unread bytes turn the target's close into a reset.
    relayed.client.write_all(b"request that is not read").await.unwrap();
    relayed.target.readable().await.unwrap();
    relayed.target.write_all(&answer).await.unwrap();
    assert!(tollgate_sockets::delivered(&relayed.target, LONG).await);
    drop(relayed.target);
    let mut received = Vec::new();
    let end = timeout(LONG, relayed.client.read_to_end(&mut received)).await.expect("in time");
    assert!(received == answer, "{} bytes", received.len());
    assert!(is_reset(end));
}

#[tokio::test]
async fn a_tunnel_at_rest_takes_little_room() {
    let relayed = Relayed::start(1, b"").await;
    let funds = Funds::Purse(relayed.purses.open(payer(relayed.account)).await.unwrap());
    let listed = Admission::Whitelist(WhitelistId::new(1));
    let live = relayed.live.enter(info(relayed.account), funds.clone(), listed, Arc::default());
    let (client, upstream) = (pair::<TcpStream, Stream>().await.1, pair::<TcpStream, Stream>().await.1);
    let throttle = unlimited();
    let meter = Meter::new(&funds, &throttle, live.moved(), LONG);
    let cut = pin!(live.cut());
    let resting = relay(&client, &upstream, Vec::new(), Vec::new(), &meter, cut);
    assert!(size_of_val(&resting) < 1024, "{} bytes", size_of_val(&resting));
}
