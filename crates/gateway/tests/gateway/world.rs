//! A gateway with a control plane that keeps its books in memory, origins that do as they are told,
//! and a client that says exactly what it is given.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tollgate_gateway::{Control, Gateway, GatewayConfig, GatewayLimits, Run};
use tollgate_types::{
    AccountEntry, AccountId, BootId, ByteLease, Bytes, Clock, Directory, DirectoryChange, Exit, ExitId,
    ExitKind, GatewayId, LeaseDenied, LeaseId, LeaseRequest, PasswordKey, Payer, Pools, ProxyType,
    RefusalNote, Settled, StaticTraffic, SubAccountEntry, SubAccountId, SystemClock, Unavailable,
    UsageReport, WhitelistEntry, WhitelistId,
};

/// Longer than anything here should ever take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Alice's credentials (`alice:secret`) and Bob's (`bob:secret`), as a header value.
pub(crate) const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";
pub(crate) const BOB: &str = "Basic Ym9iOnNlY3JldA==";

pub(crate) const ALICE_ID: SubAccountId = SubAccountId::new(10);
pub(crate) const BOB_ID: SubAccountId = SubAccountId::new(11);

/// A control plane in memory.
pub(crate) struct FakeControl {
    directory: watch::Sender<Arc<Directory>>,
    books: Mutex<Books>,
    pub(crate) notes: Mutex<Vec<RefusalNote>>,
    pub(crate) told: Mutex<Told>,
}

/// What the control plane was told of static proxies' traffic.
#[derive(Default)]
pub(crate) struct Told {
    /// Every report that was taken.
    pub(crate) reports: Vec<Vec<StaticTraffic>>,
    /// It does not take reports just now.
    pub(crate) is_away: bool,
    /// It takes them, but the answer is lost.
    pub(crate) loses_answers: bool,
    /// How many reports were not answered well.
    pub(crate) failures: usize,
}

#[derive(Default)]
struct Books {
    /// Free bytes of each sub-account (0: of the whitelist).
    funds: HashMap<i64, u64>,
    leases: HashMap<LeaseId, Lease>,
}

struct Lease {
    payer: Payer,
    used: u64,
    granted: u64,
}

fn purse_of(payer: &Payer) -> i64 {
    payer.sub_account.map_or(0, SubAccountId::get)
}

impl Control for FakeControl {
    fn directory(&self) -> watch::Receiver<Arc<Directory>> {
        self.directory.subscribe()
    }

    async fn lease(&self, ask: LeaseRequest) -> Result<ByteLease, LeaseDenied> {
        let mut books = self.books.lock().unwrap();
        let of = purse_of(&ask.payer);
        let held =
            books.leases.values().any(|lease| purse_of(&lease.payer) == of && lease.used < lease.granted);
        let free = books.funds.entry(of).or_insert(1 << 40);
        let granted = (*free).min(ask.want.get());
        if granted == 0 {
            return Err(if held { LeaseDenied::LimitHeldElsewhere } else { LeaseDenied::TrafficLimit });
        }
        *free -= granted;
        let id = LeaseId::new(i64::try_from(books.leases.len()).unwrap() + 1);
        books.leases.insert(id, Lease { payer: ask.payer, used: 0, granted });
        Ok(ByteLease { id, granted: Bytes::new(granted), ttl: Duration::from_secs(30) })
    }

    async fn settle(&self, report: UsageReport) -> Result<Settled, Unavailable> {
        let mut books = self.books.lock().unwrap();
        for told in report.leases {
            let Some(lease) = books.leases.get_mut(&told.id) else { continue };
            lease.used = lease.used.max(told.used.get());
            let granted = lease.granted.min(told.granted.get());
            let back = lease.granted - granted;
            lease.granted = granted;
            assert!(lease.used <= lease.granted, "more used than granted");
            let of = purse_of(&lease.payer);
            *books.funds.get_mut(&of).unwrap() += back;
        }
        Ok(Settled)
    }

    async fn static_traffic(
        &self,
        _: GatewayId,
        _: BootId,
        counters: Vec<StaticTraffic>,
    ) -> Result<Settled, Unavailable> {
        let mut told = self.told.lock().unwrap();
        if !told.is_away {
            told.reports.push(counters);
        }
        if told.is_away || told.loses_answers {
            told.failures += 1;
            return Err(Unavailable("as the test wants it".to_owned()));
        }
        Ok(Settled)
    }

    async fn refused(&self, notes: Vec<RefusalNote>) {
        self.notes.lock().unwrap().extend(notes);
    }
}

impl FakeControl {
    /// Gives a sub-account exactly so many bytes.
    pub(crate) fn fund(&self, sub_account: SubAccountId, bytes: u64) {
        self.books.lock().unwrap().funds.insert(sub_account.get(), bytes);
    }

    /// Bytes settled for a sub-account, of one type.
    pub(crate) fn used(&self, sub_account: Option<SubAccountId>, proxy_type: ProxyType) -> u64 {
        let books = self.books.lock().unwrap();
        let theirs =
            |lease: &&Lease| lease.payer.sub_account == sub_account && lease.payer.proxy_type == proxy_type;
        books.leases.values().filter(theirs).map(|lease| lease.used).sum()
    }

    /// Publishes a changed directory.
    pub(crate) fn publish(&self, change: DirectoryChange) {
        self.directory.send_modify(|directory| {
            let mut next = Directory::clone(directory);
            next.version += 1;
            next.apply(change);
            *directory = Arc::new(next);
        });
    }
}

pub(crate) fn sub_account(id: SubAccountId, name: &str, active: bool) -> SubAccountEntry {
    SubAccountEntry {
        id,
        account: AccountId::new(1),
        username: name.into(),
        active,
        password: PasswordKey::new([7; 32]).tag(b"secret"),
        limits: [Bytes::ZERO; 3],
    }
}

pub(crate) fn exit(id: i64, proxy_type: ProxyType, kind: ExitKind) -> Exit {
    Exit {
        id: ExitId::new(id),
        name: format!("exit-{id}"),
        proxy_type,
        kind,
        country: "us".parse().unwrap(),
        state: String::new(),
        city: String::new(),
        asn: 0,
        weight: 1,
        max_connections: 0,
    }
}

pub(crate) fn direct(id: i64, proxy_type: ProxyType) -> Exit {
    exit(id, proxy_type, ExitKind::Direct { bind_ip: None })
}

/// A running gateway and its surroundings.
pub(crate) struct World {
    pub(crate) gateway: Gateway<FakeControl>,
    pub(crate) control: Arc<FakeControl>,
    /// The port for all types.
    pub(crate) any: SocketAddr,
    /// The port for mobile traffic.
    pub(crate) mobile: SocketAddr,
    /// Its data folder.
    pub(crate) folder: Arc<TempDir>,
}

impl World {
    /// Loopback opened, one direct exit of each type.
    pub(crate) async fn lab() -> Self {
        Self::with(ProxyType::ALL.iter().zip(1..).map(|(kind, id)| direct(id, *kind)).collect(), |_| ()).await
    }

    /// With these exits, and the settings changed so.
    pub(crate) async fn with(exits: Vec<Exit>, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::at(Arc::new(SystemClock), exits, change).await
    }

    /// The same, and it is as late as a clock says.
    pub(crate) async fn at(
        clock: Arc<dyn Clock>,
        exits: Vec<Exit>,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        Self::in_folder(Arc::new(tempfile::tempdir().unwrap()), clock, exits, change).await
    }

    /// The same, where a gateway may have been before.
    pub(crate) async fn in_folder(
        folder: Arc<TempDir>,
        clock: Arc<dyn Clock>,
        exits: Vec<Exit>,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Self {
        let mut directory = Directory::empty(PasswordKey::new([7; 32]));
        let account = AccountEntry { id: AccountId::new(1), active: true, funds_epoch: 0 };
        directory.apply(DirectoryChange::Account(account));
        for entry in [
            sub_account(ALICE_ID, "alice", true),
            sub_account(BOB_ID, "bob", true),
            sub_account(SubAccountId::new(12), "idle", false),
        ] {
            directory.apply(DirectoryChange::SubAccount(entry));
        }
        directory.apply(DirectoryChange::Exits(Arc::new(Pools::new(exits))));
        let control = Arc::new(FakeControl {
            directory: watch::Sender::new(Arc::new(directory)),
            books: Mutex::default(),
            notes: Mutex::default(),
            told: Mutex::default(),
        });
        let loopback = "127.0.0.1:0".parse().unwrap();
        let mut config = GatewayConfig {
            listeners: vec![(loopback, None), (loopback, Some(ProxyType::Mobile))],
            allow_destinations: vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
            limits: GatewayLimits {
                handshake_timeout: Duration::from_secs(5),
                failed_login_delay: Duration::from_millis(10),
                ..GatewayLimits::default()
            },
            connect_timeout: Duration::from_secs(3),
            drain_timeout: Duration::from_secs(2),
            ..GatewayConfig::default()
        };
        change(&mut config);
        let run = Run { folder: folder.path(), seed: [3; 32] };
        let gateway = Gateway::start(config, control.clone(), run, clock).await.unwrap();
        let [any, mobile] = *gateway.local_addrs() else { panic!("two ports") };
        Self { gateway, control, any, mobile, folder }
    }

    /// Lists loopback, so that clients of these tests need no credentials.
    pub(crate) fn list_loopback(&self) {
        let entry = WhitelistEntry { id: WhitelistId::new(20), account: AccountId::new(1) };
        self.control.publish(DirectoryChange::Whitelist("127.0.0.1".parse().unwrap(), entry));
    }

    /// Waits until no connection is live and everything is settled, and tells what Alice used of
    /// residential traffic.
    pub(crate) async fn settled(&self) -> u64 {
        self.settled_of(Some(ALICE_ID), ProxyType::Residential).await
    }

    /// The same for anybody.
    pub(crate) async fn settled_of(&self, sub_account: Option<SubAccountId>, proxy_type: ProxyType) -> u64 {
        eventually("connections end", || self.gateway.connections().is_empty()).await;
        self.gateway.drain().await.unwrap();
        self.control.used(sub_account, proxy_type)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::to(self.any).await
    }

    /// A client whose CONNECT as Alice has succeeded.
    pub(crate) async fn tunnel(&self, target: SocketAddr) -> Client {
        let mut client = self.client().await;
        client.say(&connect(&target.to_string(), ALICE)).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client
    }
}

/// Waits for a condition, with a deadline.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn connect(target: &str, credentials: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {credentials}\r\n\r\n")
}

/// One client connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buf: Vec<u8>,
}

impl Client {
    /// One that is connected already.
    pub(crate) fn of(stream: std::net::TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self { stream: TcpStream::from_std(stream).unwrap(), buf: Vec::new() }
    }

    #[expect(clippy::disallowed_methods, reason = "this is a client of the gateway, not the gateway")]
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buf: Vec::new() }
    }

    /// A client that comes from this address of the machine.
    pub(crate) async fn from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        socket.bind(SocketAddr::new(source, 0)).unwrap();
        Self { stream: socket.connect(address).await.unwrap(), buf: Vec::new() }
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, buf: Vec::new() }
    }

    /// The head, or nothing where the connection ends instead.
    pub(crate) async fn rest_of_head(&mut self) -> String {
        match self.try_fill().await {
            Ok(1..) => self.head().await,
            Ok(0) | Err(_) => String::new(),
        }
    }

    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.unwrap().unwrap();
    }

    /// Everything up to and including the empty line.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.buf.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.buf.split_off(at + 4);
                let head = std::mem::replace(&mut self.buf, rest);
                return String::from_utf8_lossy(&head).into_owned();
            }
            assert!(self.fill().await > 0, "ended within a head: {:?}", String::from_utf8_lossy(&self.buf));
        }
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buf.len() < count {
            assert!(self.fill().await > 0, "ended after {} of {count} bytes", self.buf.len());
        }
        let rest = self.buf.split_off(count);
        std::mem::replace(&mut self.buf, rest)
    }

    /// Everything until the connection ends, in order or not.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while let Ok(1..) = self.try_fill().await {}
        std::mem::take(&mut self.buf)
    }

    /// Whether the connection ended by a reset.
    pub(crate) async fn is_reset(&mut self) -> bool {
        loop {
            match self.try_fill().await {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }

    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    async fn fill(&mut self) -> usize {
        self.try_fill().await.unwrap()
    }

    async fn try_fill(&mut self) -> std::io::Result<usize> {
        timeout(PATIENCE, self.stream.read_buf(&mut self.buf)).await.expect("the gateway is silent")
    }
}

/// An origin that serves each connection so.
pub(crate) async fn origin<F, Fut>(serve: F) -> SocketAddr
where
    F: Fn(Client) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    origin_at("127.0.0.1".parse().unwrap(), serve).await
}

/// The same at another address of the machine.
pub(crate) async fn origin_at<F, Fut>(ip: IpAddr, serve: F) -> SocketAddr
where
    F: Fn(Client) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Client { stream, buf: Vec::new() }));
        }
    });
    address
}

/// An origin that gives back what it is given.
pub(crate) async fn echo() -> SocketAddr {
    origin(|mut client| async move {
        let (mut read, mut write) = client.stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

/// An HTTP origin that answers every request (without body) with this, and remembers the heads.
pub(crate) async fn http_origin(answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let address = origin(move |mut client| {
        let seen = seen.clone();
        async move {
            loop {
                while !client.buf.windows(4).any(|four| four == b"\r\n\r\n") {
                    if !matches!(client.try_fill().await, Ok(1..)) {
                        return;
                    }
                }
                let head = client.head().await;
                seen.lock().unwrap().push(head);
                if client.stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (address, heads)
}

/// An address on which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
