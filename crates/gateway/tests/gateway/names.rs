//! Names: what name servers answer, and how long that takes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};
use tollgate_gateway::GatewayConfig;
use tollgate_types::{AccountEntry, AccountId, DirectoryChange, ProxyType, SubAccountEntry, SubAccountId};

use crate::datagrams::association::{self, Association};
use crate::world::{ALICE, World, connect, direct, echo, eventually, http_origin, sub_account};

/// What an origin of plain HTTP says.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

const A: u16 = 1;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const AAAA: u16 = 28;

/// What a name server says to one question.
#[derive(Clone)]
enum Says {
    Nothing,
    Records(Vec<Record>),
    Failure(u8),
    Later(Duration, Box<Says>),
}

#[derive(Clone)]
enum Record {
    Address(IpAddr),
    Alias(&'static str),
    Text(usize),
}

fn addresses(list: &[&str]) -> Says {
    Says::Records(list.iter().map(|ip| Record::Address(ip.parse().unwrap())).collect())
}

fn later(millis: u64, says: Says) -> Says {
    Says::Later(Duration::from_millis(millis), Box::new(says))
}

/// A name server on loopback that remembers how often it was asked for what.
pub(crate) struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<HashMap<(String, u16), usize>>>,
}

impl NameServer {
    /// One that has the address 127.0.0.1 for every name.
    pub(crate) async fn loopback() -> Self {
        Self::that(|_, record| match record {
            A => addresses(&["127.0.0.1"]),
            _ => Says::Records(Vec::new()),
        })
        .await
    }

    async fn that(answer: impl Fn(&str, u16) -> Says + Send + 'static) -> Self {
        Self::asked_with_edns(move |name, record, _| answer(name, record)).await
    }

    /// A name server that looks whether it is asked with EDNS.
    async fn asked_with_edns(answer: impl Fn(&str, u16, bool) -> Says + Send + 'static) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let server = Self { address: socket.local_addr().unwrap(), asked: asked.clone() };
        tokio::spawn(async move {
            let mut buf = [0; 2048];
            while let Ok((length, peer)) = socket.recv_from(&mut buf).await {
                let question = Question::parse(&buf[..length]);
                *asked.lock().unwrap().entry((question.name.clone(), question.record)).or_default() += 1;
                let says = answer(&question.name, question.record, question.has_edns);
                tokio::spawn(question.answer(says, socket.clone(), peer));
            }
        });
        server
    }

    fn asked(&self, name: &str, record: u16) -> usize {
        self.asked.lock().unwrap().get(&(name.to_owned(), record)).copied().unwrap_or(0)
    }

    pub(crate) async fn world(&self, change: impl FnOnce(&mut GatewayConfig)) -> World {
        World::with(vec![direct(1, ProxyType::Residential)], |config| {
            config.dns_servers = vec![self.address];
            config.dns_timeout = Duration::from_secs(5);
            change(config);
        })
        .await
    }
}

struct Question {
    /// Whether it carries an OPT record.
    has_edns: bool,
    id: [u8; 2],
    raw: Vec<u8>,
    name: String,
    record: u16,
}

impl Question {
    fn parse(packet: &[u8]) -> Self {
        let mut labels = Vec::new();
        let mut at = 12;
        while packet[at] != 0 {
            let length = usize::from(packet[at]);
            labels.push(String::from_utf8(packet[at + 1..=at + length].to_vec()).unwrap());
            at += length + 1;
        }
        let record = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
        let raw = packet[12..at + 5].to_vec();
        let has_edns = packet[11] > 0;
        Self { has_edns, id: [packet[0], packet[1]], raw, name: labels.join("."), record }
    }

    async fn answer(self, mut says: Says, socket: Arc<UdpSocket>, peer: SocketAddr) {
        while let Says::Later(wait, then) = says {
            sleep(wait).await;
            says = *then;
        }
        let (code, records) = match says {
            Says::Nothing | Says::Later(..) => return,
            Says::Records(records) => (0, records),
            Says::Failure(code) => (code, Vec::new()),
        };
        let mut packet = self.id.to_vec();
        packet.extend([0x81, 0x80 | code, 0, 1]);
        packet.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
        packet.extend([0, 0, 0, 0]);
        packet.extend(&self.raw);
        for record in records {
            packet.extend(record.encode());
        }
        socket.send_to(&packet, peer).await.unwrap();
    }
}

impl Record {
    fn encode(&self) -> Vec<u8> {
        let (kind, data) = match self {
            Self::Address(IpAddr::V4(ip)) => (A, ip.octets().to_vec()),
            Self::Address(IpAddr::V6(ip)) => (AAAA, ip.octets().to_vec()),
            Self::Alias(name) => (CNAME, encode(name)),
            Self::Text(length) => (TXT, [vec![200], vec![b'x'; 200]].concat().repeat(length / 200)),
        };
        // The name of the question, for a minute.
        let mut bytes = vec![0xc0, 12];
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
        bytes
    }
}

fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A port of this address that takes no connection and refuses none: its queue is full.
async fn silent(ip: &str, port: u16) -> Vec<socket2::Socket> {
    let address = SocketAddr::new(ip.parse().unwrap(), port);
    let stream = || {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None);
        socket.unwrap()
    };
    let listener = stream();
    listener.set_reuse_address(true).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let mut sockets = vec![listener];
    // Once one stays unconnected, so does every further one.
    for _ in 0..8 {
        let filler = stream();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&address.into());
        sockets.push(filler);
    }
    sockets
}

/// The answer to a CONNECT, and how long it took.
async fn ask(world: &World, name: &str, port: u16) -> (String, Duration) {
    let began = Instant::now();
    let mut client = world.client().await;
    client.say(connect(&format!("{name}:{port}"), ALICE)).await;
    (client.head().await, began.elapsed())
}

#[tokio::test]
async fn hp_50_names_that_do_not_resolve_and_servers_that_fail_are_dns_failed() {
    let server = NameServer::that(|name, record| match name {
        "nx.example.com" => Says::Failure(3),
        "servfail.example.com" => Says::Failure(2),
        "refused.example.com" => Says::Failure(5),
        "empty.example.com" => Says::Records(Vec::new()),
        "text.example.com" => Says::Records(vec![Record::Text(800)]),
        "loop.example.com" => Says::Records(vec![Record::Alias("pool.example.com")]),
        "pool.example.com" => Says::Records(vec![Record::Alias("loop.example.com")]),
        "self.example.com" => Says::Records(vec![Record::Alias("self.example.com")]),
        "half.example.com" if record == A => addresses(&["127.0.0.1"]),
        _ => Says::Failure(2),
    })
    .await;
    let world = server.world(|_| ()).await;
    for name in ["nx", "servfail", "refused", "empty", "text", "loop", "pool", "self"] {
        let (head, took) = ask(&world, &format!("{name}.example.com"), 80).await;
        assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("DNS_FAILED"), "{name}: {head}");
        assert!(head.contains("error=dns_error"), "{name}: {head}");
        assert!(took < Duration::from_secs(2), "{name}: {took:?}");
    }
    let (head, _) = ask(&world, "half.example.com", echo().await.port()).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "IPv4 works where IPv6 fails: {head}");
}

#[tokio::test]
async fn names_are_asked_for_as_they_stand_over_every_protocol() {
    let server = NameServer::loopback().await;
    let world = server.world(|_| ()).await;
    let (tunnelled, (requested, _)) = (echo().await, http_origin(ANSWER).await);
    let datagrams = association::echo("127.0.0.1").await;
    let association = Association::open(&world).await;
    for name in ["a_b", "trail_", "ipv6_1-cxl0-c088.1.lhr004.ix", "-lead", "trail-", "_lead", "a--b", "_"] {
        let by = |protocol| format!("{name}.{protocol}.test");
        let (head, _) = ask(&world, &by("connect"), tunnelled.port()).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{name}: {head}");

        let url = format!("{}:{}", by("http"), requested.port());
        let mut client = world.client().await;
        client
            .say(format!("GET http://{url}/ HTTP/1.1\r\nHost: {url}\r\nProxy-Authorization: {ALICE}\r\n\r\n"))
            .await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{name}: {head}");

        let mut client = world.client().await;
        let host = by("socks");
        let length = u8::try_from(host.len()).unwrap();
        let port = tunnelled.port().to_be_bytes();
        let request = [&[5, 1, 0, 3, length], host.as_bytes(), &port].concat();
        client.say([&b"\x05\x01\x02\x01\x05alice\x06secret"[..], &request].concat()).await;
        assert_eq!(client.exactly(6).await, [5, 2, 1, 0, 5, 0], "{name}");

        association.send(&association::to_name(&by("udp"), datagrams.port()), b"query").await;
        assert_eq!(association.receive().await, (datagrams, b"query".to_vec()), "{name}");
        for protocol in ["connect", "http", "socks", "udp"] {
            assert_eq!(server.asked(&by(protocol), A), 1, "{}", by(protocol));
        }
    }
}

#[tokio::test]
async fn a_name_beyond_ascii_is_asked_for_as_a_browser_would() {
    let server = NameServer::that(|name, record| match (name, record) {
        ("xn--bcher-kva.example", A) => addresses(&["127.0.0.1"]),
        _ => Says::Failure(3),
    })
    .await;
    let world = server.world(|_| ()).await;
    let target = echo().await;
    for name in ["b\u{fc}cher.example", "B\u{dc}CHER\u{3002}example", "bu\u{308}cher.example"] {
        let mut client = world.client().await;
        let length = u8::try_from(name.len()).unwrap();
        let request = [&[5, 1, 0, 3, length], name.as_bytes(), &target.port().to_be_bytes()].concat();
        client.say([&b"\x05\x01\x02\x01\x05alice\x06secret"[..], &request].concat()).await;
        assert_eq!(client.exactly(6).await, [5, 2, 1, 0, 5, 0], "{name}");
        let (head, _) = ask(&world, name, target.port()).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "a request line is ASCII: {head}");
    }
}

#[tokio::test]
async fn hp_50_a_silent_name_server_is_a_timeout_in_time() {
    let server = NameServer::that(|_, _| Says::Nothing).await;
    let world = server.world(|config| config.dns_timeout = Duration::from_millis(400)).await;
    let (head, took) = ask(&world, "hangs.example.com", 80).await;
    assert!(head.starts_with("HTTP/1.1 504 ") && head.contains("TIMEOUT"), "{head}");
    assert!((Duration::from_millis(300)..Duration::from_millis(1500)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn name_servers_that_refuse_edns_are_asked_without_it_from_then_on() {
    const FORMERR: u8 = 1;
    const NOTIMP: u8 = 4;
    for refusal in [Says::Failure(FORMERR), Says::Failure(NOTIMP), Says::Nothing] {
        let with_edns = Arc::new(AtomicUsize::new(0));
        let counted = with_edns.clone();
        let server = NameServer::asked_with_edns(move |_, record, has_edns| match record {
            _ if has_edns => {
                counted.fetch_add(1, Ordering::Relaxed);
                refusal.clone()
            }
            A => addresses(&["127.0.0.1"]),
            _ => Says::Records(Vec::new()),
        })
        .await;
        let world = server.world(|_| ()).await;
        let target = echo().await;
        let (head, _) = ask(&world, "old.example.com", target.port()).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let before = with_edns.load(Ordering::Relaxed);
        assert!(before > 0, "EDNS is tried first");
        let (head, _) = ask(&world, "older.example.com", target.port()).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(with_edns.load(Ordering::Relaxed), before, "it is remembered");
    }
}

#[tokio::test]
async fn hp_50_of_sixty_four_addresses_the_first_ones_are_tried() {
    let server = NameServer::that(|_, record| match record {
        A => Says::Records((1..=64).map(|n| Record::Address([127, 0, 0, n].into())).collect()),
        _ => Says::Records(Vec::new()),
    })
    .await;
    let world = server.world(|_| ()).await;
    let target = echo().await;
    let (head, _) = ask(&world, "many.example.com", target.port()).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (head, _) = ask(&world, "many.example.com", 1).await;
    assert!(head.contains("CONNECTION_REFUSED"), "{head}");
}

#[tokio::test]
async fn aliases_are_followed_and_answers_kept() {
    let server = NameServer::that(|name, record| match (name, record) {
        ("www.example.com", _) => Says::Records(vec![Record::Alias("origin.example.com")]),
        ("origin.example.com", A) => addresses(&["127.0.0.1"]),
        _ => Says::Records(Vec::new()),
    })
    .await;
    let world = server.world(|_| ()).await;
    let port = echo().await.port();
    for _ in 0..5 {
        let (head, _) = ask(&world, "www.example.com", port).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    assert_eq!((server.asked("www.example.com", A), server.asked("origin.example.com", A)), (1, 1));
    for _ in 0..5 {
        let (head, _) = ask(&world, "absent.example.com", port).await;
        assert!(head.contains("DNS_FAILED"), "{head}");
    }
    assert_eq!(server.asked("absent.example.com", A), 1, "that there is none is kept, too");
}

#[tokio::test]
async fn ld_08_a_slow_name_is_asked_for_once_and_holds_up_nobody_else() {
    let server = NameServer::that(|name, record| match (name, record) {
        ("slow.example.com", A) => later(1500, addresses(&["127.0.0.1"])),
        (_, A) => addresses(&["127.0.0.1"]),
        _ => Says::Records(Vec::new()),
    })
    .await;
    let world = Arc::new(server.world(|_| ()).await);
    let port = echo().await.port();
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { ask(&world, "slow.example.com", port).await })
        })
        .collect();
    eventually("the slow name is asked for", || server.asked("slow.example.com", A) > 0).await;
    let (head, took) = ask(&world, "quick.example.com", port).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && took < Duration::from_millis(1200), "{took:?}: {head}");
    for asked in slow {
        let (head, _) = asked.await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    let asked = server.asked("slow.example.com", A);
    assert!(asked <= 8, "a hundred clients are one question, and its repetitions: {asked}");
}

#[tokio::test]
async fn ld_08_a_customer_whose_names_hang_holds_up_no_other_customer() {
    let server = NameServer::that(|name, record| match record {
        _ if name.ends_with("hangs.example.com") => Says::Nothing,
        A => addresses(&["127.0.0.1"]),
        _ => Says::Records(Vec::new()),
    })
    .await;
    let world = Arc::new(server.world(|config| config.dns_timeout = Duration::from_secs(5)).await);
    let other = AccountId::new(2);
    let account = AccountEntry { id: other, active: true, funds_epoch: 0 };
    world.control.publish(DirectoryChange::Account(account));
    world.control.publish(DirectoryChange::SubAccount(SubAccountEntry {
        account: other,
        ..sub_account(SubAccountId::new(77), "carol", true)
    }));
    let port = echo().await.port();
    let mut hanging = tokio::task::JoinSet::new();
    for n in 0..700 {
        let world = world.clone();
        hanging.spawn(async move { ask(&world, &format!("{n}.hangs.example.com"), 80).await });
    }
    eventually("all of them wait", || world.gateway.connections().len() >= 700).await;
    eventually("names are asked for", || server.asked.lock().unwrap().len() >= 200).await;
    let mut client = world.client().await;
    // carol:secret
    client.say(connect(&format!("quick.example.com:{port}"), "Basic Y2Fyb2w6c2VjcmV0")).await;
    let began = Instant::now();
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_name_server_that_never_answers_for_ipv6_delays_by_a_moment_once() {
    let server = NameServer::that(|_, record| match record {
        A => addresses(&["127.0.0.1"]),
        _ => Says::Nothing,
    })
    .await;
    let world = server.world(|_| ()).await;
    let port = echo().await.port();
    for _ in 0..3 {
        let (head, took) = ask(&world, "v4.example.com", port).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(took < Duration::from_millis(1000), "{took:?}");
    }
    assert_eq!(server.asked("v4.example.com", A), 1);
}

#[tokio::test]
async fn s5_19_a_dead_aaaa_beside_a_live_a_connects_within_a_second() {
    let server = NameServer::that(|name, record| match (name, record) {
        ("dead6.example.com", A) => later(20, addresses(&["127.0.0.1"])),
        ("dead6.example.com", AAAA) => addresses(&["::1"]),
        _ => Says::Records(Vec::new()),
    })
    .await;
    let world = server.world(|_| ()).await;
    let port = echo().await.port();
    let _dead6 = silent("::1", port).await;
    let (head, took) = ask(&world, "dead6.example.com", port).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn s5_19_a_dead_a_beside_a_live_one_connects_within_a_second() {
    let server = NameServer::that(|_, record| match record {
        A => addresses(&["127.0.0.9", "127.0.0.1"]),
        _ => Says::Records(Vec::new()),
    })
    .await;
    let world = server.world(|_| ()).await;
    let port = echo().await.port();
    let _dead = silent("127.0.0.9", port).await;
    let (head, took) = ask(&world, "two.example.com", port).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!((Duration::from_millis(240)..Duration::from_secs(1)).contains(&took), "{took:?}");
}
