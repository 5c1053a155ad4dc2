//! Fronts: load balancers that say in a PROXY header whom they connect for.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tollgate_gateway::{Caps, GatewayConfig, Limit};
use tollgate_types::{AccountId, DirectoryChange, ProxyType, WhitelistEntry, WhitelistId};

use crate::world::{ALICE, Client, World, connect, direct, echo, eventually};

/// The front's address, and that of the client behind it who is listed.
const FRONT: &str = "127.0.0.5";
const LISTED: &str = "192.0.2.1";

async fn world(change: impl FnOnce(&mut GatewayConfig)) -> World {
    let world = World::with(vec![direct(1, ProxyType::Residential)], |config| {
        config.proxy_protocol_from = vec![FRONT.parse().unwrap()];
        change(config);
    })
    .await;
    for (id, address) in [(20, LISTED), (21, "2001:db8::1")] {
        let entry = WhitelistEntry { id: WhitelistId::new(id), account: AccountId::new(1) };
        world.control.publish(DirectoryChange::Whitelist(address.parse().unwrap(), entry));
    }
    world
}

fn v1(source: &str) -> Vec<u8> {
    let family = if source.contains(':') { "TCP6" } else { "TCP4" };
    let destination = if source.contains(':') { "2001:db8::99" } else { "198.51.100.1" };
    format!("PROXY {family} {source} {destination} 56324 7000\r\n").into_bytes()
}

fn v2(source: &str) -> Vec<u8> {
    let (family, octets, destination) = match source.parse::<IpAddr>().unwrap() {
        IpAddr::V4(ip) => (0x11, ip.octets().to_vec(), vec![198, 51, 100, 1]),
        IpAddr::V6(ip) => (0x21, ip.octets().to_vec(), vec![0x20; 16]),
    };
    // A further field behind the addresses, which is passed over.
    let rest = [&octets[..], &destination, &[0xdc, 4, 0x1b, 0x58], &[4, 0, 2, 0, 0]].concat();
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, family][..], &length, &rest].concat()
}

/// A CONNECT without credentials.
fn bare(target: SocketAddr) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
}

/// What is answered to these bytes from that address: the status; 0 where the connection just ends.
async fn answer(world: &World, from: &str, bytes: impl AsRef<[u8]>) -> (Client, u16) {
    let mut client = Client::from(from.parse().unwrap(), world.any).await;
    client.say(bytes).await;
    let head = client.rest_of_head().await;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    (client, status)
}

#[tokio::test]
async fn the_client_behind_a_front_is_the_peer() {
    let world = world(|_| ()).await;
    let target = echo().await;
    for header in [v1, v2] {
        for (source, status) in
            [(LISTED, 200), ("2001:db8::1", 200), ("192.0.2.9", 407), ("2001:db8::9", 407)]
        {
            let bytes = [&header(source)[..], bare(target).as_bytes()].concat();
            let (_client, got) = answer(&world, FRONT, bytes).await;
            assert_eq!(got, status, "{source}");
            if status == 200 {
                let views = world.gateway.connections();
                let expected = SocketAddr::new(source.parse().unwrap(), 56_324);
                assert!(views.iter().any(|view| view.info.client == expected), "{views:?}");
            }
        }
    }
    assert_eq!(world.gateway.stats().proxy_headers_refused.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn socks5_and_bytes_that_come_one_by_one_work_behind_a_front() {
    let world = world(|_| ()).await;
    let target = echo().await;
    for header in [v1(LISTED), v2(LISTED)] {
        let mut client = Client::from(FRONT.parse().unwrap(), world.any).await;
        client.stream.set_nodelay(true).unwrap();
        for byte in header.iter().chain(&[5, 1, 0]) {
            client.say([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.exactly(2).await, [5, 0]);
        let SocketAddr::V4(to) = target else { panic!("an IPv4 origin") };
        client.say([&[5, 1, 0, 1], &to.ip().octets()[..], &to.port().to_be_bytes()].concat()).await;
        assert_eq!(client.exactly(10).await[1], 0);
        client.say("ping").await;
        assert_eq!(client.exactly(4).await, b"ping");
    }
}

#[tokio::test]
async fn a_front_that_does_not_introduce_its_client_is_not_served() {
    let world = world(|config| config.limits.handshake_timeout = Duration::from_millis(300)).await;
    let target = echo().await;
    let with_login = connect(&target.to_string(), ALICE);
    let cut_short = v2(LISTED)[..20].to_vec();
    let nonsense: [&[u8]; 4] = [
        with_login.as_bytes(),
        b"\x05\x01\x00",
        b"PROXY TCP4 1.2.3.4\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
    ];
    for bytes in nonsense {
        assert_eq!(answer(&world, FRONT, bytes).await.1, 0, "{}", bytes.escape_ascii());
    }
    // Silence and slowness end with the handshake.
    let began = Instant::now();
    assert_eq!(answer(&world, FRONT, cut_short).await.1, 0);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(world.gateway.stats().proxy_headers_refused.load(Ordering::Relaxed), 5);
    let mut health_check = Client::from(FRONT.parse().unwrap(), world.any).await;
    health_check.finish().await;
    assert_eq!(health_check.rest().await, b"");
    assert_eq!(world.gateway.stats().proxy_headers_refused.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let world = world(|_| ()).await;
    let target = echo().await;
    let request = bare(target);
    let line = [&v1(LISTED)[..], request.as_bytes()].concat();
    assert_eq!(answer(&world, "127.0.0.6", line).await.1, 400);
    let binary = [&v2(LISTED)[..], request.as_bytes()].concat();
    assert!([0, 400].contains(&answer(&world, "127.0.0.6", binary).await.1));
    // A front is not believed twice.
    let twice = [&v1("192.0.2.9")[..], &v1(LISTED), request.as_bytes()].concat();
    assert_eq!(answer(&world, FRONT, twice).await.1, 400);
    assert!(world.gateway.connections().is_empty());
}

#[tokio::test]
async fn a_header_that_names_nobody_leaves_the_fronts_address() {
    let world = world(|config| config.limits.per_address = Caps { connections: 1, per_second: 0 }).await;
    let target = echo().await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    let mut held = Vec::new();
    for header in [&b"PROXY UNKNOWN\r\n"[..], local, &b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x00"[..]] {
        let bytes = [header, connect(&target.to_string(), ALICE).as_bytes()].concat();
        let (client, status) = answer(&world, FRONT, bytes).await;
        assert_eq!(status, 200, "{}", header.escape_ascii());
        held.push(client);
    }
    let fronts = FRONT.parse::<IpAddr>().unwrap();
    assert!(world.gateway.connections().iter().all(|view| view.info.client.ip() == fronts));
}

#[tokio::test]
async fn failed_logins_and_caps_count_against_the_client_and_not_the_front() {
    let world = world(|config| {
        config.limits.failed_logins = 2;
        config.limits.per_address = Caps { connections: 1, per_second: 0 };
    })
    .await;
    let target = echo().await;
    let ask = async |source: &str, who: &str| {
        let bytes = [&v1(source)[..], connect(&target.to_string(), who).as_bytes()].concat();
        answer(&world, FRONT, bytes).await
    };
    let wrong = "Basic YWxpY2U6d3Jvbmc=";
    for status in [407, 407, 429] {
        let (client, got) = ask("192.0.2.9", wrong).await;
        assert_eq!(got, status);
        drop(client);
        eventually("it is gone", || world.gateway.presence().addresses == 0).await;
    }
    let (held, status) = ask("192.0.2.8", ALICE).await;
    assert_eq!(status, 200);
    assert_eq!(ask("192.0.2.8", ALICE).await.1, 0, "one at once from there");
    let (_other, status) = ask("192.0.2.7", ALICE).await;
    assert_eq!(status, 200);
    let kept_out = world.gateway.stats().limits().find(|(limit, _)| *limit == Limit::AddressConnections);
    assert_eq!(kept_out.map(|(_, count)| count), Some(1));
    drop(held);
}

/// Bad logins of the flood. Each comes from an address of its own.
const FLOOD: u32 = 2_000;
/// How many of them are on their way at once.
const AT_ONCE: u32 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_logins_from_everywhere_locks_nobody_out() {
    let world = world(|config| {
        config.limits.failed_logins = 10;
        config.limits.failed_login_delay = Duration::from_millis(200);
    })
    .await;
    let target = echo().await;
    let request = connect(&target.to_string(), "Basic YWxpY2U6d3Jvbmc=");
    let (any, front) = (world.any, FRONT.parse::<IpAddr>().unwrap());
    let guess = move |from: u32, request: String| async move {
        let source = std::net::Ipv4Addr::from_bits(0x0b00_0000 + from);
        let mut client = Client::from(front, any).await;
        client.say(format!("PROXY TCP4 {source} 198.51.100.1 1024 7000\r\n{request}")).await;
        client.head().await.starts_with("HTTP/1.1 407 ")
    };
    let mut guessers = tokio::task::JoinSet::new();
    for first in 0..AT_ONCE {
        let request = request.clone();
        guessers.spawn(async move {
            let mut refused = 0;
            for from in (first..FLOOD).step_by(AT_ONCE as usize) {
                refused += u32::from(guess(from, request.clone()).await);
            }
            refused
        });
    }
    let (mut refused, mut logins) = (0, 0);
    while !guessers.is_empty() {
        tokio::select! {
            Some(guesser) = guessers.join_next() => refused += guesser.unwrap(),
            // Whose name it is all about enters from her own address, again and again.
            mut client = world.tunnel(target) => {
                client.say("ping").await;
                assert_eq!(client.exactly(4).await, b"ping");
                logins += 1;
            }
        }
    }
    assert_eq!(refused, FLOOD, "each was looked at, and told no");
    assert!(logins > 0);
    assert!(world.gateway.presence().logins_held_back <= 1024);
}
