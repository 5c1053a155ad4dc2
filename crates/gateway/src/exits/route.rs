//! Which exits a request may leave by, best first. Pure: health and chance are handed in.
//!
//! **The order.** Every matching exit gets a number drawn from a key and its own id, and the draws
//! are weighed so that an exit of weight *w* comes first *w* times as often as one of weight 1
//! (weighted rendezvous hashing: the smallest `−log2(u) / w` wins, where `u` is the draw). Without
//! a session the key is random, which makes the order a weighted shuffle. With a session the key is
//! derived from the payer, the session's name and its parameters: every gateway computes the same
//! order without asking anybody, and an exit that leaves or joins moves only the sessions that were
//! or will be on it.
//!
//! **Sessions over time.** A session stays on its exit until `sesstime` has run out since it was
//! first used there. First use cannot be derived from anything but memory, so each gateway keeps a
//! bounded table of it ([`crate::exits::sessions`]), over restarts, too. The first window of a session has
//! generation 0 on every gateway, which makes a fleet agree from the first request on. Within its
//! window the exit that served a session comes first for as long as it may be used: one that joins,
//! or comes back, moves no session that is under way. When the window is over, the next use opens
//! the next generation: it is part of the key, and the exit of the window before is put last, so
//! that the customer who asked for a new exit gets one. Gateways that saw the first use at different
//! moments, or forgot it (a full table), may disagree after that until they have counted the same
//! number of windows. The alternative, windows cut by the wall clock, agrees always but moves a
//! session within `sesstime` of its first use, which the contract rules out.
//!
//! **Health.** Exits that are left out change nothing about the order of the others. Outliers
//! ([`crate::exits::health`]) are left out only where they are at most half of the matching exits that can
//! be reached; where they are more, none of them is. What carries as many connections as it may is
//! passed over.

use std::cmp::Ordering;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tollgate_types::{Directory, Exit, ExitId, Payer};
use tollgate_wire::username::RouteParams;

use crate::exits::standing::{LeftOut, Standing, WHOLE};

/// The most exits one request is tried on.
pub(crate) const MAX_CANDIDATES: usize = 3;

/// What the order of exits is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// No session: a random number.
    Any(u64),
    /// A session in one of its windows.
    Session {
        /// Which session.
        key: SessionKey,
        /// How many windows it has had before.
        generation: u64,
        /// The exit of the window before, which comes last now.
        previous: Option<ExitId>,
        /// The exit that served it in this window, which comes first.
        current: Option<ExitId>,
    },
}

/// A session of one payer with one set of parameters; the same on every gateway and in every
/// release, for it decides which exit the session is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey(u64);

impl SessionKey {
    /// The key, where the request names a session. Other routing parameters are part of it: the
    /// same name with another country is another session.
    pub(crate) fn of(payer: &Payer, route: &RouteParams) -> Option<Self> {
        let session = route.session.as_deref()?;
        let mut hash = Sha256::new();
        hash.update(payer.account.get().to_be_bytes());
        hash.update(payer.sub_account.map_or(0, |id| id.get()).to_be_bytes());
        let country = route.country.map(|country| country.to_string()).unwrap_or_default();
        let asn = route.asn.map(|asn| asn.to_string()).unwrap_or_default();
        let state = route.state.as_deref().unwrap_or_default();
        let city = route.city.as_deref().unwrap_or_default();
        for part in [payer.proxy_type.as_str(), &country, state, city, &asn, session] {
            hash.update(part.as_bytes());
            // No part contains a zero, so that no two lists of parts read alike.
            hash.update([0]);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Some(Self(u64::from_be_bytes([a, b, c, d, e, f, g, h])))
    }

    /// As it is written down.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// As it was written down.
    pub(crate) const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// What is known of the exits at the moment of the choice.
pub(crate) trait Condition {
    /// Where an exit stands.
    fn standing(&self, exit: &Exit) -> Standing;

    /// Whether it carries as many connections as it may. Asked of the few that come into question.
    fn is_full(&self, exit: &Exit) -> bool;
}

/// The exits to try, best first: of the payer's type, matching every parameter, in use, with a place.
pub(crate) fn route(
    directory: &Directory,
    payer: &Payer,
    params: &RouteParams,
    draw: Draw,
    condition: &impl Condition,
) -> Vec<Arc<Exit>> {
    let pool = directory.exits.of(payer.proxy_type);
    let matching = || pool.iter().filter(|exit| matches(exit, params));
    let (mut reachable, mut outliers) = (0_usize, 0_usize);
    let mut best = Best::default();
    for exit in matching() {
        match condition.standing(exit) {
            Standing::In(share) => best.offer(exit, draw, share, condition),
            Standing::Out(LeftOut::Outlier) => outliers += 1,
            Standing::Out(LeftOut::Failures) => continue,
        }
        reachable += 1;
    }
    if outliers > reachable / 2 {
        let is_outlier = |exit: &&Arc<Exit>| condition.standing(exit) == Standing::Out(LeftOut::Outlier);
        matching().filter(is_outlier).for_each(|exit| best.offer(exit, draw, WHOLE, condition));
    }
    best.places.into_iter().flatten().map(|(_, exit)| exit.clone()).collect()
}

/// The best exits so far, best first.
#[derive(Default)]
struct Best<'e> {
    places: [Option<(Rank, &'e Arc<Exit>)>; MAX_CANDIDATES],
}

impl<'e> Best<'e> {
    fn offer(&mut self, exit: &'e Arc<Exit>, draw: Draw, share: u32, condition: &impl Condition) {
        let lot = Lot::of(exit, draw, share);
        let [.., last] = &self.places;
        if last.as_ref().is_some_and(|(last, _)| lot.cannot_beat(&last.lot)) {
            return;
        }
        let rank = Rank { score: minus_log2(lot.drawn), lot };
        let comes_before = |place: &Option<(Rank, _)>| place.as_ref().is_none_or(|(other, _)| rank < *other);
        let Some(at) = self.places.iter().position(comes_before) else { return };
        if condition.is_full(exit) {
            return;
        }
        let [.., last] = &mut self.places;
        *last = Some((rank, exit));
        if let Some(behind) = self.places.get_mut(at..) {
            behind.rotate_right(1);
        }
    }
}

/// Whether an exit is what the parameters ask for.
fn matches(exit: &Exit, params: &RouteParams) -> bool {
    let same = |asked: &Option<String>, is: &str| asked.as_deref().is_none_or(|asked| asked == is);
    params.country.is_none_or(|country| country == exit.country)
        && same(&params.state, &exit.state)
        && same(&params.city, &exit.city)
        && params.asn.is_none_or(|asn| asn == exit.asn)
}

/// What an exit has drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lot {
    tier: Tier,
    drawn: u64,
    weight: u64,
    id: ExitId,
}

/// What comes before any draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    /// The exit that a session is on.
    Present,
    Any,
    /// The exit that it was on in the window before.
    Previous,
}

impl Lot {
    fn of(exit: &Exit, draw: Draw, share: u32) -> Self {
        let (seed, tier, share) = match draw {
            Draw::Any(random) => (random, Tier::Any, share),
            Draw::Session { key, generation, previous, current } => {
                let tier = if current == Some(exit.id) {
                    Tier::Present
                } else if previous == Some(exit.id) {
                    Tier::Previous
                } else {
                    Tier::Any
                };
                // Where a session belongs does not depend on how long its exit has been back.
                (mix(key.0 ^ mix(generation)), tier, WHOLE)
            }
        };
        let drawn = mix(seed ^ mix(exit.id.get().cast_unsigned()));
        let weight = u64::from(exit.weight.max(1)) * u64::from(share.max(1));
        Self { tier, drawn, weight, id: exit.id }
    }

    /// Certainly comes behind another one: a lower draw with no more weight. Saves most logarithms.
    fn cannot_beat(&self, other: &Self) -> bool {
        self.tier >= other.tier && self.drawn < other.drawn && self.weight <= other.weight
    }
}

/// An exit's place in the order: the smaller comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rank {
    score: u64,
    lot: Lot,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        // score / weight against the other's, without dividing.
        let mine = u128::from(self.score) * u128::from(other.lot.weight);
        let theirs = u128::from(other.score) * u128::from(self.lot.weight);
        let (lot, other) = (&self.lot, &other.lot);
        lot.tier
            .cmp(&other.tier)
            .then(mine.cmp(&theirs))
            .then(other.drawn.cmp(&lot.drawn))
            .then(lot.id.cmp(&other.id))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Spreads the bits of a number (the finaliser of splitmix64). Part of what gateways agree on.
const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// `−log2((n + 1) / 2^64)` with 32 fractional bits, in integers so that every machine agrees.
fn minus_log2(n: u64) -> u64 {
    let n = n.saturating_add(1).max(1);
    let zeros = n.leading_zeros();
    // The mantissa in [1, 2) with 63 fractional bits; each squaring yields one bit of its log.
    let mut mantissa = n << zeros;
    let mut fraction: u64 = 0;
    for _ in 0..32 {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let carried = square >> 64 != 0;
        mantissa = u64::try_from(if carried { square >> 1 } else { square }).unwrap_or(u64::MAX);
        fraction = (fraction << 1) | u64::from(carried);
    }
    let log2 = (u64::from(63 - zeros) << 32) | fraction;
    (64_u64 << 32) - log2
}

#[cfg(test)]
mod tests {
    use tollgate_types::{AccountId, ExitKind, PasswordKey, Pools, ProxyType};
    use tollgate_wire::username;

    use super::*;

    fn exit(id: i64, weight: u32) -> Exit {
        Exit {
            id: ExitId::new(id),
            name: format!("exit {id}"),
            proxy_type: ProxyType::Residential,
            kind: ExitKind::Direct { bind_ip: None },
            country: if id % 2 == 0 { "us" } else { "de" }.parse().unwrap(),
            state: "ca".into(),
            city: "losangeles".into(),
            asn: 64500,
            weight,
            max_connections: 0,
        }
    }

    fn directory(exits: impl IntoIterator<Item = Exit>) -> Directory {
        let mut directory = Directory::empty(PasswordKey::new([0; 32]));
        directory.exits = Arc::new(Pools::new(exits));
        directory
    }

    fn payer() -> Payer {
        Payer { account: AccountId::new(1), sub_account: None, proxy_type: ProxyType::Residential }
    }

    /// Exits of which some are out, some are full.
    struct Told<S, F>(S, F);

    impl<S: Fn(i64) -> Standing, F: Fn(i64) -> bool> Condition for Told<S, F> {
        fn standing(&self, exit: &Exit) -> Standing {
            self.0(exit.id.get())
        }

        fn is_full(&self, exit: &Exit) -> bool {
            self.1(exit.id.get())
        }
    }

    fn well() -> impl Condition {
        Told(|_| Standing::In(WHOLE), |_| false)
    }

    fn standing(standing: impl Fn(i64) -> Standing) -> impl Condition {
        Told(standing, |_| false)
    }

    fn ids(exits: &[Arc<Exit>]) -> Vec<i64> {
        exits.iter().map(|exit| exit.id.get()).collect()
    }

    fn first(directory: &Directory, user: &str, generation: u64, previous: Option<ExitId>) -> Option<i64> {
        let params = username::parse(user).unwrap().route;
        let key = SessionKey::of(&payer(), &params).unwrap();
        let draw = Draw::Session { key, generation, previous, current: None };
        route(directory, &payer(), &params, draw, &well()).first().map(|exit| exit.id.get())
    }

    #[test]
    fn the_logarithm_is_right() {
        for n in [0, 1, 2, 1000, u64::MAX / 3, u64::MAX / 2, u64::MAX - 1] {
            let expected = 64.0 - (n as f64 + 1.0).log2();
            let got = minus_log2(n) as f64 / (1_u64 << 32) as f64;
            assert!((got - expected).abs() < 1e-6, "{n}: {got} {expected}");
        }
    }

    #[test]
    fn weights_decide_how_often_an_exit_comes_first() {
        let directory = directory([exit(1, 1), exit(2, 3), exit(3, 6)]);
        let params = username::parse("alice").unwrap().route;
        let mut firsts = [0_u32; 4];
        for n in 0..20_000 {
            let found = route(&directory, &payer(), &params, Draw::Any(mix(n)), &well());
            assert_eq!(found.len(), 3);
            firsts[usize::try_from(found[0].id.get()).unwrap()] += 1;
        }
        for (id, share) in [(1, 2_000), (2, 6_000), (3, 12_000)] {
            assert!(firsts[id].abs_diff(share) < 400, "{firsts:?}");
        }
    }

    #[test]
    fn an_exit_that_leaves_moves_only_its_own_sessions() {
        let full = directory((1..=10).map(|id| exit(id, 1)));
        let less = directory((1..=10).filter(|id| *id != 4).map(|id| exit(id, 1)));
        let mut moved = 0;
        for n in 0..2_000 {
            let user = format!("alice-session-s{n}");
            let (before, after) = (first(&full, &user, 0, None), first(&less, &user, 0, None));
            if before == Some(4) {
                moved += 1;
            } else {
                assert_eq!(before, after, "{user}");
            }
        }
        assert!((100..350).contains(&moved), "{moved}");
    }

    #[test]
    fn the_next_window_has_another_exit() {
        let directory = directory([exit(1, 1), exit(2, 1000)]);
        for n in 0..100 {
            let user = format!("alice-session-s{n}");
            let now = first(&directory, &user, 0, None).unwrap();
            let next = first(&directory, &user, 1, Some(ExitId::new(now))).unwrap();
            assert_ne!(now, next);
        }
    }

    #[test]
    fn parameters_select_and_health_excludes() {
        let directory = directory((1..=10).map(|id| exit(id, 1)));
        let ask = |user: &str, out: fn(i64) -> bool| {
            let params = username::parse(user).unwrap().route;
            let condition = standing(|id| match out(id) {
                true => Standing::Out(LeftOut::Failures),
                false => Standing::In(WHOLE),
            });
            route(&directory, &payer(), &params, Draw::Any(7), &condition)
        };
        let us = ask("alice-country-US-city-Los_Angeles-st-CA-asn-64500", |_| false);
        assert_eq!(us.len(), MAX_CANDIDATES);
        assert!(us.iter().all(|exit| exit.country.as_str() == "us"));
        assert!(ask("alice-cc-fr", |_| false).is_empty());
        assert!(ask("alice-asn-1", |_| false).is_empty());
        assert_eq!(ids(&ask("alice", |id| id != 7)), [7]);
        assert!(ask("alice", |_| true).is_empty());
    }

    #[test]
    fn the_best_are_those_that_sorting_all_would_put_first() {
        let directory = directory((1..=40).map(|id| exit(id, u32::try_from(id % 5).unwrap())));
        let params = username::parse("alice").unwrap().route;
        for n in 0..500 {
            let draw = Draw::Any(mix(n));
            let mut all: Vec<Rank> = directory
                .exits
                .of(ProxyType::Residential)
                .iter()
                .map(|exit| {
                    let lot = Lot::of(exit, draw, WHOLE);
                    Rank { score: minus_log2(lot.drawn), lot }
                })
                .collect();
            all.sort_unstable();
            let sorted: Vec<i64> = all.iter().map(|rank| rank.lot.id.get()).take(MAX_CANDIDATES).collect();
            assert_eq!(ids(&route(&directory, &payer(), &params, draw, &well())), sorted);
        }
    }

    #[test]
    fn a_session_under_way_stays_when_others_join_and_moves_when_its_exit_is_out() {
        let few = directory([exit(1, 1), exit(2, 1)]);
        let many = directory((1..=50).map(|id| exit(id, 1)));
        let out_of_2 = |id| if id == 2 { Standing::Out(LeftOut::Failures) } else { Standing::In(WHOLE) };
        for n in 0..100 {
            let user = format!("alice-session-s{n}");
            let params = username::parse(&user).unwrap().route;
            let key = SessionKey::of(&payer(), &params).unwrap();
            let present = first(&few, &user, 0, None).map(ExitId::new);
            let draw = Draw::Session { key, generation: 0, previous: None, current: present };
            let now = route(&many, &payer(), &params, draw, &well());
            assert_eq!(now.first().map(|exit| exit.id), present);
            let moved = route(&many, &payer(), &params, draw, &standing(out_of_2));
            assert_eq!(moved.first().map(|exit| exit.id) == present, present != Some(ExitId::new(2)));
        }
    }

    #[test]
    fn outliers_are_left_out_up_to_half_and_beyond_that_none_is() {
        let directory = directory((1..=4).map(|id| exit(id, 1)));
        let params = username::parse("alice").unwrap().route;
        let used = |outliers: i64, down: i64| {
            let condition = standing(move |id| match id {
                id if id <= outliers => Standing::Out(LeftOut::Outlier),
                id if id <= outliers + down => Standing::Out(LeftOut::Failures),
                _ => Standing::In(WHOLE),
            });
            let mut firsts: Vec<i64> = (0..200)
                .flat_map(|n| ids(&route(&directory, &payer(), &params, Draw::Any(mix(n)), &condition)))
                .collect();
            firsts.sort_unstable();
            firsts.dedup();
            firsts
        };
        assert_eq!(used(2, 0), [3, 4]);
        assert_eq!(used(3, 0), [1, 2, 3, 4]);
        assert_eq!(used(4, 0), [1, 2, 3, 4]);
        assert_eq!(used(1, 3), [1], "an outlier is better than nothing");
        assert_eq!(used(1, 2), [4]);
    }

    #[test]
    fn full_exits_are_passed_over_however_many_there_are() {
        let directory = directory((1..=20).map(|id| exit(id, 1)));
        let params = username::parse("alice").unwrap().route;
        for n in 0..100 {
            let condition = Told(|_| Standing::In(WHOLE), |id| id != 13);
            assert_eq!(ids(&route(&directory, &payer(), &params, Draw::Any(n), &condition)), [13]);
        }
        let all_full = Told(|_| Standing::In(WHOLE), |_| true);
        assert!(route(&directory, &payer(), &params, Draw::Any(1), &all_full).is_empty());
    }

    #[test]
    fn an_exit_on_its_return_has_a_share_of_the_draws_and_all_its_sessions() {
        let directory = directory([exit(1, 1), exit(2, 1)]);
        let returning = standing(|id| Standing::In(if id == 1 { WHOLE / 16 } else { WHOLE }));
        let params = username::parse("alice").unwrap().route;
        let firsts = (0..2_000)
            .filter(|n| ids(&route(&directory, &payer(), &params, Draw::Any(mix(*n)), &returning))[0] == 1)
            .count();
        assert!((60..180).contains(&firsts), "a seventeenth: {firsts}");
        for n in 0..200 {
            let user = format!("alice-session-s{n}");
            let params = username::parse(&user).unwrap().route;
            let key = SessionKey::of(&payer(), &params).unwrap();
            let draw = Draw::Session { key, generation: 0, previous: None, current: None };
            let now = ids(&route(&directory, &payer(), &params, draw, &returning));
            assert_eq!(now.first().copied(), first(&directory, &user, 0, None));
        }
    }

    #[test]
    fn sessions_of_different_payers_are_different() {
        let params = username::parse("alice-session-x").unwrap().route;
        let other = Payer { account: AccountId::new(2), ..payer() };
        assert_ne!(SessionKey::of(&payer(), &params), SessionKey::of(&other, &params));
        assert_eq!(SessionKey::of(&payer(), &username::parse("alice").unwrap().route), None);
    }
}
