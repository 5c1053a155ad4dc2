//! One gateway ends and another goes on: nobody who came meanwhile is turned away.

use std::io::Write as _;
use std::net::{self, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tempfile::TempDir;
use tollgate_gateway::{Gateway, GatewayConfig, Inherited, Run};
use tollgate_types::SystemClock;

use crate::world::{ALICE, Client, FakeControl, World, connect, echo, eventually, http_origin};

/// A gateway beside a world's own one, on a socket that somebody else keeps.
async fn on(socket: &net::TcpListener, world: &World) -> (Gateway<FakeControl>, TempDir) {
    let config = GatewayConfig {
        listeners: vec![(socket.local_addr().unwrap(), None)],
        allow_destinations: vec!["127.0.0.0/8".parse().unwrap()],
        static_proxies: false,
        drain_timeout: Duration::from_secs(5),
        ..GatewayConfig::default()
    };
    let inherited = Inherited::new(vec![socket.try_clone().unwrap()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = Run { folder: folder.path(), seed: [5; 32] };
    let clock = Arc::new(SystemClock);
    (Gateway::start_on(inherited, config, world.control.clone(), run, clock).await.unwrap(), folder)
}

fn held() -> net::TcpListener {
    net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

#[tokio::test]
async fn who_comes_between_two_runs_waits_at_an_inherited_socket_and_is_served_by_the_next_one() {
    let world = World::lab().await;
    let (socket, target) = (held(), echo().await);
    let (first, _folder) = on(&socket, &world).await;
    let mut early = Client::to(socket.local_addr().unwrap()).await;
    early.say(&connect(&target.to_string(), ALICE)).await;
    assert!(early.head().await.starts_with("HTTP/1.1 200 "));
    early.finish().await;
    assert_eq!(early.rest().await, b"");
    first.drain().await.unwrap();

    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut client = Client::to(socket.local_addr().unwrap()).await;
        client.say(&connect(&target.to_string(), ALICE)).await;
        waiting.push(client);
    }
    assert_eq!(world.gateway.connections().len(), 0);
    let (_second, _folder) = on(&socket, &world).await;
    for mut client in waiting {
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        client.say("ping").await;
        assert_eq!(client.exactly(4).await, b"ping");
    }
}

#[tokio::test]
async fn two_gateways_on_one_socket_take_turns_and_one_of_them_may_leave() {
    let world = World::lab().await;
    let (socket, target) = (held(), echo().await);
    let (first, _one) = on(&socket, &world).await;
    let (second, _two) = on(&socket, &world).await;
    let served = |gateway: &Gateway<FakeControl>| gateway.stats().accepted.load(Ordering::SeqCst);
    let talk = async || {
        let mut client = Client::to(socket.local_addr().unwrap()).await;
        client.say(&connect(&target.to_string(), ALICE)).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        client.say("ping").await;
        assert_eq!(client.exactly(4).await, b"ping");
    };
    for _ in 0..20 {
        talk().await;
    }
    assert_eq!(served(&first) + served(&second), 20);
    let leaving = async { first.drain().await.unwrap() };
    let going_on = async {
        for _ in 0..20 {
            talk().await;
        }
    };
    tokio::join!(leaving, going_on);
    for _ in 0..20 {
        talk().await;
    }
    assert_eq!(served(&first) + served(&second), 60);
    assert!(served(&second) >= 20);
}

#[tokio::test]
async fn who_waits_in_the_queue_of_a_gateways_own_socket_when_it_drains_is_served() {
    let world = World::lab().await;
    let target = echo().await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        // Without a pause, so that the gateway, on this same thread, cannot accept anybody yet.
        #[expect(clippy::disallowed_methods, reason = "this is a client of the gateway, not the gateway")]
        let mut client = net::TcpStream::connect(world.any).unwrap();
        client.write_all(connect(&target.to_string(), ALICE).as_bytes()).unwrap();
        waiting.push(client);
    }
    let draining = async { world.gateway.drain().await.unwrap() };
    let talking = async {
        for client in waiting {
            let mut client = Client::of(client);
            assert!(client.head().await.starts_with("HTTP/1.1 200 "));
            client.finish().await;
            assert_eq!(client.rest().await, b"");
        }
    };
    tokio::join!(draining, talking);
    let refused = tokio::net::TcpSocket::new_v4().unwrap().connect(world.any).await;
    assert!(refused.is_err(), "the port is closed");
}

#[tokio::test]
async fn who_was_accepted_before_the_drain_is_served_and_told_not_to_stay() {
    let world = World::lab().await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let (target, _) = http_origin(answer).await;
    let request = format!("GET http://{target}/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {ALICE}\r\n\r\n");
    let (begun, rest) = request.split_at(20);
    let mut slow = world.client().await;
    slow.say(begun).await;
    let mut kept = world.client().await;
    kept.say(&request).await;
    assert!(!kept.head().await.contains("close"));
    assert_eq!(kept.exactly(2).await, b"hi");
    let accepted = || world.gateway.stats().accepted.load(Ordering::SeqCst);
    eventually("both are accepted", || accepted() == 2).await;
    let draining = async { world.gateway.drain().await.unwrap() };
    let talking = async {
        // Between two requests: ended at once.
        assert_eq!(kept.rest().await, b"");
        slow.say(rest).await;
        let head = slow.head().await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Connection: close"), "{head}");
        assert_eq!(slow.rest().await, b"hi");
    };
    tokio::join!(draining, talking);
}
