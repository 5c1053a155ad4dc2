//! Where connections through static proxies leave and go, and what is counted of them.

use super::*;

#[tokio::test]
async fn the_origin_sees_the_address_that_was_bought_over_every_protocol_and_family() {
    let statics = Statics::with(|config| {
        let both = vec![ip("::1"), ip("127.0.0.1")];
        config.hosts.insert("two.example.com".into(), both);
        config.hosts.insert("six.example.com".into(), vec![ip("::1")]);
    })
    .await;
    let mut cases = Vec::new();
    for (number, (listen, exit)) in (1..).zip([
        ("127.0.1.1", "127.0.1.1"),
        ("127.0.1.2", "127.9.9.9"),
        ("127.0.1.3", "::1"),
        ("::1", "::1"),
    ]) {
        let entry = StaticEntry { exit_ip: ip(exit), ..proxy(number, statics.at(listen)) };
        cases.push((entry.listen, entry.exit_ip, entry.username.clone()));
        statics.lease(entry).await;
    }
    assert_eq!(listening_sockets(statics.port), 1);
    for (listen, exit, user) in cases {
        let target = mirror(if exit.is_ipv4() { "127.0.0.1" } else { "::1" }).await;
        let login = basic(&user);
        let mut client = tunnel(listen, login, target).await;
        assert_eq!(seen(&mut client).await, exit, "CONNECT to {listen}");
        let mut client = Client::to(listen).await;
        let get = format!(
            "GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {login}\r\n\r\n"
        );
        client.say(get).await;
        assert_eq!(seen(&mut client).await, exit, "GET to {listen}");
        let mut client = Client::to(listen).await;
        assert_eq!(socks_login(&mut client, &user, "secret").await, [5, 2, 1, 0]);
        assert_eq!(socks_connect(&mut client, target).await, 0);
        assert_eq!(seen(&mut client).await, exit, "SOCKS5 to {listen}");
        // Of a name's addresses only those of its own family are tried.
        let name = format!("two.example.com:{}", target.port());
        let mut client = Client::to(listen).await;
        assert_eq!(answer(&mut client, connect(&name, login)).await.0, 200, "{listen}");
        assert_eq!(seen(&mut client).await, exit);
        let name = format!("six.example.com:{}", target.port());
        let answered = ask(listen, connect(&name, login)).await;
        let expected = if exit.is_ipv4() { (502, "UNREACHABLE".to_owned()) } else { (200, String::new()) };
        assert_eq!(answered, expected, "{listen}");
    }
    // Exits had no part in it.
    let status = statics.world.gateway.exit_status();
    assert!(status.iter().all(|(_, exit)| exit.connections == 0 && exit.latency_micros == 0), "{status:?}");
}

#[tokio::test]
async fn the_platform_is_not_reached_through_static_proxies_nor_they_through_anybody() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    statics.lease(proxy(2, statics.at("127.0.1.2"))).await;
    let elsewhere = SocketAddr::new(ip("127.0.1.77"), free_port());
    let blocked = (403, "HOST_BLOCKED".to_owned());
    for target in
        [listen, statics.at("127.0.1.2"), statics.at("127.0.0.1"), statics.at("::1"), statics.world.any]
    {
        let target = target.to_string();
        assert_eq!(ask(listen, connect(&target, ONE)).await, blocked, "{target} by a static proxy");
        assert_eq!(ask(statics.world.any, connect(&target, ALICE)).await, blocked, "{target} by an exit");
    }
    let mapped = format!("[::ffff:127.0.1.1]:{}", statics.port);
    assert_eq!(ask(listen, connect(&mapped, ONE)).await, blocked);
    // A proxy whose port is not had here, or that is reached at another gateway, is the platform's, too.
    let holder = TcpListener::bind(elsewhere).unwrap();
    assert_eq!(ask(listen, connect(&elsewhere.to_string(), ONE)).await.0, 200);
    statics.publish(DirectoryChange::Static(proxy(3, elsewhere)));
    assert_eq!(ask(listen, connect(&elsewhere.to_string(), ONE)).await, blocked);
    drop(holder);
}

#[tokio::test]
async fn closed_destinations_and_ports_are_closed_for_static_proxies_too() {
    let statics = Statics::with(|config| {
        config.hosts.insert("inside.example.com".into(), vec![ip("10.0.0.1")]);
    })
    .await;
    let listen = statics.one().await;
    let closed = nobody().await.to_string();
    for (target, status, name) in [
        ("10.0.0.1:80", 403, "HOST_BLOCKED"),
        ("169.254.169.254:80", 403, "HOST_BLOCKED"),
        ("inside.example.com:80", 403, "HOST_BLOCKED"),
        ("127.0.0.1:25", 403, "PORT_BLOCKED"),
        ("[::1]:80", 502, "UNREACHABLE"),
        (&closed, 502, "CONNECTION_REFUSED"),
        ("127.0.0.1", 400, "BAD_REQUEST"),
    ] {
        assert_eq!(ask(listen, connect(target, ONE)).await, (status, name.to_owned()), "{target}");
    }
}

#[tokio::test]
async fn what_moved_is_counted_to_the_byte_and_told_in_all_whatever_the_control_plane_does() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    statics.lease(proxy(2, statics.at("127.0.1.2"))).await;
    statics.world.control.told.lock().unwrap().is_away = true;
    let target = echo().await;
    let mut client = tunnel(listen, ONE, target).await;
    client.say(vec![7; 100_003]).await;
    client.exactly(100_003).await;
    let failures = || statics.world.control.told.lock().unwrap().failures;
    eventually("a report has failed", || failures() > 0).await;
    {
        let mut told = statics.world.control.told.lock().unwrap();
        (told.is_away, told.loses_answers) = (false, true);
    }
    eventually("a report was taken, and its answer lost", || statics.told(1).is_some()).await;
    let expected = |up, down, connections| {
        Some(StaticTraffic { id: StaticProxyId::new(1), bytes_up: up, bytes_down: down, connections })
    };
    assert_eq!(statics.told(1), expected(100_003, 100_003, 1));
    statics.world.control.told.lock().unwrap().loses_answers = false;
    // A forwarded request is counted as it crosses both far ends, like any other.
    let (origin, heads) = http_origin("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    let mut browser = Client::to(listen).await;
    browser
        .say(format!("GET http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nProxy-Authorization: {ONE}\r\n\r\n"))
        .await;
    let down = browser.head().await.len() + browser.exactly(5).await.len();
    let up = heads.lock().unwrap().first().unwrap().len();
    // Refusals, and connections that were never made, cost and count nothing but the connection.
    assert_eq!(ask(listen, connect("10.0.0.1:80", ONE)).await.0, 403);
    assert_eq!(ask(listen, connect(&target.to_string(), WRONG)).await.0, 407);
    drop((client, browser));
    eventually("connections end", || statics.world.gateway.connections().is_empty()).await;
    statics.world.gateway.drain().await.unwrap();
    assert_eq!(statics.told(1), expected(100_003 + up as u64, 100_003 + down as u64, 3));
    assert_eq!(statics.told(2), None);
    // Nobody's funds were asked for.
    assert_eq!(statics.count(|stats| stats.leases.load(Ordering::SeqCst)), 0);
    let told = statics.world.control.told.lock().unwrap();
    let last = told.reports.last().unwrap();
    assert!(last.iter().all(|counter| counter.id.get() == 1), "only what moved is told: {last:?}");
}
