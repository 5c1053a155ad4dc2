//! Stock: the addresses that the operator can lease out, in shelves by type and country.

use std::net::IpAddr;

use tollgate_types::{AccountId, Country, StaticProxyId, StaticType, StockId, Time};

use crate::words::{ProxyState, StockState, word};
use crate::{Error, Row, Tx, params, statements};

/// All of an item, with who holds it.
macro_rules! items {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.static_type, s.country, s.listen_ip, s.listen_port, s.exit_ip, s.state, s.release_at,
                    p.id, p.account_id, s.created_at, s.updated_at
             FROM stock_items s LEFT JOIN static_proxies p ON p.stock_id = s.id ",
            $rest
        )
    };
}

statements! {
    MAKE_SHELF = "INSERT INTO stock_shelves (static_type, country) VALUES (?1, ?2)
                 ON CONFLICT (static_type, country) DO NOTHING";
    /// Held to the end of the transaction by whoever takes stock: it sees all that those before it
    /// have left.
    LOCK_SHELF = "SELECT country FROM stock_shelves WHERE static_type = ?1 AND country = ?2{for_update}";
    HAS_SHELF = "SELECT country FROM stock_shelves WHERE static_type = ?1 AND country = ?2";
    INSERT = "INSERT INTO stock_items (static_type, country, listen_ip, listen_port, exit_ip, state, created_at, updated_at)
              VALUES (?1, ?2, ?3, ?4, ?5, 'free', ?6, ?6)
              ON CONFLICT (listen_ip, listen_port) DO NOTHING RETURNING id";
    BY_ID = items!("WHERE s.id = ?1");
    LOCK = "SELECT id FROM stock_items WHERE id = ?1{for_update}";
    COUNT = "SELECT COUNT(*) FROM stock_items s
             WHERE (?1 = '' OR s.state = ?1) AND (?2 = '' OR s.static_type = ?2) AND (?3 = '' OR s.country = ?3)
               AND (?4 = '' OR s.listen_ip = ?4)";
    PAGE = items!("WHERE (?1 = '' OR s.state = ?1) AND (?2 = '' OR s.static_type = ?2) AND (?3 = '' OR s.country = ?3)
                     AND (?4 = '' OR s.listen_ip = ?4)
                   ORDER BY s.id DESC LIMIT ?5 OFFSET ?6");
    TOTALS = "SELECT static_type, state, COUNT(*) FROM stock_items GROUP BY static_type, state ORDER BY static_type, state";
    /// Counts no further than it has to.
    COUNT_FREE = "SELECT COUNT(*) FROM (SELECT id FROM stock_items
                  WHERE static_type = ?1 AND country = ?2 AND state = 'free' LIMIT ?3) AS enough";
    LEASE = "UPDATE stock_items SET state = 'leased', updated_at = ?4 WHERE state = 'free' AND id IN
             (SELECT id FROM stock_items WHERE static_type = ?1 AND country = ?2 AND state = 'free' ORDER BY id LIMIT ?3)
             RETURNING id";
    LEASE_ONE = "UPDATE stock_items SET state = 'leased', updated_at = ?4
                 WHERE id = ?1 AND static_type = ?2 AND country = ?3 AND state = 'free'";
    SET_STATE = "UPDATE stock_items SET state = ?2, release_at = ?3, updated_at = ?4 WHERE id = ?1";
    SET_EXIT = "UPDATE stock_items SET exit_ip = ?2, updated_at = ?3 WHERE id = ?1";
    /// Where something is free, or can be ordered to be delivered later.
    ORDERABLE = "SELECT shelf.static_type, shelf.country FROM stock_shelves shelf
                 WHERE EXISTS (SELECT 1 FROM stock_items s WHERE s.static_type = shelf.static_type
                               AND s.country = shelf.country AND s.state = 'free')
                    OR EXISTS (SELECT 1 FROM static_prices p WHERE p.static_type = shelf.static_type
                               AND p.back_orders = 1 AND p.on_sale = 1)
                 ORDER BY shelf.country, shelf.static_type";
    /// Every item, with each proxy that holds it, and whether they are of one type and country.
    HOLDINGS = "SELECT s.id, s.state, p.state,
                       CASE WHEN p.static_type <> s.static_type OR p.country <> s.country THEN 1 ELSE 0 END
                FROM stock_items s LEFT JOIN static_proxies p ON p.stock_id = s.id ORDER BY s.id, p.id";
    /// Those that rest without a proxy, and that nothing is going to set free.
    UNPROMISED = "SELECT s.id FROM stock_items s WHERE s.state = 'grace'
                  AND NOT EXISTS (SELECT 1 FROM static_proxies p WHERE p.stock_id = s.id)
                  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.kind = ?1 AND j.subject = CAST(s.id AS TEXT))
                  ORDER BY s.id";
}

/// An address and port that can be leased out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: StockId,
    /// What kind of address.
    pub static_type: StaticType,
    /// Where it is.
    pub country: Country,
    /// The address that its proxy is reached at, canonical.
    pub listen_ip: IpAddr,
    /// The port that its proxy is reached at.
    pub listen_port: u16,
    /// The address that its proxy leaves from, canonical.
    pub exit_ip: IpAddr,
    /// What it is at.
    pub state: StockState,
    /// In grace: when it is free again.
    pub release_at: Option<Time>,
    /// Who holds it.
    pub holder: Option<(StaticProxyId, AccountId)>,
    /// When it was imported.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// An address and port to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewItem {
    /// The address that its proxy is reached at, canonical.
    pub listen_ip: IpAddr,
    /// The port that its proxy is reached at.
    pub listen_port: u16,
    /// The address that its proxy leaves from, canonical.
    pub exit_ip: IpAddr,
}

/// Makes a shelf, where there is none yet.
pub fn make_shelf(tx: &mut Tx<'_>, static_type: StaticType, country: Country) -> Result<(), Error> {
    tx.execute(MAKE_SHELF, params![static_type, &country]).map(drop)
}

/// Locks a shelf to the end of the transaction; answers whether there is one.
pub fn lock_shelf(tx: &mut Tx<'_>, static_type: StaticType, country: Country) -> Result<bool, Error> {
    Ok(tx.opt(LOCK_SHELF, params![static_type, &country], |row| row.text(0))?.is_some())
}

/// Whether there ever was stock of a type in a country.
pub fn has_shelf(tx: &mut Tx<'_>, static_type: StaticType, country: Country) -> Result<bool, Error> {
    Ok(tx.opt(HAS_SHELF, params![static_type, &country], |row| row.text(0))?.is_some())
}

/// Adds an item to a shelf; `None` where the address and port are in stock already.
pub fn insert(
    tx: &mut Tx<'_>,
    static_type: StaticType,
    country: Country,
    new: &NewItem,
    now: Time,
) -> Result<Option<StockId>, Error> {
    let (listen, exit) = (new.listen_ip.to_string(), new.exit_ip.to_string());
    let values = params![static_type, &country, &listen, new.listen_port, &exit, now];
    Ok(tx.opt(INSERT, values, |row| row.i64(0))?.map(StockId::new))
}

/// One item.
pub fn by_id(tx: &mut Tx<'_>, id: StockId) -> Result<Option<Item>, Error> {
    tx.opt(BY_ID, params![id], item)
}

/// The same, locked to the end of the transaction.
pub fn lock(tx: &mut Tx<'_>, id: StockId) -> Result<Option<Item>, Error> {
    tx.opt(LOCK, params![id], |row| row.i64(0))?;
    by_id(tx, id)
}

/// Which items a page shows; what is empty is not asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// What they are at.
    pub state: String,
    /// What kind of address.
    pub static_type: String,
    /// Where they are.
    pub country: String,
    /// The address that their proxies are reached at, canonical.
    pub listen_ip: String,
}

/// A page of items, newest first, and how many there are.
pub fn page(tx: &mut Tx<'_>, filter: &Filter, limit: i64, offset: i64) -> Result<(Vec<Item>, i64), Error> {
    let Filter { state, static_type, country, listen_ip } = filter;
    let total = tx.one(COUNT, params![state, static_type, country, listen_ip], |row| row.i64(0))?;
    let values = params![state, static_type, country, listen_ip, limit, offset];
    Ok((tx.all(PAGE, values, item)?, total))
}

/// How many items there are of each type in each state.
pub fn totals(tx: &mut Tx<'_>) -> Result<Vec<(StaticType, String, i64)>, Error> {
    tx.all(TOTALS, params![], |row| Ok((word(row, 0)?, row.text(1)?, row.i64(2)?)))
}

/// How many items of a shelf are free; no more than so many are counted.
pub fn count_free(
    tx: &mut Tx<'_>,
    static_type: StaticType,
    country: Country,
    most: i64,
) -> Result<i64, Error> {
    tx.one(COUNT_FREE, params![static_type, &country, most], |row| row.i64(0))
}

/// Leases so many free items of a locked shelf, or as many as there are; answers which.
pub fn lease(
    tx: &mut Tx<'_>,
    static_type: StaticType,
    country: Country,
    count: i64,
    now: Time,
) -> Result<Vec<StockId>, Error> {
    let mut leased =
        tx.all(LEASE, params![static_type, &country, count, now], |row| Ok(StockId::new(row.i64(0)?)))?;
    leased.sort_unstable();
    Ok(leased)
}

/// Leases one item of a locked shelf; false where it is not of the shelf, or not free.
pub fn lease_one(
    tx: &mut Tx<'_>,
    id: StockId,
    static_type: StaticType,
    country: Country,
    now: Time,
) -> Result<bool, Error> {
    Ok(tx.execute(LEASE_ONE, params![id, static_type, &country, now])? == 1)
}

/// Writes what an item is at; it rests until `release_at`, where there is one.
pub fn set_state(
    tx: &mut Tx<'_>,
    id: StockId,
    state: StockState,
    release_at: Option<Time>,
    now: Time,
) -> Result<(), Error> {
    tx.execute(SET_STATE, params![id, state, release_at, now]).map(drop)
}

/// Writes the address that an item's proxy leaves from.
pub fn set_exit(tx: &mut Tx<'_>, id: StockId, exit_ip: IpAddr, now: Time) -> Result<(), Error> {
    tx.execute(SET_EXIT, params![id, &exit_ip.to_string(), now]).map(drop)
}

/// Shelves of which something can be ordered now, by country.
pub fn orderable(tx: &mut Tx<'_>) -> Result<Vec<(StaticType, Country)>, Error> {
    tx.all(ORDERABLE, params![], |row| Ok((word(row, 0)?, word(row, 1)?)))
}

/// An item and a proxy that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The item.
    pub id: StockId,
    /// What it is at.
    pub state: StockState,
    /// What the proxy is at; `None` where there is none.
    pub proxy: Option<ProxyState>,
    /// Whether they are of different types or countries.
    pub alien: bool,
}

/// Every item with every proxy that holds it, for the audit.
pub fn holdings(tx: &mut Tx<'_>) -> Result<Vec<Holding>, Error> {
    tx.all(HOLDINGS, params![], |row| {
        Ok(Holding {
            id: StockId::new(row.i64(0)?),
            state: word(row, 1)?,
            proxy: row.opt_text(2)?.map(|_| word(row, 2)).transpose()?,
            alien: row.bool(3)?,
        })
    })
}

/// Items that rest without a proxy and that no job of a kind is about; for the audit.
pub fn unpromised(tx: &mut Tx<'_>, kind: &str) -> Result<Vec<StockId>, Error> {
    tx.all(UNPROMISED, params![kind], |row| Ok(StockId::new(row.i64(0)?)))
}

/// A stored address.
pub(crate) fn address(text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| Error::Unexpected(format!("{text:?} is no address")))
}

/// A stored port.
pub(crate) fn port(number: i64) -> Result<u16, Error> {
    u16::try_from(number).map_err(|_| Error::Unexpected(format!("{number} is no port")))
}

fn item(row: &Row<'_>) -> Result<Item, Error> {
    let holder = row.opt_i64(8)?.map(StaticProxyId::new).zip(row.opt_i64(9)?.map(AccountId::new));
    Ok(Item {
        id: StockId::new(row.i64(0)?),
        static_type: word(row, 1)?,
        country: word(row, 2)?,
        listen_ip: address(&row.text(3)?)?,
        listen_port: port(row.i64(4)?)?,
        exit_ip: address(&row.text(5)?)?,
        state: word(row, 6)?,
        release_at: row.opt_i64(7)?.map(Time::from_micros),
        holder,
        created_at: Time::from_micros(row.i64(10)?),
        updated_at: Time::from_micros(row.i64(11)?),
    })
}
