//! The measurements of a data plane. Each drives one daemon through one door and says what the
//! daemon's processes cost meanwhile; client and origin are in this process, on the same cores.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Door, HttpClient, Way};
use crate::process::Daemon;

/// No single measurement takes longer; what does has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How many clients work at the same time, where it is not said otherwise.
pub(crate) const CLIENTS: u64 = 16;

/// What a message of the small measurements holds.
const MESSAGE: usize = 1024;

/// How much a bulk client reads at once.
const READ: usize = 256 * 1024;

const GIB: f64 = (1u64 << 30) as f64;

/// One value of one figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// Its name with its unit.
    pub(crate) name: &'static str,
    /// Its value.
    pub(crate) value: f64,
}

/// Shorthand.
pub(crate) fn figure(name: &'static str, value: f64) -> Figure {
    Figure { name, value }
}

/// What some work took.
#[derive(Debug)]
pub(crate) struct Taken {
    /// By the clock.
    pub(crate) wall: Duration,
    /// Of the daemon's processor time.
    pub(crate) cpu: Duration,
}

impl Taken {
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }

    fn cpu_micros(&self, count: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count.max(1) as f64
    }

    /// The figures of many equal small jobs: cost, rate, and how long one took.
    pub(crate) fn of_jobs(&self, mut latencies: Vec<Duration>) -> Vec<Figure> {
        latencies.sort_unstable();
        let count = latencies.len() as u64;
        vec![
            figure("CPU µs each", self.cpu_micros(count)),
            figure("per second", self.per_second(count)),
            figure("p50 µs", quantile(&latencies, 500)),
            figure("p99 µs", quantile(&latencies, 990)),
            figure("p99.9 µs", quantile(&latencies, 999)),
        ]
    }
}

/// The value below which so many of a thousand lie, in microseconds.
pub(crate) fn quantile(sorted: &[Duration], per_mille: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * per_mille / 1000;
    sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
}

/// Runs some work and says what it gave and what it took.
pub(crate) async fn taken<T>(daemon: &Daemon, work: impl Future<Output = Result<T>>) -> Result<(T, Taken)> {
    let before = daemon.cpu_at_rest().await;
    let start = Instant::now();
    let given = timeout(PATIENCE, work).await.context("it took too long")??;
    let wall = start.elapsed();
    let cpu = daemon.cpu_at_rest().await.saturating_sub(before);
    Ok((given, Taken { wall, cpu }))
}

/// Shares a number of jobs among clients.
#[derive(Debug, Clone)]
pub(crate) struct Jobs(Arc<AtomicU64>);

impl Jobs {
    /// So many.
    pub(crate) fn new(count: u64) -> Self {
        Self(Arc::new(AtomicU64::new(count)))
    }

    /// Takes one, while there are any.
    pub(crate) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// Waits for all clients; the first failure ends it. What they give is put together.
pub(crate) async fn gather<T: 'static>(mut clients: JoinSet<Result<Vec<T>>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    while let Some(client) = clients.join_next().await {
        all.extend(client??);
    }
    Ok(all)
}

/// Bytes from the origin to the clients through a number of tunnels.
pub(crate) async fn bulk(
    daemon: &Daemon,
    door: &Door,
    origin: SocketAddr,
    tunnels: u64,
    bytes: u64,
) -> Result<Vec<Figure>> {
    let mut open = Vec::new();
    for _ in 0..tunnels {
        open.push(door.tunnel(origin).await?);
    }
    let each = bytes / tunnels;
    let ((), taken) = taken(daemon, async {
        let mut clients = JoinSet::new();
        for tunnel in open {
            clients.spawn(download(tunnel, each));
        }
        gather(clients).await.map(|_: Vec<()>| ())
    })
    .await?;
    let moved = (each * tunnels) as f64;
    Ok(vec![
        figure("CPU s per GiB", taken.cpu.as_secs_f64() / (moved / GIB)),
        figure("Gbit/s", moved * 8.0 / 1e9 / taken.wall.as_secs_f64()),
    ])
}

async fn download(mut tunnel: TcpStream, bytes: u64) -> Result<Vec<()>> {
    tunnel.write_all(format!("SEND {bytes}\n").as_bytes()).await?;
    let mut buffer = vec![0; READ];
    let mut left = bytes;
    while left > 0 {
        match tunnel.read(&mut buffer).await? {
            0 => bail!("the tunnel ended {left} bytes early"),
            n => left = left.checked_sub(n as u64).context("the tunnel gave more than the origin sent")?,
        }
    }
    Ok(Vec::new())
}

/// New connections: handshake, a message each way, close.
pub(crate) async fn connections(
    daemon: &Daemon,
    door: &Door,
    origin: SocketAddr,
    count: u64,
) -> Result<Vec<Figure>> {
    touch(door, origin).await?;
    let jobs = Jobs::new(count);
    let (latencies, taken) = taken(daemon, async {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (jobs, door) = (jobs.clone(), door.clone());
            clients.spawn(async move {
                let mut latencies = Vec::new();
                while jobs.take() {
                    let start = Instant::now();
                    let tunnel = touch(&door, origin).await?;
                    hang_up(tunnel).await?;
                    latencies.push(start.elapsed());
                }
                Ok(latencies)
            });
        }
        gather(clients).await
    })
    .await?;
    Ok(taken.of_jobs(latencies))
}

/// A tunnel through which a message has passed each way.
pub(crate) async fn touch(door: &Door, origin: SocketAddr) -> Result<TcpStream> {
    let mut tunnel = door.tunnel(origin).await?;
    let mut message = b"ECHO\n".to_vec();
    message.resize(message.len() + MESSAGE, b'.');
    tunnel.write_all(&message).await?;
    read_message(&mut tunnel).await?;
    Ok(tunnel)
}

/// One more message each way through a tunnel that [`touch`] opened.
pub(crate) async fn ping(tunnel: &mut TcpStream) -> Result<()> {
    tunnel.write_all(&[b'.'; MESSAGE]).await?;
    read_message(tunnel).await
}

/// How many bytes [`touch`] and [`ping`] move, both directions together.
pub(crate) const TOUCH_BYTES: u64 = 5 + 2 * MESSAGE as u64;

/// See [`TOUCH_BYTES`].
pub(crate) const PING_BYTES: u64 = 2 * MESSAGE as u64;

async fn read_message(tunnel: &mut TcpStream) -> Result<()> {
    let mut back = [0; MESSAGE];
    tunnel.read_exact(&mut back).await.context("the echo")?;
    Ok(())
}

/// Closes and waits until the other side has closed, too.
async fn hang_up(mut tunnel: TcpStream) -> Result<()> {
    tunnel.shutdown().await?;
    let mut rest = [0; 64];
    match tunnel.read(&mut rest).await {
        Ok(0) => Ok(()),
        Ok(_) => bail!("the tunnel gave more than the origin sent"),
        // Some daemons close with a reset; the connection is over either way.
        Err(_) => Ok(()),
    }
}

/// GET requests of 1 KiB on kept connections: absolute-form to proxies, as they are through a
/// daemon that relays straight.
pub(crate) async fn requests(
    daemon: &Daemon,
    door: &Door,
    origin: SocketAddr,
    count: u64,
) -> Result<Vec<Figure>> {
    let request = match door.way {
        Way::Straight => format!("GET /1k HTTP/1.1\r\nHost: {origin}\r\n\r\n"),
        _ => format!("GET http://{origin}/1k HTTP/1.1\r\nHost: {origin}\r\n{}\r\n", door.authorization()),
    };
    let request: Arc<[u8]> = request.into_bytes().into();
    let (calls, taken) = taken(daemon, exchanges(door.address, request, count, CLIENTS)).await?;
    let mut figures = taken.of_jobs(calls.latencies);
    figures.push(figure("connections opened", calls.opened as f64));
    Ok(figures)
}

/// Many exchanges on kept connections.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    /// How long each took.
    pub(crate) latencies: Vec<Duration>,
    /// How many connections they needed.
    pub(crate) opened: u64,
}

/// Sends the same request many times on kept connections and demands 200 each time.
pub(crate) async fn exchanges(
    address: SocketAddr,
    request: Arc<[u8]>,
    count: u64,
    clients: u64,
) -> Result<Exchanges> {
    let jobs = Jobs::new(count);
    let mut working = JoinSet::new();
    for _ in 0..clients {
        let (jobs, request) = (jobs.clone(), request.clone());
        working.spawn(async move {
            let mut client = HttpClient::new(address);
            let mut latencies = Vec::new();
            while jobs.take() {
                let start = Instant::now();
                match client.exchange(&request).await? {
                    (200, _) => latencies.push(start.elapsed()),
                    (status, body) => bail!("answered {status}: {}", String::from_utf8_lossy(body)),
                }
            }
            Ok(vec![Exchanges { latencies, opened: client.opened() }])
        });
    }
    let mut all = Exchanges::default();
    for some in gather(working).await? {
        all.latencies.extend(some.latencies);
        all.opened += some.opened;
    }
    Ok(all)
}

/// Resident memory of tunnels through which a message went each way and that are silent since.
/// On a daemon that has just been started: what is left over from other work would hide it.
pub(crate) async fn idle(
    daemon: &Daemon,
    door: &Door,
    origin: SocketAddr,
    count: u64,
) -> Result<Vec<Figure>> {
    // Whatever is set up once, with the first few connections, is not the price of a tunnel.
    for _ in 0..CLIENTS {
        hang_up(touch(door, origin).await?).await?;
    }
    let before = daemon.memory_at_rest().await;
    let jobs = Jobs::new(count);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (jobs, door) = (jobs.clone(), door.clone());
        clients.spawn(async move {
            let mut open = Vec::new();
            while jobs.take() {
                open.push(touch(&door, origin).await?);
            }
            Ok(open)
        });
    }
    let mut open = timeout(PATIENCE, gather(clients)).await.context("it took too long")??;
    let after = daemon.memory_at_rest().await;
    // They must still be there, or nothing was measured.
    for tunnel in &mut open {
        ping(tunnel).await.context("a tunnel that was idle")?;
    }
    Ok(vec![
        figure("KiB per tunnel", after.saturating_sub(before) as f64 / 1024.0 / count as f64),
        figure("MiB before", before as f64 / (1u64 << 20) as f64),
    ])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Jobs, quantile};

    #[test]
    fn quantiles() {
        let latencies: Vec<Duration> = (1..=1000).map(Duration::from_micros).collect();
        assert_eq!(quantile(&latencies, 500).round(), 500.0);
        assert_eq!(quantile(&latencies, 990).round(), 990.0);
        assert_eq!(quantile(&[], 990), 0.0);
    }

    #[test]
    fn jobs_run_out() {
        let jobs = Jobs::new(2);
        assert_eq!([jobs.take(), jobs.take(), jobs.take()], [true, true, false]);
    }
}
