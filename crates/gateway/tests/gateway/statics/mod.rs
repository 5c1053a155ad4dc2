//! Static proxies: one listener per port whatever the number of addresses, the address that was
//! bought at the other end, and rights that end within a second.

mod datagrams;
mod ending;
mod entering;
mod leaving;
mod listening;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};
use tollgate_gateway::{Gateway, GatewayConfig, Inherited, Run, Traffic};
use tollgate_types::{
    AccountEntry, AccountId, Clock, DirectoryChange, PasswordKey, ProxyType, StaticEntry, StaticProtocol,
    StaticProxyId, StaticTraffic, StaticType, Time, WhitelistEntry, WhitelistId,
};

use crate::world::{
    ALICE, Client, PATIENCE, World, connect, direct, echo, eventually, http_origin, nobody, origin, origin_at,
};

/// Who has the proxies, and somebody else.
const OWNER: AccountId = AccountId::new(1);
const OTHER: AccountId = AccountId::new(2);
/// `s1:secret`, the credentials of proxy 1, and `s2:secret`.
const ONE: &str = "Basic czE6c2VjcmV0";
const TWO: &str = "Basic czI6c2VjcmV0";
/// `s1:wrong`, `s1-country-us:secret`.
const WRONG: &str = "Basic czE6d3Jvbmc=";
const WITH_PARAMETER: &str = "Basic czEtY291bnRyeS11czpzZWNyZXQ=";
/// The promise.
const SOON: Duration = Duration::from_secs(1);

/// A clock that is set.
struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::SeqCst))
    }
}

const NOON: Time = Time::from_micros(43_200_000_000);
const EVENING: Time = Time::from_micros(64_800_000_000);

/// A port that nobody listens on, below those that the system gives away by itself.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() % 150).unwrap() * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::SeqCst);
        if TcpListener::bind(("::", port)).is_ok() {
            return port;
        }
    }
}

/// Proxy number so and so: `s<number>:secret`, both protocols, leaving from where it is reached.
fn proxy(number: i64, listen: SocketAddr) -> StaticEntry {
    StaticEntry {
        id: StaticProxyId::new(number),
        account: OWNER,
        static_type: StaticType::Res,
        protocol: StaticProtocol::Both,
        listen,
        exit_ip: listen.ip(),
        username: format!("s{number}").into(),
        password: PasswordKey::new([7; 32]).tag(b"secret"),
        expires_at: EVENING,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A gateway at noon, a control plane with another account, and a port for proxies.
struct Statics {
    world: World,
    watch: Arc<Watch>,
    port: u16,
}

impl Statics {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let watch = Arc::new(Watch(AtomicI64::new(NOON.micros())));
        let world = World::at(watch.clone(), vec![direct(1, ProxyType::Residential)], change).await;
        let other = AccountEntry { id: OTHER, active: true, funds_epoch: 0 };
        world.control.publish(DirectoryChange::Account(other));
        Self { world, watch, port: free_port() }
    }

    /// An address on the port.
    fn at(&self, address: &str) -> SocketAddr {
        SocketAddr::new(ip(address), self.port)
    }

    /// Leases a proxy, and waits until its port is open.
    async fn lease(&self, entry: StaticEntry) {
        let open = self.listeners();
        let is_new = !self.is_listening(entry.listen.port());
        self.publish(DirectoryChange::Static(entry));
        eventually("the port is open", || self.listeners() == open + u64::from(is_new)).await;
    }

    /// Proxy 1, reached at 127.0.1.1.
    async fn one(&self) -> SocketAddr {
        let listen = self.at("127.0.1.1");
        self.lease(proxy(1, listen)).await;
        listen
    }

    fn publish(&self, change: DirectoryChange) {
        self.world.control.publish(change);
    }

    fn whitelist(&self, id: i64, account: AccountId, address: &str) {
        let entry = WhitelistEntry { id: WhitelistId::new(id), account };
        self.publish(DirectoryChange::Whitelist(ip(address), entry));
    }

    fn set_clock(&self, now: Time) {
        self.watch.0.store(now.micros(), Ordering::SeqCst);
    }

    fn listeners(&self) -> u64 {
        self.world.gateway.stats().static_listeners.load(Ordering::SeqCst)
    }

    fn is_listening(&self, port: u16) -> bool {
        listening_sockets(port) > 0
    }

    fn count(&self, counter: impl Fn(&tollgate_gateway::Stats) -> u64) -> u64 {
        counter(self.world.gateway.stats())
    }

    /// What was told last of a proxy.
    fn told(&self, number: i64) -> Option<StaticTraffic> {
        let told = self.world.control.told.lock().unwrap();
        told.reports.iter().flatten().rfind(|counter| counter.id.get() == number).copied()
    }
}

/// How many sockets of this machine listen on a port, whatever their addresses.
fn listening_sockets(port: u16) -> usize {
    let ends = format!(":{port:04X}");
    let listens = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&ends)) && fields.nth(1) == Some("0A")
    };
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|path| {
        std::fs::read_to_string(path).map_or(0, |table| table.lines().filter(|line| listens(line)).count())
    });
    tables.iter().sum()
}

/// A CONNECT without credentials.
fn connect_bare(target: SocketAddr) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
}

/// Status and name of what a request is answered with; 0 where the connection just ends.
async fn answer(client: &mut Client, request: impl AsRef<[u8]>) -> (u16, String) {
    client.say(request).await;
    let head = client.rest_of_head().await;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let name = head.lines().find_map(|line| line.strip_prefix("X-Tollgate-Error: "));
    (status, name.unwrap_or_default().to_owned())
}

async fn ask(listen: SocketAddr, request: impl AsRef<[u8]>) -> (u16, String) {
    answer(&mut Client::to(listen).await, request).await
}

/// A tunnel through a proxy, over HTTP.
async fn tunnel(listen: SocketAddr, credentials: &str, target: SocketAddr) -> Client {
    let mut client = Client::to(listen).await;
    let answered = answer(&mut client, connect(&target.to_string(), credentials)).await;
    assert_eq!(answered.0, 200, "{listen}: {answered:?}");
    client
}

/// The method, and the status of the login where one was made: what SOCKS5 answers to credentials.
async fn socks_login(client: &mut Client, user: &str, password: &str) -> Vec<u8> {
    let (user, password) = (user.as_bytes(), password.as_bytes());
    let lengths = [user.len(), password.len()].map(|length| u8::try_from(length).unwrap());
    client.say([&[5, 1, 2, 1, lengths[0]], user, &lengths[1..], password].concat()).await;
    let method = client.exactly(2).await;
    if method == [5, 0xff] { method } else { [method, client.exactly(2).await].concat() }
}

/// The reply to a request, without the address in it.
async fn socks_connect(client: &mut Client, target: SocketAddr) -> u8 {
    let mut request = vec![5, 1, 0];
    match target.ip() {
        IpAddr::V4(ip) => request.extend([&[1][..], &ip.octets()].concat()),
        IpAddr::V6(ip) => request.extend([&[4][..], &ip.octets()].concat()),
    }
    request.extend(target.port().to_be_bytes());
    client.say(request).await;
    let reply = client.exactly(4).await;
    client.exactly(if reply[3] == 4 { 18 } else { 6 }).await;
    reply[1]
}

/// An origin that says which address it sees, and closes.
async fn mirror(at: &str) -> SocketAddr {
    origin_at(ip(at), |mut client| async move {
        let peer = client.stream.peer_addr().unwrap().ip();
        client.say(format!("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{:>40}", peer.to_string())).await;
        // The client says when it has it.
        client.rest().await;
    })
    .await
}

/// What [`mirror`] said.
async fn seen(client: &mut Client) -> IpAddr {
    client.head().await;
    String::from_utf8(client.exactly(40).await).unwrap().trim().parse().unwrap()
}

/// Whether a tunnel ends within the promised second.
async fn is_cut(client: &mut Client) -> bool {
    timeout(SOON, client.rest()).await.is_ok()
}

async fn is_alive(client: &mut Client) -> bool {
    client.say("ping").await;
    timeout(SOON, client.exactly(4)).await.is_ok_and(|back| back == b"ping")
}

/// `<user>:secret` as a header value.
fn basic(user: &str) -> &'static str {
    match user {
        "s1" => ONE,
        "s2" => TWO,
        "s3" => "Basic czM6c2VjcmV0",
        "s4" => "Basic czQ6c2VjcmV0",
        other => panic!("no header for {other}"),
    }
}
