//! Traffic by day: calls 13 and 14.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::trend::{self, Trend};
use tollgate_core::{Core, Rule};
use tollgate_types::{AccountId, Day, SubAccountId, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::envelope::{Answer, Envelope, ok};
use crate::error::ApiError;
use crate::params::{Filters, PathId};
use crate::words::{ByType, TrafficType};

/// The traffic of one type on one day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrendDay {
    /// 流量类型,residential:住宅,datacenter:机房,mobile:移动
    proxy_type: TrafficType,
    /// 流量包消耗流量(Byte)
    #[schema(example = 0, minimum = 0)]
    package_traffic: i64,
    /// 钱包消耗流量(Byte)
    #[schema(example = 0, minimum = 0)]
    wallet_traffic: i64,
    /// 总消耗流量(Byte): always `package_traffic + wallet_traffic`
    #[schema(example = 0, minimum = 0)]
    total_traffic: i64,
    /// 日期
    #[schema(example = "2025-09-07")]
    day: String,
    /// 备注
    #[schema(example = "")]
    remark: String,
}

/// Which days to show.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TrendParams {
    /// 开始时间,必填
    #[param(example = "2025-09-14", format = Date)]
    start_date: String,
    /// 结束时间,必填
    #[param(example = "2025-09-14", format = Date)]
    end_date: String,
    /// 流量类型,residential:住宅,datacenter:机房,mobile:移动,非必填,不填则获取所有
    #[param(inline)]
    proxy_type: Option<TrafficType>,
}

/// 获取主账号近30天流量趋势
///
/// 注:只取最近30天数据. The account with all its sub-accounts and listed addresses, oldest day first;
/// days without traffic are zeros.
#[utoipa::path(get, path = "/api/users/traffic/trend", tag = "流量管理", params(TrendParams),
    responses((status = 200, body = Envelope<ByType<Vec<TrendDay>>>)))]
pub(crate) async fn of_account(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<TrendParams>,
) -> Answer<ByType<Vec<TrendDay>>> {
    read(&core, caller.account, None, params).await
}

/// 获取子用户近30天流量趋势
///
/// 注:只取最近30天数据. The same of one sub-account.
#[utoipa::path(get, path = "/api/users/traffic/{subuser_id}/trend", tag = "流量管理",
    params(("subuser_id" = i64, Path, description = "子用户ID,必填", minimum = 0), TrendParams),
    responses(
        (status = 200, body = Envelope<ByType<Vec<TrendDay>>>),
        (status = 404, description = "40400: no such sub-account of this account"),
    ))]
pub(crate) async fn of_sub_account(
    caller: Caller,
    PathId(id): PathId,
    State(core): State<Core>,
    Filters(params): Filters<TrendParams>,
) -> Answer<ByType<Vec<TrendDay>>> {
    read(&core, caller.account, Some(SubAccountId::new(id)), params).await
}

async fn read(
    core: &Core,
    account: AccountId,
    sub_account: Option<SubAccountId>,
    params: TrendParams,
) -> Answer<ByType<Vec<TrendDay>>> {
    let from = day("start_date", &params.start_date, core.zone())?;
    let to = day("end_date", &params.end_date, core.zone())?;
    let only = params.proxy_type.map(Into::into);
    let trends = trend::read(core, account, sub_account, (from, to), only).await?;
    ok(ByType::new(trends.into_iter().map(|trend| (trend.proxy_type, days(trend)))))
}

/// A date, or the day of a date and time.
pub(crate) fn day(field: &'static str, text: &str, zone: &Zone) -> Result<Day, ApiError> {
    let day = Day::parse(text).or_else(|_| zone.parse(text).map(|at| zone.day(at)));
    day.map_err(|_| ApiError::invalid(field, Rule::Date))
}

fn days(trend: Trend) -> Vec<TrendDay> {
    let days = trend.days.into_iter().map(|total| TrendDay {
        proxy_type: total.proxy_type.into(),
        package_traffic: total.package.as_i64(),
        wallet_traffic: total.wallet.as_i64(),
        total_traffic: total.package.plus(total.wallet).as_i64(),
        day: total.day.to_string(),
        remark: String::new(),
    });
    days.collect()
}
