//! CONNECT and SOCKS5, from the handshake to the last byte.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tollgate_types::{DirectoryChange, ProxyType};

use crate::world::{
    ALICE, ALICE_ID, Client, World, connect, direct, echo, eventually, nobody, origin, sub_account,
};

const MIB: usize = 1 << 20;

/// What a SOCKS5 client says to log in as Alice: greeting and credentials.
const SOCKS_LOGIN: &[u8] = b"\x05\x01\x02\x01\x05alice\x06secret";

fn socks_request(target: SocketAddr) -> Vec<u8> {
    let mut request = vec![5, 1, 0];
    match target.ip() {
        IpAddr::V4(ip) => request.extend([&[1][..], &ip.octets()].concat()),
        IpAddr::V6(ip) => request.extend([&[4][..], &ip.octets()].concat()),
    }
    request.extend(target.port().to_be_bytes());
    request
}

fn socks_request_by_name(name: &str, port: u16) -> Vec<u8> {
    let mut request = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
    request.extend(name.as_bytes());
    request.extend(port.to_be_bytes());
    request
}

async fn socks(world: &World, request: &[u8]) -> (Client, u8) {
    let mut client = world.client().await;
    client.say(SOCKS_LOGIN).await;
    assert_eq!(client.exactly(4).await, [5, 2, 1, 0]);
    client.say(request).await;
    let reply = client.exactly(4).await;
    assert_eq!((reply[0], reply[2]), (5, 0));
    let address = if reply[3] == 4 { 16 } else { 4 };
    client.exactly(address + 2).await;
    (client, reply[1])
}

#[tokio::test]
async fn hp_01_connect_opens_a_transparent_tunnel() {
    let world = World::lab().await;
    let target = echo().await;
    for version in ["1.0", "1.1"] {
        let mut client = world.client().await;
        let head = format!(
            "CONNECT {target} HTTP/{version}\r\nHost: {target}\r\nProxy-Authorization: {ALICE}\r\n\r\n"
        );
        client.say(head).await;
        assert_eq!(client.head().await, "HTTP/1.1 200 Connection established\r\n\r\n");
        client.say(b"\x00\xffhello").await;
        assert_eq!(client.exactly(7).await, b"\x00\xffhello");
    }
    assert_eq!(world.settled().await, 2 * 14);
}

#[tokio::test]
async fn hp_04_bytes_behind_the_head_reach_the_target_and_are_metered() {
    let world = World::lab().await;
    let target = echo().await;
    let mut client = world.client().await;
    client.say(connect(&target.to_string(), ALICE) + "early data").await;
    client.head().await;
    assert_eq!(client.exactly(10).await, b"early data");
    drop(client);
    assert_eq!(world.settled().await, 20);
}

#[tokio::test]
async fn s5_13_socks_connects_by_v4_v6_and_name() {
    let world = World::lab().await;
    let target = echo().await;
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), target.port());
    let named = |name| socks_request_by_name(name, target.port());
    let requests = [
        socks_request(target),
        socks_request(mapped),
        named("LocalHost."),
        named("127.0.0.1"),
        named("[127.0.0.1]"),
        named("[::ffff:127.0.0.1]"),
    ];
    for request in requests {
        let (mut client, reply) = socks(&world, &request).await;
        assert_eq!(reply, 0);
        client.say("ping").await;
        assert_eq!(client.exactly(4).await, b"ping");
    }
    assert_eq!(world.settled().await, 6 * 8);
}

#[tokio::test]
async fn s5_06_a_handshake_may_come_byte_by_byte() {
    let world = World::lab().await;
    let target = echo().await;
    let mut client = world.client().await;
    client.stream.set_nodelay(true).unwrap();
    for byte in [SOCKS_LOGIN, &socks_request(target)].concat() {
        client.say([byte]).await;
        tokio::task::yield_now().await;
    }
    let replies = client.exactly(4 + 10).await;
    assert_eq!(replies.get(..6), Some(&[5, 2, 1, 0, 5, 0][..]));
    client.say("ping").await;
    assert_eq!(client.exactly(4).await, b"ping");
}

#[tokio::test]
async fn s5_05_a_listed_peer_needs_no_credentials_and_is_asked_where_it_offers_them() {
    let world = World::lab().await;
    let mut client = world.client().await;
    client.say(b"\x05\x01\x00").await;
    assert_eq!(client.rest().await, [5, 0xff]);
    world.list_loopback();
    let target = echo().await;
    let mut client = world.client().await;
    client.say([b"\x05\x01\x00", &socks_request(target)[..]].concat()).await;
    assert_eq!(client.exactly(4).await, [5, 0, 5, 0]);
    let mut client = world.client().await;
    client.say(b"\x05\x02\x00\x02").await;
    assert_eq!(client.exactly(2).await, [5, 2]);
}

#[tokio::test]
async fn an_empty_password_counts_as_none_from_a_listed_address_and_a_wrong_one_does_not() {
    let world = World::lab().await;
    let target = echo().await;
    let logins: [&[u8]; 3] =
        [b"\x05\x02\x00\x02\x01\x04root\x00", b"\x05\x01\x02\x01\x05alice\x00", b"\x05\x01\x02\x01\x00\x00"];
    let wrong = b"\x05\x01\x02\x01\x05alice\x05wrong";
    for login in logins {
        let mut client = world.client().await;
        client.say(login).await;
        assert_eq!(client.rest().await, [5, 2, 1, 1], "{login:?} from an address that is not listed");
    }
    world.list_loopback();
    for login in logins {
        let mut client = world.client().await;
        client.say([login, &socks_request(target)].concat()).await;
        assert_eq!(client.exactly(6).await, [5, 2, 1, 0, 5, 0], "{login:?}");
        let [view] = world.gateway.connections().try_into().unwrap();
        assert_eq!((view.info.sub_account, view.info.username.as_str()), (None, ""));
        drop(client);
        eventually("it ends", || world.gateway.connections().is_empty()).await;
    }
    let mut client = world.client().await;
    client.say(wrong).await;
    assert_eq!(client.rest().await, [5, 2, 1, 1], "a wrong password never falls back");
}

#[tokio::test]
async fn s5_08_s5_14_s5_15_what_socks_does_not_take() {
    let world = World::lab().await;
    let ends_with: [(&[u8], &[u8]); 7] = [
        (b"\x05\x00", b"\x05\xff"),
        (b"\x05\x01\x02\x05\x05alice\x06secret", b"\x05\x02\x01\x01"),
        (b"\x05\x01\x02\x01\x05alice\x05wrong", b"\x05\x02\x01\x01"),
        (b"\x05\x01\x02\x01\x06nobody\x06secret", b"\x05\x02\x01\x01"),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"\x00\x5b\x00\x00\x00\x00\x00\x00"),
        (b"\x16\x03\x01\x00\x05", b""),
        (b"\x80garbage", b""),
    ];
    for (said, heard) in ends_with {
        let mut client = world.client().await;
        client.say(said).await;
        assert_eq!(client.rest().await, heard, "{said:?}");
    }
    let requests: [(&[u8], u8); 5] = [
        (b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", 7),
        (b"\x05\x09\x00\x01\x7f\x00\x00\x01\x00\x50", 7),
        (b"\x05\x01\x00\x05\x7f\x00\x00\x01\x00\x50", 8),
        (b"\x05\x01\x00\x03\x00\x00\x50", 1),
        (b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x00", 1),
    ];
    for (request, reply) in requests {
        assert_eq!(socks(&world, request).await.1, reply, "{request:?}");
    }
}

#[tokio::test]
async fn s5_20_half_close_lets_ten_mebibytes_follow() {
    let world = World::lab().await;
    let target = origin(|mut client| async move {
        let mut request = Vec::new();
        client.stream.read_to_end(&mut request).await.unwrap();
        assert_eq!(request.len(), 3 * MIB);
        client.stream.write_all(&vec![7; 10 * MIB]).await.unwrap();
    })
    .await;
    let mut client = world.tunnel(target).await;
    client.say(vec![5; 3 * MIB]).await;
    client.finish().await;
    assert_eq!(client.rest().await.len(), 10 * MIB);
    assert_eq!(world.settled().await, 13 * MIB as u64);
}

#[tokio::test]
async fn s5_22_a_reset_travels_to_the_other_side() {
    let world = World::lab().await;
    let target = origin(|mut client| async move {
        client.exactly(4).await;
        client.stream.set_zero_linger().unwrap();
    })
    .await;
    let mut client = world.tunnel(target).await;
    client.say("ping").await;
    assert!(client.is_reset().await);

    let (told, tell) =
        (std::sync::Arc::new(tokio::sync::Notify::new()), std::sync::Arc::new(tokio::sync::Notify::new()));
    let (heard, ready) = (told.clone(), tell.clone());
    let target = origin(move |mut client| {
        let (heard, ready) = (heard.clone(), ready.clone());
        async move {
            client.exactly(4).await;
            ready.notify_one();
            assert!(client.is_reset().await);
            heard.notify_one();
        }
    })
    .await;
    let mut client = world.tunnel(target).await;
    client.say("ping").await;
    tell.notified().await;
    client.stream.set_zero_linger().unwrap();
    drop(client);
    tokio::time::timeout(Duration::from_secs(5), told.notified()).await.unwrap();
}

#[tokio::test]
async fn s5_33_silence_and_slowness_end_with_the_handshake_timeout() {
    let short = Duration::from_millis(200);
    let exits = vec![direct(1, ProxyType::Residential)];
    let world = World::with(exits, |config| config.limits.handshake_timeout = short).await;
    for said in
        [&b""[..], b"\x05\x01\x02", b"\x05\x01\x02\x01\x05alice\x06secret", b"GET http://a", b"CONNECT "]
    {
        let began = std::time::Instant::now();
        let mut client = world.client().await;
        client.say(said).await;
        client.rest().await;
        assert!(began.elapsed() >= short, "{said:?}");
    }
}

#[tokio::test]
async fn an_idle_tunnel_ends() {
    let exits = vec![direct(1, ProxyType::Residential)];
    let world = World::with(exits, |config| config.limits.idle_timeout = Duration::from_millis(100)).await;
    let mut client = world.tunnel(echo().await).await;
    client.say("ping").await;
    assert_eq!(client.rest().await, b"ping");
}

#[tokio::test]
async fn qm_14_who_loses_the_right_is_cut() {
    let world = World::lab().await;
    let target = echo().await;
    let mut client = world.tunnel(target).await;
    client.say("ping").await;
    client.exactly(4).await;
    world.control.publish(DirectoryChange::SubAccount(sub_account(ALICE_ID, "alice", false)));
    assert_eq!(client.rest().await, b"");
    assert_eq!(world.settled().await, 8);
}

#[tokio::test]
async fn the_operator_sees_and_closes_connections() {
    let world = World::lab().await;
    let target = echo().await;
    let mut client = world.tunnel(target).await;
    client.say("ping").await;
    client.exactly(4).await;
    eventually("both directions are counted", || {
        world.gateway.connections().first().is_some_and(|view| (view.bytes_up, view.bytes_down) == (4, 4))
    })
    .await;
    let view = world.gateway.connections().remove(0);
    assert_eq!((view.info.target, view.info.protocol), (target.to_string(), "connect"));
    assert_eq!(view.exit.map(|exit| exit.get()), Some(1));
    assert!(world.gateway.close(view.id));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn cf_03_draining_lets_connections_finish_and_then_ends_them() {
    let world = World::with(vec![direct(1, ProxyType::Residential)], |config| {
        config.drain_timeout = Duration::from_millis(300);
    })
    .await;
    let mut client = world.tunnel(echo().await).await;
    client.say("ping").await;
    client.exactly(4).await;
    let (drained, rest) = tokio::join!(world.gateway.drain(), client.rest());
    drained.unwrap();
    assert_eq!(rest, b"");
    assert_eq!(world.control.used(Some(ALICE_ID), ProxyType::Residential), 8);
    let refused = tokio::net::TcpSocket::new_v4().unwrap().connect(world.any).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn s5_18_targets_that_are_not_there() {
    let world = World::lab().await;
    assert_eq!(socks(&world, &socks_request(nobody().await)).await.1, 5);
    assert_eq!(world.settled().await, 0);
}
