//! Every reason to say no, over both protocols, and that nothing of it costs or leaks anything.

use std::time::Duration;

use tollgate_types::{AccountEntry, AccountId, DirectoryChange, ProxyType, Refusal};

use crate::world::{ALICE, ALICE_ID, BOB, Client, World, connect, direct, echo, eventually, nobody};

/// `Alice:secret`.
const SHOUTED: &str = "Basic QWxpY2U6c2VjcmV0";
/// `nobody:secret`, `alice:wrong`, `idle:secret`, `alice-nonsense-1:secret`, `alice-cc-fr:secret`.
const NOBODY: &str = "Basic bm9ib2R5OnNlY3JldA==";
const WRONG: &str = "Basic YWxpY2U6d3Jvbmc=";
const IDLE: &str = "Basic aWRsZTpzZWNyZXQ=";
const NONSENSE: &str = "Basic YWxpY2Utbm9uc2Vuc2UtMTpzZWNyZXQ=";
const FRANCE: &str = "Basic YWxpY2UtY2MtZnI6c2VjcmV0";

/// Status and name of the refusal that a request is answered with.
async fn refusal(world: &World, request: &str) -> (u16, String) {
    let mut client = world.client().await;
    client.say(request).await;
    read_refusal(&mut client).await
}

async fn read_refusal(client: &mut Client) -> (u16, String) {
    let head = client.head().await;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).expect("a status");
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    if status != 200 {
        assert!(field("Proxy-Status: ").is_some_and(|value| value.starts_with("tollgate; error=")), "{head}");
        let length = field("Content-Length: ").and_then(|digits| digits.parse().ok()).expect("a length");
        client.exactly(length).await;
    }
    (status, field("X-Tollgate-Error: ").unwrap_or_default())
}

async fn socks_reply(world: &World, user: &str, host: [u8; 4], port: u16) -> u8 {
    let mut client = world.client().await;
    let login = [&[5, 1, 2, 1, u8::try_from(user.len()).unwrap()], user.as_bytes(), b"\x06secret"].concat();
    client.say(login).await;
    assert_eq!(client.exactly(4).await, [5, 2, 1, 0]);
    client.say([&[5, 1, 0, 1], &host[..], &port.to_be_bytes()].concat()).await;
    client.exactly(10).await[1]
}

#[tokio::test]
async fn the_table_of_refusals_over_http_and_socks() {
    let world = World::lab().await;
    let closed = nobody().await;
    let cases = [
        (connect("10.0.0.1:80", ALICE), 403, "HOST_BLOCKED"),
        (connect("127.0.0.1:25", ALICE), 403, "PORT_BLOCKED"),
        (connect(&closed.to_string(), ALICE), 502, "CONNECTION_REFUSED"),
        (connect("127.0.0.1:80", NOBODY), 407, "AUTH_REQUIRED"),
        (connect("127.0.0.1:80", WRONG), 407, "AUTH_REQUIRED"),
        (connect("127.0.0.1:80", IDLE), 403, "USER_BLOCKED"),
        (connect("127.0.0.1:80", NONSENSE), 400, "BAD_PARAM"),
        (connect("127.0.0.1:80", FRANCE), 503, "NO_EXIT"),
        (connect("127.0.0.1", ALICE), 400, "BAD_REQUEST"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400, "BAD_REQUEST"),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 501, "UNSUPPORTED"),
        (
            format!("GET http://a/ HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(70_000)),
            431,
            "HEAD_TOO_LARGE",
        ),
    ];
    for (request, status, name) in cases {
        assert_eq!(
            refusal(&world, &request).await,
            (status, name.to_owned()),
            "{}",
            request.get(..60).unwrap_or(&request)
        );
    }
    let cases = [
        ("alice", [10, 0, 0, 1], 80, 2),
        ("alice", [127, 0, 0, 1], 25, 2),
        ("alice", [127, 0, 0, 1], closed.port(), 5),
        ("idle", [127, 0, 0, 1], 80, 2),
        ("alice-cc-fr", [127, 0, 0, 1], 80, 1),
        ("alice-contry-us", [127, 0, 0, 1], 80, 1),
    ];
    for (user, host, port, reply) in cases {
        assert_eq!(socks_reply(&world, user, host, port).await, reply, "{user} {host:?}:{port}");
    }
    assert_eq!(world.settled().await, 0);
}

#[tokio::test]
async fn exhausted_and_suspended_are_told_apart() {
    let world = World::lab().await;
    world.control.fund(ALICE_ID, 0);
    assert_eq!(refusal(&world, &connect("127.0.0.1:80", ALICE)).await, (402, "TRAFFIC_LIMIT".into()));
    assert_eq!(socks_reply(&world, "alice", [127, 0, 0, 1], 80).await, 2);
    let suspended = AccountEntry { id: AccountId::new(1), active: false, funds_epoch: 1 };
    world.control.publish(DirectoryChange::Account(suspended));
    assert_eq!(refusal(&world, &connect("127.0.0.1:80", ALICE)).await, (403, "USER_BLOCKED".into()));
}

#[tokio::test]
async fn hp_10_hp_14_every_request_shows_its_own_credentials() {
    let world = World::lab().await;
    let (target, heads) = crate::world::http_origin("HTTP/1.1 204 No Content\r\n\r\n").await;
    let request = |who: &str| format!("GET http://{target}/ HTTP/1.1\r\nHost: x\r\n{who}\r\n");
    let with = |who: &str| request(&format!("Proxy-Authorization: {who}\r\n"));
    let mut client = world.client().await;
    client.say(request("")).await;
    assert_eq!(read_refusal(&mut client).await, (407, "AUTH_REQUIRED".into()));
    for (request, status) in
        [(with(ALICE), 204), (request(""), 407), (with(BOB), 204), (with(WRONG), 407), (with(ALICE), 204)]
    {
        client.say(request).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        if status == 407 {
            assert!(head.contains("\r\nProxy-Authenticate: Basic"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            client.exactly(length.parse().unwrap()).await;
        }
    }
    client.say(connect(&echo().await.to_string(), BOB)).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    drop(client);
    let seen = heads.lock().unwrap().join("");
    assert!(!seen.to_lowercase().contains("proxy-"), "{seen}");
    let bobs = world.settled_of(Some(crate::world::BOB_ID), ProxyType::Residential).await;
    let alices = world.control.used(Some(ALICE_ID), ProxyType::Residential);
    assert_eq!(alices, 2 * bobs, "each pays for his own requests");
}

#[tokio::test]
async fn hp_11_hp_12_credentials_in_every_disguise() {
    let world = World::lab().await;
    let target = echo().await.to_string();
    for bad in [
        "Basic",
        "Basic ",
        "French fries",
        "Basic YWxpY2U6c2VjcmV0 x",
        "Basic YWxpY2U=",
        "Bearer abc",
        "Basic !!!!",
    ] {
        assert_eq!(refusal(&world, &connect(&target, bad)).await, (407, "AUTH_REQUIRED".into()), "{bad}");
    }
    let twice = connect(&target, &format!("{ALICE}\r\nProxy-Authorization: {ALICE}"));
    assert_eq!(refusal(&world, &twice).await.0, 407);
    let shouted = connect(&target, ALICE).replace("Proxy-Authorization: Basic", "pROXY-aUTHORIZATION: BASIC");
    assert_eq!(refusal(&world, &shouted).await.0, 200);
}

#[tokio::test]
async fn hp_16_credentials_win_over_the_whitelist() {
    let world = World::lab().await;
    world.list_loopback();
    let target = echo().await.to_string();
    let bare = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    assert_eq!(refusal(&world, &bare).await.0, 200);
    assert_eq!(refusal(&world, &connect(&target, WRONG)).await.0, 407);
    assert_eq!(refusal(&world, &connect(&target, "nonsense")).await.0, 407);
}

#[tokio::test]
async fn hp_17_guessing_is_throttled_for_its_own_address() {
    let world =
        World::with(vec![direct(1, ProxyType::Residential)], |config| config.limits.failed_logins = 5).await;
    let target = echo().await.to_string();
    for _ in 0..5 {
        assert_eq!(refusal(&world, &connect(&target, WRONG)).await.0, 407);
    }
    assert_eq!(refusal(&world, &connect(&target, WRONG)).await, (429, "TOO_MANY_ATTEMPTS".into()));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut elsewhere = Client::over(socket.connect(world.any).await.unwrap());
    elsewhere.say(connect(&target, ALICE)).await;
    assert!(elsewhere.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_caller_has_a_bounded_number_of_connections() {
    let world = World::with(vec![direct(1, ProxyType::Residential)], |config| {
        config.limits.per_caller.connections = 2
    })
    .await;
    let target = echo().await;
    let first = world.tunnel(target).await;
    let _second = world.tunnel(target).await;
    let third = refusal(&world, &connect(&target.to_string(), ALICE)).await;
    assert_eq!(third, (429, "TOO_MANY_CONNECTIONS".into()));
    drop(first);
    eventually("the place is free again", || world.gateway.connections().len() == 1).await;
    world.tunnel(target).await;
}

#[tokio::test]
async fn ld_02_connections_beyond_the_cap_are_closed_unread() {
    let world =
        World::with(vec![direct(1, ProxyType::Residential)], |config| config.limits.max_connections = 1)
            .await;
    let target = echo().await;
    let only = world.tunnel(target).await;
    assert_eq!(world.client().await.rest().await, b"");
    drop(only);
    eventually("the place is free again", || world.gateway.connections().is_empty()).await;
    let began = std::time::Instant::now();
    loop {
        let mut client = world.client().await;
        client.say(connect(&target.to_string(), ALICE)).await;
        if !client.rest_of_head().await.is_empty() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn hp_60_s5_17_closed_destinations_are_refused_by_number_and_by_name() {
    let world = World::with(vec![direct(1, ProxyType::Residential)], |config| {
        config.allow_destinations.clear();
        config.hosts.insert("rebound.example.com".into(), vec!["169.254.169.254".parse().unwrap()]);
    })
    .await;
    let hosts = [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[2002:7f00:1::]",
        "localhost",
        "LOCALHOST.",
        "rebound.example.com",
    ];
    for host in hosts {
        let blocked = (403, "HOST_BLOCKED".to_owned());
        assert_eq!(refusal(&world, &connect(&format!("{host}:80"), ALICE)).await, blocked, "{host}");
        let absolute =
            format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: {ALICE}\r\n\r\n");
        assert_eq!(refusal(&world, &absolute).await, blocked, "{host}");
    }
}

#[tokio::test]
async fn hp_25_the_gateway_does_not_lead_to_itself() {
    let world = World::lab().await;
    for port in [world.any.port(), world.mobile.port()] {
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let (status, name) = refusal(&world, &connect(&format!("{host}:{port}"), ALICE)).await;
            assert_eq!((status, name.as_str()), (403, "HOST_BLOCKED"), "{host}");
        }
    }
}

#[tokio::test]
async fn hp_33_ambiguous_framing_is_refused_and_the_connection_ends() {
    let world = World::lab().await;
    let (target, heads) = crate::world::http_origin("HTTP/1.1 204 No Content\r\n\r\n").await;
    let framings = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "X: a\r\n folded",
        "Content-Length : 5",
        "X: a\rb",
    ];
    for framing in framings {
        let mut client = world.client().await;
        client.say(format!("POST http://{target}/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {ALICE}\r\n{framing}\r\n\r\n0\r\n\r\n")).await;
        assert_eq!(read_refusal(&mut client).await, (400, "BAD_REQUEST".into()), "{framing}");
        assert_eq!(client.rest().await, b"", "{framing}");
    }
    assert!(heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_socks_cannot_say_is_noted_for_its_owner() {
    let world = World::lab().await;
    let login = |user: &str, password: &str| {
        let count = |text: &str| u8::try_from(text.len()).unwrap();
        let user = [&[5, 1, 2, 1, count(user)], user.as_bytes()].concat();
        [&user[..], &[count(password)], password.as_bytes()].concat()
    };
    let mut client = world.client().await;
    client.say(login("alice-contry-us", "wrong")).await;
    assert_eq!(client.rest().await, [5, 2, 1, 1], "nobody learns of parameters without the password");
    assert_eq!(socks_reply(&world, "alice-contry-us", [127, 0, 0, 1], 80).await, 1);
    let mut client = world.client().await;
    client.say(login("alice", "secret")).await;
    client.say([&[5, 1, 0, 3, 8], "\u{fc}\u{200d}.com".as_bytes(), &[0, 80]].concat()).await;
    assert_eq!(client.rest().await.get(4..6), Some(&[5, 1][..]));
    let told = || world.control.notes.lock().unwrap().len() >= 2;
    eventually("the owner is told", told).await;
    world.gateway.drain().await.unwrap();
    let notes = world.control.notes.lock().unwrap();
    assert!(notes.iter().all(|note| (note.sub_account, note.count) == (Some(ALICE_ID), 1)), "{notes:?}");
    let of = |refusal| notes.iter().find(|note| note.refusal == refusal).map(|note| note.detail.as_str());
    assert_eq!(of(Refusal::BadParam), Some("contry: unknown parameter"));
    assert!(of(Refusal::BadRequest).is_some_and(|detail| detail.contains("IDNA")), "{notes:?}");
}

#[tokio::test]
async fn names_enter_without_regard_to_case_over_every_protocol() {
    let world = World::lab().await;
    let target = echo().await;
    let mut client = world.client().await;
    client.say(connect(&target.to_string(), SHOUTED) + "ping").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(client.exactly(4).await, b"ping");
    drop(client);
    assert_eq!(socks_reply(&world, "ALICE-Country-US", [127, 0, 0, 1], target.port()).await, 0);
    assert_eq!(world.settled().await, 8, "it is Alice who pays");
}

#[tokio::test]
async fn refusals_are_noted_for_their_owner_and_nobody_else() {
    let world = World::lab().await;
    for who in [ALICE, ALICE, WRONG, NOBODY] {
        refusal(&world, &connect("10.0.0.1:80", who)).await;
    }
    eventually("the notes arrive", || !world.control.notes.lock().unwrap().is_empty()).await;
    world.gateway.drain().await.unwrap();
    let notes = world.control.notes.lock().unwrap();
    assert_eq!(notes.iter().map(|note| note.count).sum::<u32>(), 2, "{notes:?}");
    assert!(notes.iter().all(|note| note.sub_account == Some(ALICE_ID)));
    let counted: u64 = world.gateway.stats().refusals().map(|(_, count)| count).sum();
    assert_eq!(counted, 4);
}
