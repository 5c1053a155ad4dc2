//! What should happen to one customer's packages: a naive model, looked at whenever something is
//! done or due.

use std::time::Duration;

use tollgate_types::Time;

use crate::plan::OFFERS;

const GB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone)]
struct Package {
    left: u64,
    ends_at: Time,
    bought_at: Time,
}

fn midnight_after(now: Time) -> Time {
    let day = i64::try_from(DAY.as_micros()).unwrap();
    Time::from_micros((now.micros() / day + 1) * day)
}

/// What one customer has, wants, and has been told.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    packages: Vec<Package>,
    ever_bought: bool,
    remind: Option<(i64, i64)>,
    rebuy: Option<(usize, i64, i64)>,
    told_gb: bool,
    told_days: bool,
    told_exhausted: bool,
    failing: Option<&'static str>,
    rebuys: (u64, u32),
}

impl Packages {
    pub(crate) fn bought(&mut self, offer: usize, now: Time) {
        let (gb, _, days) = OFFERS[offer];
        self.ever_bought = true;
        self.packages.push(Package {
            left: u64::try_from(gb).unwrap() * GB,
            ends_at: now.plus(DAY * u32::try_from(days).unwrap()),
            bought_at: now,
        });
        self.packages.sort_by_key(|package| (package.ends_at, package.bought_at));
    }

    pub(crate) fn left(&self, now: Time) -> u64 {
        self.packages.iter().filter(|package| package.ends_at > now).map(|package| package.left).sum()
    }

    /// Earliest expiry first.
    pub(crate) fn used(&mut self, mut bytes: u64, now: Time) {
        for package in self.packages.iter_mut().filter(|package| package.ends_at > now) {
            let here = bytes.min(package.left);
            package.left -= here;
            bytes -= here;
        }
        assert_eq!(bytes, 0, "no more is used than there is");
    }

    pub(crate) fn wants_reminders(&mut self, gb: i64, days: i64) {
        self.remind = Some((gb, days));
    }

    pub(crate) fn wants_rebuy(&mut self, rebuy: Option<(usize, i64, i64)>) {
        self.rebuy = rebuy;
        self.failing = None;
    }

    pub(crate) fn has_chosen(&self) -> bool {
        self.rebuy.is_some()
    }

    /// The next moment at which something should happen by itself.
    pub(crate) fn next(&self, now: Time) -> Option<Time> {
        let last = self.packages.iter().map(|package| package.ends_at).max();
        let ahead = |days: i64| last.map(|last| last.minus(DAY * u32::try_from(days).unwrap()));
        let expiries = self.packages.iter().map(|package| package.ends_at);
        let reminder = self.remind.and_then(|(_, days)| ahead(days));
        let rebuy = self.rebuy.and_then(|(_, _, days)| ahead(days));
        // Bought often enough for a day: the next one begins.
        let tomorrow =
            self.failing.filter(|failing| *failing == "package.rebuy_failed").map(|_| midnight_after(now));
        expiries.chain(reminder).chain(rebuy).chain(tomorrow).filter(|at| *at > now).min()
    }

    /// What should be told now. `balance` is what the wallet holds, and pays for what is bought
    /// again.
    pub(crate) fn look(&mut self, now: Time, day: u64, balance: &mut i64) -> Vec<&'static str> {
        let mut told = Vec::new();
        self.packages.retain(|package| {
            let over = package.ends_at <= now;
            if over && package.left > 0 {
                told.push("package.expired");
            }
            !over
        });
        loop {
            self.remind(now, &mut told);
            if !self.buy_again(now, day, balance, &mut told) {
                return told;
            }
        }
    }

    fn remind(&mut self, now: Time, told: &mut Vec<&'static str>) {
        let Some(last) = self.packages.iter().map(|package| package.ends_at).max() else { return };
        let left = self.left(now);
        let reached = |(gb, days): (i64, i64)| {
            let soon = last.minus(DAY * u32::try_from(days).unwrap()) <= now;
            (left <= u64::try_from(gb).unwrap() * GB, soon)
        };
        let (few, soon) = self.remind.map_or((false, false), reached);
        if few && !self.told_gb {
            told.push("package.threshold_reached");
        }
        if soon && left > 0 && !self.told_days {
            told.push("package.threshold_reached");
        }
        if left == 0 && !self.told_exhausted {
            told.push("package.exhausted");
        }
        (self.told_gb, self.told_days, self.told_exhausted) = (few, soon, left == 0);
    }

    /// Whether one was bought.
    fn buy_again(&mut self, now: Time, day: u64, balance: &mut i64, told: &mut Vec<&'static str>) -> bool {
        let Some((offer, gb, days)) = self.rebuy.filter(|_| self.ever_bought) else { return false };
        let last = self.packages.iter().map(|package| package.ends_at).max();
        let soon = last.is_none_or(|last| last.minus(DAY * u32::try_from(days).unwrap()) <= now);
        if self.left(now) > u64::try_from(gb).unwrap() * GB && !soon {
            self.failing = None;
            return false;
        }
        if self.rebuys.0 != day {
            self.rebuys = (day, 0);
        }
        let (item_gb, price, _) = OFFERS[offer];
        let failing = match (self.rebuys.1 >= 3, item_gb * price > *balance) {
            (true, _) => Some("package.rebuy_failed"),
            (false, true) => Some("package.rebuy_insufficient"),
            (false, false) => None,
        };
        if failing.is_some() {
            if self.failing != failing {
                told.extend(failing);
            }
            self.failing = failing;
            return false;
        }
        self.failing = None;
        self.rebuys.1 += 1;
        *balance -= item_gb * price;
        told.push("package.rebuy_succeeded");
        self.bought(offer, now);
        true
    }
}
