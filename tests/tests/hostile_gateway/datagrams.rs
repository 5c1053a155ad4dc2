//! SOCKS5 UDP ASSOCIATE over the whole program: what is relayed is billed, and ends with the funds.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;
use tollgate_testkit::world::{eventually, int};

use crate::lab::{Lab, PASSWORD, Raw, USER, connect_as, socks_connect, socks_login};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// An association, and a socket to use it.
struct Association {
    control: Raw,
    socket: UdpSocket,
    relay: SocketAddr,
}

impl Association {
    async fn open(lab: &Lab, user: &str) -> Self {
        let mut control = lab.send([&socks_login(user, PASSWORD)[..], &associate()].concat()).await;
        let reply = control.exactly(4 + 10).await;
        assert_eq!(reply[..8], [5, 2, 1, 0, 5, 0, 0, 1]);
        let relay = SocketAddr::from(([127, 0, 0, 1], u16::from_be_bytes([reply[12], reply[13]])));
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        socket.connect(relay).await.expect("an address");
        Self { control, socket, relay }
    }

    /// Sends a payload to an echo: what came back, or nothing where the association ends instead.
    async fn exchange(&mut self, echo: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
        let header = header(echo);
        let sent = self.socket.send(&[&header, payload].concat()).await;
        let mut room = vec![0; 1 << 16];
        let back = async {
            sent.ok()?;
            let length = self.socket.recv(&mut room).await.ok()?;
            Some(room.get(..length)?.strip_prefix(&header[..])?.to_vec())
        };
        tokio::select! {
            back = timeout(PATIENCE, back) => back.expect("an answer in time"),
            _ = self.control.rest() => None,
        }
    }
}

/// The request, without saying where datagrams will come from.
fn associate() -> [u8; 10] {
    [5, 3, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// The header of a datagram to or from an address.
fn header(address: SocketAddr) -> Vec<u8> {
    let mut header = socks_connect(address);
    header[..3].fill(0);
    header
}

async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("its address");
    tokio::spawn(async move {
        let mut room = vec![0; 1 << 16];
        while let Ok((length, from)) = socket.recv_from(&mut room).await {
            let _ = socket.send_to(&room[..length], from).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_are_answered_by_who_they_were_for_and_billed_to_the_byte() {
    let lab = Lab::open().await;
    let echo = echo().await;
    let mut association = Association::open(&lab, USER).await;
    let mut sum = 0;
    let sizes = [0, 1, 512, 1460, 9000, 65_497].into_iter().chain([32_768; 320]);
    for size in sizes {
        let payload: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[0]).collect();
        assert_eq!(association.exchange(echo, &payload).await, Some(payload), "{size}");
        sum += 2 * u64::from(size);
    }
    assert!(sum > 2 * (10 << 20), "ten mebibytes each way");
    let relay = association.relay;
    drop(association);
    eventually("the port is free", Duration::from_secs(2), async || {
        std::net::UdpSocket::bind(relay).is_ok().then_some(())
    })
    .await;
    lab.costs(sum).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn funds_end_an_association_and_not_a_byte_goes_beyond_them() {
    let lab = Lab::open().await;
    // What a cent buys at two dollars a GB.
    let funds = (1 << 30) / 200;
    let bea = lab.world.customer("bea", 1).await;
    lab.world.sub_account(&bea, "bea.one", PASSWORD, 0).await;
    let echo = echo().await;
    let mut association = Association::open(&lab, "bea.one").await;
    let size = 60_011;
    let mut moved = 0;
    while let Some(back) = association.exchange(echo, &vec![7; size]).await {
        assert_eq!(back.len(), size, "as a whole or not at all");
        moved += 2 * size as u64;
        assert!(moved <= funds);
    }
    // The rest is too little for a datagram, not for a tunnel.
    let mut tunnel = lab.send(connect_as("bea.one", lab.origin.address())).await;
    assert_eq!(tunnel.told().await.status, 200);
    tunnel.say("SEND 1000000\n").await;
    let rest = tunnel.rest().await.len() as u64 + "SEND 1000000\n".len() as u64;
    // The last datagram may have been granted on its way up and not on its way back.
    assert!(moved + rest == funds || moved + rest + size as u64 == funds, "{moved} {rest}");
    assert!(rest < 2 * size as u64, "{rest}");
    let path = "/api/users/traffic/trend?start_date=2000-01-01&end_date=2100-01-01";
    eventually("all of it is billed", PATIENCE, async || {
        let answer = bea.api.get(path).await;
        let days = answer.data()["residential"].as_array().expect("days").clone();
        let billed: i64 = days.iter().map(|day| int(&day["total_traffic"])).sum();
        (u64::try_from(billed) == Ok(funds)).then_some(())
    })
    .await;
    let mut refused = lab.send([&socks_login("bea.one", PASSWORD)[..], &associate()].concat()).await;
    assert_eq!(refused.rest().await[..6], [5, 2, 1, 0, 5, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_can_be_turned_off() {
    let lab = Lab::with(&[("TOLLGATE_GATEWAY__UDP", "false")]).await;
    let mut raw = lab.send([&socks_login(USER, PASSWORD)[..], &associate()].concat()).await;
    assert_eq!(raw.rest().await, [5, 2, 1, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0]);
}
