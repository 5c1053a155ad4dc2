//! Requests about static proxies: replacements and refunds, with what came of them.

use tollgate_types::{AccountId, Cents, StaticProxyId, StaticRequestId, Time};

use crate::words::{RequestKind, RequestState};
use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO static_requests (proxy_id, account_id, kind, asked_by, reason, state, old_address, created_at,
                                           updated_at)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) RETURNING id";
    BY_ID = "SELECT id, proxy_id, account_id, kind, asked_by, reason, state, old_address, new_address, amount, note,
                    created_at, updated_at
             FROM static_requests WHERE id = ?1";
    COUNT = "SELECT COUNT(*) FROM static_requests
             WHERE (CAST(?1 AS BIGINT) = 0 OR account_id = ?1) AND (?2 = '' OR kind = ?2) AND (?3 = '' OR state = ?3)";
    PAGE = "SELECT id, proxy_id, account_id, kind, asked_by, reason, state, old_address, new_address, amount, note,
                   created_at, updated_at
            FROM static_requests
            WHERE (CAST(?1 AS BIGINT) = 0 OR account_id = ?1) AND (?2 = '' OR kind = ?2) AND (?3 = '' OR state = ?3)
            ORDER BY id DESC LIMIT ?4 OFFSET ?5";
    WRITE = "UPDATE static_requests SET state = ?2, new_address = ?3, amount = ?4, note = ?5, updated_at = ?6 WHERE id = ?1";
    /// Replacements that somebody was given, or is being given, since a moment.
    REPLACED_SINCE = "SELECT COUNT(*) FROM static_requests
                      WHERE proxy_id = ?1 AND asked_by = ?2 AND created_at > ?3 AND kind = 'replace'
                        AND state IN ('going', 'done')";
    /// Those that a worker is to do and none is going to.
    UNPROMISED = "SELECT r.id FROM static_requests r WHERE r.state = 'going' AND NOT EXISTS
                  (SELECT 1 FROM jobs j WHERE j.kind = ?1 AND j.subject = CAST(r.id AS TEXT)) ORDER BY r.id";
    /// Proxies that work at an address out of service, and about which nothing is asked.
    STRANDED = "SELECT p.id FROM static_proxies p JOIN stock_items s ON s.id = p.stock_id
                WHERE p.state = 'live' AND s.state = 'disabled' AND NOT EXISTS
                (SELECT 1 FROM static_requests r WHERE r.proxy_id = p.id AND r.state IN ('asked', 'going')) ORDER BY p.id";
    /// What of each delivered proxy was given back by its terms, and what by its requests.
    GIVEN_BACK = "SELECT p.id,
                         (SELECT CAST(COALESCE(SUM(t.refunded), 0) AS BIGINT) FROM static_terms t WHERE t.proxy_id = p.id),
                         (SELECT CAST(COALESCE(SUM(r.amount), 0) AS BIGINT) FROM static_requests r
                          WHERE r.proxy_id = p.id AND r.kind = 'refund' AND r.state = 'done')
                  FROM static_proxies p JOIN static_orders o ON o.id = p.order_id
                  WHERE o.state = 'completed' ORDER BY p.id";
    /// Those that are open about a proxy that has no address.
    POINTLESS = "SELECT r.id FROM static_requests r JOIN static_proxies p ON p.id = r.proxy_id
                 WHERE r.state IN ('asked', 'going') AND p.stock_id IS NULL ORDER BY r.id";
}

/// A request as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: StaticRequestId,
    /// About which proxy.
    pub proxy: StaticProxyId,
    /// Whose.
    pub account: AccountId,
    /// replace or refund.
    pub kind: String,
    /// Who asked, as the audit log says it.
    pub asked_by: String,
    /// Why.
    pub reason: String,
    /// asked (waits for the operator), going (a worker does it), done, refused or dropped.
    pub state: String,
    /// `IP:port` when it was asked.
    pub old_address: String,
    /// `IP:port` after a replacement; empty before, and for refunds.
    pub new_address: String,
    /// What a refund gave back.
    pub amount: Cents,
    /// The operator's note.
    pub note: String,
    /// When it was asked.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A request to be written.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// About which proxy.
    pub proxy: StaticProxyId,
    /// Whose.
    pub account: AccountId,
    /// What is asked.
    pub kind: RequestKind,
    /// Who asks, as the audit log says it.
    pub asked_by: String,
    /// Why.
    pub reason: String,
    /// What it is at.
    pub state: RequestState,
    /// `IP:port` now.
    pub old_address: String,
}

/// Writes a request. [`Error::UniqueViolation`] where another one is open.
pub fn insert(tx: &mut Tx<'_>, new: &NewRequest, now: Time) -> Result<StaticRequestId, Error> {
    let values = params![
        new.proxy,
        new.account,
        new.kind,
        &new.asked_by,
        &new.reason,
        new.state,
        &new.old_address,
        now
    ];
    tx.insert(INSERT, values).map(StaticRequestId::new)
}

/// One request.
pub fn by_id(tx: &mut Tx<'_>, id: StaticRequestId) -> Result<Option<Request>, Error> {
    tx.opt(BY_ID, params![id], request)
}

/// Which requests a page shows; what is empty or zero is not asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Whose; 0 = anybody's.
    pub account: i64,
    /// What was asked.
    pub kind: String,
    /// What they are at.
    pub state: String,
}

/// A page of requests, newest first, and how many there are.
pub fn page(tx: &mut Tx<'_>, filter: &Filter, limit: i64, offset: i64) -> Result<(Vec<Request>, i64), Error> {
    let Filter { account, kind, state } = filter;
    let total = tx.one(COUNT, params![*account, kind, state], |row| row.i64(0))?;
    Ok((tx.all(PAGE, params![*account, kind, state, limit, offset], request)?, total))
}

/// Writes what may change of a request, and what it is at.
pub fn write(tx: &mut Tx<'_>, changed: &Request, state: RequestState, now: Time) -> Result<(), Error> {
    let values = params![changed.id, state, &changed.new_address, changed.amount, &changed.note, now];
    tx.execute(WRITE, values).map(drop)
}

/// How many replacements of a proxy somebody was given, or is being given, since a moment.
pub fn replaced_since(
    tx: &mut Tx<'_>,
    proxy: StaticProxyId,
    asked_by: &str,
    since: Time,
) -> Result<i64, Error> {
    tx.one(REPLACED_SINCE, params![proxy, asked_by, since], |row| row.i64(0))
}

/// Requests under way that no job of a kind is about; for the audit.
pub fn unpromised(tx: &mut Tx<'_>, kind: &str) -> Result<Vec<StaticRequestId>, Error> {
    tx.all(UNPROMISED, params![kind], |row| Ok(StaticRequestId::new(row.i64(0)?)))
}

/// Open requests about proxies that have no address; for the audit.
pub fn pointless(tx: &mut Tx<'_>) -> Result<Vec<StaticRequestId>, Error> {
    tx.all(POINTLESS, params![], |row| Ok(StaticRequestId::new(row.i64(0)?)))
}

/// Proxies that work at an address out of service without a request about them; for the audit.
pub fn stranded(tx: &mut Tx<'_>) -> Result<Vec<StaticProxyId>, Error> {
    tx.all(STRANDED, params![], |row| Ok(StaticProxyId::new(row.i64(0)?)))
}

/// What of each delivered proxy was given back, by its terms and by its requests; for the audit.
pub fn given_back(tx: &mut Tx<'_>) -> Result<Vec<(StaticProxyId, Cents, Cents)>, Error> {
    tx.all(GIVEN_BACK, params![], |row| {
        Ok((StaticProxyId::new(row.i64(0)?), Cents::new(row.i64(1)?), Cents::new(row.i64(2)?)))
    })
}

fn request(row: &Row<'_>) -> Result<Request, Error> {
    Ok(Request {
        id: StaticRequestId::new(row.i64(0)?),
        proxy: StaticProxyId::new(row.i64(1)?),
        account: AccountId::new(row.i64(2)?),
        kind: row.text(3)?,
        asked_by: row.text(4)?,
        reason: row.text(5)?,
        state: row.text(6)?,
        old_address: row.text(7)?,
        new_address: row.text(8)?,
        amount: Cents::new(row.i64(9)?),
        note: row.text(10)?,
        created_at: Time::from_micros(row.i64(11)?),
        updated_at: Time::from_micros(row.i64(12)?),
    })
}
