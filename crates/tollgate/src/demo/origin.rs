//! The demo's web server on loopback: something to reach through the gateway, which counts every
//! byte of each connection, so that a bill can be held against it.
//!
//! | path | answer |
//! |---|---|
//! | `/` | what there is |
//! | `/ip` | the address that the connection came from |
//! | `/bytes/N` | a body of exactly N bytes |
//! | `/echo` | the request's body |
//! | `/headers` | the request's head as it arrived |
//! | `/stats` | bytes received and sent, in total and by connection; such connections are not counted |

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at once.
const MOST_CONNECTIONS: usize = 1024;
/// Request heads are shorter than this.
const LONGEST_HEAD: usize = 64 << 10;
/// The longest a client may leave the server waiting, reading or writing.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that `/stats` tells one by one: the latest.
const TOLD: usize = 16;
/// The largest body of `/bytes/N`: a TiB.
const MOST_BYTES: u64 = 1 << 40;
const SLICE: usize = 64 << 10;

const INDEX: &str = "\
The demo's origin. GET /ip, /bytes/N, /headers or /stats; POST /echo.
";

/// What has been counted.
#[derive(Debug, Default)]
struct Counts {
    connections: u64,
    received: u64,
    sent: u64,
    latest: VecDeque<Arc<Connection>>,
}

#[derive(Debug)]
struct Connection {
    peer: SocketAddr,
    received: AtomicU64,
    sent: AtomicU64,
}

type Shared = Arc<Mutex<Counts>>;

/// Serves on one address or two, counting both together, until the task is dropped.
pub(super) async fn serve(listener: TcpListener, besides: Option<TcpListener>) {
    let counts = Shared::default();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let second = async {
        if let Some(besides) = besides {
            accept(besides, counts.clone(), places.clone()).await;
        }
    };
    tokio::join!(accept(listener, counts.clone(), places.clone()), second);
}

async fn accept(listener: TcpListener, counts: Shared, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let counts = counts.clone();
                tokio::spawn(async move {
                    // A client that goes away, or talks nonsense, is the end of its connection.
                    let _ = Talk::new(stream, peer, counts).run().await;
                    drop(place);
                });
            }
            // Out of descriptors, most likely: others will end.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One connection.
struct Talk {
    stream: TcpStream,
    counted: Arc<Connection>,
    counts: Shared,
    /// Received and not yet used.
    buffer: Vec<u8>,
}

/// What a request wants.
struct Request {
    head: Vec<u8>,
    method: String,
    path: String,
    length: u64,
    close: bool,
    expects: bool,
    chunked: bool,
}

impl Talk {
    fn new(stream: TcpStream, peer: SocketAddr, counts: Shared) -> Self {
        let counted = Arc::new(Connection { peer, received: AtomicU64::new(0), sent: AtomicU64::new(0) });
        lock(&counts).enter(counted.clone());
        Self { stream, counted, counts, buffer: Vec::new() }
    }

    async fn run(&mut self) -> io::Result<()> {
        while let Some(request) = self.request().await? {
            let close = request.close || request.chunked;
            self.answer(&request).await?;
            if close {
                break;
            }
        }
        self.stream.shutdown().await
    }

    async fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return parse(head).map(Some);
            }
            if self.buffer.len() > LONGEST_HEAD || self.receive().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn answer(&mut self, request: &Request) -> io::Result<()> {
        if request.chunked {
            return self.say(request, "411 Length Required", "text/plain", b"send a Content-Length\n").await;
        }
        if request.expects {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if request.path == "/echo" {
            self.head(request, "200 OK", "application/octet-stream", request.length).await?;
            return self.echo(request.length).await;
        }
        self.swallow(request.length).await?;
        if let Some(length) = bytes_asked(&request.path) {
            self.head(request, "200 OK", "application/octet-stream", length).await?;
            return if request.method == "HEAD" { Ok(()) } else { self.fill(length).await };
        }
        match request.path.as_str() {
            "/" => self.say(request, "200 OK", "text/plain", INDEX.as_bytes()).await,
            "/ip" => {
                let ip = format!("{}\n", self.counted.peer.ip());
                self.say(request, "200 OK", "text/plain", ip.as_bytes()).await
            }
            "/headers" => self.say(request, "200 OK", "text/plain", &request.head).await,
            "/stats" => {
                let stats = lock(&self.counts).stats(&self.counted);
                self.say(request, "200 OK", "application/json", stats.as_bytes()).await
            }
            _ => self.say(request, "404 Not Found", "text/plain", INDEX.as_bytes()).await,
        }
    }

    async fn say(&mut self, request: &Request, status: &str, media: &str, body: &[u8]) -> io::Result<()> {
        self.head(request, status, media, body.len() as u64).await?;
        if request.method == "HEAD" { Ok(()) } else { self.send(body).await }
    }

    async fn head(&mut self, request: &Request, status: &str, media: &str, length: u64) -> io::Result<()> {
        let close = if request.close || request.chunked { "Connection: close\r\n" } else { "" };
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n{close}\r\n");
        self.send(head.as_bytes()).await
    }

    async fn echo(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let part = self.body_part(left).await?;
            left -= part.len() as u64;
            self.send(&part).await?;
        }
        Ok(())
    }

    async fn swallow(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            left -= self.body_part(left).await?.len() as u64;
        }
        Ok(())
    }

    /// Some of a request's body, at least a byte and at most `left`.
    async fn body_part(&mut self, left: u64) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() && self.receive().await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(self.buffer.drain(..most).collect())
    }

    async fn fill(&mut self, length: u64) -> io::Result<()> {
        let slice: Vec<u8> = (0..SLICE).map(|i| if i % 64 == 63 { b'\n' } else { b'.' }).collect();
        let mut left = length;
        while left > 0 {
            let part = slice.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.send(slice.get(..part).unwrap_or_default()).await?;
            left -= part as u64;
        }
        Ok(())
    }

    async fn receive(&mut self) -> io::Result<usize> {
        self.buffer.reserve(SLICE);
        let received = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await??;
        self.counted.received.fetch_add(received as u64, Ordering::Relaxed);
        Ok(received)
    }

    /// Counts what the system has taken, whether or not the rest follows.
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let sent = tokio::time::timeout(PATIENCE, self.stream.write(rest)).await??;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.counted.sent.fetch_add(sent as u64, Ordering::Relaxed);
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

impl Counts {
    fn enter(&mut self, connection: Arc<Connection>) {
        self.latest.push_front(connection);
        while self.latest.len() > MOST_CONNECTIONS + TOLD {
            self.retire();
        }
    }

    /// Keeps of the oldest connection only what it adds to the totals. Those that may still be
    /// running are all among the latest.
    fn retire(&mut self) {
        if let Some(oldest) = self.latest.pop_back() {
            self.connections += 1;
            self.received += oldest.received.load(Ordering::Relaxed);
            self.sent += oldest.sent.load(Ordering::Relaxed);
        }
    }

    /// What has been counted, without the connection that asks.
    fn stats(&mut self, asker: &Arc<Connection>) -> String {
        self.latest.retain(|connection| !Arc::ptr_eq(connection, asker));
        let numbers =
            |c: &Arc<Connection>| (c.received.load(Ordering::Relaxed), c.sent.load(Ordering::Relaxed));
        let (received, sent) =
            self.latest.iter().map(numbers).fold((self.received, self.sent), |total, one| {
                (total.0.saturating_add(one.0), total.1.saturating_add(one.1))
            });
        let told = self.latest.iter().take(TOLD).map(|connection| {
            let (received, sent) = numbers(connection);
            json!({ "peer": connection.peer.to_string(), "received": received, "sent": sent })
        });
        let told = json!({
            "connections": self.connections + self.latest.len() as u64,
            "received": received,
            "sent": sent,
            "total": received + sent,
            "latest": told.collect::<Vec<_>>(),
        });
        format!("{told:#}\n")
    }
}

fn lock(counts: &Shared) -> std::sync::MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parse(head: Vec<u8>) -> io::Result<Request> {
    let nonsense = || io::Error::from(io::ErrorKind::InvalidData);
    let text = std::str::from_utf8(&head).map_err(|_| nonsense())?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(nonsense());
    };
    let field = |name: &str| {
        let named = |line: &str| {
            line.split_once(':')
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.trim().to_owned())
        };
        text.split("\r\n").skip(1).find_map(named)
    };
    let length = field("content-length").map_or(Ok(0), |length| length.parse().map_err(|_| nonsense()))?;
    let has = |name: &str, word: &str| field(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    Ok(Request {
        method: method.to_owned(),
        path: path.split('?').next().unwrap_or_default().to_owned(),
        length,
        close: has("connection", "close") || version == "HTTP/1.0",
        expects: has("expect", "100-continue"),
        chunked: field("transfer-encoding").is_some(),
        head,
    })
}

fn bytes_asked(path: &str) -> Option<u64> {
    path.strip_prefix("/bytes/")?.parse().ok().filter(|bytes| *bytes <= MOST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn start() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, None));
        address
    }

    /// Sends a request that ends its connection and gives the whole answer.
    #[expect(clippy::disallowed_methods, reason = "the test's own client")]
    async fn ask(origin: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(origin).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    #[tokio::test]
    async fn it_counts_every_byte_but_those_of_asking() {
        let origin = start().await;
        let request = "GET /bytes/100000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = ask(origin, request).await;
        assert_eq!(answer.split_once("\r\n\r\n").expect("a body").1.len(), 100_000);
        let upload = "POST /echo HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let echoed = ask(origin, upload).await;
        assert!(echoed.ends_with("\r\n\r\nhello"), "{echoed}");
        for _ in 0..2 {
            let stats = ask(origin, "GET /stats HTTP/1.0\r\n\r\n").await;
            let stats: serde_json::Value =
                serde_json::from_str(stats.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
            assert_eq!(stats["connections"], 2);
            assert_eq!(stats["received"], request.len() + upload.len());
            assert_eq!(stats["sent"], answer.len() + echoed.len());
        }
    }

    #[tokio::test]
    async fn it_keeps_connections_and_tells_the_address() {
        let origin = start().await;
        let answers =
            ask(origin, "GET /ip HTTP/1.1\r\n\r\nHEAD /bytes/7 HTTP/1.1\r\n\r\nGET /no HTTP/1.0\r\n\r\n")
                .await;
        let heads = answers.matches("HTTP/1.1 ").count();
        assert_eq!(heads, 3, "{answers}");
        assert!(answers.contains("\r\n\r\n127.0.0.1\nHTTP/1.1 200 OK"), "{answers}");
        assert!(answers.contains("Content-Length: 7\r\n\r\nHTTP/1.1 404"), "{answers}");
    }

    #[tokio::test]
    async fn the_oldest_connections_stay_in_the_totals() {
        let counts = Shared::default();
        let peer = "127.0.0.1:1".parse().expect("an address");
        for _ in 0..MOST_CONNECTIONS + TOLD + 10 {
            lock(&counts).enter(Arc::new(Connection { peer, received: 1.into(), sent: 2.into() }));
        }
        let asker = Arc::new(Connection { peer, received: 0.into(), sent: 0.into() });
        let stats: serde_json::Value = serde_json::from_str(&lock(&counts).stats(&asker)).expect("JSON");
        let all = MOST_CONNECTIONS + TOLD + 10;
        assert_eq!((&stats["connections"], &stats["total"]), (&json!(all), &json!(3 * all)));
        assert_eq!(stats["latest"].as_array().map(Vec::len), Some(TOLD));
    }
}
