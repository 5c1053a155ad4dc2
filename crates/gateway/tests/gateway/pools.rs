//! Pools of exits over time: who is left out, who is probed, where sessions stay.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate_gateway::{ExitStatus, LeftOut, Target};
use tollgate_types::{Clock, DirectoryChange, Exit, ExitCredentials, ExitKind, Pools, ProxyType, Time};

use crate::world::{ALICE, Client, World, connect, direct, echo, eventually, exit, nobody, origin};

const RES: ProxyType = ProxyType::Residential;

/// A clock that a test sets.
struct Watch(AtomicI64);

impl Watch {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_800_000_000_000_000)))
    }

    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for Watch {
    fn now(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Direct exits that leave from 127.0.1.ID, so that the target sees which it was.
fn numbered(ids: impl IntoIterator<Item = u8>) -> Vec<Exit> {
    let numbered =
        |id: u8| exit(id.into(), RES, ExitKind::Direct { bind_ip: Some(IpAddr::from([127, 0, 1, id])) });
    ids.into_iter().map(numbered).collect()
}

/// A target that says by which numbered exit the connection came.
async fn mirror() -> SocketAddr {
    origin(|mut client| async move {
        let IpAddr::V4(ip) = client.stream.peer_addr().unwrap().ip() else { return };
        client.say([ip.octets()[3]]).await;
    })
    .await
}

fn basic(user: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("{user}:secret");
    let mut encoded = String::from("Basic ");
    for three in text.as_bytes().chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            encoded.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    encoded
}

/// By which numbered exit a user's connection left.
async fn exit_of(world: &World, user: &str, mirror: SocketAddr) -> u8 {
    let mut client = world.client().await;
    client.say(connect(&mirror.to_string(), &basic(user))).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.exactly(1).await[0]
}

async fn exits_of(world: &World, sessions: usize, mirror: SocketAddr) -> BTreeMap<usize, u8> {
    let mut found = BTreeMap::new();
    for n in 0..sessions {
        found.insert(n, exit_of(world, &format!("alice-session-s{n}"), mirror).await);
    }
    found
}

fn status(world: &World, id: i64) -> ExitStatus {
    world.gateway.exit_status().into_iter().find(|(exit, _)| exit.get() == id).unwrap().1
}

async fn ask(world: &World, target: &str, credentials: &str) -> (Client, String) {
    let mut client = world.client().await;
    client.say(connect(target, credentials)).await;
    let head = client.head().await;
    (client, head)
}

#[tokio::test]
async fn sessions_stay_on_their_exits_over_a_restart_and_move_on_when_their_time_is_over() {
    let (clock, mirror) = (Watch::new(), mirror().await);
    let world = World::at(clock.clone(), numbered(1..=8), |_| ()).await;
    let first = exits_of(&world, 20, mirror).await;
    clock.pass(601);
    let second = exits_of(&world, 20, mirror).await;
    assert!(first.iter().all(|(n, exit)| second[n] != *exit), "after its time each has another exit");
    let folder = world.folder.clone();
    world.settled().await;

    let world = World::in_folder(folder.clone(), clock.clone(), numbered(1..=8), |_| ()).await;
    clock.pass(590);
    assert_eq!(exits_of(&world, 20, mirror).await, second, "a restart moves nobody");
    clock.pass(11);
    let third = exits_of(&world, 20, mirror).await;
    assert!(second.iter().all(|(n, exit)| third[n] != *exit), "and their time goes on over it");
    world.settled().await;

    std::fs::write(folder.path().join("sessions"), "junk").unwrap();
    let world = World::in_folder(folder, clock, numbered(1..=8), |_| ()).await;
    assert_eq!(exits_of(&world, 20, mirror).await, first, "without memory they begin anew");
}

#[tokio::test]
async fn sessions_are_written_down_while_the_gateway_runs() {
    let mirror = mirror().await;
    let world = World::with(numbered(1..=4), |_| ()).await;
    exits_of(&world, 5, mirror).await;
    let file = world.folder.path().join("sessions");
    eventually("the file is there", || std::fs::read(&file).is_ok_and(|bytes| bytes.len() > 5 * 40)).await;
}

#[tokio::test]
async fn an_exit_that_joins_moves_no_session_that_is_under_way() {
    let mirror = mirror().await;
    let world = World::with(numbered(1..=3), |_| ()).await;
    let before = exits_of(&world, 30, mirror).await;
    world.control.publish(DirectoryChange::Exits(Arc::new(Pools::new(numbered(1..=9)))));
    assert_eq!(exits_of(&world, 30, mirror).await, before);
    // Fresh sessions are where every gateway that knows these exits has them.
    let other = World::with(numbered(1..=9), |_| ()).await;
    for n in 100..130 {
        let user = format!("alice-session-s{n}");
        assert_eq!(exit_of(&world, &user, mirror).await, exit_of(&other, &user, mirror).await);
    }
}

#[tokio::test]
async fn sessions_of_an_exit_that_is_taken_away_move_and_the_others_stay() {
    let mirror = mirror().await;
    let world = World::with(numbered(1..=5), |_| ()).await;
    let before = exits_of(&world, 30, mirror).await;
    world.control.publish(DirectoryChange::Exits(Arc::new(Pools::new(numbered(1..=4)))));
    let after = exits_of(&world, 30, mirror).await;
    for (n, exit) in before {
        assert!(after[&n] == exit || (exit == 5 && after[&n] != 5), "session {n} was on {exit}");
    }
}

#[tokio::test]
async fn no_exit_is_said_only_when_every_exit_is_full() {
    let mut exits: Vec<Exit> = (1..=12).map(|id| direct(id, RES)).collect();
    exits.iter_mut().for_each(|exit| exit.max_connections = 1);
    let world = Arc::new(World::with(exits, |_| ()).await);
    let target = echo().await.to_string();
    let crowd: Vec<_> = (0..30)
        .map(|_| {
            let (world, target) = (world.clone(), target.clone());
            tokio::spawn(async move { ask(&world, &target, ALICE).await })
        })
        .collect();
    let mut held = Vec::new();
    let mut refused = 0;
    for asked in crowd {
        let (client, head) = asked.await.unwrap();
        refused += usize::from(head.contains("NO_EXIT"));
        held.push(client);
    }
    let carried: Vec<u32> = world.gateway.exit_status().iter().map(|(_, exit)| exit.connections).collect();
    assert_eq!((refused, carried), (18, vec![1; 12]));
}

/// An upstream HTTP proxy that grants every CONNECT, or falls silent behind it; counts what comes.
async fn upstream(is_silent: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = asked.clone();
    let address = origin(move |mut client| {
        let seen = seen.clone();
        async move {
            let head = client.rest_of_head().await;
            if head.starts_with("CONNECT ") {
                seen.fetch_add(1, Ordering::SeqCst);
                if is_silent {
                    std::future::pending::<()>().await;
                }
                client.say("HTTP/1.1 200 OK\r\n\r\n").await;
                client.rest().await;
            }
        }
    })
    .await;
    (address, asked)
}

fn http(id: i64, address: SocketAddr) -> Exit {
    exit(id, RES, ExitKind::Http { address: address.to_string(), credentials: None })
}

#[tokio::test]
async fn cf_14_an_exit_that_swallows_requests_is_left_out_beside_good_ones() {
    let (hole, asked) = upstream(true).await;
    let mut exits = vec![http(1, hole)];
    for id in 2..=4 {
        exits.push(http(id, upstream(false).await.0));
    }
    let world =
        Arc::new(World::with(exits, |config| config.connect_timeout = Duration::from_millis(400)).await);
    for _ in 0..60 {
        let asks: Vec<_> = (0..4)
            .map(|_| {
                let world = world.clone();
                tokio::spawn(async move { ask(&world, "example.com:443", ALICE).await.1 })
            })
            .collect();
        for head in asks {
            assert!(head.await.unwrap().starts_with("HTTP/1.1 200 "), "another exit was tried");
        }
        if !status(&world, 1).healthy {
            break;
        }
    }
    assert!(matches!(status(&world, 1).left_out, Some((LeftOut::Outlier, _))), "{:?}", status(&world, 1));
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..20 {
        ask(&world, "example.com:443", ALICE).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), before, "nobody waits for it any more");
}

#[tokio::test]
async fn a_target_that_swallows_everything_takes_no_exit_out() {
    let mut exits = Vec::new();
    for id in 1..=3 {
        exits.push(http(id, upstream(true).await.0));
    }
    let world =
        Arc::new(World::with(exits, |config| config.connect_timeout = Duration::from_millis(200)).await);
    let asks: Vec<_> = (0..40)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { ask(&world, "hole.example.com:443", ALICE).await.1 })
        })
        .collect();
    for head in asks {
        assert!(head.await.unwrap().contains("TIMEOUT"));
    }
    for id in 1..=3 {
        let status = status(&world, id);
        assert!(status.healthy && status.failures == 0 && status.recent_failures > 0, "{status:?}");
    }
}

#[tokio::test]
async fn probes_find_a_dead_exit_and_take_it_back_and_nobody_pays_for_them() {
    let address = nobody().await;
    let world = World::with(vec![http(1, address)], |config| {
        config.probe_interval = Duration::from_millis(50);
        config.probe_target = Some(Target::parse_authority("probe.example.com:443", None).unwrap());
    })
    .await;
    eventually("it is left out", || !status(&world, 1).healthy).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut client = Client::over(stream);
            let head = client.rest_of_head().await;
            seen.lock().unwrap().push(head);
            client.say("HTTP/1.1 200 OK\r\n\r\n").await;
        }
    });
    eventually("it is taken back", || status(&world, 1).healthy).await;
    let heads: HashSet<String> = asked.lock().unwrap().drain(..).collect();
    assert!(
        heads.iter().all(|head| head.starts_with("CONNECT probe.example.com:443 HTTP/1.1\r\n")),
        "{heads:?}"
    );
    let (status, stats) = (status(&world, 1), world.gateway.stats());
    assert_eq!((status.recent_attempts, status.latency_micros), (0, 0));
    assert!(stats.probes.load(Ordering::Relaxed) >= 4 && stats.probe_failures.load(Ordering::Relaxed) >= 3);
    assert_eq!(stats.leases.load(Ordering::Relaxed), 0);
    assert_eq!(world.settled().await, 0);
}

#[tokio::test]
async fn without_a_target_probes_only_see_whether_somebody_is_there() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let http_proxy = origin(move |mut client| {
        let seen = seen.clone();
        async move {
            let said = client.rest().await;
            seen.lock().unwrap().push(said);
        }
    })
    .await;
    let greeted = Arc::new(AtomicUsize::new(0));
    let seen = greeted.clone();
    let socks_proxy = origin(move |mut client| {
        let seen = seen.clone();
        async move {
            assert_eq!(client.exactly(4).await, [5, 2, 0, 2]);
            client.say([5, 2]).await;
            assert!(client.rest().await.is_empty());
            seen.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let refusing = origin(|mut client| async move {
        client.exactly(4).await;
        client.say([5, 0xff]).await;
    })
    .await;
    let socks = |id, address: SocketAddr| {
        let credentials = Some(ExitCredentials { username: "u".into(), password: "p".to_owned().into() });
        exit(id, RES, ExitKind::Socks5 { address: address.to_string(), credentials })
    };
    let gone = exit(4, RES, ExitKind::Direct { bind_ip: Some("203.0.113.77".parse().unwrap()) });
    let exits = vec![http(1, http_proxy), socks(2, socks_proxy), socks(3, refusing), gone, direct(5, RES)];
    let world = World::with(exits, |config| config.probe_interval = Duration::from_millis(50)).await;
    eventually("all are probed", || {
        let out = |id| !status(&world, id).healthy;
        out(3) && out(4) && greeted.load(Ordering::SeqCst) > 0 && !heads.lock().unwrap().is_empty()
    })
    .await;
    assert!([1, 2, 5].into_iter().all(|id| status(&world, id).healthy));
    assert!(heads.lock().unwrap().iter().all(Vec::is_empty), "nothing is said to it");
}
