//! When each sticky session was first used on this gateway, and which exit it is on (see
//! [`crate::exits::route`] for why). Kept over restarts in a file ([`crate::exits::session_file`]), hence by the
//! clock of the day.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tollgate_types::{ExitId, Time};

use crate::exits::route::{Draw, SessionKey};

/// How long a session that nobody uses is remembered beyond its window: the longest `sesstime`.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is remembered in the file: for so long a restart changes nothing.
const REMEMBERED_ON_DISK: Duration = Duration::from_secs(60 * 60);
/// The table is cut into so many parts with a lock each, so that saving a large one stops nobody.
const MOST_PARTS: usize = 64;
/// A part of fewer sessions is not worth its lock.
const SMALL_PART: usize = 1024;

/// The table. Bounded: when a part is full, sessions whose window is over are forgotten, then any.
#[derive(Debug)]
pub(crate) struct Sessions {
    most_of_part: usize,
    parts: Vec<Mutex<HashMap<SessionKey, Window>>>,
    changed: AtomicBool,
}

/// One window of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) began: Time,
    pub(crate) ends: Time,
    /// How many windows it has had before.
    pub(crate) generation: u64,
    /// The exit of the window before.
    pub(crate) previous: Option<ExitId>,
    /// The exit that served it last in this window.
    pub(crate) exit: Option<ExitId>,
}

impl Sessions {
    /// A table of at most so many sessions.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        let parts = (most / SMALL_PART).clamp(1, MOST_PARTS);
        let (most_of_part, changed) = ((most / parts).max(1), AtomicBool::new(false));
        Self { most_of_part, parts: (0..parts).map(|_| Mutex::default()).collect(), changed }
    }

    /// The session is used now: says from what its exit is drawn, and opens the next window where
    /// `sesstime` has run out since the first use in the present one.
    pub(crate) fn used(&self, key: SessionKey, sesstime: Duration, now: Time) -> Draw {
        let mut part = self.part(key);
        if part.len() >= self.most_of_part && !part.contains_key(&key) {
            make_room(&mut part, now, self.most_of_part);
        }
        let fresh =
            Window { began: now, ends: now.plus(sesstime), generation: 0, previous: None, exit: None };
        let window = part.entry(key).or_insert(fresh);
        // Where the clock was set back, a window does not last for longer than from now on.
        window.began = window.began.min(now);
        // The time may differ from use to use; what the present request asks for holds.
        window.ends = window.began.plus(sesstime);
        if now >= window.ends {
            *window = Window { generation: window.generation + 1, previous: window.exit, ..fresh };
        }
        let Window { generation, previous, exit, .. } = *window;
        Draw::Session { key, generation, previous, current: exit }
    }

    /// Which exit served the session in its present window.
    pub(crate) fn served_by(&self, key: SessionKey, exit: ExitId) {
        if let Some(window) = self.part(key).get_mut(&key)
            && window.exit != Some(exit)
        {
            window.exit = Some(exit);
            self.note_change();
        }
    }

    /// There is something to write down.
    pub(crate) fn note_change(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Puts back what a run before has written down, unless its window has long been over.
    pub(crate) fn restore(&self, windows: impl IntoIterator<Item = (SessionKey, Window)>, now: Time) {
        for (key, window) in windows {
            let mut part = self.part(key);
            // What began later than now was written under another time of day.
            let is_of_use = now < window.ends.plus(REMEMBERED_ON_DISK) && window.began <= now;
            if is_of_use && part.len() < self.most_of_part {
                part.insert(key, window);
            }
        }
    }

    /// Whether any session has moved since the last time this was asked.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// What is worth writing down: the sessions that an exit has served.
    pub(crate) fn snapshot(&self, now: Time) -> Vec<(SessionKey, Window)> {
        let mut all = Vec::new();
        for part in &self.parts {
            let part = lock(part);
            let worth = |window: &Window| {
                let has_moved = window.exit.is_some() || window.generation > 0;
                has_moved && now < window.ends.plus(REMEMBERED_ON_DISK)
            };
            all.extend(part.iter().filter(|(_, window)| worth(window)).map(|(key, window)| (*key, *window)));
        }
        all
    }

    fn part(&self, key: SessionKey) -> MutexGuard<'_, HashMap<SessionKey, Window>> {
        let count = u64::try_from(self.parts.len()).unwrap_or(1);
        let index = usize::try_from(key.number() % count).unwrap_or(0);
        lock(&self.parts[index])
    }
}

fn lock(part: &Mutex<HashMap<SessionKey, Window>>) -> MutexGuard<'_, HashMap<SessionKey, Window>> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes room for a tenth of the table, so that it is not gone through for every new session: long
/// unused sessions go, then those whose window is over, then any.
fn make_room(part: &mut HashMap<SessionKey, Window>, now: Time, most: usize) {
    let enough = most - most / 10;
    part.retain(|_, window| now < window.ends.plus(REMEMBERED));
    if part.len() >= enough {
        part.retain(|_, window| now < window.ends);
    }
    let mut excess = (part.len() + 1).saturating_sub(enough.max(1));
    part.retain(|_, _| {
        let goes = excess > 0;
        excess -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use tollgate_types::{AccountId, Payer, ProxyType};
    use tollgate_wire::username;

    use super::*;

    const START: Time = Time::from_micros(1_800_000_000_000_000);
    const TEN_MINUTES: Duration = Duration::from_secs(600);

    fn key(name: &str) -> SessionKey {
        let payer =
            Payer { account: AccountId::new(1), sub_account: None, proxy_type: ProxyType::Residential };
        SessionKey::of(&payer, &username::parse(&format!("alice-session-{name}")).unwrap().route).unwrap()
    }

    /// Its generation, the exit before, and the present one.
    fn parts(draw: Draw) -> (u64, Option<i64>, Option<i64>) {
        let Draw::Session { generation, previous, current, .. } = draw else {
            panic!("a session was asked for")
        };
        (generation, previous.map(ExitId::get), current.map(ExitId::get))
    }

    fn minutes(count: u64) -> Time {
        START.plus(Duration::from_secs(60 * count))
    }

    #[test]
    fn a_window_lasts_from_first_use_and_the_next_begins_with_its_use() {
        let sessions = Sessions::new(10);
        let at = |n| parts(sessions.used(key("x"), TEN_MINUTES, minutes(n)));
        assert_eq!(at(0), (0, None, None));
        sessions.served_by(key("x"), ExitId::new(5));
        assert_eq!(at(9), (0, None, Some(5)));
        assert_eq!(at(25), (1, Some(5), None));
        assert_eq!(at(34), (1, Some(5), None));
        assert_eq!(at(35), (2, None, None));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_hold_a_session_on_its_exit() {
        let sessions = Sessions::new(10);
        let at = |n| parts(sessions.used(key("x"), TEN_MINUTES, minutes(n)));
        assert_eq!(at(100_000), (0, None, None));
        sessions.served_by(key("x"), ExitId::new(5));
        assert_eq!(at(0), (0, None, Some(5)));
        assert_eq!(at(9), (0, None, Some(5)));
        assert_eq!(at(10), (1, Some(5), None));
    }

    #[test]
    fn the_table_is_bounded() {
        for most in [1, 50, 5_000] {
            let sessions = Sessions::new(most);
            for n in 0..most * 3 {
                sessions.used(key(&format!("s{n}")), TEN_MINUTES, START);
            }
            let size: usize = sessions.parts.iter().map(|part| lock(part).len()).sum();
            assert!((most * 8 / 10..=most).contains(&size), "{most}: {size}");
        }
    }

    #[test]
    fn what_is_restored_goes_on_where_it_was() {
        let before = Sessions::new(100);
        for n in 0..3 {
            before.used(key("x"), TEN_MINUTES, minutes(10 * n));
            before.served_by(key("x"), ExitId::new(7));
        }
        before.used(key("neverserved"), TEN_MINUTES, START);
        assert!(before.take_changed() && !before.take_changed());
        let saved = before.snapshot(minutes(21));
        assert_eq!(saved.len(), 1);
        let restored = |at| {
            let after = Sessions::new(100);
            after.restore(saved.clone(), at);
            parts(after.used(key("x"), TEN_MINUTES, at))
        };
        assert_eq!(restored(minutes(22)), (2, Some(7), Some(7)));
        assert_eq!(restored(minutes(31)), (3, Some(7), None));
        assert_eq!(restored(minutes(95)), (0, None, None), "its window has long been over");
        assert_eq!(restored(minutes(5)), (0, None, None), "the time of day went back");
    }
}
