//! Requests about static proxies: replacements and refunds, with what came of them.

use tollgate_types::{AccountId, Cents, StaticProxyId, StaticRequestId, Time};

/// A request as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: StaticRequestId,
    /// About which proxy.
    pub proxy: StaticProxyId,
    /// Whose.
    pub account: AccountId,
    /// replace or refund.
    pub kind: String,
    /// Who asked, as the audit log says it.
    pub asked_by: String,
    /// Why.
    pub reason: String,
    /// asked (waits for the operator), going (a worker does it), done, refused or dropped.
    pub state: String,
    /// `IP:port` when it was asked.
    pub old_address: String,
    /// `IP:port` after a replacement; empty before, and for refunds.
    pub new_address: String,
    /// What a refund gave back.
    pub amount: Cents,
    /// The operator's note.
    pub note: String,
    /// When it was asked.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}
