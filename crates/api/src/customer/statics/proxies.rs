//! An account's static proxies: calls 20–23, and what each has carried.

use std::net::SocketAddr;

use axum::extract::State;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tollgate_core::statics::{self, StaticFilter, StaticProxy};
use tollgate_core::{Core, Page, Rule};
use tollgate_types::{Day, StaticProxyId, StaticType, Time, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::customer::trend;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::error::ApiError;
use crate::params::{Filters, Params, PathId};
use crate::words::{ProtocolWord, RebuyStatus, StaticTypeWord, Switch};

/// A static proxy.
#[derive(Serialize, ToSchema)]
#[schema(as = StaticProxy)]
pub(crate) struct StaticRecord {
    /// Its id: what the other calls name.
    #[schema(example = 10000)]
    id: i64,
    /// 代理类型
    proxy_type: StaticTypeWord,
    /// 订单号
    #[schema(example = "16987AE61820")]
    order_no: String,
    /// 订单状态,pending:配置中,completed:已完成,refunding:退款中,changing:更换中
    order_status: OrderStatus,
    /// IP地址; empty while it is pending
    #[schema(example = "127.0.0.1")]
    proxy_address: String,
    /// 端口号; empty while it is pending
    #[schema(example = "8080")]
    proxy_port: String,
    /// 代理用户名
    #[schema(example = "socks5")]
    proxy_user: String,
    /// 代理密码
    #[schema(example = "socks5")]
    proxy_password: String,
    /// 协议,http,socks5,http/socks5
    protocol: ProtocolWord,
    /// 国家编码
    #[schema(example = "us")]
    country: String,
    /// The address that its connections leave from; empty while it is pending.
    #[schema(example = "127.0.0.1")]
    exit_ip: String,
    /// 备注
    #[schema(example = "string")]
    remark: String,
    /// 自动续费,inactive:否,active:是
    auto_rebuy: Switch,
    /// 续费状态,normal:正常,insufficient:余额不足,failed:续费失败
    rebuy_status: RebuyStatus,
    /// pending: to be delivered, live: works, grace: expired and can still be renewed
    state: ProxyState,
    /// 过期时间
    #[schema(example = "2025-09-14 12:57:38")]
    expire_time: String,
    /// 创建时间
    #[schema(example = "2025-09-14 12:57:38")]
    create_time: String,
}

/// 订单状态,pending:配置中,completed:已完成,refunding:退款中,changing:更换中
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "completed")]
pub(crate) enum OrderStatus {
    Pending,
    Completed,
    Refunding,
    Changing,
}

/// pending: to be delivered, live: works, grace: expired and can still be renewed
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "live")]
pub(crate) enum ProxyState {
    Pending,
    Live,
    Grace,
}

impl StaticRecord {
    pub(crate) fn new(proxy: StaticProxy, zone: &Zone) -> Self {
        let state = match proxy.state.as_str() {
            "pending" => ProxyState::Pending,
            "grace" => ProxyState::Grace,
            _ => ProxyState::Live,
        };
        let order_status = match (state, proxy.request.as_deref()) {
            (ProxyState::Pending, _) => OrderStatus::Pending,
            (_, Some("refund")) => OrderStatus::Refunding,
            (_, Some(_)) => OrderStatus::Changing,
            (_, None) => OrderStatus::Completed,
        };
        let shown = |address: Option<String>| address.unwrap_or_default();
        Self {
            id: proxy.id.get(),
            proxy_type: proxy.static_type.into(),
            order_no: proxy.order_no,
            order_status,
            proxy_address: shown(proxy.address.map(|address| address.ip().to_string())),
            proxy_port: shown(proxy.address.map(|address: SocketAddr| address.port().to_string())),
            proxy_user: proxy.username,
            proxy_password: proxy.password.expose_secret().to_owned(),
            protocol: proxy.protocol.into(),
            country: proxy.country,
            exit_ip: shown(proxy.exit_ip.map(|ip| ip.to_string())),
            remark: proxy.remark,
            auto_rebuy: Switch::of(proxy.auto_rebuy),
            rebuy_status: proxy.rebuy_status.into(),
            state,
            expire_time: zone.show(proxy.expires_at),
            create_time: zone.show(proxy.created_at),
        }
    }
}

/// Which proxies to list.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct StaticListParams {
    /// 分页索引, 非必传, 默认1
    #[schema(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// 分页条数, 非必传, 默认10
    #[schema(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// 协议,http,socks5,http/socks5
    protocol: Option<ProtocolWord>,
    /// IP地址: exactly this one
    #[schema(example = "127.0.0.1")]
    proxy_address: Option<String>,
    /// 订单号: exactly this one
    #[schema(example = "16987AE61820")]
    order_no: Option<String>,
    /// 过期开始时间: a date, or a date and time
    #[schema(example = "2025-09-14 12:50:06.43")]
    expire_start: Option<String>,
    /// 过期结束时间: a date (all of it), or a date and time
    #[schema(example = "2025-09-14 12:50:06.43")]
    expire_end: Option<String>,
}

/// 获取静态住宅IP列表
///
/// Newest first. What expired is listed for as long as it can be renewed.
#[utoipa::path(post, path = "/api/users/static/res/list", tag = "静态代理", request_body = StaticListParams,
    responses((status = 200, body = Envelope<List<StaticRecord>>)))]
pub(crate) async fn res_list(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<StaticListParams>,
) -> Answer<List<StaticRecord>> {
    list(&core, caller, vec![StaticType::Res], params).await
}

/// 获取静态机房&IPv6代理列表
///
/// Newest first. What expired is listed for as long as it can be renewed.
#[utoipa::path(post, path = "/api/users/static/dc/list", tag = "静态代理", request_body = StaticListParams,
    responses((status = 200, body = Envelope<List<StaticRecord>>)))]
pub(crate) async fn dc_list(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<StaticListParams>,
) -> Answer<List<StaticRecord>> {
    list(&core, caller, vec![StaticType::Dc, StaticType::Ipv6], params).await
}

async fn list(
    core: &Core,
    caller: Caller,
    static_types: Vec<StaticType>,
    params: StaticListParams,
) -> Answer<List<StaticRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let (expire_start, expire_end) = range(params.expire_start, params.expire_end, core.zone())?;
    let filter = StaticFilter {
        static_types,
        protocol: params.protocol.map(Into::into),
        address: params.proxy_address,
        order_no: params.order_no,
        expire_start,
        expire_end,
    };
    let (found, total) = statics::list(core, caller.account, filter, page).await?;
    ok(List { records: found.into_iter().map(|one| StaticRecord::new(one, core.zone())).collect(), total })
}

/// The moments between which proxies expire, both included.
pub(crate) fn range(
    start: Option<String>,
    end: Option<String>,
    zone: &Zone,
) -> Result<(Option<Time>, Option<Time>), ApiError> {
    let wrong = |field| move |_| ApiError::invalid(field, Rule::Date);
    let from = start.map(|text| zone.parse(&text)).transpose().map_err(wrong("expire_start"))?;
    let to = end.map(|text| last_moment(&text, zone)).transpose().map_err(wrong("expire_end"))?;
    match (from, to) {
        (Some(from), Some(to)) if from > to => Err(ApiError::invalid("expire_start", Rule::Order)),
        range => Ok(range),
    }
}

/// The last moment that a text can mean: of the day where it is a date, and of the second, which is
/// all that is shown of times, where it says no fraction of one.
fn last_moment(text: &str, zone: &Zone) -> Result<Time, tollgate_types::TimeError> {
    let moment = std::time::Duration::from_micros(1);
    if let Ok(day) = Day::parse(text.trim()) {
        return Ok(zone.start_of(day.plus_days(1)).minus(moment));
    }
    let at = zone.parse(text)?;
    let whole = !text.contains('.');
    Ok(if whole { at.plus(std::time::Duration::from_secs(1)).minus(moment) } else { at })
}

/// Whether to renew a proxy by itself.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AutoRebuyParams {
    /// The static proxy's id,必填
    #[schema(example = 0, minimum = 0)]
    id: i64,
    /// 代理类型,res:住宅,dc:机房,ipv6:IPV6,必填
    proxy_type: StaticTypeWord,
    /// 自动续费开关,inactive:否,active:是
    auto_rebuy: Switch,
}

/// 修改自动续费开关
///
/// Renewed ahead of its expiry from the wallet; `rebuy_status` tells how that went.
#[utoipa::path(post, path = "/api/users/static/auto-rebuy", tag = "静态代理", request_body = AutoRebuyParams,
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such proxy of this type and account"),
    ))]
pub(crate) async fn auto_rebuy(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<AutoRebuyParams>,
) -> Answer<()> {
    let (static_type, id) = (params.proxy_type.into(), StaticProxyId::new(params.id));
    statics::set_auto_rebuy(&core, caller.account, static_type, id, params.auto_rebuy.is_on()).await?;
    done()
}

/// A proxy's new remark.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RemarkParams {
    /// ID,必填
    #[schema(example = 0, minimum = 0)]
    id: i64,
    /// 代理类型,res:住宅,dc:机房,ipv6:IPV6,必填
    proxy_type: StaticTypeWord,
    /// 备注,必填; may be empty
    #[schema(example = "string", max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    remark: String,
}

/// 修改IP备注
#[utoipa::path(post, path = "/api/users/static/remark", tag = "静态代理", request_body = RemarkParams, responses(
    (status = 200, body = DoneEnvelope),
    (status = 404, description = "40400: no such proxy of this type and account"),
))]
pub(crate) async fn remark(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<RemarkParams>,
) -> Answer<()> {
    let (static_type, id) = (params.proxy_type.into(), StaticProxyId::new(params.id));
    statics::set_remark(&core, caller.account, static_type, id, params.remark).await?;
    done()
}

/// Which days to show.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageParams {
    /// 开始时间,必填
    #[param(example = "2025-09-14", format = Date)]
    start_date: String,
    /// 结束时间,必填
    #[param(example = "2025-09-14", format = Date)]
    end_date: String,
}

/// What a static proxy carried on one day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StaticUsageDay {
    /// 日期
    #[schema(example = "2025-09-07")]
    day: String,
    /// Bytes to targets.
    #[schema(example = 0, minimum = 0)]
    upload: i64,
    /// Bytes from targets.
    #[schema(example = 0, minimum = 0)]
    download: i64,
    /// Both together.
    #[schema(example = 0, minimum = 0)]
    total_traffic: i64,
    /// How many connections were admitted.
    #[schema(example = 0, minimum = 0)]
    connections: i64,
}

/// 获取静态代理用量
///
/// What a proxy carried, day by day, oldest first; for statistics, it is not billed. Only the last 30 days
/// are kept to be shown; days without traffic are zeros.
#[utoipa::path(get, path = "/api/users/static/{id}/usage", tag = "静态代理",
    params(("id" = i64, Path, description = "The static proxy's id", minimum = 0), UsageParams),
    responses(
        (status = 200, body = Envelope<Vec<StaticUsageDay>>),
        (status = 404, description = "40400: no such proxy of this account"),
    ))]
pub(crate) async fn usage(
    caller: Caller,
    PathId(id): PathId,
    State(core): State<Core>,
    Filters(params): Filters<UsageParams>,
) -> Answer<Vec<StaticUsageDay>> {
    let from = trend::day("start_date", &params.start_date, core.zone())?;
    let to = trend::day("end_date", &params.end_date, core.zone())?;
    let days = statics::usage(&core, caller.account, StaticProxyId::new(id), from, to).await?;
    let shown = days.into_iter().map(|day| StaticUsageDay {
        day: day.day.to_string(),
        upload: day.up.as_i64(),
        download: day.down.as_i64(),
        total_traffic: day.up.plus(day.down).as_i64(),
        connections: day.connections,
    });
    ok(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(start: &str, end: &str) -> Result<(String, String), ApiError> {
        let zone = Zone::UTC;
        let text = |text: &str| Some(text.to_owned());
        let (start, end) = range(text(start), text(end), &zone)?;
        Ok((format!("{:?}", start.unwrap()), format!("{:?}", end.unwrap())))
    }

    #[test]
    fn an_end_is_all_that_it_can_mean() {
        for (end, expected) in [
            ("2025-09-14", "2025-09-14T23:59:59.999999Z"),
            ("2025-09-14 12:50:06", "2025-09-14T12:50:06.999999Z"),
            ("2025-09-1412:50:06.43", "2025-09-14T12:50:06.43Z"),
            ("2025-09-14T12:50", "2025-09-14T12:50:00.999999Z"),
        ] {
            let from = "2025-09-14T00:00:00Z".to_owned();
            assert_eq!(between("2025-09-14", end), Ok((from, expected.to_owned())), "{end}");
        }
    }

    #[test]
    fn a_range_names_the_field_that_is_wrong() {
        let invalid = |field, rule| Err(ApiError::Invalid { field, rule });
        assert_eq!(between("2025-09-14:32:33", "2025-09-14"), invalid("expire_start", Rule::Date));
        assert_eq!(between("2025-09-14", "x"), invalid("expire_end", Rule::Date));
        assert_eq!(between("2025-09-15", "2025-09-14"), invalid("expire_start", Rule::Order));
        assert!(between("2025-09-14 12:50:06", "2025-09-14 12:50:06").is_ok());
        assert_eq!(range(None, None, &Zone::UTC), Ok((None, None)));
    }
}
