//! The measurements of Tollgate alone: its API, and the settling of many payers' usage.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};

use crate::args::Sizes;
use crate::client::{HttpClient, Way};
use crate::measure::{
    CLIENTS, Figure, Jobs, PATIENCE, PING_BYTES, TOUCH_BYTES, exchanges, figure, gather, ping, taken, touch,
};
use crate::process::Daemon;
use crate::tollgate::{Tollgate, create_sub_account, until_admitted};

/// The calls of the contract that are measured, by their numbers there.
pub(crate) const CALLS: &[(&str, &str)] = &[
    ("call 1, me/info", "/api/users/me/info"),
    ("call 4, subuser/list", "/api/users/subuser/list"),
    ("call 12, packages/current", "/api/users/traffic/packages/current"),
];

/// API clients at the same time.
const API_CLIENTS: u64 = 8;

/// Sub-accounts of the account whose list is asked for.
const LISTED: u64 = 25;

/// Sub-accounts of each account whose usage is settled.
const PAYERS_PER_ACCOUNT: u64 = 10;

/// How often each payer moves a message each way: more often than usage is reported, so that each
/// report has something to say about every payer.
const PING_EVERY: Duration = Duration::from_millis(250);

/// How long billing may lag behind the last byte.
const BILL_PATIENCE: Duration = Duration::from_secs(60);

/// Fills what the API is asked for: an account with some sub-accounts and a package.
pub(crate) async fn prepare_calls(tollgate: &Tollgate) -> Result<String> {
    let key = tollgate.account("callers").await?;
    let mut api = tollgate.api(&key);
    for n in 0..LISTED {
        create_sub_account(&mut api, &format!("listed{n}")).await?;
    }
    Ok(key)
}

/// One method of the API, called many times on kept connections.
pub(crate) async fn calls(tollgate: &Tollgate, key: &str, path: &str, count: u64) -> Result<Vec<Figure>> {
    let mut api = tollgate.api(key);
    api.get(path).await?;
    let request: Arc<[u8]> = api.request("GET", path, "").into();
    let calls = exchanges(tollgate.api_address(), request, count, API_CLIENTS);
    let (calls, taken) = taken(tollgate.daemon(), calls).await?;
    let mut figures = taken.of_jobs(calls.latencies);
    figures.push(figure("CPU % of a core", taken.cpu_percent()));
    Ok(figures)
}

/// Many sub-accounts with traffic at the same time: what it costs to meter, report and settle
/// them, and how long after the last byte everything is billed, to the byte.
pub(crate) async fn settle(
    tollgate: &Tollgate,
    database: Option<&Daemon>,
    origin: SocketAddr,
    sizes: &Sizes,
) -> Result<Vec<Figure>> {
    let accounts = timeout(PATIENCE, prepare_payers(tollgate, sizes.payers))
        .await
        .context("preparing took too long")??;
    let doors: Vec<String> = accounts.iter().flat_map(|account| account.payers.clone()).collect();
    if let Some(last) = doors.last() {
        until_admitted(&tollgate.door(Way::Socks5, last), origin).await?;
    }
    let tunnels = timeout(PATIENCE, open_all(tollgate, doors, origin))
        .await
        .context("opening tunnels took too long")??;
    // The tunnel of `until_admitted` is billed, too.
    let mut expected = TOUCH_BYTES * (tunnels.len() as u64 + 1);
    let before = (tollgate.daemon().cpu(), database.map(Daemon::cpu), settled(tollgate).await);
    let start = Instant::now();
    let pings = timeout(PATIENCE, ping_all(tunnels, sizes.settle_for))
        .await
        .context("the traffic took too long")??;
    let wall = start.elapsed().as_secs_f64();
    let after = (tollgate.daemon().cpu(), database.map(Daemon::cpu), settled(tollgate).await);
    expected += PING_BYTES * pings;
    let lag = until_billed(tollgate, &accounts, expected).await?;
    let share = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() * 100.0 / wall;
    let mut figures = vec![figure("CPU % of a core", share(before.0, after.0))];
    if let (Some(before), Some(after)) = (before.1, after.1) {
        figures.push(figure("database's CPU %", share(before, after)));
    }
    if let (Some(before), Some(after)) = (before.2, after.2) {
        figures.push(figure("reports settled per second", (after - before) / wall));
    }
    figures.push(figure("messages per second", pings as f64 / wall));
    figures.push(figure("all billed after ms", lag.as_secs_f64() * 1e3));
    Ok(figures)
}

/// An account with its sub-accounts.
#[derive(Debug)]
struct PayingAccount {
    key: String,
    payers: Vec<String>,
}

async fn prepare_payers(tollgate: &Tollgate, payers: u64) -> Result<Vec<PayingAccount>> {
    let mut accounts = Vec::new();
    for number in 0..payers.div_ceil(PAYERS_PER_ACCOUNT) {
        let key = tollgate.account(&format!("payer{number}")).await?;
        let mut api = tollgate.api(&key);
        let mut names = Vec::new();
        for n in (number * PAYERS_PER_ACCOUNT..payers).take(PAYERS_PER_ACCOUNT as usize) {
            let name = format!("sub{n}");
            create_sub_account(&mut api, &name).await?;
            names.push(name);
        }
        accounts.push(PayingAccount { key, payers: names });
    }
    Ok(accounts)
}

async fn open_all(tollgate: &Tollgate, payers: Vec<String>, origin: SocketAddr) -> Result<Vec<TcpStream>> {
    let doors: Arc<[_]> = payers.iter().map(|payer| tollgate.door(Way::Socks5, payer)).collect();
    let (jobs, next) = (Jobs::new(doors.len() as u64), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (jobs, next, doors) = (jobs.clone(), next.clone(), doors.clone());
        clients.spawn(async move {
            let mut open = Vec::new();
            while jobs.take() {
                let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed))?;
                open.push(touch(doors.get(at).context("a door")?, origin).await?);
            }
            Ok(open)
        });
    }
    gather(clients).await
}

/// Sends a message each way through every tunnel again and again; says how many.
async fn ping_all(tunnels: Vec<TcpStream>, during: Duration) -> Result<u64> {
    let (start, count) = (tokio::time::Instant::now(), tunnels.len() as u32);
    let mut clients = JoinSet::new();
    for (n, mut tunnel) in tunnels.into_iter().enumerate() {
        // Evenly over the period, not all at once.
        let first = start + PING_EVERY * (n as u32) / count.max(1);
        clients.spawn(async move {
            let mut clock = interval_at(first, PING_EVERY);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut pings = 0u64;
            while start.elapsed() < during {
                clock.tick().await;
                ping(&mut tunnel).await.context("a payer's tunnel")?;
                pings += 1;
            }
            Ok(vec![pings])
        });
    }
    Ok(gather(clients).await?.iter().sum())
}

/// Waits until the accounts' sub-accounts are billed exactly so many bytes together.
async fn until_billed(tollgate: &Tollgate, accounts: &[PayingAccount], expected: u64) -> Result<Duration> {
    let start = Instant::now();
    loop {
        let mut billed = 0;
        for account in accounts {
            billed += billed_of(tollgate, account).await?;
        }
        let waited = start.elapsed();
        match billed {
            exact if exact == expected => return Ok(waited),
            more if more > expected => bail!("{more} bytes were billed of {expected}"),
            less if waited > BILL_PATIENCE => {
                bail!("{less} bytes of {expected} were billed after {BILL_PATIENCE:?}")
            }
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn billed_of(tollgate: &Tollgate, account: &PayingAccount) -> Result<u64> {
    let list = tollgate.api(&account.key).get("/api/users/subuser/list?page_size=1000").await?;
    let records = list.get("records").and_then(Value::as_array).context("no records")?;
    let used =
        records.iter().map(|record| record.get("used_res_traffic").and_then(Value::as_u64).unwrap_or(0));
    Ok(used.sum())
}

/// How many usage reports, each of many leases, Tollgate's own counters say were settled so far;
/// none where they do not say.
async fn settled(tollgate: &Tollgate) -> Option<f64> {
    let mut client = HttpClient::new(tollgate.metrics_address());
    let request = b"GET /metrics HTTP/1.1\r\nHost: metrics\r\n\r\n";
    let (_, body) = client.exchange(request).await.ok()?;
    settled_in(&String::from_utf8_lossy(body))
}

/// The sum of the counters of settled reports in an exposition.
fn settled_in(exposition: &str) -> Option<f64> {
    let counts = exposition.lines().filter(|line| line.starts_with("tollgate_gateway_settlements_total"));
    let values: Vec<f64> = counts.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::settled_in;

    #[test]
    fn counters_are_summed_over_their_labels() {
        let text = "# TYPE x counter\ntollgate_gateway_settlements_total{a=\"1\"} 3\ntollgate_gateway_settlements_total{a=\"2\"} 4\n";
        assert_eq!(settled_in(text), Some(7.0));
        assert_eq!(settled_in("other_total 3\n"), None);
    }
}
