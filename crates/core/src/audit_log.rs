//! The audit log: who changed money or rights, when, and from what to what.

use std::fmt;

use serde_json::Value;
pub use tollgate_store::audit_log::Line;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Time};

use crate::{Core, Error, Page};

/// Who changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Whoever holds the operator's token.
    Operator,
    /// A customer, by API key.
    Account(AccountId),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Account(id) => write!(f, "account:{id}"),
        }
    }
}

/// Writes a line in the transaction of the change that it tells of. `detail` holds no secrets.
pub(crate) fn append(
    tx: &mut Tx<'_>,
    now: Time,
    actor: &Actor,
    action: &str,
    account: Option<AccountId>,
    subject: &str,
    detail: &Value,
) -> Result<(), Error> {
    let line = Line {
        id: 0,
        at: now,
        actor: actor.to_string(),
        action: action.to_owned(),
        account,
        subject: subject.to_owned(),
        detail: detail.to_string(),
    };
    Ok(store::audit_log::insert(tx, &line)?)
}

/// A page of the log, newest first, and how many lines there are; only those that concern one
/// account where one is named.
///
/// # Errors
/// Those of the store.
pub async fn list(core: &Core, account: Option<AccountId>, page: Page) -> Result<(Vec<Line>, i64), Error> {
    core.db().read(move |tx| Ok(store::audit_log::page(tx, account, page.limit(), page.offset())?)).await
}
