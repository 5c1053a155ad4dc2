//! The one way out: resolve → check → connect to the very address that was checked, from a direct
//! exit, through an upstream proxy, or from a static proxy's own address, which is no exit.
//!
//! **Through upstream proxies** names travel unresolved, so that they are resolved where the traffic
//! comes out; what can be judged without resolving is refused here (literal closed addresses, names
//! that mean the inside of a network). The addresses of the upstream proxies themselves are the
//! operator's own settings and are not subject to the guard.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tollgate_types::{AccountId, Exit, ExitCredentials, ExitKind, Refusal};
use tollgate_wire::target::{Host, Target};
use tollgate_wire::username::RouteParams;

use crate::dial::chain::{self, Login};
use crate::dial::error::{Blame, DialError, ExitTrouble, ResolveError};
use crate::dial::guard::{Blocked, Guard};
use crate::dial::race::{Leave, race};
use crate::dial::resolve::Resolver;
use crate::relay::Outlet;
use crate::socket;
use crate::stream::Stream;

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 6;

/// Dials for one gateway.
pub(crate) struct Dialer {
    pub(crate) resolver: Resolver,
    pub(crate) guard: Guard,
    /// For everything together: resolving, connecting, the upstream proxy's handshake, retries.
    pub(crate) connect_timeout: Duration,
    /// The largest head that an upstream proxy may answer with.
    pub(crate) head_bytes: usize,
}

/// A connection towards a target.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) stream: Stream,
    /// What the target said already while the upstream proxy was answering.
    pub(crate) early: Vec<u8>,
    /// Whether it goes to the target itself, and not through an upstream proxy.
    pub(crate) straight: bool,
}

/// A target that may be dialled, as far as that can be said before its name is resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked<'t>(&'t Target);

impl Dialer {
    /// Checks what can be said of a target before its name is resolved. Nothing else gives what
    /// [`dial`](Self::dial) needs.
    ///
    /// # Errors
    /// The target is closed to customers.
    pub(crate) fn check<'t>(&self, target: &'t Target) -> Result<Checked<'t>, DialError> {
        self.guard.target(target)?;
        Ok(Checked(target))
    }

    /// Connects to a target from a static proxy's own address, which may be routed to this machine
    /// without being configured on it.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) async fn dial_from(
        &self,
        ip: IpAddr,
        target: &Target,
        who: AccountId,
    ) -> Result<Dialled, DialError> {
        self.check(target)?;
        let way = self.direct(target, Leave::FromRouted(ip), who);
        let stream = timeout(self.connect_timeout, way).await.unwrap_or_else(|_| Err(silent_target()))?;
        Ok(Dialled { stream: stream.into(), early: Vec::new(), straight: true })
    }

    /// Opens the sockets of an association whose datagrams leave from `bind_ip`, or from whichever
    /// address the system chooses.
    ///
    /// # Errors
    /// The address cannot be used, or the system has no socket left.
    pub(crate) fn outlet(&self, bind_ip: Option<IpAddr>) -> Result<Outlet, DialError> {
        Outlet::direct(bind_ip).map_err(|error| no_outlet(&error))
    }

    /// Opens the sockets of an association whose datagrams leave from a static proxy's own address.
    ///
    /// # Errors
    /// The address cannot be used, or the system has no socket left.
    pub(crate) fn outlet_from(&self, ip: IpAddr) -> Result<Outlet, DialError> {
        Outlet::routed(ip).map_err(|error| no_outlet(&error))
    }

    /// Connects to a target by one exit, until `until` at the latest.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) async fn dial(
        &self,
        exit: &Exit,
        Checked(target): Checked<'_>,
        route: &RouteParams,
        who: AccountId,
        until: Instant,
    ) -> Result<Dialled, DialError> {
        let (address, credentials) = match &exit.kind {
            ExitKind::Direct { bind_ip } => {
                let way = self.direct(target, bind_ip.map_or(Leave::Any, Leave::From), who);
                let stream = timeout_at(until, way).await.unwrap_or_else(|_| Err(silent_target()))?;
                return Ok(Dialled { stream: stream.into(), early: Vec::new(), straight: true });
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
        Ok(Dialled { stream, early, straight: false })
    }

    /// Asks the upstream proxy that a stream leads to for the target.
    async fn ask(
        &self,
        kind: &ExitKind,
        stream: &Stream,
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
    async fn to_exit(&self, address: &str) -> Result<Stream, DialError> {
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
            .map(Stream::from)
            .map_err(|error| if socket::is_exhaustion(&error) { own_limits() } else { unreachable(error) })
    }

    /// Tries an exit out: an upstream proxy is connected to, and asked for `target` where there is one
    /// (without, a SOCKS5 server is greeted); a direct exit's own address is bound.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) async fn probe(&self, exit: &Exit, target: Option<&Target>) -> Result<(), DialError> {
        let until = Instant::now() + self.connect_timeout;
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
        let stream = timeout_at(until, self.to_exit(address)).await.unwrap_or_else(|_| Err(silent_exit()))?;
        match (target, &exit.kind) {
            (Some(target), kind) => {
                let login = login(credentials, exit, &RouteParams::default());
                let asked = timeout_at(until, self.ask(kind, &stream, target, login.as_ref())).await;
                asked.unwrap_or_else(|_| Err(silence_behind())).map(|_| ())
            }
            (None, ExitKind::Socks5 { .. }) => {
                let greeted = timeout_at(until, chain::socks5_greeting(&stream, credentials.is_some())).await;
                greeted.unwrap_or_else(|_| Err(silent_exit()))
            }
            (None, ExitKind::Http { .. } | ExitKind::Direct { .. }) => Ok(()),
        }
    }
}

/// The addresses, where there are any.
fn fitting(addresses: &[SocketAddr], leave: Leave) -> Result<&[SocketAddr], DialError> {
    if addresses.iter().any(|address| leave.fits(address.ip())) {
        return Ok(addresses);
    }
    let detail = "the target has no address of the family that the connection leaves from";
    Err(DialError::new(Blame::Unclear, Refusal::Unreachable, detail))
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
    DialError::new(
        Blame::Exit(ExitTrouble::NoLocalAddress),
        Refusal::NoExit,
        "the address to leave from cannot be used",
    )
}

fn no_outlet(error: &io::Error) -> DialError {
    if socket::is_exhaustion(error) { own_limits() } else { no_address() }
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
fn silent_exit() -> DialError {
    DialError::new(Blame::Exit(ExitTrouble::Silent), Refusal::Timeout, "the exit did not answer")
}

/// The exit was asked, and says nothing.
fn silence_behind() -> DialError {
    DialError::new(Blame::Doubtful(ExitTrouble::Silent), Refusal::Timeout, "the exit did not answer in time")
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
