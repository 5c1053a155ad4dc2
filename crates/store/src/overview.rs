//! Totals of the whole platform, for the operator's dashboard.

use tollgate_types::{Cents, Time};

use crate::{Error, Tx, params, statements};

statements! {
    COUNTS = "SELECT (SELECT COUNT(*) FROM accounts), (SELECT COUNT(*) FROM accounts WHERE status <> 'active'),
                     (SELECT COUNT(*) FROM sub_accounts WHERE status <> 'deleted'), (SELECT COUNT(*) FROM whitelist),
                     (SELECT COUNT(*) FROM exits WHERE status = 'active'),
                     (SELECT COUNT(*) FROM exits WHERE status <> 'active'),
                     (SELECT COUNT(*) FROM packages WHERE state = 'open' AND expires_at > ?1)";
    MONEY = "SELECT CAST(COALESCE(SUM(total_recharge), 0) AS BIGINT), CAST(COALESCE(SUM(total_consume), 0) AS BIGINT),
                    CAST(COALESCE(SUM(balance), 0) AS BIGINT)
             FROM wallets";
}

/// How many there are of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Accounts, suspended ones too.
    pub accounts: i64,
    /// Suspended accounts.
    pub suspended_accounts: i64,
    /// Sub-accounts, inactive ones too.
    pub sub_accounts: i64,
    /// Listed addresses.
    pub whitelist: i64,
    /// Exits that are used.
    pub active_exits: i64,
    /// Exits that are switched off.
    pub inactive_exits: i64,
    /// Packages that may be drawn on.
    pub open_packages: i64,
}

/// How many there are of everything.
pub fn counts(tx: &mut Tx<'_>, now: Time) -> Result<Counts, Error> {
    tx.one(COUNTS, params![now], |row| {
        Ok(Counts {
            accounts: row.i64(0)?,
            suspended_accounts: row.i64(1)?,
            sub_accounts: row.i64(2)?,
            whitelist: row.i64(3)?,
            active_exits: row.i64(4)?,
            inactive_exits: row.i64(5)?,
            open_packages: row.i64(6)?,
        })
    })
}

/// All wallets together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// All that ever came in.
    pub recharged: Cents,
    /// All that was ever spent.
    pub consumed: Cents,
    /// What the wallets hold.
    pub balance: Cents,
}

/// All wallets together.
pub fn money(tx: &mut Tx<'_>) -> Result<Money, Error> {
    tx.one(MONEY, params![], |row| {
        Ok(Money {
            recharged: Cents::new(row.i64(0)?),
            consumed: Cents::new(row.i64(1)?),
            balance: Cents::new(row.i64(2)?),
        })
    })
}
