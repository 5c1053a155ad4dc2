//! Accounts: opening, finding, changing and suspending them, and their API keys.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tollgate_ledger::Wallet;
use tollgate_store::accounts::Account;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Bytes, Cents, Time};

use crate::audit_log::{self, Actor};
use crate::checks::{check_email, check_range, check_text, check_username};
use crate::directory::{self, Subject, write_and_publish};
use crate::{Conflict, Core, Error, Noun, Page, keys};

/// The dearest GB, in cents: a million dollars.
const DEAREST: i64 = 100_000_000;

/// What an operator says of a new account. A price that is absent is the platform's default.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its name.
    pub username: String,
    /// Where its notices go.
    pub email: String,
    /// Its password, where it gets one.
    pub password: Option<SecretString>,
    /// Cents per GB by type.
    pub prices: [Option<Cents>; 3],
}

/// What a GB costs an account for which the operator names no price: the document's own sample.
pub const DEFAULT_PRICES: [Cents; 3] = [Cents::new(533), Cents::new(200), Cents::new(1104)];

/// The parameters that hold the prices, by type.
const PRICE_FIELDS: [&str; 3] = ["res_price", "dc_price", "mobile_price"];

/// Opens an account; answers its id and its API key.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, [`Error::Conflict`] where the name is taken.
pub async fn create(core: &Core, actor: Actor, new: NewAccount) -> Result<(AccountId, SecretString), Error> {
    check_username("username", &new.username)?;
    check_email(&new.email)?;
    let mut prices = DEFAULT_PRICES;
    for ((price, given), field) in prices.iter_mut().zip(new.prices).zip(PRICE_FIELDS) {
        *price = given.unwrap_or(*price);
        check_range(field, price.get(), 0, DEAREST)?;
    }
    let password_hash = match new.password {
        Some(password) => Some(password_hash(core, password).await?),
        None => None,
    };
    let (now, key) = (core.now(), keys::new_api_key(core.random()));
    let row = store::accounts::NewAccount {
        api_key_hash: core.keys().api_key_hash(&key),
        api_key_sealed: core.seal(&owner(&new.username), &key)?,
        username: new.username,
        email: new.email,
        password_hash,
        prices,
    };
    let id = write_and_publish(core, move |tx| {
        let id = store::accounts::insert(tx, &row, now).map_err(name_taken)?;
        let detail = json!({ "username": row.username, "email": row.email });
        audit_log::append(tx, now, &actor, "account.created", Some(id), &format!("account:{id}"), &detail)?;
        directory::publish(tx, Subject::Account(id), now)?;
        Ok(id)
    })
    .await?;
    Ok((id, SecretString::from(key)))
}

async fn password_hash(core: &Core, password: SecretString) -> Result<String, Error> {
    check_text("password", password.expose_secret(), 8, 128)?;
    keys::hash_password(core.random(), password).await
}

/// What call 1 tells a customer of the account.
#[derive(Debug, Clone)]
pub struct Info {
    /// The account as stored.
    pub account: Account,
    /// Its API key, in the clear.
    pub api_key: SecretString,
}

/// An account with its API key, for its own customer.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn info(core: &Core, id: AccountId) -> Result<Info, Error> {
    let account = core.db().read(move |tx| found(tx, id)).await?;
    let api_key = core.keys().open(&owner(&account.username), &account.api_key_sealed)?;
    Ok(Info { account, api_key })
}

/// An account with its totals, for the operator.
#[derive(Debug, Clone)]
pub struct Overview {
    /// The account as stored.
    pub account: Account,
    /// Its wallet.
    pub wallet: Wallet,
    /// All it ever used, by type.
    pub used: [Bytes; 3],
}

/// One account with its totals.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(core: &Core, id: AccountId) -> Result<Overview, Error> {
    core.db()
        .read(move |tx| {
            let account = found(tx, id)?;
            overview(tx, account)
        })
        .await
}

/// A page of accounts whose names contain a text, newest first, and how many there are.
///
/// # Errors
/// Those of the store.
pub async fn list(core: &Core, username: String, page: Page) -> Result<(Vec<Overview>, i64), Error> {
    core.db()
        .read(move |tx| {
            let (accounts, total) = store::accounts::page(tx, &username, page.limit(), page.offset())?;
            let overviews =
                accounts.into_iter().map(|account| overview(tx, account)).collect::<Result<_, Error>>()?;
            Ok((overviews, total))
        })
        .await
}

fn overview(tx: &mut Tx<'_>, account: Account) -> Result<Overview, Error> {
    let wallet = store::wallets::read(tx, account.id)?;
    let used = store::usage::total_of_account(tx, account.id)?;
    Ok(Overview { account, wallet, used })
}

/// What an operator changes of an account: what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Suspended, or active again.
    pub active: Option<bool>,
    /// Where its notices go.
    pub email: Option<String>,
    /// Cents per GB by type.
    pub prices: [Option<Cents>; 3],
}

/// Changes an account. Suspending it cuts its live connections within a second.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, [`Error::NotFound`].
pub async fn update(core: &Core, actor: Actor, id: AccountId, change: Change) -> Result<(), Error> {
    if let Some(email) = &change.email {
        check_email(email)?;
    }
    for (price, field) in change.prices.iter().zip(PRICE_FIELDS) {
        check_range(field, price.map_or(0, Cents::get), 0, DEAREST)?;
    }
    let now = core.now();
    write_and_publish(core, move |tx| update_in(tx, &actor, id, &change, now)).await
}

fn update_in(tx: &mut Tx<'_>, actor: &Actor, id: AccountId, change: &Change, now: Time) -> Result<(), Error> {
    // The wallet's lock is what every change to an account's rights and funds is made under.
    crate::locks::wallet(tx, id)?;
    let mut account = found(tx, id)?;
    let (before, was_active) = (audited(&account), account.active);
    account.active = change.active.unwrap_or(account.active);
    account.email = change.email.clone().unwrap_or(account.email);
    for (price, given) in account.prices.iter_mut().zip(change.prices) {
        *price = given.unwrap_or(*price);
    }
    store::accounts::update(tx, &account, now)?;
    let detail = json!({ "before": before, "after": audited(&account) });
    audit_log::append(tx, now, actor, "account.updated", Some(id), &format!("account:{id}"), &detail)?;
    if account.active && !was_active {
        // What was not bought again because it was suspended.
        crate::watch::watch_failed(tx, id, now)?;
    }
    directory::publish(tx, Subject::Account(id), now)
}

fn audited(account: &Account) -> serde_json::Value {
    json!({ "active": account.active, "email": account.email, "prices": account.prices.map(Cents::get) })
}

/// Gives an account another API key; the old one is dead at once.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn rotate_key(core: &Core, actor: Actor, id: AccountId) -> Result<SecretString, Error> {
    let (now, key) = (core.now(), keys::new_api_key(core.random()));
    let account = core.db().read(move |tx| found(tx, id)).await?;
    let hash = core.keys().api_key_hash(&key);
    let sealed = core.seal(&owner(&account.username), &key)?;
    core.db()
        .write(move |tx| {
            store::accounts::set_api_key(tx, id, &hash, &sealed, now)?;
            let subject = format!("account:{id}");
            audit_log::append(tx, now, &actor, "account.key_rotated", Some(id), &subject, &json!({}))
        })
        .await?;
    Ok(SecretString::from(key))
}

/// Whose an API key is, and whether that account is active; `None` for a key that nobody has.
///
/// # Errors
/// Those of the store.
pub async fn by_api_key(core: &Core, key: &SecretString) -> Result<Option<(AccountId, bool)>, Error> {
    let hash = core.keys().api_key_hash(key.expose_secret());
    core.db().read(move |tx| Ok(store::accounts::by_api_key(tx, &hash)?)).await
}

fn found(tx: &mut Tx<'_>, id: AccountId) -> Result<Account, Error> {
    store::accounts::by_id(tx, id)?.ok_or(Error::NotFound(Noun::Account))
}

/// What an account's API key is sealed for. Its name never changes.
fn owner(username: &str) -> String {
    format!("accounts.api_key:{}", username.to_lowercase())
}

fn name_taken(error: store::Error) -> Error {
    match error {
        store::Error::UniqueViolation => Error::Conflict(Conflict::UsernameTaken),
        other => other.into(),
    }
}
