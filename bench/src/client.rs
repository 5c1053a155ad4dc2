//! The clients: through a proxy in one of several ways, and of HTTP on a kept connection.
//! They wait for each answer of a handshake before going on, as ordinary clients do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// How a daemon is asked for a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// HTTP CONNECT.
    Connect,
    /// SOCKS5 (RFC 1928, 1929).
    Socks5,
    /// Not at all: the daemon relays to the origin whatever comes.
    Straight,
}

/// A user name with its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The name.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: String,
}

/// One way into one daemon.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// Where the daemon listens.
    pub(crate) address: SocketAddr,
    /// How it is asked.
    pub(crate) way: Way,
    /// As whom; none where the daemon cannot be told.
    pub(crate) login: Option<Login>,
}

impl Door {
    /// A tunnel to the origin.
    pub(crate) async fn tunnel(&self, origin: SocketAddr) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await.context("connecting to the daemon")?;
        self.enter(stream, origin).await
    }

    /// A tunnel to the origin, of a client with an address of loopback that is not the usual one.
    pub(crate) async fn tunnel_from(&self, client: Ipv4Addr, origin: SocketAddr) -> Result<TcpStream> {
        let stream = connect_from(client, self.address).await.context("connecting to the daemon")?;
        self.enter(stream, origin).await
    }

    /// A tunnel to the origin on a connection to the daemon on which nothing was said yet.
    pub(crate) async fn enter(&self, mut stream: TcpStream, origin: SocketAddr) -> Result<TcpStream> {
        stream.set_nodelay(true)?;
        match self.way {
            Way::Straight => {}
            Way::Connect => self.connect(&mut stream, origin).await.context("CONNECT")?,
            Way::Socks5 => self.socks5(&mut stream, origin).await.context("SOCKS5")?,
        }
        Ok(stream)
    }

    async fn connect(&self, stream: &mut TcpStream, origin: SocketAddr) -> Result<()> {
        let auth = self.authorization();
        stream
            .write_all(format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n{auth}\r\n").as_bytes())
            .await?;
        let mut head = Vec::with_capacity(512);
        // The origin speaks only when spoken to, so nothing of the tunnel can follow the head; the
        // body of a refusal may.
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                bail!("the daemon closed the connection");
            }
        }
        match status(&head) {
            200 => Ok(()),
            _ => bail!("refused: {}", first_line(&head)),
        }
    }

    async fn socks5(&self, stream: &mut TcpStream, origin: SocketAddr) -> Result<()> {
        let method = if self.login.is_some() { 2 } else { 0 };
        stream.write_all(&[5, 1, method]).await?;
        let mut two = [0; 2];
        stream.read_exact(&mut two).await?;
        if two != [5, method] {
            bail!("the method was refused: {two:?}");
        }
        if let Some(login) = &self.login {
            let (user, password) = (login.user.as_bytes(), login.password.as_bytes());
            let lengths = (u8::try_from(user.len())?, u8::try_from(password.len())?);
            stream.write_all(&[&[1, lengths.0], user, &[lengths.1], password].concat()).await?;
            stream.read_exact(&mut two).await?;
            if two[1] != 0 {
                bail!("the login was refused: {two:?}");
            }
        }
        stream.write_all(&socks5_request(origin)).await?;
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).await?;
        let mut bound = vec![0; if reply[3] == 4 { 18 } else { 6 }];
        stream.read_exact(&mut bound).await?;
        match reply[1] {
            0 => Ok(()),
            code => bail!("refused with reply {code}"),
        }
    }

    /// The header line for HTTP; empty without a login.
    pub(crate) fn authorization(&self) -> String {
        let Some(login) = &self.login else { return String::new() };
        let pair = format!("{}:{}", login.user, login.password);
        format!("Proxy-Authorization: Basic {}\r\n", base64(pair.as_bytes()))
    }
}

/// Connects from one of the many addresses of loopback.
pub(crate) async fn connect_from(client: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((client, 0).into())?;
    socket.connect(to).await
}

fn socks5_request(origin: SocketAddr) -> Vec<u8> {
    let mut request = vec![5, 1, 0];
    match origin {
        SocketAddr::V4(v4) => request.extend([&[1][..], &v4.ip().octets()].concat()),
        SocketAddr::V6(v6) => request.extend([&[4][..], &v6.ip().octets()].concat()),
    }
    request.extend(origin.port().to_be_bytes());
    request
}

/// One kept connection for HTTP/1.1 requests, opened again where the other side closes it.
#[derive(Debug)]
pub(crate) struct HttpClient {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    opened: u64,
}

impl HttpClient {
    /// A client of one address; connects with the first request.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: Vec::with_capacity(8192), opened: 0 }
    }

    /// How many connections it needed so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Sends one request and gives the status and the body of its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        let (mut stream, head) = self.ask(request).await?;
        let text = String::from_utf8_lossy(self.buffer.get(..head).unwrap_or_default()).to_ascii_lowercase();
        let status = status(text.as_bytes());
        let mut close = text.starts_with("http/1.0") || text.contains("\r\nconnection: close");
        let end = match value(&text, "content-length") {
            Some(length) => self.sized(&mut stream, head, length.parse()?).await?,
            None if text.contains("transfer-encoding: chunked") => self.chunked(&mut stream, head).await?,
            None => {
                close = true;
                stream.read_to_end(&mut self.buffer).await?;
                self.buffer.len()
            }
        };
        self.stream = (!close).then_some(stream);
        Ok((status, self.buffer.get(head..end).unwrap_or_default()))
    }

    /// Sends a request and reads the head of its answer; gives where that ends. A kept connection
    /// may have been closed meanwhile: then once more on a new one.
    async fn ask(&mut self, request: &[u8]) -> Result<(TcpStream, usize)> {
        if let Some(mut kept) = self.stream.take() {
            self.buffer.clear();
            let asked = async {
                kept.write_all(request).await?;
                self.head(&mut kept).await
            };
            match asked.await {
                Ok(head) => return Ok((kept, head)),
                Err(error) if !self.buffer.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        self.opened += 1;
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request).await?;
        let head = self.head(&mut stream).await?;
        Ok((stream, head))
    }

    /// Reads the head; gives where it ends.
    async fn head(&mut self, stream: &mut TcpStream) -> Result<usize> {
        self.buffer.clear();
        loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(at + 4);
            }
            self.more(stream).await?;
        }
    }

    async fn sized(&mut self, stream: &mut TcpStream, head: usize, length: usize) -> Result<usize> {
        while self.buffer.len() < head + length {
            self.more(stream).await?;
        }
        Ok(head + length)
    }

    /// Reads a chunked body to its last chunk; it is given as it came.
    async fn chunked(&mut self, stream: &mut TcpStream, head: usize) -> Result<usize> {
        while !self.buffer.get(head..).unwrap_or_default().ends_with(b"0\r\n\r\n") {
            self.more(stream).await?;
        }
        Ok(self.buffer.len())
    }

    async fn more(&mut self, stream: &mut TcpStream) -> Result<()> {
        if stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed within an answer");
        }
        Ok(())
    }
}

/// A caller of Tollgate's JSON API.
#[derive(Debug)]
pub(crate) struct ApiClient {
    http: HttpClient,
    key: String,
}

impl ApiClient {
    /// A caller with a key, or with the operator's token.
    pub(crate) fn new(address: SocketAddr, key: &str) -> Self {
        Self { http: HttpClient::new(address), key: key.to_owned() }
    }

    /// A GET; gives the envelope's `data`.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Value> {
        let request = self.request("GET", path, "");
        self.call(path, &request).await
    }

    /// A POST of a JSON body; gives the envelope's `data`.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let request = self.request("POST", path, &body.to_string());
        self.call(path, &request).await
    }

    /// The bytes of a call, for those who send it many times.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let (host, key) = (self.http.address, &self.key);
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n");
        if !body.is_empty() {
            request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        request += body;
        request.into_bytes()
    }

    async fn call(&mut self, path: &str, request: &[u8]) -> Result<Value> {
        let (status, body) = self.http.exchange(request).await.with_context(|| path.to_owned())?;
        let envelope: Value =
            serde_json::from_slice(body).with_context(|| format!("{path} answered {status} without JSON"))?;
        match envelope.get("code").and_then(Value::as_i64) {
            Some(0) => Ok(envelope.get("data").cloned().unwrap_or(Value::Null)),
            _ => bail!("{path} answered {status} {envelope}"),
        }
    }
}

fn first_line(head: &[u8]) -> String {
    String::from_utf8_lossy(head).lines().next().unwrap_or_default().to_owned()
}

fn status(head: &[u8]) -> u16 {
    first_line(head).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// The value of a header of a lower-case head.
fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim())
}

/// Standard base64.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            text.push(if place > chunk.len() { '=' } else { letter.into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{HttpClient, base64};
    use crate::origin::{BODY, Origin};

    #[test]
    fn base64_of_every_remainder() {
        for (plain, coded) in
            [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("demo:pass", "ZGVtbzpwYXNz")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[tokio::test]
    async fn a_kept_connection_serves_many_requests() {
        let origin = Origin::start().await.expect("an origin");
        let mut client = HttpClient::new(origin.address());
        for _ in 0..3 {
            let (status, body) =
                client.exchange(b"GET / HTTP/1.1\r\nHost: origin\r\n\r\n").await.expect("an answer");
            assert_eq!((status, body.len()), (200, BODY));
        }
        assert_eq!(client.opened(), 1);
    }
}
