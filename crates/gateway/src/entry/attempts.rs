//! Failed logins, counted by the peer's address.
//!
//! Each address has a budget of failures that refills steadily. While it is used up, every login from
//! there is refused before its password is looked at, so that guessing proceeds at the rate of the
//! refill and no faster. Other addresses are unaffected, and the address itself recovers within moments
//! of the guessing's end. Nothing is counted by user name: whoever guesses at one from many addresses
//! locks nobody out.
//!
//! Behind one address there may be many people. Whoever has logged in from there lately has a budget of
//! his own as well, for his name at that address, so that another one's guesses do not keep him out. A
//! guesser does not learn that: without the right password he is answered like everybody else.
//!
//! The answer to a failed login is held back for a while that grows with the failures, as long as not
//! too many are held back already.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::entry::budget::{Budget, Spent};
use crate::entry::caps::neighbourhood;
use crate::limits::GatewayLimits;

/// The most addresses whose failures are remembered.
const MAX_ADDRESSES: usize = 65_536;
/// The most names at addresses whose successes are remembered.
const MAX_KNOWN: usize = 65_536;
/// For how long a success is remembered.
const KNOWN_FOR: Duration = Duration::from_secs(12 * 60 * 60);
/// The most answers that are held back at once; each holds a connection. Further ones are given at once.
const MAX_HELD: usize = 1024;

/// The failures of all addresses.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    memory: Mutex<Memory>,
    names: RandomState,
    held: AtomicUsize,
}

/// Who tries to log in: a name, as a number, at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Login {
    address: IpAddr,
    name: u64,
}

#[derive(Debug, Default)]
struct Memory {
    addresses: HashMap<IpAddr, Spent>,
    known: HashMap<Login, Known>,
}

/// A name that logged in from an address.
#[derive(Clone, Copy, Debug)]
struct Known {
    until: Instant,
    spent: Spent,
}

/// Whether a login is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// As every other.
    Yes,
    /// For the sake of whom it may be from; where it is not right, it was not looked at.
    OnlyIfRight,
    /// It is refused before.
    No,
}

/// Returns what may be spent; `None` where that is not limited.
fn budget(limits: &GatewayLimits) -> Option<Budget> {
    Budget::new(limits.failed_logins, limits.failed_logins_window)
}

impl Attempts {
    /// Who tries to log in by this name, without parameters, from this address.
    pub(crate) fn login(&self, peer: IpAddr, name: impl Hash) -> Login {
        Login { address: neighbourhood(peer), name: self.names.hash_one(name) }
    }

    /// Whether a login is looked at now.
    pub(crate) fn check(&self, login: Login, limits: &GatewayLimits, now: Instant) -> Allowed {
        let Some(budget) = budget(limits) else { return Allowed::Yes };
        let memory = self.memory();
        let address = memory.addresses.get(&login.address);
        if address.is_none_or(|spent| spent.has_room(budget, now)) {
            return Allowed::Yes;
        }
        let known = memory.known.get(&login).filter(|known| known.until > now);
        let has_room = known.is_some_and(|known| known.spent.has_room(budget, now));
        if has_room { Allowed::OnlyIfRight } else { Allowed::No }
    }

    /// A login failed: its address pays for it, and where its name is known there, so does that.
    /// Answers how long to hold back the answer.
    pub(crate) fn failed(&self, login: Login, limits: &GatewayLimits, now: Instant) -> Duration {
        let Some(budget) = budget(limits) else { return Duration::ZERO };
        let mut memory = self.memory();
        memory.make_room(now);
        if let Some(known) = memory.known.get_mut(&login) {
            known.spent.spend(budget, now);
        }
        let address = memory.addresses.entry(login.address).or_insert(Spent { full_at: now });
        address.spend(budget, now);
        share(limits.failed_login_delay, address.missing(now), budget.window)
    }

    /// A login succeeded.
    pub(crate) fn succeeded(&self, login: Login, limits: &GatewayLimits, now: Instant) {
        if budget(limits).is_none() {
            return;
        }
        let mut memory = self.memory();
        memory.make_room(now);
        let known = Known { until: now, spent: Spent { full_at: now } };
        memory.known.entry(login).or_insert(known).until = now + KNOWN_FOR;
    }

    /// Holds back an answer, unless too many are held back. Answers whether it did.
    pub(crate) async fn hold_back(&self, delay: Duration) -> bool {
        if delay.is_zero() {
            return false;
        }
        let held = Held(&self.held);
        if self.held.fetch_add(1, Ordering::Relaxed) >= MAX_HELD {
            return false;
        }
        sleep(delay).await;
        drop(held);
        true
    }

    /// How many answers are held back.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Forgets what does not matter any more where there is too much. What is left then is at most
    /// half of what there may be, or else nothing, so that a flood does not have all of it looked
    /// through for each newcomer.
    fn make_room(&mut self, now: Instant) {
        if self.addresses.len() >= MAX_ADDRESSES {
            self.addresses.retain(|_, spent| spent.full_at > now);
            if self.addresses.len() > MAX_ADDRESSES / 2 {
                self.addresses.clear();
            }
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.retain(|_, known| known.until > now);
            if self.known.len() > MAX_KNOWN / 2 {
                self.known.clear();
            }
        }
    }
}

/// One answer that is held back.
struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// As much of a whole as a part is of another one; the whole at most.
fn share(whole: Duration, part: Duration, of: Duration) -> Duration {
    let nanos = whole.as_nanos() * part.min(of).as_nanos() / of.as_nanos().max(1);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(failed_logins: u32) -> GatewayLimits {
        GatewayLimits { failed_logins, ..GatewayLimits::default() }
    }

    fn at(attempts: &Attempts, address: &str, name: &str) -> Login {
        attempts.login(address.parse().unwrap(), name)
    }

    /// Guesses as often as it is looked at, and answers how often that was.
    fn guess(attempts: &Attempts, login: Login, limits: &GatewayLimits, now: Instant) -> usize {
        let looked_at = (0..1_000).filter(|_| {
            let is_looked_at = attempts.check(login, limits, now) != Allowed::No;
            if is_looked_at {
                attempts.failed(login, limits, now);
            }
            is_looked_at
        });
        looked_at.count()
    }

    #[test]
    fn hp_17_guessing_is_slowed_by_address_and_recovers() {
        let (attempts, limits, now) = (Attempts::default(), limits(10), Instant::now());
        let guesser = at(&attempts, "198.51.100.1", "alice");
        assert_eq!(guess(&attempts, guesser, &limits, now), 10);
        assert_eq!(attempts.check(guesser, &limits, now), Allowed::No);
        assert_eq!(attempts.check(at(&attempts, "198.51.100.1", "bob"), &limits, now), Allowed::No);
        assert_eq!(attempts.check(at(&attempts, "198.51.100.2", "alice"), &limits, now), Allowed::Yes);
        assert_eq!(attempts.check(guesser, &limits, now + 6 * SECOND), Allowed::Yes);
    }

    #[test]
    fn ipv6_neighbours_count_together() {
        let (attempts, limits, now) = (Attempts::default(), limits(1), Instant::now());
        attempts.failed(at(&attempts, "2001:db8::1", "a"), &limits, now);
        assert_eq!(attempts.check(at(&attempts, "2001:db8::2", "a"), &limits, now), Allowed::No);
        assert_eq!(attempts.check(at(&attempts, "2001:db8:0:1::2", "a"), &limits, now), Allowed::Yes);
    }

    #[test]
    fn guesses_at_a_name_from_everywhere_lock_nobody_out() {
        let (attempts, limits, now) = (Attempts::default(), limits(10), Instant::now());
        for last in 1..=254 {
            guess(&attempts, at(&attempts, &format!("198.51.100.{last}"), "alice"), &limits, now);
        }
        assert_eq!(attempts.check(at(&attempts, "203.0.113.1", "alice"), &limits, now), Allowed::Yes);
    }

    #[test]
    fn who_logged_in_lately_is_not_kept_out_by_others_behind_his_address() {
        let (attempts, limits, now) = (Attempts::default(), limits(10), Instant::now());
        let [alice, bob] = ["alice", "bob"].map(|name| at(&attempts, "198.51.100.1", name));
        attempts.succeeded(alice, &limits, now);
        assert_eq!(guess(&attempts, bob, &limits, now), 10);
        assert_eq!(attempts.check(bob, &limits, now), Allowed::No);
        assert_eq!(attempts.check(alice, &limits, now), Allowed::OnlyIfRight);
        // Guesses at her own name are bounded, too.
        assert_eq!(guess(&attempts, alice, &limits, now), 10);
        assert_eq!(attempts.check(alice, &limits, now), Allowed::No);
        let hours = now + KNOWN_FOR;
        assert_eq!(guess(&attempts, bob, &limits, hours), 10);
        assert_eq!(attempts.check(alice, &limits, hours), Allowed::No, "it is long ago");
    }

    #[test]
    fn answers_are_held_back_the_longer_the_more_failed() {
        let (attempts, limits, now) = (Attempts::default(), limits(10), Instant::now());
        let login = at(&attempts, "198.51.100.1", "alice");
        let delays: Vec<_> =
            (0..12).map(|_| attempts.failed(login, &limits, now).as_millis() / 100).collect();
        assert_eq!(delays, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]);
        let elsewhere = at(&attempts, "198.51.100.2", "alice");
        assert_eq!(attempts.failed(elsewhere, &limits, now), SECOND / 10);
    }

    #[test]
    fn s5_11_a_name_that_is_known_is_answered_as_late_as_one_that_is_not() {
        let (attempts, limits, now) = (Attempts::default(), limits(10), Instant::now());
        let [alice, nobody] = ["alice", "nobody"].map(|name| at(&attempts, "198.51.100.1", name));
        attempts.succeeded(alice, &limits, now);
        let delays = [alice, nobody, nobody, alice, alice].map(|login| attempts.failed(login, &limits, now));
        assert_eq!(delays.map(|delay| delay.as_millis()), [100, 200, 300, 400, 500]);
    }

    #[test]
    fn without_a_limit_nothing_is_remembered() {
        let (attempts, limits, now) = (Attempts::default(), limits(0), Instant::now());
        let login = at(&attempts, "198.51.100.1", "alice");
        assert_eq!(guess(&attempts, login, &limits, now), 1_000);
        attempts.succeeded(login, &limits, now);
        assert_eq!(attempts.failed(login, &limits, now), Duration::ZERO);
        let memory = attempts.memory();
        assert!(memory.addresses.is_empty() && memory.known.is_empty());
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let (attempts, limits, now) = (Attempts::default(), limits(10), Instant::now());
        for i in 0..200_000_u32 {
            let login = attempts.login(std::net::Ipv4Addr::from_bits(i).into(), "alice");
            let now = now + Duration::from_micros(u64::from(i));
            attempts.failed(login, &limits, now);
            attempts.succeeded(login, &limits, now);
        }
        let memory = attempts.memory();
        assert!(memory.addresses.len() <= MAX_ADDRESSES && memory.known.len() <= MAX_KNOWN);
    }

    #[tokio::test(start_paused = true)]
    async fn few_answers_are_held_back_at_once_and_further_ones_are_given() {
        let attempts = std::sync::Arc::new(Attempts::default());
        let start = Instant::now();
        assert!(!attempts.hold_back(Duration::ZERO).await);
        let hold = || {
            let attempts = attempts.clone();
            tokio::spawn(async move { attempts.hold_back(SECOND).await })
        };
        let held: Vec<_> = (0..MAX_HELD).map(|_| hold()).collect();
        while attempts.held() < MAX_HELD {
            tokio::task::yield_now().await;
        }
        assert!(!attempts.hold_back(SECOND).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        for answer in held {
            assert!(answer.await.unwrap());
        }
        assert_eq!((start.elapsed(), attempts.held()), (SECOND, 0));
    }
}
