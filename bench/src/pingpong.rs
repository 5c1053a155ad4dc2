//! Small messages at a steady pace: what a byte costs where there are few of them, and how long
//! one is on its way while the daemon has little to do.
//!
//! The pace is the clients' own (an open loop): a message leaves when its time has come, whether or
//! not the one before it is back. So a daemon that falls behind shows it in how long messages
//! take, and not by being sent fewer of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::task::JoinSet;
use tokio::time::interval_at;

use crate::client::Door;
use crate::measure::{Figure, gather, taken, touch};
use crate::process::Daemon;

/// Tunnels that carry messages at the same time.
const TUNNELS: u32 = 50;

/// How often each of them does: 2,000 a second together.
const EVERY: Duration = Duration::from_millis(25);

/// What a message holds. The first bytes say when it left.
const MESSAGE: usize = 64;

/// Sends so many messages in all, and says what each cost the daemon, there and back.
pub(crate) async fn measure(
    daemon: &Daemon,
    door: &Door,
    origin: SocketAddr,
    count: u64,
) -> Result<Vec<Figure>> {
    let mut tunnels = Vec::new();
    for _ in 0..TUNNELS {
        tunnels.push(touch(door, origin).await?);
    }
    let (latencies, taken) = taken(daemon, talk_all(tunnels, count / u64::from(TUNNELS))).await?;
    Ok(taken.of_jobs(latencies))
}

async fn talk_all(tunnels: Vec<TcpStream>, each: u64) -> Result<Vec<Duration>> {
    let mut clients = JoinSet::new();
    let start = Instant::now();
    for (n, tunnel) in (0..).zip(tunnels) {
        // Evenly over the period, not all at once.
        clients.spawn(talk(tunnel, start, EVERY * n / TUNNELS, each));
    }
    gather(clients).await
}

/// One tunnel's messages; says how long each was on its way.
async fn talk(mut tunnel: TcpStream, start: Instant, first: Duration, count: u64) -> Result<Vec<Duration>> {
    let (reads, writes) = tunnel.split();
    let (latencies, ()) = tokio::try_join!(receive(reads, start, count), send(writes, start, first, count))?;
    Ok(latencies)
}

async fn send(mut writes: WriteHalf<'_>, start: Instant, first: Duration, count: u64) -> Result<()> {
    let mut clock = interval_at((start + first).into(), EVERY);
    let mut message = [b'.'; MESSAGE];
    for _ in 0..count {
        clock.tick().await;
        let left = u64::try_from(start.elapsed().as_nanos())?;
        message[..size_of::<u64>()].copy_from_slice(&left.to_be_bytes());
        writes.write_all(&message).await.context("a message")?;
    }
    Ok(())
}

async fn receive(mut reads: ReadHalf<'_>, start: Instant, count: u64) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    for _ in 0..count {
        let mut message = [0; MESSAGE];
        reads.read_exact(&mut message).await.context("an echo")?;
        let left = message.first_chunk().map_or(0, |left| u64::from_be_bytes(*left));
        latencies.push(start.elapsed().saturating_sub(Duration::from_nanos(left)));
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{EVERY, TUNNELS, talk_all};
    use crate::client::{Door, Way};
    use crate::measure::touch;
    use crate::origin::Origin;

    #[tokio::test]
    async fn every_message_comes_back_at_the_pace_that_is_set() {
        let origin = Origin::start().await.expect("an origin");
        let door = Door { address: origin.address(), way: Way::Straight, login: None };
        let mut tunnels = Vec::new();
        for _ in 0..TUNNELS {
            tunnels.push(touch(&door, origin.address()).await.expect("a tunnel"));
        }
        let (start, each) = (Instant::now(), 4);
        let latencies = talk_all(tunnels, each).await.expect("all messages");
        assert_eq!(latencies.len() as u64, u64::from(TUNNELS) * each);
        assert!(start.elapsed() >= EVERY * 3, "it took {:?}", start.elapsed());
        assert!(latencies.iter().all(|latency| *latency < Duration::from_secs(60)));
    }
}
