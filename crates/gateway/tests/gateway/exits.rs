//! Leaving through upstream proxies, retrying, sessions, and names.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate_types::{ExitCredentials, ExitKind, ProxyType};

use crate::world::{ALICE, Client, World, connect, direct, echo, exit, nobody, origin};

const RES: ProxyType = ProxyType::Residential;

fn http_exit(id: i64, address: SocketAddr) -> tollgate_types::Exit {
    let credentials = Some(ExitCredentials {
        username: "sup-{country}-{session}".into(),
        password: "pw-{city}".to_owned().into(),
    });
    exit(id, RES, ExitKind::Http { address: address.to_string(), credentials })
}

/// An upstream HTTP proxy that says this to every CONNECT, and remembers the heads.
async fn http_upstream(answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let address = origin(move |mut client| {
        let seen = seen.clone();
        async move {
            let head = client.head().await;
            seen.lock().unwrap().push(head);
            client.say(answer).await;
            if answer.contains(" 200 ") {
                let mut ping = [0; 4];
                tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut ping).await.unwrap();
                client.say(ping).await;
            }
        }
    })
    .await;
    (address, heads)
}

/// An upstream SOCKS5 proxy: the method it chooses and the reply it gives.
async fn socks_upstream(method: u8, reply: u8) -> SocketAddr {
    origin(move |mut client| async move {
        let greeting = client.exactly(2).await;
        client.exactly(usize::from(greeting[1])).await;
        client.say([5, method]).await;
        if method == 2 {
            let lengths = client.exactly(2).await;
            client.exactly(usize::from(lengths[1])).await;
            let length = client.exactly(1).await;
            client.exactly(usize::from(length[0])).await;
            client.say([1, 0]).await;
        }
        if method == 0xff {
            return;
        }
        let head = client.exactly(5).await;
        assert_eq!(head[3], 3, "names travel unresolved");
        client.exactly(usize::from(head[4]) + 2).await;
        client.say([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        if reply == 0 {
            let ping = client.exactly(4).await;
            client.say(ping).await;
        }
    })
    .await
}

async fn ask(world: &World, target: &str, credentials: &str) -> (Client, String) {
    let mut client = world.client().await;
    client.say(connect(target, credentials)).await;
    let head = client.head().await;
    (client, head)
}

#[tokio::test]
async fn s5_34_an_http_upstream_hears_its_own_credentials_and_the_name() {
    let (upstream, heads) = http_upstream("HTTP/1.1 200 OK\r\n\r\nearly").await;
    let world = World::with(vec![http_exit(1, upstream)], |_| ()).await;
    // alice-country-us-session-abc:secret
    let (mut client, head) =
        ask(&world, "example.com:443", "Basic YWxpY2UtY291bnRyeS11cy1zZXNzaW9uLWFiYzpzZWNyZXQ=").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.say("ping").await;
    assert_eq!(client.rest().await, b"earlyping");
    drop(client);
    let heard = heads.lock().unwrap().remove(0);
    assert!(heard.starts_with("CONNECT example.com:443 HTTP/1.1\r\n"), "{heard}");
    // sup-us-abc:pw-
    assert!(heard.contains("Proxy-Authorization: Basic c3VwLXVzLWFiYzpwdy0="), "{heard}");
    assert!(!heard.contains("YWxpY2U"), "{heard}");
    assert_eq!(world.settled().await, 5 + 4 + 4);
}

#[tokio::test]
async fn s5_34_socks_upstreams_are_spoken_to() {
    let login = || Some(ExitCredentials { username: "u".into(), password: "p".to_owned().into() });
    let cases = [
        (0, None, 0, 200),
        (2, login(), 0, 200),
        (0, None, 5, 502),
        (0, None, 4, 502),
        (0xff, None, 0, 503),
        (2, None, 0, 503),
    ];
    for (method, credentials, reply, status) in cases {
        let address = socks_upstream(method, reply).await.to_string();
        let world = World::with(vec![exit(1, RES, ExitKind::Socks5 { address, credentials })], |_| ()).await;
        let (mut client, head) = ask(&world, "example.com:443", ALICE).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {reply}: {head}");
        if status == 200 {
            client.say("ping").await;
            assert_eq!(client.exactly(4).await, b"ping");
        }
    }
}

#[tokio::test]
async fn s5_34_what_upstreams_say_about_credentials_stays_here() {
    let answers = [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"sup\"\r\n\r\nsup-secret",
            503,
        ),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", 502),
        ("HTTP/1.1 504 Gateway Timeout\r\n\r\n", 504),
        ("garbage garbage\r\n\r\n", 503),
        ("", 503),
    ];
    for (answer, status) in answers {
        let (upstream, _) = http_upstream(answer).await;
        let world = World::with(vec![http_exit(1, upstream)], |_| ()).await;
        let (mut client, head) = ask(&world, "example.com:443", ALICE).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}: {head}");
        let all = head + &String::from_utf8(client.exactly(1).await).unwrap();
        assert!(!all.contains("sup"), "{all}");
    }
}

#[tokio::test]
async fn cf_14_a_dead_exit_is_passed_over_and_left_out() {
    let dead = nobody().await;
    let (alive, _) = http_upstream("HTTP/1.1 200 OK\r\n\r\n").await;
    let world = World::with(vec![http_exit(1, dead), http_exit(2, alive)], |_| ()).await;
    for _ in 0..20 {
        let (_client, head) = ask(&world, "example.com:443", ALICE).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    let status = world.gateway.exit_status();
    let of = |id| status.iter().find(|(exit, _)| exit.get() == id).unwrap().1;
    assert!(!of(1).healthy && of(1).failures == 3, "{status:?}");
    assert!(of(2).healthy && of(2).latency_micros > 0, "{status:?}");
}

#[tokio::test]
async fn a_target_that_refuses_says_nothing_about_the_exit() {
    let world = World::with(vec![direct(1, RES), direct(2, RES)], |_| ()).await;
    let target = nobody().await.to_string();
    for _ in 0..10 {
        let (_client, head) = ask(&world, &target, ALICE).await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
    assert!(world.gateway.exit_status().iter().all(|(_, status)| status.healthy && status.failures == 0));
}

#[tokio::test]
async fn a_session_stays_on_its_exit_and_others_spread() {
    let mut exits = Vec::new();
    for id in 1..=5 {
        exits.push(exit(
            id,
            RES,
            ExitKind::Direct { bind_ip: Some(format!("127.0.0.{}", id + 10).parse().unwrap()) },
        ));
    }
    let world = World::with(exits, |_| ()).await;
    let from = Arc::new(Mutex::new(Vec::new()));
    let seen = from.clone();
    let target = origin(move |mut client| {
        seen.lock().unwrap().push(client.stream.peer_addr().unwrap().ip());
        async move { client.say("x").await }
    })
    .await;
    // alice-session-abc:secret
    for _ in 0..10 {
        let (mut client, _) =
            ask(&world, &target.to_string(), "Basic YWxpY2Utc2Vzc2lvbi1hYmM6c2VjcmV0").await;
        client.rest().await;
    }
    let sticky: HashSet<_> = from.lock().unwrap().drain(..).collect();
    assert_eq!(sticky.len(), 1, "{sticky:?}");
    for _ in 0..40 {
        let (mut client, _) = ask(&world, &target.to_string(), ALICE).await;
        client.rest().await;
    }
    let spread: HashSet<_> = from.lock().unwrap().drain(..).collect();
    assert_eq!(spread.len(), 5, "{spread:?}");
}

#[tokio::test]
async fn an_exit_carries_no_more_connections_than_it_may() {
    let mut only = direct(1, RES);
    only.max_connections = 1;
    let world = World::with(vec![only], |_| ()).await;
    let target = echo().await;
    let first = world.tunnel(target).await;
    let (_second, head) = ask(&world, &target.to_string(), ALICE).await;
    assert!(head.contains("NO_EXIT"), "{head}");
    drop(first);
    crate::world::eventually("the exit is free", || world.gateway.connections().is_empty()).await;
    world.tunnel(target).await;
}

#[tokio::test]
async fn hp_65_inside_names_and_literals_do_not_travel_upstream() {
    let (upstream, heads) = http_upstream("HTTP/1.1 200 OK\r\n\r\n").await;
    let world = World::with(vec![http_exit(1, upstream)], |config| config.allow_destinations.clear()).await;
    for target in
        ["localhost:80", "10.0.0.1:80", "metadata.google.internal:80", "[fd00:ec2::254]:80", "router:80"]
    {
        let (_client, head) = ask(&world, target, ALICE).await;
        assert!(head.contains("HOST_BLOCKED"), "{target}: {head}");
    }
    assert!(heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn s5_19_a_dead_address_does_not_hold_up_a_live_one() {
    let world = World::with(vec![direct(1, RES)], |config| {
        let both = vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        config.hosts.insert("two.example.com".into(), both);
    })
    .await;
    let began = std::time::Instant::now();
    let target = echo().await;
    let (_client, head) = ask(&world, &format!("two.example.com:{}", target.port()), ALICE).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn hp_50_a_name_that_nobody_answers_for() {
    let world =
        World::with(vec![direct(1, RES)], |config| config.dns_timeout = Duration::from_millis(100)).await;
    let (_client, head) = ask(&world, "no-such-name.invalid:80", ALICE).await;
    let failed = head.starts_with("HTTP/1.1 502 ") && head.contains("DNS_FAILED");
    let timed_out = head.starts_with("HTTP/1.1 504 ") && head.contains("TIMEOUT");
    assert!(failed || timed_out, "{head}");
}
