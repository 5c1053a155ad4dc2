//! The parts of a gateway, put together: each room's step gets the few handles that it needs.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tollgate_types::{Clock, Directory, ExitId};
use tollgate_wire::target::Target;

use crate::client::{Certificates, Client, ProtocolSettings, Server, converse};
use crate::config::GatewayConfig;
use crate::control::Control;
use crate::dial::{Dialer, Grounds, Guard, Resolver};
use crate::entry::{
    Attempts, CallerSlots, ClientAddresses, Handshakes, Live, Logins, Refusals, Rights, collect, revoke,
};
use crate::exits::{Exits, Health, Prober, SessionFile, Sessions};
use crate::funds::{Purses, Tallies};
use crate::lifecycle::Lifecycle;
use crate::limits::{Bandwidth, CurrentLimits, GatewayLimits};
use crate::listen::{Intake, Serve, Spare, introduce};
use crate::random::Random;
use crate::serve::Steps;
use crate::slots::ConnectionSlots;
use crate::stats::Stats;

/// What a gateway is put together from, beside its settings.
pub(crate) struct Parts<'p, C: Control> {
    pub(crate) folder: &'p Path,
    pub(crate) control: Arc<C>,
    pub(crate) purses: Arc<Purses<C>>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) random: Random,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lifecycle: Lifecycle,
}

/// A gateway that has been put together.
pub(crate) struct Shared<C: Control> {
    pub(crate) intake: Arc<Intake>,
    pub(crate) server: Arc<Server<C>>,
    /// What belongs to static proxies here.
    pub(crate) grounds: Arc<Grounds>,
    pub(crate) session_file: Arc<SessionFile>,
    /// [`GatewayConfig::drain_timeout`].
    pub(crate) drain_timeout: Duration,
    probe_interval: Duration,
    probe_target: Option<Target>,
}

impl<C: Control> Shared<C> {
    /// Puts a gateway together that listens at `listening`.
    pub(crate) fn new(config: GatewayConfig, listening: &[SocketAddr], parts: Parts<'_, C>) -> Self {
        let directory = parts.control.directory();
        let grounds = Arc::new(Grounds::new(directory.clone()));
        let limits = CurrentLimits::new(config.limits.clone());
        let slots = ConnectionSlots::new(limits.clone(), parts.stats.clone());
        let intake = intake(&config, &limits, &slots, &parts);
        let sessions = Arc::new(Sessions::new(config.max_sessions));
        let session_file =
            SessionFile::open(parts.folder, config.max_sessions, sessions.clone(), parts.clock.clone());
        let (drain_timeout, probe_interval) = (config.drain_timeout, config.probe_interval);
        let probe_target = config.probe_target.clone();
        let dialer = Arc::new(dialer(&config, listening, grounds.clone()));
        let server = Server {
            settings: protocol_settings(&config),
            certificates: parts.certificates.clone(),
            handshakes: Arc::new(Handshakes::new(limits.clone(), parts.stats.clone())),
            directory,
            slots,
            // Their bytes are those of connections.
            associations: Arc::new(CallerSlots::new(Bandwidth::default(), parts.stats.clone())),
            limits: limits.clone(),
            lifecycle: parts.lifecycle.clone(),
            stats: parts.stats.clone(),
            random: parts.random.clone(),
            steps: steps(&config, limits, sessions, dialer, parts),
        };
        Self {
            intake: Arc::new(intake),
            server: Arc::new(server),
            grounds,
            session_file: Arc::new(session_file),
            drain_timeout,
            probe_interval,
            probe_target,
        }
    }

    /// What admitting needs: the funds and the live connections among it.
    pub(crate) fn rights(&self) -> &Rights<C> {
        &self.server.steps.rights
    }

    /// Returns what is done with each connection that is taken in.
    pub(crate) fn serve(self: &Arc<Self>) -> impl Serve + use<C> {
        let shared = self.clone();
        move |client| run(client, shared.clone())
    }

    /// Starts what runs beside the connections: reporting, and cutting who lost a right.
    pub(crate) fn keep(&self) -> Vec<JoinHandle<()>> {
        let rights = self.rights();
        let purses = rights.purses.clone();
        let reporting = tokio::spawn(async move { purses.run().await });
        let tallies = rights.tallies.clone();
        let telling = tokio::spawn(async move { tallies.run().await });
        let revoking = revoke(self.intake.directory.clone(), rights.live.clone(), rights.purses.clone());
        let tidying = tidy(self.intake.directory.clone(), self.server.steps.exits.health.clone());
        let saving = self.session_file.clone().run();
        let mut keepers =
            vec![reporting, telling, tokio::spawn(revoking), tokio::spawn(tidying), tokio::spawn(saving)];
        keepers.extend(self.prober().map(|prober| tokio::spawn(prober.run())));
        keepers
            .extend(self.server.certificates.clone().map(|certificates| tokio::spawn(certificates.watch())));
        keepers
    }

    fn prober(&self) -> Option<Prober> {
        let exits = &self.server.steps.exits;
        (!self.probe_interval.is_zero()).then(|| Prober {
            dialer: exits.dialer.clone(),
            health: exits.health.clone(),
            directory: self.intake.directory.clone(),
            target: self.probe_target.clone(),
            interval: self.probe_interval,
            random: StdRng::from_seed(exits.random.seed()),
            stats: self.intake.stats.clone(),
        })
    }

    /// Has other limits hold from now on.
    pub(crate) fn reconfigure(&self, limits: GatewayLimits) {
        let rights = self.rights();
        rights.slots.set_bandwidth(limits.bandwidth);
        rights.live.set_longest(limits.max_connection_time);
        self.intake.limits.set(limits);
        // Some may have lived too long by now.
        rights.live.recheck();
    }
}

fn intake<C: Control>(
    config: &GatewayConfig,
    limits: &CurrentLimits,
    slots: &ConnectionSlots,
    parts: &Parts<'_, C>,
) -> Intake {
    Intake {
        directory: parts.control.directory(),
        fronts: config.proxy_protocol_from.clone(),
        slots: slots.clone(),
        addresses: Arc::new(ClientAddresses::new()),
        spare: Spare::new(),
        accepting: watch::Sender::new(()),
        limits: limits.clone(),
        lifecycle: parts.lifecycle.clone(),
        stats: parts.stats.clone(),
    }
}

fn protocol_settings(config: &GatewayConfig) -> ProtocolSettings {
    ProtocolSettings {
        http2_streams: config.http2_streams,
        socks4: config.socks4,
        udp: config.udp,
        udp_associations_per_caller: config.udp_associations_per_caller,
        udp_public_address: config.udp_public_address,
    }
}

fn dialer(config: &GatewayConfig, listening: &[SocketAddr], grounds: Arc<Grounds>) -> Dialer {
    let own = listening.iter().chain(&config.own_addresses).copied().collect();
    let guard = Guard::new(config.allow_destinations.clone(), config.blocked_ports.clone(), own);
    Dialer {
        resolver: Resolver::new(
            config.hosts.clone(),
            &config.dns_servers,
            config.dns_cache_entries,
            config.dns_timeout,
        ),
        guard: guard.with_statics(grounds),
        connect_timeout: config.connect_timeout,
        head_bytes: config.limits.head_bytes,
    }
}

fn steps<C: Control>(
    config: &GatewayConfig,
    limits: CurrentLimits,
    sessions: Arc<Sessions>,
    dialer: Arc<Dialer>,
    parts: Parts<'_, C>,
) -> Steps<C> {
    let directory = parts.control.directory();
    let logins = Logins {
        directory: directory.clone(),
        attempts: Attempts::default(),
        limits: limits.clone(),
        stats: parts.stats.clone(),
        clock: parts.clock.clone(),
    };
    let exits = Exits {
        directory: directory.clone(),
        health: Arc::new(Health::new(Instant::now())),
        sessions,
        dialer,
        random: parts.random.clone(),
        clock: parts.clock.clone(),
    };
    let live = Live::new(directory, parts.clock.clone());
    live.set_longest(config.limits.max_connection_time);
    let (gateway, boot) = (parts.purses.gateway, parts.purses.boot);
    let tallies = Tallies::new(parts.control.clone(), gateway, boot, parts.stats.clone());
    let rights = Rights {
        slots: Arc::new(CallerSlots::new(config.limits.bandwidth, parts.stats.clone())),
        purses: parts.purses,
        tallies: Arc::new(tallies),
        live: Arc::new(live),
        lifecycle: parts.lifecycle,
        limits: limits.clone(),
        stats: parts.stats.clone(),
        clock: parts.clock,
    };
    let refusals = Refusals { notes: collect(parts.control), stats: parts.stats };
    Steps { logins, rights, exits, refusals, limits }
}

/// Serves one client.
async fn run<C: Control>(client: Client, shared: Arc<Shared<C>>) {
    // What it takes to get there is much more than a tunnel needs, which may rest for long: that has
    // memory of its own, which is given back when the tunnel stands.
    let served = Box::pin(async {
        match introduce(client, &shared.intake).await {
            Some(client) => converse(client, &shared.server).await,
            None => None,
        }
    });
    if let Some(tunnel) = served.await {
        tunnel.run(&shared.server).await;
    }
}

/// Forgets the health of exits that are gone from the directory. Changes of anything else in it cost
/// nothing here.
async fn tidy(mut directory: watch::Receiver<Arc<Directory>>, health: Arc<Health>) {
    let mut seen = directory.borrow().exits.clone();
    while directory.changed().await.is_ok() {
        let newest = directory.borrow_and_update().exits.clone();
        if !Arc::ptr_eq(&seen, &newest) {
            let configured: HashSet<ExitId> = newest.all().map(|exit| exit.id).collect();
            health.keep(|exit| configured.contains(&exit));
            seen = newest;
        }
    }
}
