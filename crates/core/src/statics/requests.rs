//! Requests about static proxies: another address, or the money back.

pub use tollgate_store::static_requests::Request as RequestRow;
use tollgate_types::{AccountId, Cents, StaticProxyId, StaticRequestId};

use crate::audit_log::Actor;
use crate::{Core, Error, Page};

/// What asking for another address did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The request.
    pub request: StaticRequestId,
    /// Whether the operator has to approve of it. Otherwise it is done in a moment.
    pub waits_for_operator: bool,
}

/// Asks for another address for a proxy, of the same type in the same country. Once in 24 hours it
/// is given by itself, more often if the operator approves.
///
/// # Errors
/// [`Error::Invalid`] for `reason`, [`Error::NotFound`], [`Error::OutOfStock`],
/// [`Error::Conflict`] where a request is open, or the proxy has expired or was not delivered yet.
pub async fn replace(_: &Core, _: AccountId, _: StaticProxyId, _reason: String) -> Result<Asked, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Asks to give a proxy back; answers how much would be paid back now. The proxy goes on working,
/// and is not renewed, until the operator decides.
///
/// # Errors
/// [`Error::Invalid`] for `reason`, [`Error::NotFound`], [`Error::Conflict`] where a request is
/// open, or the proxy has expired or was not delivered yet.
pub async fn refund(
    _: &Core,
    _: AccountId,
    _: StaticProxyId,
    _reason: String,
) -> Result<(StaticRequestId, Cents), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Takes the customer's open request about a proxy back.
///
/// # Errors
/// [`Error::NotFound`] where there is no such proxy, or no request of its customer's is open.
pub async fn withdraw(_: &Core, _: AccountId, _: StaticProxyId) -> Result<(), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Which requests a page shows: what is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Whose.
    pub account: Option<AccountId>,
    /// replace or refund.
    pub kind: Option<String>,
    /// asked, going, done, refused or dropped.
    pub state: Option<String>,
}

/// A page of requests, newest first, and how many there are.
///
/// # Errors
/// [`Error::Invalid`] for `kind` or `state`.
pub async fn requests(_: &Core, _: RequestFilter, _: Page) -> Result<(Vec<RequestRow>, i64), Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Approves of a request that was asked. A refund pays the whole days back that have not been used,
/// and the proxy ends; a replacement is done in a moment. Answers what was paid back.
///
/// # Errors
/// [`Error::Invalid`] for `note`, [`Error::NotFound`], [`Error::Conflict`] where the request has
/// been decided.
pub async fn approve(_: &Core, _: Actor, _: StaticRequestId, _note: String) -> Result<Cents, Error> {
    Err(Error::Internal("not built yet".into()))
}

/// Refuses a request.
///
/// # Errors
/// As [`approve`].
pub async fn refuse(_: &Core, _: Actor, _: StaticRequestId, _note: String) -> Result<(), Error> {
    Err(Error::Internal("not built yet".into()))
}
