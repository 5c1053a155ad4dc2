//! Static proxies: one listener per port whatever the number of addresses, the address that was
//! bought at the other end, and rights that end within a second.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};
use tollgate_gateway::{GatewayConfig, Traffic};
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

/// A world at noon with another account, and without exits.
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

    /// The newest that was told of a proxy.
    fn told(&self, number: i64) -> Option<StaticTraffic> {
        let told = self.world.control.told.lock().unwrap();
        let all = told.reports.iter().flatten();
        all.filter(|counter| counter.id.get() == number).max_by_key(|counter| counter.connections).copied()
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
async fn the_ports_of_a_directory_that_is_there_are_open_when_the_gateway_has_started() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let control = statics.world.control.clone();
    statics.world.gateway.drain().await.unwrap();
    eventually("the port is closed", || listening_sockets(listen.port()) == 0).await;
    let config = GatewayConfig { ..GatewayConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let run = tollgate_gateway::Run { folder: folder.path(), seed: [4; 32] };
    let started = tollgate_gateway::Gateway::start(config, control, run, statics.watch.clone()).await;
    assert_eq!(started.unwrap().stats().static_listeners.load(Ordering::SeqCst), 1);
    assert_eq!(listening_sockets(listen.port()), 1);
}

#[tokio::test]
async fn a_gateway_that_serves_no_static_proxies_listens_for_none() {
    let statics = Statics::with(|config| config.static_proxies = false).await;
    let listen = statics.at("127.0.1.1");
    statics.publish(DirectoryChange::Static(proxy(1, listen)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((statics.listeners(), listening_sockets(listen.port())), (0, 0));
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
    let statics = Statics::with(|config| config.max_connections = 1).await;
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
        let login = if *user == *"s1" { ONE.to_owned() } else { basic(&user) };
        let mut client = tunnel(listen, &login, target).await;
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
        assert_eq!(answer(&mut client, connect(&name, &login)).await.0, 200, "{listen}");
        assert_eq!(seen(&mut client).await, exit);
        let name = format!("six.example.com:{}", target.port());
        let answered = ask(listen, connect(&name, &login)).await;
        let expected = if exit.is_ipv4() { (502, "UNREACHABLE".to_owned()) } else { (200, String::new()) };
        assert_eq!(answered, expected, "{listen}");
    }
    // Exits had no part in it.
    let status = statics.world.gateway.exit_status();
    assert!(status.iter().all(|(_, exit)| exit.connections == 0 && exit.latency_micros == 0), "{status:?}");
}

/// `<user>:secret` as a header value.
fn basic(user: &str) -> String {
    match user {
        "s1" => ONE.to_owned(),
        "s2" => TWO.to_owned(),
        "s3" => "Basic czM6c2VjcmV0".to_owned(),
        "s4" => "Basic czQ6c2VjcmV0".to_owned(),
        other => panic!("no header for {other}"),
    }
}

#[tokio::test]
async fn each_speaks_what_it_was_bought_for() {
    let statics = Statics::new().await;
    let target = echo().await;
    for (number, protocol) in (1..).zip(StaticProtocol::ALL) {
        let listen = statics.at(&format!("127.0.1.{number}"));
        statics.lease(StaticEntry { protocol, ..proxy(number, listen) }).await;
        let user = format!("s{number}");
        let over_http = ask(listen, connect(&target.to_string(), &basic(&user))).await;
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
        // What is no protocol of ours ends as on every port.
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
    let statics = Statics::with(|config| config.failed_logins = 3).await;
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
async fn live_connections_end_with_the_time_that_was_bought_though_nothing_is_published() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let later = Time::from_micros(EVENING.micros() + 60_000_000);
    let two = StaticEntry { expires_at: later, ..proxy(2, statics.at("127.0.1.2")) };
    statics.lease(two.clone()).await;
    let target = echo().await;
    let mut first = tunnel(listen, ONE, target).await;
    let mut second = tunnel(two.listen, TWO, target).await;
    statics.set_clock(Time::from_micros(EVENING.micros() - 1));
    assert!(!is_cut(&mut first).await);
    statics.set_clock(EVENING);
    assert!(is_cut(&mut first).await);
    assert!(is_alive(&mut second).await);
    // And the next one at its own time, also when it has been renewed once.
    let renewed = Time::from_micros(later.micros() + 60_000_000);
    statics.publish(DirectoryChange::Static(StaticEntry { expires_at: renewed, ..two }));
    statics.set_clock(later);
    assert!(!is_cut(&mut second).await);
    assert!(is_alive(&mut second).await);
    statics.set_clock(renewed);
    assert!(is_cut(&mut second).await);
}

#[tokio::test]
async fn forwarded_requests_end_with_the_time_that_was_bought_too() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let endless = origin(|mut client| async move {
        client.head().await;
        client.say("HTTP/1.1 200 OK\r\n\r\n").await;
        client.rest().await;
    })
    .await;
    let get =
        format!("GET http://{endless}/ HTTP/1.1\r\nHost: {endless}\r\nProxy-Authorization: {ONE}\r\n\r\n");
    let mut client = Client::to(listen).await;
    assert_eq!(answer(&mut client, &get).await.0, 200);
    statics.set_clock(EVENING);
    assert!(is_cut(&mut client).await);
}

#[tokio::test]
async fn a_right_that_is_lost_ends_live_connections_within_a_second_and_nobody_elses() {
    let gone = DirectoryChange::StaticGone(StaticProxyId::new(1));
    let changed = |change: &dyn Fn(&mut StaticEntry), listen| {
        let mut entry = proxy(1, listen);
        change(&mut entry);
        DirectoryChange::Static(entry)
    };
    let statics = Statics::new().await;
    let (listen, target) = (statics.at("127.0.1.1"), echo().await);
    statics.lease(proxy(2, statics.at("127.0.1.2"))).await;
    let mut bystander = tunnel(statics.at("127.0.1.2"), TWO, target).await;
    let moved = statics.at("127.0.1.3");
    for (change, by_password, by_address) in [
        (gone, true, true),
        (changed(&|entry| entry.listen = moved, listen), true, true),
        (changed(&|entry| entry.exit_ip = ip("127.0.1.9"), listen), true, true),
        (changed(&|entry| entry.password = PasswordKey::new([7; 32]).tag(b"new"), listen), true, false),
        (changed(&|entry| entry.expires_at = NOON, listen), true, true),
        (changed(&|entry| entry.expires_at = Time::from_micros(i64::MAX), listen), false, false),
        (DirectoryChange::WhitelistGone(WhitelistId::new(20)), false, true),
    ] {
        statics.lease(proxy(1, listen)).await;
        statics.whitelist(20, OWNER, "127.0.0.2");
        let mut named = tunnel(listen, ONE, target).await;
        let mut listed = Client::from(ip("127.0.0.2"), listen).await;
        assert_eq!(answer(&mut listed, connect_bare(target)).await.0, 200);
        statics.publish(change.clone());
        let (named, listed) = tokio::join!(is_cut(&mut named), is_cut(&mut listed));
        assert_eq!((named, listed), (by_password, by_address), "{change:?}");
        assert!(is_alive(&mut bystander).await, "{change:?}");
    }
    assert!(is_alive(&mut bystander).await);
    statics.publish(DirectoryChange::Account(AccountEntry { id: OWNER, active: false, funds_epoch: 0 }));
    assert!(is_cut(&mut bystander).await);
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

#[tokio::test]
async fn live_connections_say_whose_static_proxy_they_go_through_and_can_be_closed() {
    let statics = Statics::new().await;
    let listen = statics.one().await;
    let target = echo().await;
    let mut client = tunnel(listen, ONE, target).await;
    let [view] = &statics.world.gateway.connections()[..] else { panic!("one connection") };
    assert_eq!(view.info.traffic, Traffic::Static(StaticProxyId::new(1), StaticType::Res));
    assert_eq!((view.info.account, view.info.sub_account, view.exit), (OWNER, None, None));
    assert_eq!((view.info.username.as_str(), view.info.protocol), ("s1", "connect"));
    assert_eq!(view.info.client, client.stream.local_addr().unwrap());
    assert!(statics.world.gateway.close(view.id));
    assert!(is_cut(&mut client).await);
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
        config.dns_timeout = Duration::from_millis(200);
        config.connect_timeout = Duration::from_millis(700);
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
    // Backlog full and silent: nobody accepts here.
    let (name, status) =
        (ask(listen, connect("no-such-name.invalid:80", ONE)).await.1, ["DNS_FAILED", "TIMEOUT"]);
    assert!(status.contains(&name.as_str()), "{name}");
}

#[tokio::test]
async fn each_has_a_bounded_number_of_connections_of_its_own() {
    let statics = Statics::with(|config| config.max_connections_per_caller = 2).await;
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
    let told = |view: &[tollgate_gateway::ConnectionView]| view.len();
    assert_eq!(told(&statics.world.gateway.connections()), 1, "the way to the origin is kept");
    assert!(heads.lock().unwrap().iter().all(|head| !head.contains("Proxy-")));
    statics.publish(DirectoryChange::StaticGone(StaticProxyId::new(1)));
    assert_eq!(answer(&mut client, get(ONE)).await, (407, "AUTH_REQUIRED".to_owned()));
}

#[tokio::test]
async fn s5_06_s5_33_handshakes_are_bounded_in_time_and_may_be_slow() {
    let statics = Statics::with(|config| config.handshake_timeout = Duration::from_millis(800)).await;
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
