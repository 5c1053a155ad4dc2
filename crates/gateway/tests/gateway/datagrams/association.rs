//! A client of an association, and those whom it sends to.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::world::{Client, PATIENCE, World};

/// An association of Alice's.
pub(crate) struct Association {
    pub(crate) control: Client,
    pub(crate) socket: UdpSocket,
    pub(crate) relay: SocketAddr,
}

impl Association {
    /// One that names no port.
    pub(crate) async fn open(world: &World) -> Self {
        Self::naming(world, "0.0.0.0".parse().unwrap(), 0, socket("127.0.0.1").await).await
    }

    /// One that says, truly or not, where it will send from.
    pub(crate) async fn naming(world: &World, ip: IpAddr, port: u16, socket: UdpSocket) -> Self {
        let from = SocketAddr::new(ip, port).to_string();
        let (control, rep, relay) = ask(world, "alice", 3, &from).await;
        assert_eq!(rep, 0);
        Self { control, socket, relay }
    }

    pub(crate) async fn send(&self, header: &[u8], payload: &[u8]) {
        self.socket.send_to(&[header, payload].concat(), self.relay).await.unwrap();
    }

    /// The next datagram: who the header says sent it, and its payload.
    pub(crate) async fn receive(&self) -> (SocketAddr, Vec<u8>) {
        receive(&self.socket, self.relay).await
    }

    /// The same, or nothing where the association ends instead.
    pub(crate) async fn receive_or_end(&mut self) -> Option<Vec<u8>> {
        tokio::select! {
            (_, payload) = receive(&self.socket, self.relay) => Some(payload),
            _ = self.control.rest() => None,
        }
    }

    /// Whether nobody has the relay's port any more.
    pub(crate) async fn is_dead(&self) -> bool {
        let knocking = socket(&self.relay.ip().to_string()).await;
        knocking.connect(self.relay).await.unwrap();
        knocking.send(b"knock").await.unwrap();
        let error = timeout(PATIENCE, knocking.recv(&mut [0])).await.unwrap().unwrap_err();
        error.kind() == std::io::ErrorKind::ConnectionRefused
    }
}

async fn receive(socket: &UdpSocket, relay: SocketAddr) -> (SocketAddr, Vec<u8>) {
    let mut room = vec![0; 1 << 16];
    let (length, from) = timeout(PATIENCE, socket.recv_from(&mut room)).await.unwrap().unwrap();
    assert_eq!(from, relay);
    room.truncate(length);
    assert_eq!(room[..3], [0, 0, 0]);
    let (ip, rest) = match room[3] {
        1 => (IpAddr::from(<[u8; 4]>::try_from(&room[4..8]).unwrap()), &room[8..]),
        4 => (IpAddr::from(<[u8; 16]>::try_from(&room[4..20]).unwrap()), &room[20..]),
        other => panic!("address type {other}"),
    };
    let port = u16::from_be_bytes([rest[0], rest[1]]);
    (SocketAddr::new(ip, port), rest[2..].to_vec())
}

/// A request of a command: the connection, the reply's code, and the address in it.
pub(crate) async fn ask(world: &World, who: &str, command: u8, address: &str) -> (Client, u8, SocketAddr) {
    let mut client = Client::to(world.any).await;
    let (reply, told) = ask_over(&mut client, who, command, address.parse().unwrap()).await;
    (client, reply, told)
}

pub(crate) async fn ask_over(
    client: &mut Client,
    who: &str,
    command: u8,
    address: SocketAddr,
) -> (u8, SocketAddr) {
    let length = u8::try_from(who.len()).unwrap();
    client.say([&[5, 1, 2, 1, length], who.as_bytes(), b"\x06secret"].concat()).await;
    assert_eq!(client.exactly(4).await, [5, 2, 1, 0]);
    let mut request = to(address);
    request[..3].copy_from_slice(&[5, command, 0]);
    client.say(request).await;
    let reply = client.exactly(4).await;
    let told = if reply[3] == 4 {
        IpAddr::from(<[u8; 16]>::try_from(client.exactly(16).await).unwrap())
    } else {
        IpAddr::from(<[u8; 4]>::try_from(client.exactly(4).await).unwrap())
    };
    let port = client.exactly(2).await;
    (reply[1], SocketAddr::new(told, u16::from_be_bytes([port[0], port[1]])))
}

/// The header of a datagram to an address.
pub(crate) fn to(target: SocketAddr) -> Vec<u8> {
    let mut header = vec![0, 0, 0];
    match target.ip() {
        IpAddr::V4(ip) => header.extend([&[1][..], &ip.octets()].concat()),
        IpAddr::V6(ip) => header.extend([&[4][..], &ip.octets()].concat()),
    }
    header.extend(target.port().to_be_bytes());
    header
}

/// The header of a datagram to a name.
pub(crate) fn to_name(name: &str, port: u16) -> Vec<u8> {
    let mut header = vec![0, 0, 0, 3, u8::try_from(name.len()).unwrap()];
    header.extend(name.as_bytes());
    header.extend(port.to_be_bytes());
    header
}

/// A socket of a machine at this address.
pub(crate) async fn socket(ip: &str) -> UdpSocket {
    UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0)).await.unwrap()
}

/// Nothing comes in a while in which everything else comes.
pub(crate) async fn hears_nothing(socket: &UdpSocket) {
    let heard = timeout(Duration::from_millis(100), socket.recv(&mut [0; 100])).await;
    assert!(!matches!(heard, Ok(Ok(_))), "{heard:?}");
}

/// Sends everything back.
pub(crate) async fn echo(ip: &str) -> SocketAddr {
    let socket = socket(ip).await;
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut room = vec![0; 1 << 16];
        while let Ok((length, from)) = socket.recv_from(&mut room).await {
            let _ = socket.send_to(&room[..length], from).await;
        }
    });
    address
}

/// What a listener heard.
pub(crate) struct Heard {
    socket: Arc<UdpSocket>,
    pub(crate) datagrams: Mutex<Vec<Vec<u8>>>,
    peers: Mutex<Vec<SocketAddr>>,
}

impl Heard {
    pub(crate) fn lock(&self) -> std::sync::LockResult<std::sync::MutexGuard<'_, Vec<Vec<u8>>>> {
        self.datagrams.lock()
    }
}

/// Hears, and says nothing by itself.
pub(crate) async fn listener(ip: &str) -> (SocketAddr, Arc<Heard>) {
    let socket = Arc::new(socket(ip).await);
    let address = socket.local_addr().unwrap();
    let heard =
        Arc::new(Heard { socket: socket.clone(), datagrams: Mutex::default(), peers: Mutex::default() });
    let hears = heard.clone();
    tokio::spawn(async move {
        let mut room = vec![0; 1 << 16];
        while let Ok((length, from)) = socket.recv_from(&mut room).await {
            hears.peers.lock().unwrap().push(from);
            hears.datagrams.lock().unwrap().push(room[..length].to_vec());
        }
    });
    (address, heard)
}

/// Whom it heard last.
pub(crate) fn last_peer(heard: &Heard) -> SocketAddr {
    *heard.peers.lock().unwrap().last().unwrap()
}

/// Says something to whom it heard last.
pub(crate) async fn say(heard: &Heard, payload: &[u8]) {
    heard.socket.send_to(payload, last_peer(heard)).await.unwrap();
}
