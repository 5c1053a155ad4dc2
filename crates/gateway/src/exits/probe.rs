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
use tokio::time::{Instant, sleep_until};
use tollgate_types::{Directory, Exit, ExitKind};
use tollgate_wire::target::Target;

use crate::dial::Dialer;
use crate::exits::attempt::outcome;
use crate::exits::health::{Health, Load, Outcome};
use crate::stats::Stats;

/// Probes that are under way at once.
const AT_ONCE: usize = 16;

/// Probes the exits of one gateway.
pub(crate) struct Prober {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) health: Arc<Health>,
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
            let is_wanted = self.health.wants_probe(exit.id, self.interval, now);
            if let Some(load) = self.health.enter_probe(&exit, now).filter(|_| is_wanted) {
                running.spawn(self.one(exit, load));
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// The exits that should be probed, in any order.
    fn due(&mut self, now: Instant) -> Vec<Arc<Exit>> {
        let directory = self.directory.borrow().clone();
        let can_be = |exit: &&Arc<Exit>| !matches!(exit.kind, ExitKind::Direct { bind_ip: None });
        let wants = |exit: &&Arc<Exit>| self.health.wants_probe(exit.id, self.interval, now);
        let mut due: Vec<_> = directory.exits.all().filter(can_be).filter(wants).cloned().collect();
        due.shuffle(&mut self.random);
        due
    }

    fn one(&self, exit: Arc<Exit>, load: Load) -> impl Future<Output = ()> + Send + use<> {
        let (dialer, health) = (self.dialer.clone(), self.health.clone());
        let (target, stats) = (self.target.clone(), self.stats.clone());
        async move {
            let began = Instant::now();
            let result = dialer.probe(&exit, target.as_ref()).await;
            drop(load);
            stats.probes.fetch_add(1, Ordering::Relaxed);
            let Some(outcome) = outcome(result.as_ref().map(|()| began.elapsed())) else { return };
            if matches!(outcome, Outcome::Failed(_) | Outcome::Doubtful(_)) {
                stats.probe_failures.fetch_add(1, Ordering::Relaxed);
            }
            tracing::debug!(exit = %exit.name, ?outcome, "an exit was probed");
            health.learn_from_probe(&exit, outcome, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::SeedableRng;
    use tokio::time::sleep;
    use tollgate_types::{AccountId, ExitId, PasswordKey, Pools, ProxyType};

    use super::*;
    use crate::dial::{Guard, Resolver};

    const INTERVAL: Duration = Duration::from_secs(10);

    /// So many exits that leave from loopback.
    fn directory(count: i64) -> Directory {
        let exit = |id| Exit {
            id: ExitId::new(id),
            name: format!("exit {id}"),
            proxy_type: ProxyType::Residential,
            kind: ExitKind::Direct { bind_ip: Some([127, 0, 0, 1].into()) },
            country: "us".parse().unwrap(),
            state: String::new(),
            city: String::new(),
            asn: 0,
            weight: 1,
            max_connections: 0,
        };
        let mut directory = Directory::empty(PasswordKey::new([0; 32]));
        directory.exits = Arc::new(Pools::new((1..=count).map(exit)));
        directory
    }

    fn prober(count: i64) -> Prober {
        let dialer = Dialer {
            resolver: Resolver::new(HashMap::new(), &[], 1, INTERVAL),
            guard: Guard::default(),
            connect_timeout: INTERVAL,
            head_bytes: 1024,
        };
        Prober {
            dialer: Arc::new(dialer),
            health: Arc::new(Health::new(Instant::now())),
            directory: watch::channel(Arc::new(directory(count))).1,
            target: None,
            interval: INTERVAL,
            random: StdRng::from_seed([1; 32]),
            stats: Arc::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_of_idle_exits_are_probed_one_after_the_other_and_once_an_interval() {
        let prober = prober(3_000);
        let stats = prober.stats.clone();
        let probes = || stats.probes.load(Ordering::Relaxed);
        let running = tokio::spawn(prober.run());
        sleep(INTERVAL / 2).await;
        assert!((1_000..=2_100).contains(&probes()), "{}", probes());
        sleep(INTERVAL * 10 - INTERVAL / 2).await;
        assert!((3_000 * 8..=3_000 * 13).contains(&probes()), "{}", probes());
        assert_eq!(stats.probe_failures.load(Ordering::Relaxed), 0);
        running.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn exits_that_customers_use_are_left_alone() {
        let prober = prober(10);
        let (stats, health) = (prober.stats.clone(), prober.health.clone());
        let exits: Vec<_> = prober.directory.borrow().exits.all().cloned().collect();
        let running = tokio::spawn(prober.run());
        for _ in 0..20 {
            for exit in exits.iter().skip(1) {
                let connected = Outcome::Connected(Duration::from_millis(1));
                health.learn(exit, connected, AccountId::new(1), Instant::now());
            }
            sleep(INTERVAL / 4).await;
        }
        assert!((3..=7).contains(&stats.probes.load(Ordering::Relaxed)));
        running.abort();
    }
}
