//! Wallets and the sub-cent remainders that they carry.

use tollgate_ledger::Wallet;
use tollgate_ledger::rating::Units;
use tollgate_types::{AccountId, Cents, ProxyType};

use crate::{Error, Row, Tx, params, statements};

statements! {
    /// A new account's empty wallet.
    CREATE = "INSERT INTO wallets (account_id) VALUES (?1)";
    /// A wallet with all that it carries.
    READ = "SELECT total_recharge, total_consume, reserved_units,
                   (SELECT CAST(COALESCE(SUM(units), 0) AS BIGINT) FROM wallet_carries WHERE account_id = ?1)
            FROM wallets WHERE account_id = ?1";
    /// The same, locked to the end of the transaction. Whoever locks more than one wallet locks
    /// them in id order.
    LOCK = "SELECT account_id FROM wallets WHERE account_id = ?1{for_update}";
    WRITE = "UPDATE wallets SET balance = ?2, total_recharge = ?3, total_consume = ?4, reserved_units = ?5
             WHERE account_id = ?1";
    LOW_BALANCE = "SELECT low_balance FROM wallets WHERE account_id = ?1";
    CARRY = "SELECT units FROM wallet_carries WHERE account_id = ?1 AND proxy_type = ?2";
    SET_CARRY = "INSERT INTO wallet_carries (account_id, proxy_type, units) VALUES (?1, ?2, ?3)
                 ON CONFLICT (account_id, proxy_type) DO UPDATE SET units = excluded.units";
    ALL_WALLETS = "SELECT account_id, balance, total_recharge, total_consume, reserved_units
                   FROM wallets ORDER BY account_id";
    ALL_CARRIES = "SELECT account_id, proxy_type, units FROM wallet_carries ORDER BY account_id, proxy_type";
}

/// Makes a new account's wallet, empty.
pub fn create(tx: &mut Tx<'_>, account: AccountId) -> Result<(), Error> {
    tx.execute(CREATE, params![account]).map(drop)
}

/// A wallet as it is; [`Error::NoRow`] where there is no such account.
pub fn read(tx: &mut Tx<'_>, account: AccountId) -> Result<Wallet, Error> {
    tx.one(READ, params![account], |row| {
        Ok(Wallet {
            total_recharge: Cents::new(row.i64(0)?),
            total_consume: Cents::new(row.i64(1)?),
            reserved: Units::from_i64(row.i64(2)?),
            carried: Units::from_i64(row.i64(3)?),
        })
    })
}

/// A wallet, locked to the end of the transaction; [`Error::NoRow`] where there is no such account.
pub fn lock(tx: &mut Tx<'_>, account: AccountId) -> Result<Wallet, Error> {
    tx.one(LOCK, params![account], |row| row.i64(0))?;
    read(tx, account)
}

/// Writes a locked wallet back. What it carries is written by [`set_carry`].
pub fn write(tx: &mut Tx<'_>, account: AccountId, wallet: &Wallet) -> Result<(), Error> {
    let reserved = wallet.reserved.to_i64().map_err(|_| Error::CheckViolation)?;
    let totals = params![account, wallet.balance(), wallet.total_recharge, wallet.total_consume, reserved];
    tx.execute(WRITE, totals).map(drop)
}

/// The balance at or below which the account wants to be told; zero = never.
pub fn low_balance(tx: &mut Tx<'_>, account: AccountId) -> Result<Cents, Error> {
    tx.one(LOW_BALANCE, params![account], |row| Ok(Cents::new(row.i64(0)?)))
}

/// What one pool of an account carries.
pub fn carry(tx: &mut Tx<'_>, account: AccountId, proxy_type: ProxyType) -> Result<Units, Error> {
    let carry = tx.opt(CARRY, params![account, proxy_type], |row| row.i64(0))?;
    Ok(Units::from_i64(carry.unwrap_or(0)))
}

/// Carries a remainder on.
pub fn set_carry(
    tx: &mut Tx<'_>,
    account: AccountId,
    proxy_type: ProxyType,
    carry: Units,
) -> Result<(), Error> {
    let units = carry.to_i64().map_err(|_| Error::CheckViolation)?;
    tx.execute(SET_CARRY, params![account, proxy_type, units]).map(drop)
}

/// A wallet as stored, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWallet {
    /// Whose.
    pub account: AccountId,
    /// The projected balance.
    pub balance: Cents,
    /// The projected total of what came in.
    pub total_recharge: Cents,
    /// The projected total of what was spent.
    pub total_consume: Cents,
    /// What open leases hold, in 2^-30 cents.
    pub reserved_units: i64,
}

/// Every wallet, by account.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<StoredWallet>, Error> {
    tx.all(ALL_WALLETS, params![], |row| {
        Ok(StoredWallet {
            account: AccountId::new(row.i64(0)?),
            balance: Cents::new(row.i64(1)?),
            total_recharge: Cents::new(row.i64(2)?),
            total_consume: Cents::new(row.i64(3)?),
            reserved_units: row.i64(4)?,
        })
    })
}

/// Every carried remainder: account, pool, units.
pub fn all_carries(tx: &mut Tx<'_>) -> Result<Vec<(AccountId, ProxyType, i64)>, Error> {
    tx.all(ALL_CARRIES, params![], |row| Ok((AccountId::new(row.i64(0)?), proxy_type(row, 1)?, row.i64(2)?)))
}

/// A stored word for a kind of traffic.
pub(crate) fn proxy_type(row: &Row<'_>, column: usize) -> Result<ProxyType, Error> {
    let word = row.text(column)?;
    word.parse().map_err(|_| Error::Unexpected(format!("{word:?} is no kind of traffic")))
}
