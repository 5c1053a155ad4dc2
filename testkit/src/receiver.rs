//! A customer's own server: takes webhooks, remembers them, and answers as it is told.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::world::eventually;

/// How a receiver answers one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// At once, with a status.
    Status(u16),
    /// After a while, with 200.
    Late(Duration),
    /// Never.
    Never,
}

/// A request that came in whole.
#[derive(Debug, Clone)]
pub struct Received {
    /// Name, in lower case, and value of each header.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// How it was answered.
    pub reply: Reply,
}

#[derive(Debug, Default)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
}

/// A server on loopback.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Starts one that answers the first requests as told, and those after them with 200.
    ///
    /// # Panics
    /// Where it cannot listen.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let replies = Mutex::new(replies.into_iter().collect());
        let shared = Arc::new(Shared { replies, ..Shared::default() });
        let sharing = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = sharing.clone();
                tokio::spawn(async move { serve(stream, &shared).await });
            }
        });
        Self { address, shared, accepting }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Everything that came in so far, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("nobody panics holding it").clone()
    }

    /// Waits until so many requests came in.
    ///
    /// # Panics
    /// Where they do not in time.
    pub async fn until(&self, count: usize, within: Duration) -> Vec<Received> {
        let what = format!("{count} webhooks");
        let came = async || Some(self.received()).filter(|received| received.len() >= count);
        eventually(&what, within, came).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let reply = {
        let mut received = shared.received.lock().expect("nobody panics holding it");
        let next = shared.replies.lock().expect("nobody panics holding it").pop_front();
        let reply = next.unwrap_or(Reply::Status(200));
        received.push(Received { headers, body, reply });
        reply
    };
    let status = match reply {
        Reply::Status(status) => status,
        Reply::Late(after) => {
            tokio::time::sleep(after).await;
            200
        }
        Reply::Never => return std::future::pending().await,
    };
    stream.write_all(format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n").as_bytes()).await
}
