//! A relay that loses answers: it passes requests on to a server, and cuts connections as it is told.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the client's connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In good order, by FIN.
    Fin,
    /// By a reset.
    Reset,
}

/// What becomes of one request and its answer. The server's connection ends with the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Both get through.
    Passed,
    /// The request gets through; whether the server has done anything by the end is not known.
    CutAfterRequest(End),
    /// The server has begun to answer, and the client gets this many bytes of that.
    CutWithinAnswer(usize, End),
}

/// A relay on loopback.
#[derive(Debug)]
pub struct LossyRelay {
    address: SocketAddr,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    requests: Arc<Mutex<Vec<String>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl LossyRelay {
    /// Starts one before a server. The first requests have these fates; those after them get through.
    ///
    /// # Panics
    /// Where it cannot listen.
    pub async fn start(server: SocketAddr, fates: impl IntoIterator<Item = Fate>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let fates = Arc::new(Mutex::new(fates.into_iter().collect()));
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (shared, seen) = (fates.clone(), requests.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (fates, requests) = (shared.clone(), seen.clone());
                tokio::spawn(async move { relay(client, server, &fates, &requests).await });
            }
        });
        Self { address, fates, requests, accepting }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the first line of each request that came.
    ///
    /// # Panics
    /// Never.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("nobody panics holding it").clone()
    }

    /// Returns how many fates nobody has met.
    ///
    /// # Panics
    /// Never.
    pub fn fates_left(&self) -> usize {
        self.fates.lock().expect("nobody panics holding it").len()
    }
}

impl Drop for LossyRelay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "it dials the platform, not customers' targets")]
async fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    fates: &Mutex<VecDeque<Fate>>,
    requests: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    loop {
        let request = message(&mut client).await?;
        let first = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
        requests.lock().expect("nobody panics holding it").push(first);
        let fate = fates.lock().expect("nobody panics holding it").pop_front().unwrap_or(Fate::Passed);
        server.write_all(&request).await?;
        match fate {
            Fate::Passed => {
                let answer = message(&mut server).await?;
                client.write_all(&answer).await?;
            }
            Fate::CutAfterRequest(end) => {
                // The server is reset, whatever it may have answered by then.
                no_linger(&server)?;
                drop(server);
                return cut(client, end);
            }
            Fate::CutWithinAnswer(bytes, end) => {
                server.readable().await?;
                let mut part = vec![0; bytes];
                server.read_exact(&mut part).await?;
                no_linger(&server)?;
                drop(server);
                client.write_all(&part).await?;
                return cut(client, end);
            }
        }
    }
}

fn cut(client: TcpStream, end: End) -> io::Result<()> {
    if end == End::Reset {
        no_linger(&client)?;
    }
    drop(client);
    Ok(())
}

fn no_linger(stream: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO))?)
}

/// Reads one request or answer whose body has a `Content-Length`, or none.
async fn message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        message.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&message).into_owned();
    let length: usize = crate::client::header(&head, "content-length").parse().unwrap_or(0);
    let start = message.len();
    message.resize(start + length, 0);
    stream.read_exact(&mut message[start..]).await?;
    Ok(message)
}
