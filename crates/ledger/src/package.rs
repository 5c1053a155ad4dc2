//! Packages: what one costs, in which order they are drawn down, and what an ended one has earned.

use std::time::Duration;

use tollgate_types::{Bytes, Cents, PackageId, Time};

use crate::LedgerError;

/// One bought package, as far as drawing on it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageFunds {
    /// Which.
    pub id: PackageId,
    /// All it ever held.
    pub total: Bytes,
    /// Used so far.
    pub used: Bytes,
    /// Held by open leases.
    pub reserved: Bytes,
    /// When it was bought.
    pub bought_at: Time,
    /// From when on it may no longer be drawn on.
    pub expires_at: Time,
}

impl PackageFunds {
    /// What a lease may still reserve.
    pub const fn free(&self) -> Bytes {
        self.total.minus(self.used.plus(self.reserved))
    }
}

/// Puts packages into the order in which they are drawn down: earliest expiry first, then the
/// oldest.
pub fn sort_by_burn_order(packages: &mut [PackageFunds]) {
    packages.sort_by_key(|package| (package.expires_at, package.bought_at, package.id));
}

/// What a catalogue item costs and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What the wallet is charged: unit price × GB.
    pub amount: Cents,
    /// What the package holds, the free extra included.
    pub total: Bytes,
    /// For how long.
    pub duration: Duration,
}

/// Quotes a catalogue item: `traffic_gb` at `price` cents each, `extra_gb` free on top.
///
/// # Errors
/// [`LedgerError::Overflow`], [`LedgerError::NotPositive`] where a number is negative.
pub fn quote(traffic_gb: i64, extra_gb: i64, price: Cents, days: i64) -> Result<Quote, LedgerError> {
    let positive = |n: i64| u64::try_from(n).map_err(|_| LedgerError::NotPositive);
    let amount = price.get().checked_mul(traffic_gb).ok_or(LedgerError::Overflow)?;
    let gb = positive(traffic_gb)?.checked_add(positive(extra_gb)?).ok_or(LedgerError::Overflow)?;
    let seconds = positive(days)?.checked_mul(86_400).ok_or(LedgerError::Overflow)?;
    positive(amount)?;
    Ok(Quote {
        amount: Cents::new(amount),
        total: Bytes::from_gb(gb),
        duration: Duration::from_secs(seconds),
    })
}

/// How the price of an ended package divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earned {
    /// By the bytes that were used.
    pub used: Cents,
    /// By those that were not.
    pub breakage: Cents,
}

/// Divides the price of an ended package: what was used is rounded down, so that a package that
/// was not used at all has earned nothing by use, and one used up everything.
pub fn earned(amount: Cents, used: Bytes, total: Bytes) -> Earned {
    if total.is_zero() || used >= total {
        return Earned { used: amount, breakage: Cents::ZERO };
    }
    let share = i128::from(amount.get()) * i128::from(used.as_i64()) / i128::from(total.as_i64());
    // A share of an i64 is one.
    let share = i64::try_from(share).unwrap_or(0);
    Earned { used: Cents::new(share), breakage: Cents::new(amount.get() - share) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_purchase_costs_unit_price_times_gigabytes() {
        let quote = quote(10, 2, Cents::new(533), 30).unwrap();
        assert_eq!((quote.amount, quote.total), (Cents::new(5330), Bytes::from_gb(12)));
        assert_eq!(super::quote(i64::MAX, 0, Cents::new(2), 1), Err(LedgerError::Overflow));
        assert_eq!(super::quote(-1, 0, Cents::new(2), 1), Err(LedgerError::NotPositive));
    }

    proptest! {
        #[test]
        fn an_ended_package_divides_its_price_exactly(amount in 0i64..i64::MAX, used in 0u64..=1 << 50, more in 1u64..1 << 50) {
            let earned = earned(Cents::new(amount), Bytes::new(used), Bytes::new(used + more));
            prop_assert_eq!(earned.used.get() + earned.breakage.get(), amount);
            prop_assert!(earned.used >= Cents::ZERO && earned.breakage >= Cents::ZERO);
        }
    }
}
