//! SOCKS5 UDP ASSOCIATE at a static proxy's address.

use super::*;
use crate::datagrams::association::{ask_over, last_peer, listener, say, socket, to};

/// An association at a static proxy: the connection, and where datagrams are to be sent to.
async fn associate(listen: SocketAddr, who: &str) -> (Client, u8, SocketAddr) {
    let mut client = Client::to(listen).await;
    let (rep, told) = ask_over(&mut client, who, 3, "0.0.0.0:0".parse().unwrap()).await;
    (client, rep, told)
}

#[tokio::test]
async fn datagrams_come_in_and_leave_at_the_proxys_own_addresses_and_are_counted() {
    let statics = Statics::with(|config| config.udp_public_address = Some(ip("198.51.100.7"))).await;
    let listen = statics.at("127.0.1.1");
    statics.lease(StaticEntry { exit_ip: ip("127.0.1.9"), ..proxy(1, listen) }).await;
    let (control, rep, relay) = associate(listen, "s1").await;
    assert_eq!((rep, relay.ip()), (0, listen.ip()));
    let (server, heard) = listener("127.0.0.1").await;
    let client = socket("127.0.0.1").await;
    client.send_to(&[to(server), b"question".to_vec()].concat(), relay).await.unwrap();
    eventually("it is heard", || heard.lock().unwrap().len() == 1).await;
    assert_eq!(last_peer(&heard).ip(), ip("127.0.1.9"));
    say(&heard, b"an answer").await;
    let mut room = [0; 100];
    let (length, from) = timeout(PATIENCE, client.recv_from(&mut room)).await.unwrap().unwrap();
    assert_eq!((&room[..length], from), (&[to(server), b"an answer".to_vec()].concat()[..], relay));
    let [view] = statics.world.gateway.connections().try_into().unwrap();
    assert_eq!((view.info.protocol, view.bytes_up, view.bytes_down), ("socks5-udp", 8, 9));
    drop(control);
    eventually("it is told", || statics.told(1).is_some_and(|told| told.bytes_down == 9)).await;
    let told = statics.told(1).unwrap();
    assert_eq!((told.bytes_up, told.bytes_down, told.connections), (8, 9, 1));
}

#[tokio::test]
async fn an_association_ends_with_the_time_that_was_bought() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let (mut control, rep, relay) = associate(listen, "s1").await;
    assert_eq!(rep, 0);
    statics.set_clock(EVENING);
    assert!(is_cut(&mut control).await);
    eventually("its port is free", || std::net::UdpSocket::bind(relay).is_ok()).await;
    assert_eq!(associate(listen, "s1").await.1, 2);
}

#[tokio::test]
async fn other_proxies_are_closed_to_datagrams_too() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    statics.lease(proxy(2, statics.at("127.0.1.2"))).await;
    let (_control, _, relay) = associate(listen, "s1").await;
    let client = socket("127.0.0.1").await;
    let knock = [to(statics.at("127.0.1.2")), b"knock".to_vec()].concat();
    client.send_to(&knock, relay).await.unwrap();
    let blocked = || {
        let drops = statics.world.gateway.stats().drops();
        drops
            .filter(|(why, _)| *why == tollgate_gateway::Dropped::Blocked)
            .map(|(_, count)| count)
            .sum::<u64>()
    };
    eventually("it is dropped", || blocked() == 1).await;
}
