//! Call 11: buying a package.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::{Core, packages};
use tollgate_types::OfferId;
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::envelope::{Answer, Envelope, spent};
use crate::params::{Idempotency, Params, Spending};
use crate::words::PaymentType;

/// What to buy.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub(crate) struct Purchase {
    /// 流量包ID,必填
    #[param(example = 100, minimum = 0)]
    #[schema(example = 100, minimum = 0)]
    traffic_package_id: i64,
    /// 支付方式,wallet_only:钱包支付 必填
    #[param(inline)]
    payment_type: PaymentType,
}

/// What was bought.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Purchased {
    /// The id of the package that the account now has.
    #[schema(example = 1)]
    id: i64,
    /// What was charged, in cents.
    #[schema(example = 5330, minimum = 0)]
    amount: i64,
}

/// 购买系统流量包
///
/// 注:仅支持钱包扣款,请保证余额充足! Charged and granted atomically, once.
#[utoipa::path(get, path = "/api/users/traffic/packages/purchase", tag = "流量管理",
    params(Purchase, Idempotency),
    responses(
        (status = 200, body = Envelope<Purchased>),
        (status = 402, description = "40200: the wallet's balance is too low; nothing was charged"),
        (status = 404, description = "40400: no such package that this account can buy"),
        (status = 409, description = "40900: the idempotency key was used with other parameters"),
    ))]
pub(crate) async fn purchase(
    caller: Caller,
    spending: Spending,
    State(core): State<Core>,
    Params(params): Params<Purchase>,
) -> Answer<Purchased> {
    let Purchase { traffic_package_id, payment_type: PaymentType::WalletOnly } = params;
    let parameters = [&*traffic_package_id.to_string()];
    let (once, receipt) = spending.of(&core, caller.account, "packages/purchase", &parameters);
    let bought = packages::buy(&core, caller.account, OfferId::new(traffic_package_id), once).await?;
    spent(bought.map(|bought| Purchased { id: bought.package.get(), amount: bought.amount.get() }), receipt)
}

/// 购买系统流量包 (POST)
///
/// The same by POST, for clients that repeat or prefetch GET calls.
#[utoipa::path(post, path = "/api/users/traffic/packages/purchase", tag = "流量管理", request_body = Purchase,
    params(Idempotency),
    responses(
        (status = 200, body = Envelope<Purchased>),
        (status = 402, description = "40200: the wallet's balance is too low; nothing was charged"),
        (status = 404, description = "40400: no such package that this account can buy"),
        (status = 409, description = "40900: the idempotency key was used with other parameters"),
    ))]
pub(crate) async fn purchase_by_post(
    caller: Caller,
    spending: Spending,
    core: State<Core>,
    params: Params<Purchase>,
) -> Answer<Purchased> {
    purchase(caller, spending, core, params).await
}
