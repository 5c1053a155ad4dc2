//! Probes of exits that no customer tells about: those that are left out, and those that nobody has
//! used for a while. Nobody is charged for them, and they count as nobody's traffic.
//!
//! An upstream proxy is connected to, and asked for the probe's target where there is one (without,
//! a SOCKS5 server is greeted). A direct exit's own address is bound. They are spread over the
//! interval, and few are under way at once, so that thousands of exits are no burst.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tollgate_types::{Directory, Exit, ExitKind};
use tollgate_wire::target::Target;
use tollgate_wire::username::RouteParams;

use crate::chain;
use crate::dial::{DialError, Dialer, direct_failure, login, outcome, silence_behind, silent_exit};
use crate::health::{Load, Outcome};
use crate::race::Leave;
use crate::stats::Stats;

/// Probes that are under way at once.
const AT_ONCE: usize = 16;

/// Probes the exits of one gateway.
pub(crate) struct Prober {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) directory: watch::Receiver<Arc<Directory>>,
    /// What upstream proxies are asked for.
    pub(crate) target: Option<Target>,
    /// How often an exit is probed, and for how long nobody must have used it; a round takes this
    /// long, give or take a quarter.
    pub(crate) interval: Duration,
    pub(crate) random: StdRng,
    pub(crate) stats: Arc<Stats>,
}

impl Prober {
    /// Probes, round after round.
    pub(crate) async fn run(mut self) {
        loop {
            let began = Instant::now();
            let lasts = self.interval * self.random.random_range(75..=125) / 100;
            self.round(began, lasts).await;
            sleep_until(began + lasts).await;
        }
    }

    async fn round(&mut self, began: Instant, lasts: Duration) {
        let due = self.due(began);
        let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
        let step = lasts / count.saturating_add(1);
        let mut running = JoinSet::new();
        for (turn, exit) in (1..=count).zip(due) {
            sleep_until(began + step * turn).await;
            while running.len() >= AT_ONCE {
                running.join_next().await;
            }
            while running.try_join_next().is_some() {}
            let now = Instant::now();
            let is_wanted = self.dialer.health.wants_probe(exit.id, self.interval, now);
            if let Some(load) = self.dialer.health.enter_probe(&exit, now).filter(|_| is_wanted) {
                running.spawn(self.one(exit, load));
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// The exits that should be probed, in any order.
    fn due(&mut self, now: Instant) -> Vec<Arc<Exit>> {
        let directory = self.directory.borrow().clone();
        let can_be = |exit: &&Arc<Exit>| !matches!(exit.kind, ExitKind::Direct { bind_ip: None });
        let wants = |exit: &&Arc<Exit>| self.dialer.health.wants_probe(exit.id, self.interval, now);
        let mut due: Vec<_> = directory.exits.all().filter(can_be).filter(wants).cloned().collect();
        due.shuffle(&mut self.random);
        due
    }

    fn one(&self, exit: Arc<Exit>, load: Load) -> impl Future<Output = ()> + Send + use<> {
        let (dialer, target, stats) = (self.dialer.clone(), self.target.clone(), self.stats.clone());
        async move {
            let began = Instant::now();
            let result = probe(&dialer, &exit, target.as_ref()).await;
            drop(load);
            stats.probes.fetch_add(1, Ordering::Relaxed);
            let Some(outcome) = outcome(result.as_ref().map(|()| began.elapsed())) else { return };
            if matches!(outcome, Outcome::Failed(_) | Outcome::Doubtful(_)) {
                stats.probe_failures.fetch_add(1, Ordering::Relaxed);
            }
            tracing::debug!(exit = %exit.name, ?outcome, "an exit was probed");
            dialer.health.learn_from_probe(&exit, outcome, Instant::now());
        }
    }
}

async fn probe(dialer: &Dialer, exit: &Exit, target: Option<&Target>) -> Result<(), DialError> {
    let until = Instant::now() + dialer.connect_timeout;
    let (address, credentials) = match &exit.kind {
        ExitKind::Direct { bind_ip: None } => return Ok(()),
        ExitKind::Direct { bind_ip: Some(ip) } => {
            let leave = Leave::From(*ip);
            let bound = leave.socket(ip.is_ipv4());
            return bound.map(|_| ()).map_err(|error| direct_failure(&error, leave));
        }
        ExitKind::Http { address, credentials } | ExitKind::Socks5 { address, credentials } => {
            (address, credentials.as_ref())
        }
    };
    let stream = timeout_at(until, dialer.to_exit(address)).await.unwrap_or_else(|_| Err(silent_exit()))?;
    match (target, &exit.kind) {
        (Some(target), kind) => {
            let login = login(credentials, exit, &RouteParams::default());
            let asked = timeout_at(until, dialer.ask(kind, &stream, target, login.as_ref())).await;
            asked.unwrap_or_else(|_| Err(silence_behind())).map(|_| ())
        }
        (None, ExitKind::Socks5 { .. }) => {
            let greeted = timeout_at(until, chain::socks5_greeting(&stream, credentials.is_some())).await;
            greeted.unwrap_or_else(|_| Err(silent_exit()))
        }
        (None, ExitKind::Http { .. } | ExitKind::Direct { .. }) => Ok(()),
    }
}
