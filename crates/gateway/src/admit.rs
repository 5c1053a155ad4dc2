//! Rights and caps: an identified caller gets a ticket or a refusal. The ticket owns every guard of
//! the connection, so that dropping it undoes all of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tollgate_types::{AccountId, StaticProxyId, SubAccountId, WhitelistId};

use crate::bandwidth::{Bucket, Throttle};
use crate::funds::Funds;
use crate::identify::Caller;
use crate::limits::{Bandwidth, Caps, GatewayLimits, Limit, Rate};
use crate::live::{Admission, LiveConnection};
use crate::meter::Meter;
use crate::stats::Stats;

/// Proof of admission.
pub(crate) struct Ticket {
    pub(crate) caller: Caller,
    /// What every byte goes on.
    pub(crate) funds: Funds,
    /// The connection among the live ones.
    pub(crate) live: LiveConnection,
    pub(crate) place: Place,
}

impl Ticket {
    /// The meter that its bytes pass, which calls it idle after so long without one.
    pub(crate) fn meter(&self, idle_timeout: Duration) -> Meter<'_> {
        Meter::new(&self.funds, &self.place.throttle, self.live.moved(), idle_timeout)
    }
}

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    Account(AccountId),
    SubAccount(SubAccountId),
    Whitelist(WhitelistId),
    Static(StaticProxyId),
}

impl Who {
    fn calls(caller: &Caller) -> Self {
        match &caller.admission {
            Admission::Credentials(sub_account, _) => Self::SubAccount(*sub_account),
            Admission::Whitelist(entry) => Self::Whitelist(*entry),
            Admission::Static(entry, _) => Self::Static(entry.id),
        }
    }
}

/// What is known of those who have connections, or had some a moment ago.
#[derive(Debug)]
struct Parties<K> {
    known: HashMap<K, Party>,
    /// With more than so many, those are looked for that can be forgotten.
    sweep_at: usize,
}

/// With so many parties it is not worth while to look for some that can be forgotten.
const FEW: usize = 1024;

#[derive(Debug, Default)]
struct Party {
    connections: u32,
    rate: Rate,
    /// What may flow for it; `None` where that is not limited by this kind of party.
    bandwidth: Option<Arc<Bucket>>,
}

impl Party {
    fn is_at_rest(&self, now: Instant) -> bool {
        let has_all_bytes = self.bandwidth.as_ref().is_none_or(|bucket| bucket.is_full(now));
        self.connections == 0 && self.rate.is_full(now) && has_all_bytes
    }
}

impl<K: Copy + Eq + std::hash::Hash> Parties<K> {
    fn new() -> Self {
        Self { known: HashMap::new(), sweep_at: FEW }
    }

    /// Which cap keeps one more connection of theirs out: connections at once, or new ones a second.
    fn full(&self, who: K, caps: Caps, now: Instant, of: [Limit; 2]) -> Result<(), Limit> {
        if !caps.are_set() {
            return Ok(());
        }
        let Some(party) = self.known.get(&who) else { return Ok(()) };
        let [at_once, a_second] = of;
        if caps.connections != 0 && party.connections >= caps.connections {
            return Err(at_once);
        }
        if party.rate.has_room(caps.per_second, now) { Ok(()) } else { Err(a_second) }
    }

    /// One more of theirs.
    fn enter(&mut self, who: K, caps: Caps, now: Instant) -> &mut Party {
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, party| !party.is_at_rest(now));
            self.sweep_at = FEW.max(self.known.len() * 2);
        }
        let party = self.known.entry(who).or_default();
        party.connections = party.connections.saturating_add(1);
        party.rate.take(caps.per_second, now);
        party
    }

    /// One less.
    fn leave(&mut self, who: K, now: Instant) {
        let Some(party) = self.known.get_mut(&who) else { return };
        party.connections = party.connections.saturating_sub(1);
        if party.is_at_rest(now) {
            self.known.remove(&who);
        }
    }
}

/// How many connections each caller and each account has, how fast they open them, and how fast
/// their bytes may go.
#[derive(Debug)]
pub(crate) struct Places {
    taken: Mutex<Taken>,
    whole: Arc<Bucket>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
struct Taken {
    parties: Parties<Who>,
    bandwidth: Bandwidth,
}

/// One of a caller's connections; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    caller: Who,
    account: Who,
    /// How fast its bytes may go.
    throttle: Throttle,
}

impl Places {
    /// All of them are free; bytes go so fast.
    pub(crate) fn new(bandwidth: Bandwidth, stats: Arc<Stats>) -> Self {
        let taken = Taken { parties: Parties::new(), bandwidth };
        Self { taken: Mutex::new(taken), whole: Arc::new(Bucket::new(bandwidth.whole)), stats }
    }

    /// Has bytes go so fast from now on, those of live connections too.
    pub(crate) fn set_bandwidth(&self, bandwidth: Bandwidth) {
        let mut taken = self.taken();
        taken.bandwidth = bandwidth;
        self.whole.set_rate(bandwidth.whole);
        for (who, party) in &taken.parties.known {
            if let Some(bucket) = &party.bandwidth {
                bucket.set_rate(rate_of(*who, bandwidth));
            }
        }
    }

    /// Takes one.
    ///
    /// # Errors
    /// Why the caller, or his account, may not have one more now. Nobody's count has changed then.
    pub(crate) fn take(
        self: &Arc<Self>,
        caller: &Caller,
        limits: &GatewayLimits,
        now: Instant,
    ) -> Result<Place, Limit> {
        self.take_within(caller, limits.per_account, limits.per_caller, now)
    }

    /// The same under caps of their own.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn take_within(
        self: &Arc<Self>,
        caller: &Caller,
        of_account: Caps,
        of_caller: Caps,
        now: Instant,
    ) -> Result<Place, Limit> {
        let (account, caller) = (Who::Account(caller.who().0), Who::calls(caller));
        let mut taken = self.taken();
        let parties = &mut taken.parties;
        parties.full(caller, of_caller, now, [Limit::CallerConnections, Limit::CallerRate])?;
        parties.full(account, of_account, now, [Limit::AccountConnections, Limit::AccountRate])?;
        let callers = taken.enter(caller, of_caller, now);
        let accounts = taken.enter(account, of_account, now);
        let buckets = [callers, accounts, self.whole.clone()];
        drop(taken);
        let throttle = Throttle::new(buckets, self.stats.clone());
        Ok(Place { places: self.clone(), caller, account, throttle })
    }

    /// How many callers and how many accounts have connections.
    pub(crate) fn count(&self) -> (usize, usize) {
        let taken = self.taken();
        let busy = taken.parties.known.iter().filter(|(_, party)| party.connections > 0);
        let (mut callers, mut accounts) = (0, 0);
        for (who, _) in busy {
            match who {
                Who::Account(_) => accounts += 1,
                Who::SubAccount(_) | Who::Whitelist(_) | Who::Static(_) => callers += 1,
            }
        }
        (callers, accounts)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// One more connection of theirs; answers what its bytes come out of.
    fn enter(&mut self, who: Who, caps: Caps, now: Instant) -> Arc<Bucket> {
        let rate = rate_of(who, self.bandwidth);
        let party = self.parties.enter(who, caps, now);
        party.bandwidth.get_or_insert_with(|| Arc::new(Bucket::new(rate))).clone()
    }
}

const fn rate_of(who: Who, bandwidth: Bandwidth) -> u64 {
    match who {
        Who::Account(_) => bandwidth.per_account,
        Who::SubAccount(_) | Who::Whitelist(_) | Who::Static(_) => bandwidth.per_caller,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut taken = self.places.taken();
        taken.parties.leave(self.caller, now);
        taken.parties.leave(self.account, now);
    }
}

/// The addresses that connections come from. Those that came while no cap was set on addresses are
/// not among them.
#[derive(Debug)]
pub(crate) struct Guests(Mutex<Parties<IpAddr>>);

/// One of an address's connections, where they are counted.
#[derive(Debug)]
pub(crate) struct Guest {
    guests: Arc<Guests>,
    address: IpAddr,
}

impl Guests {
    /// Nobody.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Parties::new()))
    }

    /// Lets one in; `None` where addresses are not counted.
    ///
    /// # Errors
    /// Why its address may not have one more now.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr, caps: Caps) -> Result<Option<Guest>, Limit> {
        if !caps.are_set() {
            return Ok(None);
        }
        let (address, now) = (neighbourhood(peer), Instant::now());
        let mut parties = self.parties();
        parties.full(address, caps, now, [Limit::AddressConnections, Limit::AddressRate])?;
        parties.enter(address, caps, now);
        Ok(Some(Guest { guests: self.clone(), address }))
    }

    /// How many addresses are counted that have connections.
    pub(crate) fn count(&self) -> usize {
        self.parties().known.values().filter(|party| party.connections > 0).count()
    }

    fn parties(&self) -> MutexGuard<'_, Parties<IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.parties().leave(self.address, Instant::now());
    }
}

/// Addresses that are counted together: IPv6 by /64, which is what one customer of a provider has.
pub(crate) fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_types::{Payer, ProxyType};
    use tollgate_wire::username::RouteParams;

    use super::*;
    use crate::identify::Service;

    fn caller(id: i64, account: i64) -> Caller {
        let payer =
            Payer { account: AccountId::new(account), sub_account: None, proxy_type: ProxyType::Residential };
        Caller {
            admission: Admission::Whitelist(WhitelistId::new(id)),
            username: String::new(),
            service: Service::Metered { payer, route: RouteParams::default() },
        }
    }

    fn limits(per_account: Caps, per_caller: Caps) -> GatewayLimits {
        GatewayLimits { per_account, per_caller, ..GatewayLimits::default() }
    }

    const fn at_once(connections: u32) -> Caps {
        Caps { connections, per_second: 0 }
    }

    const fn a_second(per_second: u32) -> Caps {
        Caps { connections: 0, per_second }
    }

    #[test]
    fn a_caller_has_no_more_places_than_allowed_and_gets_them_back() {
        let places = Arc::new(Places::new(Bandwidth::default(), Arc::default()));
        let (limits, now) = (limits(at_once(0), at_once(2)), Instant::now());
        let take = |id| places.take(&caller(id, 1), &limits, now);
        let (first, second) = (take(1), take(1));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(take(1).err(), Some(Limit::CallerConnections));
        let other = take(2);
        assert!(other.is_ok());
        assert_eq!(places.count(), (2, 1));
        drop(first);
        assert!(take(1).is_ok());
    }

    #[test]
    fn an_account_has_a_cap_of_its_own_over_all_its_callers() {
        let places = Arc::new(Places::new(Bandwidth::default(), Arc::default()));
        let (limits, now) = (limits(at_once(2), at_once(0)), Instant::now());
        let take = |id, account| places.take(&caller(id, account), &limits, now);
        let held = [take(1, 1), take(2, 1)];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(take(3, 1).err(), Some(Limit::AccountConnections));
        assert!(take(4, 2).is_ok());
        drop(held);
        assert!(take(3, 1).is_ok());
        assert_eq!(places.count(), (0, 0));
        assert!(places.taken().parties.known.is_empty(), "nobody is remembered without need");
    }

    #[test]
    fn new_connections_a_second_are_capped_also_where_they_end_at_once() {
        let places = Arc::new(Places::new(Bandwidth::default(), Arc::default()));
        let start = Instant::now();
        for (limits, limit) in [
            (limits(a_second(0), a_second(3)), Limit::CallerRate),
            (limits(a_second(3), a_second(0)), Limit::AccountRate),
        ] {
            let take = |id, account, millis| {
                let now = start + Duration::from_millis(millis);
                places.take(&caller(id, account), &limits, now).map(drop)
            };
            assert!((0..6).all(|_| take(1, 1, 0).is_ok()));
            assert_eq!(take(1, 1, 0), Err(limit));
            assert_eq!(take(2, 2, 0), Ok(()), "nobody else is refused");
            assert_eq!(take(1, 1, 340), Ok(()), "a third of a second later there is one more");
            assert_eq!(take(1, 1, 340), Err(limit));
        }
    }

    #[test]
    fn who_is_refused_changes_nobodys_count() {
        let places = Arc::new(Places::new(Bandwidth::default(), Arc::default()));
        let (limits, now) = (limits(at_once(1), at_once(1)), Instant::now());
        let held = places.take(&caller(1, 1), &limits, now);
        for id in 2..50 {
            assert_eq!(places.take(&caller(id, 1), &limits, now).err(), Some(Limit::AccountConnections));
        }
        assert_eq!(places.count(), (1, 1));
        drop(held);
        assert!(places.taken().parties.known.is_empty());
    }

    #[test]
    fn a_crowd_of_threads_never_gets_more_places_than_there_are_and_leaves_none_behind() {
        let places = Arc::new(Places::new(Bandwidth::default(), Arc::default()));
        let limits = limits(at_once(7), at_once(3));
        let held = [1, 2, 3, 4].map(|_| std::sync::atomic::AtomicU32::new(0));
        let [most, refused] = [0, 0].map(std::sync::atomic::AtomicU32::new);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for (thread, theirs) in held.iter().cycle().take(16).enumerate() {
                let (places, limits, held, most, refused) = (&places, &limits, &held, &most, &refused);
                scope.spawn(move || {
                    let caller = caller(i64::try_from(thread % held.len()).unwrap(), 1);
                    for _ in 0..2_000 {
                        let Ok(place) = places.take(&caller, limits, Instant::now()) else {
                            refused.fetch_add(1, order);
                            continue;
                        };
                        assert!(theirs.fetch_add(1, order) < 3, "no caller has more than his cap");
                        let all = held.iter().map(|held| held.load(order)).sum();
                        most.fetch_max(all, order);
                        std::thread::yield_now();
                        theirs.fetch_sub(1, order);
                        drop(place);
                    }
                });
            }
        });
        assert!(most.load(order) <= 7 && refused.load(order) > 0);
        assert_eq!(places.count(), (0, 0));
        assert!(places.taken().parties.known.is_empty());
    }

    #[test]
    fn an_address_and_its_neighbours_have_a_cap_and_others_are_unaffected() {
        let guests = Arc::new(Guests::new());
        let enter = |text: &str, caps| guests.enter(text.parse().unwrap(), caps);
        let held = [enter("2001:db8::1", at_once(2)), enter("2001:db8::2", at_once(2))];
        assert!(held.iter().all(|guest| matches!(guest, Ok(Some(_)))));
        assert_eq!(enter("2001:db8::3", at_once(2)).err(), Some(Limit::AddressConnections));
        assert!(enter("2001:db8:0:1::3", at_once(2)).is_ok());
        assert!(enter("192.0.2.1", a_second(1)).is_ok() && enter("192.0.2.1", a_second(1)).is_ok());
        assert_eq!(enter("::ffff:192.0.2.1", a_second(1)).err(), Some(Limit::AddressRate));
        assert!(matches!(enter("192.0.2.1", at_once(0)), Ok(None)), "without a cap nobody is counted");
        assert_eq!(guests.count(), 1);
        drop(held);
        assert_eq!(guests.count(), 0);
    }

    #[test]
    fn a_flood_from_many_addresses_is_forgotten_as_it_passes() {
        let parties = &mut Parties::<u32>::new();
        let start = Instant::now();
        for i in 0..200_000_u32 {
            let now = start + Duration::from_micros(u64::from(i) * 100);
            parties.enter(i, a_second(10), now);
            parties.leave(i, now);
            assert!(parties.known.len() <= 4 * FEW, "{i}: {}", parties.known.len());
        }
    }
}
