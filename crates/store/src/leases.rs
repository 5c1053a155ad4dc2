//! Leases: reservations while open, usage records once ended.

use tollgate_ledger::plan::{LimitFunds, Source};
use tollgate_ledger::settle::{Progress, Settlement};
use tollgate_types::{
    AccountId, BootId, Bytes, Cents, Day, GatewayId, LeaseId, PackageId, Payer, ProxyType, SubAccountId, Time,
};

use crate::wallets::proxy_type;
use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO leases (gateway_id, boot_id, account_id, sub_account_id, proxy_type, package_id, price,
                                  issued_bytes, granted_bytes, day, issued_at, expires_at, state)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11, 'open') RETURNING id";
    /// Whose a lease is: read before anything is locked, so that accounts can be locked in id order.
    OWNER = "SELECT account_id, gateway_id FROM leases WHERE id = ?1";
    LOCK = "SELECT id, gateway_id, account_id, sub_account_id, proxy_type, package_id, price, granted_bytes,
                   used_bytes, written_off_bytes, day, state, issued_bytes
            FROM leases WHERE id = ?1{for_update}";
    WRITE = "UPDATE leases SET used_bytes = ?2, granted_bytes = ?3, written_off_bytes = ?4, state = ?5 WHERE id = ?1";
    OPEN_OF_OTHER_BOOTS = "SELECT id FROM leases WHERE gateway_id = ?1 AND boot_id <> ?2 AND state = 'open'
                           ORDER BY account_id, id";
    TO_VOID = "SELECT id FROM leases WHERE state = 'open' AND expires_at <= ?1 ORDER BY account_id, id LIMIT ?2";
    LIMIT = "SELECT limit_gb, used_bytes, reserved_bytes FROM sub_account_traffic
             WHERE sub_account_id = ?1 AND proxy_type = ?2";
    SHIFT_LIMIT = "UPDATE sub_account_traffic SET used_bytes = used_bytes + ?3, reserved_bytes = reserved_bytes + ?4
                   WHERE sub_account_id = ?1 AND proxy_type = ?2";
    /// Who a payer is: the account's status and prices, and the sub-account's status.
    PAYER = "SELECT a.status, a.res_price, a.dc_price, a.mobile_price,
                    (SELECT s.status FROM sub_accounts s WHERE s.id = ?2 AND s.account_id = a.id)
             FROM accounts a WHERE a.id = ?1";
    /// All that leases say was used, for the audit.
    BY_PACKAGE = "SELECT package_id, CAST(SUM(used_bytes) AS BIGINT), CAST(SUM(granted_bytes - used_bytes) AS BIGINT)
                  FROM leases WHERE package_id <> 0 GROUP BY package_id ORDER BY package_id";
    BY_WALLET = "SELECT account_id, proxy_type, price, CAST(SUM(used_bytes) AS BIGINT),
                        CAST(SUM(granted_bytes - used_bytes) AS BIGINT)
                 FROM leases WHERE package_id = 0 GROUP BY account_id, proxy_type, price
                 ORDER BY account_id, proxy_type, price";
    BY_SUB_ACCOUNT = "SELECT sub_account_id, proxy_type, CAST(SUM(used_bytes) AS BIGINT),
                             CAST(SUM(granted_bytes - used_bytes) AS BIGINT)
                      FROM leases WHERE sub_account_id <> 0 GROUP BY sub_account_id, proxy_type
                      ORDER BY sub_account_id, proxy_type";
    BY_DAY = "SELECT account_id, day, proxy_type, sub_account_id,
                     CAST(SUM(CASE WHEN package_id <> 0 THEN used_bytes ELSE 0 END) AS BIGINT),
                     CAST(SUM(CASE WHEN package_id = 0 THEN used_bytes ELSE 0 END) AS BIGINT)
              FROM leases GROUP BY account_id, day, proxy_type, sub_account_id
              HAVING SUM(used_bytes) > 0
              ORDER BY account_id, day, proxy_type, sub_account_id";
    SUB_ACCOUNT_COUNTERS = "SELECT sub_account_id, proxy_type, used_bytes, reserved_bytes FROM sub_account_traffic
                            WHERE used_bytes <> 0 OR reserved_bytes <> 0 ORDER BY sub_account_id, proxy_type";
}

/// A lease to be issued.
#[derive(Debug, Clone)]
pub struct NewLease {
    /// The gateway that holds it.
    pub gateway: GatewayId,
    /// Its run.
    pub boot: BootId,
    /// For whom.
    pub payer: Payer,
    /// What pays.
    pub source: Source,
    /// How many bytes.
    pub granted: Bytes,
    /// The day whose traffic it is.
    pub day: Day,
    /// When it is issued.
    pub issued_at: Time,
    /// From when on it is void.
    pub expires_at: Time,
}

/// A lease as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// The gateway that holds it.
    pub gateway: GatewayId,
    /// For whom.
    pub payer: Payer,
    /// What pays.
    pub source: Source,
    /// How far it has got.
    pub progress: Progress,
    /// Granted to begin with.
    pub issued: Bytes,
    /// Used, but reported too late to be paid for.
    pub written_off: Bytes,
    /// The day whose traffic it is.
    pub day: Day,
    /// Whether it still holds anything.
    pub open: bool,
}

/// Issues a lease.
pub fn insert(tx: &mut Tx<'_>, new: &NewLease) -> Result<LeaseId, Error> {
    let (package, price) = match new.source {
        Source::Package(package) => (package.get(), Cents::ZERO),
        Source::Wallet(price) => (0, price),
    };
    let values = params![
        new.gateway,
        new.boot,
        new.payer.account,
        sub_account_column(new.payer.sub_account),
        new.payer.proxy_type,
        package,
        price,
        new.granted,
        new.day,
        new.issued_at,
        new.expires_at
    ];
    tx.insert(INSERT, values).map(LeaseId::new)
}

/// Whose a lease is and which gateway holds it.
pub fn owner(tx: &mut Tx<'_>, id: LeaseId) -> Result<Option<(AccountId, GatewayId)>, Error> {
    tx.opt(OWNER, params![id], |row| Ok((AccountId::new(row.i64(0)?), GatewayId::new(row.i64(1)?))))
}

/// A lease, locked. Its account's wallet is locked before it.
pub fn lock(tx: &mut Tx<'_>, id: LeaseId) -> Result<Lease, Error> {
    tx.one(LOCK, params![id], lease)
}

/// Writes how far a lease has got.
pub fn write(tx: &mut Tx<'_>, id: LeaseId, settlement: &Settlement, written_off: Bytes) -> Result<(), Error> {
    let state = if settlement.ended { "ended" } else { "open" };
    let now = settlement.now;
    tx.execute(WRITE, params![id, now.used, now.granted, written_off, state]).map(drop)
}

/// Open leases of a gateway's other runs, by account.
pub fn open_of_other_boots(tx: &mut Tx<'_>, gateway: GatewayId, boot: BootId) -> Result<Vec<LeaseId>, Error> {
    tx.all(OPEN_OF_OTHER_BOOTS, params![gateway, boot], |row| Ok(LeaseId::new(row.i64(0)?)))
}

/// Open leases that expired before a moment, by account.
pub fn to_void(tx: &mut Tx<'_>, before: Time, limit: i64) -> Result<Vec<LeaseId>, Error> {
    tx.all(TO_VOID, params![before, limit], |row| Ok(LeaseId::new(row.i64(0)?)))
}

/// A sub-account's limit for one type, as far as it has got.
pub fn limit(
    tx: &mut Tx<'_>,
    sub_account: SubAccountId,
    proxy_type: ProxyType,
) -> Result<Option<LimitFunds>, Error> {
    tx.opt(LIMIT, params![sub_account, proxy_type], |row| {
        Ok(LimitFunds {
            limit: Bytes::from_gb(u64::try_from(row.i64(0)?).unwrap_or(0)),
            used: Bytes::from_i64(row.i64(1)?),
            reserved: Bytes::from_i64(row.i64(2)?),
        })
    })
}

/// Moves a sub-account's counters by so many bytes, up or down.
pub fn shift_limit(
    tx: &mut Tx<'_>,
    sub_account: SubAccountId,
    proxy_type: ProxyType,
    used: i64,
    reserved: i64,
) -> Result<(), Error> {
    tx.execute(SHIFT_LIMIT, params![sub_account, proxy_type, used, reserved]).map(drop)
}

/// What a lease needs to know of its payer besides funds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayerState {
    /// Neither the account is suspended nor the sub-account inactive or gone.
    pub active: bool,
    /// What a GB from the wallet costs.
    pub price: Cents,
}

/// Whether a payer may have bytes, and at which price the wallet pays; `None` for an unknown account.
pub fn payer_state(tx: &mut Tx<'_>, payer: Payer) -> Result<Option<PayerState>, Error> {
    let sub_account = sub_account_column(payer.sub_account);
    tx.opt(PAYER, params![payer.account, sub_account], |row| {
        let price = row.i64(1 + payer.proxy_type.index())?;
        let sub_account_ok = payer.sub_account.is_none() || row.opt_text(4)?.as_deref() == Some("active");
        Ok(PayerState { active: row.text(0)? == "active" && sub_account_ok, price: Cents::new(price) })
    })
}

/// Used and still held, as all leases together say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsedAndHeld {
    /// Bytes used.
    pub used: i64,
    /// Bytes held by open leases.
    pub held: i64,
}

/// What a sub-account has used and holds of one type of traffic.
pub type SubAccountCounter = ((SubAccountId, ProxyType), UsedAndHeld);

/// What leases say of each package.
pub fn by_package(tx: &mut Tx<'_>) -> Result<Vec<(PackageId, UsedAndHeld)>, Error> {
    tx.all(BY_PACKAGE, params![], |row| Ok((PackageId::new(row.i64(0)?), used_and_held(row, 1)?)))
}

/// What leases say of each wallet: account, pool, price per GB, bytes.
pub fn by_wallet(tx: &mut Tx<'_>) -> Result<Vec<(AccountId, ProxyType, Cents, UsedAndHeld)>, Error> {
    tx.all(BY_WALLET, params![], |row| {
        Ok((
            AccountId::new(row.i64(0)?),
            proxy_type(row, 1)?,
            Cents::new(row.i64(2)?),
            used_and_held(row, 3)?,
        ))
    })
}

/// What leases say of each sub-account and type.
pub fn by_sub_account(tx: &mut Tx<'_>) -> Result<Vec<SubAccountCounter>, Error> {
    tx.all(BY_SUB_ACCOUNT, params![], sub_account_counter)
}

/// What sub-accounts' own counters say, where they are not zero.
pub fn sub_account_counters(tx: &mut Tx<'_>) -> Result<Vec<SubAccountCounter>, Error> {
    tx.all(SUB_ACCOUNT_COUNTERS, params![], sub_account_counter)
}

/// What leases say of each day.
pub fn by_day(tx: &mut Tx<'_>) -> Result<Vec<crate::usage::DayRow>, Error> {
    tx.all(BY_DAY, params![], crate::usage::day_row)
}

pub(crate) fn sub_account_column(sub_account: Option<SubAccountId>) -> i64 {
    sub_account.map_or(0, SubAccountId::get)
}

fn sub_account_counter(row: &Row<'_>) -> Result<SubAccountCounter, Error> {
    Ok(((SubAccountId::new(row.i64(0)?), proxy_type(row, 1)?), used_and_held(row, 2)?))
}

fn used_and_held(row: &Row<'_>, column: usize) -> Result<UsedAndHeld, Error> {
    Ok(UsedAndHeld { used: row.i64(column)?, held: row.i64(column + 1)? })
}

fn lease(row: &Row<'_>) -> Result<Lease, Error> {
    let sub_account = row.i64(3)?;
    let package = row.i64(5)?;
    let price = Cents::new(row.i64(6)?);
    Ok(Lease {
        id: LeaseId::new(row.i64(0)?),
        gateway: GatewayId::new(row.i64(1)?),
        payer: Payer {
            account: AccountId::new(row.i64(2)?),
            sub_account: (sub_account != 0).then(|| SubAccountId::new(sub_account)),
            proxy_type: proxy_type(row, 4)?,
        },
        source: if package == 0 { Source::Wallet(price) } else { Source::Package(PackageId::new(package)) },
        progress: Progress { granted: Bytes::from_i64(row.i64(7)?), used: Bytes::from_i64(row.i64(8)?) },
        written_off: Bytes::from_i64(row.i64(9)?),
        day: Day::from_number(i32::try_from(row.i64(10)?).unwrap_or(i32::MAX)),
        open: row.text(11)? == "open",
        issued: Bytes::from_i64(row.i64(12)?),
    })
}
