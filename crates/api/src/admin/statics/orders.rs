//! Orders of static proxies, and delivering by hand what was ordered while stock was short.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::statics::{self, OrderFilter};
use tollgate_core::{Actor, Core, Page};
use tollgate_types::{AccountId, StaticOrderId, StockId};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Operator;
use crate::customer::{OrderRecord, OrderState};
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::params::{Filters, Params, PathId};

/// Which orders to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrderFilterParams {
    /// The page, from 1.
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// Records per page.
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// Only this account's.
    account_id: Option<i64>,
    /// pending, completed or cancelled.
    #[param(inline)]
    state: Option<OrderState>,
    /// Exactly this one.
    #[param(example = "16987AE61820")]
    order_no: Option<String>,
}

/// List orders of static proxies
///
/// Newest first.
#[utoipa::path(get, path = "/api/admin/static/orders", tag = "operator", params(OrderFilterParams),
    responses((status = 200, body = Envelope<List<OrderRecord>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    Filters(params): Filters<OrderFilterParams>,
) -> Answer<List<OrderRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let filter = OrderFilter {
        account: params.account_id.map(AccountId::new),
        state: params.state.map(|state| state.as_str().to_owned()),
        order_no: params.order_no,
    };
    let (orders, total) = statics::orders(&core, filter, page).await?;
    ok(List { records: orders.into_iter().map(|row| OrderRecord::new(row, core.zone())).collect(), total })
}

/// What to deliver.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct FulfilParams {
    /// As many free stock items of the order's type and country as it has addresses; any of them where absent.
    stock_ids: Option<Vec<i64>>,
}

/// Deliver a pending order
///
/// The time that was paid for begins now.
#[utoipa::path(post, path = "/api/admin/static/orders/{id}/fulfil", tag = "operator",
    params(("id" = i64, Path, description = "The order's id", minimum = 0)), request_body = FulfilParams,
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such order"),
        (status = 409, description = "40901: out of stock; 40900: the order is not pending"),
    ))]
pub(crate) async fn fulfil(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<FulfilParams>,
) -> Answer<()> {
    let items = params.stock_ids.unwrap_or_default().into_iter().map(StockId::new).collect();
    statics::fulfil(&core, Actor::Operator, StaticOrderId::new(id), items).await?;
    done()
}

/// What the operator has to say.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NoteParams {
    /// For the customer.
    #[schema(example = "", max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    pub(super) note: Option<String>,
}

/// What was paid back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PaidBack {
    /// Cents.
    #[schema(example = 1500, minimum = 0)]
    pub(super) amount: i64,
}

/// Cancel a pending order
///
/// Its whole price is paid back to the wallet.
#[utoipa::path(post, path = "/api/admin/static/orders/{id}/cancel", tag = "operator",
    params(("id" = i64, Path, description = "The order's id", minimum = 0)), request_body = NoteParams,
    responses(
        (status = 200, body = Envelope<PaidBack>),
        (status = 404, description = "40400: no such order"),
        (status = 409, description = "40900: the order is not pending"),
    ))]
pub(crate) async fn cancel(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<NoteParams>,
) -> Answer<PaidBack> {
    let note = params.note.unwrap_or_default();
    let amount = statics::cancel(&core, Actor::Operator, StaticOrderId::new(id), note).await?;
    ok(PaidBack { amount: amount.get() })
}
