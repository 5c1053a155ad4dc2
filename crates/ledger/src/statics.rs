//! Static proxies: what an order costs, how its price divides, for which time it is, and what of
//! it is given back.

use std::time::Duration;

use tollgate_types::{Cents, Time};

use crate::LedgerError;

/// A day of a lease, whatever the calendar says.
pub const DAY: Duration = Duration::from_secs(86_400);

/// What an order costs: `count × price × (100 − discount) / 100`, rounded half up to a cent.
///
/// # Errors
/// [`LedgerError::Overflow`], [`LedgerError::NotPositive`] where a number is negative or more than
/// all is taken off.
pub fn order_amount(count: i64, price: Cents, discount: i64) -> Result<Cents, LedgerError> {
    let kept = 100 - i128::from(discount);
    if count < 0 || price < Cents::ZERO || !(0..=100).contains(&kept) {
        return Err(LedgerError::NotPositive);
    }
    // Two 63-bit numbers and a hundred stay within 127 bits, but for the very largest.
    let whole = i128::from(count) * i128::from(price.get());
    let hundredths = whole.checked_mul(kept).and_then(|n| n.checked_add(50)).ok_or(LedgerError::Overflow)?;
    i64::try_from(hundredths / 100).map(Cents::new).map_err(|_| LedgerError::Overflow)
}

/// What several renewals cost together.
///
/// # Errors
/// [`LedgerError::Overflow`].
pub fn total(amounts: impl IntoIterator<Item = Cents>) -> Result<Cents, LedgerError> {
    let sum = |sum: i64, amount: Cents| sum.checked_add(amount.get()).ok_or(LedgerError::Overflow);
    amounts.into_iter().try_fold(0, sum).map(Cents::new)
}

/// Divides an order's amount among its proxies: the shares sum to it exactly and differ by a cent
/// at most, the larger ones first.
pub fn shares(amount: Cents, count: usize) -> impl Iterator<Item = Cents> {
    let parts = i64::try_from(count).unwrap_or(i64::MAX).max(1);
    let (share, larger) = (amount.get().div_euclid(parts), amount.get().rem_euclid(parts));
    (0..i64::try_from(count).unwrap_or(i64::MAX))
        .map(move |place| Cents::new(if place < larger { share + 1 } else { share }))
}

/// What was paid for which time of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// What was paid.
    pub amount: Cents,
    /// From when on.
    pub starts_at: Time,
    /// Until when.
    pub ends_at: Time,
    /// What of it has been given back.
    pub refunded: Cents,
}

/// The time that is added to a proxy: so many days, from the later of now and its expiry.
pub fn extension(now: Time, expires_at: Time, days: i64) -> (Time, Time) {
    let starts_at = now.max(expires_at);
    (starts_at, starts_at.plus(DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX))))
}

/// What is given back of a term at a moment: the whole days that have not been used, each worth
/// its share, rounded down; never more than what has not been given back before.
pub fn unused(term: &Term, now: Time) -> Cents {
    let days = |from: Time, to: Time| to.since(from).as_micros() / DAY.as_micros();
    let (all, left) = (days(term.starts_at, term.ends_at), days(now.max(term.starts_at), term.ends_at));
    let paid = u128::try_from(term.amount.get()).unwrap_or(0);
    let worth = (paid * left).checked_div(all).unwrap_or(0);
    // A share of an i64 is one.
    let worth = i64::try_from(worth).unwrap_or(0);
    Cents::new(worth.min(term.amount.get() - term.refunded.get()).max(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Time = Time::from_micros(1_767_225_600_000_000);

    fn term(amount: i64, days: u32) -> Term {
        let ends_at = START.plus(DAY * days);
        Term { amount: Cents::new(amount), starts_at: START, ends_at, refunded: Cents::ZERO }
    }

    fn cents(amount: Result<Cents, LedgerError>) -> i64 {
        amount.unwrap().get()
    }

    #[test]
    fn an_order_costs_its_addresses_less_the_discount_rounded_half_up() {
        assert_eq!(cents(order_amount(3, Cents::new(500), 0)), 1500);
        assert_eq!(cents(order_amount(1, Cents::new(333), 50)), 167, "166.5");
        assert_eq!(cents(order_amount(1, Cents::new(33), 1)), 33, "32.67");
        assert_eq!(cents(order_amount(1, Cents::new(149), 33)), 100, "99.83");
        assert_eq!(cents(order_amount(7, Cents::new(99), 100)), 0);
        assert_eq!(order_amount(2, Cents::new(i64::MAX), 0), Err(LedgerError::Overflow));
        assert_eq!(order_amount(i64::MAX, Cents::new(i64::MAX), 0), Err(LedgerError::Overflow));
        for (count, price, discount) in [(-1, 1, 0), (1, -1, 0), (1, 1, -1), (1, 1, 101)] {
            assert_eq!(order_amount(count, Cents::new(price), discount), Err(LedgerError::NotPositive));
        }
        assert_eq!(total([Cents::new(i64::MAX), Cents::new(1)]), Err(LedgerError::Overflow));
    }

    #[test]
    fn time_is_added_to_what_is_left_or_to_now() {
        let later = START.plus(DAY);
        assert_eq!(extension(START, later, 30), (later, START.plus(DAY * 31)), "before its expiry");
        assert_eq!(extension(later, START, 30), (later, START.plus(DAY * 31)), "after it");
    }

    #[test]
    fn days_that_have_begun_are_used() {
        let term = term(3000, 30);
        let back = |seconds: u64| unused(&term, START.plus(Duration::from_secs(seconds))).get();
        assert_eq!(back(0), 3000, "not a moment was used");
        assert_eq!(back(1), 2900, "one day has begun");
        assert_eq!(back(86_400), 2900);
        assert_eq!(back(29 * 86_400), 100);
        assert_eq!(back(29 * 86_400 + 1), 0, "the last day has begun");
        assert_eq!(back(31 * 86_400), 0);
        assert_eq!(unused(&term, START.minus(DAY * 9)).get(), 3000, "it has not begun");
        assert_eq!(unused(&Term { refunded: Cents::new(2950), ..term }, START).get(), 50);
        assert_eq!(unused(&Term { ends_at: START, ..term }, START).get(), 0, "a term without a day");
    }

    proptest! {
        #[test]
        fn shares_sum_to_the_amount_and_differ_by_a_cent_at_most(amount in 0i64..=i64::MAX, count in 1usize..2000) {
            let shares: Vec<i64> = shares(Cents::new(amount), count).map(Cents::get).collect();
            prop_assert_eq!(shares.len(), count);
            prop_assert_eq!(shares.iter().map(|share| i128::from(*share)).sum::<i128>(), i128::from(amount));
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 1 && *least >= 0);
        }

        #[test]
        fn an_order_never_costs_more_than_without_its_discount(count in 0i64..10_000, price in 0i64..1 << 40, discount in 0i64..=100) {
            let amount = cents(order_amount(count, Cents::new(price), discount));
            let hundredths = i128::from(count) * i128::from(price) * i128::from(100 - discount);
            let rounding = i128::from(amount) * 100 - hundredths;
            prop_assert!((-49..=50).contains(&rounding), "off by {rounding} hundredths of a cent");
            prop_assert!(amount <= count * price);
        }

        #[test]
        fn what_is_given_back_shrinks_with_time_and_is_never_more_than_was_paid(
            amount in 0i64..=i64::MAX, days in 1u32..4000, first in 0u64..400_000_000, later in 0u64..400_000_000,
        ) {
            let term = term(amount, days);
            let back = |seconds: u64| unused(&term, START.plus(Duration::from_secs(seconds))).get();
            prop_assert!((0..=amount).contains(&back(first)));
            prop_assert!(back(first + later) <= back(first));
            prop_assert_eq!(back(u64::from(days) * 86_400), 0);
        }
    }
}
