//! SOCKS4 and SOCKS4a: who enters, where to, and what is refused.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;

use tollgate_types::{ProxyType, Refusal};

use crate::names::NameServer;
use crate::world::{ALICE_ID, Client, World, direct, echo, eventually};

const GRANTED: u8 = 90;
const REJECTED: [u8; 8] = [0, 91, 0, 0, 0, 0, 0, 0];

/// A request for an address, as this user.
fn by_address(target: SocketAddr, user: &str) -> Vec<u8> {
    let SocketAddr::V4(target) = target else { panic!("SOCKS4 carries IPv4 addresses") };
    request(1, target.port(), *target.ip(), user)
}

/// A request for a name, as this user.
fn by_name(name: &str, port: u16, user: &str) -> Vec<u8> {
    [&request(1, port, Ipv4Addr::new(0, 0, 0, 1), user), name.as_bytes(), &[0]].concat()
}

fn request(command: u8, port: u16, ip: Ipv4Addr, user: &str) -> Vec<u8> {
    [&[4, command][..], &port.to_be_bytes(), &ip.octets(), user.as_bytes(), &[0]].concat()
}

/// A client whose request is granted, and whose tunnel echoes.
async fn granted(world: &World, request: &[u8]) -> Client {
    let mut client = world.client().await;
    // What follows the request belongs to the tunnel.
    client.say([request, b"ping"].concat()).await;
    let reply = client.exactly(8).await;
    assert_eq!((reply[0], reply[1]), (0, GRANTED), "{}", request.escape_ascii());
    assert_eq!(client.exactly(4).await, b"ping");
    client
}

/// Asserts that a request is refused, and the connection ended.
async fn refused(world: &World, request: &[u8]) {
    let mut client = world.client().await;
    client.say(request).await;
    assert_eq!(client.rest().await, REJECTED, "{}", request.escape_ascii());
}

#[tokio::test]
async fn a_user_id_with_a_password_is_a_login_with_parameters() {
    let world = World::lab().await;
    let target = echo().await;
    for user in ["alice:secret", "ALICE-country-us-session-a1:secret"] {
        let client = granted(&world, &by_address(target, user)).await;
        let [view] = world.gateway.connections().try_into().unwrap();
        assert_eq!((view.info.protocol, view.info.sub_account), ("socks4", Some(ALICE_ID)));
        assert_eq!(view.info.username, "alice");
        drop(client);
        eventually("it ends", || world.gateway.connections().is_empty()).await;
    }
    for user in ["", "alice", "root", "alice:wrong", "alice:", ":secret", "nobody:secret", "idle:secret"] {
        refused(&world, &by_address(target, user)).await;
    }
    assert_eq!(world.gateway.stats().socks4_tunnels.load(Ordering::SeqCst), 2);
    assert_eq!(world.settled().await, 2 * 8);
}

#[tokio::test]
async fn a_listed_address_enters_whatever_its_user_is_called_and_a_wrong_password_does_not() {
    let world = World::lab().await;
    let target = echo().await;
    world.list_loopback();
    for user in ["", "root", "root:"] {
        let client = granted(&world, &by_address(target, user)).await;
        let [view] = world.gateway.connections().try_into().unwrap();
        assert_eq!(view.info.sub_account, None, "{user}");
        drop(client);
        eventually("it ends", || world.gateway.connections().is_empty()).await;
    }
    for user in ["alice:wrong", "\u{7f}:secret"] {
        refused(&world, &by_address(target, user)).await;
    }
}

#[tokio::test]
async fn socks4a_carries_names_that_are_resolved_here() {
    let server = NameServer::loopback().await;
    let world = server.world(|_| ()).await;
    let port = echo().await.port();
    for name in
        ["origin.test", "Origin.test.", "a_b.test", "b\u{fc}cher.test", "127.0.0.1", "[::ffff:127.0.0.1]"]
    {
        granted(&world, &by_name(name, port, "alice:secret")).await;
    }
}

#[tokio::test]
async fn what_socks4_does_not_take_is_refused_and_noted_for_its_owner() {
    let world = World::lab().await;
    let target = echo().await;
    let user = "alice:secret";
    for request in [
        request(2, 80, Ipv4Addr::LOCALHOST, user),
        by_address("10.0.0.1:80".parse().unwrap(), user),
        by_address("127.0.0.1:0".parse().unwrap(), user),
        by_name("127.1", 80, user),
        by_address(target, "alice-contry-us:secret"),
    ] {
        refused(&world, &request).await;
    }
    // Too long for anything: refused while it is still coming.
    refused(&world, &[&b"\x04\x01\x00\x50\x7f\x00\x00\x01"[..], &[b'u'; 512]].concat()).await;
    eventually("the owner is told", || world.control.notes.lock().unwrap().len() >= 4).await;
    world.gateway.drain().await.unwrap();
    let notes = world.control.notes.lock().unwrap();
    assert!(notes.iter().all(|note| note.sub_account == Some(ALICE_ID)), "{notes:?}");
    let count =
        |refusal| notes.iter().filter(|note| note.refusal == refusal).map(|note| note.count).sum::<u32>();
    let of = [Refusal::Unsupported, Refusal::HostBlocked, Refusal::BadRequest, Refusal::BadParam];
    assert_eq!(of.map(count), [1, 1, 2, 1], "{notes:?}");
}

#[tokio::test]
async fn a_request_of_socks4_may_come_byte_by_byte_and_an_unfinished_one_costs_nothing() {
    let world = World::lab().await;
    let request = by_name("localhost", echo().await.port(), "alice:secret");
    let mut client = world.client().await;
    client.stream.set_nodelay(true).unwrap();
    for byte in &request {
        client.say([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.exactly(2).await, [0, GRANTED]);
    let mut client = world.client().await;
    client.say(&request[..request.len() - 1]).await;
    client.finish().await;
    assert_eq!(client.rest().await, REJECTED);
}

#[tokio::test]
async fn socks4_can_be_turned_off() {
    let exits = vec![direct(1, ProxyType::Residential)];
    let world = World::with(exits, |config| config.socks4 = false).await;
    world.list_loopback();
    refused(&world, &by_address(echo().await, "alice:secret")).await;
}
