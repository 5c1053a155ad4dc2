//! Why proxy clients were told no lately, and what helps.

use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use tollgate_core::Core;
use tollgate_core::refusals::{self, Counted};
use tollgate_types::{Day, Refusal, Zone};
use utoipa::ToSchema;

use crate::callers::Caller;
use crate::envelope::{Answer, Envelope, ok};
use crate::language::{self, Language};

/// Refusals of one day, for one reason, of one sub-account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusalRecord {
    /// The reason, as in `X-Tollgate-Error`.
    #[schema(example = "BALANCE_EMPTY")]
    reason: String,
    /// How often.
    #[schema(example = 3, minimum = 1)]
    count: i64,
    /// What exactly, the last time.
    detail: String,
    /// What helps, in the language of `Accept-Language`.
    #[schema(example = "请充值钱包，或购买流量包")]
    fix: &'static str,
    /// 子账号ID; 0 where the address, not a sub-account, was admitted
    #[schema(example = 0)]
    subuser_id: i64,
    /// 子账号名; empty likewise
    username: String,
    /// The day.
    #[schema(example = "2025-09-14")]
    day: String,
    /// When it last happened.
    #[schema(example = "2025-09-14 06:22:26")]
    last_time: String,
}

/// 获取代理拒绝记录
///
/// Why proxy clients of this account were refused in the last seven days, and what helps. The latest first.
#[utoipa::path(get, path = "/api/users/proxy/refusals", tag = "白名单管理",
    responses((status = 200, body = Envelope<Vec<RefusalRecord>>)))]
pub(crate) async fn refusals(
    caller: Caller,
    headers: HeaderMap,
    State(core): State<Core>,
) -> Answer<Vec<RefusalRecord>> {
    let language = language::preferred(&headers);
    let recent = refusals::recent(&core, caller.account).await?.into_iter();
    ok(recent.map(|counted| RefusalRecord::new(counted, language, core.zone())).collect())
}

impl RefusalRecord {
    fn new(counted: Counted, language: Language, zone: &Zone) -> Self {
        let (zh, en) = counted.refusal.parse().map_or(("", ""), fix);
        Self {
            fix: language.pick(zh, en),
            reason: counted.refusal,
            count: counted.count,
            detail: counted.detail,
            subuser_id: counted.sub_account,
            username: counted.username,
            day: Day::from_number(i32::try_from(counted.day).unwrap_or(0)).to_string(),
            last_time: zone.show(counted.last_at),
        }
    }
}

/// What helps against a refusal, in Chinese and English.
const fn fix(refusal: Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::BadParam => (
            "请检查代理用户名中的参数：格式为 NAME-key-value，每个参数最多一次",
            "check the parameters in the proxy user name: NAME-key-value, each key at most once",
        ),
        Refusal::BadRequest => ("请检查客户端发出的请求格式", "check the request that the client sends"),
        Refusal::HeadTooLarge => ("请减小请求头", "send smaller request headers"),
        Refusal::Unsupported => ("请使用 HTTP 或 SOCKS5 代理协议", "use the HTTP or SOCKS5 proxy protocol"),
        Refusal::AuthRequired => (
            "请检查用户名和密码，或将出口 IP 加入白名单",
            "check user name and password, or whitelist the address you come from",
        ),
        Refusal::UserBlocked => ("请激活该子账号，或联系客服", "activate the sub-account, or ask support"),
        Refusal::BalanceEmpty => {
            ("请充值钱包，或购买流量包", "recharge the wallet, or buy a traffic package")
        }
        Refusal::TrafficLimit => ("请提高该子账号的流量限制", "raise the sub-account's traffic limit"),
        Refusal::HostBlocked => {
            ("目标地址不允许访问，请更换目标", "the destination may not be reached; use another")
        }
        Refusal::PortBlocked => {
            ("目标端口不允许访问，请更换端口", "the destination's port may not be reached; use another")
        }
        Refusal::TooManyConnections => ("请减少并发连接数", "open fewer connections at once"),
        Refusal::TooManyAttempts => (
            "登录失败次数过多，请检查密码后稍后重试",
            "too many failed logins; check the password and try again later",
        ),
        Refusal::NoExit => (
            "没有符合条件的出口，请放宽国家、地区或城市参数",
            "no exit matches; ask for a wider country, state or city",
        ),
        Refusal::DnsFailed => ("请检查目标域名", "check the target's name"),
        Refusal::ConnectionRefused => ("目标拒绝连接，请检查目标端口", "the target refused; check its port"),
        Refusal::Unreachable => ("目标不可达，请稍后重试", "the target cannot be reached; try again later"),
        Refusal::BadGateway => ("目标返回了无效的响应", "the target's answer was not valid HTTP"),
        Refusal::Timeout => ("目标响应超时，请稍后重试", "the target took too long; try again later"),
        Refusal::Unavailable => ("服务暂时不可用，请稍后重试", "temporarily unavailable; try again later"),
    }
}
