//! The operator's overview: totals for a dashboard.

use tollgate_ledger::EntryKind;
use tollgate_store::usage::DayTotal;
use tollgate_store::{self as store};
use tollgate_types::{Cents, StaticType};

use crate::{Core, Error};

/// Totals over the whole platform.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Accounts, suspended ones too.
    pub accounts: i64,
    /// Accounts that are not suspended.
    pub active_accounts: i64,
    /// Money ever received.
    pub money_in: Cents,
    /// Money ever spent from wallets.
    pub money_out: Cents,
    /// What all wallets hold.
    pub balance: Cents,
    /// What is owed in bytes: bought but not yet used or expired.
    pub owed: Cents,
    /// Traffic by type and day over the last 30 days; days without traffic are left out.
    pub traffic: Vec<DayTotal>,
    /// How many static addresses there are of each type in each state.
    pub stock: Vec<(StaticType, String, i64)>,
}

/// Adds everything up.
///
/// # Errors
/// Those of the store.
pub async fn read(core: &Core) -> Result<Overview, Error> {
    let today = core.zone().day(core.now());
    core.db()
        .read(move |tx| {
            let (accounts, active_accounts) = store::accounts::totals(tx)?;
            let (mut money_in, mut money_out, mut balance, mut owed) = (0i64, 0i64, 0i64, 0i64);
            for total in store::entries::totals(tx)? {
                if total.ledger_account.starts_with("wallet:") {
                    balance = balance.saturating_add(total.net);
                    money_out = money_out.saturating_add(total.lost);
                    if total.kind == EntryKind::Recharge.as_str() {
                        money_in = money_in.saturating_add(total.gained);
                    }
                } else if total.ledger_account.starts_with("liability:") {
                    owed = owed.saturating_add(total.net);
                }
            }
            Ok(Overview {
                accounts,
                active_accounts,
                money_in: Cents::new(money_in),
                money_out: Cents::new(money_out),
                balance: Cents::new(balance),
                owed: Cents::new(owed),
                traffic: store::usage::of_all(tx, today.plus_days(-29), today)?,
                stock: store::statics::stock::totals(tx)?,
            })
        })
        .await
}
