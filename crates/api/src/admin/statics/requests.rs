//! Replacements and refunds that customers ask for.

use axum::extract::State;
use serde::Deserialize;
use tollgate_core::statics::{self, RequestFilter};
use tollgate_core::{Actor, Core, Page};
use tollgate_types::{AccountId, StaticRequestId};
use utoipa::IntoParams;

use super::orders::{NoteParams, PaidBack};
use crate::callers::Operator;
use crate::customer::{RequestKind, RequestRecord, RequestState};
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::params::{Filters, Params, PathId};

/// Which requests to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestFilterParams {
    /// The page, from 1.
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// Records per page.
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// Only this account's.
    account_id: Option<i64>,
    /// replace or refund.
    #[param(inline)]
    kind: Option<RequestKind>,
    /// asked, going, done, refused or dropped.
    #[param(inline)]
    state: Option<RequestState>,
}

/// List replacements and refunds
///
/// Newest first.
#[utoipa::path(get, path = "/api/admin/static/requests", tag = "operator", params(RequestFilterParams),
    responses((status = 200, body = Envelope<List<RequestRecord>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    Filters(params): Filters<RequestFilterParams>,
) -> Answer<List<RequestRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let filter = RequestFilter {
        account: params.account_id.map(AccountId::new),
        kind: params.kind.map(|kind| kind.as_str().to_owned()),
        state: params.state.map(|state| state.as_str().to_owned()),
    };
    let (found, total) = statics::requests(&core, filter, page).await?;
    ok(List { records: found.into_iter().map(|row| RequestRecord::new(row, core.zone())).collect(), total })
}

/// Approve of a request
///
/// A refund pays the whole days back that are left, and the proxy ends; a replacement is done in a moment.
#[utoipa::path(post, path = "/api/admin/static/requests/{id}/approve", tag = "operator",
    params(("id" = i64, Path, description = "The request's id", minimum = 0)), request_body = NoteParams,
    responses(
        (status = 200, body = Envelope<PaidBack>),
        (status = 404, description = "40400: no such request"),
        (status = 409, description = "40900: the request has been decided"),
    ))]
pub(crate) async fn approve(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<NoteParams>,
) -> Answer<PaidBack> {
    let note = params.note.unwrap_or_default();
    let amount = statics::approve(&core, Actor::Operator, StaticRequestId::new(id), note).await?;
    ok(PaidBack { amount: amount.get() })
}

/// Refuse a request
#[utoipa::path(post, path = "/api/admin/static/requests/{id}/refuse", tag = "operator",
    params(("id" = i64, Path, description = "The request's id", minimum = 0)), request_body = NoteParams,
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such request"),
        (status = 409, description = "40900: the request has been decided"),
    ))]
pub(crate) async fn refuse(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<NoteParams>,
) -> Answer<()> {
    let note = params.note.unwrap_or_default();
    statics::refuse(&core, Actor::Operator, StaticRequestId::new(id), note).await?;
    done()
}
