//! Stories of purses, against a control plane in memory and on a paused clock.

mod exactness;
mod holding;
mod rights;
mod time;
mod trouble;
mod whole;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tollgate_types::{AccountEntry, AccountId, DirectoryChange, SubAccountEntry, SystemClock, Time};

use super::*;
use crate::entry::{Admission, ConnectionInfo, Live, LiveConnection, Traffic, revoke};
use crate::funds::Funds;
use crate::testing::{FakeControl, payer, payer_of};

const MB: u64 = 1 << 20;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One run of a gateway's metering.
struct Run {
    control: Arc<FakeControl>,
    purses: Arc<Purses<FakeControl>>,
    live: Arc<Live>,
    stats: Arc<Stats>,
    tasks: Vec<JoinHandle<()>>,
    /// Removed with the first run in it.
    _folder: Option<tempfile::TempDir>,
}

impl Run {
    async fn start(control: &Arc<FakeControl>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = Self::start_in(control, folder.path(), 1);
        run.purses.recover().await.unwrap();
        Self { _folder: Some(folder), ..run }
    }

    fn start_in(control: &Arc<FakeControl>, folder: &Path, boot: i64) -> Self {
        Self::start_on(control, Journal::open(folder, GatewayId::new(3)).unwrap(), boot)
    }

    fn start_on(control: &Arc<FakeControl>, journal: (Journal, Vec<LeaseUsage>), boot: i64) -> Self {
        let stats = Arc::new(Stats::default());
        let purses = Purses::new(control.clone(), BootId::new(boot), journal, stats.clone());
        let live = Arc::new(Live::new(control.directory(), Arc::new(SystemClock)));
        let reporting = {
            let purses = purses.clone();
            tokio::spawn(async move { purses.run().await })
        };
        let revoking = tokio::spawn(revoke(control.directory(), live.clone(), purses.clone()));
        let tasks = vec![reporting, revoking];
        Self { control: control.clone(), purses, live, stats, tasks, _folder: None }
    }

    /// A connection admitted by address, with its purse.
    async fn connect(&self, account: AccountId) -> Connection {
        let address = Ipv4Addr::LOCALHOST.into();
        let entry = self.control.directory().borrow().whitelisted(address).map(|entry| entry.id);
        let entry = entry.unwrap_or_else(|| self.control.whitelist(account, 1, address));
        self.admit(payer(account), Admission::Whitelist(entry)).await
    }

    async fn connect_as(&self, entry: &SubAccountEntry) -> Connection {
        self.admit(payer_of(entry), Admission::Credentials(entry.id, entry.password)).await
    }

    async fn admit(&self, payer: Payer, admission: Admission) -> Connection {
        let purse = self.purses.open(payer).await.unwrap();
        let live = self.enter(&purse, admission);
        Connection { purse, live }
    }

    fn enter(&self, purse: &Arc<Purse>, admission: Admission) -> LiveConnection {
        let info = ConnectionInfo {
            account: purse.payer().account,
            sub_account: purse.payer().sub_account,
            traffic: Traffic::Metered(purse.payer().proxy_type),
            username: String::new(),
            client: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            target: "example.com:443".to_owned(),
            protocol: "connect",
            since: Time::from_micros(0),
        };
        self.live.enter(info, Funds::Purse(purse.clone()), admission, self.stats.clone())
    }

    /// Everything comes to rest without anybody's doing: nothing is held, nothing is remembered, and
    /// the account is charged exactly so much.
    async fn rests_at(&self, account: AccountId, used: u64) {
        eventually(secs(20), || self.purses.count() == 0).await;
        assert_eq!((self.control.used(account), self.control.held(account)), (used, 0));
        assert_eq!(self.control.faults(), Vec::<String>::new());
    }

    /// The process is gone, from one moment to the next.
    async fn crash(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
        // A write that has begun ends, as the kernel would end it.
        drop(lock(&self.purses.journal));
    }
}

struct Connection {
    purse: Arc<Purse>,
    live: LiveConnection,
}

impl Connection {
    /// Forwards so many bytes, or as many as are granted.
    async fn forward(&self, bytes: u64) -> Result<(), (u64, LeaseDenied)> {
        forward(&self.purse, bytes, 64 << 10).await
    }

    async fn is_cut_within(&self, time: Duration) -> bool {
        timeout(time, self.live.cut()).await.is_ok()
    }
}

async fn forward(purse: &Purse, bytes: u64, slice: usize) -> Result<(), (u64, LeaseDenied)> {
    let mut left = bytes;
    while left > 0 {
        let taken = purse.take(slice.min(usize::try_from(left).unwrap()));
        if taken == 0 {
            purse.refill().await.map_err(|denied| (bytes - left, denied))?;
            continue;
        }
        purse.spent(taken);
        left -= taken as u64;
    }
    Ok(())
}

/// Waits for a condition, but not forever.
async fn eventually(within: Duration, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < give_up, "not within {within:?}");
        sleep(millis(10)).await;
    }
}
