//! Caps: how many connections each caller, each account and each client address has, how fast they
//! open them, and how fast their bytes may go.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tollgate_types::{AccountId, StaticProxyId, SubAccountId, WhitelistId};

use crate::entry::caller::Caller;
use crate::entry::live::Admission;
use crate::limits::{Bandwidth, Caps, GatewayLimits, Limit, Rate};
use crate::relay::{Bucket, Throttle};
use crate::stats::Stats;

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Account(AccountId),
    SubAccount(SubAccountId),
    Whitelist(WhitelistId),
    Static(StaticProxyId),
}

impl Holder {
    fn calls(caller: &Caller) -> Self {
        match &caller.admission {
            Admission::Credentials(sub_account, _) => Self::SubAccount(*sub_account),
            Admission::Whitelist(entry) => Self::Whitelist(*entry),
            Admission::Static(entry, _) => Self::Static(entry.id),
        }
    }
}

/// The connections of each holder that has some, or had some a moment ago.
#[derive(Debug)]
struct Counts<K> {
    known: HashMap<K, Count>,
    /// With more counts than this, those are looked for that can be forgotten.
    sweep_at: usize,
}

/// With no more counts than this it is not worth while to look for some that can be forgotten.
const FEW: usize = 1024;

#[derive(Debug, Default)]
struct Count {
    connections: u32,
    rate: Rate,
    /// What may flow for it; `None` where that is not limited by this kind of holder.
    bandwidth: Option<Arc<Bucket>>,
}

impl Count {
    fn is_at_rest(&self, now: Instant) -> bool {
        let has_all_bytes = self.bandwidth.as_ref().is_none_or(|bucket| bucket.is_full(now));
        self.connections == 0 && self.rate.is_full(now) && has_all_bytes
    }
}

impl<K: Copy + Eq + std::hash::Hash> Counts<K> {
    fn new() -> Self {
        Self { known: HashMap::new(), sweep_at: FEW }
    }

    /// Which cap keeps one more connection of theirs out: connections at once, or new ones a second.
    fn full(&self, who: K, caps: Caps, now: Instant, of: [Limit; 2]) -> Result<(), Limit> {
        if !caps.are_set() {
            return Ok(());
        }
        let Some(count) = self.known.get(&who) else { return Ok(()) };
        let [at_once, a_second] = of;
        if caps.connections != 0 && count.connections >= caps.connections {
            return Err(at_once);
        }
        if count.rate.has_room(caps.per_second, now) { Ok(()) } else { Err(a_second) }
    }

    /// Counts one more connection of `who`.
    fn enter(&mut self, who: K, caps: Caps, now: Instant) -> &mut Count {
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, count| !count.is_at_rest(now));
            self.sweep_at = FEW.max(self.known.len() * 2);
        }
        let count = self.known.entry(who).or_default();
        count.connections = count.connections.saturating_add(1);
        count.rate.take(caps.per_second, now);
        count
    }

    /// Counts one connection less of `who`.
    fn leave(&mut self, who: K, now: Instant) {
        let Some(count) = self.known.get_mut(&who) else { return };
        count.connections = count.connections.saturating_sub(1);
        if count.is_at_rest(now) {
            self.known.remove(&who);
        }
    }
}

/// How many connections each caller and each account has, how fast they open them, and how fast
/// their bytes may go.
#[derive(Debug)]
pub(crate) struct CallerSlots {
    taken: Mutex<Taken>,
    whole: Arc<Bucket>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
struct Taken {
    counts: Counts<Holder>,
    bandwidth: Bandwidth,
}

/// A slot that a caller's connection has taken; free again when dropped.
#[derive(Debug)]
pub(crate) struct CallerSlot {
    slots: Arc<CallerSlots>,
    caller: Holder,
    account: Holder,
    /// How fast its bytes may go.
    pub(crate) throttle: Throttle,
}

impl CallerSlots {
    /// All slots are free; bytes go as fast as `bandwidth` says.
    pub(crate) fn new(bandwidth: Bandwidth, stats: Arc<Stats>) -> Self {
        let taken = Taken { counts: Counts::new(), bandwidth };
        Self { taken: Mutex::new(taken), whole: Arc::new(Bucket::new(bandwidth.whole)), stats }
    }

    /// Has bytes go as fast as `bandwidth` says from now on, those of live connections too.
    pub(crate) fn set_bandwidth(&self, bandwidth: Bandwidth) {
        let mut taken = self.taken();
        taken.bandwidth = bandwidth;
        self.whole.set_rate(bandwidth.whole);
        for (who, count) in &taken.counts.known {
            if let Some(bucket) = &count.bandwidth {
                bucket.set_rate(rate_of(*who, bandwidth));
            }
        }
    }

    /// Takes a slot of a caller.
    ///
    /// # Errors
    /// Why the caller, or his account, may not have one more now. Nobody's count has changed then.
    pub(crate) fn take(
        self: &Arc<Self>,
        caller: &Caller,
        limits: &GatewayLimits,
        now: Instant,
    ) -> Result<CallerSlot, Limit> {
        self.take_within(caller, limits.per_account, limits.per_caller, now)
    }

    /// Takes a slot of a caller under caps that are given: `of_account` for all slots of his account,
    /// `of_caller` for his own.
    ///
    /// # Errors
    /// Why the caller, or his account, may not have one more now. Nobody's count has changed then.
    pub(crate) fn take_within(
        self: &Arc<Self>,
        caller: &Caller,
        of_account: Caps,
        of_caller: Caps,
        now: Instant,
    ) -> Result<CallerSlot, Limit> {
        let (account, caller) = (Holder::Account(caller.who().0), Holder::calls(caller));
        let mut taken = self.taken();
        let counts = &mut taken.counts;
        counts.full(caller, of_caller, now, [Limit::CallerConnections, Limit::CallerRate])?;
        counts.full(account, of_account, now, [Limit::AccountConnections, Limit::AccountRate])?;
        let callers = taken.enter(caller, of_caller, now);
        let accounts = taken.enter(account, of_account, now);
        let buckets = [callers, accounts, self.whole.clone()];
        drop(taken);
        let throttle = Throttle::new(buckets, self.stats.clone());
        Ok(CallerSlot { slots: self.clone(), caller, account, throttle })
    }

    /// Returns the numbers of callers and of accounts that have connections.
    pub(crate) fn count(&self) -> (usize, usize) {
        let taken = self.taken();
        let busy = taken.counts.known.iter().filter(|(_, count)| count.connections > 0);
        let (mut callers, mut accounts) = (0, 0);
        for (who, _) in busy {
            match who {
                Holder::Account(_) => accounts += 1,
                Holder::SubAccount(_) | Holder::Whitelist(_) | Holder::Static(_) => callers += 1,
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
    fn enter(&mut self, who: Holder, caps: Caps, now: Instant) -> Arc<Bucket> {
        let rate = rate_of(who, self.bandwidth);
        let count = self.counts.enter(who, caps, now);
        count.bandwidth.get_or_insert_with(|| Arc::new(Bucket::new(rate))).clone()
    }
}

const fn rate_of(who: Holder, bandwidth: Bandwidth) -> u64 {
    match who {
        Holder::Account(_) => bandwidth.per_account,
        Holder::SubAccount(_) | Holder::Whitelist(_) | Holder::Static(_) => bandwidth.per_caller,
    }
}

impl Drop for CallerSlot {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut taken = self.slots.taken();
        taken.counts.leave(self.caller, now);
        taken.counts.leave(self.account, now);
    }
}

/// The addresses that connections come from. Those that came while no cap was set on addresses are
/// not among them.
#[derive(Debug)]
pub(crate) struct ClientAddresses(Mutex<Counts<IpAddr>>);

/// The count of one connection of an address; undone when dropped.
#[derive(Debug)]
pub(crate) struct CountedAddress {
    addresses: Arc<ClientAddresses>,
    address: IpAddr,
}

impl ClientAddresses {
    /// No address has connections.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Counts::new()))
    }

    /// Counts one more connection from `peer`; `None` where addresses are not counted.
    ///
    /// # Errors
    /// Why its address may not have one more now.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr, caps: Caps) -> Result<Option<CountedAddress>, Limit> {
        if !caps.are_set() {
            return Ok(None);
        }
        let (address, now) = (neighbourhood(peer), Instant::now());
        let mut counts = self.counts();
        counts.full(address, caps, now, [Limit::AddressConnections, Limit::AddressRate])?;
        counts.enter(address, caps, now);
        Ok(Some(CountedAddress { addresses: self.clone(), address }))
    }

    /// Returns the number of counted addresses that have connections.
    pub(crate) fn count(&self) -> usize {
        self.counts().known.values().filter(|count| count.connections > 0).count()
    }

    fn counts(&self) -> MutexGuard<'_, Counts<IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountedAddress {
    fn drop(&mut self) {
        self.addresses.counts().leave(self.address, Instant::now());
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
    use std::time::Duration;

    use tollgate_types::{Payer, ProxyType};
    use tollgate_wire::username::RouteParams;

    use super::*;
    use crate::entry::caller::Service;

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
        let slots = Arc::new(CallerSlots::new(Bandwidth::default(), Arc::default()));
        let (limits, now) = (limits(at_once(0), at_once(2)), Instant::now());
        let take = |id| slots.take(&caller(id, 1), &limits, now);
        let (first, second) = (take(1), take(1));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(take(1).err(), Some(Limit::CallerConnections));
        let other = take(2);
        assert!(other.is_ok());
        assert_eq!(slots.count(), (2, 1));
        drop(first);
        assert!(take(1).is_ok());
    }

    #[test]
    fn an_account_has_a_cap_of_its_own_over_all_its_callers() {
        let slots = Arc::new(CallerSlots::new(Bandwidth::default(), Arc::default()));
        let (limits, now) = (limits(at_once(2), at_once(0)), Instant::now());
        let take = |id, account| slots.take(&caller(id, account), &limits, now);
        let held = [take(1, 1), take(2, 1)];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(take(3, 1).err(), Some(Limit::AccountConnections));
        assert!(take(4, 2).is_ok());
        drop(held);
        assert!(take(3, 1).is_ok());
        assert_eq!(slots.count(), (0, 0));
        assert!(slots.taken().counts.known.is_empty(), "nobody is remembered without need");
    }

    #[test]
    fn new_connections_a_second_are_capped_also_where_they_end_at_once() {
        let slots = Arc::new(CallerSlots::new(Bandwidth::default(), Arc::default()));
        let start = Instant::now();
        for (limits, limit) in [
            (limits(a_second(0), a_second(3)), Limit::CallerRate),
            (limits(a_second(3), a_second(0)), Limit::AccountRate),
        ] {
            let take = |id, account, millis| {
                let now = start + Duration::from_millis(millis);
                slots.take(&caller(id, account), &limits, now).map(drop)
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
        let slots = Arc::new(CallerSlots::new(Bandwidth::default(), Arc::default()));
        let (limits, now) = (limits(at_once(1), at_once(1)), Instant::now());
        let held = slots.take(&caller(1, 1), &limits, now);
        for id in 2..50 {
            assert_eq!(slots.take(&caller(id, 1), &limits, now).err(), Some(Limit::AccountConnections));
        }
        assert_eq!(slots.count(), (1, 1));
        drop(held);
        assert!(slots.taken().counts.known.is_empty());
    }

    #[test]
    fn a_crowd_of_threads_never_gets_more_places_than_there_are_and_leaves_none_behind() {
        let slots = Arc::new(CallerSlots::new(Bandwidth::default(), Arc::default()));
        let limits = limits(at_once(7), at_once(3));
        let held = [1, 2, 3, 4].map(|_| std::sync::atomic::AtomicU32::new(0));
        let [most, refused] = [0, 0].map(std::sync::atomic::AtomicU32::new);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for (thread, theirs) in held.iter().cycle().take(16).enumerate() {
                let (slots, limits, held, most, refused) = (&slots, &limits, &held, &most, &refused);
                scope.spawn(move || {
                    let caller = caller(i64::try_from(thread % held.len()).unwrap(), 1);
                    for _ in 0..2_000 {
                        let Ok(place) = slots.take(&caller, limits, Instant::now()) else {
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
        assert_eq!(slots.count(), (0, 0));
        assert!(slots.taken().counts.known.is_empty());
    }

    #[test]
    fn an_address_and_its_neighbours_have_a_cap_and_others_are_unaffected() {
        let addresses = Arc::new(ClientAddresses::new());
        let enter = |text: &str, caps| addresses.enter(text.parse().unwrap(), caps);
        let held = [enter("2001:db8::1", at_once(2)), enter("2001:db8::2", at_once(2))];
        assert!(held.iter().all(|guest| matches!(guest, Ok(Some(_)))));
        assert_eq!(enter("2001:db8::3", at_once(2)).err(), Some(Limit::AddressConnections));
        assert!(enter("2001:db8:0:1::3", at_once(2)).is_ok());
        assert!(enter("192.0.2.1", a_second(1)).is_ok() && enter("192.0.2.1", a_second(1)).is_ok());
        assert_eq!(enter("::ffff:192.0.2.1", a_second(1)).err(), Some(Limit::AddressRate));
        assert!(matches!(enter("192.0.2.1", at_once(0)), Ok(None)), "without a cap nobody is counted");
        assert_eq!(addresses.count(), 1);
        drop(held);
        assert_eq!(addresses.count(), 0);
    }

    #[test]
    fn a_flood_from_many_addresses_is_forgotten_as_it_passes() {
        let counts = &mut Counts::<u32>::new();
        let start = Instant::now();
        for i in 0..200_000_u32 {
            let now = start + Duration::from_micros(u64::from(i) * 100);
            counts.enter(i, a_second(10), now);
            counts.leave(i, now);
            assert!(counts.known.len() <= 4 * FEW, "{i}: {}", counts.known.len());
        }
    }
}
