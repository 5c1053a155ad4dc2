//! Orders of static proxies: purchases and renewals.

use tollgate_types::{AccountId, Cents, StaticOrderId, StaticPriceId, StaticType, Time};

use crate::words::{OrderKind, OrderState, word};
use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO static_orders (order_no, account_id, kind, static_type, country, protocol, price_id, count, amount,
                                         state, created_at, updated_at)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)
              ON CONFLICT (order_no) DO NOTHING RETURNING id";
    BY_ID = "SELECT id, order_no, account_id, kind, static_type, country, protocol, count, amount, state, created_at,
                    updated_at, price_id
             FROM static_orders WHERE id = ?1";
    COUNT = "SELECT COUNT(*) FROM static_orders
             WHERE (CAST(?1 AS BIGINT) = 0 OR account_id = ?1) AND (?2 = '' OR state = ?2) AND (?3 = '' OR order_no = ?3)";
    PAGE = "SELECT id, order_no, account_id, kind, static_type, country, protocol, count, amount, state, created_at,
                   updated_at, price_id
            FROM static_orders
            WHERE (CAST(?1 AS BIGINT) = 0 OR account_id = ?1) AND (?2 = '' OR state = ?2) AND (?3 = '' OR order_no = ?3)
            ORDER BY id DESC LIMIT ?4 OFFSET ?5";
    SET_STATE = "UPDATE static_orders SET state = ?2, updated_at = ?3 WHERE id = ?1";
    /// A job about each proxy of an order.
    SET_JOBS = "INSERT INTO jobs (kind, subject, run_at, state, created_at, updated_at)
                SELECT ?2, CAST(id AS TEXT), ?3, 'waiting', ?4, ?4 FROM static_proxies WHERE order_id = ?1
                ON CONFLICT (kind, subject) DO UPDATE SET run_at = excluded.run_at, updated_at = excluded.updated_at";
    /// What each order says of itself, and what there is of it.
    TALLIES = "SELECT o.id, o.order_no, o.kind, o.state, o.count, o.amount,
                      (SELECT COUNT(*) FROM static_terms t WHERE t.order_id = o.id),
                      (SELECT CAST(COALESCE(SUM(t.amount), 0) AS BIGINT) FROM static_terms t WHERE t.order_id = o.id),
                      (SELECT COUNT(*) FROM static_proxies p WHERE p.order_id = o.id),
                      (SELECT COUNT(*) FROM static_proxies p WHERE p.order_id = o.id AND p.state = 'pending'),
                      (SELECT COUNT(*) FROM static_proxies p WHERE p.order_id = o.id AND p.state = 'ended'),
                      (SELECT CAST(COALESCE(SUM(t.refunded), 0) AS BIGINT) FROM static_terms t WHERE t.order_id = o.id)
               FROM static_orders o ORDER BY o.id";
}

/// An order as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: StaticOrderId,
    /// What customers and support call it.
    pub order_no: String,
    /// Whose.
    pub account: AccountId,
    /// purchase or renewal.
    pub kind: String,
    /// What kind of address.
    pub static_type: StaticType,
    /// Where, in lower case; empty for renewals, which may be of several countries.
    pub country: String,
    /// What the proxies speak; empty for renewals.
    pub protocol: String,
    /// How many proxies.
    pub count: i64,
    /// What was paid.
    pub amount: Cents,
    /// pending, completed or cancelled.
    pub state: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// The price package that was ordered; 0 for renewals, each at its own.
    pub price: StaticPriceId,
}

/// An order to be written.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// Whose.
    pub account: AccountId,
    /// What for.
    pub kind: OrderKind,
    /// What kind of address.
    pub static_type: StaticType,
    /// Where; empty for renewals.
    pub country: String,
    /// What the proxies are to speak; empty for renewals.
    pub protocol: &'static str,
    /// The price package; 0 for renewals.
    pub price: StaticPriceId,
    /// How many proxies.
    pub count: i64,
    /// What is paid.
    pub amount: Cents,
    /// What it is at.
    pub state: OrderState,
}

/// Writes an order under a number; `None` where another has that number.
pub fn insert(
    tx: &mut Tx<'_>,
    order_no: &str,
    new: &NewOrder,
    now: Time,
) -> Result<Option<StaticOrderId>, Error> {
    let values = params![
        order_no,
        new.account,
        new.kind,
        new.static_type,
        &new.country,
        new.protocol,
        new.price,
        new.count,
        new.amount,
        new.state,
        now
    ];
    Ok(tx.opt(INSERT, values, |row| row.i64(0))?.map(StaticOrderId::new))
}

/// One order.
pub fn by_id(tx: &mut Tx<'_>, id: StaticOrderId) -> Result<Option<Order>, Error> {
    tx.opt(BY_ID, params![id], order)
}

/// Which orders a page shows; what is empty or zero is not asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Whose; 0 = anybody's.
    pub account: i64,
    /// What they are at.
    pub state: String,
    /// Exactly this one.
    pub order_no: String,
}

/// A page of orders, newest first, and how many there are.
pub fn page(tx: &mut Tx<'_>, filter: &Filter, limit: i64, offset: i64) -> Result<(Vec<Order>, i64), Error> {
    let Filter { account, state, order_no } = filter;
    let total = tx.one(COUNT, params![*account, state, order_no], |row| row.i64(0))?;
    Ok((tx.all(PAGE, params![*account, state, order_no, limit, offset], order)?, total))
}

/// Writes what an order is at.
pub fn set_state(tx: &mut Tx<'_>, id: StaticOrderId, state: OrderState, now: Time) -> Result<(), Error> {
    tx.execute(SET_STATE, params![id, state, now]).map(drop)
}

/// Has something done at a time about each of the proxies that an order bought.
pub fn set_jobs(
    tx: &mut Tx<'_>,
    id: StaticOrderId,
    kind: &str,
    run_at: Time,
    now: Time,
) -> Result<(), Error> {
    tx.execute(SET_JOBS, params![id, kind, run_at, now]).map(drop)
}

/// What an order says of itself, and what there is of it; for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The order.
    pub id: StaticOrderId,
    /// What it is called.
    pub order_no: String,
    /// What for.
    pub kind: OrderKind,
    /// What it is at.
    pub state: OrderState,
    /// How many proxies it says it is of.
    pub count: i64,
    /// What it says was paid.
    pub amount: Cents,
    /// How many terms it paid for.
    pub terms: i64,
    /// What they cost together.
    pub paid: Cents,
    /// How many proxies it bought.
    pub proxies: i64,
    /// How many of them wait to be delivered.
    pub pending: i64,
    /// How many of them have ended.
    pub ended: i64,
    /// What of it was given back.
    pub refunded: Cents,
}

/// Every order, for the audit.
pub fn tallies(tx: &mut Tx<'_>) -> Result<Vec<Tally>, Error> {
    tx.all(TALLIES, params![], |row| {
        Ok(Tally {
            id: StaticOrderId::new(row.i64(0)?),
            order_no: row.text(1)?,
            kind: word(row, 2)?,
            state: word(row, 3)?,
            count: row.i64(4)?,
            amount: Cents::new(row.i64(5)?),
            terms: row.i64(6)?,
            paid: Cents::new(row.i64(7)?),
            proxies: row.i64(8)?,
            pending: row.i64(9)?,
            ended: row.i64(10)?,
            refunded: Cents::new(row.i64(11)?),
        })
    })
}

fn order(row: &Row<'_>) -> Result<Order, Error> {
    Ok(Order {
        id: StaticOrderId::new(row.i64(0)?),
        order_no: row.text(1)?,
        account: AccountId::new(row.i64(2)?),
        kind: row.text(3)?,
        static_type: word(row, 4)?,
        country: row.text(5)?,
        protocol: row.text(6)?,
        count: row.i64(7)?,
        amount: Cents::new(row.i64(8)?),
        state: row.text(9)?,
        created_at: Time::from_micros(row.i64(10)?),
        updated_at: Time::from_micros(row.i64(11)?),
        price: StaticPriceId::new(row.i64(12)?),
    })
}
