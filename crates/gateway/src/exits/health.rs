//! How each exit is doing, learnt from the traffic itself and, where there is none, from probes
//! ([`crate::exits::probe`]): which exits are left out, and for how long; how quickly they connect; how
//! many connections they carry.
//!
//! **Failures in a row** take an exit out for a growing while, and one success takes it back: it
//! cannot be reached, or does not complete its handshake. **Outliers** fail often, though not in a
//! row: of an exit's recent attempts at least half have failed, of more than one account where several
//! use it, and at least twice as large a part as of all other exits' of its type. They stay out until their time is over or several probes have gone
//! well; and where more than half of the exits that match a request are outliers, it is not they who
//! are out of line, and none is left out ([`crate::exits::route`]).
//!
//! Only an exit's own failures count. That a target refuses or does not answer through it says
//! nothing about the exit; where it cannot be told whose silence it is, the failure counts among the
//! others that make an outlier, and not in a row: a target that swallows everything swallows it by
//! every exit alike. [`crate::exits::standing`] says how an exit comes back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tollgate_types::{AccountId, Exit, ExitId, ProxyType};

use crate::dial::ExitTrouble;
use crate::exits::standing::{LeftOut, Standings};
use crate::exits::window::{Counts, Window};

/// Failures in a row after which an exit is left out.
const FAILURES_TO_LEAVE: u32 = 3;
/// How long it is left out at first; doubles with every time in a row.
const FIRST_LEAVE: Duration = Duration::from_secs(5);
/// How long an outlier is left out at first; doubles likewise.
const FIRST_OUTLIER_LEAVE: Duration = Duration::from_secs(30);
/// The longest an exit is left out before it is tried again. One that was not left out for as long
/// begins anew.
const LONGEST_LEAVE: Duration = Duration::from_secs(5 * 60);
/// Recent attempts, of an exit and of all others, below which nothing is out of line.
const OUTLIER_ATTEMPTS: u32 = 10;
/// Probes in a row that take an outlier back before its time.
const GOOD_PROBES: u32 = 3;
/// What the operator's list of exits shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ExitStatus {
    /// False while left out.
    pub healthy: bool,
    /// Its own failures in a row.
    pub failures: u32,
    /// How long connecting through it takes, in microseconds: a moving average over about eight
    /// connections; 0 where nothing is known yet.
    pub latency_micros: u64,
    /// Connections that it carries now.
    pub connections: u32,
    /// Attempts to connect through it within about the last minute, probes and what targets refused
    /// not among them.
    pub recent_attempts: u32,
    /// Its own failures among them.
    pub recent_failures: u32,
    /// What went wrong last with the exit itself, however long ago.
    pub last_trouble: Option<ExitTrouble>,
    /// Why it is left out and for how long it has been; `None` while it is not.
    pub left_out: Option<(LeftOut, Duration)>,
}

/// How one try through an exit went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Connected, in this time.
    Connected(Duration),
    /// It works, though the target does not: says nothing about its speed.
    TargetFailed,
    /// It answers, and does not say whose fault it is.
    Unclear,
    /// It took the request and did not complete it: it may be the target, or the exit.
    Doubtful(ExitTrouble),
    /// It failed by itself.
    Failed(ExitTrouble),
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    failures: u32,
    /// How often in a row it was left out for failures in a row.
    leaves: u32,
    /// How often it was left out as an outlier lately.
    strikes: u32,
    /// Until when the last time was.
    struck_until: Option<Instant>,
    recent: Window,
    /// What was counted before it was left out says nothing once it is used again.
    recent_is_old: bool,
    latency_micros: u64,
    connections: u32,
    used: Option<Instant>,
    last_trouble: Option<ExitTrouble>,
    good_probes: u32,
}

#[derive(Debug, Default)]
struct Observations {
    records: HashMap<ExitId, Record>,
    /// The recent attempts of all exits of each type.
    pools: [Window; ProxyType::ALL.len()],
    absent: Standings,
}

/// The state of all exits on this gateway.
#[derive(Debug)]
pub(crate) struct Health {
    began: Instant,
    state: Mutex<Observations>,
}

/// One connection carried by an exit; gone when dropped.
#[derive(Debug)]
pub(crate) struct Load {
    health: Arc<Health>,
    exit: ExitId,
}

impl Health {
    /// Knows nothing of any exit.
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, state: Mutex::default() }
    }

    /// Which exits are out, or on their return.
    pub(crate) fn standings(&self) -> Standings {
        self.lock().absent.clone()
    }

    /// Whether an exit carries as many connections as it may.
    pub(crate) fn is_full(&self, exit: &Exit) -> bool {
        exit.max_connections != 0
            && self.lock().records.get(&exit.id).is_some_and(|record| record.is_full(exit, 0))
    }

    /// Whether an exit is in use and has connected lately: what fails through it now has another
    /// reason.
    pub(crate) fn answers_others(&self, exit: ExitId, now: Instant) -> bool {
        let state = self.lock();
        let recent = state.records.get(&exit).map(|record| record.recent.counts(self.turn(now)));
        !state.absent.is_out(exit, now) && recent.is_some_and(|recent| recent.attempts > recent.failures)
    }

    /// Takes one of an exit's connections; `None` where it carries as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, exit: &Exit) -> Option<Load> {
        self.take(exit, 0)
    }

    /// Takes one of an exit's connections for a probe. Of an exit in use it leaves one for a customer,
    /// who shall not be refused because of the probe.
    pub(crate) fn enter_probe(self: &Arc<Self>, exit: &Exit, now: Instant) -> Option<Load> {
        let spare = u32::from(!self.lock().absent.is_out(exit.id, now));
        self.take(exit, spare)
    }

    fn take(self: &Arc<Self>, exit: &Exit, spare: u32) -> Option<Load> {
        let mut state = self.lock();
        let record = state.records.entry(exit.id).or_default();
        if record.is_full(exit, spare) {
            return None;
        }
        record.connections += 1;
        Some(Load { health: self.clone(), exit: exit.id })
    }

    /// Learns from a customer's try.
    pub(crate) fn learn(&self, exit: &Exit, outcome: Outcome, who: AccountId, now: Instant) {
        let turn = self.turn(now);
        let mut state = self.lock();
        state.count(exit, outcome, turn, who, now);
        let Observations { records, pools, absent } = &mut *state;
        let Some(record) = records.get_mut(&exit.id) else { return };
        match outcome {
            Outcome::Connected(took) => {
                record.measure(took);
                record.works(exit.id, absent, now);
            }
            Outcome::TargetFailed | Outcome::Unclear => record.works(exit.id, absent, now),
            Outcome::Failed(trouble) | Outcome::Doubtful(trouble) => {
                record.last_trouble = Some(trouble);
                let is_own = matches!(outcome, Outcome::Failed(_));
                record.failures = record.failures.saturating_add(u32::from(is_own));
                if absent.is_out(exit.id, now) {
                    // It was begun before. One outage is one absence, however many noticed.
                } else if record.failures >= FAILURES_TO_LEAVE {
                    record.leave(exit.id, absent, now);
                } else if is_outlier(record.recent.counts(turn), pools[exit.proxy_type.index()].counts(turn))
                {
                    record.leave_as_outlier(exit.id, absent, now);
                }
            }
        }
        absent.tidy(exit.id, now);
    }

    /// Learns from a probe. Where the probe itself is in doubt, nothing.
    pub(crate) fn learn_from_probe(&self, exit: &Exit, outcome: Outcome, now: Instant) {
        let mut state = self.lock();
        let Observations { records, absent, .. } = &mut *state;
        let record = records.entry(exit.id).or_default();
        match outcome {
            Outcome::Connected(_) => {
                record.good_probes = record.good_probes.saturating_add(1);
                record.works(exit.id, absent, now);
                if record.good_probes >= GOOD_PROBES {
                    absent.take_back(exit.id, LeftOut::Outlier, now);
                }
            }
            Outcome::TargetFailed | Outcome::Unclear => record.works(exit.id, absent, now),
            Outcome::Doubtful(_) => record.good_probes = 0,
            Outcome::Failed(trouble) => {
                record.good_probes = 0;
                record.last_trouble = Some(trouble);
                record.failures = record.failures.saturating_add(1);
                if absent.is_out(exit.id, now) || record.failures >= FAILURES_TO_LEAVE {
                    record.leave(exit.id, absent, now);
                }
            }
        }
        absent.tidy(exit.id, now);
    }

    /// Whether an exit should be probed: it is out, or no customer has tried it for so long.
    pub(crate) fn wants_probe(&self, exit: ExitId, idle: Duration, now: Instant) -> bool {
        let state = self.lock();
        let used = state.records.get(&exit).and_then(|record| record.used);
        state.absent.is_out(exit, now) || used.is_none_or(|used| now.duration_since(used) >= idle)
    }

    /// How an exit is doing.
    pub(crate) fn status(&self, exit: ExitId, now: Instant) -> ExitStatus {
        let state = self.lock();
        let record = state.records.get(&exit).copied().unwrap_or_default();
        let recent = record.recent.counts(self.turn(now));
        let left_out = state.absent.left_out(exit, now);
        ExitStatus {
            healthy: left_out.is_none(),
            failures: record.failures,
            latency_micros: record.latency_micros,
            connections: record.connections,
            recent_attempts: recent.attempts,
            recent_failures: recent.failures,
            last_trouble: record.last_trouble,
            left_out,
        }
    }

    /// Forgets exits that are configured no more and carry nothing.
    pub(crate) fn keep(&self, configured: impl Fn(ExitId) -> bool) {
        let mut state = self.lock();
        state.records.retain(|exit, record| record.connections > 0 || configured(*exit));
        state.absent.keep(configured);
    }

    fn turn(&self, now: Instant) -> u64 {
        Window::turn(now.duration_since(self.began))
    }

    fn lock(&self) -> MutexGuard<'_, Observations> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observations {
    /// Counts a try among the recent ones, where it says something about the exit.
    fn count(&mut self, exit: &Exit, outcome: Outcome, turn: u64, who: AccountId, now: Instant) {
        let record = self.records.entry(exit.id).or_default();
        record.used = Some(now);
        let failed = match outcome {
            Outcome::Unclear => return,
            Outcome::Connected(_) | Outcome::TargetFailed => false,
            Outcome::Doubtful(_) | Outcome::Failed(_) => true,
        };
        if record.recent_is_old && !self.absent.is_out(exit.id, now) {
            record.recent = Window::default();
            record.recent_is_old = false;
        }
        record.recent.count(turn, failed, who);
        self.pools[exit.proxy_type.index()].count(turn, failed, who);
    }
}

impl Record {
    fn is_full(&self, exit: &Exit, spare: u32) -> bool {
        exit.max_connections != 0 && self.connections.saturating_add(spare) >= exit.max_connections
    }

    fn measure(&mut self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.latency_micros = match self.latency_micros {
            0 => took,
            known => (known.saturating_mul(7).saturating_add(took)) / 8,
        };
    }

    fn works(&mut self, exit: ExitId, absent: &mut Standings, now: Instant) {
        (self.failures, self.leaves) = (0, 0);
        absent.take_back(exit, LeftOut::Failures, now);
    }

    fn leave(&mut self, exit: ExitId, absent: &mut Standings, now: Instant) {
        let leave = longer(FIRST_LEAVE, self.leaves);
        self.leaves = self.leaves.saturating_add(1);
        self.is_left_out(exit, absent, LeftOut::Failures, now + leave, now);
    }

    fn leave_as_outlier(&mut self, exit: ExitId, absent: &mut Standings, now: Instant) {
        if self.struck_until.is_none_or(|last| now >= last + LONGEST_LEAVE) {
            self.strikes = 0;
        }
        let until = now + longer(FIRST_OUTLIER_LEAVE, self.strikes);
        (self.strikes, self.struck_until) = (self.strikes.saturating_add(1), Some(until));
        self.is_left_out(exit, absent, LeftOut::Outlier, until, now);
    }

    fn is_left_out(
        &mut self,
        exit: ExitId,
        absent: &mut Standings,
        why: LeftOut,
        until: Instant,
        now: Instant,
    ) {
        (self.recent_is_old, self.good_probes) = (true, 0);
        absent.leave_out(exit, why, until, now);
    }
}

/// Doubled so many times.
fn longer(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(10)).min(LONGEST_LEAVE)
}

/// Whether an exit's recent attempts are far worse than those of all others of its type.
fn is_outlier(own: Counts, all: Counts) -> bool {
    let others = all.without(own);
    let failed_of = |one: Counts, other: Counts| u64::from(one.failures) * u64::from(other.attempts);
    own.attempts >= OUTLIER_ATTEMPTS
        && others.attempts >= OUTLIER_ATTEMPTS
        && own.failures >= own.attempts - own.failures
        && own.are_spread()
        && failed_of(own, others) >= 2 * failed_of(others, own)
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(record) = self.health.lock().records.get_mut(&self.exit) {
            record.connections = record.connections.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_types::ExitKind;

    use super::*;
    use crate::exits::standing::{FIRST_SHARE, Standing, WHOLE};

    const CONNECTED: Outcome = Outcome::Connected(Duration::from_millis(8));
    const FAILED: Outcome = Outcome::Failed(ExitTrouble::Unreachable);
    const SILENT: Outcome = Outcome::Doubtful(ExitTrouble::Silent);

    fn exit(id: i64) -> Exit {
        Exit {
            id: ExitId::new(id),
            name: "one".into(),
            proxy_type: ProxyType::Mobile,
            kind: ExitKind::Direct { bind_ip: None },
            country: "us".parse().unwrap(),
            state: String::new(),
            city: String::new(),
            asn: 0,
            weight: 1,
            max_connections: 0,
        }
    }

    /// Exits, and a time that passes when it is told to.
    struct Lab {
        health: Arc<Health>,
        now: Instant,
    }

    impl Lab {
        fn new() -> Self {
            let now = Instant::now();
            Self { health: Arc::new(Health::new(now)), now }
        }

        fn tries(&self, id: i64, who: i64, outcomes: &[Outcome]) {
            for outcome in outcomes {
                self.health.learn(&exit(id), *outcome, AccountId::new(who), self.now);
            }
        }

        fn probe(&self, id: i64, outcome: Outcome) {
            self.health.learn_from_probe(&exit(id), outcome, self.now);
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn standing(&self, id: i64) -> Standing {
            self.health.standings().of(ExitId::new(id), self.now)
        }

        fn is_in(&self, id: i64) -> bool {
            matches!(self.standing(id), Standing::In(_))
        }

        fn status(&self, id: i64) -> ExitStatus {
            self.health.status(ExitId::new(id), self.now)
        }
    }

    #[test]
    fn cf_14_failures_take_an_exit_out_for_a_growing_while_and_one_success_clears_it() {
        let mut lab = Lab::new();
        lab.tries(1, 1, &[FAILED, FAILED]);
        assert!(lab.is_in(1));
        lab.tries(1, 1, &[FAILED]);
        assert_eq!(lab.standing(1), Standing::Out(LeftOut::Failures));
        lab.pass(5);
        assert!(lab.is_in(1), "it is tried again after a while");
        lab.tries(1, 1, &[FAILED]);
        lab.pass(9);
        assert!(!lab.is_in(1), "a longer while");
        assert_eq!(lab.status(1).left_out, Some((LeftOut::Failures, Duration::from_secs(9))));
        assert_eq!(lab.status(1).last_trouble, Some(ExitTrouble::Unreachable));
        lab.pass(1);
        lab.tries(1, 1, &[CONNECTED, FAILED, FAILED]);
        assert!(lab.is_in(1), "the row was broken");
        lab.tries(1, 1, &[FAILED]);
        lab.pass(5);
        assert!(lab.is_in(1), "and the while is the first one again");
    }

    #[test]
    fn one_outage_is_one_absence_however_many_connections_notice_it() {
        let mut lab = Lab::new();
        lab.tries(1, 1, &[FAILED; 200]);
        lab.pass(5);
        assert!(lab.is_in(1));
    }

    #[test]
    fn latency_is_a_moving_average() {
        let lab = Lab::new();
        lab.tries(1, 1, &[CONNECTED, Outcome::Connected(Duration::from_millis(16)), Outcome::TargetFailed]);
        assert_eq!(lab.status(1).latency_micros, 9_000);
    }

    #[test]
    fn an_exit_that_comes_back_gets_a_growing_share() {
        let mut lab = Lab::new();
        assert_eq!(lab.standing(1), Standing::In(WHOLE));
        lab.tries(1, 1, &[FAILED; 3]);
        lab.pass(5);
        assert_eq!(lab.standing(1), Standing::In(FIRST_SHARE));
        lab.tries(1, 1, &[CONNECTED]);
        lab.pass(15);
        assert_eq!(lab.standing(1), Standing::In(FIRST_SHARE + (WHOLE - FIRST_SHARE) / 2));
        lab.pass(15);
        assert_eq!(lab.standing(1), Standing::In(WHOLE));
        lab.tries(1, 1, &[CONNECTED]);
        assert!(lab.health.standings().is_empty(), "nothing of it is kept");
    }

    #[test]
    fn an_exit_that_fails_every_other_time_is_an_outlier_beside_good_ones() {
        let mut lab = Lab::new();
        for _ in 0..5 {
            lab.tries(2, 1, &[CONNECTED, CONNECTED]);
            lab.tries(1, 1, &[CONNECTED, FAILED]);
        }
        assert_eq!(lab.standing(1), Standing::Out(LeftOut::Outlier));
        assert_eq!((lab.status(1).recent_attempts, lab.status(1).recent_failures), (10, 5));
        lab.tries(1, 1, &[CONNECTED]);
        assert!(!lab.is_in(1), "one success does not make up for it");
        lab.pass(30);
        assert!(lab.is_in(1));
        lab.tries(1, 1, &[FAILED]);
        assert!(lab.is_in(1), "what was before is forgotten");
    }

    #[test]
    fn an_outlier_that_comes_back_no_better_is_left_out_for_longer() {
        let mut lab = Lab::new();
        let bad = |lab: &Lab| {
            lab.tries(2, 1, &[CONNECTED; 20]);
            (0..5).for_each(|_| lab.tries(1, 1, &[CONNECTED, FAILED]));
        };
        bad(&lab);
        lab.pass(30);
        lab.tries(1, 1, &[CONNECTED]);
        lab.pass(60);
        bad(&lab);
        lab.pass(59);
        assert_eq!(lab.standing(1), Standing::Out(LeftOut::Outlier));
        lab.pass(1);
        assert!(lab.is_in(1));
    }

    #[test]
    fn where_all_fail_alike_nobody_is_an_outlier() {
        let lab = Lab::new();
        for _ in 0..50 {
            for id in 1..=4 {
                lab.tries(id, 1, &[SILENT, CONNECTED]);
            }
        }
        assert!((1..=4).all(|id| lab.is_in(id)));
        assert!(lab.status(1).recent_failures == 50 && lab.status(1).failures == 0);
    }

    #[test]
    fn nobody_is_an_outlier_alone() {
        let lab = Lab::new();
        (0..50).for_each(|_| lab.tries(1, 1, &[SILENT, CONNECTED]));
        assert!(lab.is_in(1));
    }

    #[test]
    fn what_targets_do_never_counts_against_an_exit() {
        let lab = Lab::new();
        lab.tries(2, 1, &[CONNECTED; 50]);
        lab.tries(1, 1, &[Outcome::TargetFailed; 50]);
        lab.tries(1, 1, &[Outcome::Unclear; 50]);
        assert!(lab.is_in(1));
        assert_eq!((lab.status(1).recent_attempts, lab.status(1).recent_failures), (50, 0));
    }

    #[test]
    fn a_customer_whose_target_swallows_everything_takes_no_exit_from_the_others() {
        let lab = Lab::new();
        for who in 2..5 {
            lab.tries(1, who, &[CONNECTED; 5]);
            lab.tries(2, who, &[CONNECTED; 20]);
        }
        lab.tries(1, 9, &[SILENT; 500]);
        assert!(lab.is_in(1));
        lab.tries(1, 2, &[SILENT]);
        assert_eq!(lab.standing(1), Standing::Out(LeftOut::Outlier), "half of its users suffer");
    }

    #[test]
    fn a_probe_takes_an_exit_back_that_failed_and_keeps_it_out_that_fails() {
        let mut lab = Lab::new();
        lab.tries(1, 1, &[FAILED; 3]);
        lab.pass(4);
        lab.probe(1, FAILED);
        lab.pass(9);
        assert!(!lab.is_in(1));
        lab.probe(1, CONNECTED);
        assert_eq!(lab.standing(1), Standing::In(FIRST_SHARE), "back, slowly");
        assert_eq!(lab.status(1).failures, 0);
        assert_eq!(lab.status(1).latency_micros, 0, "a probe is nobody's connection");
    }

    #[test]
    fn probes_find_an_idle_exit_dead_before_a_customer_does() {
        let lab = Lab::new();
        (0..3).for_each(|_| lab.probe(1, FAILED));
        assert_eq!(lab.standing(1), Standing::Out(LeftOut::Failures));
        assert_eq!(lab.status(1).recent_attempts, 0);
    }

    #[test]
    fn an_outlier_needs_several_good_probes_and_a_doubtful_one_says_nothing() {
        let lab = Lab::new();
        lab.tries(2, 1, &[CONNECTED; 20]);
        (0..5).for_each(|_| lab.tries(1, 1, &[CONNECTED, SILENT]));
        lab.probe(1, CONNECTED);
        lab.probe(1, CONNECTED);
        lab.probe(1, SILENT);
        lab.probe(1, CONNECTED);
        lab.probe(1, CONNECTED);
        assert_eq!(lab.standing(1), Standing::Out(LeftOut::Outlier));
        lab.probe(1, CONNECTED);
        assert_eq!(lab.standing(1), Standing::In(FIRST_SHARE));
        (0..9).for_each(|_| lab.probe(2, SILENT));
        assert_eq!(lab.standing(2), Standing::In(WHOLE));
    }

    #[test]
    fn only_exits_that_are_out_or_idle_are_probed() {
        let mut lab = Lab::new();
        let interval = Duration::from_secs(10);
        let wants = |lab: &Lab, id| lab.health.wants_probe(ExitId::new(id), interval, lab.now);
        assert!(wants(&lab, 1));
        lab.tries(1, 1, &[CONNECTED]);
        lab.tries(2, 1, &[FAILED; 3]);
        assert!(!wants(&lab, 1) && wants(&lab, 2));
        lab.pass(10);
        assert!(wants(&lab, 1));
    }

    #[test]
    fn an_exit_carries_no_more_than_it_may_and_probes_leave_the_last_place() {
        let lab = Lab::new();
        let mut two = exit(1);
        two.max_connections = 2;
        let load = lab.health.enter(&two);
        assert!(load.is_some() && !lab.health.is_full(&two));
        assert!(lab.health.enter_probe(&two, lab.now).is_none());
        let second = lab.health.enter(&two);
        assert!(second.is_some() && lab.health.is_full(&two));
        assert!(lab.health.enter(&two).is_none());
        drop(load);
        assert!(lab.health.enter(&two).is_some());
        drop(second);
        lab.tries(1, 1, &[FAILED; 3]);
        let probe = lab.health.enter_probe(&two, lab.now);
        assert!(probe.is_some() && lab.health.enter_probe(&two, lab.now).is_some(), "nobody is sent there");
    }

    #[test]
    fn a_crowd_of_threads_never_gets_more_places_than_there_are() {
        let lab = Lab::new();
        let mut some = exit(1);
        some.max_connections = 7;
        let most = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let load = lab.health.enter(&some);
                        let carried = lab.status(1).connections;
                        most.fetch_max(carried, std::sync::atomic::Ordering::Relaxed);
                        drop(load);
                    }
                });
            }
        });
        assert!((1..=7).contains(&most.into_inner()));
        assert_eq!(lab.status(1).connections, 0);
    }

    #[test]
    fn exits_that_are_gone_are_forgotten() {
        let lab = Lab::new();
        lab.tries(1, 1, &[FAILED; 3]);
        lab.health.keep(|_| false);
        assert_eq!(lab.status(1), ExitStatus { healthy: true, ..ExitStatus::default() });
    }
}
