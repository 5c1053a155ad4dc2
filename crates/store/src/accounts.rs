//! Accounts: the paying customers.

use tollgate_types::{AccountId, Cents, Time};

use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO accounts (username, username_key, email, password_hash, status, api_key_hash, api_key_sealed,
                                    res_price, dc_price, mobile_price, created_at, updated_at)
              VALUES (?1, ?2, ?3, ?4, 'active', ?5, ?6, ?7, ?8, ?9, ?10, ?10) RETURNING id";
    BY_ID = "SELECT id, username, email, password_hash, status, api_key_sealed, res_price, dc_price, mobile_price,
                    funds_epoch, created_at, updated_at
             FROM accounts WHERE id = ?1";
    ALL_ACCOUNTS = "SELECT id, username, email, password_hash, status, api_key_sealed, res_price, dc_price, mobile_price,
                  funds_epoch, created_at, updated_at
           FROM accounts ORDER BY id";
    BY_KEY = "SELECT id, status FROM accounts WHERE api_key_hash = ?1";
    COUNT = "SELECT COUNT(*) FROM accounts WHERE username_key LIKE ?1 ESCAPE '\\'";
    PAGE = "SELECT id, username, email, password_hash, status, api_key_sealed, res_price, dc_price, mobile_price,
                   funds_epoch, created_at, updated_at
            FROM accounts WHERE username_key LIKE ?1 ESCAPE '\\' ORDER BY id DESC LIMIT ?2 OFFSET ?3";
    UPDATE = "UPDATE accounts SET email = ?2, status = ?3, res_price = ?4, dc_price = ?5, mobile_price = ?6,
                                  updated_at = ?7
              WHERE id = ?1";
    SET_KEY = "UPDATE accounts SET api_key_hash = ?2, api_key_sealed = ?3, updated_at = ?4 WHERE id = ?1";
    BUMP_FUNDS_EPOCH = "UPDATE accounts SET funds_epoch = funds_epoch + 1 WHERE id = ?1";
    TOTALS = "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN status = 'active' THEN 1 ELSE 0 END), 0) AS BIGINT)
              FROM accounts";
}

/// An account as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name, as created.
    pub username: String,
    /// Where its notices go.
    pub email: String,
    /// Whether it has a password.
    pub has_password: bool,
    /// False while suspended.
    pub active: bool,
    /// Its API key, sealed.
    pub api_key_sealed: Vec<u8>,
    /// Cents per GB from the wallet, by type in the order of `ProxyType::ALL`.
    pub prices: [Cents; 3],
    /// See `types::AccountEntry`.
    pub funds_epoch: i64,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// An account to be written.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its name.
    pub username: String,
    /// Where its notices go.
    pub email: String,
    /// The hash of its password, where it has one.
    pub password_hash: Option<String>,
    /// The keyed hash of its API key.
    pub api_key_hash: [u8; 32],
    /// Its API key, sealed.
    pub api_key_sealed: Vec<u8>,
    /// Cents per GB from the wallet.
    pub prices: [Cents; 3],
}

/// Writes an account with its empty wallet. [`Error::UniqueViolation`] where the name is taken.
pub fn insert(tx: &mut Tx<'_>, new: &NewAccount, now: Time) -> Result<AccountId, Error> {
    let [res, dc, mobile] = new.prices;
    let key = new.username.to_lowercase();
    let hash = new.password_hash.as_deref();
    let values = params![
        &new.username,
        &key,
        &new.email,
        hash,
        &new.api_key_hash,
        &new.api_key_sealed,
        res,
        dc,
        mobile,
        now
    ];
    let id = AccountId::new(tx.insert(INSERT, values)?);
    crate::wallets::create(tx, id)?;
    Ok(id)
}

/// One account.
pub fn by_id(tx: &mut Tx<'_>, id: AccountId) -> Result<Option<Account>, Error> {
    tx.opt(BY_ID, params![id], account)
}

/// Every account, by id.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<Account>, Error> {
    tx.all(ALL_ACCOUNTS, params![], account)
}

/// Whose an API key is, by its keyed hash, and whether that account is active.
pub fn by_api_key(tx: &mut Tx<'_>, hash: &[u8; 32]) -> Result<Option<(AccountId, bool)>, Error> {
    tx.opt(BY_KEY, params![hash], |row| Ok((AccountId::new(row.i64(0)?), row.text(1)? == "active")))
}

/// A page of accounts whose names contain a text, newest first, and how many there are.
pub fn page(tx: &mut Tx<'_>, username: &str, limit: i64, offset: i64) -> Result<(Vec<Account>, i64), Error> {
    let pattern = containing(username);
    let total = tx.one(COUNT, params![&pattern], |row| row.i64(0))?;
    Ok((tx.all(PAGE, params![&pattern, limit, offset], account)?, total))
}

/// Writes what may change of an account.
pub fn update(tx: &mut Tx<'_>, account: &Account, now: Time) -> Result<(), Error> {
    let [res, dc, mobile] = account.prices;
    let values = params![account.id, &account.email, status(account.active), res, dc, mobile, now];
    tx.execute(UPDATE, values).map(drop)
}

/// Gives an account another API key.
pub fn set_api_key(
    tx: &mut Tx<'_>,
    id: AccountId,
    hash: &[u8; 32],
    sealed: &[u8],
    now: Time,
) -> Result<u64, Error> {
    tx.execute(SET_KEY, params![id, hash, sealed, now])
}

/// Makes gateways ask anew for whatever this account's funds have granted.
pub fn bump_funds_epoch(tx: &mut Tx<'_>, id: AccountId) -> Result<(), Error> {
    tx.execute(BUMP_FUNDS_EPOCH, params![id]).map(drop)
}

/// How many accounts there are, and how many of them are active.
pub fn totals(tx: &mut Tx<'_>) -> Result<(i64, i64), Error> {
    tx.one(TOTALS, params![], |row| Ok((row.i64(0)?, row.i64(1)?)))
}

/// The pattern for LIKE that finds a text anywhere, in any case, and takes `%` and `_` literally.
pub(crate) fn containing(text: &str) -> String {
    format!("%{}%", escaped(&text.to_lowercase()))
}

/// A text for LIKE, with its wildcards taken literally. No stored text holds a NUL character, and
/// none can be asked for: one that stands for what cannot be written finds as little.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

const fn status(active: bool) -> &'static str {
    if active { "active" } else { "suspended" }
}

fn account(row: &Row<'_>) -> Result<Account, Error> {
    Ok(Account {
        id: AccountId::new(row.i64(0)?),
        username: row.text(1)?,
        email: row.text(2)?,
        has_password: row.opt_text(3)?.is_some(),
        active: row.text(4)? == "active",
        api_key_sealed: row.blob(5)?,
        prices: [Cents::new(row.i64(6)?), Cents::new(row.i64(7)?), Cents::new(row.i64(8)?)],
        funds_epoch: row.i64(9)?,
        created_at: Time::from_micros(row.i64(10)?),
        updated_at: Time::from_micros(row.i64(11)?),
    })
}
