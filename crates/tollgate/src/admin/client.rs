//! Calls a running server: one request a connection, bounded in bytes and time.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Call;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers are shorter than this.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Calls one server with one key.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    key: SecretString,
}

/// What the server said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The envelope: `code`, `message`, `data`.
    pub envelope: Value,
}

impl Client {
    /// For a server at `HOST:PORT` or `http://HOST:PORT`.
    ///
    /// # Errors
    /// Another scheme.
    pub fn new(address: &str, key: SecretString) -> anyhow::Result<Self> {
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
        ensure!(!address.contains('/'), "an API address is HOST:PORT or http://HOST:PORT");
        Ok(Self { address: address.to_owned(), key })
    }

    /// Calls, and takes every answer that is an envelope.
    ///
    /// # Errors
    /// The server cannot be reached, or answers with something else.
    pub async fn call(&self, call: &Call) -> anyhow::Result<Answer> {
        let asked = tokio::time::timeout(PATIENCE, self.exchange(call)).await;
        let answer =
            asked.with_context(|| format!("{} did not answer within {PATIENCE:?}", self.address))??;
        parse(&answer).with_context(|| format!("what answers at {} is not Tollgate's API", self.address))
    }

    async fn exchange(&self, call: &Call) -> anyhow::Result<Vec<u8>> {
        #[expect(clippy::disallowed_methods, reason = "the operator's own server, named by the operator")]
        let connected = TcpStream::connect(&self.address).await;
        let mut stream = connected.with_context(|| format!("no server answers at {}", self.address))?;
        stream.write_all(&self.request(call)).await.context("the call could not be sent")?;
        let mut answer = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await.context("the answer broke off")?;
        Ok(answer)
    }

    /// HTTP/1.0, so that the answer is never in chunks and ends with the connection.
    fn request(&self, call: &Call) -> Vec<u8> {
        let (content, body) = match &call.body {
            Some(body) => {
                let (media, body) = body.written();
                (format!("Content-Type: {media}\r\nContent-Length: {}\r\n", body.len()), body)
            }
            None => (String::new(), String::new()),
        };
        let (method, path, host, key) = (call.method, &call.path, &self.address, self.key.expose_secret());
        format!(
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nAccept-Language: en\r\n{content}\r\n{body}"
        )
        .into_bytes()
    }
}

impl Answer {
    /// Whether it was done.
    pub fn is_success(&self) -> bool {
        self.code() == 0
    }

    /// The envelope's code.
    pub fn code(&self) -> i64 {
        self.envelope.get("code").and_then(Value::as_i64).unwrap_or(-1)
    }

    /// What was asked for.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn data(&self) -> anyhow::Result<&Value> {
        if self.is_success() {
            return Ok(self.envelope.get("data").unwrap_or(&Value::Null));
        }
        let message = self.envelope.get("message").and_then(Value::as_str).unwrap_or("no reason was given");
        bail!("{message} (code {}){}", self.code(), self.bad_lines())
    }

    /// What is wrong with an import, a line each.
    fn bad_lines(&self) -> String {
        let lines = self.envelope.pointer("/data/lines").and_then(Value::as_array);
        let told = lines.into_iter().flatten().filter_map(|bad| {
            let (line, message) = (bad.get("line")?.as_i64()?, bad.get("message")?.as_str()?);
            Some(format!("\n  line {line}: {message}"))
        });
        told.collect()
    }
}

fn parse(answer: &[u8]) -> anyhow::Result<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no HTTP answer")?;
    let (head, body) = (answer.get(..end).unwrap_or_default(), answer.get(end + 4..).unwrap_or_default());
    let head = std::str::from_utf8(head).context("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no HTTP status")?;
    let envelope: Value = serde_json::from_slice(body).context("no JSON")?;
    ensure!(envelope.get("code").is_some_and(Value::is_i64), "no envelope");
    Ok(Answer { status, envelope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_envelopes() {
        let good =
            parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\"code\":0,\"message\":\"success\",\"data\":{\"id\":3}}");
        assert_eq!(good.expect("good").data().expect("data")["id"], 3);
        let no = parse(
            b"HTTP/1.1 404 Not Found\r\n\r\n{\"code\":40400,\"message\":\"no such account\",\"data\":null}",
        );
        let no = no.expect("an envelope");
        assert_eq!(
            (no.status, no.data().expect_err("refused").to_string().as_str()),
            (404, "no such account (code 40400)")
        );
        let lines = parse(
            b"HTTP/1.1 400 Bad Request\r\n\r\n{\"code\":40000,\"message\":\"2 mistakes\",\"data\":{\"lines\":[\
              {\"line\":2,\"field\":\"a\",\"message\":\"no\"},{\"line\":7,\"field\":\"b\",\"message\":\"never\"}]}}",
        );
        let refused = lines.expect("an envelope").data().expect_err("refused").to_string();
        assert_eq!(refused, "2 mistakes (code 40000)\n  line 2: no\n  line 7: never");
        for other in [&b"HTTP/1.1 200 OK\r\n\r\nhello"[..], b"", b"SSH-2.0", b"HTTP/1.1 200 OK\r\n\r\n{}"] {
            assert!(parse(other).is_err());
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let client = Client::new("http://127.0.0.1:8080/", "secret-key".to_owned().into()).expect("a client");
        assert_eq!(client.address, "127.0.0.1:8080");
        assert!(!format!("{client:?}").contains("secret-key"));
        assert!(Client::new("https://x:1", "k".to_owned().into()).is_err());
    }

    #[tokio::test]
    async fn a_call_goes_out_whole_and_comes_back() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address").to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut asked = Vec::new();
            while !asked.ends_with(b"{\"amount\":5}") {
                assert_ne!(stream.read_buf(&mut asked).await.expect("the request"), 0, "{asked:?}");
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n{\"code\":0,\"data\":1}").await.expect("the answer");
            String::from_utf8(asked).expect("text")
        });
        let client = Client::new(&address, "k".to_owned().into()).expect("a client");
        let answer =
            client.call(&Call::post("/api/x", serde_json::json!({"amount": 5}))).await.expect("an answer");
        assert_eq!(answer.data().expect("data"), 1);
        let asked = server.await.expect("the server");
        assert!(asked.starts_with("POST /api/x HTTP/1.0\r\n"), "{asked}");
        assert!(
            asked.contains("\r\nAuthorization: Bearer k\r\n") && asked.contains("\r\nContent-Length: 12\r\n"),
            "{asked}"
        );
    }
}
