//! A bare relay: accepts, connects to the origin, and moves bytes with `splice(2)`. It knows
//! nobody, counts nothing and decides nothing: what it costs is what this machine asks for any
//! relay, so it stands beside the proxies as their floor.
//!
//! The first bytes of each direction are copied, so that a short connection needs no pipe and an
//! idle one holds none.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What is copied at most at once before a direction is worth a pipe.
const COPY: usize = 16 * 1024;

/// After so many bytes a direction gets a pipe.
const WORTH_A_PIPE: u64 = 128 * 1024;

/// The pipe's size, where the system allows it.
const PIPE: usize = 512 * 1024;

/// Relays every connection on a port of 127.0.0.1 to one address, for ever.
pub(crate) async fn serve(port: u16, target: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        if let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Either side may go away at any time: that ends this connection only.
                let _ = relay(client, target).await;
            });
        }
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr) -> io::Result<()> {
    let mut origin = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    origin.set_nodelay(true)?;
    let (client_reads, client_writes) = client.split();
    let (origin_reads, origin_writes) = origin.split();
    tokio::try_join!(one_way(client_reads, origin_writes), one_way(origin_reads, client_writes))?;
    Ok(())
}

/// Moves bytes one way until their end, which is passed on.
async fn one_way(from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
    let mut moved = 0;
    while moved < WORTH_A_PIPE {
        match copy(&from, &mut to).await? {
            0 => return to.shutdown().await,
            n => moved += n,
        }
    }
    through_pipe(&from, &to).await?;
    to.shutdown().await
}

/// Copies what is there; waits until something is. The buffer lives only while there is something.
async fn copy(from: &ReadHalf<'_>, to: &mut WriteHalf<'_>) -> io::Result<u64> {
    loop {
        from.readable().await?;
        match copy_now(from, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
            Ok((n, rest)) => {
                to.write_all(&rest).await?;
                return Ok(n);
            }
        }
    }
}

/// Reads and writes once, with a buffer on the stack that no waiting connection holds. Gives how
/// much was read, and what of it the other side had no room for, which is rare.
fn copy_now(from: &ReadHalf<'_>, to: &WriteHalf<'_>) -> io::Result<(u64, Vec<u8>)> {
    let mut buffer = [0; COPY];
    let n = from.try_read(&mut buffer)?;
    let bytes = buffer.get(..n).unwrap_or_default();
    let written = match to.try_write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        written => written?,
    };
    Ok((n as u64, bytes.get(written..).unwrap_or_default().to_vec()))
}

async fn through_pipe(from: &ReadHalf<'_>, to: &WriteHalf<'_>) -> io::Result<()> {
    let (pipe_out, pipe_in) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let size = fcntl_setpipe_size(&pipe_in, PIPE).unwrap_or(COPY);
    loop {
        let mut held = fill(from, &pipe_in, size).await?;
        if held == 0 {
            return Ok(());
        }
        while held > 0 {
            held -= drain(&pipe_out, to, held).await?;
        }
    }
}

async fn fill(from: &ReadHalf<'_>, pipe: &OwnedFd, size: usize) -> io::Result<usize> {
    let socket: &TcpStream = from.as_ref();
    socket.async_io(Interest::READABLE, || Ok(splice(socket, None, pipe, None, size, flags())?)).await
}

async fn drain(pipe: &OwnedFd, to: &WriteHalf<'_>, held: usize) -> io::Result<usize> {
    let socket: &TcpStream = to.as_ref();
    socket.async_io(Interest::WRITABLE, || Ok(splice(pipe, None, socket, None, held, flags())?)).await
}

fn flags() -> SpliceFlags {
    SpliceFlags::NONBLOCK | SpliceFlags::MOVE
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{WORTH_A_PIPE, relay};
    use crate::origin::Origin;

    #[tokio::test]
    async fn bytes_and_ends_pass_both_ways_by_copy_and_by_pipe() {
        let origin = Origin::start().await.expect("an origin");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let target = origin.address();
        let relayed =
            tokio::spawn(async move { relay(listener.accept().await.expect("a client").0, target).await });
        let mut client = TcpStream::connect(address).await.expect("a connection");
        let sent: Vec<u8> = (0..WORTH_A_PIPE * 8).map(|n| (n % 251) as u8).collect();
        let (mut reads, mut writes) = client.split();
        let write = async {
            writes.write_all(b"ECHO\n").await?;
            writes.write_all(&sent).await?;
            writes.shutdown().await
        };
        let mut received = Vec::new();
        let (wrote, read) = tokio::join!(write, reads.read_to_end(&mut received));
        wrote.and(read).expect("both ways");
        assert!(received == sent, "{} of {} bytes came back as they were", received.len(), sent.len());
        relayed.await.expect("the relay's task").expect("a clean end");
    }
}
