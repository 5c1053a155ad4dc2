//! Who is left out and who is on the way back: what a choice among exits has to know of their
//! health. A picture of it is handed out for each choice, which costs nothing while all are well.
//!
//! **Slow return.** An exit that comes back gets a share of the draws without a session that grows
//! to the whole within half a minute. Sessions take no notice of it: where a fresh one belongs must
//! not depend on the moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_types::ExitId;

/// How long it takes an exit that is back to its whole share.
const RETURN: Duration = Duration::from_secs(30);

/// The share of its weight that an exit has which was not left out.
pub(crate) const WHOLE: u32 = 256;
/// The share that an exit begins with which was.
pub(crate) const FIRST_SHARE: u32 = WHOLE / 16;

/// Why an exit is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It failed several times in a row.
    Failures,
    /// It fails far more often than the others.
    Outlier,
}

/// Where an exit stands when one is to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// In use, with this share of its weight; sessions take no notice of the share.
    In(u32),
    /// Left out.
    Out(LeftOut),
}

/// The exits that are out, or on their return; a picture of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standings(Arc<HashMap<ExitId, Absence>>);

#[derive(Clone, Copy, Debug)]
struct Absence {
    why: LeftOut,
    since: Instant,
    until: Instant,
}

impl Standings {
    /// Where an exit stands.
    pub(crate) fn of(&self, exit: ExitId, now: Instant) -> Standing {
        self.0.get(&exit).map_or(Standing::In(WHOLE), |absence| absence.standing(now))
    }

    /// Whether an exit is left out.
    pub(crate) fn is_out(&self, exit: ExitId, now: Instant) -> bool {
        matches!(self.of(exit, now), Standing::Out(_))
    }

    /// Why an exit is left out, and for how long it has been.
    pub(crate) fn left_out(&self, exit: ExitId, now: Instant) -> Option<(LeftOut, Duration)> {
        let absence = self.0.get(&exit).filter(|absence| now < absence.until)?;
        Some((absence.why, now.duration_since(absence.since)))
    }

    /// Leaves an exit out, or leaves it out for longer.
    pub(crate) fn leave_out(&mut self, exit: ExitId, why: LeftOut, until: Instant, now: Instant) {
        let absence = match self.0.get(&exit) {
            Some(running) if now < running.until => Absence { until: until.max(running.until), ..*running },
            Some(_) | None => Absence { why, since: now, until },
        };
        self.change(exit, absence);
    }

    /// Takes an exit back that is out for this reason.
    pub(crate) fn take_back(&mut self, exit: ExitId, why: LeftOut, now: Instant) {
        let out = self.0.get(&exit).filter(|absence| absence.why == why && now < absence.until).copied();
        if let Some(absence) = out {
            self.change(exit, Absence { until: now, ..absence });
        }
    }

    /// Forgets an exit that has its whole share back.
    pub(crate) fn tidy(&mut self, exit: ExitId, now: Instant) {
        if self.0.get(&exit).is_some_and(|absence| now >= absence.until + RETURN) {
            Arc::make_mut(&mut self.0).remove(&exit);
        }
    }

    /// Forgets exits that are configured no more.
    pub(crate) fn keep(&mut self, configured: impl Fn(ExitId) -> bool) {
        if self.0.keys().any(|exit| !configured(*exit)) {
            Arc::make_mut(&mut self.0).retain(|exit, _| configured(*exit));
        }
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn change(&mut self, exit: ExitId, absence: Absence) {
        Arc::make_mut(&mut self.0).insert(exit, absence);
    }
}

impl Absence {
    fn standing(&self, now: Instant) -> Standing {
        let Some(back_for) = now.checked_duration_since(self.until) else {
            return Standing::Out(self.why);
        };
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let gained = (WHOLE - FIRST_SHARE) * millis(back_for.min(RETURN)) / millis(RETURN);
        Standing::In(FIRST_SHARE + gained)
    }
}
