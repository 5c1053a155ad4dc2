//! Limits: each keeps out, or slows down, who is over it and nobody else, and is changed while
//! connections live on.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tollgate_gateway::{Bandwidth, Caps, GatewayLimits, Limit};
use tollgate_types::{
    AccountEntry, AccountId, Clock, DirectoryChange, ProxyType, SubAccountEntry, SubAccountId, SystemClock,
};

use crate::world::{
    ALICE, ALICE_ID, BOB, BOB_ID, Client, World, connect, direct, echo, eventually, origin, sub_account,
};

/// `carol:secret`, who is another account's, and `alice:wrong`.
const CAROL: &str = "Basic Y2Fyb2w6c2VjcmV0";
const WRONG: &str = "Basic YWxpY2U6d3Jvbmc=";

const AT_ONCE: fn(u32) -> Caps = |connections| Caps { connections, per_second: 0 };
const A_SECOND: fn(u32) -> Caps = |per_second| Caps { connections: 0, per_second };

/// Alice and Bob of one account, Carol of another one.
async fn world(change: impl FnOnce(&mut GatewayLimits)) -> World {
    let world =
        World::with(vec![direct(1, ProxyType::Residential)], |config| change(&mut config.limits)).await;
    let other = AccountId::new(2);
    world.control.publish(DirectoryChange::Account(AccountEntry { id: other, active: true, funds_epoch: 0 }));
    let carol = SubAccountEntry { account: other, ..sub_account(SubAccountId::new(30), "carol", true) };
    world.control.publish(DirectoryChange::SubAccount(carol));
    world
}

fn change(world: &World, change: impl FnOnce(&mut GatewayLimits)) {
    let mut limits = GatewayLimits::clone(&world.gateway.limits());
    change(&mut limits);
    world.gateway.reconfigure(limits);
}

fn kept_out(world: &World, limit: Limit) -> u64 {
    world.gateway.stats().limits().find(|(of, _)| *of == limit).unwrap().1
}

/// A connection from this address that asks for a tunnel, and the status that it gets; 0 where it just
/// ends.
async fn ask(world: &World, source: &str, who: &str, target: SocketAddr) -> (Client, u16) {
    let mut client = Client::from(source.parse::<IpAddr>().unwrap(), world.any).await;
    // Whoever is closed unread may be so before he has spoken.
    let _ = client.stream.write_all(connect(&target.to_string(), who).as_bytes()).await;
    let head = client.rest_of_head().await;
    if head.contains("\r\nX-Tollgate-Error: TOO_MANY_CONNECTIONS\r\n") {
        assert!(head.contains("\r\nRetry-After: 1\r\n"), "{head}");
    }
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    (client, status)
}

async fn is_alive(client: &mut Client) -> bool {
    client.say("ping").await;
    client.exactly(4).await == b"ping"
}

#[tokio::test]
async fn connections_at_once_are_capped_by_caller_and_by_account() {
    let world = world(|limits| (limits.per_caller, limits.per_account) = (AT_ONCE(2), AT_ONCE(3))).await;
    let target = echo().await;
    let mut held = Vec::new();
    for (who, status) in [(ALICE, 200), (ALICE, 200), (ALICE, 429), (BOB, 200), (BOB, 429), (CAROL, 200)] {
        let (client, got) = ask(&world, "127.0.0.1", who, target).await;
        assert_eq!(got, status, "{who} after {}", held.len());
        held.push((client, got));
    }
    assert_eq!(kept_out(&world, Limit::CallerConnections), 1);
    assert_eq!(kept_out(&world, Limit::AccountConnections), 1);
    let presence = world.gateway.presence();
    assert_eq!((presence.accounts, presence.callers), (2, 3));
    held.remove(0);
    eventually("the place is free again", || world.gateway.connections().len() == 3).await;
    assert_eq!(ask(&world, "127.0.0.1", BOB, target).await.1, 200);
}

#[tokio::test]
async fn connections_at_once_are_capped_by_address_before_a_byte_is_read() {
    let world = world(|limits| limits.per_address = AT_ONCE(2)).await;
    let target = echo().await;
    let (first, one) = ask(&world, "127.0.0.2", ALICE, target).await;
    // One that has not said anything counts, too.
    let silent = Client::from("127.0.0.2".parse().unwrap(), world.any).await;
    assert_eq!((one, ask(&world, "127.0.0.2", CAROL, target).await.1), (200, 0));
    assert_eq!(kept_out(&world, Limit::AddressConnections), 1);
    assert_eq!(ask(&world, "127.0.0.3", ALICE, target).await.1, 200, "nobody else is kept out");
    drop((first, silent));
    eventually("the places are free again", || world.gateway.presence().addresses == 0).await;
    assert_eq!(ask(&world, "127.0.0.2", ALICE, target).await.1, 200);
}

#[tokio::test]
async fn new_connections_a_second_are_capped_for_each_kind() {
    for (limits, limit, status) in [
        ([A_SECOND(1), Caps::default(), Caps::default()], Limit::CallerRate, 429),
        ([Caps::default(), A_SECOND(1), Caps::default()], Limit::AccountRate, 429),
        ([Caps::default(), Caps::default(), A_SECOND(1)], Limit::AddressRate, 0),
    ] {
        let [per_caller, per_account, per_address] = limits;
        let caps = GatewayLimits { per_caller, per_account, per_address, ..GatewayLimits::default() };
        let world = world(|limits| *limits = caps).await;
        let target = echo().await;
        let began = Instant::now();
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(ask(&world, "127.0.0.2", ALICE, target).await.1);
        }
        // Two at once; and perhaps one more where the machine takes a second for all of this.
        let most = 2 + usize::try_from(began.elapsed().as_secs()).unwrap();
        let let_in = answers.iter().filter(|answer| **answer == 200).count();
        assert!((2..=most).contains(&let_in), "{limit:?}: {answers:?}");
        assert!(answers.iter().all(|answer| [200, status].contains(answer)), "{limit:?}: {answers:?}");
        assert_eq!(kept_out(&world, limit), 6 - let_in as u64);
        assert_eq!(ask(&world, "127.0.0.3", CAROL, target).await.1, 200, "{limit:?}: nobody else");
    }
}

#[tokio::test]
async fn caps_change_while_connections_live_on() {
    let world = world(|_| ()).await;
    let target = echo().await;
    let mut live = Vec::new();
    for _ in 0..3 {
        let (client, status) = ask(&world, "127.0.0.2", ALICE, target).await;
        assert_eq!(status, 200);
        live.push(client);
    }
    for (over, status) in [
        ((|limits| limits.per_caller = AT_ONCE(2)) as fn(&mut GatewayLimits), 429),
        (|limits| limits.per_account = AT_ONCE(2), 429),
        (|limits| limits.max_connections = 2, 0),
    ] {
        let before = GatewayLimits::clone(&world.gateway.limits());
        change(&world, over);
        assert_eq!(ask(&world, "127.0.0.2", ALICE, target).await.1, status);
        for client in &mut live {
            assert!(is_alive(client).await);
        }
        world.gateway.reconfigure(before);
        assert_eq!(ask(&world, "127.0.0.2", ALICE, target).await.1, 200);
    }
}

/// An origin that sends so many bytes and closes.
async fn source(bytes: usize) -> SocketAddr {
    origin(move |mut client| async move {
        let _ = client.stream.write_all(&vec![1; bytes]).await;
    })
    .await
}

/// How long a download takes.
async fn download(world: &World, who: &str, bytes: usize) -> Duration {
    let target = source(bytes).await;
    let (mut client, status) = ask(world, "127.0.0.1", who, target).await;
    assert_eq!(status, 200);
    let began = Instant::now();
    assert_eq!(client.rest().await.len(), bytes);
    began.elapsed()
}

const MB: u64 = 1_000_000;

#[tokio::test]
async fn bandwidth_slows_down_whom_it_is_for_and_nobody_else_and_costs_no_byte() {
    let rates = Bandwidth { per_caller: MB, ..Bandwidth::default() };
    let world = world(|limits| limits.bandwidth = rates).await;
    let least = Duration::from_millis(390);
    let (alice, bob) = tokio::join!(download(&world, ALICE, 500_000), download(&world, BOB, 500_000));
    assert!(alice >= least && bob >= least, "{alice:?} {bob:?}");
    // Each has a bucket of his own: together they are faster than one of them.
    assert!(alice + bob < 4 * least, "{alice:?} {bob:?}");
    assert!(world.gateway.stats().throttle_waits.load(Ordering::Relaxed) > 0);
    change(&world, |limits| limits.bandwidth = Bandwidth::default());
    assert!(download(&world, ALICE, 20_000_000).await < Duration::from_secs(10), "a limit is lifted");
    change(&world, |limits| limits.bandwidth = Bandwidth { per_account: MB, ..Bandwidth::default() });
    let together = Instant::now();
    tokio::join!(download(&world, ALICE, 300_000), download(&world, BOB, 300_000));
    assert!(together.elapsed() >= Duration::from_millis(490), "{:?}", together.elapsed());
    assert_eq!(world.settled().await, 500_000 + 20_000_000 + 300_000);
    assert_eq!(world.control.used(Some(BOB_ID), ProxyType::Residential), 800_000);
}

#[tokio::test]
async fn a_download_that_runs_is_slowed_down_and_let_go_again() {
    let world = world(|_| ()).await;
    let bytes = 30_000_000;
    let target = source(bytes).await;
    let (mut client, status) = ask(&world, "127.0.0.1", ALICE, target).await;
    assert_eq!(status, 200);
    // Nothing is read yet: the buffers between here and there hold but a part of it.
    change(&world, |limits| limits.bandwidth = Bandwidth { per_caller: 10_000, ..Bandwidth::default() });
    let download = tokio::spawn(async move { client.rest().await.len() });
    eventually("it waits", || world.gateway.stats().throttle_waits.load(Ordering::Relaxed) > 2).await;
    assert!(!download.is_finished(), "it would take the better part of an hour");
    change(&world, |limits| limits.bandwidth = Bandwidth::default());
    assert_eq!(download.await.unwrap(), bytes);
    assert_eq!(world.settled().await, bytes as u64);
}

#[tokio::test]
async fn qm_11_a_slowed_download_is_cut_at_the_last_granted_byte() {
    let rates = Bandwidth { per_caller: MB, per_account: 2 * MB, whole: 3 * MB };
    let world = world(|limits| limits.bandwidth = rates).await;
    let limit = 300_003;
    world.control.fund(ALICE_ID, limit);
    let (mut client, status) = ask(&world, "127.0.0.1", ALICE, source(2_000_000).await).await;
    assert_eq!(status, 200);
    assert_eq!(client.rest().await.len() as u64, limit);
    assert_eq!(world.settled().await, limit);
}

#[tokio::test]
async fn forwarded_requests_are_slowed_down_as_tunnels_are() {
    let rates = Bandwidth { whole: MB, ..Bandwidth::default() };
    let world = world(|limits| limits.bandwidth = rates).await;
    let body = "x".repeat(400_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n{body}");
    let (target, _) = crate::world::http_origin(Box::leak(answer.into_boxed_str())).await;
    let mut client = world.client().await;
    let began = Instant::now();
    client
        .say(format!(
            "GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {ALICE}\r\n\r\n"
        ))
        .await;
    client.head().await;
    assert_eq!(client.exactly(400_000).await.len(), 400_000);
    assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_slow_connection_is_let_through_beside_bulky_ones_of_the_same_payer() {
    let rates = Bandwidth { per_caller: 2 * MB, ..Bandwidth::default() };
    let world = world(|limits| limits.bandwidth = rates).await;
    let target = source(64 * 1024 * 1024).await;
    let mut bulky = Vec::new();
    for _ in 0..4 {
        let (mut client, status) = ask(&world, "127.0.0.1", ALICE, target).await;
        assert_eq!(status, 200);
        bulky.push(tokio::spawn(async move { client.rest().await.len() }));
    }
    let mut small = world.tunnel(echo().await).await;
    eventually("the bulky ones are slowed down", || {
        world.gateway.stats().throttle_waits.load(Ordering::Relaxed) > 8
    })
    .await;
    let began = Instant::now();
    for _ in 0..5 {
        assert!(is_alive(&mut small).await);
    }
    // Twice each, it waits for a turn of each of the four: 33 ms. A byte in the order of what the four
    // were asked to move would be two minutes away.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    bulky.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_connection_is_cut_when_it_has_lived_for_long_enough() {
    let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(SystemClock);
    let world = World::at(clock, vec![direct(1, ProxyType::Residential)], |config| {
        config.limits.max_connection_time = Duration::from_millis(300);
    })
    .await;
    let began = Instant::now();
    let mut client = world.tunnel(echo().await).await;
    assert!(is_alive(&mut client).await);
    assert_eq!(client.rest().await, b"");
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(world.gateway.stats().overtime.load(Ordering::Relaxed), 1);
    // A limit that is set later holds for connections that live already.
    change(&world, |limits| limits.max_connection_time = Duration::ZERO);
    let mut client = world.tunnel(echo().await).await;
    assert!(is_alive(&mut client).await);
    change(&world, |limits| limits.max_connection_time = Duration::from_millis(1));
    assert_eq!(client.rest().await, b"");
    assert_eq!(world.settled().await, 16);
}

#[tokio::test]
async fn timeouts_and_sizes_change_for_the_next_request() {
    let world = world(|_| ()).await;
    let target = echo().await;
    change(&world, |limits| (limits.head_bytes, limits.head_fields) = (256, 3));
    let long = format!("{ALICE}\r\nX: {}", "x".repeat(256));
    assert_eq!(ask(&world, "127.0.0.1", &long, target).await.1, 431);
    change(&world, |limits| {
        *limits = GatewayLimits { handshake_timeout: Duration::from_millis(100), ..GatewayLimits::default() };
    });
    assert_eq!(ask(&world, "127.0.0.1", &long, target).await.1, 200);
    let mut silent = world.client().await;
    assert_eq!(silent.rest().await, b"");
}

#[tokio::test]
async fn hp_17_answers_to_failed_logins_are_held_back_and_customers_behind_the_same_address_are_not() {
    let world = world(|limits| {
        (limits.failed_logins, limits.failed_login_delay) = (4, Duration::from_millis(200));
    })
    .await;
    let target = echo().await;
    let from = "127.0.0.2";
    assert_eq!(ask(&world, from, CAROL, target).await.1, 200);
    let mut answers = Vec::new();
    for _ in 0..6 {
        let began = Instant::now();
        answers.push((ask(&world, from, WRONG, target).await.1, began.elapsed().as_millis()));
    }
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [407, 407, 407, 407, 429, 429]);
    for ((_, took), least) in answers.iter().zip([50, 99, 149, 199, 200, 200]) {
        assert!(*took >= least - 1, "{answers:?}");
    }
    assert_eq!(world.gateway.stats().logins_delayed.load(Ordering::Relaxed), 6);
    let began = Instant::now();
    assert_eq!(ask(&world, from, ALICE, target).await.1, 429, "she has not been here before");
    assert!(began.elapsed() >= Duration::from_millis(199));
    assert_eq!(ask(&world, from, CAROL, target).await.1, 200);
    assert_eq!(ask(&world, "127.0.0.3", ALICE, target).await.1, 200);
}
