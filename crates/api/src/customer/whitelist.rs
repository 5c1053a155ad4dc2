//! Listed addresses: calls 7–9.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tollgate_core::whitelist::{self, Listed};
use tollgate_core::{Core, Page};
use tollgate_types::{WhitelistId, Zone};
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::params::{Filters, Params};
use crate::words::{Made, ip_address};

/// A listed address.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhitelistRecord {
    /// 白名单id
    #[schema(example = 0)]
    id: i64,
    /// ip地址
    #[schema(example = "127.0.0.1")]
    ip: String,
    /// 备注
    #[schema(example = "string")]
    remark: String,
    /// 创建时间
    #[schema(example = "2025-09-14 06:49:12")]
    create_time: String,
}

impl WhitelistRecord {
    fn new(listed: Listed, zone: &Zone) -> Self {
        Self {
            id: listed.id.get(),
            ip: listed.ip.to_string(),
            remark: listed.remark,
            create_time: zone.show(listed.created_at),
        }
    }
}

/// Which addresses to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhitelistFilter {
    /// 分页索引, 非必传, 默认1
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// 分页条数, 非必传, 默认10
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// ip地址: addresses that begin with this
    #[param(example = "127.0.0.1")]
    ip: Option<String>,
}

/// 获取白名单
///
/// Newest first.
#[utoipa::path(get, path = "/api/users/proxy/whitelist", tag = "白名单管理", params(WhitelistFilter),
    responses((status = 200, body = Envelope<List<WhitelistRecord>>)))]
pub(crate) async fn list(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<WhitelistFilter>,
) -> Answer<List<WhitelistRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let (listed, total) = whitelist::list(&core, caller.account, params.ip.unwrap_or_default(), page).await?;
    ok(List {
        records: listed.into_iter().map(|one| WhitelistRecord::new(one, core.zone())).collect(),
        total,
    })
}

/// An address to list.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewAddress {
    /// ip地址,必填: one IPv4 or IPv6 address in any valid spelling
    #[schema(schema_with = address)]
    ip: String,
    /// 备注
    #[schema(example = "string", max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    remark: Option<String>,
}

/// An address that somebody may come from.
fn address() -> Schema {
    let about = "ip地址,必填: one IPv4 or IPv6 address in any valid spelling; not a private one";
    Schema::AnyOf(ip_address().description(Some(about)).examples([json!("203.0.113.7")]).build())
}

/// 添加白名单
///
/// An address can be listed by one account only.
#[utoipa::path(post, path = "/api/users/proxy/add-whitelist", tag = "白名单管理", request_body = NewAddress, responses(
    (status = 200, body = Envelope<Made>),
    (status = 409, description = "40900: the address is listed already"),
))]
pub(crate) async fn add(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<NewAddress>,
) -> Answer<Made> {
    let remark = params.remark.unwrap_or_default();
    let id = whitelist::add(&core, caller.account, &params.ip, remark).await?;
    ok(Made { id: id.get() })
}

/// Which entry to delete.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhitelistEntryId {
    /// 白名单id, 必填
    #[param(example = 1, minimum = 0)]
    #[schema(example = 1, minimum = 0)]
    id: i64,
}

/// 删除白名单
///
/// Live connections that it admitted are cut within a second.
#[utoipa::path(get, path = "/api/users/proxy/delete-whitelist", tag = "白名单管理", params(WhitelistEntryId), responses(
    (status = 200, body = DoneEnvelope),
    (status = 404, description = "40400: no such entry of this account"),
))]
pub(crate) async fn delete(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<WhitelistEntryId>,
) -> Answer<()> {
    whitelist::delete(&core, caller.account, WhitelistId::new(params.id)).await?;
    done()
}

/// 删除白名单 (POST)
///
/// The same by POST, for clients that repeat or prefetch GET calls.
#[utoipa::path(post, path = "/api/users/proxy/delete-whitelist", tag = "白名单管理", request_body = WhitelistEntryId,
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such entry of this account"),
    ))]
pub(crate) async fn delete_by_post(
    caller: Caller,
    core: State<Core>,
    params: Params<WhitelistEntryId>,
) -> Answer<()> {
    delete(caller, core, params).await
}
