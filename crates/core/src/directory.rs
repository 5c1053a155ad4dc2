//! The directory's publisher: turns what was committed into the picture that gateways are shown.
//!
//! Every change of rights writes a line to the outbox in its own transaction ([`publish`]). The
//! refresher reads the lines it has not seen, looks each thing up as it is now, and shows the next
//! picture, which shares with the last one all that did not change.

use std::sync::Arc;
use std::time::Duration;

use tollgate_store::{self as store, Tx};
use tollgate_types::{
    AccountEntry, AccountId, Bytes, Directory, DirectoryChange, StaticOrderId, StaticProxyId,
    SubAccountEntry, SubAccountId, Time, WhitelistEntry, WhitelistId,
};

use crate::{Core, Error, pools};

/// How often the outbox is looked at, should nobody say that it changed (another process did).
const POLL: Duration = Duration::from_millis(200);

/// How many lines are read at once; whoever is further behind loads everything anew.
const MOST_CHANGES: i64 = 1000;

/// How long lines are kept.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// How many versions a restored store leaves out.
const GAP: i64 = 1 << 20;

/// What is to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An account's status or funds epoch.
    Account(AccountId),
    /// A sub-account, also one that was deleted.
    SubAccount(SubAccountId),
    /// A whitelist entry, also one that was deleted.
    Whitelist(WhitelistId),
    /// All exits.
    Exits,
    /// A static proxy, also one that has ended.
    Static(StaticProxyId),
    /// Every static proxy of which an order paid for some time.
    StaticOrder(StaticOrderId),
}

/// Publishes a change with the transaction that makes it. Called last in it.
pub(crate) fn publish(tx: &mut Tx<'_>, subject: Subject, now: Time) -> Result<(), Error> {
    let (kind, id) = match subject {
        Subject::Account(id) => ("account", id.get()),
        Subject::SubAccount(id) => ("sub_account", id.get()),
        Subject::Whitelist(id) => ("whitelist", id.get()),
        Subject::Exits => ("exits", 0),
        Subject::Static(id) => ("static", id.get()),
        Subject::StaticOrder(id) => ("static_order", id.get()),
    };
    Ok(store::directory::publish(tx, kind, id, now)?)
}

/// Runs one transaction that may publish to the directory, and has it looked at again afterwards.
pub(crate) async fn write_and_publish<T, F>(core: &Core, closure: F) -> Result<T, Error>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    let value = core.db().write(closure).await?;
    published(core).await;
    Ok(value)
}

/// Has the directory looked at after a commit that may have published to it: who made a login may use it at
/// once. Where that fails, the refresher finds the change.
pub(crate) async fn published(core: &Core) {
    if refresh(core).await.is_err() {
        core.directory_changed();
    }
}

/// Keeps the picture up to date for as long as it is polled. A store that cannot be reached leaves
/// the last picture standing.
pub async fn keep_fresh(core: Core) {
    let mut failing = false;
    loop {
        // Whoever commits here says so; who commits elsewhere is found by looking.
        let _ = tokio::time::timeout(POLL, core.until_directory_changed()).await;
        match refresh(&core).await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the directory cannot be refreshed; gateways go on with the last one");
            }
            Err(_) => {}
        }
    }
}

/// Brings the picture up to date, once.
///
/// # Errors
/// Those of the store.
pub async fn refresh(core: &Core) -> Result<(), Error> {
    let _one_at_a_time = core.refreshing().await;
    let shown = core.directory().borrow().clone();
    let reader = core.clone();
    let from = shown.version;
    let changes = core.db().read(move |tx| changes_in(tx, &reader, from)).await?;
    match changes {
        Changes::None => {}
        Changes::TooMany => load(core).await?,
        Changes::Some(version, changes) => {
            let mut next = Directory::clone(&shown);
            changes.into_iter().for_each(|change| next.apply(change));
            next.version = version;
            core.show(next);
        }
    }
    Ok(())
}

/// Called in the transaction that restores a store as it was some time ago. Whoever has a picture of
/// what came after that must not take one of its versions for one that is yet to come: versions go
/// on far behind them, where everybody finds that lines are missing and loads everything anew.
///
/// # Errors
/// Those of the store.
pub fn restored_in(tx: &mut Tx<'_>) -> Result<(), Error> {
    Ok(store::directory::skip(tx, GAP)?)
}

/// Forgets old lines of the outbox.
///
/// # Errors
/// Those of the store.
pub async fn prune(core: &Core) -> Result<u64, Error> {
    let before = core.now().minus(KEPT_FOR);
    core.db().write(move |tx| Ok(store::directory::prune(tx, before)?)).await
}

/// Loads the whole picture and shows it.
pub(crate) async fn load(core: &Core) -> Result<(), Error> {
    let reader = core.clone();
    let directory = core.db().read(move |tx| whole(tx, &reader)).await?;
    core.show(directory);
    Ok(())
}

fn whole(tx: &mut Tx<'_>, core: &Core) -> Result<Directory, Error> {
    let mut directory = Directory::empty(core.keys().password_key().clone());
    directory.version = store::directory::version(tx)?;
    for account in store::accounts::all(tx)? {
        directory.apply(DirectoryChange::Account(account_entry(&account)));
    }
    for sub_account in store::sub_accounts::all(tx)? {
        directory.apply(DirectoryChange::SubAccount(sub_account_entry(&sub_account)));
    }
    for listed in store::whitelist::all(tx)? {
        directory.apply(whitelist_change(&listed));
    }
    for entry in store::statics::proxies::entries(tx)? {
        directory.apply(DirectoryChange::Static(entry));
    }
    directory.exits = Arc::new(pools::pools_in(tx, core.keys())?);
    Ok(directory)
}

/// What lies between a picture and now.
enum Changes {
    None,
    /// The version they lead to, and the changes.
    Some(i64, Vec<DirectoryChange>),
    /// Lines are missing, or there are too many.
    TooMany,
}

fn changes_in(tx: &mut Tx<'_>, core: &Core, from: i64) -> Result<Changes, Error> {
    let newest = store::directory::version(tx)?;
    if newest == from {
        return Ok(Changes::None);
    }
    let lines = store::directory::since(tx, from, MOST_CHANGES)?;
    let complete = i64::try_from(lines.len()).is_ok_and(|count| count == newest - from);
    if !complete {
        return Ok(Changes::TooMany);
    }
    let mut subjects: Vec<(String, i64)> = lines.into_iter().map(|line| (line.kind, line.id)).collect();
    subjects.sort();
    subjects.dedup();
    let mut changes = Vec::with_capacity(subjects.len());
    for (kind, id) in subjects {
        match kind.as_str() {
            "static_order" => changes.extend(changes_of_order(tx, StaticOrderId::new(id))?),
            _ => changes.extend(change_in(tx, core, &kind, id)?),
        }
    }
    Ok(Changes::Some(newest, changes))
}

/// The proxies that an order paid for, as they are now.
fn changes_of_order(tx: &mut Tx<'_>, id: StaticOrderId) -> Result<Vec<DirectoryChange>, Error> {
    let (entries, gone) = store::statics::proxies::entries_of_order(tx, id)?;
    let gone = gone.into_iter().map(DirectoryChange::StaticGone);
    Ok(gone.chain(entries.into_iter().map(DirectoryChange::Static)).collect())
}

/// A thing as it is now.
fn change_in(tx: &mut Tx<'_>, core: &Core, kind: &str, id: i64) -> Result<Option<DirectoryChange>, Error> {
    Ok(match kind {
        "account" => {
            let account = store::accounts::by_id(tx, AccountId::new(id))?;
            account.map(|account| DirectoryChange::Account(account_entry(&account)))
        }
        "sub_account" => {
            let id = SubAccountId::new(id);
            let found = store::sub_accounts::by_id(tx, id)?;
            let entry = found.map(|found| DirectoryChange::SubAccount(sub_account_entry(&found)));
            Some(entry.unwrap_or(DirectoryChange::SubAccountGone(id)))
        }
        "whitelist" => {
            let id = WhitelistId::new(id);
            let found = store::whitelist::by_id(tx, id)?;
            Some(found.map_or(DirectoryChange::WhitelistGone(id), |listed| whitelist_change(&listed)))
        }
        "static" => {
            let id = StaticProxyId::new(id);
            let entry = store::statics::proxies::entry_of(tx, id)?;
            Some(entry.map_or(DirectoryChange::StaticGone(id), DirectoryChange::Static))
        }
        _ => Some(DirectoryChange::Exits(Arc::new(pools::pools_in(tx, core.keys())?))),
    })
}

fn account_entry(account: &store::accounts::Account) -> AccountEntry {
    AccountEntry { id: account.id, active: account.active, funds_epoch: account.funds_epoch }
}

fn sub_account_entry(row: &store::sub_accounts::SubAccount) -> SubAccountEntry {
    SubAccountEntry {
        id: row.id,
        account: row.account,
        username: row.username.as_str().into(),
        active: row.active,
        password: row.password_tag,
        limits: row.limits_gb.map(|gb| Bytes::from_gb(u64::try_from(gb).unwrap_or(0))),
    }
}

fn whitelist_change(listed: &store::whitelist::Listed) -> DirectoryChange {
    DirectoryChange::Whitelist(listed.ip, WhitelistEntry { id: listed.id, account: listed.account })
}
