//! SOCKS5 UDP ASSOCIATE: whom datagrams are taken from, where they go, what they cost, what ends it.

pub(crate) mod association;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;
use tollgate_gateway::{Dropped, GatewayConfig};
use tollgate_types::{DirectoryChange, ExitKind, ProxyType, Refusal};

use self::association::{Association, ask, echo, hears_nothing, socket, to, to_name};
use crate::world::{
    ALICE_ID, Client, PATIENCE, World, direct, eventually, exit, nobody, origin, sub_account,
};

/// So soon everything must be over.
const SOON: Duration = Duration::from_secs(2);

fn dropped(world: &World, why: Dropped) -> u64 {
    world.gateway.stats().drops().find(|(reason, _)| *reason == why).unwrap().1
}

/// Waits until so many datagrams were dropped for a reason.
async fn drops(world: &World, why: Dropped, count: u64) {
    eventually(&format!("{count} dropped: {why:?}"), || dropped(world, why) >= count).await;
    assert_eq!(dropped(world, why), count, "{why:?}");
}

/// A world of which names and other things are set.
async fn lab(change: impl FnOnce(&mut GatewayConfig)) -> World {
    World::with(vec![direct(1, ProxyType::Residential)], change).await
}

#[tokio::test]
async fn s5_23_a_query_is_answered_and_the_header_names_the_real_server() {
    let world = lab(|config| {
        config.hosts.insert("dns.test".into(), vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()]);
    })
    .await;
    let server = echo("127.0.0.1").await;
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), server.port());
    let association = Association::open(&world).await;
    assert_eq!(association.relay.ip(), world.any.ip(), "where the client has reached the gateway");
    for (header, what) in [
        (to(server), "by address"),
        (to(mapped), "by a mapped address"),
        (to_name("dns.test", server.port()), "by name"),
        (to_name("DNS.test.", server.port()), "by the same name in another spelling"),
        (to_name("dns.test", server.port()), "by a name that is known already"),
        (to_name("127.0.0.1", server.port()), "by an address as text"),
    ] {
        association.send(&header, b"query").await;
        assert_eq!(association.receive().await, (server, b"query".to_vec()), "{what}");
    }
    let six = echo("::1").await;
    association.send(&to(six), b"").await;
    assert_eq!(association.receive().await, (six, Vec::new()), "an empty payload over IPv6");
    let [view] = world.gateway.connections().try_into().unwrap();
    assert_eq!((view.info.protocol, view.info.target.as_str()), ("socks5-udp", "0.0.0.0:0"));
    assert_eq!((view.bytes_up, view.bytes_down), (30, 30));
    assert!(view.exit.is_some());
    assert_eq!(world.gateway.stats().udp_associations.load(Ordering::SeqCst), 1);
    drop(association);
    assert_eq!(world.settled().await, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_29_qm_01_ten_mebibytes_each_way_are_billed_to_the_byte() {
    let world = World::lab().await;
    let server = echo("127.0.0.1").await;
    let association = Association::open(&world).await;
    let (header, payload) = (to(server), vec![7; 1452]);
    let (mut sent, mut back) = (0, 0);
    // A few on their way at once, so that the system's buffers lose none.
    while back < 10 << 20 {
        while sent < back + 16 * payload.len() {
            association.send(&header, &payload).await;
            sent += payload.len();
        }
        back += association.receive().await.1.len();
    }
    while back < sent {
        back += association.receive().await.1.len();
    }
    drop(association);
    assert_eq!(world.settled().await, (sent + back) as u64);
}

#[tokio::test]
async fn s5_29_a_limit_ends_the_association_and_no_byte_goes_beyond_it() {
    for (limit, size) in [(100_000, 1000), (100_003, 1000), (99_999, 40_000), (70, 100)] {
        let world = World::lab().await;
        world.control.fund(ALICE_ID, limit);
        let server = echo("127.0.0.1").await;
        let mut association = Association::open(&world).await;
        let (header, payload) = (to(server), vec![7; size]);
        let mut moved = 0;
        loop {
            association.send(&header, &payload).await;
            let Some(back) = association.receive_or_end().await else { break };
            assert_eq!(back, payload, "as a whole or not at all");
            moved += 2 * back.len() as u64;
        }
        assert!(association.is_dead().await);
        // The last one up may have been granted, and the one that would answer it not.
        let billed = world.settled().await;
        assert!(billed == moved || billed == moved + size as u64, "{billed} {moved}");
        assert!(billed <= limit && billed + size as u64 > limit, "{billed} of {limit} by {size}");
        let told = || world.control.notes.lock().unwrap().first().map(|note| note.refusal);
        eventually("its owner is told", || told() == Some(Refusal::TrafficLimit)).await;
    }
}

#[tokio::test]
async fn s5_26_the_port_dies_with_the_tcp_connection_and_can_be_used_again() {
    let world = World::lab().await;
    let server = echo("127.0.0.1").await;
    for how in ["an end", "a reset", "talk"] {
        let mut association = Association::open(&world).await;
        association.send(&to(server), b"ping").await;
        association.receive().await;
        match how {
            "an end" => association.control.finish().await,
            "a reset" => {
                let stream = association.control.stream;
                stream.set_zero_linger().unwrap();
                drop(stream);
                association.control = Client::to(server_of_nothing().await).await;
            }
            _ => association.control.say(vec![b'x'; 100_000]).await,
        }
        let relay = association.relay;
        timeout(SOON, eventually(how, || std::net::UdpSocket::bind(relay).is_ok())).await.unwrap();
        assert!(association.is_dead().await, "{how}");
    }
    eventually("nobody is left", || world.gateway.connections().is_empty()).await;
}

/// Where a connection stays open and nothing is said.
async fn server_of_nothing() -> SocketAddr {
    origin(|mut client| async move {
        client.rest().await;
    })
    .await
}

#[tokio::test]
async fn s5_30_strangers_get_not_a_byte_and_are_not_relayed() {
    let world = World::lab().await;
    let (server, heard) = association::listener("127.0.0.1").await;
    let association = Association::open(&world).await;
    let datagram = [to(server), b"stranger".to_vec()].concat();
    let elsewhere = socket("127.0.0.2").await;
    elsewhere.send_to(&datagram, association.relay).await.unwrap();
    drops(&world, Dropped::Stranger, 1).await;
    association.send(&to(server), b"friend").await;
    eventually("the friend is heard", || heard.lock().unwrap().len() == 1).await;
    // The port is the first datagram's now, and nobody else's of the same address.
    let neighbour = socket("127.0.0.1").await;
    for other in [&elsewhere, &neighbour] {
        other.send_to(&datagram, association.relay).await.unwrap();
        hears_nothing(other).await;
    }
    assert_eq!(*heard.lock().unwrap(), [b"friend"]);
    drop(association);
    assert_eq!(world.settled().await, 6);
}

#[tokio::test]
async fn what_the_request_names_is_a_hint_and_the_first_datagram_fixes_the_port() {
    let world = World::lab().await;
    let server = echo("127.0.0.1").await;
    let elsewhere = socket("127.0.0.1").await;
    // Behind NAT another port arrives than the one that was named; some clients name the destination.
    for named in [elsewhere.local_addr().unwrap(), server, "192.0.2.1:65535".parse().unwrap()] {
        let sender = socket("127.0.0.1").await;
        let association = Association::naming(&world, named.ip(), named.port(), sender).await;
        association.send(&to(server), b"ping").await;
        assert_eq!(association.receive().await, (server, b"ping".to_vec()), "{named}");
        // From now on the port is fixed: the one that was named has no right to it.
        elsewhere.send_to(&[to(server), b"late".to_vec()].concat(), association.relay).await.unwrap();
        hears_nothing(&elsewhere).await;
        association.send(&to(server), b"pong").await;
        assert_eq!(association.receive().await.1, b"pong", "{named}");
    }
    assert_eq!(world.settled().await, 3 * 4 * 4);
}

#[tokio::test]
async fn only_those_answer_whom_the_client_has_sent_to() {
    let world = World::lab().await;
    let (server, heard) = association::listener("127.0.0.1").await;
    let association = Association::open(&world).await;
    association.send(&to(server), b"hello").await;
    eventually("it is heard", || heard.lock().unwrap().len() == 1).await;
    let leaves_from = association::last_peer(&heard);
    let other = socket("127.0.0.1").await;
    other.send_to(b"unsolicited", leaves_from).await.unwrap();
    drops(&world, Dropped::Unsolicited, 1).await;
    hears_nothing(&association.socket).await;
    // Now it has.
    association.send(&to(other.local_addr().unwrap()), b"you too").await;
    other.send_to(b"solicited", leaves_from).await.unwrap();
    assert_eq!(association.receive().await, (other.local_addr().unwrap(), b"solicited".to_vec()));
}

#[tokio::test]
async fn s5_25_what_is_no_datagram_is_dropped_and_the_association_lives_on() {
    let world = World::lab().await;
    let server = echo("127.0.0.1").await;
    let association = Association::open(&world).await;
    let good = to(server);
    let with = |at: usize, octet: u8| {
        let mut header = good.clone();
        header[at] = octet;
        header
    };
    let mut nowhere = good.clone();
    nowhere[8..].copy_from_slice(&[0, 0]);
    let malformed = [
        Vec::new(),
        vec![0, 0],
        with(0, 1),
        with(1, 1),
        with(3, 9),
        with(3, 4),
        vec![0, 0, 0, 3, 200, b'a', b'b', 0, 53],
        vec![0, 0, 0, 3, 0, 0, 53],
        vec![0, 0, 0, 3, 3, b'a', b' ', b'b', 0, 53],
        vec![0, 0, 0, 3, 1, b'a', 0, 0],
        nowhere,
    ];
    for datagram in &malformed {
        association.send(datagram, b"").await;
    }
    drops(&world, Dropped::Malformed, malformed.len() as u64).await;
    for fragment in [1, 2, 0x80] {
        association.send(&with(2, fragment), b"fragment").await;
    }
    drops(&world, Dropped::Fragment, 3).await;
    association.send(&good, b"ping").await;
    assert_eq!(association.receive().await, (server, b"ping".to_vec()));
    drop(association);
    assert_eq!(world.settled().await, 8);
}

#[tokio::test]
async fn s5_27_the_largest_datagrams_and_bursts_pass_whole_or_not_at_all() {
    let world = World::lab().await;
    let server = echo("127.0.0.1").await;
    let association = Association::open(&world).await;
    // 65,507 bytes with the header: the longest datagram that there is.
    let payload: Vec<u8> = (0..65_497_u32).map(|n| n.to_le_bytes()[0]).collect();
    association.send(&to(server), &payload).await;
    assert_eq!(association.receive().await, (server, payload));
    // A longer one cannot get its header.
    let (talker, heard) = association::listener("127.0.0.1").await;
    association.send(&to(talker), b"say much").await;
    eventually("it is heard", || heard.lock().unwrap().len() == 1).await;
    association::say(&heard, &vec![1; 65_498]).await;
    drops(&world, Dropped::TooLarge, 1).await;
    for _ in 0..2000 {
        association.send(&to(server), &[3; 1200]).await;
    }
    // Some of them are lost on the way, as they may be.
    let mut back = 0;
    while let Ok((_, payload)) = timeout(Duration::from_millis(200), association.receive()).await {
        assert_eq!(payload, [3; 1200]);
        back += 1;
    }
    assert!(back > 0);
    association.send(&to(server), b"ping").await;
    assert_eq!(association.receive().await.1, b"ping");
}

#[tokio::test]
async fn s5_28_closed_destinations_are_never_sent_to() {
    let world = lab(|config| {
        config.allow_destinations.clear();
        config.hosts.insert("inside.test".into(), vec!["127.0.0.1".parse().unwrap()]);
    })
    .await;
    let (server, heard) = association::listener("127.0.0.1").await;
    let association = Association::open(&world).await;
    let port = server.port();
    let at = |ip: &str| to(SocketAddr::new(ip.parse().unwrap(), port));
    let closed = [
        at("127.0.0.1"),
        at("::1"),
        at("::ffff:127.0.0.1"),
        at("0.0.0.0"),
        at("10.0.0.1"),
        at("169.254.169.254"),
        at("224.0.0.1"),
        at("ff02::1"),
        at("255.255.255.255"),
        to_name("inside.test", port),
        to_name("127.0.0.1", port),
    ];
    for header in &closed {
        association.send(header, b"knock").await;
    }
    drops(&world, Dropped::Blocked, closed.len() as u64).await;
    assert!(heard.lock().unwrap().is_empty());
    drop(association);
    assert_eq!(world.settled().await, 0);
}

#[tokio::test]
async fn closed_ports_and_the_gateway_itself_are_closed_to_datagrams_too() {
    let world = World::lab().await;
    let association = Association::open(&world).await;
    association.send(&to("127.0.0.1:25".parse().unwrap()), b"helo").await;
    association.send(&to(world.any), b"hello").await;
    drops(&world, Dropped::Blocked, 2).await;
}

#[tokio::test]
async fn s5_31_a_caller_has_a_bounded_number_of_associations_and_others_have_theirs() {
    let world = lab(|config| config.udp_associations_per_caller = 2).await;
    let first = Association::open(&world).await;
    let _second = Association::open(&world).await;
    assert_eq!(ask(&world, "alice", 3, "0.0.0.0:0").await.1, 2);
    let (_bobs, rep, _) = ask(&world, "bob", 3, "0.0.0.0:0").await;
    assert_eq!(rep, 0);
    let (_tunnel, rep, _) = ask(&world, "alice", 1, &server_of_nothing().await.to_string()).await;
    assert_eq!(rep, 0, "connections are counted apart");
    drop(first);
    eventually("the place is free", || world.gateway.connections().len() == 3).await;
    assert_eq!(ask(&world, "alice", 3, "0.0.0.0:0").await.1, 0);
}

#[tokio::test]
async fn s5_15_where_datagrams_are_off_the_command_is_not_supported() {
    let world = lab(|config| config.udp = false).await;
    let (mut client, rep, _) = ask(&world, "alice", 3, "0.0.0.0:0").await;
    assert_eq!((rep, client.rest().await.len()), (7, 0));
    let world = World::lab().await;
    assert_eq!(ask(&world, "alice", 2, "0.0.0.0:0").await.1, 7, "nor is BIND anywhere");
}

#[tokio::test]
async fn datagrams_leave_by_direct_exits_only() {
    let address = nobody().await.to_string();
    let http =
        |id| exit(id, ProxyType::Residential, ExitKind::Http { address: address.clone(), credentials: None });
    let world = World::with((1..=9).map(http).collect(), |_| ()).await;
    assert_eq!(ask(&world, "alice", 3, "0.0.0.0:0").await.1, 1);
    let leaves_from: IpAddr = "127.0.0.77".parse().unwrap();
    let bound = exit(10, ProxyType::Residential, ExitKind::Direct { bind_ip: Some(leaves_from) });
    let world = World::with((1..=9).map(http).chain([bound]).collect(), |_| ()).await;
    let (server, heard) = association::listener("127.0.0.1").await;
    for _ in 0..5 {
        let association = Association::open(&world).await;
        association.send(&to("[::1]:9".parse().unwrap()), b"of the other family").await;
        association.send(&to(server), b"hello").await;
        eventually("it is heard", || !heard.lock().unwrap().is_empty()).await;
        assert_eq!(association::last_peer(&heard).ip(), leaves_from);
        heard.lock().unwrap().clear();
    }
    drops(&world, Dropped::Unreachable, 5).await;
}

#[tokio::test]
async fn an_exit_whose_address_is_gone_is_passed_over_and_remembered() {
    let gone = |id| {
        let bind_ip = Some("203.0.113.7".parse().unwrap());
        exit(id, ProxyType::Residential, ExitKind::Direct { bind_ip })
    };
    let world = World::with(vec![gone(1)], |_| ()).await;
    assert_eq!(ask(&world, "alice", 3, "0.0.0.0:0").await.1, 1);
    let status = world.gateway.exit_status();
    assert_eq!(status.first().unwrap().1.failures, 1);
    let world = World::with(vec![gone(1), direct(2, ProxyType::Residential)], |_| ()).await;
    for _ in 0..20 {
        assert_eq!(ask(&world, "alice", 3, "0.0.0.0:0").await.1, 0);
    }
}

#[tokio::test]
async fn a_lost_right_silence_and_the_end_of_the_gateway_end_associations() {
    let world = World::lab().await;
    let mut association = Association::open(&world).await;
    world.control.publish(DirectoryChange::SubAccount(sub_account(ALICE_ID, "alice", false)));
    timeout(SOON, association.control.rest()).await.unwrap();
    assert!(association.is_dead().await);

    let world = lab(|config| config.limits.idle_timeout = Duration::from_millis(200)).await;
    let mut association = Association::open(&world).await;
    timeout(SOON, association.control.rest()).await.unwrap();
    assert!(association.is_dead().await);

    let world = lab(|config| config.drain_timeout = Duration::from_millis(100)).await;
    let mut association = Association::open(&world).await;
    let server = echo("127.0.0.1").await;
    association.send(&to(server), b"ping").await;
    association.receive().await;
    timeout(PATIENCE, world.gateway.drain()).await.unwrap().unwrap();
    timeout(SOON, association.control.rest()).await.unwrap();
    assert!(association.is_dead().await);
    assert_eq!(world.control.used(Some(ALICE_ID), ProxyType::Residential), 8);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_holds_up_nobody_else() {
    let world = World::lab().await;
    let server = echo("127.0.0.1").await;
    let association = Association::open(&world).await;
    for number in 0..20 {
        association.send(&to_name(&format!("n{number}.does-not-exist.invalid"), 53), &[0; 100]).await;
    }
    association.send(&to(server), b"ping").await;
    let answer = timeout(SOON, association.receive()).await.expect("nothing waits for the names");
    assert_eq!(answer.1, b"ping");
    let lost = || dropped(&world, Dropped::Busy) + dropped(&world, Dropped::Unresolved);
    eventually("what went to them is dropped", || lost() == 20).await;
    drop(association);
    assert_eq!(world.settled().await, 8);
}

#[tokio::test]
async fn an_address_for_clients_behind_nat_is_told_as_it_was_set() {
    let public = "198.51.100.7".parse().unwrap();
    let world = lab(|config| config.udp_public_address = Some(public)).await;
    let (_control, rep, told) = ask(&world, "alice", 3, "0.0.0.0:0").await;
    assert_eq!((rep, told.ip()), (0, public));
    assert!(UdpSocket::bind(SocketAddr::new(world.any.ip(), told.port())).await.is_err(), "it is taken");
}

#[tokio::test]
async fn a_listener_on_every_address_tells_each_client_the_one_that_it_has_reached() {
    let everywhere = "[::]:0".parse().unwrap();
    let world = lab(|config| config.listeners = vec![(everywhere, None); 2]).await;
    let server = echo("127.0.0.1").await;
    for local in ["127.0.0.1", "127.0.0.5", "::1"] {
        let reached = SocketAddr::new(local.parse().unwrap(), world.any.port());
        let mut control = Client::to(reached).await;
        let (rep, relay) = association::ask_over(&mut control, "alice", 3, reached).await;
        assert_eq!((rep, relay.ip()), (0, reached.ip()), "{local}");
    }
    // What is named is no matter, neither the address nor the port.
    let mut control = Client::to(SocketAddr::new("::1".parse().unwrap(), world.any.port())).await;
    let socket = socket("::1").await;
    let named = SocketAddr::new("10.1.2.3".parse().unwrap(), world.any.port());
    let (_, relay) = association::ask_over(&mut control, "alice", 3, named).await;
    let association = Association { control, socket, relay };
    association.send(&to(server), b"ping").await;
    assert_eq!(association.receive().await, (server, b"ping".to_vec()));
}

#[tokio::test]
async fn a_listed_address_needs_no_credentials_and_the_operator_ends_what_he_likes() {
    let world = lab(|_| ()).await;
    world.list_loopback();
    let server = echo("127.0.0.1").await;
    let mut control = Client::to(world.any).await;
    control.say([&[5, 1, 0][..], &[5, 3, 0, 1, 0, 0, 0, 0, 0, 0]].concat()).await;
    let reply = control.exactly(2 + 10).await;
    assert_eq!(reply[..6], [5, 0, 5, 0, 0, 1]);
    let relay = SocketAddr::from(([127, 0, 0, 1], u16::from_be_bytes([reply[10], reply[11]])));
    let mut association = Association { control, socket: socket("127.0.0.1").await, relay };
    association.send(&to(server), b"ping").await;
    association.receive().await;
    let [view] = world.gateway.connections().try_into().unwrap();
    assert!(world.gateway.close(view.id));
    timeout(SOON, association.control.rest()).await.unwrap();
    assert!(association.is_dead().await);
    assert_eq!(world.settled_of(None, ProxyType::Residential).await, 8);
}

#[tokio::test]
async fn datagrams_of_a_session_do_not_move_its_connections_off_an_upstream_proxy() {
    let upstream = origin(|mut client| async move {
        client.head().await;
        client.say("HTTP/1.1 200 OK\r\n\r\nby the upstream").await;
    })
    .await;
    let kind = ExitKind::Http { address: upstream.to_string(), credentials: None };
    let exits = vec![exit(1, ProxyType::Residential, kind), direct(2, ProxyType::Residential)];
    let world = World::with(exits, |_| ()).await;
    let target = origin(|mut client| async move { client.say("straight").await }).await;
    let mut seen = std::collections::HashSet::new();
    for session in 0..20 {
        // As many sessions as it takes for some to be on either exit.
        let user = format!("alice-session-s{session}");
        let mut said = Vec::new();
        for _ in 0..2 {
            let (mut tunnel, rep, _) = ask(&world, &user, 1, &target.to_string()).await;
            assert_eq!(rep, 0);
            said.push(String::from_utf8(tunnel.rest().await).unwrap());
            let (association, rep, _) = ask(&world, &user, 3, "0.0.0.0:0").await;
            assert_eq!(rep, 0);
            drop(association);
        }
        assert_eq!(said[0], said[1], "{user}");
        seen.insert(said.remove(0));
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test]
async fn an_association_counts_as_two_connections_for_the_sockets_that_it_has() {
    let world = lab(|config| config.limits.max_connections = 3).await;
    let association = Association::open(&world).await;
    let clients = || world.gateway.presence().clients;
    assert_eq!(clients(), 2);
    let (second, rep, _) = ask(&world, "alice", 3, "0.0.0.0:0").await;
    assert_eq!(rep, 1, "there is no room for its sockets");
    drop((association, second));
    eventually("all seats are free", || clients() == 0).await;
    let (_client, rep, _) = ask(&world, "alice", 3, "0.0.0.0:0").await;
    assert_eq!((rep, clients()), (0, 2));
}
