//! The origin behind the proxies: sends, echoes, or answers small HTTP requests.

use std::io;
use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How much is written at once when sending in bulk.
const CHUNK: usize = 256 * 1024;

/// The size of the body of an HTTP answer.
pub(crate) const BODY: usize = 1024;

/// Is the origin on a port of 127.0.0.1, for ever: where it needs a process of its own.
pub(crate) async fn serve_on(port: u16) -> Result<()> {
    accept(TcpListener::bind(("127.0.0.1", port)).await?).await;
    Ok(())
}

/// A TCP server on loopback. Every connection begins with one line:
///
/// - `SEND n`: sends `n` bytes, then waits for the next line;
/// - `ECHO`: sends back what it receives until the peer has finished;
/// - anything else is the first line of an HTTP/1.1 request without a body; the answer is 1 KiB,
///   and the connection stays open unless the request says `Connection: close`.
#[derive(Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Origin {
    /// Starts on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(accept(listener)) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A peer that goes away is the end of its connection, not of the origin.
                let _ = serve(stream).await;
            });
        }
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(2048);
    loop {
        let Some(line) = take_through(&mut stream, &mut buffer, b"\n").await? else { return Ok(()) };
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        match line.split_once(' ') {
            Some(("SEND", count)) => send(&mut stream, count.parse().unwrap_or(0)).await?,
            None if line == "ECHO" => return echo(stream, buffer).await,
            _ => {
                // The rest of the head follows; with the line's own end before it, an empty rest
                // ends like any other.
                buffer.splice(..0, *b"\r\n");
                let Some(rest) = take_through(&mut stream, &mut buffer, b"\r\n\r\n").await? else {
                    return Ok(());
                };
                let close =
                    String::from_utf8_lossy(&rest).to_ascii_lowercase().contains("\r\nconnection: close");
                stream.write_all(&answer(close)).await?;
                if close {
                    return stream.shutdown().await;
                }
            }
        }
    }
}

/// Takes what ends in `end` from the front of the buffer, reading as needed; none at the end of
/// the stream.
async fn take_through(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    end: &[u8],
) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            return Ok(Some(buffer.drain(..at + end.len()).collect()));
        }
        if buffer.len() > 64 * 1024 || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn answer(close: bool) -> Vec<u8> {
    let close = if close { "Connection: close\r\n" } else { "" };
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{close}Content-Length: {BODY}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + BODY, b'.');
    answer
}

async fn send(stream: &mut TcpStream, mut count: u64) -> io::Result<()> {
    let chunk = vec![b'.'; CHUNK];
    while count > 0 {
        let n = usize::try_from(count).unwrap_or(CHUNK).min(CHUNK);
        stream.write_all(chunk.get(..n).unwrap_or_default()).await?;
        count -= n as u64;
    }
    Ok(())
}

async fn echo(mut stream: TcpStream, mut buffer: Vec<u8>) -> io::Result<()> {
    loop {
        stream.write_all(&buffer).await?;
        buffer.clear();
        if stream.read_buf(&mut buffer).await? == 0 {
            return stream.shutdown().await;
        }
    }
}
