//! Leases: reserving bytes for a payer, and settling what gateways say they used.
//!
//! Everything about one account happens under its wallet's lock, so that what leases hold, what
//! they have used and what a purchase takes can never be seen half-moved. Reports may come twice,
//! late or out of order (see `tollgate_ledger::settle`).

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_ledger::plan::{Funds, Grant, Source, plan};
use tollgate_ledger::rating::{Units, rate};
use tollgate_ledger::settle::{Progress, Settlement, settle as settle_progress, void};
use tollgate_ledger::{Entry, LedgerError, Wallet};
use tollgate_store::{self as store, Tx};
use tollgate_types::{
    AccountId, ByteLease, Bytes, Cents, GatewayId, LeaseDenied, LeaseId, LeaseRequest, LeaseUsage, Payer,
    Settled, Time, Unavailable, UsageReport, Zone,
};

use crate::{Core, Error};

/// How long a lease may be used at most. Long enough to outlive a control plane's restart.
const LEASE_TTL: Duration = Duration::from_secs(30);

/// A lease that would end sooner than this, at midnight or with its package, is not worth issuing:
/// it is issued on the next day, or on the next source. So bytes may count for the day before which
/// they flow by this much.
const SHORTEST_TTL: Duration = Duration::from_millis(250);

/// How long after its end an open lease is voided and its funds set free, for want of news from
/// its gateway.
const VOID_AFTER: Duration = Duration::from_secs(60);

/// How many leases are settled or voided in one transaction.
const LEASES_PER_TX: usize = 64;

/// Reserves bytes for a payer.
///
/// # Errors
/// Why there are none.
pub async fn lease(core: &Core, ask: LeaseRequest) -> Result<ByteLease, LeaseDenied> {
    let (now, zone) = (core.now(), core.zone().clone());
    let decided = core.db().write(move |tx| lease_in(tx, ask, now, &zone)).await;
    decided.unwrap_or_else(|error: Error| {
        tracing::warn!(%error, "a lease could not be issued");
        Err(LeaseDenied::Unavailable)
    })
}

/// Takes a gateway's report: charges what was used, frees what was handed back. Once it answers
/// [`Settled`], the report is durable.
///
/// # Errors
/// [`Unavailable`] where the store is; send the report again.
pub async fn settle(core: &Core, report: UsageReport) -> Result<Settled, Unavailable> {
    let (gateway, now) = (report.gateway, core.now());
    for group in report.leases.chunks(LEASES_PER_TX) {
        let group = group.to_vec();
        core.db().write(move |tx| settle_in(tx, gateway, &group, now)).await.map_err(unavailable)?;
    }
    if report.recovered {
        let ids = core
            .db()
            .read(move |tx| Ok::<_, Error>(store::leases::open_of_other_boots(tx, gateway, report.boot)?));
        end_all(core, ids.await.map_err(unavailable)?).await.map_err(unavailable)?;
    }
    Ok(Settled)
}

/// Voids leases that ended a while ago without a word from their gateway, so that what they hold
/// can be used. Says how many. Should the gateway come back after all, its report is settled from
/// what funds are left then.
///
/// # Errors
/// Those of the store.
pub async fn void_expired(core: &Core) -> Result<usize, Error> {
    let before = core.now().minus(VOID_AFTER);
    let limit = i64::try_from(LEASES_PER_TX).unwrap_or(i64::MAX);
    let ids = core.db().read(move |tx| Ok::<_, Error>(store::leases::to_void(tx, before, limit)?)).await?;
    let count = ids.len();
    end_all(core, ids).await?;
    Ok(count)
}

async fn end_all(core: &Core, ids: Vec<LeaseId>) -> Result<(), Error> {
    let now = core.now();
    for group in ids.chunks(LEASES_PER_TX) {
        let group = group.to_vec();
        core.db()
            .write(move |tx| {
                let mut books = Books::default();
                for id in &group {
                    end_in(tx, &mut books, *id, now)?;
                }
                books.write(tx, now)
            })
            .await?;
    }
    Ok(())
}

// Issuing ------------------------------------------------------------------------------------------

fn lease_in(
    tx: &mut Tx<'_>,
    ask: LeaseRequest,
    now: Time,
    zone: &Zone,
) -> Result<Result<ByteLease, LeaseDenied>, Error> {
    let payer = ask.payer;
    // Under this lock nobody suspends the account or spends its money meanwhile.
    let mut wallet = match store::wallets::lock(tx, payer.account) {
        Err(store::Error::NoRow) => return Ok(Err(LeaseDenied::Blocked)),
        locked => locked?,
    };
    let Some(state) = store::leases::payer_state(tx, payer)?.filter(|state| state.active) else {
        return Ok(Err(LeaseDenied::Blocked));
    };
    let soonest = now.plus(SHORTEST_TTL);
    let packages = match store::packages::are_active(tx, payer.account, payer.proxy_type)? {
        true => store::packages::usable(tx, payer.account, payer.proxy_type, soonest)?,
        false => Vec::new(),
    };
    let limit = match payer.sub_account {
        Some(sub_account) => store::leases::limit(tx, sub_account, payer.proxy_type)?,
        None => None,
    };
    let grant = match plan(ask.want, &Funds { packages: &packages, wallet, price: state.price, limit }) {
        Ok(grant) => grant,
        Err(denied) => return Ok(Err(denied)),
    };
    reserve(tx, payer, grant, &mut wallet)?;
    let day = zone.day(soonest);
    let mut expires_at = zone.start_of(day.plus_days(1)).min(now.plus(LEASE_TTL));
    if let Some(package) = packages.iter().find(|package| grant.source == Source::Package(package.id)) {
        expires_at = expires_at.min(package.expires_at);
    }
    let new = store::leases::NewLease {
        gateway: ask.gateway,
        boot: ask.boot,
        payer,
        source: grant.source,
        granted: grant.bytes,
        day,
        issued_at: now,
        expires_at,
    };
    let id = store::leases::insert(tx, &new)?;
    Ok(Ok(ByteLease { id, granted: grant.bytes, ttl: expires_at.since(now) }))
}

/// Holds what a lease grants, so that nobody else is granted it.
fn reserve(tx: &mut Tx<'_>, payer: Payer, grant: Grant, wallet: &mut Wallet) -> Result<(), Error> {
    match grant.source {
        Source::Package(package) => {
            store::packages::shift(tx, package, 0, grant.bytes.as_i64())?;
        }
        Source::Wallet(price) => {
            wallet.reserved = wallet.reserved.plus(Units::of(grant.bytes, price));
            store::wallets::write(tx, payer.account, wallet)?;
        }
    }
    if let Some(sub_account) = payer.sub_account {
        store::leases::shift_limit(tx, sub_account, payer.proxy_type, 0, grant.bytes.as_i64())?;
    }
    Ok(())
}

// Settling -----------------------------------------------------------------------------------------

fn settle_in(tx: &mut Tx<'_>, gateway: GatewayId, usages: &[LeaseUsage], now: Time) -> Result<(), Error> {
    // Accounts are locked in id order, whatever order a gateway names their leases in.
    let mut by_account = BTreeMap::<(AccountId, LeaseId), LeaseUsage>::new();
    for usage in usages {
        match store::leases::owner(tx, usage.id)? {
            Some((account, holder)) if holder == gateway => {
                by_account.insert((account, usage.id), *usage);
            }
            _ => {
                tracing::warn!(lease = %usage.id, %gateway, "a gateway reported a lease that it does not hold")
            }
        }
    }
    let mut books = Books::default();
    for ((account, id), usage) in by_account {
        books.lock(tx, account)?;
        let lease = store::leases::lock(tx, id)?;
        match lease.open {
            true => settle_open(tx, &mut books, &lease, usage, now)?,
            false => settle_late(tx, &mut books, &lease, usage, now)?,
        }
    }
    books.write(tx, now)
}

fn settle_open(
    tx: &mut Tx<'_>,
    books: &mut Books,
    lease: &store::leases::Lease,
    usage: LeaseUsage,
    now: Time,
) -> Result<(), Error> {
    let settlement = settle_progress(lease.progress, Progress { used: usage.used, granted: usage.granted });
    if settlement.now == lease.progress && !settlement.ended {
        return Ok(());
    }
    apply(tx, books, lease, settlement, lease.written_off, now)
}

/// A report of a lease that had been voided: what was used after all is paid from what is free
/// now of the same source; what is not is written off, never charged to anything else.
fn settle_late(
    tx: &mut Tx<'_>,
    books: &mut Books,
    lease: &store::leases::Lease,
    usage: LeaseUsage,
    now: Time,
) -> Result<(), Error> {
    let known = lease.progress.used.plus(lease.written_off);
    let late = usage.used.min(lease.issued).minus(known);
    if late.is_zero() {
        return Ok(());
    }
    let paid = late.min(free_of(tx, books, lease)?);
    let used = lease.progress.used.plus(paid);
    reserve_late(tx, books, lease, paid)?;
    let settlement =
        Settlement { now: Progress { used, granted: used }, charge: paid, release: paid, ended: true };
    tracing::warn!(lease = %lease.id, late = %late, written_off = %late.minus(paid), "usage was reported after its lease had been voided");
    apply(tx, books, lease, settlement, lease.written_off.plus(late.minus(paid)), now)
}

fn end_in(tx: &mut Tx<'_>, books: &mut Books, id: LeaseId, now: Time) -> Result<(), Error> {
    let Some((account, _)) = store::leases::owner(tx, id)? else { return Ok(()) };
    books.lock(tx, account)?;
    let lease = store::leases::lock(tx, id)?;
    if !lease.open {
        return Ok(());
    }
    apply(tx, books, &lease, void(lease.progress), lease.written_off, now)
}

/// Carries a settlement out: on its source, the sub-account's counters, the day and the lease.
fn apply(
    tx: &mut Tx<'_>,
    books: &mut Books,
    lease: &store::leases::Lease,
    settlement: Settlement,
    written_off: Bytes,
    now: Time,
) -> Result<(), Error> {
    let payer = lease.payer;
    let (charge, release) = (settlement.charge, settlement.release);
    match lease.source {
        Source::Package(package) => {
            let shifted = store::packages::shift(tx, package, charge.as_i64(), -release.as_i64())?;
            if shifted.left.is_zero() && !charge.is_zero() {
                crate::packages::close_in(tx, package, now)?;
            }
            if shifted.is_watched && !charge.is_zero() {
                crate::watch::watch_soon(tx, payer.account, payer.proxy_type, now)?;
            }
            store::usage::add(tx, payer, lease.day, charge, Bytes::ZERO)?;
        }
        Source::Wallet(price) => {
            let reference = format!("{}@{}", lease.id, settlement.now.used);
            charge_wallet(tx, books, payer, charge, price, reference, now)?;
            books.release(payer.account, Units::of(release, price));
            store::usage::add(tx, payer, lease.day, Bytes::ZERO, charge)?;
        }
    }
    if let Some(sub_account) = payer.sub_account {
        store::leases::shift_limit(tx, sub_account, payer.proxy_type, charge.as_i64(), -release.as_i64())?;
    }
    Ok(store::leases::write(tx, lease.id, &settlement, written_off)?)
}

fn charge_wallet(
    tx: &mut Tx<'_>,
    books: &mut Books,
    payer: Payer,
    bytes: Bytes,
    price: Cents,
    reference: String,
    now: Time,
) -> Result<(), Error> {
    if bytes.is_zero() {
        return Ok(());
    }
    let carry = store::wallets::carry(tx, payer.account, payer.proxy_type)?;
    let rated = rate(carry, bytes, price)?;
    store::wallets::set_carry(tx, payer.account, payer.proxy_type, rated.carry)?;
    if rated.cost == Cents::ZERO {
        return Ok(());
    }
    books.change(payer.account, |wallet| wallet.consume(rated.cost))?;
    let entry = Entry::wallet_traffic(payer.account, payer.proxy_type, rated.cost, bytes, reference)?;
    store::entries::insert(tx, &entry, now)?;
    Ok(())
}

/// What of a voided lease's source is free now.
fn free_of(tx: &mut Tx<'_>, books: &Books, lease: &store::leases::Lease) -> Result<Bytes, Error> {
    Ok(match lease.source {
        Source::Package(package) => {
            let package = store::packages::lock(tx, package)?;
            if package.closed {
                Bytes::ZERO
            } else {
                package.total.minus(package.used.plus(package.reserved))
            }
        }
        Source::Wallet(price) => {
            let mut wallet = books.wallet(lease.payer.account);
            // What was carried may have grown in this very transaction.
            wallet.carried = store::wallets::read(tx, lease.payer.account)?.carried;
            wallet.capacity(price)
        }
    })
}

/// Holds again, for the length of the transaction, what a late report is about to charge: so that
/// one way of charging serves all.
fn reserve_late(
    tx: &mut Tx<'_>,
    books: &mut Books,
    lease: &store::leases::Lease,
    bytes: Bytes,
) -> Result<(), Error> {
    match lease.source {
        Source::Package(package) => {
            store::packages::shift(tx, package, 0, bytes.as_i64())?;
        }
        Source::Wallet(price) => {
            books.change(lease.payer.account, |wallet| {
                Ok(Wallet { reserved: wallet.reserved.plus(Units::of(bytes, price)), ..wallet })
            })?;
        }
    }
    if let Some(sub_account) = lease.payer.sub_account {
        store::leases::shift_limit(tx, sub_account, lease.payer.proxy_type, 0, bytes.as_i64())?;
    }
    Ok(())
}

/// The wallets that a transaction has locked: read once, changed in memory, written once.
#[derive(Default)]
struct Books {
    /// Each as it was and as it is.
    wallets: BTreeMap<AccountId, (Wallet, Wallet)>,
}

impl Books {
    fn lock(&mut self, tx: &mut Tx<'_>, account: AccountId) -> Result<(), Error> {
        if let std::collections::btree_map::Entry::Vacant(place) = self.wallets.entry(account) {
            let wallet = store::wallets::lock(tx, account)?;
            place.insert((wallet, wallet));
        }
        Ok(())
    }

    fn wallet(&self, account: AccountId) -> Wallet {
        self.wallets.get(&account).map(|(_, wallet)| *wallet).unwrap_or_default()
    }

    fn change(
        &mut self,
        account: AccountId,
        change: impl FnOnce(Wallet) -> Result<Wallet, LedgerError>,
    ) -> Result<(), Error> {
        if let Some((_, wallet)) = self.wallets.get_mut(&account) {
            *wallet = change(*wallet)?;
        }
        Ok(())
    }

    fn release(&mut self, account: AccountId, units: Units) {
        if let Some((_, wallet)) = self.wallets.get_mut(&account) {
            wallet.reserved = wallet.reserved.minus(units);
        }
    }

    fn write(self, tx: &mut Tx<'_>, now: Time) -> Result<(), Error> {
        for (account, (before, after)) in self.wallets {
            if after != before {
                crate::wallets::write(tx, account, &before, &after, now)?;
            }
        }
        Ok(())
    }
}

fn unavailable(error: Error) -> Unavailable {
    Unavailable(error.to_string())
}
