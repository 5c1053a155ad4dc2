//! A wallet: what a customer has paid in, spent, and may still spend.

use tollgate_types::{Bytes, Cents};

use crate::LedgerError;
use crate::rating::{UNITS_PER_CENT, Units};

/// The state of one wallet. `balance = total_recharge − total_consume`, none of them negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wallet {
    /// All that ever came in, corrections upwards and what was given back included. Never decreases.
    pub total_recharge: Cents,
    /// All that was ever spent, corrections downwards included. Never decreases.
    pub total_consume: Cents,
    /// What open leases hold.
    pub reserved: Units,
    /// What was used but is not yet a whole cent, over all pools.
    pub carried: Units,
}

impl Wallet {
    /// What is left, including what open leases hold.
    pub const fn balance(&self) -> Cents {
        Cents::new(self.total_recharge.get() - self.total_consume.get())
    }

    /// What a purchase may take: all of the balance that open leases could not yet turn into cents.
    pub fn spendable(&self) -> Cents {
        if self.reserved == Units::ZERO {
            return self.balance();
        }
        let held = self.reserved.plus(self.carried).get().div_ceil(u128::from(UNITS_PER_CENT));
        let held = i64::try_from(held).unwrap_or(i64::MAX);
        Cents::new(self.balance().get().saturating_sub(held).max(0))
    }

    /// How many bytes a lease may still reserve at a price per GB.
    pub fn capacity(&self, price: Cents) -> Bytes {
        self.free().pays_for(price)
    }

    /// The balance after a purchase of `amount`.
    ///
    /// # Errors
    /// [`LedgerError::InsufficientFunds`], [`LedgerError::NotPositive`] for a negative amount.
    pub fn spend(self, amount: Cents) -> Result<Self, LedgerError> {
        if amount < Cents::ZERO {
            return Err(LedgerError::NotPositive);
        }
        if amount > self.spendable() {
            return Err(LedgerError::InsufficientFunds);
        }
        self.consume(amount)
    }

    /// The balance after `amount` came in.
    ///
    /// # Errors
    /// [`LedgerError::NotPositive`], [`LedgerError::Overflow`].
    pub fn recharge(self, amount: Cents) -> Result<Self, LedgerError> {
        if amount <= Cents::ZERO {
            return Err(LedgerError::NotPositive);
        }
        let total = self.total_recharge.get().checked_add(amount.get()).ok_or(LedgerError::Overflow)?;
        Ok(Self { total_recharge: Cents::new(total), ..self })
    }

    /// The balance after a signed correction: upwards counts as recharged, downwards as consumed.
    ///
    /// # Errors
    /// [`LedgerError::InsufficientFunds`] where it would take more than may be spent,
    /// [`LedgerError::NotPositive`] where it is zero, [`LedgerError::Overflow`].
    pub fn adjust(self, amount: Cents) -> Result<Self, LedgerError> {
        if amount > Cents::ZERO {
            return self.recharge(amount);
        }
        let down = amount.get().checked_neg().ok_or(LedgerError::Overflow)?;
        if down == 0 { Err(LedgerError::NotPositive) } else { self.spend(Cents::new(down)) }
    }

    /// The balance after traffic that a lease had reserved was charged.
    ///
    /// # Errors
    /// [`LedgerError::InsufficientFunds`] where the balance would become negative, which a lease
    /// prevents.
    pub fn consume(self, amount: Cents) -> Result<Self, LedgerError> {
        if amount > self.balance() {
            return Err(LedgerError::InsufficientFunds);
        }
        let total = self.total_consume.get().checked_add(amount.get()).ok_or(LedgerError::Overflow)?;
        Ok(Self { total_consume: Cents::new(total), ..self })
    }

    /// What neither is reserved nor has been used already.
    fn free(&self) -> Units {
        Units::of_cents(self.balance()).minus(self.reserved.plus(self.carried))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(recharge: i64, consume: i64) -> Wallet {
        Wallet {
            total_recharge: Cents::new(recharge),
            total_consume: Cents::new(consume),
            ..Wallet::default()
        }
    }

    #[test]
    fn one_cent_too_little_buys_nothing() {
        assert_eq!(with(500, 1).spend(Cents::new(500)), Err(LedgerError::InsufficientFunds));
        assert_eq!(with(501, 1).spend(Cents::new(500)).unwrap().balance(), Cents::ZERO);
    }

    #[test]
    fn what_a_lease_holds_cannot_be_spent() {
        let held = Wallet { reserved: Units::new(1), ..with(500, 0) };
        assert_eq!(held.spendable(), Cents::new(499));
        assert_eq!(held.spend(Cents::new(500)), Err(LedgerError::InsufficientFunds));
        // A carry alone holds nothing back: it is charged only together with further traffic.
        assert_eq!(Wallet { carried: Units::new(9), ..with(500, 0) }.spendable(), Cents::new(500));
    }

    #[derive(Debug, Clone)]
    enum Op {
        Recharge(i64),
        Adjust(i64),
        Spend(i64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            any::<i64>().prop_map(Op::Recharge),
            (-2_000i64..2_000).prop_map(Op::Recharge),
            (-2_000i64..2_000).prop_map(Op::Adjust),
            any::<i64>().prop_map(Op::Adjust),
            (-2_000i64..2_000).prop_map(Op::Spend),
        ]
    }

    proptest! {
        #[test]
        fn balance_is_recharge_less_consume_and_nothing_is_ever_negative(ops in proptest::collection::vec(op(), 0..60)) {
            let mut wallet = Wallet::default();
            for op in ops {
                let next = match op {
                    Op::Recharge(n) => wallet.recharge(Cents::new(n)),
                    Op::Adjust(n) => wallet.adjust(Cents::new(n)),
                    Op::Spend(n) => wallet.spend(Cents::new(n)),
                };
                if let Ok(next) = next {
                    prop_assert!(next.total_recharge >= wallet.total_recharge && next.total_consume >= wallet.total_consume);
                    wallet = next;
                }
                prop_assert!(wallet.balance() >= Cents::ZERO);
                prop_assert_eq!(wallet.balance().get(), wallet.total_recharge.get() - wallet.total_consume.get());
            }
        }
    }
}
