//! Names to addresses. One bounded cache of answers that are ready for use; however many ask for a
//! name at the same time, the name servers are asked once; a bounded number of names is asked for
//! at a time, of which one account has a part at most; every question has a deadline.
//!
//! Both families are asked for at once. Where IPv4 addresses are there, IPv6 ones are waited for
//! only a moment longer (RFC 8305 §3): a name server that never answers for AAAA delays the first
//! connection by that moment and no other, for what comes late is still taken into the cache.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tollgate_types::{AccountId, alternate_families};

use crate::dial::error::ResolveError;
use crate::dial::nameserver::{Family, NameServers, Told};

/// How long IPv6 addresses are waited for when IPv4 ones are there (RFC 8305 §3).
const WAIT_FOR_V6: Duration = Duration::from_millis(50);
/// How long IPv4 addresses are waited for when IPv6 ones are there: longer, for many a machine has no
/// way to IPv6.
const WAIT_FOR_V4: Duration = Duration::from_secs(1);
/// How many names are asked for at a time; each takes two sockets.
const AT_ONCE: usize = 512;
/// How many of them for one account: names that hang hold up whoever asks for them.
const AT_ONCE_FOR_ONE: usize = AT_ONCE / 4;
/// Accounts that are remembered before those that ask for nothing are forgotten.
const MANY_ASKERS: usize = 1024;

/// The addresses of a name, in the order they should be tried: families alternate, IPv4 first.
/// Never empty.
pub(crate) type Addresses = Arc<[IpAddr]>;

type Resolution = Result<Addresses, ResolveError>;

/// The resolver of a gateway.
pub(crate) struct Resolver {
    servers: Option<Arc<NameServers>>,
    fixed: HashMap<String, Addresses>,
    timeout: Duration,
    cache: Arc<AnswerCache>,
    turns: Turns,
}

/// Whose turn it is to ask.
struct Turns {
    all: Arc<Semaphore>,
    each: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

/// The right to one of the questions that are under way at once.
struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_one: Option<OwnedSemaphorePermit>,
}

impl Resolver {
    /// Asks these servers, or the system's where there are none; where the system's configuration
    /// cannot be read either, only `fixed` names (lower-case, answered without asking anybody)
    /// resolve. Keeps at most so many answers.
    pub(crate) fn new(
        fixed: HashMap<String, Vec<IpAddr>>,
        servers: &[SocketAddr],
        cache_entries: u64,
        timeout: Duration,
    ) -> Self {
        let servers = NameServers::new(servers, timeout, AT_ONCE)
            .inspect_err(
                |error| tracing::warn!(%error, "names cannot be resolved: no resolver configuration"),
            )
            .ok();
        Self {
            servers: servers.map(Arc::new),
            fixed: fixed.into_iter().map(|(name, addresses)| (name, addresses.into())).collect(),
            timeout,
            cache: Arc::new(AnswerCache::new(usize::try_from(cache_entries).unwrap_or(usize::MAX))),
            turns: Turns::new(),
        }
    }

    /// The addresses of a name, for an account or else for the gateway itself.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub(crate) async fn resolve(&self, name: &str, who: Option<AccountId>) -> Resolution {
        if let Some(addresses) = self.fixed.get(name) {
            return if addresses.is_empty() { Err(ResolveError::Failed) } else { Ok(addresses.clone()) };
        }
        if let Some(known) = self.cache.known(name, Instant::now()) {
            return known;
        }
        timeout(self.timeout, self.ask(name, who)).await.unwrap_or(Err(ResolveError::Timeout))
    }

    /// Waits for the answer to the question that somebody else has asked, or else asks it.
    async fn ask(&self, name: &str, who: Option<AccountId>) -> Resolution {
        let mut answer = match self.cache.asked(name) {
            Some(asked) => asked,
            None => self.begin(name, who).await?,
        };
        let answered = answer.wait_for(Option::is_some).await;
        answered.ok().and_then(|answer| answer.clone()).unwrap_or(Err(ResolveError::Failed))
    }

    async fn begin(
        &self,
        name: &str,
        who: Option<AccountId>,
    ) -> Result<watch::Receiver<Option<Resolution>>, ResolveError> {
        let servers = self.servers.clone().ok_or(ResolveError::Failed)?;
        let turn = self.turns.take(who).await.ok_or(ResolveError::Failed)?;
        let (question, answer) = match AnswerCache::ask(&self.cache, name, Instant::now()) {
            Asked::Already(answer) => return Ok(answer),
            Asked::Now(question, answer) => (question, answer),
        };
        tokio::spawn(question.put(servers, Instant::now() + self.timeout, turn));
        Ok(answer)
    }
}

impl Turns {
    fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), each: Mutex::default() }
    }

    /// Waits for a turn: behind the account's own questions first, then behind everybody's.
    async fn take(&self, who: Option<AccountId>) -> Option<Turn> {
        let of_one = match who {
            Some(who) => Some(self.of(who).acquire_owned().await.ok()?),
            None => None,
        };
        let of_all = self.all.clone().acquire_owned().await.ok()?;
        Some(Turn { _of_all: of_all, _of_one: of_one })
    }

    fn of(&self, who: AccountId) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if each.len() >= MANY_ASKERS {
            // Those that somebody waits for, or holds a turn of, are held elsewhere, too.
            each.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        each.entry(who).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_FOR_ONE))).clone()
    }
}

/// What is known, and what is being asked for.
struct AnswerCache {
    most: usize,
    entries: Mutex<HashMap<Arc<str>, Entry>>,
}

enum Entry {
    Asked(watch::Receiver<Option<Resolution>>),
    Known { answer: Resolution, until: Instant },
}

enum Asked {
    /// Somebody else has.
    Already(watch::Receiver<Option<Resolution>>),
    /// The question is to be put.
    Now(Question, watch::Receiver<Option<Resolution>>),
}

impl AnswerCache {
    fn new(most: usize) -> Self {
        Self { most: most.max(1), entries: Mutex::default() }
    }

    fn known(&self, name: &str, now: Instant) -> Option<Resolution> {
        match self.lock().get(name)? {
            Entry::Known { answer, until } if now < *until => Some(answer.clone()),
            Entry::Known { .. } | Entry::Asked(_) => None,
        }
    }

    fn asked(&self, name: &str) -> Option<watch::Receiver<Option<Resolution>>> {
        match self.lock().get(name)? {
            Entry::Asked(answer) => Some(answer.clone()),
            Entry::Known { .. } => None,
        }
    }

    fn ask(cache: &Arc<Self>, name: &str, now: Instant) -> Asked {
        let mut entries = cache.lock();
        match entries.get(name) {
            Some(Entry::Asked(answer)) => return Asked::Already(answer.clone()),
            Some(Entry::Known { answer, until }) if now < *until => {
                return Asked::Already(watch::channel(Some(answer.clone())).1);
            }
            Some(Entry::Known { .. }) | None => {}
        }
        cache.make_room(&mut entries, now);
        let name: Arc<str> = name.into();
        let (told, answer) = watch::channel(None);
        entries.insert(name.clone(), Entry::Asked(answer.clone()));
        Asked::Now(Question { cache: cache.clone(), name, told }, answer)
    }

    /// Forgets what is out of date, then any, so that a tenth is free. Questions that are being
    /// asked stay: there are few.
    fn make_room(&self, entries: &mut HashMap<Arc<str>, Entry>, now: Instant) {
        if entries.len() < self.most {
            return;
        }
        let enough = self.most - self.most / 10;
        entries.retain(|_, entry| !matches!(entry, Entry::Known { until, .. } if now >= *until));
        let mut excess = entries.len().saturating_sub(enough.saturating_sub(1));
        entries.retain(|_, entry| {
            let goes = excess > 0 && matches!(entry, Entry::Known { .. });
            excess -= usize::from(goes);
            !goes
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question on its way. Where it is dropped without an answer, it can be asked again.
struct Question {
    cache: Arc<AnswerCache>,
    name: Arc<str>,
    told: watch::Sender<Option<Resolution>>,
}

impl Question {
    /// Asks for both families, and says what came as soon as that is enough to connect.
    async fn put(self, servers: Arc<NameServers>, deadline: Instant, _turn: Turn) {
        let ask = async |family| {
            let told = timeout_at(deadline, servers.ask(&self.name, family)).await;
            told.unwrap_or_else(|_| Told::nothing())
        };
        let (mut v4, mut v6) = (pin!(ask(Family::V4)), pin!(ask(Family::V6)));
        tokio::select! {
            told = &mut v4 => self.wait_for(told, v6, WAIT_FOR_V6).await,
            told = &mut v6 => self.wait_for(told, v4, WAIT_FOR_V4).await,
        }
    }

    /// One family is there: the other one may take so much longer, and is added if it comes later.
    async fn wait_for(&self, one: Told, mut other: Pin<&mut impl Future<Output = Told>>, patience: Duration) {
        let has_address = one.addresses.as_ref().is_ok_and(|addresses| !addresses.is_empty());
        if has_address {
            match timeout(patience, other.as_mut()).await {
                Ok(told) => return self.tell(one, Some(told)),
                Err(_) => self.tell(one.clone(), None),
            }
        }
        let told = other.await;
        if !has_address || told.addresses.is_ok() {
            self.tell(one, Some(told));
        }
    }

    fn tell(&self, one: Told, other: Option<Told>) {
        let (answer, keep) = together(one, other);
        let until = Instant::now() + keep;
        let known = Entry::Known { answer: answer.clone(), until };
        self.cache.lock().insert(self.name.clone(), known);
        self.told.send_replace(Some(answer));
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut entries = self.cache.lock();
        if matches!(entries.get(&self.name), Some(Entry::Asked(_))) {
            entries.remove(&self.name);
        }
    }
}

/// What the answers of both families come to, and for how long that holds. A family that says
/// nothing takes nothing from the other one.
fn together(one: Told, other: Option<Told>) -> (Resolution, Duration) {
    let mut addresses = Vec::new();
    let (mut keep, mut keep_nothing) = (Duration::MAX, Duration::MAX);
    let mut error = ResolveError::Failed;
    for told in [Some(one), other].into_iter().flatten() {
        keep_nothing = keep_nothing.min(told.keep);
        match told.addresses {
            Ok(found) if !found.is_empty() => {
                addresses.extend(found);
                keep = keep.min(told.keep);
            }
            Ok(_) | Err(ResolveError::Failed) => {}
            Err(ResolveError::Timeout) => error = ResolveError::Timeout,
        }
    }
    if addresses.is_empty() {
        return (Err(error), keep_nothing);
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    (Ok(alternate_families(addresses).into()), keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_WHILE: Duration = Duration::from_secs(60);

    fn told(addresses: &[&str], keep: u64) -> Told {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Told { addresses: Ok(addresses), keep: Duration::from_secs(keep) }
    }

    #[tokio::test]
    async fn the_hosts_file_is_read() {
        let resolver = Resolver::new(HashMap::new(), &[], 16, Duration::from_secs(5));
        let found = resolver.resolve("localhost", None).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_asks_for_much_waits_for_itself() {
        let turns = Turns::new();
        let [greedy, other] = [1, 2].map(|id| Some(AccountId::new(id)));
        let mut taken = Vec::new();
        while let Ok(turn) = timeout(A_WHILE, turns.take(greedy)).await {
            taken.push(turn.unwrap());
        }
        assert_eq!(taken.len(), AT_ONCE_FOR_ONE);
        assert!(timeout(A_WHILE, turns.take(other)).await.is_ok());
        assert!(timeout(A_WHILE, turns.take(None)).await.is_ok());
        taken.pop();
        assert!(timeout(A_WHILE, turns.take(greedy)).await.is_ok());
    }

    #[tokio::test]
    async fn accounts_that_ask_for_nothing_are_forgotten() {
        let turns = Turns::new();
        for id in 1..5_000 {
            drop(turns.take(Some(AccountId::new(id))).await);
        }
        assert!(turns.each.lock().unwrap().len() <= MANY_ASKERS);
    }

    #[test]
    fn families_alternate_and_the_shorter_time_holds() {
        let v6 = told(&["2001:db8::1", "2001:db8::2"], 60);
        let (answer, keep) = together(v6, Some(told(&["192.0.2.1", "192.0.2.2"], 9)));
        let addresses: Vec<String> = answer.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"]);
        assert_eq!(keep, Duration::from_secs(9));
    }

    #[test]
    fn a_family_that_is_silent_or_absent_takes_nothing_from_the_other() {
        let (answer, keep) = together(Told::nothing(), Some(told(&["192.0.2.1"], 60)));
        assert_eq!((answer.unwrap().len(), keep), (1, Duration::from_secs(60)));
        assert_eq!(together(Told::nothing(), Some(told(&[], 60))).0, Err(ResolveError::Timeout));
        let (answer, keep) = together(told(&[], 9), Some(told(&[], 60)));
        assert_eq!((answer, keep), (Err(ResolveError::Failed), Duration::from_secs(9)));
    }

    #[test]
    fn a_question_is_asked_once_and_again_when_it_was_dropped_or_is_out_of_date() {
        let cache = Arc::new(AnswerCache::new(10));
        let now = Instant::now();
        let Asked::Now(question, _) = AnswerCache::ask(&cache, "a.example", now) else { panic!("new") };
        assert!(matches!(AnswerCache::ask(&cache, "a.example", now), Asked::Already(_)));
        drop(question);
        let Asked::Now(question, _) = AnswerCache::ask(&cache, "a.example", now) else { panic!("dropped") };
        question.tell(told(&["192.0.2.1"], 60), None);
        assert!(cache.known("a.example", now).is_some());
        assert!(cache.known("a.example", now + 2 * A_WHILE).is_none());
        assert!(matches!(AnswerCache::ask(&cache, "a.example", now + 2 * A_WHILE), Asked::Now(..)));
    }

    #[test]
    fn a_flood_of_names_keeps_no_more_than_it_may() {
        let cache = Arc::new(AnswerCache::new(50));
        for n in 0..500 {
            let Asked::Now(question, _) = AnswerCache::ask(&cache, &format!("{n}.example"), Instant::now())
            else {
                panic!("new")
            };
            question.tell(told(&[], 30), None);
            assert!(cache.lock().len() <= 50);
        }
        assert!(cache.lock().len() >= 40);
    }
}
