//! An origin on loopback that counts every byte it receives and sends, and misbehaves on request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes counted at the origin, over all its connections.
#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    connections: AtomicU64,
}

/// A TCP server that understands one line of instruction per connection and then only moves bytes.
///
/// - `SEND n\n`: sends `n` bytes, then closes.
/// - `SEND-FOREVER\n`: sends until the peer goes away.
/// - `ECHO\n`: sends back what it receives until the peer has finished.
/// - `SINK\n`: swallows what it receives; answers the count in decimal once the peer has finished.
/// - `GET …` or any other HTTP/1.1 request head: see [`crate::origin`]'s HTTP answers: `/bytes/N`
///   answers a body of N bytes, `/ip` the peer's address, `/echo` the request's head.
///
/// The instruction counts as received, like everything else.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Origin {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// Where loopback cannot be listened on.
    pub async fn start() -> Self {
        Self::start_on("127.0.0.1:0").await
    }

    /// Starts on an address.
    ///
    /// # Panics
    /// Where it cannot be listened on.
    pub async fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("an origin's listener");
        let address = listener.local_addr().expect("an origin's address");
        let counters = Arc::new(Counters::default());
        let task = tokio::spawn(accept(listener, counters.clone()));
        Self { address, counters, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.counters.received.load(Ordering::SeqCst)
    }

    /// Bytes handed to the system for sending so far.
    pub fn sent(&self) -> u64 {
        self.counters.sent.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, counters: Arc<Counters>) {
    while let Ok((stream, peer)) = listener.accept().await {
        counters.connections.fetch_add(1, Ordering::SeqCst);
        let stream = Counted { stream, counters: counters.clone() };
        tokio::spawn(async move {
            // A peer that goes away is the end of its connection, not of the origin.
            let _ = stream.serve(peer).await;
        });
    }
}

/// A connection whose every byte is counted.
struct Counted {
    stream: TcpStream,
    counters: Arc<Counters>,
}

impl Counted {
    async fn serve(mut self, peer: SocketAddr) -> io::Result<()> {
        let _ = self.stream.set_nodelay(true);
        let mut buffer = Vec::new();
        loop {
            let Some(line) = self.line(&mut buffer).await? else { return Ok(()) };
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("SEND"), Some(count)) => return self.send(count.parse().unwrap_or(0)).await,
                (Some("SEND-FOREVER"), _) => return self.send(u64::MAX).await,
                (Some("ECHO"), _) => return self.echo(buffer).await,
                (Some("SINK"), _) => return self.sink(buffer).await,
                (Some(method), Some(path)) => {
                    let (method, path) = (method.to_owned(), path.to_owned());
                    if !self.http(&method, &path, peer, &mut buffer).await? {
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// One HTTP request whose first line has been read; answers whether to go on.
    async fn http(
        &mut self,
        method: &str,
        path: &str,
        peer: SocketAddr,
        buffer: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let mut head = format!("{method} {path}\r\n");
        let (mut length, mut close) = (0usize, false);
        loop {
            let Some(line) = self.line(buffer).await? else { return Ok(false) };
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                let value = value.trim();
                length = if name.eq_ignore_ascii_case("content-length") {
                    value.parse().unwrap_or(0)
                } else {
                    length
                };
                close |= name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close");
            }
            head.push_str(&line);
            head.push_str("\r\n");
        }
        while buffer.len() < length {
            if self.fill(buffer).await? == 0 {
                return Ok(false);
            }
        }
        let request_body: Vec<u8> = buffer.drain(..length).collect();
        let size = path.strip_prefix("/bytes/").and_then(|size| size.parse::<u64>().ok());
        let body = match path {
            "/ip" => peer.ip().to_string().into_bytes(),
            "/echo" => [head.as_bytes(), &request_body].concat(),
            _ => Vec::new(),
        };
        let length = size.unwrap_or(body.len() as u64);
        self.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).await?;
        if method != "HEAD" {
            self.write(&body).await?;
            self.zeros(size.unwrap_or(0)).await?;
        }
        Ok(!close)
    }

    async fn send(&mut self, count: u64) -> io::Result<()> {
        self.zeros(count).await?;
        self.stream.shutdown().await?;
        // Whatever the peer still says is counted, too.
        let mut rest = Vec::new();
        while self.fill(&mut rest).await? > 0 {
            rest.clear();
        }
        Ok(())
    }

    async fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        let chunk = vec![b'.'; 64 * 1024];
        while count > 0 {
            let n = usize::try_from(count).unwrap_or(usize::MAX).min(chunk.len());
            self.write(&chunk[..n]).await?;
            count -= n as u64;
        }
        Ok(())
    }

    async fn echo(&mut self, mut buffer: Vec<u8>) -> io::Result<()> {
        loop {
            let back = std::mem::take(&mut buffer);
            self.write(&back).await?;
            if self.fill(&mut buffer).await? == 0 {
                return self.stream.shutdown().await;
            }
        }
    }

    async fn sink(&mut self, mut buffer: Vec<u8>) -> io::Result<()> {
        let mut count = buffer.len();
        loop {
            buffer.clear();
            match self.fill(&mut buffer).await? {
                0 => break,
                n => count += n,
            }
        }
        self.write(count.to_string().as_bytes()).await?;
        self.stream.shutdown().await
    }

    /// The next line without its end, bounded in length; `None` at the end of the stream.
    async fn line(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if buffer.len() > 64 * 1024 || self.fill(buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn fill(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut chunk = [0; 64 * 1024];
        let n = self.stream.read(&mut chunk).await?;
        self.counters.received.fetch_add(n as u64, Ordering::SeqCst);
        buffer.extend_from_slice(&chunk[..n]);
        Ok(n)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = self.stream.write(rest).await?;
            self.counters.sent.fetch_add(n as u64, Ordering::SeqCst);
            rest = &rest[n..];
        }
        Ok(())
    }
}
