//! Giving a static proxy another address.

use std::time::Duration;

use tollgate_store::jobs::Claimed;
use tollgate_store::statics::proxies::{Place, Proxy};
use tollgate_store::statics::requests::{NewRequest, Request};
use tollgate_store::{self as store, ProxyState, RequestKind, RequestState, Tx};
use tollgate_types::{StaticRequestId, Time};

use super::{Held, ending};
use crate::audit_log::Actor;
use crate::directory::{self, Subject};
use crate::events::{self, EventKind};
use crate::jobs::{self, JobKind, Next};
use crate::{Core, Error};

/// The rest between two looks for an address while none is free: as long as it has been waited for
/// so far, but within these bounds.
const SHORTEST_REST: Duration = Duration::from_secs(5 * 60);
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// What a replacement is said to be for that the operator caused.
const OUT_OF_SERVICE: &str = "the address was taken out of service";

/// Sees to another address for a proxy whose own has been taken out of service. Where the customer
/// asked for that already, it needs no approval any more; where the proxy is being given back, that
/// is decided first.
pub(super) fn out_of_service(
    tx: &mut Tx<'_>,
    proxy: &Proxy,
    now: Time,
) -> Result<Option<StaticRequestId>, Error> {
    let id = match proxy.request {
        Some((_, RequestKind::Refund)) => return Ok(None),
        Some((id, RequestKind::Replace)) => {
            ending::settle(tx, id, RequestState::Going, now)?;
            id
        }
        None => {
            let new = NewRequest {
                proxy: proxy.id,
                account: proxy.account,
                kind: RequestKind::Replace,
                asked_by: Actor::Operator.to_string(),
                reason: OUT_OF_SERVICE.to_owned(),
                state: RequestState::Going,
                old_address: address(proxy),
            };
            store::statics::requests::insert(tx, &new, now)?
        }
    };
    begin(tx, id, now)?;
    Ok(Some(id))
}

/// Drops a replacement that only followed from taking an address out of service: that was taken
/// back, or the customer asks for something else.
pub(super) fn drop_operators(tx: &mut Tx<'_>, proxy: &mut Proxy, now: Time) -> Result<(), Error> {
    let Some((id, RequestKind::Replace)) = proxy.request else { return Ok(()) };
    let Some(request) = store::statics::requests::by_id(tx, id)? else { return Ok(()) };
    if request.asked_by != Actor::Operator.to_string() {
        return Ok(());
    }
    proxy.request = None;
    store::statics::requests::write(tx, &request, RequestState::Dropped, now)?;
    jobs::forget(tx, JobKind::StaticReplacement, &id.to_string())
}

/// Has a worker do a replacement now.
pub(super) fn begin(tx: &mut Tx<'_>, id: StaticRequestId, now: Time) -> Result<(), Error> {
    jobs::hurry(tx, JobKind::StaticReplacement, &id.to_string(), now, now)
}

/// `IP:port` of a proxy; empty where it has none.
pub(super) fn address(proxy: &Proxy) -> String {
    proxy.place.map_or_else(String::new, |place| place.listen.to_string())
}

/// Does a replacement, as far as that is still wanted and can be done.
pub(super) fn replace_in(
    tx: &mut Tx<'_>,
    core: &Core,
    job: &Claimed,
    id: StaticRequestId,
    now: Time,
) -> Result<(), Error> {
    let asked = store::statics::requests::by_id(tx, id)?;
    let Some(Held { mut proxy, .. }) = asked.map(|asked| super::hold(tx, asked.proxy)).transpose()?.flatten()
    else {
        return super::jobs::close_idle(tx, job, now);
    };
    let request = store::statics::requests::by_id(tx, id)?;
    let going = request.filter(|request| request.state == RequestState::Going.as_str());
    let Some(request) = going else { return super::jobs::close_idle(tx, job, now) };
    let (Some(old), Some(new)) = (proxy.place, another(tx, &proxy, now)?) else {
        return jobs::close(tx, job, Next::At(now.plus(rest(&request, now))), now);
    };
    let resting = ending::rest(tx, core, &old, now)?;
    proxy.place = Some(new);
    store::statics::proxies::write(tx, &proxy, now)?;
    let done = Request { new_address: new.listen.to_string(), ..request };
    store::statics::requests::write(tx, &done, RequestState::Done, now)?;
    let mut told = super::told(core, &proxy);
    told["old_address"] = old.listen.ip().to_string().into();
    told["old_port"] = old.listen.port().to_string().into();
    events::emit(tx, proxy.account, EventKind::StaticReplaced, &told, now)?;
    if let Some(resting) = resting {
        resting.set_job(tx, now)?;
    }
    jobs::close(tx, job, Next::Done, now)?;
    directory::publish(tx, Subject::Static(proxy.id), now)
}

/// Takes another address for a proxy; `None` where none is free. An expired proxy is not given one
/// unless it is renewed.
fn another(tx: &mut Tx<'_>, proxy: &Proxy, now: Time) -> Result<Option<Place>, Error> {
    if proxy.state != ProxyState::Live {
        return Ok(None);
    }
    let (kind, country) = (proxy.static_type, proxy.country);
    store::statics::stock::lock_shelf(tx, kind, country)?;
    let Some(stock) = store::statics::stock::lease(tx, kind, country, 1, now)?.pop() else { return Ok(None) };
    let item = store::statics::stock::by_id(tx, stock)?;
    let item =
        item.ok_or_else(|| Error::Internal(format!("stock item {stock} was leased and is not there")))?;
    let listen = (item.listen_ip, item.listen_port).into();
    Ok(Some(Place { stock, listen, exit_ip: item.exit_ip, state: item.state, release_at: None }))
}

fn rest(request: &Request, now: Time) -> Duration {
    now.since(request.updated_at).clamp(SHORTEST_REST, LONGEST_REST)
}
