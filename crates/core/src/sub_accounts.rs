//! Sub-accounts: a customer's proxy logins (contract calls 3–6).

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
pub use tollgate_store::sub_accounts::Filter;
use tollgate_store::sub_accounts::SubAccount as Row;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, MAX_LIMIT_GB, SubAccountId, Time};

use crate::audit_log::{self, Actor};
use crate::checks::{check_range, check_text, check_username};
use crate::directory::{self, Subject, write_and_publish};
use crate::{Conflict, Core, Error, Noun, Page, Rule};

/// The parameters that hold the limits, by type.
const LIMIT_FIELDS: [&str; 3] = ["res_traffic_limit", "dc_traffic_limit", "mobile_traffic_limit"];

/// A sub-account with its password in the clear.
#[derive(Debug, Clone)]
pub struct SubAccount {
    /// As stored.
    pub row: Row,
    /// Its password.
    pub password: SecretString,
}

/// What a customer says of a new sub-account.
#[derive(Debug, Clone)]
pub struct NewSubAccount {
    /// The proxy user name.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// A remark.
    pub remark: String,
    /// Whether it may be used.
    pub active: bool,
    /// Limits in GB by type; 0 = none.
    pub limits_gb: [i64; 3],
}

/// Makes a sub-account.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, [`Error::Conflict`] where the name is taken.
pub async fn create(core: &Core, account: AccountId, new: NewSubAccount) -> Result<SubAccountId, Error> {
    check_username("username", &new.username)?;
    check_password(new.password.expose_secret())?;
    check_text("remark", &new.remark, 0, 255)?;
    check_limits(new.limits_gb.map(Some))?;
    let password = new.password.expose_secret();
    let row = store::sub_accounts::NewSubAccount {
        account,
        password_sealed: core.seal(&owner(&new.username), password)?,
        password_tag: core.keys().password_key().tag(password.as_bytes()),
        username: new.username,
        remark: new.remark,
        active: new.active,
        limits_gb: new.limits_gb,
    };
    let now = core.now();
    write_and_publish(core, move |tx| {
        let id = store::sub_accounts::insert(tx, &row, now).map_err(name_taken)?;
        let detail = json!({ "username": row.username, "limits_gb": row.limits_gb, "active": row.active });
        log(tx, now, account, "sub_account.created", id, &detail)?;
        directory::publish(tx, Subject::SubAccount(id), now)?;
        Ok(id)
    })
    .await
}

/// A page of an account's sub-accounts, newest first, and how many there are.
///
/// # Errors
/// Those of the store.
pub async fn list(
    core: &Core,
    account: AccountId,
    filter: Filter,
    page: Page,
) -> Result<(Vec<SubAccount>, i64), Error> {
    let read = move |tx: &mut Tx<'_>| {
        Ok::<_, Error>(store::sub_accounts::page(tx, account, &filter, page.limit(), page.offset())?)
    };
    let (rows, total) = core.db().read(read).await?;
    let opened = rows.into_iter().map(|row| opened(core, row)).collect::<Result<_, _>>()?;
    Ok((opened, total))
}

/// One sub-account.
///
/// # Errors
/// [`Error::NotFound`], also where it is another account's.
pub async fn get(core: &Core, account: AccountId, id: SubAccountId) -> Result<SubAccount, Error> {
    let row = core.db().read(move |tx| of_account(store::sub_accounts::by_id(tx, id)?, account)).await?;
    opened(core, row)
}

/// What a customer changes of a sub-account: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Its password.
    pub password: Option<SecretString>,
    /// The remark.
    pub remark: Option<String>,
    /// Whether it may be used.
    pub active: Option<bool>,
    /// Limits in GB by type; 0 = none.
    pub limits_gb: [Option<i64>; 3],
}

/// Changes a sub-account. Live connections know it within a second: they are cut where it is
/// inactive, over its limit, or has another password.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, [`Error::NotFound`].
pub async fn update(core: &Core, account: AccountId, id: SubAccountId, change: Change) -> Result<(), Error> {
    if let Some(password) = &change.password {
        check_password(password.expose_secret())?;
    }
    check_text("remark", change.remark.as_deref().unwrap_or(""), 0, 255)?;
    check_limits(change.limits_gb)?;
    let (now, sealer) = (core.now(), core.clone());
    write_and_publish(core, move |tx| {
        let mut row = of_account(store::sub_accounts::lock(tx, id)?, account)?;
        if let Some(password) = &change.password {
            let password = password.expose_secret();
            row.password_sealed = sealer.seal(&owner(&row.username), password)?;
            row.password_tag = sealer.keys().password_key().tag(password.as_bytes());
        }
        row.remark = change.remark.clone().unwrap_or(row.remark);
        row.active = change.active.unwrap_or(row.active);
        for (limit, given) in row.limits_gb.iter_mut().zip(change.limits_gb) {
            *limit = given.unwrap_or(*limit);
        }
        store::sub_accounts::update(tx, &row, now)?;
        let detail =
            json!({ "limits_gb": row.limits_gb, "active": row.active, "password_changed": change.password.is_some() });
        log(tx, now, account, "sub_account.updated", id, &detail)?;
        directory::publish(tx, Subject::SubAccount(id), now)
    })
    .await
}

/// Deletes a sub-account: its connections are cut within a second, its name is free again, its
/// history stays in the trends.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(core: &Core, account: AccountId, id: SubAccountId) -> Result<(), Error> {
    let now = core.now();
    write_and_publish(core, move |tx| {
        let row = of_account(store::sub_accounts::lock(tx, id)?, account)?;
        store::sub_accounts::delete(tx, id, now)?;
        log(tx, now, account, "sub_account.deleted", id, &json!({ "username": row.username }))?;
        directory::publish(tx, Subject::SubAccount(id), now)
    })
    .await
}

fn opened(core: &Core, row: Row) -> Result<SubAccount, Error> {
    let password = core.keys().open(&owner(&row.username), &row.password_sealed)?;
    Ok(SubAccount { row, password })
}

fn of_account(row: Option<Row>, account: AccountId) -> Result<Row, Error> {
    row.filter(|row| row.account == account).ok_or(Error::NotFound(Noun::SubAccount))
}

/// What a sub-account's password is sealed for. Its name never changes.
fn owner(username: &str) -> String {
    format!("sub_accounts.password:{}", username.to_lowercase())
}

fn log(
    tx: &mut Tx<'_>,
    now: Time,
    account: AccountId,
    action: &str,
    id: SubAccountId,
    detail: &serde_json::Value,
) -> Result<(), Error> {
    let subject = format!("sub_account:{id}");
    audit_log::append(tx, now, &Actor::Account(account), action, Some(account), &subject, detail)
}

fn name_taken(error: store::Error) -> Error {
    match error {
        store::Error::UniqueViolation => Error::Conflict(Conflict::UsernameTaken),
        other => other.into(),
    }
}

/// 6–128 printable characters without `:` or blanks (contract call 3). At most 255 bytes, which is
/// what SOCKS5 can carry (RFC 1929).
fn check_password(password: &str) -> Result<(), Error> {
    check_text("password", password, 6, 128)?;
    if password.len() > 255 {
        return Err(Error::Invalid { field: "password", rule: Rule::Length { min: 6, max: 128 } });
    }
    match password.chars().any(|c| c == ':' || c.is_whitespace()) {
        true => Err(Error::Invalid { field: "password", rule: Rule::Characters }),
        false => Ok(()),
    }
}

fn check_limits(limits: [Option<i64>; 3]) -> Result<(), Error> {
    for (limit, field) in limits.into_iter().zip(LIMIT_FIELDS) {
        check_range(field, limit.unwrap_or(0), 0, MAX_LIMIT_GB)?;
    }
    Ok(())
}
