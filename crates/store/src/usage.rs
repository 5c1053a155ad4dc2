//! Daily usage: the trend's numbers, kept as they happen.

use tollgate_types::{AccountId, Bytes, Day, Payer, ProxyType, SubAccountId};

use crate::leases::sub_account_column;
use crate::wallets::proxy_type;
use crate::{Error, Row, Tx, params, statements};

statements! {
    ADD = "INSERT INTO daily_usage (account_id, sub_account_id, proxy_type, day, package_bytes, wallet_bytes)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6)
           ON CONFLICT (account_id, day, proxy_type, sub_account_id) DO UPDATE
           SET package_bytes = daily_usage.package_bytes + excluded.package_bytes,
               wallet_bytes = daily_usage.wallet_bytes + excluded.wallet_bytes";
    ALL_DAYS = "SELECT account_id, day, proxy_type, sub_account_id, package_bytes, wallet_bytes FROM daily_usage
                ORDER BY account_id, day, proxy_type, sub_account_id";
    OF_ACCOUNT = "SELECT day, proxy_type, CAST(SUM(package_bytes) AS BIGINT), CAST(SUM(wallet_bytes) AS BIGINT)
                  FROM daily_usage WHERE account_id = ?1 AND day >= ?2 AND day <= ?3
                  GROUP BY day, proxy_type ORDER BY day, proxy_type";
    OF_SUB_ACCOUNT = "SELECT day, proxy_type, CAST(SUM(package_bytes) AS BIGINT), CAST(SUM(wallet_bytes) AS BIGINT)
                      FROM daily_usage WHERE account_id = ?1 AND sub_account_id = ?4 AND day >= ?2 AND day <= ?3
                      GROUP BY day, proxy_type ORDER BY day, proxy_type";
    OF_ALL = "SELECT day, proxy_type, CAST(SUM(package_bytes) AS BIGINT), CAST(SUM(wallet_bytes) AS BIGINT)
              FROM daily_usage WHERE day >= ?1 AND day <= ?2
              GROUP BY day, proxy_type ORDER BY day, proxy_type";
    TOTAL_OF_ACCOUNT = "SELECT proxy_type, CAST(SUM(package_bytes + wallet_bytes) AS BIGINT)
                        FROM daily_usage WHERE account_id = ?1 GROUP BY proxy_type";
}

/// Adds bytes to a day: those that a package paid for and those that the wallet did.
pub fn add(tx: &mut Tx<'_>, payer: Payer, day: Day, package: Bytes, wallet: Bytes) -> Result<(), Error> {
    let sub_account = sub_account_column(payer.sub_account);
    tx.execute(ADD, params![payer.account, sub_account, payer.proxy_type, day, package, wallet]).map(drop)
}

/// One payer's traffic of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRow {
    /// Whose.
    pub account: AccountId,
    /// The day, as stored.
    pub day: i64,
    /// The kind of traffic.
    pub proxy_type: ProxyType,
    /// The sub-account; 0 = none.
    pub sub_account: i64,
    /// Bytes that packages paid for.
    pub package_bytes: i64,
    /// Bytes that the wallet paid for.
    pub wallet_bytes: i64,
}

/// Every day of every payer, for the audit.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<DayRow>, Error> {
    tx.all(ALL_DAYS, params![], day_row)
}

/// Traffic of one day and type, of however many payers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayTotal {
    /// The day.
    pub day: Day,
    /// The kind of traffic.
    pub proxy_type: ProxyType,
    /// Bytes that packages paid for.
    pub package: Bytes,
    /// Bytes that the wallet paid for.
    pub wallet: Bytes,
}

/// An account's traffic from one day to another, both included; only a sub-account's where one is
/// named. Days without traffic are left out.
pub fn of_account(
    tx: &mut Tx<'_>,
    account: AccountId,
    sub_account: Option<SubAccountId>,
    from: Day,
    to: Day,
) -> Result<Vec<DayTotal>, Error> {
    match sub_account {
        Some(sub_account) => tx.all(OF_SUB_ACCOUNT, params![account, from, to, sub_account], day_total),
        None => tx.all(OF_ACCOUNT, params![account, from, to], day_total),
    }
}

/// Everybody's traffic from one day to another, both included.
pub fn of_all(tx: &mut Tx<'_>, from: Day, to: Day) -> Result<Vec<DayTotal>, Error> {
    tx.all(OF_ALL, params![from, to], day_total)
}

/// All that an account ever used, by type.
pub fn total_of_account(tx: &mut Tx<'_>, account: AccountId) -> Result<[Bytes; 3], Error> {
    let rows = tx.all(TOTAL_OF_ACCOUNT, params![account], |row| {
        Ok((proxy_type(row, 0)?, Bytes::from_i64(row.i64(1)?)))
    })?;
    let mut totals = [Bytes::ZERO; 3];
    for (proxy_type, bytes) in rows {
        totals[proxy_type.index()] = bytes;
    }
    Ok(totals)
}

fn day_total(row: &Row<'_>) -> Result<DayTotal, Error> {
    Ok(DayTotal {
        day: Day::from_number(i32::try_from(row.i64(0)?).unwrap_or(i32::MAX)),
        proxy_type: proxy_type(row, 1)?,
        package: Bytes::from_i64(row.i64(2)?),
        wallet: Bytes::from_i64(row.i64(3)?),
    })
}

pub(crate) fn day_row(row: &Row<'_>) -> Result<DayRow, Error> {
    Ok(DayRow {
        account: AccountId::new(row.i64(0)?),
        day: row.i64(1)?,
        proxy_type: proxy_type(row, 2)?,
        sub_account: row.i64(3)?,
        package_bytes: row.i64(4)?,
        wallet_bytes: row.i64(5)?,
    })
}
