//! What happens to static proxies by itself.

use tollgate_store::jobs::Claimed;
use tollgate_store::statics::proxies::Proxy;
use tollgate_store::{self as store, ProxyState, RebuyStatus, StockState, Tx};
use tollgate_types::{StaticProxyId, StaticRequestId, StockId, Time};

use super::renewals::{self, Renewed};
use super::{Held, ending, hold, kept_until, marks, replacing, told};
use crate::directory::{self, Subject};
use crate::events::{self, EventKind};
use crate::jobs::{self, JobKind, Next};
use crate::{Conflict, Core, Error};

/// Renews a static proxy ahead of its end, or says that the end is near.
pub(crate) async fn renewal(core: &Core, job: &Claimed) -> Result<(), Error> {
    let id = StaticProxyId::new(subject(job)?);
    done(core, job, move |tx, core, job, now| match hold(tx, id)? {
        Some(held) => renewal_in(tx, core, job, held, now),
        None => close_idle(tx, job, now),
    })
    .await
}

fn renewal_in(tx: &mut Tx<'_>, core: &Core, job: &Claimed, held: Held, now: Time) -> Result<(), Error> {
    // Renewed by hand since the job was claimed: a short period's first mark may lie behind all the
    // same, and the customer is not to pay twice in a row.
    if let Some(later) = store::jobs::due_at(tx, job.id, job.claim)?.filter(|at| *at > now) {
        return jobs::close(tx, job, Next::At(later), now);
    }
    let proxy = &held.proxy;
    let waits = !marks::reached(proxy.expires_at, now);
    match proxy.state {
        ProxyState::Pending | ProxyState::Ended => close_idle(tx, job, now),
        ProxyState::Live | ProxyState::Grace if waits => close_until_mark(tx, job, proxy, now),
        ProxyState::Live | ProxyState::Grace if proxy.auto_rebuy => try_renewal(tx, core, job, held, now),
        ProxyState::Live if now < proxy.expires_at && marks::reminds(proxy.expires_at, job.run_at) => {
            events::emit(tx, proxy.account, EventKind::StaticExpiring, &told(core, proxy), now)?;
            close_until_mark(tx, job, proxy, now)
        }
        ProxyState::Live | ProxyState::Grace => close_until_mark(tx, job, proxy, now),
    }
}

fn close_until_mark(tx: &mut Tx<'_>, job: &Claimed, proxy: &Proxy, now: Time) -> Result<(), Error> {
    let next = marks::next(proxy.expires_at, now).map_or(Next::Done, Next::At);
    jobs::close(tx, job, next, now)
}

/// Renews a proxy, or notes why not. A worker that comes late, when the proxy has expired already,
/// tries all the same: whoever asked for renewals is not to lose an address by that.
fn try_renewal(tx: &mut Tx<'_>, core: &Core, job: &Claimed, held: Held, now: Time) -> Result<(), Error> {
    let Held { wallet, mut proxy } = held;
    let active = store::accounts::by_id(tx, proxy.account)?.is_some_and(|account| account.active);
    let tried = match active {
        true => renewals::renew_in(tx, core, wallet, std::slice::from_mut(&mut proxy), now),
        false => Err(Error::Suspended),
    };
    match tried {
        Ok((_, renewed)) => {
            tell_renewed(tx, core, &proxy, &renewed, now)?;
            renewals::set_jobs(tx, &proxy, now)?;
            close_until_mark(tx, job, &proxy, now)?;
            directory::publish(tx, Subject::Static(proxy.id), now)
        }
        Err(error) => {
            let (status, kind, reason) = why_not(error)?;
            proxy.rebuy_status = status;
            store::statics::proxies::write(tx, &proxy, now)?;
            let mut told = told(core, &proxy);
            told["amount"] = proxy.price_now.get().into();
            told["balance"] = wallet.balance().get().into();
            told["reason"] = reason.into();
            events::emit(tx, proxy.account, kind, &told, now)?;
            close_until_mark(tx, job, &proxy, now)
        }
    }
}

fn tell_renewed(
    tx: &mut Tx<'_>,
    core: &Core,
    proxy: &Proxy,
    renewed: &Renewed,
    now: Time,
) -> Result<(), Error> {
    let mut told = told(core, proxy);
    told["amount"] = renewed.amount.get().into();
    told["renewal_order_no"] = renewed.order_no.as_str().into();
    events::emit(tx, proxy.account, EventKind::StaticRenewed, &told, now)
}

/// How a renewal that was refused is shown and told. What is no refusal goes on as an error: the
/// job is tried again.
fn why_not(error: Error) -> Result<(RebuyStatus, EventKind, &'static str), Error> {
    let failed = |reason| Ok((RebuyStatus::Failed, EventKind::StaticRenewalFailed, reason));
    match error {
        Error::InsufficientFunds => {
            Ok((RebuyStatus::Insufficient, EventKind::StaticRenewalInsufficient, "balance"))
        }
        Error::Suspended => failed("suspended"),
        Error::Conflict(Conflict::OpenRequest) => failed("refunding"),
        Error::Conflict(Conflict::Expired) => failed("expired"),
        other => Err(other),
    }
}

/// Ends a static proxy's time, and later gives its address back.
pub(crate) async fn expiry(core: &Core, job: &Claimed) -> Result<(), Error> {
    let id = StaticProxyId::new(subject(job)?);
    done(core, job, move |tx, core, job, now| match hold(tx, id)? {
        Some(Held { proxy, .. }) => expiry_in(tx, core, job, proxy, now),
        None => close_idle(tx, job, now),
    })
    .await
}

fn expiry_in(tx: &mut Tx<'_>, core: &Core, job: &Claimed, proxy: Proxy, now: Time) -> Result<(), Error> {
    let release_at = kept_until(core, &proxy);
    match proxy.state {
        ProxyState::Pending | ProxyState::Ended => close_idle(tx, job, now),
        ProxyState::Live if now < proxy.expires_at => jobs::close(tx, job, Next::At(proxy.expires_at), now),
        ProxyState::Live => expire(tx, core, job, proxy, release_at, now),
        ProxyState::Grace if now < release_at => jobs::close(tx, job, Next::At(release_at), now),
        ProxyState::Grace => release_proxy(tx, job, proxy, now),
    }
}

/// The proxy works no longer. Its address is kept for it for a while.
fn expire(
    tx: &mut Tx<'_>,
    core: &Core,
    job: &Claimed,
    mut proxy: Proxy,
    release_at: Time,
    now: Time,
) -> Result<(), Error> {
    if let Some(place) = proxy.place.filter(|place| place.state != StockState::Disabled) {
        store::statics::stock::set_state(tx, place.stock, StockState::Grace, Some(release_at), now)?;
    }
    proxy.state = ProxyState::Grace;
    store::statics::proxies::write(tx, &proxy, now)?;
    let mut told = told(core, &proxy);
    told["grace_until"] = core.zone().show(release_at).into();
    events::emit(tx, proxy.account, EventKind::StaticExpired, &told, now)?;
    jobs::close(tx, job, Next::At(release_at), now)?;
    directory::publish(tx, Subject::Static(proxy.id), now)
}

/// Nobody renewed the proxy: its address is anybody's.
fn release_proxy(tx: &mut Tx<'_>, job: &Claimed, mut proxy: Proxy, now: Time) -> Result<(), Error> {
    if let Some(place) = &proxy.place {
        ending::release(tx, place, now)?;
    }
    let request = proxy.request;
    ending::end(tx, &mut proxy, None, now)?;
    jobs::forget(tx, JobKind::StaticRenewal, &proxy.id.to_string())?;
    if let Some((request, _)) = request {
        jobs::forget(tx, JobKind::StaticReplacement, &request.to_string())?;
    }
    jobs::close(tx, job, Next::Done, now)?;
    directory::publish(tx, Subject::Static(proxy.id), now)
}

/// Gives a static proxy another address.
pub(crate) async fn replacement(core: &Core, job: &Claimed) -> Result<(), Error> {
    let id = StaticRequestId::new(subject(job)?);
    done(core, job, move |tx, core, job, now| replacing::replace_in(tx, core, job, id, now)).await
}

/// Sets an address free that has no proxy.
pub(crate) async fn release(core: &Core, job: &Claimed) -> Result<(), Error> {
    let id = StockId::new(subject(job)?);
    done(core, job, move |tx, _, job, now| {
        let resting = store::statics::stock::lock(tx, id)?.filter(|item| item.holder.is_none());
        match resting.and_then(|item| item.release_at) {
            Some(release_at) if release_at > now => jobs::close(tx, job, Next::At(release_at), now),
            Some(_) => {
                store::statics::stock::set_state(tx, id, StockState::Free, None, now)?;
                jobs::close(tx, job, Next::Done, now)
            }
            None => close_idle(tx, job, now),
        }
    })
    .await
}

/// Does a job in one transaction, and has the directory looked at again.
async fn done<F>(core: &Core, job: &Claimed, doing: F) -> Result<(), Error>
where
    F: Fn(&mut Tx<'_>, &Core, &Claimed, Time) -> Result<(), Error> + Send + 'static,
{
    let (now, inner, job) = (core.now(), core.clone(), job.clone());
    core.db().write(move |tx| doing(tx, &inner, &job, now)).await?;
    core.directory_changed();
    Ok(())
}

/// Closes a job that finds nothing to do. Whoever saw to that may have forgotten the job already.
pub(super) fn close_idle(tx: &mut Tx<'_>, job: &Claimed, _: Time) -> Result<(), Error> {
    store::jobs::finish(tx, job.id, job.claim)?;
    Ok(())
}

fn subject(job: &Claimed) -> Result<i64, Error> {
    let misnamed = || Error::Internal(format!("{} about {:?} cannot be understood", job.kind, job.subject));
    job.subject.parse().map_err(|_| misnamed())
}
