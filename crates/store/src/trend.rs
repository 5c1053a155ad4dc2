//! Traffic by day: the sums behind trends and the dashboard.

use tollgate_types::{AccountId, Bytes, Day, ProxyType, SubAccountId};

use crate::wallets::proxy_type;
use crate::{Error, Row, Tx, params, statements};

statements! {
    OF_ACCOUNT = "SELECT day, proxy_type, CAST(SUM(package_bytes) AS BIGINT), CAST(SUM(wallet_bytes) AS BIGINT)
                  FROM daily_usage WHERE account_id = ?1 AND day >= ?2 AND day <= ?3
                  GROUP BY day, proxy_type ORDER BY day, proxy_type";
    OF_SUB_ACCOUNT = "SELECT day, proxy_type, CAST(SUM(package_bytes) AS BIGINT), CAST(SUM(wallet_bytes) AS BIGINT)
                      FROM daily_usage WHERE account_id = ?1 AND day >= ?2 AND day <= ?3 AND sub_account_id = ?4
                      GROUP BY day, proxy_type ORDER BY day, proxy_type";
    OF_ALL = "SELECT day, proxy_type, CAST(SUM(package_bytes) AS BIGINT), CAST(SUM(wallet_bytes) AS BIGINT)
              FROM daily_usage WHERE day >= ?1 AND day <= ?2
              GROUP BY day, proxy_type ORDER BY day, proxy_type";
}

/// The traffic of one type on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySum {
    /// The day.
    pub day: Day,
    /// The kind of traffic.
    pub proxy_type: ProxyType,
    /// Bytes that packages paid for.
    pub package: Bytes,
    /// Bytes that the wallet paid for.
    pub wallet: Bytes,
}

/// An account's traffic between two days, both included, or one of its sub-accounts' alone. Days
/// without traffic are not among the rows.
pub fn of_account(
    tx: &mut Tx<'_>,
    account: AccountId,
    sub_account: Option<SubAccountId>,
    from: Day,
    to: Day,
) -> Result<Vec<DaySum>, Error> {
    match sub_account {
        None => tx.all(OF_ACCOUNT, params![account, from, to], day_sum),
        Some(id) => tx.all(OF_SUB_ACCOUNT, params![account, from, to, id], day_sum),
    }
}

/// Everybody's traffic between two days, both included.
pub fn of_all(tx: &mut Tx<'_>, from: Day, to: Day) -> Result<Vec<DaySum>, Error> {
    tx.all(OF_ALL, params![from, to], day_sum)
}

fn day_sum(row: &Row<'_>) -> Result<DaySum, Error> {
    let day =
        i32::try_from(row.i64(0)?).map_err(|_| Error::Unexpected("a day is out of range".to_owned()))?;
    Ok(DaySum {
        day: Day::from_number(day),
        proxy_type: proxy_type(row, 1)?,
        package: Bytes::from_i64(row.i64(2)?),
        wallet: Bytes::from_i64(row.i64(3)?),
    })
}
