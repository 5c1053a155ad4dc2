//! Journal entries: immutable, balanced, one for each thing that happened to money.
//!
//! Sign convention: a posting's amount is what the named ledger account gains. A wallet gains what
//! its customer may spend; `cash` loses (goes negative by) what customers have paid in, so that
//! every entry sums to zero.

use std::fmt;
use std::str::FromStr;

use tollgate_types::{AccountId, Bytes, Cents, PackageId, ProxyType, StaticType, UnknownWord};

use crate::LedgerError;

/// What a customer's money was earned with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Product {
    /// Traffic drawn from a bought package.
    Package(ProxyType),
    /// Traffic paid from the wallet, by the byte.
    Traffic(ProxyType),
    /// Addresses leased for a time.
    Static(StaticType),
}

/// A place that money is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LedgerAccount {
    /// What a customer may spend.
    Wallet(AccountId),
    /// Paid for in packages but not yet used: owed to the customer in bytes.
    Liability(AccountId),
    /// Earned.
    Revenue(Product),
    /// Earned by bytes that expired unused.
    Breakage,
    /// Given or taken by the operator without money changing hands.
    Adjustments,
    /// Money received from outside.
    Cash,
}

impl fmt::Display for LedgerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wallet(account) => write!(f, "wallet:{account}"),
            Self::Liability(account) => write!(f, "liability:{account}"),
            Self::Revenue(Product::Package(kind)) => write!(f, "revenue:package:{kind}"),
            Self::Revenue(Product::Traffic(kind)) => write!(f, "revenue:traffic:{kind}"),
            Self::Revenue(Product::Static(kind)) => write!(f, "revenue:static:{kind}"),
            Self::Breakage => f.write_str("breakage"),
            Self::Adjustments => f.write_str("adjustments"),
            Self::Cash => f.write_str("cash"),
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// What an entry stands for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EntryKind {
            $($(#[$doc])* $variant,)*
        }

        impl EntryKind {
            /// The stored and shown word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for EntryKind {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word { $($word => Ok(Self::$variant),)* _ => Err(UnknownWord) }
            }
        }
    };
}

kinds! {
    /// Money came in.
    Recharge = "recharge",
    /// The operator corrected a balance.
    Adjustment = "adjustment",
    /// A traffic package was bought.
    PackageBought = "package_bought",
    /// A package was used up or expired: what was owed is now earned.
    PackageClosed = "package_closed",
    /// Traffic was paid from the wallet.
    WalletTraffic = "wallet_traffic",
    /// Static proxies were ordered.
    StaticBought = "static_bought",
    /// Static proxies were renewed.
    StaticRenewed = "static_renewed",
    /// Time of static proxies was given back.
    StaticRefunded = "static_refunded",
}

/// One line of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Where.
    pub account: LedgerAccount,
    /// How much it gains; never zero.
    pub amount: Cents,
}

/// Static proxies of one type that were ordered or renewed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticSale {
    /// What kind of address.
    pub static_type: StaticType,
    /// Whether time was added to proxies that were there already.
    pub renewal: bool,
    /// What the order is called: it is entered once.
    pub order_no: String,
    /// What was paid.
    pub amount: Cents,
    /// One line for people.
    pub memo: String,
}

/// One balanced journal entry of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose money it concerns.
    pub account: AccountId,
    /// What happened.
    pub kind: EntryKind,
    /// Names the happening within its account and kind: it is entered once.
    pub reference: String,
    /// One line for people.
    pub memo: String,
    postings: Vec<Posting>,
}

impl Entry {
    /// Money received from outside, known to the operator by `reference`.
    ///
    /// # Errors
    /// [`LedgerError::NotPositive`].
    pub fn recharge(account: AccountId, amount: Cents, reference: &str) -> Result<Self, LedgerError> {
        let amount = positive(amount)?;
        let lines = [(LedgerAccount::Cash, -amount), (LedgerAccount::Wallet(account), amount)];
        Self::new(account, EntryKind::Recharge, reference.to_owned(), String::new(), &lines)
    }

    /// A signed correction by the operator; `reference` makes it unique.
    ///
    /// # Errors
    /// [`LedgerError::NotPositive`] where the amount is zero.
    pub fn adjustment(
        account: AccountId,
        amount: Cents,
        reference: String,
        reason: &str,
    ) -> Result<Self, LedgerError> {
        if amount == Cents::ZERO {
            return Err(LedgerError::NotPositive);
        }
        let opposite = amount.get().checked_neg().ok_or(LedgerError::Overflow)?;
        let lines = [(LedgerAccount::Adjustments, opposite), (LedgerAccount::Wallet(account), amount.get())];
        Self::new(account, EntryKind::Adjustment, reference, reason.to_owned(), &lines)
    }

    /// A package bought from the wallet: the money is owed in bytes until it is used.
    /// `None` where the package cost nothing.
    ///
    /// # Errors
    /// [`LedgerError::NotPositive`] where the amount is negative.
    pub fn package_bought(
        account: AccountId,
        package: PackageId,
        amount: Cents,
        memo: String,
    ) -> Result<Option<Self>, LedgerError> {
        if amount == Cents::ZERO {
            return Ok(None);
        }
        let amount = positive(amount)?;
        let lines = [(LedgerAccount::Wallet(account), -amount), (LedgerAccount::Liability(account), amount)];
        Self::new(account, EntryKind::PackageBought, package.to_string(), memo, &lines).map(Some)
    }

    /// A package that is used up or has expired: what its used bytes cost is earned, the rest is
    /// breakage. `None` where the package cost nothing.
    ///
    /// # Errors
    /// [`LedgerError::NotPositive`] where the amount is negative.
    pub fn package_closed(
        account: AccountId,
        package: PackageId,
        proxy_type: ProxyType,
        earned: crate::package::Earned,
    ) -> Result<Option<Self>, LedgerError> {
        let (used, unused) = (earned.used.get(), earned.breakage.get());
        if used == 0 && unused == 0 {
            return Ok(None);
        }
        let total = positive(Cents::new(used.checked_add(unused).ok_or(LedgerError::Overflow)?))?;
        let lines = [
            (LedgerAccount::Liability(account), -total),
            (LedgerAccount::Revenue(Product::Package(proxy_type)), used),
            (LedgerAccount::Breakage, unused),
        ];
        Self::new(account, EntryKind::PackageClosed, package.to_string(), String::new(), &lines).map(Some)
    }

    /// Traffic paid from the wallet. `reference` names the settlement that brought it over a cent.
    ///
    /// # Errors
    /// [`LedgerError::NotPositive`].
    pub fn wallet_traffic(
        account: AccountId,
        proxy_type: ProxyType,
        cost: Cents,
        bytes: Bytes,
        reference: String,
    ) -> Result<Self, LedgerError> {
        let amount = positive(cost)?;
        let lines = [
            (LedgerAccount::Wallet(account), -amount),
            (LedgerAccount::Revenue(Product::Traffic(proxy_type)), amount),
        ];
        Self::new(
            account,
            EntryKind::WalletTraffic,
            reference,
            format!("{proxy_type}, {bytes} bytes"),
            &lines,
        )
    }

    /// Static proxies ordered, or renewed, from the wallet. `None` where they cost nothing.
    ///
    /// # Errors
    /// [`LedgerError::NotPositive`] where the amount is negative.
    pub fn static_sold(account: AccountId, sale: StaticSale) -> Result<Option<Self>, LedgerError> {
        if sale.amount == Cents::ZERO {
            return Ok(None);
        }
        let amount = positive(sale.amount)?;
        let revenue = LedgerAccount::Revenue(Product::Static(sale.static_type));
        let lines = [(LedgerAccount::Wallet(account), -amount), (revenue, amount)];
        let kind = if sale.renewal { EntryKind::StaticRenewed } else { EntryKind::StaticBought };
        Self::new(account, kind, sale.order_no, sale.memo, &lines).map(Some)
    }

    /// Money given back to the wallet for time of static proxies that was not used: reverses that
    /// much of what they were sold for. `reference` names what was given back, `None` where that
    /// was nothing.
    ///
    /// # Errors
    /// [`LedgerError::NotPositive`] where the amount is negative.
    pub fn static_refunded(
        account: AccountId,
        static_type: StaticType,
        amount: Cents,
        reference: String,
        memo: String,
    ) -> Result<Option<Self>, LedgerError> {
        if amount == Cents::ZERO {
            return Ok(None);
        }
        let amount = positive(amount)?;
        let revenue = LedgerAccount::Revenue(Product::Static(static_type));
        let lines = [(revenue, -amount), (LedgerAccount::Wallet(account), amount)];
        Self::new(account, EntryKind::StaticRefunded, reference, memo, &lines).map(Some)
    }

    /// The lines. They sum to zero.
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn new(
        account: AccountId,
        kind: EntryKind,
        reference: String,
        memo: String,
        lines: &[(LedgerAccount, i64)],
    ) -> Result<Self, LedgerError> {
        let postings: Vec<Posting> = lines
            .iter()
            .filter(|(_, amount)| *amount != 0)
            .map(|&(account, amount)| Posting { account, amount: Cents::new(amount) })
            .collect();
        match is_balanced(&postings) {
            true => Ok(Self { account, kind, reference, memo, postings }),
            false => Err(LedgerError::Overflow),
        }
    }
}

/// Whether the lines sum to zero.
pub fn is_balanced(postings: &[Posting]) -> bool {
    postings.iter().map(|line| i128::from(line.amount.get())).sum::<i128>() == 0
}

fn positive(amount: Cents) -> Result<i64, LedgerError> {
    if amount > Cents::ZERO { Ok(amount.get()) } else { Err(LedgerError::NotPositive) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::package::Earned;

    const ANN: AccountId = AccountId::new(7);

    proptest! {
        #[test]
        fn every_entry_sums_to_zero(a in any::<i64>(), b in any::<i64>()) {
            let kind = ProxyType::Mobile;
            let earned = Earned { used: Cents::new(a), breakage: Cents::new(b) };
            let entries = [
                Entry::recharge(ANN, Cents::new(a), "r").ok(),
                Entry::adjustment(ANN, Cents::new(b), "1".into(), "why").ok(),
                Entry::package_bought(ANN, PackageId::new(1), Cents::new(a), String::new()).ok().flatten(),
                Entry::package_closed(ANN, PackageId::new(1), kind, earned).ok().flatten(),
                Entry::wallet_traffic(ANN, kind, Cents::new(b), Bytes::new(5), "s".into()).ok(),
                Entry::static_sold(ANN, sale(a)).ok().flatten(),
                Entry::static_refunded(ANN, StaticType::Dc, Cents::new(b), "s".into(), String::new()).ok().flatten(),
            ];
            for entry in entries.into_iter().flatten() {
                prop_assert!(is_balanced(entry.postings()), "{entry:?}");
                prop_assert!(entry.postings().iter().all(|line| line.amount != Cents::ZERO));
            }
        }
    }

    fn sale(amount: i64) -> StaticSale {
        let (static_type, order_no, memo) = (StaticType::Res, "0A".to_owned(), String::new());
        StaticSale { static_type, renewal: true, order_no, amount: Cents::new(amount), memo }
    }

    #[test]
    fn what_is_given_back_reverses_what_was_sold() {
        let sold = Entry::static_sold(ANN, sale(500)).unwrap().unwrap();
        let back = Entry::static_refunded(ANN, StaticType::Res, Cents::new(500), "7".into(), String::new());
        let net = |account: LedgerAccount| -> i64 {
            let back = back.clone().unwrap().unwrap();
            let lines = sold.postings().iter().chain(back.postings());
            lines.filter(|line| line.account == account).map(|line| line.amount.get()).sum()
        };
        let revenue = LedgerAccount::Revenue(Product::Static(StaticType::Res));
        assert_eq!((net(LedgerAccount::Wallet(ANN)), net(revenue)), (0, 0));
        assert_eq!(revenue.to_string(), "revenue:static:res");
        assert_eq!(
            (sold.kind, back.unwrap().unwrap().kind),
            (EntryKind::StaticRenewed, EntryKind::StaticRefunded)
        );
    }

    #[test]
    fn refuses_amounts_of_the_wrong_sign() {
        assert_eq!(Entry::recharge(ANN, Cents::ZERO, "r"), Err(LedgerError::NotPositive));
        assert_eq!(Entry::recharge(ANN, Cents::new(-1), "r"), Err(LedgerError::NotPositive));
        assert_eq!(Entry::adjustment(ANN, Cents::ZERO, "1".into(), ""), Err(LedgerError::NotPositive));
        assert_eq!(Entry::adjustment(ANN, Cents::new(i64::MIN), "1".into(), ""), Err(LedgerError::Overflow));
        assert_eq!(Entry::package_bought(ANN, PackageId::new(1), Cents::ZERO, String::new()), Ok(None));
        assert_eq!(Entry::static_sold(ANN, sale(0)), Ok(None));
        assert_eq!(Entry::static_sold(ANN, sale(-1)), Err(LedgerError::NotPositive));
        let back = |amount| {
            Entry::static_refunded(ANN, StaticType::Dc, Cents::new(amount), "7".into(), String::new())
        };
        assert_eq!((back(0), back(-1)), (Ok(None), Err(LedgerError::NotPositive)));
    }
}
