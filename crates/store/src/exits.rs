//! Exits: the configured ways out.

use tollgate_types::{ExitId, ProxyType, Time};

use crate::wallets::proxy_type;
use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO exits (name, proxy_type, kind, address, username, password_sealed, bind_ip, country, state, city,
                                 asn, weight, max_connections, status, created_at, updated_at)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15) RETURNING id";
    UPDATE = "UPDATE exits SET name = ?2, proxy_type = ?3, kind = ?4, address = ?5, username = ?6, password_sealed = ?7,
                     bind_ip = ?8, country = ?9, state = ?10, city = ?11, asn = ?12, weight = ?13, max_connections = ?14,
                     status = ?15, updated_at = ?16
              WHERE id = ?1";
    /// Held to the end of the transaction: of two changes at once, neither undoes the other.
    LOCK = "SELECT id FROM exits WHERE id = ?1{for_update}";
    BY_ID = "SELECT id, name, proxy_type, kind, address, username, password_sealed, bind_ip, country, state, city, asn,
                    weight, max_connections, status, created_at, updated_at
             FROM exits WHERE id = ?1";
    ALL_EXITS = "SELECT id, name, proxy_type, kind, address, username, password_sealed, bind_ip, country, state, city, asn,
                  weight, max_connections, status, created_at, updated_at
           FROM exits ORDER BY id";
    PAGE = "SELECT id, name, proxy_type, kind, address, username, password_sealed, bind_ip, country, state, city, asn,
                   weight, max_connections, status, created_at, updated_at
            FROM exits ORDER BY id DESC LIMIT ?1 OFFSET ?2";
    COUNT = "SELECT COUNT(*) FROM exits";
    DELETE = "DELETE FROM exits WHERE id = ?1";
}

/// An exit as stored: words as the operator's API has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitRow {
    /// Its id; 0 before it is written.
    pub id: ExitId,
    /// The operator's name for it.
    pub name: String,
    /// The pool it belongs to.
    pub proxy_type: ProxyType,
    /// direct, http or socks5.
    pub kind: String,
    /// `host:port` of the upstream proxy; empty for direct.
    pub address: String,
    /// User name for the upstream proxy; empty = none.
    pub username: String,
    /// Password for the upstream proxy, sealed.
    pub password_sealed: Option<Vec<u8>>,
    /// Local address to leave from; empty = the system's choice.
    pub bind_ip: String,
    /// Country code, lower case.
    pub country: String,
    /// State or region; empty = unknown.
    pub state: String,
    /// City; empty = unknown.
    pub city: String,
    /// Autonomous system; 0 = unknown.
    pub asn: i64,
    /// Its share among matching exits.
    pub weight: i64,
    /// Connections at once; 0 = no limit.
    pub max_connections: i64,
    /// Whether it is used.
    pub active: bool,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// Adds an exit. [`Error::UniqueViolation`] where the name is taken.
pub fn insert(tx: &mut Tx<'_>, new: &ExitRow, now: Time) -> Result<ExitId, Error> {
    let values = params![
        &new.name,
        new.proxy_type,
        &new.kind,
        &new.address,
        &new.username,
        new.password_sealed.as_deref(),
        &new.bind_ip,
        &new.country,
        &new.state,
        &new.city,
        new.asn,
        new.weight,
        new.max_connections,
        status(new.active),
        now
    ];
    tx.insert(INSERT, values).map(ExitId::new)
}

/// Writes an exit back. [`Error::UniqueViolation`] where the name is taken.
pub fn update(tx: &mut Tx<'_>, exit: &ExitRow, now: Time) -> Result<(), Error> {
    let values = params![
        exit.id,
        &exit.name,
        exit.proxy_type,
        &exit.kind,
        &exit.address,
        &exit.username,
        exit.password_sealed.as_deref(),
        &exit.bind_ip,
        &exit.country,
        &exit.state,
        &exit.city,
        exit.asn,
        exit.weight,
        exit.max_connections,
        status(exit.active),
        now
    ];
    tx.execute(UPDATE, values).map(drop)
}

/// One exit.
pub fn by_id(tx: &mut Tx<'_>, id: ExitId) -> Result<Option<ExitRow>, Error> {
    tx.opt(BY_ID, params![id], exit)
}

/// The same, locked to the end of the transaction.
pub fn lock(tx: &mut Tx<'_>, id: ExitId) -> Result<Option<ExitRow>, Error> {
    tx.opt(LOCK, params![id], |row| row.i64(0))?;
    by_id(tx, id)
}

/// Every exit, by id.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<ExitRow>, Error> {
    tx.all(ALL_EXITS, params![], exit)
}

/// A page of exits, newest first, and how many there are.
pub fn page(tx: &mut Tx<'_>, limit: i64, offset: i64) -> Result<(Vec<ExitRow>, i64), Error> {
    let total = tx.one(COUNT, params![], |row| row.i64(0))?;
    Ok((tx.all(PAGE, params![limit, offset], exit)?, total))
}

/// Takes an exit away; answers whether there was one.
pub fn delete(tx: &mut Tx<'_>, id: ExitId) -> Result<bool, Error> {
    Ok(tx.execute(DELETE, params![id])? > 0)
}

const fn status(active: bool) -> &'static str {
    if active { "active" } else { "inactive" }
}

fn exit(row: &Row<'_>) -> Result<ExitRow, Error> {
    Ok(ExitRow {
        id: ExitId::new(row.i64(0)?),
        name: row.text(1)?,
        proxy_type: proxy_type(row, 2)?,
        kind: row.text(3)?,
        address: row.text(4)?,
        username: row.text(5)?,
        password_sealed: row.opt_blob(6)?,
        bind_ip: row.text(7)?,
        country: row.text(8)?,
        state: row.text(9)?,
        city: row.text(10)?,
        asn: row.i64(11)?,
        weight: row.i64(12)?,
        max_connections: row.i64(13)?,
        active: row.text(14)? == "active",
        created_at: Time::from_micros(row.i64(15)?),
        updated_at: Time::from_micros(row.i64(16)?),
    })
}
