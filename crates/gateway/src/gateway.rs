//! The gateway as a whole: started from its settings, asked how it is doing, drained.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tollgate_types::{BootId, Clock, ConnectionId, Exit, ExitId, GatewayId, Unavailable};

use crate::assemble::{Parts, Shared};
use crate::client::Certificates;
use crate::config::GatewayConfig;
use crate::control::Control;
use crate::entry::ConnectionView;
use crate::exits::ExitStatus;
use crate::funds::{Journal, Purses};
use crate::lifecycle::{Lifecycle, Phase};
use crate::limits::GatewayLimits;
use crate::listen::{Inherited, Ports};
use crate::random::Random;
use crate::start::{StartError, bind, inherit_static};
use crate::stats::Stats;

/// How often a control plane that is away is tried at the start.
const RECOVER_AGAIN: Duration = Duration::from_millis(500);
/// How long connections that must end may take to do so.
const LAST_CONNECTIONS: Duration = Duration::from_secs(2);

/// Where a gateway keeps its journal, and what makes its run different from every other.
#[derive(Clone, Copy, Debug)]
pub struct Run<'p> {
    /// The gateway's own folder.
    pub folder: &'p Path,
    /// Where chance comes from: exits without sessions, the gateway's id on its first start, the
    /// number of this run.
    pub seed: [u8; 32],
}

/// A running gateway.
pub struct Gateway<C: Control> {
    shared: Arc<Shared<C>>,
    addresses: Vec<SocketAddr>,
    phase: watch::Sender<Phase>,
    /// What runs beside the connections until the gateway stops.
    keepers: Vec<JoinHandle<()>>,
}

/// Who has connections now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Client connections, those included that have not said yet who they are.
    pub clients: usize,
    /// Admitted connections.
    pub connections: usize,
    /// Accounts with admitted connections.
    pub accounts: usize,
    /// Sub-accounts, listed addresses and static proxies with admitted connections.
    pub callers: usize,
    /// Addresses that connections come from, where there is a cap on them.
    pub addresses: usize,
    /// Failed logins whose answer is held back.
    pub logins_held_back: usize,
}

impl<C: Control> Gateway<C> {
    /// Binds every port, tells the control plane what the run before left in the journal (and waits
    /// for it as long as it is away), and begins to serve. A port of static proxies that cannot be
    /// bound is no error: it is tried again.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: GatewayConfig,
        control: Arc<C>,
        run: Run<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        Self::start_on(Inherited::default(), config, control, run, clock).await
    }

    /// Does what [`start`](Self::start) does, with sockets that are listening already. Each of
    /// `inherited` becomes the port of the setting with its address; those on every address of the
    /// machine that are no setting's are for static proxies, and what is left is closed.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_on(
        mut inherited: Inherited,
        config: GatewayConfig,
        control: Arc<C>,
        run: Run<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let certificates = config.certificate.clone().map(Certificates::load).transpose()?.map(Arc::new);
        let (ports, addresses) = bind(&config.listeners, &mut inherited)?;
        let static_ports = if config.static_proxies { inherit_static(&mut inherited)? } else { Vec::new() };
        inherited.close();
        let mut random = StdRng::from_seed(run.seed);
        let fresh_id = GatewayId::new(positive(&mut random));
        let boot = BootId::new(positive(&mut random));
        let journal = Journal::open(run.folder, fresh_id).map_err(StartError::Journal)?;
        let stats = Arc::new(Stats::default());
        let purses = Purses::new(control.clone(), boot, journal, stats.clone());
        recover(&purses).await;
        let (phase, lifecycle) = Lifecycle::new();
        let random = Random::new(random);
        let parts =
            Parts { folder: run.folder, control, purses, stats, certificates, random, clock, lifecycle };
        let serves_statics = config.static_proxies;
        let shared = Arc::new(Shared::new(config, &addresses, parts));
        let keepers = shared.keep();
        let serve = shared.serve();
        for port in ports {
            tokio::spawn(port.accept(shared.intake.clone(), serve.clone()));
        }
        if serves_statics {
            let mut ports = Ports::new(shared.intake.clone(), shared.grounds.clone(), serve);
            static_ports.into_iter().for_each(|(port, bound)| ports.inherit(port, bound));
            ports.match_directory();
            tokio::spawn(ports.run());
        }
        Ok(Self { shared, addresses, phase, keepers })
    }

    /// Stops accepting, lets running connections go on for the drain timeout, ends what is left,
    /// hands back every granted byte and settles everything. What static proxies have moved is told,
    /// too, if the control plane is there: it is no bill.
    ///
    /// # Errors
    /// The control plane is away: what is not settled stays in the journal for the next start.
    pub async fn drain(&self) -> Result<(), Unavailable> {
        self.phase.send_replace(Phase::Draining);
        let done = async {
            // Who still waits to be accepted comes in first.
            self.shared.intake.accepting.closed().await;
            self.shared.intake.slots.slots.all_free().await;
        };
        if timeout(self.shared.drain_timeout, done).await.is_err() {
            self.phase.send_replace(Phase::Stopped);
            self.shared.rights().live.cut_all();
            // A connection that is dropped gives back what it holds; that takes no time to speak of.
            let _ = timeout(LAST_CONNECTIONS, self.shared.intake.slots.slots.all_free()).await;
        }
        for keeper in &self.keepers {
            keeper.abort();
        }
        let saved = self.shared.session_file.clone().save_if_changed();
        let (settled, (), _) =
            tokio::join!(self.shared.rights().purses.drain(), self.shared.rights().tallies.drain(), saved);
        settled
    }

    /// Where it listens, in the order of [`GatewayConfig::listeners`].
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The live connections.
    pub fn connections(&self) -> Vec<ConnectionView> {
        self.shared.rights().live.list()
    }

    /// Ends a live connection; false where there is none of that id.
    pub fn close(&self, id: ConnectionId) -> bool {
        self.shared.rights().live.close(id)
    }

    /// How each configured exit is doing, as seen from here.
    pub fn exit_status(&self) -> Vec<(ExitId, ExitStatus)> {
        let now = Instant::now();
        let directory = self.shared.intake.directory.borrow().clone();
        let status = |exit: &Arc<Exit>| (exit.id, self.shared.server.steps.exits.health.status(exit.id, now));
        directory.exits.all().map(status).collect()
    }

    /// Has other limits hold from now on, for live connections as well where that makes sense: bytes go
    /// as fast as they may at once, connections that have lived too long are cut within a moment, and
    /// no connection is ended for a cap on how many there may be. Timeouts that run already run on.
    pub fn reconfigure(&self, limits: GatewayLimits) {
        self.shared.reconfigure(limits);
    }

    /// The limits that hold.
    pub fn limits(&self) -> Arc<GatewayLimits> {
        self.shared.intake.limits.kept()
    }

    /// Who has connections, and how many.
    pub fn presence(&self) -> Presence {
        let (callers, accounts) = self.shared.rights().slots.count();
        Presence {
            clients: self.shared.intake.slots.slots.taken(),
            connections: self.shared.rights().live.count(),
            accounts,
            callers,
            addresses: self.shared.intake.addresses.count(),
            logins_held_back: self.shared.server.steps.logins.attempts.held(),
        }
    }

    /// Looks now whether the files of the certificate have changed, which is done every few seconds
    /// anyway, and reads them if so. What comes of it is said in the log; where they are of no use, the
    /// certificate stays the one before.
    pub async fn reload_certificate(&self) {
        if let Some(certificates) = &self.shared.server.certificates {
            certificates.look_aside().await;
        }
    }

    /// Returns the counters of the gateway.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.shared.intake.stats
    }
}

/// Settles what the run before left, however long that takes: before it is settled the control plane
/// may still count its leases as held, and no byte may be forwarded.
async fn recover<C: Control>(purses: &Purses<C>) {
    while let Err(error) = purses.recover().await {
        tracing::warn!(%error, "waiting for the control plane");
        tokio::time::sleep(RECOVER_AGAIN).await;
    }
}

fn positive(random: &mut StdRng) -> i64 {
    i64::try_from(random.next_u64() >> 1).unwrap_or(1).max(1)
}
