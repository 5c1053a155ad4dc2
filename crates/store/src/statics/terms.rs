//! Terms: what was paid for which time of a static proxy.

use tollgate_ledger::statics::Term;
use tollgate_types::{AccountId, Cents, StaticOrderId, StaticProxyId, StaticType, Time};

use crate::words::{ProxyState, word};
use crate::{Error, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO static_terms (proxy_id, order_id, amount, starts_at, ends_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    /// The same for proxies that are bought together and cost the same.
    INSERT_ALIKE = "INSERT INTO static_terms (proxy_id, order_id, amount, starts_at, ends_at)
                    SELECT id, order_id, ?4, ?5, ?6 FROM static_proxies WHERE order_id = ?1 AND id >= ?2 AND id <= ?3";
    MOVE_ORDER = "UPDATE static_terms SET starts_at = ?2, ends_at = ?3 WHERE order_id = ?1";
    UNEXPIRED = "SELECT id, amount, starts_at, ends_at, refunded FROM static_terms
                 WHERE proxy_id = ?1 AND ends_at > ?2 ORDER BY ends_at, id";
    REFUND = "UPDATE static_terms SET refunded = refunded + ?2 WHERE id = ?1";
    REFUND_ORDER = "UPDATE static_terms SET refunded = amount WHERE order_id = ?1";
    /// What each account paid for proxies of each type, and what of it was given back.
    TOTALS = "SELECT p.account_id, p.static_type, CAST(SUM(t.amount) AS BIGINT), CAST(SUM(t.refunded) AS BIGINT)
              FROM static_terms t JOIN static_proxies p ON p.id = t.proxy_id
              GROUP BY p.account_id, p.static_type ORDER BY p.account_id, p.static_type";
    /// Every proxy with the end of its last term, and how many of its terms are longer or shorter
    /// than its period or begin before the one before has ended.
    LAST_ENDS = "SELECT p.id, p.state, p.expires_at, CAST(MAX(t.ends_at) AS BIGINT),
                        CAST(SUM(CASE WHEN t.ends_at - t.starts_at <> pr.period * ?1 THEN 1 ELSE 0 END) AS BIGINT),
                        CAST(SUM(CASE WHEN t.starts_at < t.ended_before THEN 1 ELSE 0 END) AS BIGINT)
                 FROM static_proxies p JOIN static_prices pr ON pr.id = p.price_id
                 LEFT JOIN (SELECT proxy_id, starts_at, ends_at,
                                   LAG(ends_at) OVER (PARTITION BY proxy_id ORDER BY starts_at, id) AS ended_before
                            FROM static_terms) t ON t.proxy_id = p.id
                 GROUP BY p.id, p.state, p.expires_at ORDER BY p.id";
}

/// Writes one term.
pub fn insert(
    tx: &mut Tx<'_>,
    proxy: StaticProxyId,
    order: StaticOrderId,
    amount: Cents,
    (starts_at, ends_at): (Time, Time),
) -> Result<(), Error> {
    tx.execute(INSERT, params![proxy, order, amount, starts_at, ends_at]).map(drop)
}

/// Writes a term for each proxy of an order between two ids, both included.
pub fn insert_alike(
    tx: &mut Tx<'_>,
    order: StaticOrderId,
    (first, last): (StaticProxyId, StaticProxyId),
    amount: Cents,
    (starts_at, ends_at): (Time, Time),
) -> Result<(), Error> {
    tx.execute(INSERT_ALIKE, params![order, first, last, amount, starts_at, ends_at]).map(drop)
}

/// Has the terms of an order begin when its proxies are delivered.
pub fn move_order(
    tx: &mut Tx<'_>,
    order: StaticOrderId,
    (starts_at, ends_at): (Time, Time),
) -> Result<(), Error> {
    tx.execute(MOVE_ORDER, params![order, starts_at, ends_at]).map(drop)
}

/// The terms of a proxy that have not ended at a moment, with their ids.
pub fn unexpired(tx: &mut Tx<'_>, proxy: StaticProxyId, now: Time) -> Result<Vec<(i64, Term)>, Error> {
    tx.all(UNEXPIRED, params![proxy, now], |row| {
        let term = Term {
            amount: Cents::new(row.i64(1)?),
            starts_at: Time::from_micros(row.i64(2)?),
            ends_at: Time::from_micros(row.i64(3)?),
            refunded: Cents::new(row.i64(4)?),
        };
        Ok((row.i64(0)?, term))
    })
}

/// Notes what of a term was given back.
pub fn refund(tx: &mut Tx<'_>, id: i64, amount: Cents) -> Result<(), Error> {
    tx.execute(REFUND, params![id, amount]).map(drop)
}

/// Notes that all of an order was given back.
pub fn refund_order(tx: &mut Tx<'_>, order: StaticOrderId) -> Result<(), Error> {
    tx.execute(REFUND_ORDER, params![order]).map(drop)
}

/// What an account paid for static proxies of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// Whose.
    pub account: AccountId,
    /// What kind of address.
    pub static_type: StaticType,
    /// All that was paid.
    pub amount: Cents,
    /// What of it was given back.
    pub refunded: Cents,
}

/// What each account paid for static proxies of each type, for the audit.
pub fn totals(tx: &mut Tx<'_>) -> Result<Vec<Paid>, Error> {
    tx.all(TOTALS, params![], |row| {
        Ok(Paid {
            account: AccountId::new(row.i64(0)?),
            static_type: word(row, 1)?,
            amount: Cents::new(row.i64(2)?),
            refunded: Cents::new(row.i64(3)?),
        })
    })
}

/// A proxy's time, as it says and as its terms do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEnd {
    /// The proxy.
    pub proxy: StaticProxyId,
    /// What it is at.
    pub state: ProxyState,
    /// Until when it says that it works.
    pub expires_at: Time,
    /// When its last term ends; `None` where it has none.
    pub ends_at: Option<Time>,
    /// How many of its terms are longer or shorter than its period.
    pub uneven: i64,
    /// How many of its terms begin before the one before has ended.
    pub overlapping: i64,
}

/// The time of every proxy, for the audit. `day` is how many microseconds a day of a period has.
pub fn last_ends(tx: &mut Tx<'_>, day: i64) -> Result<Vec<LastEnd>, Error> {
    tx.all(LAST_ENDS, params![day], |row| {
        Ok(LastEnd {
            proxy: StaticProxyId::new(row.i64(0)?),
            state: word(row, 1)?,
            expires_at: Time::from_micros(row.i64(2)?),
            ends_at: row.opt_i64(3)?.map(Time::from_micros),
            uneven: row.i64(4)?,
            overlapping: row.i64(5)?,
        })
    })
}
