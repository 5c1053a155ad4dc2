//! Who is let in at a static proxy's address, over which protocol, and who is told why not.

use super::*;
use crate::secure::{files, handshake, head, renew};

#[tokio::test]
async fn each_speaks_what_it_was_bought_for() {
    let statics = Statics::new().await;
    let target = echo().await;
    for (number, protocol) in (1..).zip(StaticProtocol::ALL) {
        let listen = statics.at(&format!("127.0.1.{number}"));
        statics.lease(StaticEntry { protocol, ..proxy(number, listen) }).await;
        let user = format!("s{number}");
        let over_http = ask(listen, connect(&target.to_string(), basic(&user))).await;
        let expected =
            if protocol.speaks_http() { (200, String::new()) } else { (501, "UNSUPPORTED".to_owned()) };
        assert_eq!(over_http, expected, "{protocol}");
        // Neither credentials nor a good request are needed to be told so.
        let bare = ask(listen, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(bare.0, if protocol.speaks_http() { 200 } else { 501 }, "{protocol}");
        let mut client = Client::to(listen).await;
        let login = socks_login(&mut client, &user, "secret").await;
        if protocol.speaks_socks5() {
            assert_eq!(login, [5, 2, 1, 0], "{protocol}");
            assert_eq!(socks_connect(&mut client, target).await, 0, "{protocol}");
        } else {
            assert_eq!(login, [5, 0xff], "{protocol}");
            assert_eq!(client.rest().await, b"");
        }
        let mut client = Client::to(listen).await;
        let at = target.port().to_be_bytes();
        client.say([&[4, 1], &at[..], &[127, 0, 0, 1], user.as_bytes(), b":secret\0"].concat()).await;
        let code = if protocol.speaks_socks5() { 90 } else { 91 };
        assert_eq!(client.exactly(2).await, [0, code], "{protocol}");
        // What is no protocol of ours ends as on every port, and so does SOCKS4 of who is not known.
        let mut client = Client::to(listen).await;
        client.say([4, 1, 0, 80, 127, 0, 0, 1, 0]).await;
        assert_eq!(client.rest().await, [0, 0x5b, 0, 0, 0, 0, 0, 0], "{protocol}");
        for garbage in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x00\x00", b"\xff"] {
            let mut client = Client::to(listen).await;
            client.say(garbage).await;
            assert_eq!(client.rest().await, b"", "{protocol}");
        }
    }
}

#[tokio::test]
async fn tls_is_spoken_at_static_proxies_too() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = renew(folder.path());
    let statics = Statics::with(|config| config.certificate = Some(files(folder.path()))).await;
    let listen = statics.one().await;
    let target = echo().await.to_string();
    let mut tls = handshake(listen, &certificate, "proxy.test", &[]).await.unwrap();
    tls.write_all(connect(&target, ONE).as_bytes()).await.unwrap();
    assert!(head(&mut tls).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn only_its_own_credentials_are_taken_and_only_there() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let target = echo().await.to_string();
    let required = (407, "AUTH_REQUIRED".to_owned());
    assert_eq!(ask(listen, connect(&target, ONE)).await.0, 200);
    for credentials in [WRONG, TWO, ALICE, WITH_PARAMETER, "Basic !", "Digest x"] {
        assert_eq!(ask(listen, connect(&target, credentials)).await, required, "{credentials}");
    }
    for (user, password) in
        [("s1", "wrong"), ("s2", "secret"), ("alice", "secret"), ("s1-type-res", "secret")]
    {
        let login = socks_login(&mut Client::to(listen).await, user, password).await;
        assert_eq!(login, [5, 2, 1, 1], "{user}:{password}");
    }
    assert_eq!(ask(statics.world.any, connect(&target, ONE)).await, required);
    let login = socks_login(&mut Client::to(statics.world.any).await, "s1", "secret").await;
    assert_eq!(login, [5, 2, 1, 1]);
    // A connection that stays takes the next try.
    let mut client = Client::to(listen).await;
    let get = |with: &str| {
        format!("GET http://{target}/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {with}\r\n\r\n")
    };
    client.say(get(WRONG)).await;
    assert!(client.head().await.starts_with("HTTP/1.1 407 "));
}

#[tokio::test]
async fn failed_logins_count_against_the_address_that_they_come_from() {
    let statics = Statics::with(|config| config.limits.failed_logins = 3).await;
    let listen = statics.one().await;
    let target = echo().await.to_string();
    for _ in 0..3 {
        assert_eq!(ask(listen, connect(&target, WRONG)).await.0, 407);
    }
    let too_many = (429, "TOO_MANY_ATTEMPTS".to_owned());
    assert_eq!(ask(listen, connect(&target, ONE)).await, too_many);
    assert_eq!(ask(statics.world.any, connect(&target, ALICE)).await, too_many);
    let mut elsewhere = Client::from(ip("127.0.0.9"), listen).await;
    assert_eq!(answer(&mut elsewhere, connect(&target, ONE)).await.0, 200);
}

#[tokio::test]
async fn the_owners_listed_addresses_enter_without_credentials_and_those_of_others_do_not() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let six = StaticEntry { id: StaticProxyId::new(2), ..proxy(2, statics.at("::1")) };
    statics.lease(six).await;
    statics.whitelist(20, OWNER, "127.0.0.2");
    statics.whitelist(21, OTHER, "127.0.0.3");
    statics.whitelist(22, OWNER, "::1");
    let target = echo().await;
    for (source, status) in [("127.0.0.2", 200), ("127.0.0.3", 407), ("127.0.0.4", 407)] {
        let mut client = Client::from(ip(source), listen).await;
        assert_eq!(answer(&mut client, connect_bare(target)).await.0, status, "{source}");
        let mut client = Client::from(ip(source), listen).await;
        client.say([5, 1, 0]).await;
        let method = if status == 200 { [5, 0] } else { [5, 0xff] };
        assert_eq!(client.exactly(2).await, method, "{source}");
        // Credentials that are given decide, right or wrong.
        let mut client = Client::from(ip(source), listen).await;
        assert_eq!(answer(&mut client, connect(&target.to_string(), WRONG)).await.0, 407, "{source}");
        let mut client = Client::from(ip(source), listen).await;
        assert_eq!(answer(&mut client, connect(&target.to_string(), ONE)).await.0, 200, "{source}");
    }
    let mut client = Client::from(ip("::1"), statics.at("::1")).await;
    let six_target = mirror("::1").await;
    assert_eq!(answer(&mut client, connect_bare(six_target)).await.0, 200);
}

#[tokio::test]
async fn an_expired_proxy_is_refused_to_who_may_know_and_unknown_to_others() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    statics.whitelist(20, OWNER, "127.0.0.2");
    let target = echo().await;
    let named = connect(&target.to_string(), ONE);
    statics.set_clock(Time::from_micros(EVENING.micros() - 1));
    assert_eq!(ask(listen, &named).await.0, 200);
    statics.set_clock(EVENING);
    let blocked = (403, "USER_BLOCKED".to_owned());
    assert_eq!(ask(listen, &named).await, blocked);
    assert_eq!(answer(&mut Client::from(ip("127.0.0.2"), listen).await, connect_bare(target)).await, blocked);
    let required = (407, "AUTH_REQUIRED".to_owned());
    assert_eq!(ask(listen, connect(&target.to_string(), WRONG)).await, required);
    assert_eq!(ask(listen, connect_bare(target)).await, required);
    let mut client = Client::to(listen).await;
    assert_eq!(socks_login(&mut client, "s1", "secret").await, [5, 2, 1, 0]);
    assert_eq!(socks_connect(&mut client, target).await, 2);
    assert_eq!(socks_login(&mut Client::to(listen).await, "s1", "wrong").await, [5, 2, 1, 1]);
    // Renewed, it works again.
    let renewed = Time::from_micros(EVENING.micros() * 2);
    statics.publish(DirectoryChange::Static(StaticEntry { expires_at: renewed, ..proxy(1, listen) }));
    assert_eq!(ask(listen, &named).await.0, 200);
    // Who is suspended is told the same.
    let suspended = AccountEntry { id: OWNER, active: false, funds_epoch: 0 };
    statics.publish(DirectoryChange::Account(suspended));
    assert_eq!(ask(listen, &named).await, blocked);
    assert_eq!(ask(listen, connect(&target.to_string(), WRONG)).await, required);
}

#[tokio::test]
async fn each_has_a_bounded_number_of_connections_of_its_own() {
    let statics = Statics::with(|config| config.limits.per_caller.connections = 2).await;
    let listen = statics.one().await;
    statics.lease(proxy(2, statics.at("127.0.1.2"))).await;
    statics.whitelist(20, OWNER, "127.0.0.2");
    let target = echo().await;
    let first = tunnel(listen, ONE, target).await;
    let _second = tunnel(listen, ONE, target).await;
    let full = (429, "TOO_MANY_CONNECTIONS".to_owned());
    assert_eq!(ask(listen, connect(&target.to_string(), ONE)).await, full);
    // By whichever right: it is the proxy that is full.
    let mut listed = Client::from(ip("127.0.0.2"), listen).await;
    assert_eq!(answer(&mut listed, connect_bare(target)).await, full);
    assert_eq!(ask(statics.at("127.0.1.2"), connect(&target.to_string(), TWO)).await.0, 200);
    drop(first);
    eventually("a place is free", || statics.world.gateway.connections().len() < 2).await;
    tunnel(listen, ONE, target).await;
}

#[tokio::test]
async fn an_http_client_stays_and_every_request_is_looked_at_anew() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let (target, heads) = http_origin("HTTP/1.1 204 No Content\r\n\r\n").await;
    let get = |with: &str| {
        format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {with}\r\n\r\n")
    };
    let mut client = Client::to(listen).await;
    for _ in 0..3 {
        assert_eq!(answer(&mut client, get(ONE)).await.0, 204);
    }
    assert_eq!(statics.world.gateway.connections().len(), 1, "the way to the origin is kept");
    assert!(heads.lock().unwrap().iter().all(|head| !head.contains("Proxy-")));
    statics.publish(DirectoryChange::StaticGone(StaticProxyId::new(1)));
    assert_eq!(answer(&mut client, get(ONE)).await, (407, "AUTH_REQUIRED".to_owned()));
}

#[tokio::test]
async fn behind_a_front_the_destination_in_its_header_says_which_proxy_is_meant() {
    let front = "127.0.0.5";
    let statics = Statics::with(|config| config.proxy_protocol_from = vec![front.parse().unwrap()]).await;
    let listen = statics.one().await;
    // Reached under an address that is not this machine's.
    let away = SocketAddr::new(ip("203.0.113.9"), 443);
    let two = StaticEntry { exit_ip: ip("127.0.1.2"), ..proxy(2, away) };
    statics.publish(DirectoryChange::Static(two));
    statics.whitelist(20, OWNER, "192.0.2.1");
    let target = echo().await;
    let asks = async |destination: SocketAddr, request: String| {
        let mut client = Client::from(ip(front), listen).await;
        let (to, port) = (destination.ip(), destination.port());
        answer(&mut client, format!("PROXY TCP4 192.0.2.1 {to} 1024 {port}\r\n{request}")).await.0
    };
    let as_one = connect(&target.to_string(), ONE);
    let as_two = connect(&target.to_string(), TWO);
    assert_eq!(asks(away, as_two.clone()).await, 200);
    assert_eq!(asks(away, as_one.clone()).await, 407, "each has credentials of its own");
    assert_eq!(asks(away, connect_bare(target)).await, 200, "its owner lists the client's address");
    // The front's own name for it is nobody's: then it is the address that the connection came to.
    let vip = SocketAddr::new(ip("203.0.113.200"), 443);
    assert_eq!(asks(vip, as_one).await, 200);
    assert_eq!(asks(vip, as_two).await, 407);
}
