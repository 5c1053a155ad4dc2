//! Sub-accounts: proxy logins with limits of their own.

use tollgate_types::{AccountId, PasswordTag, ProxyType, SubAccountId, Time};

use crate::accounts::containing;
use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO sub_accounts (account_id, username, username_key, password_sealed, password_tag, remark, status,
                                        created_at, updated_at)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) RETURNING id";
    INSERT_LIMIT = "INSERT INTO sub_account_traffic (sub_account_id, proxy_type, limit_gb) VALUES (?1, ?2, ?3)";
    BY_ID = "SELECT s.id, s.account_id, s.username, s.password_sealed, s.password_tag, s.remark, s.status, s.created_at,
                    s.updated_at, r.limit_gb, d.limit_gb, m.limit_gb, r.used_bytes, d.used_bytes, m.used_bytes
             FROM sub_accounts s
             JOIN sub_account_traffic r ON r.sub_account_id = s.id AND r.proxy_type = 'residential'
             JOIN sub_account_traffic d ON d.sub_account_id = s.id AND d.proxy_type = 'datacenter'
             JOIN sub_account_traffic m ON m.sub_account_id = s.id AND m.proxy_type = 'mobile'
             WHERE s.id = ?1 AND s.status <> 'deleted'";
    LIVE = "SELECT s.id, s.account_id, s.username, s.password_sealed, s.password_tag, s.remark, s.status, s.created_at,
                   s.updated_at, r.limit_gb, d.limit_gb, m.limit_gb, r.used_bytes, d.used_bytes, m.used_bytes
            FROM sub_accounts s
            JOIN sub_account_traffic r ON r.sub_account_id = s.id AND r.proxy_type = 'residential'
            JOIN sub_account_traffic d ON d.sub_account_id = s.id AND d.proxy_type = 'datacenter'
            JOIN sub_account_traffic m ON m.sub_account_id = s.id AND m.proxy_type = 'mobile'
            WHERE s.status <> 'deleted' ORDER BY s.id";
    COUNT = "SELECT COUNT(*) FROM sub_accounts
             WHERE account_id = ?1 AND username_key LIKE ?2 ESCAPE '\\' AND status <> 'deleted' AND (?3 = '' OR status = ?3)";
    PAGE = "SELECT s.id, s.account_id, s.username, s.password_sealed, s.password_tag, s.remark, s.status, s.created_at,
                   s.updated_at, r.limit_gb, d.limit_gb, m.limit_gb, r.used_bytes, d.used_bytes, m.used_bytes
            FROM sub_accounts s
            JOIN sub_account_traffic r ON r.sub_account_id = s.id AND r.proxy_type = 'residential'
            JOIN sub_account_traffic d ON d.sub_account_id = s.id AND d.proxy_type = 'datacenter'
            JOIN sub_account_traffic m ON m.sub_account_id = s.id AND m.proxy_type = 'mobile'
            WHERE s.account_id = ?1 AND s.username_key LIKE ?2 ESCAPE '\\' AND s.status <> 'deleted'
              AND (?3 = '' OR s.status = ?3)
            ORDER BY s.id DESC LIMIT ?4 OFFSET ?5";
    LOCK = "SELECT id FROM sub_accounts WHERE id = ?1{for_update}";
    UPDATE = "UPDATE sub_accounts SET password_sealed = ?2, password_tag = ?3, remark = ?4, status = ?5, updated_at = ?6
              WHERE id = ?1";
    UPDATE_LIMIT = "UPDATE sub_account_traffic SET limit_gb = ?3 WHERE sub_account_id = ?1 AND proxy_type = ?2";
    DELETE = "UPDATE sub_accounts SET status = 'deleted', username_key = ?2, password_sealed = ?3, password_tag = ?3,
                     updated_at = ?4
              WHERE id = ?1";
    EVER_OF = "SELECT id FROM sub_accounts WHERE id = ?1 AND account_id = ?2";
}

/// A sub-account as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAccount {
    /// Its id.
    pub id: SubAccountId,
    /// Whose it is.
    pub account: AccountId,
    /// The proxy user name, as created.
    pub username: String,
    /// Its password, sealed.
    pub password_sealed: Vec<u8>,
    /// Its password's keyed hash.
    pub password_tag: PasswordTag,
    /// The customer's remark.
    pub remark: String,
    /// Whether it may be used.
    pub active: bool,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// Limits in GB by type; 0 = none.
    pub limits_gb: [i64; 3],
    /// Bytes used by type.
    pub used: [i64; 3],
}

/// A sub-account to be written.
#[derive(Debug, Clone)]
pub struct NewSubAccount {
    /// Whose it is.
    pub account: AccountId,
    /// The proxy user name.
    pub username: String,
    /// Its password, sealed.
    pub password_sealed: Vec<u8>,
    /// Its password's keyed hash.
    pub password_tag: PasswordTag,
    /// The customer's remark.
    pub remark: String,
    /// Whether it may be used.
    pub active: bool,
    /// Limits in GB by type; 0 = none.
    pub limits_gb: [i64; 3],
}

/// Writes a sub-account. [`Error::UniqueViolation`] where the name is taken.
pub fn insert(tx: &mut Tx<'_>, new: &NewSubAccount, now: Time) -> Result<SubAccountId, Error> {
    let key = new.username.to_lowercase();
    let values = params![
        new.account,
        &new.username,
        &key,
        &new.password_sealed,
        &new.password_tag,
        &new.remark,
        status(new.active),
        now
    ];
    let id = tx.insert(INSERT, values)?;
    for (proxy_type, limit) in ProxyType::ALL.into_iter().zip(new.limits_gb) {
        tx.execute(INSERT_LIMIT, params![id, proxy_type, limit])?;
    }
    Ok(SubAccountId::new(id))
}

/// One sub-account that has not been deleted.
pub fn by_id(tx: &mut Tx<'_>, id: SubAccountId) -> Result<Option<SubAccount>, Error> {
    tx.opt(BY_ID, params![id], sub_account)
}

/// The same, locked to the end of the transaction.
pub fn lock(tx: &mut Tx<'_>, id: SubAccountId) -> Result<Option<SubAccount>, Error> {
    tx.opt(LOCK, params![id], |row| row.i64(0))?;
    by_id(tx, id)
}

/// Every sub-account that has not been deleted, by id.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<SubAccount>, Error> {
    tx.all(LIVE, params![], sub_account)
}

/// Which sub-accounts a page shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Names that contain this.
    pub username: String,
    /// `active`, `inactive`, or empty for both.
    pub status: &'static str,
}

/// A page of an account's sub-accounts, newest first, and how many there are.
pub fn page(
    tx: &mut Tx<'_>,
    account: AccountId,
    filter: &Filter,
    limit: i64,
    offset: i64,
) -> Result<(Vec<SubAccount>, i64), Error> {
    let pattern = containing(&filter.username);
    let total = tx.one(COUNT, params![account, &pattern, filter.status], |row| row.i64(0))?;
    let page = tx.all(PAGE, params![account, &pattern, filter.status, limit, offset], sub_account)?;
    Ok((page, total))
}

/// Writes what may change of a sub-account.
pub fn update(tx: &mut Tx<'_>, changed: &SubAccount, now: Time) -> Result<(), Error> {
    let values = params![
        changed.id,
        &changed.password_sealed,
        &changed.password_tag,
        &changed.remark,
        status(changed.active),
        now
    ];
    tx.execute(UPDATE, values)?;
    for (proxy_type, limit) in ProxyType::ALL.into_iter().zip(changed.limits_gb) {
        tx.execute(UPDATE_LIMIT, params![changed.id, proxy_type, limit])?;
    }
    Ok(())
}

/// Deletes a sub-account: its name is free again, its password is gone, its history stays.
pub fn delete(tx: &mut Tx<'_>, id: SubAccountId, now: Time) -> Result<(), Error> {
    let gone: &[u8] = &[];
    tx.execute(DELETE, params![id, &format!("#{id}"), gone, now]).map(drop)
}

/// Whether a sub-account is, or was before it was deleted, of an account.
pub fn was_of(tx: &mut Tx<'_>, id: SubAccountId, account: AccountId) -> Result<bool, Error> {
    Ok(tx.opt(EVER_OF, params![id, account], |row| row.i64(0))?.is_some())
}

const fn status(active: bool) -> &'static str {
    if active { "active" } else { "inactive" }
}

fn sub_account(row: &Row<'_>) -> Result<SubAccount, Error> {
    let tag = PasswordTag::from_slice(&row.blob(4)?);
    Ok(SubAccount {
        id: SubAccountId::new(row.i64(0)?),
        account: AccountId::new(row.i64(1)?),
        username: row.text(2)?,
        password_sealed: row.blob(3)?,
        password_tag: tag.ok_or_else(|| Error::Unexpected("a password tag is not 32 bytes long".into()))?,
        remark: row.text(5)?,
        active: row.text(6)? == "active",
        created_at: Time::from_micros(row.i64(7)?),
        updated_at: Time::from_micros(row.i64(8)?),
        limits_gb: [row.i64(9)?, row.i64(10)?, row.i64(11)?],
        used: [row.i64(12)?, row.i64(13)?, row.i64(14)?],
    })
}
