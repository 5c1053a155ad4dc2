//! Clients of the platform: of its JSON API, and of its gateway by CONNECT, by SOCKS5 and by
//! absolute-form requests. Small on purpose, so that they send exactly what a test says.
#![expect(clippy::disallowed_methods, reason = "clients dial the platform, not customers' targets")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing on loopback takes longer, unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer of the JSON API.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The head, as received.
    pub head: String,
    /// The envelope; null where the body is not JSON.
    pub body: Value,
}

impl Answer {
    /// The envelope's `code`.
    ///
    /// # Panics
    /// Where there is no envelope.
    pub fn code(&self) -> i64 {
        self.body["code"].as_i64().unwrap_or_else(|| panic!("no envelope: {self:?}"))
    }

    /// The envelope's `data` of a success.
    ///
    /// # Panics
    /// Where the call did not succeed.
    pub fn data(&self) -> &Value {
        assert_eq!((self.status, self.code()), (200, 0), "the call failed: {}", self.body);
        &self.body["data"]
    }
}

/// Calls the JSON API with one key.
#[derive(Debug, Clone)]
pub struct Api {
    address: SocketAddr,
    key: String,
}

impl Api {
    /// A caller with a key, or with the operator's token.
    pub fn new(address: SocketAddr, key: &str) -> Self {
        Self { address, key: key.to_owned() }
    }

    /// A GET; `path` may hold a query string.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None).await
    }

    /// A POST of a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &[], Some(&body)).await
    }

    /// Any call, with further header lines.
    ///
    /// # Panics
    /// Where the API cannot be reached or does not speak HTTP.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let text = self.try_call(method, path, headers, body).await;
        parse_answer(&text.unwrap_or_else(|error| panic!("{method} {path}: {error}")))
    }

    /// The same, where the connection may fail; gives the raw answer.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> io::Result<String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if !self.key.is_empty() {
            request += &format!("Authorization: Bearer {}\r\n", self.key);
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        request += &body;
        raw_call(self.address, request.as_bytes()).await
    }
}

/// Sends bytes and reads to the end of the stream.
///
/// # Errors
/// Those of the connection, a time-out among them.
pub async fn raw_call(address: SocketAddr, request: &[u8]) -> io::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| io::ErrorKind::TimedOut)?
}

fn parse_answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => unchunk(body),
        false => body.to_owned(),
    };
    Answer { status, head: head.to_owned(), body: serde_json::from_str(&body).unwrap_or(Value::Null) }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole += &rest[..size];
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// A no of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status, or for SOCKS5 the reply code (1000 + the status of RFC 1929).
    pub status: u16,
    /// `X-Tollgate-Error`; empty for SOCKS5.
    pub name: String,
}

/// How to get through a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// HTTP CONNECT.
    Connect,
    /// SOCKS5.
    Socks5,
}

/// A user of a gateway.
#[derive(Debug, Clone)]
pub struct ProxyUser {
    /// The gateway's port.
    pub gateway: SocketAddr,
    /// `user:password`, or empty to send none.
    pub credentials: String,
}

impl ProxyUser {
    /// A tunnel to `host:port`.
    ///
    /// # Errors
    /// The gateway's refusal.
    ///
    /// # Panics
    /// Where the gateway cannot be reached or speaks nonsense.
    pub async fn tunnel(&self, way: Way, target: &str) -> Result<TcpStream, Refused> {
        self.try_tunnel(way, target).await.expect("the gateway answers in time, and speaks the protocol")
    }

    /// The same, where the gateway may be gone.
    ///
    /// # Errors
    /// Those of the connection, a time-out among them; within, the gateway's refusal.
    pub async fn try_tunnel(&self, way: Way, target: &str) -> io::Result<Result<TcpStream, Refused>> {
        let opened = async {
            match way {
                Way::Connect => self.connect(target).await,
                Way::Socks5 => self.socks5(target).await,
            }
        };
        tokio::time::timeout(PATIENCE, opened).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn connect(&self, target: &str) -> io::Result<Result<TcpStream, Refused>> {
        let mut stream = TcpStream::connect(self.gateway).await?;
        let auth = self.authorization();
        stream
            .write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{auth}\r\n").as_bytes())
            .await?;
        let head = read_head(&mut stream).await?;
        Ok(match status_of(&head) {
            200 => Ok(stream),
            status => Err(Refused { status, name: header(&head, "x-tollgate-error") }),
        })
    }

    /// An absolute-form request on a connection of its own; the whole raw answer.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn get(&self, url: &str) -> io::Result<String> {
        let host = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let auth = self.authorization();
        let request = format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{auth}Connection: close\r\n\r\n");
        raw_call(self.gateway, request.as_bytes()).await
    }

    fn authorization(&self) -> String {
        match self.credentials.is_empty() {
            true => String::new(),
            false => format!("Proxy-Authorization: Basic {}\r\n", base64(self.credentials.as_bytes())),
        }
    }

    async fn socks5(&self, target: &str) -> io::Result<Result<TcpStream, Refused>> {
        let mut stream = TcpStream::connect(self.gateway).await?;
        let refused = |status| Ok(Err(Refused { status, name: String::new() }));
        let (user, password) = self.credentials.split_once(':').unwrap_or_default();
        let method = if self.credentials.is_empty() { 0 } else { 2 };
        stream.write_all(&[5, 1, method]).await?;
        let mut two = [0; 2];
        stream.read_exact(&mut two).await?;
        if two[1] == 0xff {
            return refused(0xff);
        }
        if two[1] == 2 {
            stream
                .write_all(
                    &[&[1, length(user)], user.as_bytes(), &[length(password)], password.as_bytes()].concat(),
                )
                .await?;
            stream.read_exact(&mut two).await?;
            if two[1] != 0 {
                return refused(1000 + u16::from(two[1]));
            }
        }
        stream.write_all(&socks5_request(target)).await?;
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).await?;
        let mut bound = vec![0; if reply[3] == 4 { 18 } else { 6 }];
        stream.read_exact(&mut bound).await?;
        match reply[1] {
            0 => Ok(Ok(stream)),
            code => refused(code.into()),
        }
    }
}

fn socks5_request(target: &str) -> Vec<u8> {
    let (host, port) = target.rsplit_once(':').expect("host:port");
    let port: u16 = port.parse().expect("a port");
    let mut request = vec![5, 1, 0];
    match host.parse::<std::net::Ipv4Addr>() {
        Ok(ip) => request.extend([&[1][..], &ip.octets()].concat()),
        Err(_) => request.extend([&[3, length(host)], host.as_bytes()].concat()),
    }
    request.extend(port.to_be_bytes());
    request
}

fn length(text: &str) -> u8 {
    u8::try_from(text.len()).expect("at most 255 bytes")
}

async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte, so that nothing of the tunnel's payload is swallowed.
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The status of a response head; 0 where it is none.
pub fn status_of(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// The value of a header of a raw head; empty where it is absent.
pub fn header(head: &str, name: &str) -> String {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// Standard base64.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) & 63;
            text.push(if place > chunk.len() { '=' } else { ALPHABET[index as usize].into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_of_every_remainder() {
        for (plain, coded) in
            [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("demo:pass", "ZGVtbzpwYXNz")]
        {
            assert_eq!(super::base64(plain.as_bytes()), coded);
        }
    }
}
