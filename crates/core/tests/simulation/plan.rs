//! What customers do over the days: drawn by chance, the same from the same seed.
//!
//! Two things that a customer does never lie a whole number of days apart, nor that less an hour:
//! what one of them causes later does not fall on the moment of another, so that a worker which is
//! a minute late changes nothing.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// One thing that somebody does.
#[derive(Debug, Clone)]
pub(crate) struct Act {
    /// When, from the beginning.
    pub(crate) at: Duration,
    /// Who.
    pub(crate) customer: usize,
    /// What.
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// Money comes in.
    Recharge(i64),
    /// The balance to be told of.
    LowBalance(i64),
    /// An item of the catalogue of packages.
    Buy(usize),
    /// A share of what is left, in sixteenths.
    Use(u64),
    /// Reminders: GB, days.
    Remind(i64, i64),
    /// Buying an item again: which, GB, days.
    Rebuy(usize, i64, i64),
    /// No longer.
    NoRebuy,
    /// An item of the price list of static proxies, and whether to renew by itself.
    Order(usize, bool),
    /// The n-th static proxy that the customer ever had: renewing by itself, on or off.
    AutoRenew(usize, bool),
    /// The n-th is renewed by hand.
    Renew(usize),
    /// The n-th is to be replaced.
    Replace(usize),
    /// The n-th is to be given back, and the operator's decision, made at once.
    Refund(usize, bool),
}

/// GB, cents per GB, days of the catalogue of packages.
pub(crate) const OFFERS: [(i64, i64, i64); 4] = [(1, 300, 7), (5, 250, 30), (20, 200, 30), (10, 220, 60)];

/// Count, discount, days and cents per address of the price list of static proxies.
pub(crate) const PRICES: [(i64, i64, i64, i64); 4] =
    [(1, 0, 30, 500), (1, 0, 7, 150), (3, 10, 30, 480), (1, 0, 1, 40)];

const SLOT: Duration = Duration::from_secs(600);
const SLOTS_OF_A_DAY: u64 = 144;

/// Draws everything, in the order of time.
pub(crate) fn draw(seed: u64, customers: usize, days: u64) -> Vec<Act> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut plan: Vec<Act> = (0..customers).flat_map(|customer| of_one(&mut rng, customer, days)).collect();
    plan.sort_by_key(|act| (act.at, act.customer));
    plan
}

fn of_one(rng: &mut StdRng, customer: usize, days: u64) -> Vec<Act> {
    // Every other hour of the day, so that no two are an hour apart.
    let mut slots: Vec<u64> = (0..SLOTS_OF_A_DAY).filter(|slot| (slot / 6).is_multiple_of(2)).collect();
    slots.shuffle(rng);
    let is_poor = customer.is_multiple_of(3);
    let whats = whats(rng, is_poor);
    assert!(whats.len() <= slots.len(), "each has a time of day of its own");
    let mut moments: Vec<Duration> = slots
        .iter()
        .zip(&whats)
        .map(|(slot, _)| {
            Duration::from_secs(rng.random_range(0..days) * 86_400) + SLOT * u32::try_from(*slot).unwrap()
        })
        .collect();
    moments.sort();
    moments.into_iter().zip(whats).map(|(at, what)| Act { at, customer, what }).collect()
}

fn whats(rng: &mut StdRng, is_poor: bool) -> Vec<What> {
    let mut whats = vec![What::Recharge(if is_poor { rng.random_range(500..4_000) } else { 200_000 })];
    if rng.random_bool(0.5) {
        whats.push(What::LowBalance(rng.random_range(1..1_500)));
    }
    for _ in 0..rng.random_range(8..22) {
        whats.push(one(rng, is_poor));
    }
    whats
}

fn one(rng: &mut StdRng, is_poor: bool) -> What {
    let nth = |rng: &mut StdRng| rng.random_range(0..3);
    // Whoever is short of money orders one address at a time, lest it be chance which of three
    // addresses the last cents renew.
    let price = |rng: &mut StdRng| [0, 1, 3, 2][rng.random_range(0..if is_poor { 3 } else { 4 })];
    match rng.random_range(0..20) {
        0 => What::Recharge(rng.random_range(100..3_000)),
        1..=3 => What::Buy(rng.random_range(0..OFFERS.len())),
        4..=8 => What::Use(rng.random_range(1..=16)),
        9 => What::Remind(rng.random_range(0..6), rng.random_range(0..8)),
        10..=11 => {
            What::Rebuy(rng.random_range(0..OFFERS.len()), rng.random_range(0..4), rng.random_range(0..4))
        }
        12 => What::NoRebuy,
        13..=15 => What::Order(price(rng), rng.random_bool(0.6)),
        16 => What::AutoRenew(nth(rng), rng.random_bool(0.5)),
        17 => What::Renew(nth(rng)),
        18 => What::Replace(nth(rng)),
        _ => What::Refund(nth(rng), rng.random_bool(0.7)),
    }
}
