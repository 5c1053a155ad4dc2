//! The audit: every balance, package, limit and daily total recomputed from the records that are
//! never changed (entries, postings, leases, terms), and compared with what is kept; and the chain of
//! entries followed, which shows whether these records were changed.

mod chain;
mod statics;

use std::collections::BTreeMap;
use std::fmt;

use tollgate_ledger::rating::{UNITS_PER_CENT, Units};
use tollgate_ledger::{LedgerAccount, Product};
use tollgate_store::leases::UsedAndHeld;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Bytes};

use crate::{Core, Error};

pub use self::chain::mark_in;

/// Something that is not as the records say it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What, for people: `balance of wallet 3`.
    pub what: String,
    /// What the records say.
    pub expected: i128,
    /// What is kept.
    pub found: i128,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the records say {}, kept is {}", self.what, self.expected, self.found)
    }
}

/// What an audit looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many figures were compared.
    pub compared: u64,
    /// Those that differ.
    pub differences: Vec<Difference>,
}

impl Report {
    fn compare(&mut self, what: impl FnOnce() -> String, expected: i128, found: i128) {
        self.compared += 1;
        if expected != found {
            self.differences.push(Difference { what: what(), expected, found });
        }
    }

    /// Compares two tables of numbers; what is missing on either side counts as zero.
    fn compare_tables<K: Ord + Clone>(
        &mut self,
        name: impl Fn(&K) -> String,
        expected: BTreeMap<K, i128>,
        mut found: BTreeMap<K, i128>,
    ) {
        for (key, expected) in expected {
            let found = found.remove(&key).unwrap_or(0);
            self.compare(|| name(&key), expected, found);
        }
        for (key, found) in found {
            self.compare(|| name(&key), 0, found);
        }
    }
}

/// Audits everything, on one consistent picture of the store.
///
/// # Errors
/// Those of the store.
pub async fn run(core: &Core) -> Result<Report, Error> {
    core.db().read(run_in).await
}

/// Audits everything that a transaction sees: also what it is about to commit. No keys are needed.
///
/// # Errors
/// Those of the store.
pub fn run_in(tx: &mut Tx<'_>) -> Result<Report, Error> {
    let mut report = Report::default();
    entries_balance(tx, &mut report)?;
    wallets_follow_entries(tx, &mut report)?;
    packages_follow_leases(tx, &mut report)?;
    wallets_follow_leases(tx, &mut report)?;
    limits_follow_leases(tx, &mut report)?;
    days_follow_leases(tx, &mut report)?;
    statics::audit_in(tx, &mut report)?;
    chain::audit_in(tx, &mut report)?;
    Ok(report)
}

fn entries_balance(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    report.compared += 1;
    for (entry, sum) in store::entries::unbalanced(tx)? {
        let what = format!("sum of entry {entry} (or it has fewer than two lines)");
        report.differences.push(Difference { what, expected: 0, found: sum.into() });
    }
    Ok(())
}

/// Balances and totals against postings; packages' unearned money against liabilities.
fn wallets_follow_entries(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let (mut gained, mut lost, mut net) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::<String, i128>::new());
    for total in store::entries::totals(tx)? {
        *gained.entry(total.ledger_account.clone()).or_insert(0) += i128::from(total.gained);
        *lost.entry(total.ledger_account.clone()).or_insert(0) += i128::from(total.lost);
        *net.entry(total.ledger_account).or_insert(0) += i128::from(total.net);
    }
    for kept in store::wallets::all(tx)? {
        let name = LedgerAccount::Wallet(kept.account).to_string();
        let of = |table: &BTreeMap<String, i128>| table.get(&name).copied().unwrap_or(0);
        report.compare(|| format!("balance of {name}"), of(&net), kept.balance.get().into());
        report.compare(|| format!("total_recharge of {name}"), of(&gained), kept.total_recharge.get().into());
        report.compare(|| format!("total_consume of {name}"), of(&lost), kept.total_consume.get().into());
    }
    let mut owed = BTreeMap::new();
    for package in store::packages::all(tx)?.into_iter().filter(|package| !package.closed) {
        let name = LedgerAccount::Liability(package.account).to_string();
        *owed.entry(name).or_insert(0) += i128::from(package.amount.get());
    }
    let liabilities = net.into_iter().filter(|(name, _)| name.starts_with("liability:")).collect();
    report.compare_tables(|name| format!("open packages against {name}"), liabilities, owed);
    Ok(())
}

fn packages_follow_leases(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let (mut used, mut held) = (BTreeMap::new(), BTreeMap::new());
    for package in store::packages::all(tx)? {
        used.insert(package.id, i128::from(package.used.as_i64()));
        held.insert(package.id, i128::from(package.reserved.as_i64()));
    }
    let (expected_used, expected_held) = split(store::leases::by_package(tx)?);
    report.compare_tables(|id| format!("bytes used of package {id}"), expected_used, used);
    report.compare_tables(|id| format!("bytes held of package {id}"), expected_held, held);
    Ok(())
}

/// What the wallet paid for traffic, to the unit: bytes × price = cents charged + what is carried.
fn wallets_follow_leases(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let mut units = BTreeMap::<String, i128>::new();
    let mut held = BTreeMap::<AccountId, i128>::new();
    for (account, proxy_type, price, bytes) in store::leases::by_wallet(tx)? {
        let cost =
            |bytes| i128::try_from(Units::of(Bytes::from_i64(bytes), price).get()).unwrap_or(i128::MAX);
        let pool = LedgerAccount::Revenue(Product::Traffic(proxy_type));
        *units.entry(format!("{account} {pool}")).or_insert(0) += cost(bytes.used);
        *held.entry(account).or_insert(0) += cost(bytes.held);
    }
    let mut charged = BTreeMap::<String, i128>::new();
    for (account, pool, cents) in store::entries::earned_by_traffic(tx)? {
        *charged.entry(format!("{account} {pool}")).or_insert(0) +=
            i128::from(cents.get()) * i128::from(UNITS_PER_CENT);
    }
    for (account, proxy_type, carry) in store::wallets::all_carries(tx)? {
        let pool = LedgerAccount::Revenue(Product::Traffic(proxy_type));
        *charged.entry(format!("{account} {pool}")).or_insert(0) += i128::from(carry);
    }
    report.compare_tables(
        |pool| format!("traffic charged to the wallet of account {pool}, in 2^-30 cents"),
        units,
        charged,
    );
    let reserved =
        store::wallets::all(tx)?.into_iter().map(|kept| (kept.account, kept.reserved_units.into())).collect();
    report.compare_tables(
        |account| format!("held by leases of wallet {account}, in 2^-30 cents"),
        held,
        reserved,
    );
    Ok(())
}

fn limits_follow_leases(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let (used, held) = split(store::leases::sub_account_counters(tx)?);
    let (expected_used, expected_held) = split(store::leases::by_sub_account(tx)?);
    report.compare_tables(|(id, kind)| format!("{kind} bytes used by sub-account {id}"), expected_used, used);
    report.compare_tables(
        |(id, kind)| format!("{kind} bytes held for sub-account {id}"),
        expected_held,
        held,
    );
    Ok(())
}

fn days_follow_leases(tx: &mut Tx<'_>, report: &mut Report) -> Result<(), Error> {
    let table = |rows: Vec<store::usage::DayRow>| {
        let mut table = BTreeMap::new();
        for row in rows {
            let key = (row.account, row.day, row.proxy_type, row.sub_account);
            table.insert((key, "package"), i128::from(row.package_bytes));
            table.insert((key, "wallet"), i128::from(row.wallet_bytes));
        }
        table
    };
    let (expected, found) = (table(store::leases::by_day(tx)?), table(store::usage::all(tx)?));
    let name = |&((account, day, kind, sub_account), source): &((AccountId, i64, _, i64), &str)| {
        let day = tollgate_types::Day::from_number(i32::try_from(day).unwrap_or(i32::MAX));
        format!("{kind} bytes from the {source} of account {account}, sub-account {sub_account}, on {day}")
    };
    report.compare_tables(name, expected, found);
    Ok(())
}

type Table<K> = BTreeMap<K, i128>;

fn split<K: Ord + Clone>(rows: Vec<(K, UsedAndHeld)>) -> (Table<K>, Table<K>) {
    let used = rows.iter().map(|(key, bytes)| (key.clone(), i128::from(bytes.used))).collect();
    let held = rows.into_iter().map(|(key, bytes)| (key, i128::from(bytes.held))).collect();
    (used, held)
}
