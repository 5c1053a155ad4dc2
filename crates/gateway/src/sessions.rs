//! When each sticky session was first used on this gateway (see [`crate::route`] for why).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tollgate_types::ExitId;

use crate::route::{Draw, SessionKey};

/// How long a session that nobody uses is remembered beyond its window: the longest `sesstime`.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The table. Bounded: when full, sessions whose window is over are forgotten, then any.
#[derive(Debug)]
pub(crate) struct Sessions {
    most: usize,
    table: Mutex<HashMap<SessionKey, Window>>,
}

/// One window of one session.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    ends: Instant,
    generation: u64,
    /// The exit of the window before.
    previous: Option<ExitId>,
    /// The exit that served it last in this window.
    exit: Option<ExitId>,
}

impl Sessions {
    /// A table of at most so many sessions.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), table: Mutex::default() }
    }

    /// The session is used now: says from what its exit is drawn, and opens the next window where
    /// `sesstime` has run out since the first use in the present one.
    pub(crate) fn used(&self, key: SessionKey, sesstime: Duration, now: Instant) -> Draw {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= self.most && !table.contains_key(&key) {
            forget(&mut table, now, self.most);
        }
        let fresh = Window { began: now, ends: now + sesstime, generation: 0, previous: None, exit: None };
        let window = table.entry(key).or_insert(fresh);
        // The time may differ from use to use; what the present request asks for holds.
        window.ends = window.began + sesstime;
        if now >= window.ends {
            *window = Window { generation: window.generation + 1, previous: window.exit, ..fresh };
        }
        Draw::Session { key, generation: window.generation, previous: window.previous }
    }

    /// Which exit served the session in its present window.
    pub(crate) fn served_by(&self, key: SessionKey, exit: ExitId) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = table.get_mut(&key) {
            window.exit = Some(exit);
        }
    }
}

/// Makes room: long unused sessions, then those whose window is over, then any tenth.
fn forget(table: &mut HashMap<SessionKey, Window>, now: Instant, most: usize) {
    table.retain(|_, window| now < window.ends + REMEMBERED);
    if table.len() >= most {
        table.retain(|_, window| now < window.ends);
    }
    if table.len() >= most {
        let some: Vec<SessionKey> = table.keys().take(most / 10 + 1).copied().collect();
        for key in some {
            table.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_types::{AccountId, Payer, ProxyType};
    use tollgate_wire::username;

    use super::*;

    fn key(name: &str) -> SessionKey {
        let payer =
            Payer { account: AccountId::new(1), sub_account: None, proxy_type: ProxyType::Residential };
        SessionKey::of(&payer, &username::parse(&format!("alice-session-{name}")).unwrap().route).unwrap()
    }

    fn generation(draw: Draw) -> (u64, Option<ExitId>) {
        match draw {
            Draw::Session { generation, previous, .. } => (generation, previous),
            Draw::Any(_) => panic!("a session was asked for"),
        }
    }

    #[test]
    fn a_window_lasts_from_first_use_and_the_next_begins_with_its_use() {
        let sessions = Sessions::new(10);
        let (start, minutes) = (Instant::now(), |n: u64| Duration::from_secs(60 * n));
        let at = |n| generation(sessions.used(key("x"), minutes(10), start + minutes(n)));
        assert_eq!(at(0), (0, None));
        sessions.served_by(key("x"), ExitId::new(5));
        assert_eq!(at(9), (0, None));
        assert_eq!(at(25), (1, Some(ExitId::new(5))));
        assert_eq!(at(34), (1, Some(ExitId::new(5))));
        assert_eq!(at(35), (2, None));
    }

    #[test]
    fn the_table_is_bounded() {
        let sessions = Sessions::new(50);
        let now = Instant::now();
        for n in 0..500 {
            sessions.used(key(&format!("s{n}")), Duration::from_secs(600), now);
        }
        assert!(sessions.table.lock().unwrap().len() <= 50);
    }
}
