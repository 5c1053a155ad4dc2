//! Bought packages, and how an account wants its packages of a type handled.

use tollgate_ledger::package::PackageFunds;
use tollgate_types::{AccountId, Bytes, Cents, OfferId, PackageId, ProxyType, Time};

use crate::wallets::proxy_type;
use crate::words::{RebuyStatus, word};
use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO packages (account_id, offer_id, proxy_type, total_bytes, amount, state, bought_at, expires_at)
              VALUES (?1, ?2, ?3, ?4, ?5, 'open', ?6, ?7) RETURNING id";
    BY_ID = "SELECT id, account_id, offer_id, proxy_type, total_bytes, used_bytes, reserved_bytes, amount, state,
                    bought_at, expires_at
             FROM packages WHERE id = ?1{for_update}";
    OF_ACCOUNT = "SELECT id, account_id, offer_id, proxy_type, total_bytes, used_bytes, reserved_bytes, amount, state,
                         bought_at, expires_at
                  FROM packages WHERE account_id = ?1 ORDER BY proxy_type, expires_at, bought_at, id";
    ALL_PACKAGES = "SELECT id, account_id, offer_id, proxy_type, total_bytes, used_bytes, reserved_bytes, amount, state,
                  bought_at, expires_at
           FROM packages ORDER BY id";
    /// What a lease may draw on, in burn order.
    USABLE = "SELECT id, total_bytes, used_bytes, reserved_bytes, bought_at, expires_at FROM packages
              WHERE account_id = ?1 AND proxy_type = ?2 AND state = 'open' AND expires_at > ?3
              ORDER BY expires_at, bought_at, id";
    MOVE = "UPDATE packages SET used_bytes = used_bytes + ?2, reserved_bytes = reserved_bytes + ?3
            WHERE id = ?1 RETURNING total_bytes - used_bytes, watch_bytes";
    WATCH = "UPDATE packages SET watch_bytes = ?2 WHERE id = ?1";
    CLOSE = "UPDATE packages SET state = 'closed' WHERE id = ?1";
    ACCOUNT = "SELECT account_id FROM packages WHERE id = ?1";
    /// Those that nothing is going to close.
    UNPROMISED = "SELECT p.id FROM packages p WHERE p.state = 'open' AND NOT EXISTS
                  (SELECT 1 FROM jobs j WHERE j.kind = ?1 AND j.subject = CAST(p.id AS TEXT)) ORDER BY p.id";
    SETTINGS = "SELECT proxy_type, status, remark, auto_remind, remind_gb, remind_days, auto_rebuy, rebuy_gb,
                       rebuy_days, rebuy_package_id, rebuy_status, told_gb, told_days, told_exhausted, rebuy_amount,
                       rebuy_day, rebuys
                FROM package_settings WHERE account_id = ?1 ORDER BY proxy_type";
    MAKE_SETTINGS = "INSERT INTO package_settings (account_id, proxy_type) VALUES (?1, ?2)
                     ON CONFLICT (account_id, proxy_type) DO NOTHING";
    WRITE_SETTINGS = "UPDATE package_settings SET status = ?3, auto_remind = ?4, remind_gb = ?5, remind_days = ?6,
                             auto_rebuy = ?7, rebuy_gb = ?8, rebuy_days = ?9, rebuy_package_id = ?10, rebuy_status = ?11,
                             told_gb = ?12, told_days = ?13, told_exhausted = ?14, rebuy_amount = ?15, rebuy_day = ?16,
                             rebuys = ?17
                      WHERE account_id = ?1 AND proxy_type = ?2";
    STATUS = "SELECT status FROM package_settings WHERE account_id = ?1 AND proxy_type = ?2";
}

/// One bought package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its id.
    pub id: PackageId,
    /// Whose.
    pub account: AccountId,
    /// What was bought.
    pub offer: OfferId,
    /// The kind of traffic.
    pub proxy_type: ProxyType,
    /// All it ever held.
    pub total: Bytes,
    /// Used so far.
    pub used: Bytes,
    /// Held by open leases.
    pub reserved: Bytes,
    /// What was paid.
    pub amount: Cents,
    /// Whether its price has been divided into revenue and breakage.
    pub closed: bool,
    /// When it was bought.
    pub bought_at: Time,
    /// Until when it may be drawn on.
    pub expires_at: Time,
}

/// A purchase to be written.
#[derive(Debug, Clone)]
pub struct NewPackage {
    /// Whose.
    pub account: AccountId,
    /// What was bought.
    pub offer: OfferId,
    /// The kind of traffic.
    pub proxy_type: ProxyType,
    /// What it holds.
    pub total: Bytes,
    /// What was paid.
    pub amount: Cents,
    /// When.
    pub bought_at: Time,
    /// Until when it may be drawn on.
    pub expires_at: Time,
}

/// Writes a purchase.
pub fn insert(tx: &mut Tx<'_>, new: &NewPackage) -> Result<PackageId, Error> {
    let values =
        params![new.account, new.offer, new.proxy_type, new.total, new.amount, new.bought_at, new.expires_at];
    tx.insert(INSERT, values).map(PackageId::new)
}

/// One package, locked.
pub fn lock(tx: &mut Tx<'_>, id: PackageId) -> Result<Package, Error> {
    tx.one(BY_ID, params![id], package)
}

/// Every package of an account, expired ones too: by type, in burn order.
pub fn of_account(tx: &mut Tx<'_>, account: AccountId) -> Result<Vec<Package>, Error> {
    tx.all(OF_ACCOUNT, params![account], package)
}

/// Every package there is, for the audit.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<Package>, Error> {
    tx.all(ALL_PACKAGES, params![], package)
}

/// What may be drawn on at a moment, in burn order.
pub fn usable(
    tx: &mut Tx<'_>,
    account: AccountId,
    proxy_type: ProxyType,
    now: Time,
) -> Result<Vec<PackageFunds>, Error> {
    tx.all(USABLE, params![account, proxy_type, now], |row| {
        Ok(PackageFunds {
            id: PackageId::new(row.i64(0)?),
            total: Bytes::from_i64(row.i64(1)?),
            used: Bytes::from_i64(row.i64(2)?),
            reserved: Bytes::from_i64(row.i64(3)?),
            bought_at: Time::from_micros(row.i64(4)?),
            expires_at: Time::from_micros(row.i64(5)?),
        })
    })
}

/// What a package's counters have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shifted {
    /// What is left unused.
    pub left: Bytes,
    /// Whether so little is left that somebody wants to look at it.
    pub is_watched: bool,
}

/// Moves a package's counters by so many bytes, up or down.
pub fn shift(tx: &mut Tx<'_>, id: PackageId, used: i64, reserved: i64) -> Result<Shifted, Error> {
    tx.one(MOVE, params![id, used, reserved], |row| {
        let (left, watch) = (row.i64(0)?, row.i64(1)?);
        Ok(Shifted { left: Bytes::from_i64(left), is_watched: watch >= left })
    })
}

/// Has [`shift`] say when no more than this is left of a package; `None` for never.
pub fn watch(tx: &mut Tx<'_>, id: PackageId, left: Option<Bytes>) -> Result<(), Error> {
    tx.execute(WATCH, params![id, left.map_or(-1, Bytes::as_i64)]).map(drop)
}

/// Whose a package is.
pub fn account_of(tx: &mut Tx<'_>, id: PackageId) -> Result<Option<AccountId>, Error> {
    tx.opt(ACCOUNT, params![id], |row| Ok(AccountId::new(row.i64(0)?)))
}

/// Open packages that no job of a kind is about; for the audit.
pub fn unpromised(tx: &mut Tx<'_>, kind: &str) -> Result<Vec<PackageId>, Error> {
    tx.all(UNPROMISED, params![kind], |row| Ok(PackageId::new(row.i64(0)?)))
}

/// Marks a package as closed.
pub fn close(tx: &mut Tx<'_>, id: PackageId) -> Result<(), Error> {
    tx.execute(CLOSE, params![id]).map(drop)
}

/// How an account wants its packages of one type handled: the document's words, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The type.
    pub proxy_type: ProxyType,
    /// Whether traffic is drawn from packages at all.
    pub active: bool,
    /// The customer's remark.
    pub remark: String,
    /// Whether to remind.
    pub auto_remind: bool,
    /// Remind when so many GB are left.
    pub remind_gb: i64,
    /// Remind when so many days are left.
    pub remind_days: i64,
    /// Whether to buy again.
    pub auto_rebuy: bool,
    /// Buy again when so many GB are left.
    pub rebuy_gb: i64,
    /// Buy again when so many days are left.
    pub rebuy_days: i64,
    /// What to buy again, once it is chosen.
    pub rebuy_offer: Option<OfferId>,
    /// How the last attempt went.
    pub rebuy_status: RebuyStatus,
    /// In this cycle the customer has been told that little traffic is left.
    pub told_gb: bool,
    /// … that little time is left.
    pub told_days: bool,
    /// … that nothing is left.
    pub told_exhausted: bool,
    /// The most that buying again may cost.
    pub rebuy_amount: Cents,
    /// The day, by its number, on which it was last bought again by itself.
    pub rebuy_day: i64,
    /// How often on that day.
    pub rebuys: i64,
}

/// Every type's settings of an account that has bought packages of it.
pub fn settings(tx: &mut Tx<'_>, account: AccountId) -> Result<Vec<Settings>, Error> {
    tx.all(SETTINGS, params![account], |row| {
        Ok(Settings {
            proxy_type: proxy_type(row, 0)?,
            active: row.text(1)? == "active",
            remark: row.text(2)?,
            auto_remind: row.text(3)? == "active",
            remind_gb: row.i64(4)?,
            remind_days: row.i64(5)?,
            auto_rebuy: row.text(6)? == "active",
            rebuy_gb: row.i64(7)?,
            rebuy_days: row.i64(8)?,
            rebuy_offer: Some(row.i64(9)?).filter(|id| *id != 0).map(OfferId::new),
            rebuy_status: word(row, 10)?,
            told_gb: row.bool(11)?,
            told_days: row.bool(12)?,
            told_exhausted: row.bool(13)?,
            rebuy_amount: Cents::new(row.i64(14)?),
            rebuy_day: row.i64(15)?,
            rebuys: row.i64(16)?,
        })
    })
}

/// Makes a type's settings, as they are to begin with, where there are none.
pub fn make_settings(tx: &mut Tx<'_>, account: AccountId, proxy_type: ProxyType) -> Result<(), Error> {
    tx.execute(MAKE_SETTINGS, params![account, proxy_type]).map(drop)
}

/// Writes settings back.
pub fn write_settings(tx: &mut Tx<'_>, account: AccountId, settings: &Settings) -> Result<(), Error> {
    let word = |on: bool| if on { "active" } else { "inactive" };
    let values = params![
        account,
        settings.proxy_type,
        word(settings.active),
        word(settings.auto_remind),
        settings.remind_gb,
        settings.remind_days,
        word(settings.auto_rebuy),
        settings.rebuy_gb,
        settings.rebuy_days,
        settings.rebuy_offer.map_or(0, OfferId::get),
        settings.rebuy_status,
        i64::from(settings.told_gb),
        i64::from(settings.told_days),
        i64::from(settings.told_exhausted),
        settings.rebuy_amount,
        settings.rebuy_day,
        settings.rebuys
    ];
    tx.execute(WRITE_SETTINGS, values).map(drop)
}

/// Whether traffic of a type is drawn from packages.
pub fn are_active(tx: &mut Tx<'_>, account: AccountId, proxy_type: ProxyType) -> Result<bool, Error> {
    let status = tx.opt(STATUS, params![account, proxy_type], |row| row.text(0))?;
    Ok(status.is_none_or(|status| status == "active"))
}

fn package(row: &Row<'_>) -> Result<Package, Error> {
    Ok(Package {
        id: PackageId::new(row.i64(0)?),
        account: AccountId::new(row.i64(1)?),
        offer: OfferId::new(row.i64(2)?),
        proxy_type: proxy_type(row, 3)?,
        total: Bytes::from_i64(row.i64(4)?),
        used: Bytes::from_i64(row.i64(5)?),
        reserved: Bytes::from_i64(row.i64(6)?),
        amount: Cents::new(row.i64(7)?),
        closed: row.text(8)? == "closed",
        bought_at: Time::from_micros(row.i64(9)?),
        expires_at: Time::from_micros(row.i64(10)?),
    })
}
