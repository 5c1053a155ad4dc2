//! Listed addresses: who enters without credentials.

use std::net::IpAddr;

use tollgate_types::{AccountId, Time, WhitelistId};

use crate::accounts::escaped;
use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO whitelist (account_id, ip, remark, created_at) VALUES (?1, ?2, ?3, ?4) RETURNING id";
    BY_ID = "SELECT id, account_id, ip, remark, created_at FROM whitelist WHERE id = ?1";
    ALL_LISTED = "SELECT id, account_id, ip, remark, created_at FROM whitelist ORDER BY id";
    COUNT = "SELECT COUNT(*) FROM whitelist WHERE account_id = ?1 AND ip LIKE ?2 ESCAPE '\\'";
    PAGE = "SELECT id, account_id, ip, remark, created_at FROM whitelist
            WHERE account_id = ?1 AND ip LIKE ?2 ESCAPE '\\' ORDER BY id DESC LIMIT ?3 OFFSET ?4";
    DELETE = "DELETE FROM whitelist WHERE id = ?1 AND account_id = ?2";
}

/// A listed address as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: WhitelistId,
    /// Whose traffic comes from it.
    pub account: AccountId,
    /// The address, canonical.
    pub ip: IpAddr,
    /// The customer's remark.
    pub remark: String,
    /// When it was listed.
    pub created_at: Time,
}

/// Lists an address. [`Error::UniqueViolation`] where it is listed already, by anybody.
pub fn insert(
    tx: &mut Tx<'_>,
    account: AccountId,
    ip: IpAddr,
    remark: &str,
    now: Time,
) -> Result<WhitelistId, Error> {
    tx.insert(INSERT, params![account, &ip.to_string(), remark, now]).map(WhitelistId::new)
}

/// One entry.
pub fn by_id(tx: &mut Tx<'_>, id: WhitelistId) -> Result<Option<Listed>, Error> {
    tx.opt(BY_ID, params![id], listed)
}

/// Every entry, by id.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<Listed>, Error> {
    tx.all(ALL_LISTED, params![], listed)
}

/// A page of an account's entries whose addresses begin with a text, newest first, and how many.
pub fn page(
    tx: &mut Tx<'_>,
    account: AccountId,
    prefix: &str,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Listed>, i64), Error> {
    let pattern = format!("{}%", escaped(&prefix.to_lowercase()));
    let total = tx.one(COUNT, params![account, &pattern], |row| row.i64(0))?;
    Ok((tx.all(PAGE, params![account, &pattern, limit, offset], listed)?, total))
}

/// Takes an account's entry away; answers whether there was one.
pub fn delete(tx: &mut Tx<'_>, account: AccountId, id: WhitelistId) -> Result<bool, Error> {
    Ok(tx.execute(DELETE, params![id, account])? > 0)
}

fn listed(row: &Row<'_>) -> Result<Listed, Error> {
    let ip = row.text(2)?;
    Ok(Listed {
        id: WhitelistId::new(row.i64(0)?),
        account: AccountId::new(row.i64(1)?),
        ip: ip.parse().map_err(|_| Error::Unexpected(format!("{ip:?} is no address")))?,
        remark: row.text(3)?,
        created_at: Time::from_micros(row.i64(4)?),
    })
}
