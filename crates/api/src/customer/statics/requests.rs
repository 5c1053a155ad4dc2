//! Another address for a static proxy, or the money back. The document shows these states of an
//! order (`changing`, `refunding`) but has no call that starts them.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::statics::{self, RequestFilter, RequestRow};
use tollgate_core::{Core, Page};
use tollgate_types::{StaticProxyId, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::params::{Filters, Params};

/// Which proxy, and why.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct StaticRequestParams {
    /// The static proxy's id.
    #[schema(example = 10000, minimum = 0)]
    id: i64,
    /// Why.
    #[schema(
        example = "blocked by the target",
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*$"
    )]
    reason: String,
}

/// A replacement that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplacementAsked {
    /// The request's id.
    #[schema(example = 1)]
    request_id: i64,
    /// Whether the operator has to approve of it; otherwise it is done in a moment.
    waits_for_operator: bool,
}

/// 更换静态代理IP
///
/// Another address of the same type in the same country, with the same port's credentials and expiry. Once in 24 hours
/// by itself, more often if the operator approves. The proxy goes on working until then.
#[utoipa::path(post, path = "/api/users/static/replace", tag = "静态代理", request_body = StaticRequestParams, responses(
    (status = 200, body = Envelope<ReplacementAsked>),
    (status = 404, description = "40400: no such proxy of this account"),
    (status = 409, description = "40901: no other address is free; 40900: a request is open, or the proxy has expired \
        or has not been delivered yet"),
))]
pub(crate) async fn replace(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<StaticRequestParams>,
) -> Answer<ReplacementAsked> {
    let id = StaticProxyId::new(params.id);
    let asked = statics::replace(&core, caller.account, id, params.reason).await?;
    ok(ReplacementAsked { request_id: asked.request.get(), waits_for_operator: asked.waits_for_operator })
}

/// A refund that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefundAsked {
    /// The request's id.
    #[schema(example = 1)]
    request_id: i64,
    /// What would be paid back if it were approved now, in cents.
    #[schema(example = 400, minimum = 0)]
    amount: i64,
}

/// 申请静态代理退款
///
/// The whole days that are left are paid back to the wallet if the operator approves. The proxy goes on working, and
/// cannot be renewed, until then.
#[utoipa::path(post, path = "/api/users/static/refund", tag = "静态代理", request_body = StaticRequestParams, responses(
    (status = 200, body = Envelope<RefundAsked>),
    (status = 404, description = "40400: no such proxy of this account"),
    (status = 409, description = "40900: a request is open, or the proxy has expired or has not been delivered yet"),
))]
pub(crate) async fn refund(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<StaticRequestParams>,
) -> Answer<RefundAsked> {
    let id = StaticProxyId::new(params.id);
    let (request, amount) = statics::refund(&core, caller.account, id, params.reason).await?;
    ok(RefundAsked { request_id: request.get(), amount: amount.get() })
}

/// Which proxy.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct StaticId {
    /// The static proxy's id.
    #[schema(example = 10000, minimum = 0)]
    id: i64,
}

/// 撤回申请
///
/// Takes the open request about a proxy back that waits for the operator.
#[utoipa::path(post, path = "/api/users/static/withdraw", tag = "静态代理", request_body = StaticId, responses(
    (status = 200, body = DoneEnvelope),
    (status = 404, description = "40400: no such proxy of this account, or no such request about it"),
))]
pub(crate) async fn withdraw(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<StaticId>,
) -> Answer<()> {
    statics::withdraw(&core, caller.account, StaticProxyId::new(params.id)).await?;
    done()
}

/// replace: another address, refund: the money back
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "replace")]
pub(crate) enum RequestKind {
    Replace,
    Refund,
}

impl RequestKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Refund => "refund",
        }
    }
}

/// asked: waits for the operator, going: is being done; done, refused, dropped: how it ended
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "done")]
pub(crate) enum RequestState {
    Asked,
    Going,
    Done,
    Refused,
    Dropped,
}

impl RequestState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Going => "going",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
        }
    }

    /// The stored word's; anything but the five is not stored.
    fn of(word: &str) -> Self {
        match word {
            "asked" => Self::Asked,
            "going" => Self::Going,
            "refused" => Self::Refused,
            "dropped" => Self::Dropped,
            _ => Self::Done,
        }
    }
}

/// A request about a static proxy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestRecord {
    /// Its id.
    #[schema(example = 1)]
    id: i64,
    /// The static proxy's id.
    #[schema(example = 10000)]
    static_id: i64,
    /// Whose it is.
    #[schema(example = 1)]
    account_id: i64,
    /// replace: another address, refund: the money back
    kind: RequestKind,
    /// Who asked: `account:ID`, or `operator` where the address was taken out of service.
    #[schema(example = "account:1")]
    asked_by: String,
    /// Why.
    #[schema(example = "blocked by the target")]
    reason: String,
    /// asked: waits for the operator, going: is being done; done, refused, dropped: how it ended
    state: RequestState,
    /// `IP:port` when it was asked.
    #[schema(example = "127.0.0.1:8080")]
    old_address: String,
    /// `IP:port` after a replacement; empty before, and for refunds.
    #[schema(example = "127.0.0.2:8080")]
    new_address: String,
    /// What a refund paid back, in cents.
    #[schema(example = 0, minimum = 0)]
    amount: i64,
    /// What the operator said.
    #[schema(example = "")]
    note: String,
    /// 创建时间
    #[schema(example = "2025-09-14 12:57:38")]
    create_time: String,
    /// 修改时间
    #[schema(example = "2025-09-14 12:57:38")]
    update_time: String,
}

impl RequestRecord {
    pub(crate) fn new(row: RequestRow, zone: &Zone) -> Self {
        Self {
            id: row.id.get(),
            static_id: row.proxy.get(),
            account_id: row.account.get(),
            kind: if row.kind == "refund" { RequestKind::Refund } else { RequestKind::Replace },
            asked_by: row.asked_by,
            reason: row.reason,
            state: RequestState::of(&row.state),
            old_address: row.old_address,
            new_address: row.new_address,
            amount: row.amount.get(),
            note: row.note,
            create_time: zone.show(row.created_at),
            update_time: zone.show(row.updated_at),
        }
    }
}

/// Which requests to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestsParams {
    /// 分页索引, 非必传, 默认1
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// 分页条数, 非必传, 默认10
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// replace or refund
    #[param(inline)]
    kind: Option<RequestKind>,
    /// asked, going, done, refused or dropped
    #[param(inline)]
    state: Option<RequestState>,
}

/// 获取更换与退款记录
///
/// Newest first.
#[utoipa::path(get, path = "/api/users/static/requests", tag = "静态代理", params(RequestsParams),
    responses((status = 200, body = Envelope<List<RequestRecord>>)))]
pub(crate) async fn list(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<RequestsParams>,
) -> Answer<List<RequestRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let filter = RequestFilter {
        account: Some(caller.account),
        kind: params.kind.map(|kind| kind.as_str().to_owned()),
        state: params.state.map(|state| state.as_str().to_owned()),
    };
    let (found, total) = statics::requests(&core, filter, page).await?;
    ok(List { records: found.into_iter().map(|row| RequestRecord::new(row, core.zone())).collect(), total })
}
