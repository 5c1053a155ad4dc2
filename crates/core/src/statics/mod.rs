//! Static proxies: addresses leased by the month.
//!
//! The operator imports **stock** and writes a **price list**; a customer **orders** so many
//! addresses of a type in a country; each becomes a **proxy** that is renewed, replaced, given back
//! or left to expire. Time that was paid for is a **term** of a proxy, and never changed.
//!
//! Everything about a proxy happens under the lock of its account's wallet; whoever takes stock of
//! a type and country holds the lock of that shelf. Locks are taken in this order: wallet, shelf,
//! rows of both, then what `events`, `jobs` and `directory` write.

mod credentials;
mod ending;
pub(crate) mod jobs;
mod marks;
mod orders;
mod pending;
mod prices;
mod proxies;
mod renewals;
mod replacing;
mod requests;
mod stock;
mod traffic;

use serde_json::{Value, json};
use tollgate_ledger::Wallet;
use tollgate_store::statics::proxies::Proxy;
use tollgate_store::{self as store, ProxyState, RequestKind, Tx};
use tollgate_types::{AccountId, Country, StaticProxyId, Time};

pub use orders::{OrderFilter, OrderRequest, OrderRow, Ordered, Quote, order, orders, quote};
pub use pending::{cancel, fulfil};
pub use prices::{Price, PriceChange, create_price, list_prices, order_amount, update_price, visible_prices};
pub use proxies::{StaticFilter, StaticProxy, export, list, set_auto_rebuy, set_remark};
pub use renewals::{RenewalLine, RenewalQuote, Renewed, quote_renewal, renew};
pub use requests::{Asked, RequestFilter, RequestRow, approve, refund, refuse, replace, requests, withdraw};
pub use stock::{
    NewStock, StockChange, StockFilter, StockItem, countries, import, stock, stock_totals, update_stock,
};
pub use traffic::{UsageDay, count_traffic, usage};

use crate::{Conflict, Core, Error, Noun, Rule};

/// The longest reason or note, in characters.
const LONGEST_TEXT: usize = 255;

/// A proxy whose account's wallet is locked: nobody else changes it meanwhile.
struct Held {
    wallet: Wallet,
    proxy: Proxy,
}

/// Locks the wallet of a proxy's account; `None` where there is no such proxy.
fn hold(tx: &mut Tx<'_>, id: StaticProxyId) -> Result<Option<Held>, Error> {
    let Some(account) = store::statics::proxies::owner(tx, id)? else { return Ok(None) };
    let wallet = crate::locks::wallet(tx, account)?;
    Ok(store::statics::proxies::by_id(tx, id)?.map(|proxy| Held { wallet, proxy }))
}

/// The same of an account's own proxy that has not ended.
fn hold_own(tx: &mut Tx<'_>, account: AccountId, id: StaticProxyId) -> Result<Held, Error> {
    let wallet = crate::locks::wallet(tx, account)?;
    let proxy = own(tx, account, id)?;
    Ok(Held { wallet, proxy })
}

/// An account's own proxy that has not ended.
fn own(tx: &mut Tx<'_>, account: AccountId, id: StaticProxyId) -> Result<Proxy, Error> {
    let found = store::statics::proxies::by_id(tx, id)?;
    let own = found.filter(|proxy| proxy.account == account && proxy.state != ProxyState::Ended);
    own.ok_or(Error::NotFound(Noun::StaticProxy))
}

/// Until when an expired proxy may still be renewed.
fn kept_until(core: &Core, proxy: &Proxy) -> Time {
    let kept_by_stock = proxy.place.and_then(|place| place.release_at);
    kept_by_stock.unwrap_or_else(|| proxy.expires_at.plus(core.policy().static_grace))
}

/// Demands that a proxy works, and that nothing is being done about it.
fn check_idle(proxy: &Proxy, now: Time) -> Result<(), Error> {
    match (proxy.state, proxy.request) {
        (ProxyState::Pending, _) => Err(Error::Conflict(Conflict::Undelivered)),
        (ProxyState::Grace | ProxyState::Ended, _) => Err(Error::Conflict(Conflict::Expired)),
        (ProxyState::Live, _) if now >= proxy.expires_at => Err(Error::Conflict(Conflict::Expired)),
        (ProxyState::Live, Some((_, RequestKind::Refund | RequestKind::Replace))) => {
            Err(Error::Conflict(Conflict::OpenRequest))
        }
        (ProxyState::Live, None) => Ok(()),
    }
}

fn country(code: &str) -> Result<Country, Error> {
    code.parse().map_err(|_| Error::invalid("country", Rule::Length { min: 2, max: 2 }))
}

/// What an event tells of a proxy.
fn told(core: &Core, proxy: &Proxy) -> Value {
    let listen = proxy.place.map(|place| place.listen);
    json!({
        "proxy_id": proxy.id.get(),
        "proxy_type": proxy.static_type.as_str(),
        "country": proxy.country.as_str(),
        "proxy_address": listen.map_or_else(String::new, |listen| listen.ip().to_string()),
        "proxy_port": listen.map_or_else(String::new, |listen| listen.port().to_string()),
        "order_no": proxy.order_no,
        "expire_time": core.zone().show(proxy.expires_at),
    })
}
