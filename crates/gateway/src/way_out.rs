//! The way out of an admitted caller: the exits that match are chosen, best first, and the target is
//! dialled by them; datagrams are given an outlet.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_types::{Exit, ExitKind, Payer, Refusal};
use tollgate_wire::target::Target;
use tollgate_wire::username::RouteParams;

use crate::admit::Ticket;
use crate::control::Control;
use crate::dial::Upstream;
use crate::dial_error::{Blame, DialError};
use crate::gateway::Shared;
use crate::health::Health;
use crate::identify::Service;
use crate::refuse::Refused;
use crate::route::{Condition, Draw, SessionKey, route};
use crate::standing::{LeftOut, Standing, Standings};
use crate::udp::Outlet;

/// How often exits are chosen for one request that are full when they are tried.
const ROUTE_AGAIN: u32 = 16;

impl<C: Control> Shared<C> {
    /// Connects to the target for an admitted caller: by an exit that matches, or from his static
    /// proxy's address.
    pub(crate) async fn connect(&self, ticket: &Ticket, target: &Target) -> Result<Upstream, Refused> {
        let dialled = match &ticket.caller.service {
            Service::Metered { payer, route } => self.dial(payer, route, target).await,
            Service::Static(entry) => self.dialer.dial_from(entry.exit_ip, target, entry.account).await,
        };
        let upstream = dialled.map_err(|error| Refused::unreached(&ticket.caller, error))?;
        if let Some(exit) = upstream.exit {
            ticket.live.set_exit(exit);
        }
        Ok(upstream)
    }

    async fn dial(
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

    /// Where the datagrams of an admitted caller leave from: a direct exit, for datagrams do not pass
    /// through others, or his static proxy's address.
    pub(crate) fn outlet(&self, ticket: &Ticket) -> Result<Outlet, Refused> {
        let opened = match &ticket.caller.service {
            Service::Metered { payer, route } => self.direct_outlet(payer, route),
            Service::Static(entry) => self.dialer.outlet_from(entry.exit_ip),
        };
        let outlet = opened.map_err(|error| Refused::unreached(&ticket.caller, error))?;
        if let Some(exit) = outlet.exit {
            ticket.live.set_exit(exit);
        }
        Ok(outlet)
    }

    fn direct_outlet(&self, payer: &Payer, params: &RouteParams) -> Result<Outlet, DialError> {
        let key = SessionKey::of(payer, params);
        let draw = self.draw(params, key);
        let exits = self.route_by(payer, params, draw, &DirectOnly(self.moment()))?;
        let outlet = self.dialer.outlet(&exits, payer.account)?;
        if let (Some(key), Some(exit)) = (key, outlet.exit)
            && !self.is_on_upstream(payer, draw)
        {
            self.sessions.served_by(key, exit);
        }
        Ok(outlet)
    }

    /// Whether a session is on an exit that datagrams do not pass through. They do not move it then:
    /// its connections stay where they are.
    fn is_on_upstream(&self, payer: &Payer, draw: Draw) -> bool {
        let Draw::Session { current: Some(current), .. } = draw else { return false };
        let directory = self.directory();
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
            match self.dialer.dial(&exits, target, params, payer.account).await {
                Err(error) if error.blame == Blame::Crowd && tries < ROUTE_AGAIN => {}
                dialled => return dialled,
            }
        }
    }

    /// What the order of exits is drawn from.
    fn draw(&self, params: &RouteParams, key: Option<SessionKey>) -> Draw {
        match key {
            Some(key) => self.sessions.used(key, sesstime(params), self.clock.now()),
            None => Draw::Any(self.random()),
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
        let exits = route(&self.directory(), payer, params, draw, condition);
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

/// The same where only direct exits come into question.
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
