//! The platform in one process: whichever roles it plays, wired together, started and drained.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tollgate_api::{ApiState, Endpoints, Live, NoGateway, ServeLimits};
use tollgate_core::Core;
use tollgate_gateway::Inherited;
use tollgate_types::ProxyType;

use crate::courier::Post;
use crate::data_dir::{DataDir, DataDirLock, Token};
use crate::gateway_role::GatewayRole;
use crate::keeper::Keeper;
use crate::lifecycle::{Stop, Stopped};
use crate::mark::MarkFile;
use crate::metrics::{self, Readiness};
use crate::open::open;
use crate::settings::{Listen, Settings};
use crate::worker;

/// Connections at once on the port of machines.
const METRICS_CONNECTIONS: usize = 64;

/// Where a running process listens.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// The JSON API.
    pub api: Vec<SocketAddr>,
    /// The gateway's ports, each with its type; `None` where the user name says it.
    pub gateway: Vec<(SocketAddr, Option<ProxyType>)>,
    /// Metrics and health.
    pub metrics: Vec<SocketAddr>,
}

/// A running platform.
#[derive(Debug)]
pub struct Platform {
    core: Core,
    data: DataDir,
    /// Nobody else uses the data directory until everything has ended.
    lock: DataDirLock,
    admin_token: Token,
    addresses: Addresses,
    readiness: Readiness,
    gateway: Option<GatewayRole>,
    /// The API and the worker.
    roles: Group,
    /// What serves the others until the last moment: the directory, metrics.
    base: Group,
}

/// Tasks that are told to end together.
#[derive(Debug)]
struct Group {
    stop: Stop,
    stopped: Stopped,
    tasks: Vec<JoinHandle<()>>,
}

impl Platform {
    /// Opens everything, starts the roles, and returns once they can be reached: at the sockets that
    /// were inherited where the settings have their addresses, at new ones elsewhere.
    ///
    /// # Errors
    /// What could not be opened or listened on.
    pub async fn start(settings: &Settings, inherited: Inherited) -> anyhow::Result<Self> {
        let data = DataDir::open(&settings.general.data_dir)?;
        let lock = data.lock()?;
        let core = open(settings, &data).await?;
        match Self::start_on(settings, inherited, data, lock, core.clone()).await {
            Ok(platform) => Ok(platform),
            Err(error) => {
                core.db().close().await;
                Err(error)
            }
        }
    }

    async fn start_on(
        settings: &Settings,
        mut inherited: Inherited,
        data: DataDir,
        lock: DataDirLock,
        core: Core,
    ) -> anyhow::Result<Self> {
        let roles = settings.general.roles;
        // The API asks it what can be sent to, the worker has it send.
        if roles.api || roles.worker {
            core.employ(Arc::new(Post::new(&settings.notices)?));
        }
        let admin_token = admin_token(settings, &data)?;
        let sockets = &mut inherited;
        let api = if roles.api { bind("API", &settings.api.listen, sockets).await? } else { Vec::new() };
        let machines = bind("metrics", &settings.metrics.listen, sockets).await?;
        let mut addresses = Addresses { api: local(&api)?, metrics: local(&machines)?, gateway: Vec::new() };
        let mut base = Group::new();
        base.run_until_stopped(tollgate_core::directory::keep_fresh(core.clone()));
        let mut keeper = Keeper::new(core.clone(), MarkFile::of(&settings.database(), data.path()));
        let stopped = base.stopped.clone();
        base.tasks.push(tokio::spawn(async move {
            tokio::select! {
                () = keeper.run() => {}
                () = stopped.wait() => {}
            }
            keeper.finish().await;
        }));
        let mut gateway = None;
        if roles.gateway {
            let own = [addresses.api.as_slice(), &addresses.metrics].concat();
            let started = GatewayRole::start(&core, settings, inherited, &data, own).await?;
            addresses.gateway = started.addresses();
            gateway = Some(started);
        } else {
            inherited.close();
        }
        let readiness = Readiness::default();
        let api_state = roles.api.then(|| {
            let live: Arc<dyn Live> = gateway.as_ref().map_or(Arc::new(NoGateway), GatewayRole::live);
            ApiState::new(core.clone(), live, api_settings(settings, &admin_token, &addresses))
        });
        let mut sources = vec![metrics::of_db(core.db())];
        sources.extend(api_state.as_ref().map(metrics::of_api));
        sources.extend(gateway.as_ref().map(GatewayRole::metrics));
        let journal = gateway.as_ref().map(GatewayRole::journal_fails);
        let port = metrics::router(readiness.clone(), Some(core.db().clone()), journal, sources);
        base.serve(
            machines,
            &port,
            ServeLimits { connections: METRICS_CONNECTIONS, ..ServeLimits::default() },
        );
        let mut played = Group::new();
        if let Some(state) = api_state {
            played.serve(api, &tollgate_api::router(state), ServeLimits::default());
        }
        if roles.worker {
            let stopped = played.stopped.clone();
            played.tasks.push(tokio::spawn(worker::run(core.clone(), stopped)));
        }
        readiness.set(true);
        Ok(Self { core, data, lock, admin_token, addresses, readiness, gateway, roles: played, base })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The operator's token.
    pub fn admin_token(&self) -> &Token {
        &self.admin_token
    }

    /// Its data directory.
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// Takes what can be changed in a running process from settings that were read again.
    pub fn reconfigure(&self, settings: &Settings) {
        if let Some(gateway) = &self.gateway {
            gateway.reconfigure(settings);
        }
    }

    /// Looks whether the files of the gateway's certificate have changed.
    pub async fn reload_certificate(&self) {
        if let Some(gateway) = &self.gateway {
            gateway.reload_certificate().await;
        }
    }

    /// Drains: takes nothing new, lets what runs go on for a while, settles all usage, closes the
    /// database.
    pub async fn stop(self) {
        self.readiness.set(false);
        self.roles.stop.stop();
        if let Some(gateway) = &self.gateway {
            gateway.drain().await;
        }
        self.roles.end().await;
        self.base.end().await;
        self.core.db().close().await;
        drop(self.lock);
    }
}

impl Group {
    fn new() -> Self {
        let (stop, stopped) = Stop::new();
        Self { stop, stopped, tasks: Vec::new() }
    }

    fn serve(&mut self, listeners: Vec<TcpListener>, router: &axum::Router, limits: ServeLimits) {
        for listener in listeners {
            let stopped = self.stopped.clone().wait();
            self.tasks.push(tokio::spawn(tollgate_api::serve(listener, router.clone(), limits, stopped)));
        }
    }

    fn run_until_stopped(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        self.tasks.push(tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                () = stopped.wait() => {}
            }
        }));
    }

    async fn end(self) {
        self.stop.stop();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task did not end well");
            }
        }
    }
}

fn admin_token(settings: &Settings, data: &DataDir) -> anyhow::Result<Token> {
    match &settings.general.admin_token {
        Some(token) => Ok(Token { token: token.0.clone(), fresh: false }),
        None => Ok(data.admin_token()?),
    }
}

fn api_settings(settings: &Settings, token: &Token, addresses: &Addresses) -> tollgate_api::Settings {
    let secret: &SecretString = &token.token;
    let mut api = tollgate_api::Settings::new(tollgate_api::AdminToken::new(secret.expose_secret()));
    api.calls_per_minute = settings.api.rate_limit;
    api.endpoints = endpoints(settings, addresses);
    api.cors_origins = settings.api.cors_origins.0.clone();
    api.forwarded_from = settings.api.forwarded_from.0.clone();
    api
}

/// What customers are told of the gateway: where this process listens, or, where it plays another
/// role, where its settings say that the gateway does.
fn endpoints(settings: &Settings, addresses: &Addresses) -> Endpoints {
    let gateway = &settings.gateway;
    let port = |of: Option<ProxyType>, configured: &Listen| {
        let listening = addresses.gateway.iter().find(|(_, proxy_type)| *proxy_type == of);
        listening.map(|(address, _)| address).or(configured.0.first()).map(SocketAddr::port)
    };
    let first = addresses.gateway.first().map(|(address, _)| *address).or(gateway.listen.0.first().copied());
    let host = gateway.public_host.clone().or(first.map(|address| address.ip().to_string()));
    Endpoints {
        host: host.unwrap_or_default(),
        any: port(None, &gateway.listen),
        residential: port(Some(ProxyType::Residential), &gateway.residential),
        datacenter: port(Some(ProxyType::Datacenter), &gateway.datacenter),
        mobile: port(Some(ProxyType::Mobile), &gateway.mobile),
    }
}

async fn bind(what: &str, listen: &Listen, inherited: &mut Inherited) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in &listen.0 {
        let bound = match inherited.take(*address) {
            Some(socket) => TcpListener::from_std(socket),
            None => TcpListener::bind(address).await,
        };
        listeners.push(bound.with_context(|| format!("the {what} cannot listen on {address}"))?);
    }
    Ok(listeners)
}

fn local(listeners: &[TcpListener]) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses = listeners.iter().map(TcpListener::local_addr);
    addresses.collect::<Result<_, _>>().context("a listener has no address")
}
