//! Connecting by exits, best first: each attempt counts on its exit's load and teaches its health, and
//! the next exit is tried where one fails by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_types::{AccountId, Exit, ExitId, ExitKind, Refusal};
use tollgate_wire::target::Target;
use tollgate_wire::username::RouteParams;

use crate::dial::{Blame, Checked, DialError, Dialled, ExitTrouble};
use crate::exits::health::{Load, Outcome};
use crate::exits::way_out::Exits;
use crate::relay::Outlet;
use crate::socket;
use crate::stream::Stream;

/// A connection towards the target of a caller.
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
    fn by(exit: ExitId, load: Load, Dialled { stream, early, straight }: Dialled) -> Self {
        Self { stream, early, exit: Some(exit), straight, _load: Some(load) }
    }

    /// Where it leaves from, as a SOCKS reply tells it: unspecified through upstream proxies.
    pub(crate) fn bound(&self) -> SocketAddr {
        let socket = self.stream.socket().filter(|_| self.straight);
        socket.and_then(|socket| socket.local_addr().ok()).unwrap_or(socket::UNSPECIFIED)
    }
}

/// A connection that does not go by an exit.
impl From<Dialled> for Upstream {
    fn from(Dialled { stream, early, straight }: Dialled) -> Self {
        Self { stream, early, exit: None, straight, _load: None }
    }
}

/// The way of a caller's datagrams.
#[derive(Debug)]
pub(crate) struct DatagramUpstream {
    outlet: Outlet,
    /// The exit; `None` for static proxies.
    pub(crate) exit: Option<ExitId>,
    load: Option<Load>,
}

impl DatagramUpstream {
    /// Returns the sockets, and what counts as load of the exit until it is dropped.
    pub(crate) fn into_parts(self) -> (Outlet, Option<Load>) {
        (self.outlet, self.load)
    }
}

/// Datagrams that do not go by an exit.
impl From<Outlet> for DatagramUpstream {
    fn from(outlet: Outlet) -> Self {
        Self { outlet, exit: None, load: None }
    }
}

impl Exits {
    /// Connects to the target by the first exit that can.
    ///
    /// # Errors
    /// [`DialError`]: why the last exit that was tried failed; [`Blame::Full`] where none could be tried.
    pub(super) async fn dial_by(
        &self,
        exits: &[Arc<Exit>],
        target: &Target,
        route: &RouteParams,
        who: AccountId,
    ) -> Result<Upstream, DialError> {
        let target = self.dialer.check(target)?;
        let deadline = Instant::now() + self.dialer.connect_timeout;
        let mut failed = None;
        for (index, exit) in exits.iter().enumerate() {
            let Some(load) = self.health.enter(exit) else { continue };
            let until = share_of(deadline, exit, exits.len() - index);
            match self.attempt(exit, target, route, who, until).await {
                Ok(dialled) => return Ok(Upstream::by(exit.id, load, dialled)),
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
        Err(failed.unwrap_or_else(all_full))
    }

    /// Whether another exit may be tried after a failure.
    fn may_go_on(&self, exit: ExitId, blame: Blame, route: &RouteParams) -> bool {
        match blame {
            Blame::Exit(_) => true,
            Blame::Target | Blame::Full => false,
            Blame::Unclear => route.session.is_none(),
            Blame::Doubtful(_) => {
                route.session.is_none() || !self.health.answers_others(exit, Instant::now())
            }
        }
    }

    /// Opens the way of an association's datagrams by the first of these exits that can, all of them
    /// direct.
    ///
    /// # Errors
    /// [`DialError`].
    pub(super) fn outlet_by(
        &self,
        exits: &[Arc<Exit>],
        who: AccountId,
    ) -> Result<DatagramUpstream, DialError> {
        let mut failed = None;
        for exit in exits {
            let ExitKind::Direct { bind_ip } = exit.kind else { continue };
            let Some(load) = self.health.enter(exit) else { continue };
            match self.dialer.outlet(bind_ip) {
                Ok(outlet) => return Ok(DatagramUpstream { outlet, exit: Some(exit.id), load: Some(load) }),
                Err(error) if error.refusal == Refusal::Unavailable => return Err(error),
                Err(error) => {
                    let outcome = Outcome::Failed(ExitTrouble::NoLocalAddress);
                    self.health.learn(exit, outcome, who, Instant::now());
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(all_full))
    }

    /// One try, by one exit; the exit's health learns from it.
    async fn attempt(
        &self,
        exit: &Exit,
        target: Checked<'_>,
        route: &RouteParams,
        who: AccountId,
        until: Instant,
    ) -> Result<Dialled, DialError> {
        let began = Instant::now();
        let result = self.dialer.dial(exit, target, route, who, until).await;
        if let Some(outcome) = outcome(result.as_ref().map(|_| began.elapsed())) {
            self.health.learn(exit, outcome, who, Instant::now());
        }
        result
    }
}

fn all_full() -> DialError {
    DialError::new(Blame::Full, Refusal::NoExit, "every matching exit is down or full")
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
        Blame::Unclear | Blame::Full => Outcome::Unclear,
    })
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
