//! Stock: the addresses that the operator can lease out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::json;
use tollgate_store::statics::proxies::Proxy;
use tollgate_store::statics::stock::{Item, NewItem};
use tollgate_store::{self as store, ProxyState, StockState, Tx};
use tollgate_types::{AccountId, Country, StaticProxyId, StaticRequestId, StaticType, StockId, Time};

use super::replacing;
use crate::audit_log::{self, Actor};
use crate::directory::{self, Subject, write_and_publish};
use crate::jobs::{self, JobKind};
use crate::{BadLine, Core, Error, Noun, Page, Rule};

/// The most lines of one import.
const MOST_LINES: usize = 10_000;

/// How often a change is begun anew because the item has changed hands meanwhile.
const MOST_HANDS: u32 = 8;

/// A line of an import.
#[derive(Debug, Clone)]
pub struct NewStock {
    /// The address that the proxy is reached at, in any valid spelling.
    pub listen_ip: String,
    /// The port that it is reached at.
    pub listen_port: i64,
    /// The address that it leaves from; `None` or empty = the same.
    pub exit_ip: Option<String>,
}

/// Adds addresses of one type in one country: all of them, or none. Ten thousand at most.
///
/// # Errors
/// [`Error::Invalid`] for `country` or `items` (none, or too many), [`Error::Lines`] naming every
/// line that cannot be taken: a malformed address, one that is not a single host's or of the wrong
/// family, a port out of range or reserved, an address and port that are named twice or in stock.
pub async fn import(
    core: &Core,
    actor: Actor,
    static_type: StaticType,
    country: String,
    items: Vec<NewStock>,
) -> Result<Vec<StockId>, Error> {
    let country = super::country(&country)?;
    if !(1..=MOST_LINES).contains(&items.len()) {
        return Err(Error::invalid("items", Rule::Count { min: 1, max: MOST_LINES }));
    }
    let (lines, bad) = understood(static_type, &items, &core.policy().reserved_ports);
    let now = core.now();
    core.db()
        .write(move |tx| {
            store::statics::stock::make_shelf(tx, static_type, country)?;
            store::statics::stock::lock_shelf(tx, static_type, country)?;
            let (mut ids, mut bad) = (Vec::with_capacity(lines.len()), bad.clone());
            for (line, new) in &lines {
                match store::statics::stock::insert(tx, static_type, country, new, now)? {
                    Some(id) => ids.push(id),
                    None => bad.push(BadLine { line: *line, field: "listen_ip", rule: Rule::Taken }),
                }
            }
            if !bad.is_empty() {
                bad.sort_by_key(|bad| bad.line);
                return Err(Error::Lines(bad));
            }
            let subject = format!("stock:{static_type}:{country}");
            let detail = json!({ "count": ids.len(), "first_id": ids.first().map(|id| id.get()) });
            audit_log::append(tx, now, &actor, "stock.imported", None, &subject, &detail)?;
            Ok(ids)
        })
        .await
}

/// The lines that can be understood, by their numbers, and what is wrong with the others.
fn understood(
    static_type: StaticType,
    items: &[NewStock],
    reserved: &[u16],
) -> (Vec<(usize, NewItem)>, Vec<BadLine>) {
    let (mut lines, mut bad, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (line, item) in (1..).zip(items) {
        match understand(static_type, item, reserved) {
            Ok(new) if seen.insert((new.listen_ip, new.listen_port)) => lines.push((line, new)),
            Ok(_) => bad.push(BadLine { line, field: "listen_ip", rule: Rule::Doubled }),
            Err(wrong) => bad.extend(wrong.into_iter().map(|(field, rule)| BadLine { line, field, rule })),
        }
    }
    (lines, bad)
}

/// A field that cannot be taken, and why.
type Wrong = (&'static str, Rule);

fn understand(static_type: StaticType, item: &NewStock, reserved: &[u16]) -> Result<NewItem, Vec<Wrong>> {
    let listen_ip = host("listen_ip", &item.listen_ip);
    let listen_port = port(item.listen_port, reserved);
    let exit_ip = match item.exit_ip.as_deref().map(str::trim) {
        None | Some("") => listen_ip.and_then(|ip| of_family("listen_ip", ip, static_type)),
        Some(text) => host("exit_ip", text).and_then(|ip| of_family("exit_ip", ip, static_type)),
    };
    match (listen_ip, listen_port, exit_ip) {
        (Ok(listen_ip), Ok(listen_port), Ok(exit_ip)) => Ok(NewItem { listen_ip, listen_port, exit_ip }),
        (ip, port, exit) => {
            // What is wrong with both addresses where only one was given is said once.
            let mut wrong: Vec<Wrong> = [ip.err(), exit.err(), port.err()].into_iter().flatten().collect();
            wrong.dedup();
            Err(wrong)
        }
    }
}

/// An address that one host can have, loopback and private ones included: it is the operator's own.
fn host(field: &'static str, text: &str) -> Result<IpAddr, Wrong> {
    let ip: IpAddr = text.trim().parse().map_err(|_| (field, Rule::Address))?;
    let ip = ip.to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    match ip.is_unspecified() || ip.is_multicast() || broadcast {
        true => Err((field, Rule::OneHost)),
        false => Ok(ip),
    }
}

/// What connections leave from is what was bought: IPv6, or IPv4.
fn of_family(field: &'static str, ip: IpAddr, static_type: StaticType) -> Result<IpAddr, Wrong> {
    match (static_type, ip) {
        (StaticType::Ipv6, IpAddr::V6(_)) | (StaticType::Res | StaticType::Dc, IpAddr::V4(_)) => Ok(ip),
        (StaticType::Ipv6, IpAddr::V4(_)) => Err((field, Rule::Ipv6)),
        (StaticType::Res | StaticType::Dc, IpAddr::V6(_)) => Err((field, Rule::Ipv4)),
    }
}

fn port(number: i64, reserved: &[u16]) -> Result<u16, Wrong> {
    let field = "listen_port";
    match u16::try_from(number) {
        Ok(0) | Err(_) => Err((field, Rule::Range { min: 1, max: u16::MAX.into() })),
        Ok(port) if reserved.contains(&port) => Err((field, Rule::Reserved)),
        Ok(port) => Ok(port),
    }
}

/// Which stock a page shows: what is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct StockFilter {
    /// free, leased, grace or disabled.
    pub state: Option<String>,
    /// What kind of address.
    pub static_type: Option<StaticType>,
    /// Country code.
    pub country: Option<String>,
    /// Exactly this address, in any valid spelling.
    pub listen_ip: Option<String>,
}

/// An address and port that can be leased out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockItem {
    /// Its id.
    pub id: StockId,
    /// What kind of address.
    pub static_type: StaticType,
    /// Where it is.
    pub country: Country,
    /// The address that the proxy is reached at.
    pub listen_ip: IpAddr,
    /// The port that it is reached at.
    pub listen_port: u16,
    /// The address that it leaves from.
    pub exit_ip: IpAddr,
    /// free, leased, grace or disabled.
    pub state: String,
    /// In grace: when it is free again.
    pub release_at: Option<Time>,
    /// Who holds it. A proxy that has expired does so until it is released; one whose address was
    /// taken out of service, until it is replaced.
    pub holder: Option<(StaticProxyId, AccountId)>,
    /// When it was imported.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A page of stock, newest first, and how many items there are.
///
/// # Errors
/// [`Error::Invalid`] for `state`, `country` or `listen_ip`.
pub async fn stock(core: &Core, filter: StockFilter, page: Page) -> Result<(Vec<StockItem>, i64), Error> {
    let country =
        filter.country.filter(|code| !code.is_empty()).map(|code| super::country(&code)).transpose()?;
    let filter = store::statics::stock::Filter {
        state: super::requests::word("state", filter.state, StockState::WORDS)?,
        static_type: filter.static_type.map_or_else(String::new, |kind| kind.as_str().to_owned()),
        country: country.map_or_else(String::new, |country| country.to_string()),
        listen_ip: super::proxies::address("listen_ip", filter.listen_ip)?,
    };
    let read = move |tx: &mut Tx<'_>| {
        Ok::<_, Error>(store::statics::stock::page(tx, &filter, page.limit(), page.offset())?)
    };
    let (items, total) = core.db().read(read).await?;
    Ok((items.into_iter().map(shown).collect(), total))
}

fn shown(item: Item) -> StockItem {
    StockItem {
        id: item.id,
        static_type: item.static_type,
        country: item.country,
        listen_ip: item.listen_ip,
        listen_port: item.listen_port,
        exit_ip: item.exit_ip,
        state: item.state.as_str().to_owned(),
        release_at: item.release_at,
        holder: item.holder,
        created_at: item.created_at,
        updated_at: item.updated_at,
    }
}

/// How many items there are of each type in each state. What there is none of is left out.
///
/// # Errors
/// Those of the store.
pub async fn stock_totals(core: &Core) -> Result<Vec<(StaticType, String, i64)>, Error> {
    core.db().read(|tx| Ok(store::statics::stock::totals(tx)?)).await
}

/// What an operator changes of an item: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct StockChange {
    /// False takes it out of service: whoever holds it gets another one by itself, and is served
    /// there until then. True takes that back.
    pub in_service: Option<bool>,
    /// The address that it leaves from, in any valid spelling; empty = the one it is reached at.
    pub exit_ip: Option<String>,
}

/// Changes an item. Answers the request by which its holder gets another address, where that
/// follows from it.
///
/// # Errors
/// [`Error::Invalid`] for `exit_ip`, [`Error::NotFound`].
pub async fn update_stock(
    core: &Core,
    actor: Actor,
    id: StockId,
    change: StockChange,
) -> Result<Option<StaticRequestId>, Error> {
    let now = core.now();
    for _ in 0..MOST_HANDS {
        // Whose wallet is to be locked has to be known before anything is.
        let found = core.db().read(move |tx| Ok::<_, Error>(store::statics::stock::by_id(tx, id)?)).await?;
        let seen = found.ok_or(Error::NotFound(Noun::StockItem))?;
        let (inner, change) = (core.clone(), change.clone());
        let changed = write_and_publish(core, move |tx| {
            let Some(item) = hold_item(tx, &seen)? else { return Ok(None) };
            update_in(tx, &inner, &actor, item, &change, now).map(Some)
        });
        if let Some(request) = changed.await? {
            return Ok(request);
        }
    }
    Err(Error::Unavailable(format!("stock item {id} keeps changing hands")))
}

/// Locks all that a change to an item concerns; `None` where somebody else holds it by now.
fn hold_item(tx: &mut Tx<'_>, seen: &Item) -> Result<Option<Item>, Error> {
    if let Some((_, account)) = seen.holder {
        crate::locks::wallet(tx, account)?;
    }
    store::statics::stock::lock_shelf(tx, seen.static_type, seen.country)?;
    let item = store::statics::stock::lock(tx, seen.id)?.ok_or(Error::NotFound(Noun::StockItem))?;
    Ok(Some(item).filter(|item| item.holder == seen.holder))
}

fn update_in(
    tx: &mut Tx<'_>,
    core: &Core,
    actor: &Actor,
    item: Item,
    change: &StockChange,
    now: Time,
) -> Result<Option<StaticRequestId>, Error> {
    let mut holder = match item.holder {
        Some((proxy, _)) => store::statics::proxies::by_id(tx, proxy)?,
        None => None,
    };
    let leaves_from = match change.exit_ip.as_deref().map(str::trim) {
        None => item.exit_ip,
        Some("") => in_family(item.listen_ip, item.static_type)?,
        Some(text) => in_family(host("exit_ip", text).map_err(wrong)?, item.static_type)?,
    };
    if leaves_from != item.exit_ip {
        store::statics::stock::set_exit(tx, item.id, leaves_from, now)?;
    }
    let detail = json!({
        "in_service": change.in_service, "state": item.state.as_str(), "exit_ip": leaves_from.to_string(),
        "proxy_id": holder.as_ref().map(|proxy| proxy.id.get()),
    });
    let account = holder.as_ref().map(|proxy| proxy.account);
    audit_log::append(tx, now, actor, "stock.updated", account, &format!("stock:{}", item.id), &detail)?;
    let request = match change.in_service {
        Some(false) => take_out(tx, &item, holder.as_ref(), now)?,
        Some(true) => {
            put_back(tx, core, &item, holder.as_mut(), now)?;
            None
        }
        None => None,
    };
    if let Some(proxy) = &holder {
        directory::publish(tx, Subject::Static(proxy.id), now)?;
    }
    Ok(request)
}

fn in_family(ip: IpAddr, static_type: StaticType) -> Result<IpAddr, Error> {
    of_family("exit_ip", ip, static_type).map_err(wrong)
}

fn wrong((field, rule): Wrong) -> Error {
    Error::invalid(field, rule)
}

/// Takes an item out of service, and sees to another one for whoever holds it.
fn take_out(
    tx: &mut Tx<'_>,
    item: &Item,
    holder: Option<&Proxy>,
    now: Time,
) -> Result<Option<StaticRequestId>, Error> {
    if item.state != StockState::Disabled {
        store::statics::stock::set_state(tx, item.id, StockState::Disabled, None, now)?;
    }
    match holder {
        Some(proxy) => replacing::out_of_service(tx, proxy, now),
        None => {
            jobs::forget(tx, JobKind::StockRelease, &item.id.to_string())?;
            Ok(None)
        }
    }
}

/// Puts an item that was taken out of service back to what it would be at otherwise.
fn put_back(
    tx: &mut Tx<'_>,
    core: &Core,
    item: &Item,
    holder: Option<&mut Proxy>,
    now: Time,
) -> Result<(), Error> {
    if item.state != StockState::Disabled {
        return Ok(());
    }
    let (state, release_at) = match &holder {
        None => (StockState::Free, None),
        Some(proxy) if proxy.state == ProxyState::Grace => {
            (StockState::Grace, Some(super::kept_until(core, proxy)))
        }
        Some(_) => (StockState::Leased, None),
    };
    store::statics::stock::set_state(tx, item.id, state, release_at, now)?;
    match holder {
        Some(proxy) => replacing::drop_operators(tx, proxy, now),
        None => Ok(()),
    }
}

/// Where addresses of these types can be ordered now, by code: where some are free, or where there
/// are any and a price package takes back-orders (contract calls 15 and 16).
///
/// # Errors
/// Those of the store.
pub async fn countries(core: &Core, types: Vec<StaticType>) -> Result<Vec<Country>, Error> {
    let shelves = core.db().read(|tx| Ok::<_, Error>(store::statics::stock::orderable(tx)?)).await?;
    let wanted = shelves.into_iter().filter(|(static_type, _)| types.contains(static_type));
    let countries: BTreeSet<Country> = wanted.map(|(_, country)| country).collect();
    Ok(countries.into_iter().collect())
}
