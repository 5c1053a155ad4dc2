//! The way out of an admitted caller: the exits that match are chosen, best first, and the target is
//! dialled by them; datagrams are given an outlet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tollgate_types::{Clock, Directory, Exit, ExitKind, Payer, Refusal, StaticEntry};
use tollgate_wire::target::Target;
use tollgate_wire::username::RouteParams;

use crate::dial::{Blame, DialError, Dialer};
use crate::exits::attempt::{DatagramUpstream, Upstream};
use crate::exits::health::Health;
use crate::exits::route::{Condition, Draw, SessionKey, route};
use crate::exits::sessions::Sessions;
use crate::exits::standing::{LeftOut, Standing, Standings};
use crate::random::Random;

/// How often exits are chosen for one request that are full when they are tried.
const ROUTE_AGAIN: u32 = 16;

/// The exits of a gateway: which there are, how they are doing, which sessions they have, and what
/// connects by them.
pub(crate) struct Exits {
    pub(crate) directory: watch::Receiver<Arc<Directory>>,
    pub(crate) health: Arc<Health>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) random: Random,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Exits {
    /// Connects to a payer's target by an exit that matches what was asked for.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) async fn dial(
        &self,
        payer: &Payer,
        params: &RouteParams,
        target: &Target,
    ) -> Result<Upstream, DialError> {
        let key = SessionKey::of(payer, params);
        let upstream = self.dial_routed(payer, params, key, target).await?;
        if let (Some(key), Some(exit)) = (key, upstream.exit) {
            self.sessions.served_by(key, exit);
        }
        Ok(upstream)
    }

    /// Connects to a target from a static proxy's own address.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) async fn dial_from(
        &self,
        entry: &StaticEntry,
        target: &Target,
    ) -> Result<Upstream, DialError> {
        self.dialer.dial_from(entry.exit_ip, target, entry.account).await.map(Upstream::from)
    }

    /// Opens the way of a payer's datagrams: by a direct exit, for datagrams do not pass through
    /// others.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) fn outlet(&self, payer: &Payer, params: &RouteParams) -> Result<DatagramUpstream, DialError> {
        let key = SessionKey::of(payer, params);
        let draw = self.draw(params, key);
        let exits = self.route_by(payer, params, draw, &DirectOnly(self.moment()))?;
        let outlet = self.outlet_by(&exits, payer.account)?;
        if let (Some(key), Some(exit)) = (key, outlet.exit)
            && !self.is_on_upstream(payer, draw)
        {
            self.sessions.served_by(key, exit);
        }
        Ok(outlet)
    }

    /// Opens the way of datagrams from a static proxy's own address.
    ///
    /// # Errors
    /// [`DialError`].
    pub(crate) fn outlet_from(&self, entry: &StaticEntry) -> Result<DatagramUpstream, DialError> {
        self.dialer.outlet_from(entry.exit_ip).map(DatagramUpstream::from)
    }

    /// Whether a session is on an exit that datagrams do not pass through. They do not move it then:
    /// its connections stay where they are.
    fn is_on_upstream(&self, payer: &Payer, draw: Draw) -> bool {
        let Draw::Session { current: Some(current), .. } = draw else { return false };
        let directory = self.directory.borrow().clone();
        directory.exits.of(payer.proxy_type).iter().any(|exit| exit.id == current && !is_direct(exit))
    }

    fn moment(&self) -> Moment<'_> {
        Moment { standings: self.health.standings(), now: Instant::now(), health: &self.health }
    }

    /// Dials by the exits that are chosen, and chooses anew where a crowd was quicker.
    async fn dial_routed(
        &self,
        payer: &Payer,
        params: &RouteParams,
        key: Option<SessionKey>,
        target: &Target,
    ) -> Result<Upstream, DialError> {
        let mut tries = 0;
        loop {
            let draw = self.draw(params, key);
            let exits = self.route_by(payer, params, draw, &self.moment())?;
            tries += 1;
            match self.dial_by(&exits, target, params, payer.account).await {
                Err(error) if error.blame == Blame::Full && tries < ROUTE_AGAIN => {}
                dialled => return dialled,
            }
        }
    }

    /// What the order of exits is drawn from.
    fn draw(&self, params: &RouteParams, key: Option<SessionKey>) -> Draw {
        match key {
            Some(key) => self.sessions.used(key, sesstime(params), self.clock.now()),
            None => Draw::Any(self.random.next()),
        }
    }

    /// The exits to try for a payer, best first.
    fn route_by(
        &self,
        payer: &Payer,
        params: &RouteParams,
        draw: Draw,
        condition: &impl Condition,
    ) -> Result<Vec<Arc<Exit>>, DialError> {
        let exits = route(&self.directory.borrow().clone(), payer, params, draw, condition);
        if exits.is_empty() {
            let detail = "no exit that matches what was asked for is healthy and has room";
            return Err(DialError::new(Blame::Target, Refusal::NoExit, detail));
        }
        Ok(exits)
    }
}

/// The exits as they are when one is chosen.
struct Moment<'h> {
    standings: Standings,
    now: Instant,
    health: &'h Health,
}

impl Condition for Moment<'_> {
    fn standing(&self, exit: &Exit) -> Standing {
        self.standings.of(exit.id, self.now)
    }

    fn is_full(&self, exit: &Exit) -> bool {
        self.health.is_full(exit)
    }
}

/// The exits as they are when one is chosen of which only direct ones come into question.
struct DirectOnly<'h>(Moment<'h>);

impl Condition for DirectOnly<'_> {
    fn standing(&self, exit: &Exit) -> Standing {
        if is_direct(exit) { self.0.standing(exit) } else { Standing::Out(LeftOut::Failures) }
    }

    fn is_full(&self, exit: &Exit) -> bool {
        self.0.is_full(exit)
    }
}

fn is_direct(exit: &Exit) -> bool {
    matches!(exit.kind, ExitKind::Direct { .. })
}

fn sesstime(params: &RouteParams) -> Duration {
    Duration::from_secs(60 * u64::from(params.session_minutes))
}
