//! Ports that follow the directory, whatever the number of addresses, and handshakes on them.

use super::*;

#[tokio::test]
async fn many_addresses_share_one_listener_per_port_and_each_is_itself() {
    let statics = Statics::new().await;
    let (first, second) = (statics.port, free_port());
    let address = |number: i64| {
        let [.., high, low] = number.to_be_bytes();
        let port = if number % 2 == 0 { first } else { second };
        SocketAddr::new(Ipv4Addr::new(127, 20, high, low).into(), port)
    };
    for number in 1..=1_000 {
        statics.publish(DirectoryChange::Static(proxy(number, address(number))));
    }
    eventually("both ports are open", || statics.listeners() == 2).await;
    assert_eq!([first, second].map(listening_sockets), [1, 1]);
    let target = mirror("127.0.0.1").await;
    for number in [1, 2, 500, 501, 999, 1_000] {
        let mut client = Client::to(address(number)).await;
        let granted = socks_login(&mut client, &format!("s{number}"), "secret").await;
        assert_eq!(granted, [5, 2, 1, 0], "{number}");
        assert_eq!(socks_connect(&mut client, target).await, 0);
        assert_eq!(seen(&mut client).await, address(number).ip());
        let neighbour = address(number % 1_000 + 1);
        let login = socks_login(&mut Client::to(neighbour).await, &format!("s{number}"), "secret").await;
        assert_eq!(login, [5, 2, 1, 1], "{number} at {neighbour}");
    }
}

#[tokio::test]
async fn ports_come_and_go_with_the_directory_and_connections_of_others_go_on() {
    let statics = Statics::new().await;
    assert_eq!(statics.listeners(), 0);
    let listen = statics.one().await;
    let elsewhere = SocketAddr::new(ip("127.0.1.2"), free_port());
    statics.lease(proxy(2, elsewhere)).await;
    let mut client = tunnel(elsewhere, TWO, echo().await).await;
    statics.publish(DirectoryChange::StaticGone(StaticProxyId::new(1)));
    eventually("the port is closed", || statics.listeners() == 1).await;
    assert_eq!(listening_sockets(listen.port()), 0);
    assert!(is_alive(&mut client).await);
    statics.one().await;
    assert_eq!(ask(listen, connect("127.0.0.1:1", ONE)).await.0, 502);
}

#[tokio::test]
async fn a_gateway_starts_with_the_ports_open_that_there_are_unless_it_serves_no_static_proxies() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let control = statics.world.control.clone();
    statics.world.gateway.drain().await.unwrap();
    eventually("the port is closed", || listening_sockets(listen.port()) == 0).await;
    for (static_proxies, listeners) in [(false, 0), (true, 1)] {
        let config = GatewayConfig { static_proxies, ..GatewayConfig::default() };
        let folder = tempfile::tempdir().unwrap();
        let run = Run { folder: folder.path(), seed: [4; 32] };
        let gateway = Gateway::start(config, control.clone(), run, statics.watch.clone()).await.unwrap();
        assert_eq!(gateway.stats().static_listeners.load(Ordering::SeqCst), listeners);
        assert_eq!(listening_sockets(listen.port()) as u64, listeners);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_counted_and_had_when_it_is_free_and_hurts_nobody() {
    let statics = Statics::new().await;
    let taken = SocketAddr::new(ip("127.0.1.1"), statics.port);
    let holder = TcpListener::bind(taken).unwrap();
    let failed = || statics.count(|stats| stats.static_ports_failed.load(Ordering::SeqCst));
    statics.publish(DirectoryChange::Static(proxy(1, taken)));
    eventually("the failure is counted", || failed() == 1).await;
    let elsewhere = SocketAddr::new(ip("127.0.1.2"), free_port());
    statics.lease(proxy(2, elsewhere)).await;
    assert_eq!((failed(), statics.listeners()), (1, 1));
    assert_eq!(ask(elsewhere, connect("127.0.0.1:1", TWO)).await.0, 502);
    drop(holder);
    // Without any change in the directory.
    eventually("the port is had", || failed() == 0 && statics.listeners() == 2).await;
    assert_eq!(ask(taken, connect("127.0.0.1:1", ONE)).await.0, 502);
}

#[tokio::test]
async fn an_address_that_is_nobodys_is_closed_at_once_without_a_byte() {
    let statics = Statics::with(|config| config.limits.max_connections = 1).await;
    let listen = statics.one().await;
    // The only place is taken, and strays do not need one.
    let mut client = tunnel(listen, ONE, echo().await).await;
    for stray in ["127.0.1.2", "127.0.0.1", "::1"] {
        let began = Instant::now();
        assert_eq!(Client::to(statics.at(stray)).await.rest().await, b"", "{stray}");
        assert!(began.elapsed() < SOON);
    }
    let counted = || statics.count(|stats| stats.static_strays.load(Ordering::SeqCst));
    assert_eq!(counted(), 3);
    assert_eq!(statics.count(|stats| stats.turned_away.load(Ordering::SeqCst)), 0);
    assert!(is_alive(&mut client).await);
    // Who comes to a proxy while all places are taken is turned away like everywhere.
    assert_eq!(Client::to(listen).await.rest().await, b"");
    assert_eq!(statics.count(|stats| stats.turned_away.load(Ordering::SeqCst)), 1);
}

#[tokio::test]
async fn s5_06_s5_33_handshakes_are_bounded_in_time_and_may_be_slow() {
    let statics = Statics::with(|config| config.limits.handshake_timeout = Duration::from_millis(800)).await;
    let listen = statics.one().await;
    let mut slow = Client::to(listen).await;
    for byte in b"\x05\x01\x02\x01\x02s1\x06secret" {
        slow.say([*byte]).await;
        slow.stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(slow.exactly(4).await, [5, 2, 1, 0]);
    let began = Instant::now();
    for start in [&b""[..], b"\x05", b"\x05\x01\x02", b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHo"] {
        let mut silent = Client::to(listen).await;
        silent.say(start).await;
        assert!(timeout(PATIENCE, silent.rest()).await.is_ok());
    }
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_drain_lets_connections_go_on_for_a_while_and_takes_no_new_ones() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let mut client = tunnel(listen, ONE, echo().await).await;
    client.say(vec![1; 1000]).await;
    client.exactly(1000).await;
    let draining = async { statics.world.gateway.drain().await.unwrap() };
    let watching = async {
        eventually("the port is closed", || listening_sockets(listen.port()) == 0).await;
        assert!(is_alive(&mut client).await);
        // The drain timeout is two seconds.
        timeout(PATIENCE, client.rest()).await.unwrap();
    };
    tokio::join!(draining, watching);
    assert_eq!(statics.listeners(), 0);
    let expected =
        StaticTraffic { id: StaticProxyId::new(1), bytes_up: 1004, bytes_down: 1004, connections: 1 };
    assert_eq!(statics.told(1), Some(expected));
}

#[tokio::test]
async fn an_inherited_port_is_open_from_start_to_end_whoever_is_reached_on_it() {
    let statics = Statics::new().await;
    let listen = statics.at("127.0.1.1");
    let socket = TcpListener::bind(("0.0.0.0", statics.port)).unwrap();
    let inherited = Inherited::new(vec![socket.try_clone().unwrap()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = Run { folder: folder.path(), seed: [4; 32] };
    let (config, control) = (GatewayConfig::default(), statics.world.control.clone());
    let gateway = Gateway::start_on(inherited, config, control, run, statics.watch.clone()).await.unwrap();
    let listeners = || gateway.stats().static_listeners.load(Ordering::SeqCst);
    assert_eq!(listeners(), 1);
    assert_eq!(Client::to(listen).await.rest().await, b"", "nobody's yet, and closed");
    statics.publish(DirectoryChange::Static(proxy(1, listen)));
    eventually("the proxy is known", || statics.listeners() == 0 && listeners() == 1).await;
    assert_eq!(ask(listen, connect("10.0.0.1:1", ONE)).await.0, 403);
    assert_eq!(gateway.stats().static_ports_failed.load(Ordering::SeqCst), 0, "it is not opened twice");
    statics.publish(DirectoryChange::StaticGone(StaticProxyId::new(1)));
    assert_eq!(Client::to(listen).await.rest().await, b"", "nobody's any more, and closed");
    gateway.drain().await.unwrap();
    assert_eq!((listeners(), listening_sockets(statics.port)), (0, 1));
}
