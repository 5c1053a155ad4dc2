//! The one way out: resolve → check → connect to the very address that was checked, from a direct
//! exit or through an upstream proxy, trying the next exit where one fails by itself; or from a
//! static proxy's own address, which is no exit.
//!
//! **Through upstream proxies** names travel unresolved, so that they are resolved where the traffic
//! comes out; what can be judged without resolving is refused here (literal closed addresses, names
//! that mean the inside of a network). The addresses of the upstream proxies themselves are the
//! operator's own settings and are not subject to the guard.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tollgate_types::{AccountId, Exit, ExitCredentials, ExitId, ExitKind, Refusal};
use tollgate_wire::target::{Host, Target};
use tollgate_wire::username::RouteParams;

use crate::chain::{self, Login};
use crate::dial_error::{Blame, DialError, ExitTrouble, ResolveError};
use crate::guard::{Blocked, Guard};
use crate::health::{Health, Load, Outcome};
use crate::race::{Leave, race};
use crate::resolve::Resolver;
use crate::socket;
use crate::stream::Stream;
use crate::udp::Outlet;

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 6;

/// Dials for one gateway.
pub(crate) struct Dialer {
    pub(crate) resolver: Resolver,
    pub(crate) guard: Guard,
    pub(crate) health: Arc<Health>,
    /// For everything together: resolving, connecting, the upstream proxy's handshake, retries.
    pub(crate) connect_timeout: Duration,
    /// The largest head that an upstream proxy may answer with.
    pub(crate) head_bytes: usize,
}

/// A connection towards the target.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) stream: Stream,
    /// What the target said already while the upstream proxy was answering.
    pub(crate) early: Vec<u8>,
    /// The exit; `None` for static proxies.
    pub(crate) exit: Option<ExitId>,
    /// Whether it goes to the target itself, and not through an upstream proxy.
    straight: bool,
    _load: Option<Load>,
}

impl Upstream {
    /// Where it leaves from, as a SOCKS reply tells it: unspecified through upstream proxies.
    pub(crate) fn bound(&self) -> SocketAddr {
        let socket = self.stream.socket().filter(|_| self.straight);
        socket.and_then(|socket| socket.local_addr().ok()).unwrap_or(socket::UNSPECIFIED)
    }
}

impl Dialer {
    /// Connects to the target by the first exit that can, for an account.
    ///
    /// # Errors
    /// [`DialError`]: why the last exit that was tried failed; [`Blame::Crowd`] where none could be tried.
    pub(crate) async fn dial(
        &self,
        exits: &[Arc<Exit>],
        target: &Target,
        route: &RouteParams,
        who: AccountId,
    ) -> Result<Upstream, DialError> {
        self.guard.target(target)?;
        let deadline = Instant::now() + self.connect_timeout;
        let mut failed = None;
        for (index, exit) in exits.iter().enumerate() {
            let Some(load) = self.health.enter(exit) else { continue };
            let until = share_of(deadline, exit, exits.len() - index);
            match self.attempt(exit, target, route, who, until).await {
                Ok((stream, early, straight)) => {
                    let (exit, _load) = (Some(exit.id), Some(load));
                    return Ok(Upstream { stream: stream.into(), early, exit, straight, _load });
                }
                Err(error) => {
                    let next_may = self.may_go_on(exit.id, error.blame, route);
                    tracing::debug!(exit = %exit.name, refusal = %error.refusal, detail = %error.detail, "an exit failed");
                    failed = Some(error);
                    if !next_may || Instant::now() >= deadline {
                        break;
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| {
            DialError::new(Blame::Crowd, Refusal::NoExit, "every matching exit is down or full")
        }))
    }

    /// Whether another exit may be tried after a failure.
    fn may_go_on(&self, exit: ExitId, blame: Blame, route: &RouteParams) -> bool {
        match blame {
            Blame::Exit(_) => true,
            Blame::Target | Blame::Crowd => false,
            Blame::Unclear => route.session.is_none(),
            Blame::Doubtful(_) => {
                route.session.is_none() || !self.health.answers_others(exit, Instant::now())
            }
        }
    }

    /// Connects to the target from a static proxy's own address, which may be routed to this machine
    /// without being configured on it.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) async fn dial_from(
        &self,
        ip: IpAddr,
        target: &Target,
        who: AccountId,
    ) -> Result<Upstream, DialError> {
        self.guard.target(target)?;
        let way = self.direct(target, Leave::FromRouted(ip), who);
        let stream = timeout(self.connect_timeout, way).await.unwrap_or_else(|_| Err(silent_target()))?;
        Ok(Upstream { stream: stream.into(), early: Vec::new(), exit: None, straight: true, _load: None })
    }

    /// Opens the way of an association's datagrams by the first of these exits that can, all of them
    /// direct.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) fn outlet(&self, exits: &[Arc<Exit>], who: AccountId) -> Result<Outlet, DialError> {
        let mut failed = None;
        for exit in exits {
            let ExitKind::Direct { bind_ip } = exit.kind else { continue };
            let Some(load) = self.health.enter(exit) else { continue };
            match Outlet::direct(exit.id, load, bind_ip) {
                Ok(outlet) => return Ok(outlet),
                Err(error) if socket::is_exhaustion(&error) => return Err(own_limits()),
                Err(_) => {
                    let outcome = Outcome::Failed(ExitTrouble::NoLocalAddress);
                    self.health.learn(exit, outcome, who, Instant::now());
                    failed = Some(no_address());
                }
            }
        }
        Err(failed.unwrap_or_else(|| {
            DialError::new(Blame::Crowd, Refusal::NoExit, "every matching exit is down or full")
        }))
    }

    /// The same from a static proxy's own address.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) fn outlet_from(&self, ip: IpAddr) -> Result<Outlet, DialError> {
        let failure = |error| if socket::is_exhaustion(&error) { own_limits() } else { no_address() };
        Outlet::routed(ip).map_err(failure)
    }

    /// One try, by one exit; the exit's health learns from it.
    async fn attempt(
        &self,
        exit: &Exit,
        target: &Target,
        route: &RouteParams,
        who: AccountId,
        until: Instant,
    ) -> Result<(TcpStream, Vec<u8>, bool), DialError> {
        let began = Instant::now();
        let result = self.go(exit, target, route, who, until).await;
        if let Some(outcome) = outcome(result.as_ref().map(|_| began.elapsed())) {
            self.health.learn(exit, outcome, who, Instant::now());
        }
        result
    }

    async fn go(
        &self,
        exit: &Exit,
        target: &Target,
        route: &RouteParams,
        who: AccountId,
        until: Instant,
    ) -> Result<(TcpStream, Vec<u8>, bool), DialError> {
        let (address, credentials) = match &exit.kind {
            ExitKind::Direct { bind_ip } => {
                let way = self.direct(target, bind_ip.map_or(Leave::Any, Leave::From), who);
                let stream = timeout_at(until, way).await.unwrap_or_else(|_| Err(silent_target()))?;
                return Ok((stream, Vec::new(), true));
            }
            ExitKind::Http { address, credentials } | ExitKind::Socks5 { address, credentials } => {
                (address, credentials.as_ref())
            }
        };
        self.may_travel(target)?;
        let stream = timeout_at(until, self.to_exit(address)).await.unwrap_or_else(|_| Err(silent_exit()))?;
        let login = login(credentials, exit, route);
        let asking = self.ask(&exit.kind, &stream, target, login.as_ref());
        let early = timeout_at(until, asking).await.unwrap_or_else(|_| Err(silence_behind()))?;
        Ok((stream, early, false))
    }

    /// Asks the upstream proxy that a stream leads to for the target.
    pub(crate) async fn ask(
        &self,
        kind: &ExitKind,
        stream: &TcpStream,
        target: &Target,
        login: Option<&Login>,
    ) -> Result<Vec<u8>, DialError> {
        match kind {
            ExitKind::Direct { .. } => Ok(Vec::new()),
            ExitKind::Http { .. } => chain::http(stream, target, login, self.head_bytes).await,
            ExitKind::Socks5 { .. } => chain::socks5(stream, target, login).await,
        }
    }

    fn may_travel(&self, target: &Target) -> Result<(), Blocked> {
        match &target.host {
            Host::Name(name) => self.guard.unresolved(name),
            Host::Ip(_) => Ok(()),
        }
    }

    async fn direct(&self, target: &Target, leave: Leave, who: AccountId) -> Result<TcpStream, DialError> {
        let connected = match &target.host {
            Host::Ip(ip) => {
                let address = self.checked_address(*ip, target.port)?;
                race(fitting(&[address], leave)?, leave).await
            }
            Host::Name(name) => {
                let mut addresses = self.checked_addresses(name, target.port, who).await?;
                addresses.retain(|address| leave.fits(address.ip()));
                addresses.truncate(MAX_ADDRESSES);
                race(fitting(&addresses, leave)?, leave).await
            }
        };
        connected.map_err(|error| direct_failure(&error, leave))
    }

    /// An address, where it may be reached.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) fn checked_address(&self, ip: IpAddr, port: u16) -> Result<SocketAddr, DialError> {
        let address = SocketAddr::new(ip.to_canonical(), port);
        self.guard.address(address)?;
        Ok(address)
    }

    /// A name's addresses that may be reached: those that pass, where at least one does. A name that
    /// means the gateway itself by any of its addresses is refused as a whole.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) async fn checked_addresses(
        &self,
        name: &str,
        port: u16,
        who: AccountId,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let resolved = self.resolver.resolve(name, Some(who)).await.map_err(dns_failure)?;
        let mut open = Vec::with_capacity(resolved.len());
        let mut closed = None;
        for ip in resolved.iter() {
            let address = SocketAddr::new(ip.to_canonical(), port);
            match self.guard.address(address) {
                Ok(()) => open.push(address),
                Err(blocked) if self.guard.is_own(address) => return Err(blocked.into()),
                Err(blocked) => closed = Some(blocked),
            }
        }
        match closed {
            Some(blocked) if open.is_empty() => Err(blocked.into()),
            _ => Ok(open),
        }
    }

    /// Connects to an upstream proxy, wherever the operator says it is.
    pub(crate) async fn to_exit(&self, address: &str) -> Result<TcpStream, DialError> {
        let no_exit = |detail| DialError::new(Blame::Exit(ExitTrouble::Unreachable), Refusal::NoExit, detail);
        let unreachable = |_| no_exit("the exit cannot be reached");
        let misnamed = || no_exit("the exit has no usable address");
        let place = Target::parse_authority(address, None).map_err(|_| misnamed())?;
        let connected = match &place.host {
            Host::Ip(ip) => race(&[SocketAddr::new(*ip, place.port)], Leave::Any).await,
            Host::Name(name) => {
                let ips = self.resolver.resolve(name, None).await.map_err(|_| misnamed())?;
                let addresses = ips.iter().take(MAX_ADDRESSES).map(|ip| SocketAddr::new(*ip, place.port));
                race(&addresses.collect::<Vec<_>>(), Leave::Any).await
            }
        };
        connected
            .map_err(|error| if socket::is_exhaustion(&error) { own_limits() } else { unreachable(error) })
    }
}

/// What a try says about the exit; nothing where this gateway itself was at its limits.
pub(crate) fn outcome(result: Result<Duration, &DialError>) -> Option<Outcome> {
    let error = match result {
        Ok(took) => return Some(Outcome::Connected(took)),
        Err(error) if error.refusal == Refusal::Unavailable => return None,
        Err(error) => error,
    };
    Some(match error.blame {
        Blame::Exit(trouble) => Outcome::Failed(trouble),
        Blame::Doubtful(trouble) => Outcome::Doubtful(trouble),
        Blame::Target => Outcome::TargetFailed,
        Blame::Unclear | Blame::Crowd => Outcome::Unclear,
    })
}

/// The addresses, where there are any.
fn fitting(addresses: &[SocketAddr], leave: Leave) -> Result<&[SocketAddr], DialError> {
    if addresses.iter().any(|address| leave.fits(address.ip())) {
        return Ok(addresses);
    }
    let detail = "the target has no address of the family that the connection leaves from";
    Err(DialError::new(Blame::Unclear, Refusal::Unreachable, detail))
}

/// How long one exit may take. Upstream proxies may swallow a request, so each of several gets
/// half of what is left; behind a direct exit it is the target that is slow, for all exits alike.
fn share_of(deadline: Instant, exit: &Exit, candidates_left: usize) -> Instant {
    let now = Instant::now();
    match exit.kind {
        ExitKind::Http { .. } | ExitKind::Socks5 { .. } if candidates_left > 1 => {
            now + deadline.saturating_duration_since(now) / 2
        }
        ExitKind::Http { .. } | ExitKind::Socks5 { .. } | ExitKind::Direct { .. } => deadline,
    }
}

pub(crate) fn direct_failure(error: &io::Error, leave: Leave) -> DialError {
    use io::ErrorKind as Kind;
    if socket::is_exhaustion(error) {
        return own_limits();
    }
    let target = |refusal, detail: &str| DialError::new(Blame::Target, refusal, detail);
    match error.kind() {
        Kind::ConnectionRefused => target(Refusal::ConnectionRefused, "the target refused the connection"),
        Kind::TimedOut => target(Refusal::Timeout, "the target did not answer"),
        // The address to leave from is gone from the machine, or all its ports are in use.
        Kind::AddrNotAvailable | Kind::AddrInUse if leave != Leave::Any => no_address(),
        _ => target(Refusal::Unreachable, "the target cannot be reached"),
    }
}

fn no_address() -> DialError {
    DialError::new(
        Blame::Exit(ExitTrouble::NoLocalAddress),
        Refusal::NoExit,
        "the address to leave from cannot be used",
    )
}

fn own_limits() -> DialError {
    DialError::new(Blame::Target, Refusal::Unavailable, "the gateway is at its limit of open connections")
}

fn dns_failure(error: ResolveError) -> DialError {
    match error {
        ResolveError::Failed => {
            DialError::new(Blame::Target, Refusal::DnsFailed, "the name does not resolve")
        }
        ResolveError::Timeout => {
            DialError::new(Blame::Target, Refusal::Timeout, "the name server did not answer")
        }
    }
}

/// The exit itself cannot be connected to in time.
pub(crate) fn silent_exit() -> DialError {
    DialError::new(Blame::Exit(ExitTrouble::Silent), Refusal::Timeout, "the exit did not answer")
}

/// The exit was asked, and says nothing.
pub(crate) fn silence_behind() -> DialError {
    DialError::new(Blame::Doubtful(ExitTrouble::Silent), Refusal::Timeout, "the exit did not answer in time")
}

fn silent_target() -> DialError {
    DialError::new(Blame::Target, Refusal::Timeout, "the target did not answer")
}

/// What to tell an upstream proxy. Placeholders take what the customer asked for; where he asked
/// for no place, the exit's own.
pub(crate) fn login(
    credentials: Option<&ExitCredentials>,
    exit: &Exit,
    route: &RouteParams,
) -> Option<Login> {
    use secrecy::ExposeSecret;
    let credentials = credentials?;
    let country = route.country.unwrap_or(exit.country);
    let fill = |template: &str| {
        template
            .replace("{country}", country.as_str())
            .replace("{state}", route.state.as_deref().unwrap_or(&exit.state))
            .replace("{city}", route.city.as_deref().unwrap_or(&exit.city))
            .replace("{session}", route.session.as_deref().unwrap_or_default())
    };
    let password = fill(credentials.password.expose_secret()).into();
    Some(Login { username: fill(&credentials.username), password })
}
