//! Small messages through many tunnels at a steady pace: what chats, games and remote shells do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::client::Door;
use crate::measure::{Figure, gather, taken};
use crate::process::Daemon;

/// Tunnels at the same time.
const TUNNELS: u32 = 50;

/// Messages a second, of all tunnels together.
const PACE: u32 = 2_000;

/// What a message holds.
const MESSAGE: usize = 64;

/// So many messages there and back, each sent when its time has come whatever became of others'.
pub(crate) async fn measure(
    daemon: &Daemon,
    door: &Door,
    origin: SocketAddr,
    messages: u64,
) -> Result<Vec<Figure>> {
    let mut open = Vec::new();
    for _ in 0..TUNNELS {
        let mut tunnel = door.tunnel(origin).await?;
        tunnel.write_all(b"ECHO\n").await?;
        exchange(&mut tunnel).await?;
        open.push(tunnel);
    }
    let each = messages / u64::from(TUNNELS);
    let every = Duration::from_secs(1) * TUNNELS / PACE;
    let (latencies, taken) = taken(daemon, async {
        let begin = tokio::time::Instant::now() + Duration::from_millis(5);
        let mut clients = JoinSet::new();
        for (tunnel, number) in open.into_iter().zip(0..) {
            // Spread over the interval, as strangers are.
            clients.spawn(talk(tunnel, each, begin + every * number / TUNNELS, every));
        }
        gather(clients).await
    })
    .await?;
    Ok(taken.of_jobs(latencies))
}

async fn talk(
    mut tunnel: TcpStream,
    messages: u64,
    begin: tokio::time::Instant,
    every: Duration,
) -> Result<Vec<Duration>> {
    let mut pace = interval_at(begin, every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut latencies = Vec::new();
    for _ in 0..messages {
        pace.tick().await;
        let start = Instant::now();
        exchange(&mut tunnel).await?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

async fn exchange(tunnel: &mut TcpStream) -> Result<()> {
    tunnel.write_all(&[b'.'; MESSAGE]).await?;
    tunnel.read_exact(&mut [0; MESSAGE]).await.context("the echo")?;
    Ok(())
}
