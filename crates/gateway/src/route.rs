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
//! bounded table of it ([`crate::sessions`]). The first window of a session has generation 0 on
//! every gateway, which makes a fleet agree from the first request on. When the window is over, the
//! next use opens the next generation: it is part of the key, and the exit of the window before is
//! put last, so that the customer who asked for a new exit gets one. Gateways that saw the first use
//! at different moments, or forgot it (a restart, a full table), may disagree after that until they
//! have counted the same number of windows. The alternative, windows cut by the wall clock, agrees
//! always but moves a session within `sesstime` of its first use, which the contract rules out.
//!
//! **Health.** Unhealthy exits are left out after the order is made, so that a session returns to
//! its exit when that recovers and no other session moves.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tollgate_types::{Directory, Exit, ExitId, Payer};
use tollgate_wire::username::RouteParams;

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
}

/// The exits to try, best first: of the payer's type, matching every parameter, healthy.
pub(crate) fn route(
    directory: &Directory,
    payer: &Payer,
    params: &RouteParams,
    draw: Draw,
    healthy: impl Fn(ExitId) -> bool,
) -> Vec<Arc<Exit>> {
    let pool = directory.exits.of(payer.proxy_type);
    let mut ranked: Vec<(Rank, &Arc<Exit>)> =
        pool.iter().filter(|exit| matches(exit, params)).map(|exit| (Rank::of(exit, draw), exit)).collect();
    ranked.sort_unstable_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, exit)| exit).filter(|e| healthy(e.id)).take(MAX_CANDIDATES).cloned().collect()
}

/// Whether an exit is what the parameters ask for.
fn matches(exit: &Exit, params: &RouteParams) -> bool {
    let same = |asked: &Option<String>, is: &str| asked.as_deref().is_none_or(|asked| asked == is);
    params.country.is_none_or(|country| country == exit.country)
        && same(&params.state, &exit.state)
        && same(&params.city, &exit.city)
        && params.asn.is_none_or(|asn| asn == exit.asn)
}

/// An exit's place in the order: the smaller comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rank {
    last: bool,
    score: u64,
    weight: u32,
    id: ExitId,
}

impl Rank {
    fn of(exit: &Exit, draw: Draw) -> Self {
        let (seed, last) = match draw {
            Draw::Any(random) => (random, false),
            Draw::Session { key, generation, previous } => {
                (mix(key.0 ^ mix(generation)), previous == Some(exit.id))
            }
        };
        let drawn = mix(seed ^ mix(exit.id.get().cast_unsigned()));
        Self { last, score: minus_log2(drawn), weight: exit.weight.max(1), id: exit.id }
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // score / weight against the other's, without dividing.
        let mine = u128::from(self.score) * u128::from(other.weight);
        let theirs = u128::from(other.score) * u128::from(self.weight);
        self.last.cmp(&other.last).then(mine.cmp(&theirs)).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
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

    fn first(directory: &Directory, user: &str, generation: u64, previous: Option<ExitId>) -> Option<i64> {
        let params = username::parse(user).unwrap().route;
        let key = SessionKey::of(&payer(), &params).unwrap();
        let draw = Draw::Session { key, generation, previous };
        route(directory, &payer(), &params, draw, |_| true).first().map(|exit| exit.id.get())
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
            let found = route(&directory, &payer(), &params, Draw::Any(mix(n)), |_| true);
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
        let ask = |user: &str, healthy: fn(ExitId) -> bool| {
            let params = username::parse(user).unwrap().route;
            route(&directory, &payer(), &params, Draw::Any(7), healthy)
        };
        let us = ask("alice-country-US-city-Los_Angeles-st-CA-asn-64500", |_| true);
        assert_eq!(us.len(), MAX_CANDIDATES);
        assert!(us.iter().all(|exit| exit.country.as_str() == "us"));
        assert!(ask("alice-cc-fr", |_| true).is_empty());
        assert!(ask("alice-asn-1", |_| true).is_empty());
        assert_eq!(ask("alice", |id| id.get() == 7).len(), 1);
        assert!(ask("alice", |_| false).is_empty());
    }

    #[test]
    fn sessions_of_different_payers_are_different() {
        let params = username::parse("alice-session-x").unwrap().route;
        let other = Payer { account: AccountId::new(2), ..payer() };
        assert_ne!(SessionKey::of(&payer(), &params), SessionKey::of(&other, &params));
        assert_eq!(SessionKey::of(&payer(), &username::parse("alice").unwrap().route), None);
    }
}
