//! A world with one customer and an origin, a client that sends exactly the bytes it is given, and
//! origins that do as they are told. Every read has a deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tollgate_testkit::Origin;
use tollgate_testkit::client::{base64, header, status_of};
use tollgate_testkit::world::{Customer, Setup, World, eventually, int};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The sub-account that sends what is hostile.
pub(crate) const USER: &str = "ann.one";
/// Every sub-account's password.
pub(crate) const PASSWORD: &str = "secret-1";

/// A running program, who pays, and where the requests go.
pub(crate) struct Lab {
    pub(crate) world: World,
    pub(crate) ann: Customer,
    pub(crate) origin: Origin,
}

impl Lab {
    /// Loopback may be reached, and wrong logins are not throttled.
    pub(crate) async fn open() -> Self {
        Self::with(&[]).await
    }

    /// The destination guard as it is by default.
    pub(crate) async fn strict(settings: &[(&str, &str)]) -> Self {
        Self::with(&[&[("TOLLGATE_GATEWAY__ALLOW_DESTINATIONS", "")], settings].concat()).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let lab = Self::without_exits(settings).await;
        lab.exit(json!({ "kind": "direct", "country": "us" })).await;
        lab
    }

    pub(crate) async fn without_exits(settings: &[(&str, &str)]) -> Self {
        let mut setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test"))
            .with("TOLLGATE_GATEWAY__FAILED_LOGINS", "0");
        for (name, value) in settings {
            setup = setup.with(name, value);
        }
        let world = World::start(setup);
        let ann = world.customer("ann", 10_000).await;
        world.sub_account(&ann, USER, PASSWORD, 0).await;
        Self { world, ann, origin: Origin::start().await }
    }

    /// A residential exit, named after its country.
    pub(crate) async fn exit(&self, mut exit: Value) {
        exit["name"] = exit["country"].clone();
        exit["proxy_type"] = "residential".into();
        self.world.admin().post("/api/admin/exits", exit).await.data();
    }

    /// A connection that has sent nothing yet.
    pub(crate) async fn dial(&self) -> Raw {
        Raw::to(self.world.gateway()).await
    }

    /// A connection that has sent these bytes.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> Raw {
        let mut raw = self.dial().await;
        raw.say(bytes).await;
        raw
    }

    /// Sends a request and reads the head of the answer, or the refusal as a whole.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> (Raw, Told) {
        let to_head = request.as_ref().starts_with(b"HEAD ");
        let mut raw = self.send(request).await;
        let told = raw.told_of(to_head).await;
        (raw, told)
    }

    /// `{o}` becomes the origin's address, `{auth}` a field with right credentials.
    pub(crate) fn fill(&self, request: &str) -> String {
        request.replace("{o}", &self.origin.address().to_string()).replace("{auth}", &auth(USER, PASSWORD))
    }

    /// The bytes billed to the account so far.
    pub(crate) async fn billed(&self) -> u64 {
        let path = "/api/users/traffic/trend?start_date=2000-01-01&end_date=2100-01-01";
        let answer = self.world.api(&self.ann.key).get(path).await;
        let days = answer.data()["residential"].as_array().expect("days").clone();
        let sum: i64 = days.iter().map(|day| int(&day["total_traffic"])).sum();
        u64::try_from(sum).expect("no negative traffic")
    }

    /// Demands that exactly so many bytes are billed in the end. A transfer of known size comes
    /// last, so that whatever was used before it has been reported when that one appears.
    pub(crate) async fn costs(&self, bytes: u64) {
        self.costs_over(bytes, &self.origin).await;
    }

    async fn costs_over(&self, bytes: u64, origin: &Origin) {
        let (mut tunnel, told) = self.ask(connect(origin.address())).await;
        assert_eq!(told.status, 200, "{told:?}");
        let instruction = "SEND 100000\n";
        tunnel.say(instruction).await;
        assert_eq!(tunnel.rest().await.len(), 100_000);
        let total = bytes + 100_000 + instruction.len() as u64;
        eventually(&format!("{bytes} bytes are billed, and the last {total}"), PATIENCE, async || {
            (self.billed().await == total).then_some(())
        })
        .await;
    }
}

/// A field with credentials, its line end included.
pub(crate) fn auth(user: &str, password: &str) -> String {
    format!("Proxy-Authorization: Basic {}\r\n", base64(format!("{user}:{password}").as_bytes()))
}

/// CONNECT by the usual user.
pub(crate) fn connect(target: impl std::fmt::Display) -> String {
    connect_as(USER, target)
}

/// The same by another.
pub(crate) fn connect_as(user: &str, target: impl std::fmt::Display) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", auth(user, PASSWORD))
}

/// An absolute-form request by the usual user, with further field lines.
pub(crate) fn request(method: &str, url: &str, fields: &str) -> String {
    let host = url.trim_start_matches("http://").split(['/', '?']).next().unwrap_or_default();
    format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\n{}{fields}\r\n", auth(USER, PASSWORD))
}

/// A whole SOCKS5 greeting with credentials, to be followed by a request.
pub(crate) fn socks_login(user: &str, password: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("at most 255 bytes");
    let mut bytes = vec![5, 1, 2, 1, length(user)];
    bytes.extend(user.as_bytes());
    bytes.push(length(password));
    bytes.extend(password.as_bytes());
    bytes
}

/// A SOCKS5 CONNECT by number.
pub(crate) fn socks_connect(address: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![5, 1, 0];
    match address.ip() {
        IpAddr::V4(ip) => bytes.extend([&[1], &ip.octets()[..]].concat()),
        IpAddr::V6(ip) => bytes.extend([&[4], &ip.octets()[..]].concat()),
    }
    bytes.extend(address.port().to_be_bytes());
    bytes
}

/// A SOCKS5 CONNECT by name.
pub(crate) fn socks_connect_name(name: &str, port: u16) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("at most 255 bytes");
    [&[5, 1, 0, 3, length], name.as_bytes(), &port.to_be_bytes()].concat()
}

/// What the gateway answered: the head, and of a refusal everything.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// `X-Tollgate-Error`.
    pub(crate) name: String,
}

/// A connection whose reads all have a deadline.
pub(crate) struct Raw(TcpStream);

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

impl Raw {
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self(stream)
    }

    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::between("127.0.0.1:0", address).await
    }

    /// From a chosen address of loopback.
    pub(crate) async fn between(from: &str, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(from.parse().expect("an address")).expect("an address of loopback");
        let stream = timeout(PATIENCE, socket.connect(to)).await.expect("in time").expect("a listener");
        stream.set_nodelay(true).expect("an option of TCP");
        Self(stream)
    }

    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        // The other side may have refused already what is still being sent.
        let _ = timeout(PATIENCE, self.0.write_all(bytes.as_ref())).await.expect("taken in time");
    }

    /// Ends the sending direction.
    pub(crate) async fn finish(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Breaks off with a reset.
    pub(crate) fn reset(self) {
        self.0.set_zero_linger().expect("an option of TCP");
    }

    #[track_caller]
    pub(crate) fn exactly(&mut self, count: usize) -> impl Future<Output = Vec<u8>> {
        let caller = std::panic::Location::caller();
        async move {
            let mut bytes = Vec::new();
            let read = timeout(PATIENCE, (&mut self.0).take(count as u64).read_to_end(&mut bytes)).await;
            let enough = bytes.len() == count;
            assert!(enough, "{caller}: {count} bytes, not {:?}, {read:?}", String::from_utf8_lossy(&bytes));
            bytes
        }
    }

    /// Everything up to the end, however it ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        self.until_end().await.0
    }

    /// Everything up to the end, and which end.
    pub(crate) async fn until_end(&mut self) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("an end in time");
        (bytes, if read.is_ok() { End::Closed } else { End::Reset })
    }

    /// The next head; what there is of it where the stream ends before.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        let read = async {
            while !head.ends_with(b"\r\n\r\n") {
                match self.0.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
        };
        timeout(PATIENCE, read).await.expect("a head in time");
        String::from_utf8_lossy(&head).into_owned()
    }

    /// The next head, and of a refusal the body, so that the connection can be used again.
    pub(crate) async fn told(&mut self) -> Told {
        self.told_of(false).await
    }

    async fn told_of(&mut self, to_head: bool) -> Told {
        let head = self.head().await;
        let name = header(&head, "x-tollgate-error");
        if !name.is_empty() {
            assert!(header(&head, "proxy-status").starts_with("tollgate; error="), "{head}");
            let length: usize = header(&head, "content-length").parse().expect("a length");
            assert!(length < 400, "one line: {head}");
            self.exactly(if to_head { 0 } else { length }).await;
        }
        Told { status: status_of(&head), head, name }
    }

    /// The next response with a `Content-Length`: its status and its body.
    pub(crate) async fn response(&mut self) -> (u16, String) {
        let head = self.head().await;
        let length: usize = header(&head, "content-length").parse().unwrap_or(0);
        let body = self.exactly(length).await;
        (status_of(&head), String::from_utf8_lossy(&body).into_owned())
    }
}

/// What an origin does once it has answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    Close,
    Reset,
    Stay,
}

/// An origin with one answer to each head, which remembers what it heard on each connection.
pub(crate) struct Scripted {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    /// Its connections end with it.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    pub(crate) async fn start(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (all, answer) = (heard.clone(), answer.into());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let place = {
                    let mut all = all.lock().expect("nobody panicked");
                    all.push(Vec::new());
                    all.len() - 1
                };
                connections.spawn(play(stream, answer.clone(), then, all.clone(), place));
            }
        });
        Self { address, heard, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was heard on each connection so far.
    pub(crate) fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().expect("nobody panicked");
        heard.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// What was heard on all connections, once that holds a text.
    pub(crate) async fn heard_with(&self, text: &str) -> String {
        eventually(&format!("the origin hears {text:?}"), PATIENCE, async || {
            Some(self.heard().concat()).filter(|heard| heard.contains(text))
        })
        .await
    }
}

async fn play(
    mut stream: TcpStream,
    answer: Vec<u8>,
    then: Then,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    place: usize,
) {
    let (mut chunk, mut unread) = ([0; 16 * 1024], Vec::<u8>::new());
    let mut answered = false;
    loop {
        let Ok(count @ 1..) = stream.read(&mut chunk).await else { return };
        heard.lock().expect("nobody panicked")[place].extend(&chunk[..count]);
        unread.extend(&chunk[..count]);
        while let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            unread.drain(..end + 4);
            if answered && !matches!(then, Then::Stay) {
                continue;
            }
            answered = true;
            if stream.write_all(&answer).await.is_err() {
                return;
            }
            match then {
                Then::Stay => {}
                Then::Close => drop(stream.shutdown().await),
                Then::Reset => return drop(stream.set_zero_linger()),
            }
        }
        // An end of a head may have begun in the last three bytes, and nowhere before.
        unread.drain(..unread.len().saturating_sub(3));
    }
}
