//! How a static proxy gives its address back, and what becomes of the address.

use tollgate_store::statics::proxies::{Place, Proxy};
use tollgate_store::{self as store, ProxyState, RequestState, StockState, Tx};
use tollgate_types::{StaticRequestId, StockId, Time};

use crate::jobs::{self, JobKind};
use crate::{Core, Error};

/// An address that rests, and when it is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resting {
    stock: StockId,
    until: Time,
}

impl Resting {
    /// Has the address set free when it has rested. Called late in its transaction.
    pub(super) fn set_job(self, tx: &mut Tx<'_>, now: Time) -> Result<(), Error> {
        jobs::set(tx, JobKind::StockRelease, &self.stock.to_string(), self.until, now)
    }
}

/// Has an address rest that a proxy leaves before its time: whoever used it may still be known by
/// it. One that is out of service stays so.
pub(super) fn rest(tx: &mut Tx<'_>, core: &Core, place: &Place, now: Time) -> Result<Option<Resting>, Error> {
    let until = match (place.state, place.release_at) {
        (StockState::Disabled, _) => return Ok(None),
        (StockState::Grace, Some(until)) => until,
        (StockState::Free | StockState::Leased | StockState::Grace, _) => {
            now.plus(core.policy().static_grace)
        }
    };
    store::statics::stock::set_state(tx, place.stock, StockState::Grace, Some(until), now)?;
    Ok(Some(Resting { stock: place.stock, until }))
}

/// Sets an address free whose proxy has rested on it. One that is out of service stays so.
pub(super) fn release(tx: &mut Tx<'_>, place: &Place, now: Time) -> Result<(), Error> {
    match place.state {
        StockState::Disabled => Ok(()),
        StockState::Free | StockState::Leased | StockState::Grace => {
            Ok(store::statics::stock::set_state(tx, place.stock, StockState::Free, None, now)?)
        }
    }
}

/// Ends a proxy whose address has been seen to. What was asked for it is dropped, but for the
/// request that ends it.
pub(super) fn end(
    tx: &mut Tx<'_>,
    proxy: &mut Proxy,
    by: Option<StaticRequestId>,
    now: Time,
) -> Result<(), Error> {
    if let Some((id, _)) = proxy.request.filter(|(id, _)| Some(*id) != by) {
        settle(tx, id, RequestState::Dropped, now)?;
    }
    proxy.state = ProxyState::Ended;
    proxy.place = None;
    Ok(store::statics::proxies::write(tx, proxy, now)?)
}

/// Writes what became of a request.
pub(super) fn settle(
    tx: &mut Tx<'_>,
    id: StaticRequestId,
    state: RequestState,
    now: Time,
) -> Result<(), Error> {
    match store::statics::requests::by_id(tx, id)? {
        Some(request) => Ok(store::statics::requests::write(tx, &request, state, now)?),
        None => Ok(()),
    }
}
