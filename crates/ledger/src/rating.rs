//! What traffic costs: exact, in units of 2^-30 cents.
//!
//! One byte at one cent per GB is one unit, since a GB is 2^30 bytes. What has been used but is not
//! yet a whole cent is carried per account and pool, so that any split of the same bytes into any
//! number of settlements costs the same cents, and nothing is ever rounded.

use tollgate_types::{Bytes, Cents};

use crate::LedgerError;

/// Units in a cent.
pub const UNITS_PER_CENT: u64 = 1 << 30;

/// An amount of money in 2^-30 cents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Units(u128);

impl Units {
    /// None.
    pub const ZERO: Self = Self(0);

    /// So many units.
    pub const fn new(units: u128) -> Self {
        Self(units)
    }

    /// What so many bytes cost at a price per GB. A negative price, which nothing stores, is none.
    pub const fn of(bytes: Bytes, price: Cents) -> Self {
        let price = if price.get() < 0 { 0 } else { price.get() };
        Self(bytes.get() as u128 * price as u128)
    }

    /// A whole number of cents; none where negative.
    pub const fn of_cents(cents: Cents) -> Self {
        let cents = if cents.get() < 0 { 0 } else { cents.get() };
        Self(cents as u128 * UNITS_PER_CENT as u128)
    }

    /// As a plain number.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// As the store keeps it.
    ///
    /// # Errors
    /// [`LedgerError::Overflow`] past 2^63.
    pub fn to_i64(self) -> Result<i64, LedgerError> {
        i64::try_from(self.0).map_err(|_| LedgerError::Overflow)
    }

    /// From a stored column. A negative value, which no column may hold, reads as none.
    pub fn from_i64(raw: i64) -> Self {
        Self(u128::try_from(raw).unwrap_or(0))
    }

    /// The sum.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; none where `other` is more.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// How many bytes these pay for at a price per GB: rounded down, so that they suffice.
    pub const fn pays_for(self, price: Cents) -> Bytes {
        if price.get() <= 0 {
            return Bytes::MAX;
        }
        let bytes = self.0 / price.get() as u128;
        Bytes::new(if bytes > u64::MAX as u128 { u64::MAX } else { bytes as u64 })
    }
}

/// What a settlement charges now and what it carries on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rated {
    /// Whole cents to charge.
    pub cost: Cents,
    /// Less than a cent, for next time.
    pub carry: Units,
}

/// Rates bytes at a price, on top of what was carried.
///
/// # Errors
/// [`LedgerError::Overflow`] where the cost leaves the range of cents.
pub fn rate(carry: Units, bytes: Bytes, price: Cents) -> Result<Rated, LedgerError> {
    let total = carry.plus(Units::of(bytes, price)).get();
    let unit = u128::from(UNITS_PER_CENT);
    let cost = i64::try_from(total / unit).map_err(|_| LedgerError::Overflow)?;
    Ok(Rated { cost: Cents::new(cost), carry: Units::new(total % unit) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_types::GB;

    use super::*;

    #[test]
    fn a_gigabyte_costs_its_price() {
        let rated = rate(Units::ZERO, Bytes::new(GB), Cents::new(533)).unwrap();
        assert_eq!(rated, Rated { cost: Cents::new(533), carry: Units::ZERO });
        let almost = rate(Units::ZERO, Bytes::new(GB - 1), Cents::new(533)).unwrap();
        assert_eq!(almost.cost, Cents::new(532));
        assert_eq!(
            rate(almost.carry, Bytes::new(1), Cents::new(533)).unwrap(),
            Rated { cost: Cents::new(1), carry: Units::ZERO }
        );
    }

    proptest! {
        #[test]
        fn any_split_of_the_same_bytes_costs_the_same(
            parts in proptest::collection::vec(0u64..20_000_000_000, 1..40),
            price in 0i64..5_000,
        ) {
            let price = Cents::new(price);
            let (mut cost, mut carry) = (0, Units::ZERO);
            for part in &parts {
                let rated = rate(carry, Bytes::new(*part), price).unwrap();
                cost += rated.cost.get();
                carry = rated.carry;
                prop_assert!(carry.get() < u128::from(UNITS_PER_CENT));
            }
            let whole = rate(Units::ZERO, Bytes::new(parts.iter().sum()), price).unwrap();
            prop_assert_eq!((cost, carry), (whole.cost.get(), whole.carry));
        }

        #[test]
        fn what_is_paid_for_never_costs_more_than_there_was(cents in 0i64..1_000_000_000, price in 1i64..100_000, carry in 0u128..(1 << 30)) {
            let carry = Units::new(carry);
            let free = Units::of_cents(Cents::new(cents)).minus(carry);
            let bytes = free.pays_for(Cents::new(price));
            let rated = rate(carry, bytes, Cents::new(price)).unwrap();
            prop_assert!(rated.cost.get() <= cents);
            let more = rate(carry, bytes.plus(Bytes::new(1)), Cents::new(price)).unwrap();
            prop_assert!(cents == 0 || Units::of_cents(more.cost).plus(more.carry) > Units::of_cents(Cents::new(cents)));
        }
    }
}
