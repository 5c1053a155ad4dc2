//! What should happen to one customer's static proxies: a naive model, looked at whenever something
//! is done or due.

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_types::{StaticProxyId, Time};

use crate::plan::PRICES;

pub(crate) const GRACE: Duration = Duration::from_secs(72 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const MARKS: [Duration; 3] = [Duration::from_secs(3 * 86_400), DAY, HOUR];

/// One proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) id: StaticProxyId,
    price: usize,
    pub(crate) auto: bool,
    pub(crate) ends_at: Time,
    /// Marks at or before it do not count any more.
    since: Time,
    /// Amount, begin, end of what was paid for.
    terms: Vec<(i64, Time, Time)>,
    pub(crate) given_back: bool,
    told_expired: bool,
}

/// What one customer has.
#[derive(Debug, Default)]
pub(crate) struct Statics {
    pub(crate) proxies: Vec<Proxy>,
}

fn days(n: i64) -> Duration {
    DAY * u32::try_from(n).unwrap()
}

impl Proxy {
    pub(crate) fn new(id: StaticProxyId, price: usize, auto: bool, now: Time) -> Self {
        let (_, discount, period, each) = PRICES[price];
        let ends_at = now.plus(days(period));
        // Every share of the plan's prices is a whole number of cents.
        let share = each * (100 - discount) / 100;
        let terms = vec![(share, now, ends_at)];
        Self { id, price, auto, ends_at, since: now, terms, given_back: false, told_expired: false }
    }

    pub(crate) fn renewal(&self) -> i64 {
        PRICES[self.price].3
    }

    pub(crate) fn is_live(&self, now: Time) -> bool {
        !self.given_back && now < self.ends_at
    }

    pub(crate) fn is_renewable(&self, now: Time) -> bool {
        !self.given_back && now < self.ends_at.plus(GRACE)
    }

    pub(crate) fn renewed(&mut self, now: Time) {
        let begin = self.ends_at.max(now);
        self.ends_at = begin.plus(days(PRICES[self.price].2));
        self.terms.push((self.renewal(), begin, self.ends_at));
        (self.since, self.told_expired) = (now, false);
    }

    /// Whole unused days of each term, pro rata, rounded down.
    pub(crate) fn refund(&self, now: Time) -> i64 {
        let of_term = |(amount, begin, end): &(i64, Time, Time)| {
            let whole = i64::try_from(end.since((*begin).max(now)).as_secs() / 86_400).unwrap();
            amount * whole / i64::try_from(end.since(*begin).as_secs() / 86_400).unwrap()
        };
        self.terms.iter().filter(|(_, _, end)| *end > now).map(of_term).sum()
    }

    fn marks(&self) -> impl Iterator<Item = Time> {
        let (ends_at, since) = (self.ends_at, self.since);
        MARKS.into_iter().map(move |ahead| ends_at.minus(ahead)).filter(move |mark| *mark > since)
    }

    fn next(&self, now: Time) -> Option<Time> {
        let ends = [self.ends_at, self.ends_at.plus(GRACE)];
        self.marks().chain(ends).filter(|at| *at > now && !self.given_back).min()
    }

    fn look(&mut self, now: Time, balance: &mut i64, told: &mut Vec<&'static str>) {
        if self.given_back {
            return;
        }
        let at_a_mark = self.marks().any(|mark| mark == now);
        if at_a_mark && self.auto {
            if *balance >= self.renewal() {
                *balance -= self.renewal();
                self.renewed(now);
                told.push("static.renewed");
            } else {
                told.push("static.renewal_insufficient");
            }
        } else if at_a_mark && now != self.ends_at.minus(HOUR) {
            told.push("static.expiring");
        }
        if now == self.ends_at && !self.told_expired {
            self.told_expired = true;
            told.push("static.expired");
        }
    }

    /// Switched on so late that no mark is left: it is tried at once.
    pub(crate) fn switched_on(&mut self, now: Time, balance: &mut i64, told: &mut Vec<&'static str>) {
        let is_late = now > self.ends_at.minus(HOUR);
        if !is_late {
            return;
        }
        if *balance >= self.renewal() {
            *balance -= self.renewal();
            self.renewed(now);
            told.push("static.renewed");
        } else {
            told.push("static.renewal_insufficient");
        }
    }
}

impl Statics {
    pub(crate) fn next(&self, now: Time) -> Option<Time> {
        self.proxies.iter().filter_map(|proxy| proxy.next(now)).min()
    }

    /// What should be told now.
    pub(crate) fn look(&mut self, now: Time, balance: &mut i64) -> Vec<&'static str> {
        let mut told = Vec::new();
        self.proxies.iter_mut().for_each(|proxy| proxy.look(now, balance, &mut told));
        told
    }

    /// What the customer should still see, and until when.
    pub(crate) fn listed(&self, now: Time) -> BTreeMap<StaticProxyId, Time> {
        let listed = self.proxies.iter().filter(|proxy| proxy.is_renewable(now));
        listed.map(|proxy| (proxy.id, proxy.ends_at)).collect()
    }
}
