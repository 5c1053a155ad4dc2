//! Planning a lease: which source pays, and how many bytes of it may be held at once.

use tollgate_types::{Bytes, Cents, LeaseDenied, PackageId};

use crate::Wallet;
use crate::package::PackageFunds;
use crate::rating::Units;

/// A source with less than this left is granted whole: below it, sharing costs more than it saves.
pub const SMALLEST_SHARE: Bytes = Bytes::new(1 << 20);

/// The most that one lease holds of a wallet, so that the sum of what leases hold stays far within
/// 64 bits: 2^60 units, a little over ten million dollars.
const LARGEST_WALLET_SHARE: Units = Units::new(1 << 60);

/// A sub-account's limit for one type, as far as it has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitFunds {
    /// The limit; zero = none.
    pub limit: Bytes,
    /// Used so far.
    pub used: Bytes,
    /// Held by open leases.
    pub reserved: Bytes,
}

/// All that could pay for a payer's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Funds<'a> {
    /// Unexpired packages of the type, in burn order; none where they are switched off.
    pub packages: &'a [PackageFunds],
    /// The wallet.
    pub wallet: Wallet,
    /// What a GB from the wallet costs.
    pub price: Cents,
    /// The sub-account's limit, where a sub-account asks.
    pub limit: Option<LimitFunds>,
}

/// What pays for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// One package.
    Package(PackageId),
    /// The wallet, at a price per GB.
    Wallet(Cents),
}

/// A lease to be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What pays.
    pub source: Source,
    /// How many bytes; more than zero.
    pub bytes: Bytes,
}

/// Decides what to grant of `want` bytes.
///
/// # Errors
/// Why nothing: the limit, no funds, or funds that other leases hold just now.
pub fn plan(want: Bytes, funds: &Funds<'_>) -> Result<Grant, LeaseDenied> {
    let want = match funds.limit {
        Some(limit) => want.min(within(limit)?),
        None => want,
    };
    if let Some(package) = funds.packages.iter().find(|package| !package.free().is_zero()) {
        return Ok(Grant { source: Source::Package(package.id), bytes: share(want, package.free()) });
    }
    let capacity = funds.wallet.capacity(funds.price);
    if capacity.is_zero() {
        return Err(nothing_left(funds));
    }
    let bytes = share(want, capacity).min(LARGEST_WALLET_SHARE.pays_for(funds.price));
    Ok(Grant { source: Source::Wallet(funds.price), bytes })
}

/// How much the limit still lets through.
fn within(limit: LimitFunds) -> Result<Bytes, LeaseDenied> {
    if limit.limit.is_zero() {
        return Ok(Bytes::MAX);
    }
    if limit.used >= limit.limit {
        return Err(LeaseDenied::TrafficLimit);
    }
    match limit.limit.minus(limit.used.plus(limit.reserved)) {
        Bytes::ZERO => Err(LeaseDenied::LimitHeldElsewhere),
        free => Ok(share(Bytes::MAX, free)),
    }
}

/// Of a small remainder, all; of a larger one at most half, so that others who draw on the same
/// funds find something too.
fn share(want: Bytes, free: Bytes) -> Bytes {
    if free <= SMALLEST_SHARE {
        return want.min(free);
    }
    want.min(Bytes::new(free.get() / 2).max(SMALLEST_SHARE))
}

fn nothing_left(funds: &Funds<'_>) -> LeaseDenied {
    let held = funds.wallet.reserved != Units::ZERO
        || funds.packages.iter().any(|package| !package.reserved.is_zero());
    if held { LeaseDenied::HeldElsewhere } else { LeaseDenied::BalanceEmpty }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_types::Time;

    use super::*;
    use crate::package::sort_by_burn_order;

    fn package(id: i64, total: u64, used: u64, reserved: u64, expires: i64) -> PackageFunds {
        PackageFunds {
            id: PackageId::new(id),
            total: Bytes::new(total),
            used: Bytes::new(used),
            reserved: Bytes::new(reserved),
            bought_at: Time::from_micros(id),
            expires_at: Time::from_micros(expires),
        }
    }

    fn money(cents: i64) -> Wallet {
        Wallet { total_recharge: Cents::new(cents), ..Wallet::default() }
    }

    fn plan_of(
        want: u64,
        packages: &[PackageFunds],
        wallet: Wallet,
        limit: Option<LimitFunds>,
    ) -> Result<Grant, LeaseDenied> {
        plan(Bytes::new(want), &Funds { packages, wallet, price: Cents::new(100), limit })
    }

    #[test]
    fn draws_on_the_package_that_expires_first_and_on_the_wallet_last() {
        let mut packages = [package(1, 100, 0, 0, 90), package(3, 100, 0, 0, 50), package(2, 100, 0, 0, 50)];
        sort_by_burn_order(&mut packages);
        assert_eq!(
            plan_of(10, &packages, money(5), None).unwrap().source,
            Source::Package(PackageId::new(2))
        );
        let used_up = [package(1, 100, 100, 0, 90)];
        assert_eq!(
            plan_of(10, &used_up, money(5), None).unwrap(),
            Grant { source: Source::Wallet(Cents::new(100)), bytes: Bytes::new(10) }
        );
    }

    #[test]
    fn says_why_there_is_nothing() {
        assert_eq!(plan_of(10, &[], money(0), None), Err(LeaseDenied::BalanceEmpty));
        assert_eq!(
            plan_of(10, &[package(1, 100, 60, 40, 9)], money(0), None),
            Err(LeaseDenied::HeldElsewhere)
        );
        let limit = |used, reserved| {
            Some(LimitFunds { limit: Bytes::new(50), used: Bytes::new(used), reserved: Bytes::new(reserved) })
        };
        assert_eq!(plan_of(10, &[], money(9), limit(50, 0)), Err(LeaseDenied::TrafficLimit));
        assert_eq!(plan_of(10, &[], money(9), limit(20, 30)), Err(LeaseDenied::LimitHeldElsewhere));
        assert_eq!(plan_of(90, &[], money(9), limit(20, 0)).unwrap().bytes, Bytes::new(30));
    }

    proptest! {
        #[test]
        fn never_grants_more_than_there_is(
            want in 1u64..1 << 40, total in 0u64..1 << 40, used in 0u64..1 << 40, reserved in 0u64..1 << 40,
            cents in 0i64..1_000_000, held in 0u128..1 << 50, limit in 0u64..1 << 40, limit_used in 0u64..1 << 40,
        ) {
            let packages = [package(1, total, used.min(total), reserved.min(total - used.min(total)), 9)];
            let wallet = Wallet { reserved: Units::new(held), ..money(cents) };
            let limit = LimitFunds { limit: Bytes::new(limit), used: Bytes::new(limit_used), reserved: Bytes::ZERO };
            let Ok(grant) = plan_of(want, &packages, wallet, Some(limit)) else { return Ok(()) };
            prop_assert!(!grant.bytes.is_zero() && grant.bytes <= Bytes::new(want));
            prop_assert!(limit.limit.is_zero() || grant.bytes.plus(limit.used) <= limit.limit);
            match grant.source {
                Source::Package(_) => prop_assert!(grant.bytes <= packages[0].free()),
                Source::Wallet(price) => {
                    let cost = Units::of(grant.bytes, price).plus(wallet.reserved);
                    prop_assert!(cost <= Units::of_cents(wallet.balance()));
                }
            }
        }
    }
}
