//! How an account wants its packages handled: reminders, auto-rebuy, and whether traffic is drawn
//! from them at all. The document shows these fields (call 12) but has no call that sets them.

use axum::extract::State;
use serde::Deserialize;
use tollgate_core::Core;
use tollgate_core::packages::{self, StrategyChange};
use tollgate_types::OfferId;
use utoipa::ToSchema;

use crate::callers::Caller;
use crate::envelope::{Answer, DoneEnvelope, done};
use crate::params::Params;
use crate::words::{Switch, TrafficType};

/// A change to reminders and auto-rebuy: what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct StrategyParams {
    /// 流量类型,必填
    proxy_type: TrafficType,
    /// 是否开启提醒
    auto_remind: Option<Switch>,
    /// 提醒剩余额度(GB)
    #[schema(example = 1, minimum = 0, maximum = 1000000000)]
    remind_gb: Option<i64>,
    /// 提醒剩余天数
    #[schema(example = 1, minimum = 0, maximum = 3650)]
    remind_days: Option<i64>,
    /// 是否开启自动续订
    auto_rebuy: Option<Switch>,
    /// 续订剩余(GB)
    #[schema(example = 1, minimum = 0, maximum = 1000000000)]
    rebuy_gb: Option<i64>,
    /// 续订剩余天数
    #[schema(example = 1, minimum = 0, maximum = 3650)]
    rebuy_days: Option<i64>,
    /// 续订流量包ID: of the same type, and one that this account can buy
    #[schema(example = 1, minimum = 0)]
    rebuy_package_id: Option<i64>,
}

/// 设置流量包提醒与自动续订
#[utoipa::path(post, path = "/api/users/traffic/packages/strategy", tag = "流量管理",
    request_body = StrategyParams, responses((status = 200, body = DoneEnvelope)))]
pub(crate) async fn strategy(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<StrategyParams>,
) -> Answer<()> {
    let change = StrategyChange {
        auto_remind: params.auto_remind.map(Switch::is_on),
        remind_gb: params.remind_gb,
        remind_days: params.remind_days,
        auto_rebuy: params.auto_rebuy.map(Switch::is_on),
        rebuy_gb: params.rebuy_gb,
        rebuy_days: params.rebuy_days,
        rebuy_offer: params.rebuy_package_id.map(OfferId::new),
    };
    packages::set_strategy(&core, caller.account, params.proxy_type.into(), change).await?;
    done()
}

/// Whether packages of a type are drawn on.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct StatusParams {
    /// 流量类型,必填
    proxy_type: TrafficType,
    /// 流量包状态,active:启用,inactive:禁用,必填
    status: Switch,
}

/// 启用或禁用流量包
///
/// Disabled, traffic of the type is paid from the wallet alone.
#[utoipa::path(post, path = "/api/users/traffic/packages/status", tag = "流量管理",
    request_body = StatusParams, responses((status = 200, body = DoneEnvelope)))]
pub(crate) async fn status(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<StatusParams>,
) -> Answer<()> {
    packages::set_status(&core, caller.account, params.proxy_type.into(), params.status.is_on()).await?;
    done()
}
