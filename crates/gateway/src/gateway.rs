//! The gateway as a whole: started from its settings, asked how it is doing, drained.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard as Loaded};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tollgate_types::{
    BootId, Clock, ConnectionId, Directory, Exit, ExitId, GatewayId, LeaseDenied, Refusal, StaticProtocol,
    Unavailable,
};
use tollgate_wire::http::Limits;
use tollgate_wire::target::Target;
use tollgate_wire::username;

use crate::admit::{Guest, Guests, Places, Ticket};
use crate::attempts::{Attempts, Login, Look};
use crate::certs::Certificates;
use crate::config::GatewayConfig;
use crate::control::Control;
use crate::dial::Dialer;
use crate::entrance::Entrance;
use crate::funds::{Funds, denial};
use crate::guard::Guard;
use crate::health::{ExitStatus, Health};
use crate::identify::{Caller, Proof, Service, TurnedAway, identify};
use crate::inherit::Inherited;
use crate::journal::Journal;
use crate::limits::{Bandwidth, GatewayLimits};
use crate::live::{ConnectionInfo, ConnectionView, Live};
use crate::ports::{Grounds, Ports};
use crate::probe::Prober;
use crate::purses::Purses;
use crate::refuse::{Notes, Refused, collect};
use crate::resolve::Resolver;
use crate::revoke;
use crate::seats::{Seat, Seats};
use crate::session_file::SessionFile;
use crate::sessions::Sessions;
use crate::spare::Spare;
use crate::start::{StartError, bind, inherit_static};
use crate::statics;
use crate::stats::Stats;
use crate::tally::Tallies;

/// How often a control plane that is away is tried at the start.
const RECOVER_AGAIN: Duration = Duration::from_millis(500);
/// How long connections that must end may take to do so.
const LAST_CONNECTIONS: Duration = Duration::from_secs(2);

/// How far the gateway's life has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Nothing new is taken.
    Draining,
    /// What still runs ends now.
    Stopped,
}

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

/// What every connection needs.
pub(crate) struct Shared<C: Control> {
    pub(crate) config: GatewayConfig,
    limits: ArcSwap<GatewayLimits>,
    directory: watch::Receiver<Arc<Directory>>,
    purses: Arc<Purses<C>>,
    tallies: Arc<Tallies<C>>,
    live: Arc<Live>,
    pub(crate) stats: Arc<Stats>,
    /// What belongs to static proxies here.
    pub(crate) grounds: Arc<Grounds>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) health: Arc<Health>,
    /// Where there is one, TLS is spoken to clients.
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) sessions: Arc<Sessions>,
    session_file: Arc<SessionFile>,
    attempts: Attempts,
    places: Arc<Places>,
    /// UDP associations, which are connections too.
    pub(crate) associations: Arc<Places>,
    /// Everybody who accepts connections listens to it, until he does not any more.
    pub(crate) accepting: watch::Sender<()>,
    /// What is left when no file descriptors are.
    pub(crate) spare: Spare,
    /// Who comes, by address.
    guests: Arc<Guests>,
    /// One for each client connection.
    seats: Arc<Seats>,
    notes: Notes,
    random: Mutex<StdRng>,
    pub(crate) clock: Arc<dyn Clock>,
    phase: watch::Receiver<Phase>,
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

    /// The same with sockets that are listening already. Each becomes the port of the setting with
    /// its address; those on every address of the machine that are no setting's are for static
    /// proxies, and what is left is closed.
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
        let (phase, phases) = watch::channel(Phase::Running);
        let parts =
            Parts { folder: run.folder, control, purses, stats, certificates, random, clock, phase: phases };
        let shared = Arc::new(Shared::new(config, &addresses, parts));
        let keepers = shared.keep();
        for port in ports {
            tokio::spawn(port.accept(shared.clone()));
        }
        if shared.config.static_proxies {
            let mut ports = Ports::new(shared.clone(), shared.directory.clone());
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
            self.shared.accepting.closed().await;
            self.shared.seats.all_free().await;
        };
        if timeout(self.shared.config.drain_timeout, done).await.is_err() {
            self.phase.send_replace(Phase::Stopped);
            self.shared.live.cut_all();
            // A connection that is dropped gives back what it holds; that takes no time to speak of.
            let _ = timeout(LAST_CONNECTIONS, self.shared.seats.all_free()).await;
        }
        for keeper in &self.keepers {
            keeper.abort();
        }
        let saved = self.shared.session_file.clone().save_if_changed();
        let (settled, (), _) = tokio::join!(self.shared.purses.drain(), self.shared.tallies.drain(), saved);
        settled
    }

    /// Where it listens, in the order of [`GatewayConfig::listeners`].
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The live connections.
    pub fn connections(&self) -> Vec<ConnectionView> {
        self.shared.live.list()
    }

    /// Ends a live connection; false where there is none of that id.
    pub fn close(&self, id: ConnectionId) -> bool {
        self.shared.live.close(id)
    }

    /// How each configured exit is doing, as seen from here.
    pub fn exit_status(&self) -> Vec<(ExitId, ExitStatus)> {
        let now = Instant::now();
        let directory = self.shared.directory();
        let status = |exit: &Arc<Exit>| (exit.id, self.shared.health.status(exit.id, now));
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
        self.shared.limits.load_full()
    }

    /// Who has connections, and how many.
    pub fn presence(&self) -> Presence {
        let (callers, accounts) = self.shared.places.count();
        Presence {
            clients: self.shared.seats.taken(),
            connections: self.shared.live.count(),
            accounts,
            callers,
            addresses: self.shared.guests.count(),
            logins_held_back: self.shared.attempts.held(),
        }
    }

    /// Looks now whether the files of the certificate have changed, which is done every few seconds
    /// anyway, and reads them if so. What comes of it is said in the log; where they are of no use, the
    /// certificate stays the one before.
    pub async fn reload_certificate(&self) {
        if let Some(certificates) = &self.shared.certificates {
            certificates.look_aside().await;
        }
    }

    /// Its counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.shared.stats
    }
}

/// What a gateway is put together from.
struct Parts<'p, C: Control> {
    folder: &'p Path,
    control: Arc<C>,
    purses: Arc<Purses<C>>,
    stats: Arc<Stats>,
    certificates: Option<Arc<Certificates>>,
    random: StdRng,
    clock: Arc<dyn Clock>,
    phase: watch::Receiver<Phase>,
}

impl<C: Control> Shared<C> {
    fn new(config: GatewayConfig, listening: &[SocketAddr], parts: Parts<'_, C>) -> Self {
        let health = Arc::new(Health::new(Instant::now()));
        let sessions = Arc::new(Sessions::new(config.max_sessions));
        let session_file =
            SessionFile::open(parts.folder, config.max_sessions, sessions.clone(), parts.clock.clone());
        let own = listening.iter().chain(&config.own_addresses).copied().collect();
        let grounds = Arc::new(Grounds::new(parts.control.directory()));
        let guard = Guard::new(config.allow_destinations.clone(), config.blocked_ports.clone(), own);
        let dialer = Dialer {
            resolver: Resolver::new(
                config.hosts.clone(),
                &config.dns_servers,
                config.dns_cache_entries,
                config.dns_timeout,
            ),
            guard: guard.with_statics(grounds.clone()),
            health: health.clone(),
            connect_timeout: config.connect_timeout,
            head_bytes: config.limits.head_bytes,
        };
        let places = Places::new(config.limits.bandwidth, parts.stats.clone());
        // Their bytes are those of connections.
        let associations = Places::new(Bandwidth::default(), parts.stats.clone());
        let live = Live::new(parts.control.directory(), parts.clock.clone());
        live.set_longest(config.limits.max_connection_time);
        let (gateway, boot) = (parts.purses.gateway, parts.purses.boot);
        let tallies = Tallies::new(parts.control.clone(), gateway, boot, parts.stats.clone());
        Self {
            directory: parts.control.directory(),
            purses: parts.purses,
            tallies: Arc::new(tallies),
            live: Arc::new(live),
            stats: parts.stats,
            grounds,
            dialer: Arc::new(dialer),
            health,
            certificates: parts.certificates,
            sessions,
            session_file: Arc::new(session_file),
            attempts: Attempts::default(),
            places: Arc::new(places),
            associations: Arc::new(associations),
            accepting: watch::Sender::new(()),
            spare: Spare::new(),
            guests: Arc::new(Guests::new()),
            seats: Arc::default(),
            limits: ArcSwap::from_pointee(config.limits.clone()),
            notes: collect(parts.control),
            random: Mutex::new(parts.random),
            clock: parts.clock,
            phase: parts.phase,
            config,
        }
    }

    /// Starts what runs beside the connections: reporting, and cutting who lost a right.
    fn keep(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let purses = self.purses.clone();
        let reporting = tokio::spawn(async move { purses.run().await });
        let tallies = self.tallies.clone();
        let telling = tokio::spawn(async move { tallies.run().await });
        let revoking = revoke::watch(self.directory.clone(), self.live.clone(), self.purses.clone());
        let tidying = tidy(self.directory.clone(), self.health.clone());
        let saving = self.session_file.clone().run();
        let mut keepers =
            vec![reporting, telling, tokio::spawn(revoking), tokio::spawn(tidying), tokio::spawn(saving)];
        if !self.config.probe_interval.is_zero() {
            keepers.push(tokio::spawn(self.prober().run()));
        }
        keepers.extend(self.certificates.clone().map(|certificates| tokio::spawn(certificates.watch())));
        keepers
    }

    fn prober(&self) -> Prober {
        let mut seed = [0; 32];
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut seed);
        Prober {
            dialer: self.dialer.clone(),
            directory: self.directory.clone(),
            target: self.config.probe_target.clone(),
            interval: self.config.probe_interval,
            random: StdRng::from_seed(seed),
            stats: self.stats.clone(),
        }
    }

    /// The limits as they are now.
    pub(crate) fn limits(&self) -> Loaded<Arc<GatewayLimits>> {
        self.limits.load()
    }

    fn reconfigure(&self, limits: GatewayLimits) {
        self.places.set_bandwidth(limits.bandwidth);
        self.live.set_longest(limits.max_connection_time);
        self.limits.store(Arc::new(limits));
        // Some may have lived too long by now.
        self.live.recheck();
    }

    /// Whether connections from there begin with a PROXY header.
    pub(crate) fn is_front(&self, peer: IpAddr) -> bool {
        self.config.proxy_protocol_from.iter().any(|range| range.contains(peer))
    }

    /// Counts one more connection of an address, where they are counted; `None` where a cap keeps it
    /// out.
    pub(crate) fn let_in(&self, peer: IpAddr) -> Option<Option<Guest>> {
        let caps = self.limits().per_address;
        self.guests.enter(peer, caps).inspect_err(|limit| self.stats.limited(*limit)).ok()
    }

    /// Whether somebody is served where a connection came in, which is counted.
    pub(crate) fn counts_as_entrance(&self, entrance: Entrance) -> bool {
        let Entrance::Static(local) = entrance else { return true };
        let is_proxy = self.directory().static_at(local).is_some();
        let counter = if is_proxy { &self.stats.static_accepted } else { &self.stats.static_strays };
        counter.fetch_add(1, Ordering::Relaxed);
        is_proxy
    }

    /// A seat for one more client connection, if there is one; always one at least.
    pub(crate) fn seat(&self) -> Option<Seat> {
        let seat = self.seats.take(self.limits().max_connections.max(1));
        if seat.is_none() {
            self.stats.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        seat
    }

    /// The newest picture. A connection looks at one for each decision.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.borrow().clone()
    }

    /// The largest heads that are taken.
    pub(crate) fn head_limits(&self) -> Limits {
        let limits = self.limits();
        Limits { head_bytes: limits.head_bytes, fields: limits.head_fields }
    }

    /// Whether HTTP is spoken where a connection came in. Where a static proxy is gone meanwhile,
    /// nobody will be identified.
    pub(crate) fn speaks_http(&self, entrance: Entrance) -> bool {
        self.protocol_at(entrance).is_none_or(StaticProtocol::speaks_http)
    }

    /// The same of SOCKS5.
    pub(crate) fn speaks_socks5(&self, entrance: Entrance) -> bool {
        self.protocol_at(entrance).is_none_or(StaticProtocol::speaks_socks5)
    }

    /// What the static proxy speaks that a connection came to; `None` where it came to none.
    fn protocol_at(&self, entrance: Entrance) -> Option<StaticProtocol> {
        match entrance {
            Entrance::Metered(_) => None,
            Entrance::Static(local) => self.directory.borrow().static_at(local).map(|entry| entry.protocol),
        }
    }

    /// Who is calling. The answer to a failed login is held back for a while.
    pub(crate) async fn identify(
        &self,
        proof: &Proof,
        peer: IpAddr,
        entrance: Entrance,
    ) -> Result<Caller, TurnedAway> {
        let name = match (proof, entrance) {
            (Proof::Address, _) => return self.recognise(proof, peer, entrance),
            (Proof::Malformed, _) => "",
            (Proof::Credentials { user, .. }, Entrance::Metered(_)) => username::name(user),
            (Proof::Credentials { user, .. }, Entrance::Static(_)) => user.as_str(),
        };
        let login = self.attempts.login(peer, (name, matches!(entrance, Entrance::Static(_))));
        let (answer, delay) = self.look_at(login, proof, peer, entrance);
        if self.attempts.hold_back(delay).await {
            self.stats.logins_delayed.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// What a login comes to, and how long the answer is held back.
    fn look_at(
        &self,
        login: Login,
        proof: &Proof,
        peer: IpAddr,
        entrance: Entrance,
    ) -> (Result<Caller, TurnedAway>, Duration) {
        let (now, limits) = (Instant::now(), self.limits());
        let look = self.attempts.look(login, &limits, now);
        if look == Look::No {
            return (Err(too_many_attempts()), limits.failed_login_delay);
        }
        let answer = self.recognise(proof, peer, entrance);
        match &answer {
            Ok(_) => self.attempts.succeeded(login, &limits, now),
            Err(no) if no.failed_login => {
                let delay = self.attempts.failed(login, &limits, now);
                let is_seen = look == Look::Yes;
                return if is_seen { (answer, delay) } else { (Err(too_many_attempts()), delay) };
            }
            Err(_) => {}
        }
        (answer, Duration::ZERO)
    }

    /// Looks a caller up in the newest picture.
    fn recognise(&self, proof: &Proof, peer: IpAddr, entrance: Entrance) -> Result<Caller, TurnedAway> {
        let directory = self.directory();
        match entrance {
            Entrance::Metered(port_type) => identify(&directory, proof, peer, port_type),
            Entrance::Static(local) => statics::identify(&directory, local, proof, peer, self.clock.now()),
        }
    }

    /// Rights and caps: a ticket, or a refusal.
    pub(crate) async fn admit(
        &self,
        caller: Caller,
        peer: SocketAddr,
        target: &Target,
        protocol: &'static str,
    ) -> Result<Ticket, Refused> {
        let stopped = || Refused::caller(&caller, Refusal::Unavailable, "the gateway has stopped");
        // While the gateway drains, who was accepted before is served.
        if self.has_stopped() {
            return Err(stopped());
        }
        let place = self.places.take(&caller, &self.limits(), Instant::now()).map_err(|limit| {
            self.stats.limited(limit);
            Refused::caller(&caller, Refusal::TooManyConnections, limit.detail())
        })?;
        let no_funds = |denied: LeaseDenied| Refused::caller(&caller, denied.refusal(), denial(denied));
        let funds = match &caller.service {
            Service::Metered { payer, .. } => Funds::Purse(self.purses.open(*payer).await.map_err(no_funds)?),
            Service::Static(entry) => Funds::Tally(self.tallies.open(entry.id)),
        };
        let (account, sub_account) = caller.who();
        let info = ConnectionInfo {
            account,
            sub_account,
            traffic: caller.traffic(),
            username: caller.username.clone(),
            client: peer,
            target: target.to_string(),
            protocol,
            since: self.clock.now(),
        };
        let live = self.live.enter(info, funds.clone(), caller.admission.clone(), self.stats.clone());
        // Looked at after it is in: either it is found by who cuts all of them, or the stop is found here.
        if self.has_stopped() {
            return Err(stopped());
        }
        Ok(Ticket { caller, funds, live, place })
    }

    /// A request was refused.
    pub(crate) fn refused(&self, refused: &Refused) {
        self.stats.refused(refused.refusal);
        self.notes.note(refused);
        tracing::debug!(refusal = %refused.refusal, detail = %refused.detail, "refused");
    }

    /// Whether nothing new is to be begun. Who was accepted before is still served, once.
    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    fn has_stopped(&self) -> bool {
        *self.phase.borrow() == Phase::Stopped
    }

    /// Resolves when nothing new is to be begun.
    pub(crate) async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    async fn reached(&self, phase: Phase) {
        // An error says that the gateway itself is gone.
        let _ = self.phase.clone().wait_for(|now| *now >= phase).await;
    }

    pub(crate) fn random(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

fn too_many_attempts() -> TurnedAway {
    let detail = "too many failed logins from this address".to_owned();
    TurnedAway { refusal: Refusal::TooManyAttempts, detail, who: None, failed_login: false }
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
