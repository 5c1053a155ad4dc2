//! Who changed what, when.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::audit_log::{self, Line};
use tollgate_core::{Core, Page};
use tollgate_types::{AccountId, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Operator;
use crate::envelope::{Answer, Envelope, List, ok};
use crate::params::Filters;

/// One change to money or rights.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditLine {
    /// Its number.
    id: i64,
    /// When.
    #[schema(example = "2025-09-14 06:22:26")]
    time: String,
    /// Who: `operator`, or `account:ID`.
    #[schema(example = "operator")]
    actor: String,
    /// What was done.
    #[schema(example = "wallet.recharged")]
    action: String,
    /// The account concerned; 0 where none is.
    account_id: i64,
    /// To what.
    #[schema(example = "entry:7")]
    subject: String,
    /// The particulars, without secrets.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

impl AuditLine {
    fn new(line: Line, zone: &Zone) -> Self {
        Self {
            id: line.id,
            time: zone.show(line.at),
            actor: line.actor,
            action: line.action,
            account_id: line.account.map_or(0, AccountId::get),
            subject: line.subject,
            detail: serde_json::from_str(&line.detail).unwrap_or_else(|_| serde_json::json!({})),
        }
    }
}

/// Which changes to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditFilter {
    /// The page, from 1.
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// Records per page.
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// Only those that concern this account.
    account_id: Option<i64>,
}

/// List changes to money and rights
///
/// Newest first.
#[utoipa::path(get, path = "/api/admin/audit-log", tag = "operator", params(AuditFilter),
    responses((status = 200, body = Envelope<List<AuditLine>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    Filters(params): Filters<AuditFilter>,
) -> Answer<List<AuditLine>> {
    let page = Page::new(params.page, params.page_size)?;
    let (lines, total) = audit_log::list(&core, params.account_id.map(AccountId::new), page).await?;
    ok(List { records: lines.into_iter().map(|line| AuditLine::new(line, core.zone())).collect(), total })
}
