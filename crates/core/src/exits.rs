//! Exits: the operator's configured ways out.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
pub use tollgate_store::exits::ExitRow;
use tollgate_store::{self as store, Tx};
use tollgate_types::{ExitId, ProxyType};

use crate::audit_log::{self, Actor};
use crate::checks::{check_range, check_text};
use crate::directory::{self, Subject, write_and_publish};
use crate::pools::{OWNER, country};
use crate::{Conflict, Core, Error, Noun, Page, Rule};

/// The kinds, in the operator API's words.
pub const KINDS: &[&str] = &["direct", "http", "socks5"];

/// What an operator says of an exit, or changes of it: what is `None` stays, or is the default.
#[derive(Debug, Clone, Default)]
pub struct ExitChange {
    /// The operator's name for it.
    pub name: Option<String>,
    /// The pool it belongs to.
    pub proxy_type: Option<ProxyType>,
    /// One of [`KINDS`].
    pub kind: Option<String>,
    /// `host:port` of the upstream proxy.
    pub address: Option<String>,
    /// User name for the upstream proxy; empty takes it away.
    pub username: Option<String>,
    /// Password for the upstream proxy; empty takes it away.
    pub password: Option<SecretString>,
    /// Local address to leave from; empty = the system's choice.
    pub bind_ip: Option<String>,
    /// Country code.
    pub country: Option<String>,
    /// State or region.
    pub state: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Autonomous system.
    pub asn: Option<i64>,
    /// Its share among matching exits.
    pub weight: Option<i64>,
    /// Connections at once; 0 = no limit.
    pub max_connections: Option<i64>,
    /// Whether it is used.
    pub active: Option<bool>,
}

/// Adds an exit.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, [`Error::Conflict`] where the name is taken.
pub async fn create(core: &Core, actor: Actor, new: ExitChange) -> Result<ExitId, Error> {
    let missing = |field| Error::Invalid { field, rule: Rule::Required };
    let now = core.now();
    let blank = ExitRow {
        id: ExitId::new(0),
        name: new.name.clone().ok_or_else(|| missing("name"))?,
        proxy_type: new.proxy_type.ok_or_else(|| missing("proxy_type"))?,
        kind: new.kind.clone().ok_or_else(|| missing("kind"))?,
        country: new.country.clone().ok_or_else(|| missing("country"))?,
        weight: 1,
        active: true,
        address: String::new(),
        username: String::new(),
        password_sealed: None,
        bind_ip: String::new(),
        state: String::new(),
        city: String::new(),
        asn: 0,
        max_connections: 0,
        created_at: now,
        updated_at: now,
    };
    let sealed = seal(core, &new)?;
    let row = changed(blank, &new, sealed);
    check(&row)?;
    write_and_publish(core, move |tx| {
        let id = store::exits::insert(tx, &row, now).map_err(name_taken)?;
        log(tx, &actor, "exit.created", &ExitRow { id, ..row.clone() }, now)?;
        directory::publish(tx, Subject::Exits, now)?;
        Ok(id)
    })
    .await
}

/// Changes an exit. Connections that leave through it go on.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, [`Error::NotFound`], [`Error::Conflict`].
pub async fn update(core: &Core, actor: Actor, id: ExitId, change: ExitChange) -> Result<(), Error> {
    let now = core.now();
    let sealed = seal(core, &change)?;
    write_and_publish(core, move |tx| {
        let row = store::exits::lock(tx, id)?.ok_or(Error::NotFound(Noun::Exit))?;
        let row = changed(row, &change, sealed.clone());
        check(&row)?;
        store::exits::update(tx, &row, now).map_err(name_taken)?;
        log(tx, &actor, "exit.updated", &row, now)?;
        directory::publish(tx, Subject::Exits, now)
    })
    .await
}

/// Takes an exit away. Connections that leave through it go on.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(core: &Core, actor: Actor, id: ExitId) -> Result<(), Error> {
    let now = core.now();
    write_and_publish(core, move |tx| {
        let row = store::exits::lock(tx, id)?.ok_or(Error::NotFound(Noun::Exit))?;
        store::exits::delete(tx, id)?;
        log(tx, &actor, "exit.deleted", &row, now)?;
        directory::publish(tx, Subject::Exits, now)
    })
    .await
}

/// A page of exits, newest first, and how many there are.
///
/// # Errors
/// Those of the store.
pub async fn list(core: &Core, page: Page) -> Result<(Vec<ExitRow>, i64), Error> {
    core.db().read(move |tx| Ok(store::exits::page(tx, page.limit(), page.offset())?)).await
}

/// The password as it is to be stored: `Some(None)` takes it away, `None` leaves it.
type SealedChange = Option<Option<Vec<u8>>>;

fn seal(core: &Core, change: &ExitChange) -> Result<SealedChange, Error> {
    let Some(password) = &change.password else { return Ok(None) };
    let password = password.expose_secret();
    check_text("password", password, 0, 255)?;
    match password.is_empty() {
        true => Ok(Some(None)),
        false => Ok(Some(Some(core.seal(OWNER, password)?))),
    }
}

fn changed(row: ExitRow, change: &ExitChange, sealed: SealedChange) -> ExitRow {
    let text = |given: &Option<String>, kept: String| given.clone().unwrap_or(kept);
    ExitRow {
        name: text(&change.name, row.name),
        proxy_type: change.proxy_type.unwrap_or(row.proxy_type),
        kind: text(&change.kind, row.kind),
        address: text(&change.address, row.address),
        username: text(&change.username, row.username),
        password_sealed: sealed.unwrap_or(row.password_sealed),
        bind_ip: text(&change.bind_ip, row.bind_ip),
        country: text(&change.country, row.country).to_lowercase(),
        state: text(&change.state, row.state),
        city: text(&change.city, row.city),
        asn: change.asn.unwrap_or(row.asn),
        weight: change.weight.unwrap_or(row.weight),
        max_connections: change.max_connections.unwrap_or(row.max_connections),
        active: change.active.unwrap_or(row.active),
        ..row
    }
}

fn check(row: &ExitRow) -> Result<(), Error> {
    check_text("name", &row.name, 1, 64)?;
    check_text("username", &row.username, 0, 255)?;
    check_text("state", &row.state, 0, 64)?;
    check_text("city", &row.city, 0, 64)?;
    check_range("asn", row.asn, 0, u32::MAX.into())?;
    check_range("weight", row.weight, 1, 1_000_000)?;
    check_range("max_connections", row.max_connections, 0, 1_000_000)?;
    country(&row.country)?;
    if !row.bind_ip.is_empty() && row.bind_ip.parse::<IpAddr>().is_err() {
        return Err(Error::Invalid { field: "bind_ip", rule: Rule::Address });
    }
    match row.kind.as_str() {
        "direct" => Ok(()),
        "http" | "socks5" => check_address(&row.address),
        _ => Err(Error::Invalid { field: "kind", rule: Rule::OneOf(KINDS) }),
    }
}

/// `host:port` of an upstream proxy.
fn check_address(address: &str) -> Result<(), Error> {
    let split = address.rsplit_once(':');
    let sound = split.is_some_and(|(host, port)| {
        let host_ok =
            !host.is_empty() && host.len() <= 255 && !host.contains([' ', '/', '@', '\t', '\r', '\n']);
        // A sign would be understood as part of the number.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        host_ok && digits && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match sound {
        true => Ok(()),
        false => Err(Error::Invalid { field: "address", rule: Rule::Address }),
    }
}

fn name_taken(error: store::Error) -> Error {
    match error {
        store::Error::UniqueViolation => Error::Conflict(Conflict::NameTaken),
        other => other.into(),
    }
}

fn log(
    tx: &mut Tx<'_>,
    actor: &Actor,
    action: &str,
    row: &ExitRow,
    now: tollgate_types::Time,
) -> Result<(), Error> {
    let detail = json!({ "name": row.name, "proxy_type": row.proxy_type.as_str(), "kind": row.kind,
                         "address": row.address, "country": row.country, "active": row.active });
    audit_log::append(tx, now, actor, action, None, &format!("exit:{}", row.id), &detail)
}
