//! Static proxies: what customers have leased.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tollgate_types::{
    AccountId, Cents, Country, PasswordTag, StaticEntry, StaticOrderId, StaticPriceId, StaticProtocol,
    StaticProxyId, StaticRequestId, StaticType, StockId, Time,
};

use crate::statics::stock::{address, port};
use crate::words::{ProxyState, RebuyStatus, RequestKind, StockState, word};
use crate::{Error, Row, Tx, params, statements};

/// All of a proxy: with its order's number, its price package, its address and its open request.
macro_rules! proxies {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.account_id, p.order_id, o.order_no, p.price_id, pr.period, pr.price, p.static_type,
                    p.country, p.protocol, p.username, p.password_sealed, p.remark, p.state, p.auto_rebuy,
                    p.rebuy_status, p.expires_at, p.created_at, s.id, s.listen_ip, s.listen_port, s.exit_ip, s.state,
                    s.release_at, r.id, r.kind
             FROM static_proxies p
             JOIN static_orders o ON o.id = p.order_id
             JOIN static_prices pr ON pr.id = p.price_id
             LEFT JOIN stock_items s ON s.id = p.stock_id
             LEFT JOIN static_requests r ON r.proxy_id = p.id AND r.state IN ('asked', 'going') ",
            $rest
        )
    };
}

/// The same, of an account's proxies that a filter lets through.
macro_rules! filtered {
    ($rest:literal) => {
        concat!(
            "WHERE p.account_id = ?1 AND p.state <> 'ended'
               AND (p.static_type = ?2 OR p.static_type = ?3 OR p.static_type = ?4)
               AND (?5 = '' OR p.protocol = ?5) AND (?6 = '' OR s.listen_ip = ?6) AND (?7 = '' OR o.order_no = ?7)
               AND p.expires_at >= ?8 AND p.expires_at <= ?9 ",
            $rest
        )
    };
}

/// What gateways know of proxies.
macro_rules! entries {
    ($rest:literal) => {
        concat!(
            "SELECT p.id, p.account_id, p.static_type, p.protocol, s.listen_ip, s.listen_port, s.exit_ip, p.username,
                    p.password_tag, p.expires_at
             FROM static_proxies p JOIN stock_items s ON s.id = p.stock_id ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO static_proxies (account_id, order_id, price_id, stock_id, static_type, country, protocol, username,
                                          password_sealed, password_tag, remark, state, expires_at, created_at, updated_at)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, '', ?11, ?12, ?13, ?13) RETURNING id";
    /// Whose a proxy is: read before anything is locked. It never changes.
    OWNER = "SELECT account_id FROM static_proxies WHERE id = ?1";
    BY_ID = proxies!("WHERE p.id = ?1");
    OF_ORDER = proxies!("WHERE p.order_id = ?1 ORDER BY p.id");
    COUNT = concat!("SELECT COUNT(*) FROM static_proxies p JOIN static_orders o ON o.id = p.order_id
                     LEFT JOIN stock_items s ON s.id = p.stock_id ", filtered!(""));
    PAGE = concat!(proxies!(""), filtered!("ORDER BY p.id DESC LIMIT ?10 OFFSET ?11"));
    WORKING = concat!(proxies!(""), filtered!("AND p.state = 'live' ORDER BY p.id DESC LIMIT ?10"));
    WRITE = "UPDATE static_proxies SET stock_id = ?2, state = ?3, auto_rebuy = ?4, rebuy_status = ?5, remark = ?6,
                    expires_at = ?7, updated_at = ?8
             WHERE id = ?1";
    DELIVER = "UPDATE static_proxies SET stock_id = ?2, state = 'live', expires_at = ?3, updated_at = ?4 WHERE id = ?1";
    END_ORDER = "UPDATE static_proxies SET state = 'ended', updated_at = ?2 WHERE order_id = ?1 AND state = 'pending'";
    ENTRIES = entries!("WHERE p.state IN ('live', 'grace')");
    ENTRY = entries!("WHERE p.id = ?1 AND p.state IN ('live', 'grace')");
    ENTRIES_OF_ORDER = entries!("JOIN static_terms t ON t.proxy_id = p.id
                                 WHERE t.order_id = ?1 AND p.state IN ('live', 'grace')");
    /// Those that nothing is going to end, or not in time: but for jobs that failed, or were revived.
    UNPROMISED = "SELECT p.id FROM static_proxies p WHERE p.state IN ('live', 'grace') AND NOT EXISTS
                  (SELECT 1 FROM jobs j WHERE j.kind = ?1 AND j.subject = CAST(p.id AS TEXT)
                   AND (p.state = 'grace' OR j.state <> 'waiting' OR j.attempts > 0
                        OR j.run_at <= p.expires_at OR j.run_at <= j.updated_at)) ORDER BY p.id";
    GONE_OF_ORDER = "SELECT p.id FROM static_proxies p JOIN static_terms t ON t.proxy_id = p.id
                     WHERE t.order_id = ?1 AND p.state NOT IN ('live', 'grace')";
}

/// A proxy as stored, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its id.
    pub id: StaticProxyId,
    /// Whose.
    pub account: AccountId,
    /// The order that it was bought by.
    pub order: StaticOrderId,
    /// What that is called.
    pub order_no: String,
    /// The price package that it was bought by.
    pub price: StaticPriceId,
    /// For how many days that is.
    pub period: i64,
    /// What that costs now, for one address.
    pub price_now: Cents,
    /// What kind of address.
    pub static_type: StaticType,
    /// Where it is.
    pub country: Country,
    /// What it speaks.
    pub protocol: StaticProtocol,
    /// Its own user name.
    pub username: String,
    /// Its own password, sealed.
    pub password_sealed: Vec<u8>,
    /// The customer's remark.
    pub remark: String,
    /// What it is at.
    pub state: ProxyState,
    /// Whether it is renewed by itself.
    pub auto_rebuy: bool,
    /// How that went last.
    pub rebuy_status: RebuyStatus,
    /// Until when it works.
    pub expires_at: Time,
    /// When it was ordered.
    pub created_at: Time,
    /// Its address; `None` while it is pending, and once it has ended.
    pub place: Option<Place>,
    /// What has been asked for it, and is not done yet.
    pub request: Option<(StaticRequestId, RequestKind)>,
}

/// The stock item that a proxy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub stock: StockId,
    /// Where the proxy is reached.
    pub listen: SocketAddr,
    /// The address that its connections leave from.
    pub exit_ip: IpAddr,
    /// What the item is at.
    pub state: StockState,
    /// In grace: when the proxy gives it back.
    pub release_at: Option<Time>,
}

/// Proxies to be written: alike but for their addresses and credentials.
#[derive(Debug, Clone)]
pub struct NewProxies {
    /// Whose.
    pub account: AccountId,
    /// The order that they are bought by.
    pub order: StaticOrderId,
    /// The price package that they are bought by.
    pub price: StaticPriceId,
    /// What kind of address.
    pub static_type: StaticType,
    /// Where.
    pub country: Country,
    /// What they speak.
    pub protocol: StaticProtocol,
    /// Until when they work.
    pub expires_at: Time,
}

/// What a proxy is entered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its own user name.
    pub username: String,
    /// Its own password, sealed.
    pub password_sealed: Vec<u8>,
    /// Its own password's keyed hash.
    pub password_tag: PasswordTag,
}

/// Writes one of several proxies: live at an address, or pending without one.
pub fn insert(
    tx: &mut Tx<'_>,
    new: &NewProxies,
    stock: Option<StockId>,
    credentials: &Credentials,
    now: Time,
) -> Result<StaticProxyId, Error> {
    let state = if stock.is_some() { ProxyState::Live } else { ProxyState::Pending };
    let values = params![
        new.account,
        new.order,
        new.price,
        stock,
        new.static_type,
        &new.country,
        new.protocol,
        &credentials.username,
        &credentials.password_sealed,
        &credentials.password_tag,
        state,
        new.expires_at,
        now
    ];
    tx.insert(INSERT, values).map(StaticProxyId::new)
}

/// Whose a proxy is, also one that has ended.
pub fn owner(tx: &mut Tx<'_>, id: StaticProxyId) -> Result<Option<AccountId>, Error> {
    Ok(tx.opt(OWNER, params![id], |row| row.i64(0))?.map(AccountId::new))
}

/// One proxy, also one that has ended.
pub fn by_id(tx: &mut Tx<'_>, id: StaticProxyId) -> Result<Option<Proxy>, Error> {
    tx.opt(BY_ID, params![id], proxy)
}

/// All that an order bought, by id.
pub fn of_order(tx: &mut Tx<'_>, order: StaticOrderId) -> Result<Vec<Proxy>, Error> {
    tx.all(OF_ORDER, params![order], proxy)
}

/// Which proxies are shown; what is empty is not asked for.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Of one of these types: one at least, at most three.
    pub static_types: Vec<StaticType>,
    /// That speak exactly this.
    pub protocol: &'static str,
    /// At exactly this address, canonical.
    pub listen_ip: String,
    /// Bought by exactly this order.
    pub order_no: String,
    /// That expire then or later.
    pub from: Time,
    /// That expire then or earlier.
    pub to: Time,
}

/// A page of an account's proxies, newest first, and how many there are; not those that have ended.
pub fn page(
    tx: &mut Tx<'_>,
    account: AccountId,
    filter: &Filter,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Proxy>, i64), Error> {
    let [a, b, c] = types(filter);
    let Filter { protocol, listen_ip, order_no, from, to, .. } = filter;
    let values = params![account, a, b, c, *protocol, listen_ip, order_no, *from, *to];
    let total = tx.one(COUNT, values, |row| row.i64(0))?;
    let values = params![account, a, b, c, *protocol, listen_ip, order_no, *from, *to, limit, offset];
    Ok((tx.all(PAGE, values, proxy)?, total))
}

/// So many of an account's live proxies, newest first.
pub fn live(tx: &mut Tx<'_>, account: AccountId, filter: &Filter, limit: i64) -> Result<Vec<Proxy>, Error> {
    let [a, b, c] = types(filter);
    let Filter { protocol, listen_ip, order_no, from, to, .. } = filter;
    let values = params![account, a, b, c, *protocol, listen_ip, order_no, *from, *to, limit];
    tx.all(WORKING, values, proxy)
}

/// Writes what may change of a proxy.
pub fn write(tx: &mut Tx<'_>, changed: &Proxy, now: Time) -> Result<(), Error> {
    let values = params![
        changed.id,
        changed.place.map(|place| place.stock),
        changed.state,
        if changed.auto_rebuy { "active" } else { "inactive" },
        changed.rebuy_status,
        &changed.remark,
        changed.expires_at,
        now
    ];
    tx.execute(WRITE, values).map(drop)
}

/// Delivers a pending proxy.
pub fn deliver(
    tx: &mut Tx<'_>,
    id: StaticProxyId,
    stock: StockId,
    expires_at: Time,
    now: Time,
) -> Result<(), Error> {
    tx.execute(DELIVER, params![id, stock, expires_at, now]).map(drop)
}

/// Ends all of an order that were never delivered.
pub fn end_order(tx: &mut Tx<'_>, order: StaticOrderId, now: Time) -> Result<(), Error> {
    tx.execute(END_ORDER, params![order, now]).map(drop)
}

/// All that gateways know of proxies.
pub fn entries(tx: &mut Tx<'_>) -> Result<Vec<StaticEntry>, Error> {
    tx.all(ENTRIES, params![], entry)
}

/// What gateways know of one proxy; `None` where it has no address.
pub fn entry_of(tx: &mut Tx<'_>, id: StaticProxyId) -> Result<Option<StaticEntry>, Error> {
    tx.opt(ENTRY, params![id], entry)
}

/// What gateways know of the proxies that an order paid for, and which of them have no address.
pub fn entries_of_order(
    tx: &mut Tx<'_>,
    order: StaticOrderId,
) -> Result<(Vec<StaticEntry>, Vec<StaticProxyId>), Error> {
    let gone = tx.all(GONE_OF_ORDER, params![order], |row| Ok(StaticProxyId::new(row.i64(0)?)))?;
    Ok((tx.all(ENTRIES_OF_ORDER, params![order], entry)?, gone))
}

/// Proxies with an address that no job of a kind is about, or one too late; for the audit.
pub fn unpromised(tx: &mut Tx<'_>, kind: &str) -> Result<Vec<StaticProxyId>, Error> {
    tx.all(UNPROMISED, params![kind], |row| Ok(StaticProxyId::new(row.i64(0)?)))
}

/// Three words that stand for one to three types.
fn types(filter: &Filter) -> [&'static str; 3] {
    let name = |place: usize| {
        let found = filter.static_types.get(place).or(filter.static_types.first());
        found.map_or("", |static_type| static_type.as_str())
    };
    [name(0), name(1), name(2)]
}

fn proxy(row: &Row<'_>) -> Result<Proxy, Error> {
    Ok(Proxy {
        id: StaticProxyId::new(row.i64(0)?),
        account: AccountId::new(row.i64(1)?),
        order: StaticOrderId::new(row.i64(2)?),
        order_no: row.text(3)?,
        price: StaticPriceId::new(row.i64(4)?),
        period: row.i64(5)?,
        price_now: Cents::new(row.i64(6)?),
        static_type: word(row, 7)?,
        country: word(row, 8)?,
        protocol: word(row, 9)?,
        username: row.text(10)?,
        password_sealed: row.blob(11)?,
        remark: row.text(12)?,
        state: word(row, 13)?,
        auto_rebuy: row.text(14)? == "active",
        rebuy_status: word(row, 15)?,
        expires_at: Time::from_micros(row.i64(16)?),
        created_at: Time::from_micros(row.i64(17)?),
        place: row.opt_i64(18)?.map(|stock| place(row, StockId::new(stock))).transpose()?,
        request: match row.opt_i64(24)? {
            Some(id) => Some((StaticRequestId::new(id), word(row, 25)?)),
            None => None,
        },
    })
}

fn place(row: &Row<'_>, stock: StockId) -> Result<Place, Error> {
    Ok(Place {
        stock,
        listen: SocketAddr::new(address(&row.text(19)?)?, port(row.i64(20)?)?),
        exit_ip: address(&row.text(21)?)?,
        state: word(row, 22)?,
        release_at: row.opt_i64(23)?.map(Time::from_micros),
    })
}

fn entry(row: &Row<'_>) -> Result<StaticEntry, Error> {
    let tag = PasswordTag::from_slice(&row.blob(8)?);
    Ok(StaticEntry {
        id: StaticProxyId::new(row.i64(0)?),
        account: AccountId::new(row.i64(1)?),
        static_type: word(row, 2)?,
        protocol: word(row, 3)?,
        listen: SocketAddr::new(address(&row.text(4)?)?, port(row.i64(5)?)?),
        exit_ip: address(&row.text(6)?)?,
        username: Arc::from(row.text(7)?),
        password: tag.ok_or_else(|| Error::Unexpected("a password tag is not 32 bytes long".into()))?,
        expires_at: Time::from_micros(row.i64(9)?),
    })
}
