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

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tollgate_types::{Exit, ExitCredentials, ExitId, ExitKind, Refusal};
use tollgate_wire::target::{Host, Target};
use tollgate_wire::username::RouteParams;

use crate::chain::{self, Login};
use crate::guard::{Blocked, Guard};
use crate::health::{Health, Load};
use crate::resolve::{ResolveError, Resolver};
use crate::socket;
use crate::stream::Stream;
use crate::udp::Outlet;

/// How long one address of a name may stay silent before the next is tried beside it (RFC 8305 §5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
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
        socket.and_then(|socket| socket.local_addr().ok()).unwrap_or(chain::UNSPECIFIED)
    }
}

/// Which address connections leave from that go straight to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// Whichever the system chooses.
    Any,
    /// This one, which is configured on the machine.
    From(IpAddr),
    /// This one, configured or only routed.
    FromRouted(IpAddr),
}

impl Leave {
    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Any => None,
            Self::From(ip) | Self::FromRouted(ip) => Some(ip),
        }
    }
}

/// Whose failure it was, which decides whether another exit may do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The exit's own. Counts against it; the next one is tried.
    Exit,
    /// The target's (or the customer's): every exit would fail alike.
    Target,
    /// The upstream proxy says no without saying whose fault it is. Another exit may do better, but
    /// a session stays where it is.
    Unclear,
}

/// A connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialError {
    pub(crate) refusal: Refusal,
    pub(crate) detail: String,
    pub(crate) blame: Blame,
}

impl DialError {
    pub(crate) fn new(blame: Blame, refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { refusal, detail: detail.into(), blame }
    }
}

impl From<Blocked> for DialError {
    fn from(blocked: Blocked) -> Self {
        Self::new(Blame::Target, blocked.refusal, blocked.detail)
    }
}

impl Dialer {
    /// Connects to the target by the first exit that can.
    ///
    /// # Errors
    /// [`DialError`]: why the last exit that was tried failed; `NoExit` where none could be tried.
    pub(crate) async fn dial(
        &self,
        exits: &[Arc<Exit>],
        target: &Target,
        route: &RouteParams,
    ) -> Result<Upstream, DialError> {
        self.guard.target(target)?;
        let deadline = Instant::now() + self.connect_timeout;
        let mut failed = None;
        for (index, exit) in exits.iter().enumerate() {
            let Some(load) = self.health.enter(exit) else { continue };
            let until = share_of(deadline, exit, exits.len() - index);
            match self.attempt(exit, target, route, until).await {
                Ok((stream, early, straight)) => {
                    let (exit, _load) = (Some(exit.id), Some(load));
                    return Ok(Upstream { stream: stream.into(), early, exit, straight, _load });
                }
                Err(error) => {
                    let next_may = match error.blame {
                        Blame::Exit => true,
                        Blame::Target => false,
                        Blame::Unclear => route.session.is_none(),
                    };
                    tracing::debug!(exit = %exit.name, refusal = %error.refusal, detail = %error.detail, "an exit failed");
                    failed = Some(error);
                    if !next_may || Instant::now() >= deadline {
                        break;
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| {
            DialError::new(Blame::Exit, Refusal::NoExit, "every matching exit is down or full")
        }))
    }

    /// Connects to the target from a static proxy's own address, which may be routed to this machine
    /// without being configured on it.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) async fn dial_from(&self, ip: IpAddr, target: &Target) -> Result<Upstream, DialError> {
        self.guard.target(target)?;
        let way = self.direct(target, Leave::FromRouted(ip));
        let stream = timeout(self.connect_timeout, way).await.unwrap_or_else(|_| Err(silent_target()))?;
        Ok(Upstream { stream: stream.into(), early: Vec::new(), exit: None, straight: true, _load: None })
    }

    /// Opens the way of an association's datagrams by the first of these exits that can, all of them
    /// direct.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) fn outlet(&self, exits: &[Arc<Exit>]) -> Result<Outlet, DialError> {
        let mut failed = None;
        for exit in exits {
            let ExitKind::Direct { bind_ip } = exit.kind else { continue };
            let Some(load) = self.health.enter(exit) else { continue };
            match Outlet::direct(exit.id, load, bind_ip) {
                Ok(outlet) => return Ok(outlet),
                Err(error) if socket::is_exhaustion(&error) => return Err(own_limits()),
                Err(_) => {
                    self.health.failed(exit.id, Instant::now());
                    failed = Some(no_address());
                }
            }
        }
        Err(failed.unwrap_or_else(|| {
            DialError::new(Blame::Exit, Refusal::NoExit, "every matching exit is down or full")
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
        until: Instant,
    ) -> Result<(TcpStream, Vec<u8>, bool), DialError> {
        let began = Instant::now();
        let way = self.go(exit, target, route);
        let result = timeout_at(until, way).await.unwrap_or_else(|_| Err(out_of_time(exit)));
        match &result {
            Ok(_) => self.health.succeeded(exit.id, began.elapsed()),
            Err(error) if error.refusal == Refusal::Unavailable => {}
            Err(error) => match error.blame {
                Blame::Exit => self.health.failed(exit.id, Instant::now()),
                Blame::Unclear | Blame::Target => self.health.answered(exit.id),
            },
        }
        result
    }

    async fn go(
        &self,
        exit: &Exit,
        target: &Target,
        route: &RouteParams,
    ) -> Result<(TcpStream, Vec<u8>, bool), DialError> {
        match &exit.kind {
            ExitKind::Direct { bind_ip } => {
                let stream = self.direct(target, bind_ip.map_or(Leave::Any, Leave::From)).await?;
                Ok((stream, Vec::new(), true))
            }
            ExitKind::Http { address, credentials } => {
                self.may_travel(target)?;
                let login = login(credentials.as_ref(), exit, route);
                let stream = self.to_exit(address).await?;
                let early = chain::http(&stream, target, login.as_ref(), self.head_bytes).await?;
                Ok((stream, early, false))
            }
            ExitKind::Socks5 { address, credentials } => {
                self.may_travel(target)?;
                let login = login(credentials.as_ref(), exit, route);
                let stream = self.to_exit(address).await?;
                let early = chain::socks5(&stream, target, login.as_ref()).await?;
                Ok((stream, early, false))
            }
        }
    }

    fn may_travel(&self, target: &Target) -> Result<(), Blocked> {
        match &target.host {
            Host::Name(name) => self.guard.unresolved(name),
            Host::Ip(_) => Ok(()),
        }
    }

    async fn direct(&self, target: &Target, leave: Leave) -> Result<TcpStream, DialError> {
        let addresses = self.checked_addresses(target).await?;
        let fits = |address: &SocketAddr| leave.address().is_none_or(|ip| ip.is_ipv4() == address.is_ipv4());
        let addresses: Vec<SocketAddr> = addresses.into_iter().filter(fits).take(MAX_ADDRESSES).collect();
        if addresses.is_empty() {
            let detail = "the target has no address of the family that the connection leaves from";
            return Err(DialError::new(Blame::Unclear, Refusal::Unreachable, detail));
        }
        race(addresses, leave).await.map_err(|error| direct_failure(&error, leave))
    }

    /// The target's addresses that may be reached: those that pass, where at least one does. A name
    /// that means the gateway itself by any of its addresses is refused as a whole.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) async fn checked_addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, DialError> {
        let resolved = match &target.host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => self.resolver.resolve(name).await.map_err(dns_failure)?,
        };
        let mut open = Vec::new();
        let mut closed = None;
        for ip in resolved {
            let address = SocketAddr::new(ip.to_canonical(), target.port);
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
    async fn to_exit(&self, address: &str) -> Result<TcpStream, DialError> {
        let unreachable = |_| DialError::new(Blame::Exit, Refusal::NoExit, "the exit cannot be reached");
        let misnamed = || DialError::new(Blame::Exit, Refusal::NoExit, "the exit has no usable address");
        let place = Target::parse_authority(address, None).map_err(|_| misnamed())?;
        let ips = match &place.host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => self.resolver.resolve(name).await.map_err(|_| misnamed())?,
        };
        let addresses =
            ips.into_iter().take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, place.port)).collect();
        race(addresses, Leave::Any)
            .await
            .map_err(|error| if socket::is_exhaustion(&error) { own_limits() } else { unreachable(error) })
    }
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

/// Connects to whichever address answers first, starting them one after the other.
async fn race(addresses: Vec<SocketAddr>, leave: Leave) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut running = JoinSet::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next();
        let more = next.is_some();
        if let Some(address) = next {
            running.spawn(connect(address, leave));
        }
        let finished = if more && waiting.len() > 0 {
            match timeout(NEXT_ADDRESS_AFTER, running.join_next()).await {
                Ok(finished) => finished,
                Err(_) => continue,
            }
        } else {
            running.join_next().await
        };
        match finished {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(_)) => {}
            None => return Err(failure),
        }
    }
}

async fn connect(address: SocketAddr, leave: Leave) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    match leave {
        Leave::Any => {}
        Leave::From(ip) => socket::leave_from(&socket, ip)?,
        Leave::FromRouted(ip) => socket::leave_from_any(&socket, ip)?,
    }
    let stream = socket.connect(address).await?;
    socket::send_at_once(&stream);
    Ok(stream)
}

fn direct_failure(error: &io::Error, leave: Leave) -> DialError {
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
    DialError::new(Blame::Exit, Refusal::NoExit, "the address to leave from cannot be used")
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

fn out_of_time(exit: &Exit) -> DialError {
    match exit.kind {
        ExitKind::Direct { .. } => silent_target(),
        ExitKind::Http { .. } | ExitKind::Socks5 { .. } => {
            DialError::new(Blame::Exit, Refusal::Timeout, "the exit did not answer")
        }
    }
}

fn silent_target() -> DialError {
    DialError::new(Blame::Target, Refusal::Timeout, "the target did not answer")
}

/// What to tell an upstream proxy. Placeholders take what the customer asked for; where he asked
/// for no place, the exit's own.
fn login(credentials: Option<&ExitCredentials>, exit: &Exit, route: &RouteParams) -> Option<Login> {
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
