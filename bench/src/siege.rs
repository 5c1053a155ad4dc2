//! The siege: whether a gateway bears what the worst day may bring, and what its customers see of
//! it. Tollgate alone, each part on a platform of its own, with its usual limits. The figures are
//! for reading; but a customer who is refused, a tunnel that is lost, a besieger who is let in or
//! not thrown out is a failure.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::args::{Options, Sizes};
use crate::besieger::{self, NOT_CONNECTED, READY, Siege};
use crate::client::{Door, Way};
use crate::measure::{
    CLIENTS, Figure, Jobs, PATIENCE, figure, gather, greet, hang_up, ping, quantile, touch,
};
use crate::origin::Origin;
use crate::process::{Daemon, free_port};
use crate::steady;
use crate::table::Table;
use crate::tollgate::{Tollgate, create_sub_account, until_admitted};

/// How many tunnels one sub-account has: fewer than it may have.
const TUNNELS_PER_SUB_ACCOUNT: u64 = 3_000;

/// From how many addresses the tunnels come.
const TUNNEL_ADDRESSES: u64 = 20;

/// How many of the idle tunnels must still echo.
const SAMPLE: usize = 500;

/// The customer beside whom others besiege the gateway.
const CUSTOMER: &str = "customer1";

/// The product's own time for a handshake, which is left as it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a besieger may be let be: a fifth longer.
const LONGEST_STAY: Duration = Duration::from_secs(12);

/// How long besiegers may take in all.
const SIEGE_PATIENCE: Duration = Duration::from_secs(240);

/// How often it is looked whether they are done.
const GLANCE: Duration = Duration::from_millis(50);

/// How often a daemon's memory is looked at meanwhile.
const LOOK: Duration = Duration::from_secs(1);

const MIB: f64 = (1u64 << 20) as f64;

/// One part of the siege: what its row is about, and what came of it.
pub(crate) async fn measure(table: Table, options: &Options) -> (String, Result<Vec<Figure>>) {
    let sizes = &options.sizes;
    match table {
        Table::SiegeIdle => {
            let count = tunnels_for(options.descriptors).min(sizes.siege_tunnels);
            let about = format!("{count} tunnels, {} descriptors a process", options.descriptors);
            (about, idle(options, count).await)
        }
        Table::SiegeSlow => (format!("{} slow clients", sizes.slow), slow(options).await),
        Table::SiegeLogins => {
            let about = format!("{} guesses at {} a second", sizes.guesses, sizes.guesses_per_second);
            (about, logins(options).await)
        }
        other => (other.name().to_owned(), Err(anyhow!("not a part of the siege"))),
    }
}

/// As many tunnels as fit: two descriptors each, and a tenth for everything else.
fn tunnels_for(descriptors: u64) -> u64 {
    descriptors * 9 / 20
}

/// A platform with a customer whom the gateway knows.
async fn platform(options: &Options, origin: &Origin) -> Result<(Tollgate, Door)> {
    let tollgate = Tollgate::start(&options.tollgate, None).await?;
    let key = tollgate.account("besieged").await?;
    create_sub_account(&mut tollgate.api(&key), CUSTOMER).await?;
    let door = tollgate.door(Way::Connect, CUSTOMER);
    until_admitted(&door, origin.address()).await?;
    Ok((tollgate, door))
}

/// Another role of this program, as a process of its own.
async fn role(name: &str, words: &[String]) -> Result<(Daemon, TempDir)> {
    let folder = crate::run::folder()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name).args(words);
    let daemon = Daemon::spawn(name, &mut command, &folder.path().join("output.log"))?;
    Ok((daemon, folder))
}

/// Idle tunnels. The origin's ends are in a process of their own, so that this one's descriptors
/// last as long as the gateway's.
async fn idle(options: &Options, count: u64) -> Result<Vec<Figure>> {
    let origin = free_port()?;
    let (mut far, _folder) = role("origin", &[origin.port().to_string()]).await?;
    far.answers(origin).await?;
    let tollgate = Tollgate::start(&options.tollgate, None).await?;
    let key = tollgate.account("holder").await?;
    let mut doors = Vec::new();
    for number in 0..count.div_ceil(TUNNELS_PER_SUB_ACCOUNT) {
        let name = format!("holder{number}");
        create_sub_account(&mut tollgate.api(&key), &name).await?;
        doors.extend([Way::Connect, Way::Socks5].map(|way| tollgate.door(way, &name)));
    }
    for door in &doors {
        until_admitted(door, origin).await?;
    }
    // Whatever is set up once, with the first few connections, is not the price of a tunnel.
    for door in doors.iter().cycle().take(usize::try_from(CLIENTS)?) {
        hang_up(touch(door, origin).await?).await?;
    }
    let before = tollgate.daemon().memory_at_rest().await;
    let opened = open_all(doors, origin, count);
    let mut tunnels = timeout(PATIENCE, opened).await.context("opening took too long")??;
    let after = tollgate.daemon().memory_at_rest().await;
    let echoes = sample(&mut tunnels);
    let echoes = timeout(PATIENCE, echoes).await.context("the echoes took too long")??;
    drop(tunnels);
    let gone = tollgate.daemon().memory_at_rest().await;
    Ok(vec![
        figure("KiB per tunnel", after.saturating_sub(before) as f64 / 1024.0 / count as f64),
        figure("MiB before", before as f64 / MIB),
        figure("MiB with them", after as f64 / MIB),
        figure("MiB after they ended", gone as f64 / MIB),
        figure("of a sample echoed", echoes.len() as f64),
        figure("p50 µs of an echo", quantile(&echoes, 500)),
        figure("p99 µs of an echo", quantile(&echoes, 990)),
        figure("longest µs of an echo", quantile(&echoes, 1000)),
    ])
}

async fn open_all(doors: Vec<Door>, origin: SocketAddr, count: u64) -> Result<Vec<TcpStream>> {
    let jobs = Jobs::new(count);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (jobs, doors) = (jobs.clone(), doors.clone());
        clients.spawn(async move {
            let mut open = Vec::new();
            // Each client goes round all doors, beginning with another one.
            let mut doors = doors.iter().cycle().skip(usize::try_from(client)?);
            while jobs.take() {
                let from = besieger::address((client + open.len() as u64) % TUNNEL_ADDRESSES);
                let door = doors.next().context("a door")?;
                open.push(greet(door.tunnel_from(from, origin).await?).await?);
            }
            Ok(open)
        });
    }
    gather(clients).await
}

/// Sends a message each way through some of the tunnels, evenly chosen; says how long each took.
async fn sample(tunnels: &mut [TcpStream]) -> Result<Vec<Duration>> {
    let step = tunnels.len().div_ceil(SAMPLE).max(1);
    let mut took = Vec::new();
    for tunnel in tunnels.iter_mut().step_by(step) {
        let start = Instant::now();
        ping(tunnel).await.context("a tunnel that was idle")?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}

/// Slow clients beside normal connections.
async fn slow(options: &Options) -> Result<Vec<Figure>> {
    let (sizes, origin) = (&options.sizes, Origin::start().await?);
    let (tollgate, door) = platform(options, &origin).await?;
    let before = tollgate.daemon().memory_at_rest().await;
    let mut quiet = alone(&door, origin.address(), sizes).await?;
    let siege = Siege::Slow {
        gateway: door.address,
        clients: sizes.slow,
        // A little longer than is looked at.
        seconds: sizes.slow_for.as_secs() + 2,
    };
    let mut besiegers = Besiegers::send(&siege).await?;
    besiegers.are_there().await?;
    let with_them = async {
        sleep(sizes.slow_for).await;
        Ok(tollgate.daemon().memory())
    };
    let (during_memory, during) = steady::until(&door, origin.address(), with_them).await?;
    let outcome = besiegers.outcome().await?;
    let told = |name: &str| outcome.get(name).and_then(Value::as_u64).with_context(|| format!("no {name}"));
    let longest = Duration::from_millis(told("longest_ms")?);
    if longest > LONGEST_STAY {
        bail!("a slow client was let be for {longest:?}, with {HANDSHAKE:?} for a handshake");
    }
    quiet.extend(alone(&door, origin.address(), sizes).await?);
    let mut figures = compared(quiet, &during);
    figures.push(figure("slow ones at once", told("fewest")? as f64));
    figures.push(figure("slow ones thrown out", told("times")? as f64));
    figures.push(figure("after s at most", longest.as_secs_f64()));
    let grown = during_memory.saturating_sub(before) as f64;
    figures.push(figure("KiB per slow one", grown / 1024.0 / sizes.slow as f64));
    figures.push(figure("MiB before", before as f64 / MIB));
    figures.push(figure("MiB with them", during_memory as f64 / MIB));
    Ok(figures)
}

/// Normal connections on their own: once before the siege and once after it, so that a machine that
/// gets busier meanwhile does not pass for the besiegers' doing.
async fn alone(door: &Door, origin: SocketAddr, sizes: &Sizes) -> Result<Vec<Duration>> {
    let pause = async {
        sleep(sizes.quiet_for).await;
        Ok(())
    };
    Ok(steady::until(door, origin, pause).await?.1)
}

/// Guesses from many addresses, beside a customer from another one whose own password is guessed.
async fn logins(options: &Options) -> Result<Vec<Figure>> {
    let (sizes, origin) = (&options.sizes, Origin::start().await?);
    let (tollgate, door) = platform(options, &origin).await?;
    let start = (Instant::now(), tollgate.daemon().cpu());
    let mut quiet = alone(&door, origin.address(), sizes).await?;
    // What the customer alone costs, of a second.
    let share = tollgate.daemon().cpu().saturating_sub(start.1).div_duration_f64(start.0.elapsed());
    let memory = tollgate.daemon().memory_at_rest().await;
    let start = (Instant::now(), tollgate.daemon().cpu());
    let mut besiegers = Besiegers::send(&Siege::Logins {
        gateway: door.address,
        origin: origin.address(),
        user: CUSTOMER.to_owned(),
        guesses: sizes.guesses,
        per_second: sizes.guesses_per_second,
    })
    .await?;
    let with_them = watched(tollgate.daemon(), besiegers.outcome());
    let ((outcome, most), during) = steady::until(&door, origin.address(), with_them).await?;
    let (wall, cpu) = (start.0.elapsed(), tollgate.daemon().cpu().saturating_sub(start.1));
    let memory_after = tollgate.daemon().memory_at_rest().await;
    eprintln!("guesses were answered so: {outcome}");
    let guesses = Guesses::of(&outcome, sizes.guesses)?;
    quiet.extend(alone(&door, origin.address(), sizes).await?);
    let cost = cpu.as_secs_f64() - share * wall.as_secs_f64();
    let mut figures = compared(quiet, &during);
    figures.extend([
        figure("CPU µs per guess", cost * 1e6 / guesses.all as f64),
        figure("guesses per second", guesses.all as f64 / wall.as_secs_f64()),
        figure("answered 429, % of those by HTTP", guesses.too_many as f64 * 100.0 / guesses.http as f64),
        figure("MiB before", memory as f64 / MIB),
        figure("MiB at most", most as f64 / MIB),
        figure("MiB afterwards", memory_after as f64 / MIB),
    ]);
    Ok(figures)
}

/// How long normal connections took, alone and beside the besiegers.
fn compared(mut quiet: Vec<Duration>, during: &[Duration]) -> Vec<Figure> {
    quiet.sort_unstable();
    let quiet = quiet.as_slice();
    let (alone, beside) = (quantile(quiet, 990), quantile(during, 990));
    vec![
        figure("× quiet p99", if alone > 0.0 { beside / alone } else { 0.0 }),
        figure("p50 µs quiet", quantile(quiet, 500)),
        figure("p50 µs beside", quantile(during, 500)),
        figure("p99 µs quiet", alone),
        figure("p99 µs beside", beside),
        figure("p99.9 µs quiet", quantile(quiet, 999)),
        figure("p99.9 µs beside", quantile(during, 999)),
        figure("normal connections beside", during.len() as f64),
    ]
}

/// Those who besiege, as a process.
#[derive(Debug)]
struct Besiegers {
    process: Daemon,
    _folder: TempDir,
}

impl Besiegers {
    async fn send(siege: &Siege) -> Result<Self> {
        let (process, folder) = role("besiege", &siege.words()).await?;
        Ok(Self { process, _folder: folder })
    }

    /// Waits until all are there.
    async fn are_there(&mut self) -> Result<()> {
        let log = self.process.log_path().to_owned();
        let said = async || std::fs::read_to_string(&log).ok()?.contains(READY).then_some(());
        self.process.until_within(SIEGE_PATIENCE, GLANCE, "is there", said).await
    }

    /// Waits for what came of it.
    async fn outcome(&mut self) -> Result<Value> {
        let log = self.process.log_path().to_owned();
        let said = async || {
            let text = std::fs::read_to_string(&log).ok()?;
            text.lines().find_map(|line| serde_json::from_str(line).ok())
        };
        self.process.until_within(SIEGE_PATIENCE, GLANCE, "is done", said).await
    }
}

/// How guesses were answered.
#[derive(Debug, PartialEq, Eq)]
struct Guesses {
    all: u64,
    /// Those by HTTP, where the answer says why it is no.
    http: u64,
    /// Of these, those that were not looked at because of the ones before them.
    too_many: u64,
}

impl Guesses {
    /// Counts them. Every single one must have been refused, in words of the protocol.
    fn of(outcome: &Value, expected: u64) -> Result<Self> {
        let answers = outcome.get("answers").and_then(Value::as_object).context("no answers")?;
        let mut guesses = Self { all: 0, http: 0, too_many: 0 };
        for (answer, count) in answers {
            let count = count.as_u64().context("no count")?;
            if !answer.contains("refused") || answer.starts_with(NOT_CONNECTED) {
                bail!("{count} guesses: {answer}");
            }
            guesses.all += count;
            guesses.http += if answer.starts_with("CONNECT") { count } else { 0 };
            guesses.too_many += if answer.contains(" 429 ") { count } else { 0 };
        }
        match guesses.all == expected {
            true => Ok(guesses),
            false => bail!("{} guesses were answered of {expected}", guesses.all),
        }
    }
}

/// Waits for something, and says how much memory a daemon had at most meanwhile, looking now and
/// then.
async fn watched<T>(daemon: &Daemon, work: impl Future<Output = Result<T>>) -> Result<(T, u64)> {
    let (mut work, mut clock, mut most) = (std::pin::pin!(work), interval(LOOK), 0);
    loop {
        tokio::select! {
            given = &mut work => return Ok((given?, most)),
            _ = clock.tick() => most = most.max(daemon.memory()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Guesses, tunnels_for};

    #[test]
    fn tunnels_leave_a_tenth_of_the_descriptors() {
        assert_eq!(tunnels_for(20_000), 9_000);
        assert_eq!(tunnels_for(1_024), 460);
    }

    #[test]
    fn every_guess_must_be_refused() {
        let refused = json!({ "answers": { "CONNECT: refused: HTTP/1.1 407 Proxy Authentication Required": 6,
            "CONNECT: refused: HTTP/1.1 429 Too Many Requests": 3, "SOCKS5: the login was refused: [1, 1]": 1 } });
        assert_eq!(Guesses::of(&refused, 10).expect("refused"), Guesses { all: 10, http: 9, too_many: 3 });
        assert!(Guesses::of(&refused, 11).is_err());
        for bad in ["let in", "not answered", "not connected: refused", "CONNECT: closed"] {
            let outcome = json!({ "answers": { bad: 1 } });
            assert!(Guesses::of(&outcome, 1).expect_err(bad).to_string().contains(bad));
        }
    }
}
