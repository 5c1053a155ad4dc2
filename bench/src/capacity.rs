//! How fast the control plane settles usage at most: its own rooms in this process, on a real
//! database, fed with reports such as a gateway sends, one after the other without a pause. The
//! paced measurement in `platform.rs` shows what settling costs; this one shows where it ends.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tollgate_core::accounts::NewAccount;
use tollgate_core::offers::OfferChange;
use tollgate_core::sub_accounts::NewSubAccount;
use tollgate_core::{
    Actor, Core, Keys, Policy, accounts, audit, leases, offers, packages, sub_accounts, wallets,
};
use tollgate_store::{Db, DbUrl, Options};
use tollgate_types::{
    AccountId, BootId, Bytes, Cents, Clock, GatewayId, LeaseId, LeaseRequest, LeaseUsage, OfferId, Payer,
    ProxyType, SystemClock, UsageReport, Zone,
};

use crate::args::Sizes;
use crate::measure::{Figure, figure, quantile};

const GATEWAY: GatewayId = GatewayId::new(1);
const BOOT: BootId = BootId::new(1);

/// Sub-accounts of each account.
const PAYERS_PER_ACCOUNT: u64 = 10;

/// What each report adds to each lease.
const STEP: u64 = 1000;

/// Leases a number of payers, and settles reports on all of their leases.
pub(crate) async fn measure(url: &str, sizes: &Sizes) -> Result<Vec<Figure>> {
    let clock = SystemClock;
    let url: DbUrl = url.parse()?;
    let db = Db::open(&url, Options::new(clock.now()))?;
    let measured = async {
        let core = Core::open(
            db.clone(),
            Arc::new(clock),
            Zone::UTC,
            Keys::new(&[7; 32]),
            Policy::default(),
            [1; 32],
        );
        settle_all(&core.await?, sizes).await
    };
    let measured = measured.await;
    db.close().await;
    measured
}

async fn settle_all(core: &Core, sizes: &Sizes) -> Result<Vec<Figure>> {
    let held = lease_all(core, sizes).await?;
    let (start, mut latencies) = (Instant::now(), Vec::new());
    for number in 1..=sizes.reports {
        let usage =
            |id: &LeaseId| LeaseUsage { id: *id, used: Bytes::new(number * STEP), granted: granted(sizes) };
        let leases = held.iter().map(usage).collect();
        let sent = Instant::now();
        leases::settle(core, UsageReport { gateway: GATEWAY, boot: BOOT, recovered: false, leases }).await?;
        latencies.push(sent.elapsed());
    }
    let wall = start.elapsed().as_secs_f64();
    let settled = held.len() as u64 * sizes.reports;
    // A figure of wrong money would be worth nothing.
    if let Some(difference) = audit::run(core).await?.differences.first() {
        bail!("the audit found a difference: {}", difference.what);
    }
    latencies.sort_unstable();
    Ok(vec![
        figure("leases settled per second", settled as f64 / wall),
        figure("p50 µs of a report", quantile(&latencies, 500)),
        figure("p99 µs of a report", quantile(&latencies, 990)),
        // There are too few of them for one in a thousand.
        figure("longest µs of a report", quantile(&latencies, 1000)),
    ])
}

/// More than all reports together use, so that no lease ends meanwhile.
fn granted(sizes: &Sizes) -> Bytes {
    Bytes::new(STEP * (sizes.reports + 1))
}

async fn lease_all(core: &Core, sizes: &Sizes) -> Result<Vec<LeaseId>> {
    let offer = offer(core).await?;
    let mut held = Vec::new();
    for number in 0..sizes.payers.div_ceil(PAYERS_PER_ACCOUNT) {
        let account = account(core, number, offer).await?;
        for n in (number * PAYERS_PER_ACCOUNT..sizes.payers).take(PAYERS_PER_ACCOUNT as usize) {
            held.push(lease(core, account, n, granted(sizes)).await?);
        }
    }
    Ok(held)
}

async fn offer(core: &Core) -> Result<OfferId> {
    let new = OfferChange {
        proxy_type: Some(ProxyType::Residential),
        traffic_gb: Some(100),
        price: Some(Cents::new(1)),
        days: Some(30),
        plan_type: Some("personal".to_owned()),
        ..OfferChange::default()
    };
    Ok(offers::create(core, Actor::Operator, new).await?)
}

async fn account(core: &Core, number: u64, offer: OfferId) -> Result<AccountId> {
    let username = format!("payer{number}");
    let email = format!("{username}@example.com");
    let new = NewAccount { username, email, password: None, prices: [None; 3] };
    let (account, _) = accounts::create(core, Actor::Operator, new).await?;
    wallets::recharge(core, Actor::Operator, account, Cents::new(1000), "first".to_owned()).await?;
    packages::buy(core, account, offer, None).await?;
    Ok(account)
}

async fn lease(core: &Core, account: AccountId, number: u64, want: Bytes) -> Result<LeaseId> {
    let new = NewSubAccount {
        username: format!("sub{number}"),
        password: "bench-password".to_owned().into(),
        remark: String::new(),
        active: true,
        limits_gb: [0; 3],
    };
    let sub_account = sub_accounts::create(core, account, new).await?;
    let payer = Payer { account, sub_account: Some(sub_account), proxy_type: ProxyType::Residential };
    let lease = leases::lease(core, LeaseRequest { gateway: GATEWAY, boot: BOOT, payer, want }).await;
    let lease = lease.ok().context("a lease was denied")?;
    if lease.granted != want {
        bail!("a lease of {:?} was granted where {want:?} were asked for", lease.granted);
    }
    Ok(lease.id)
}
