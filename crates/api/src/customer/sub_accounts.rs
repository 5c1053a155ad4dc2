//! Sub-accounts: calls 3–6, and deleting one.

use axum::extract::State;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tollgate_core::sub_accounts::{self, Change, Filter, NewSubAccount, SubAccount};
use tollgate_core::{Core, Page};
use tollgate_types::{SubAccountId, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::params::{Filters, NoParams, Params, PathId, clearable, same_id};
use crate::words::{Made, Switch};

/// A new sub-account.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewSubUser {
    /// 子账号名: the proxy user name, unique on the whole platform whatever its case
    #[schema(example = "string", min_length = 3, max_length = 64, pattern = "^[A-Za-z0-9_.]+$")]
    username: String,
    /// 子账号密码: printable, without `:` and blanks
    #[schema(example = "string", min_length = 6, max_length = 128, pattern = "^[!-9;-~]+$")]
    password: String,
    /// 备注
    #[schema(example = "", max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    remark: Option<String>,
    /// 子账号状态 active:激活 inactive:未激活; active where absent
    status: Option<Switch>,
    /// 使用住宅流量限制(GB),0表示不限制
    #[schema(example = 0, minimum = 0, maximum = 1000000000)]
    res_traffic_limit: Option<i64>,
    /// 使用机房流量限制(GB),0表示不限制
    #[schema(example = 0, minimum = 0, maximum = 1000000000)]
    dc_traffic_limit: Option<i64>,
    /// 使用移动流量限制(GB),0表示不限制
    #[schema(example = 0, minimum = 0, maximum = 1000000000)]
    mobile_traffic_limit: Option<i64>,
}

/// 创建子账号
#[utoipa::path(post, path = "/api/users/subuser/create", tag = "子账号管理", request_body = NewSubUser, responses(
    (status = 200, body = Envelope<Made>),
    (status = 409, description = "40900: the username is taken"),
))]
pub(crate) async fn create(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<NewSubUser>,
) -> Answer<Made> {
    let limits = [params.res_traffic_limit, params.dc_traffic_limit, params.mobile_traffic_limit];
    let new = NewSubAccount {
        username: params.username,
        password: SecretString::from(params.password),
        remark: params.remark.unwrap_or_default(),
        active: params.status.is_none_or(Switch::is_on),
        limits_gb: limits.map(Option::unwrap_or_default),
    };
    let id = sub_accounts::create(&core, caller.account, new).await?;
    ok(Made { id: id.get() })
}

/// A sub-account.
#[derive(Serialize, ToSchema)]
pub(crate) struct SubUser {
    /// 子账号ID
    #[schema(example = 0)]
    id: i64,
    /// 子账号名
    #[schema(example = "string")]
    username: String,
    /// 子账号密码
    #[schema(example = "string")]
    password: String,
    /// 备注
    #[schema(example = "")]
    remark: String,
    /// 子账号状态 active:激活 inactive:未激活
    status: Switch,
    /// 使用住宅流量限制(GB),0表示不限制
    #[schema(example = 0, minimum = 0)]
    res_traffic_limit: i64,
    /// 使用机房流量限制(GB),0表示不限制
    #[schema(example = 0, minimum = 0)]
    dc_traffic_limit: i64,
    /// 使用移动流量限制(GB),0表示不限制
    #[schema(example = 0, minimum = 0)]
    mobile_traffic_limit: i64,
    /// 已使用住宅流量(Byte)
    #[schema(example = 0, minimum = 0)]
    used_res_traffic: i64,
    /// 已使用机房流量(Byte)
    #[schema(example = 0, minimum = 0)]
    used_dc_traffic: i64,
    /// 已使用移动流量(Byte)
    #[schema(example = 0, minimum = 0)]
    used_mobile_traffic: i64,
    /// 创建时间
    #[schema(example = "2025-09-14 06:22:26")]
    create_time: String,
    /// 修改时间
    #[schema(example = "2025-09-14 06:22:26")]
    update_time: String,
}

impl SubUser {
    fn new(SubAccount { row, password }: SubAccount, zone: &Zone) -> Self {
        let [res_traffic_limit, dc_traffic_limit, mobile_traffic_limit] = row.limits_gb;
        let [used_res_traffic, used_dc_traffic, used_mobile_traffic] = row.used;
        Self {
            id: row.id.get(),
            username: row.username,
            password: password.expose_secret().to_owned(),
            remark: row.remark,
            status: Switch::of(row.active),
            res_traffic_limit,
            dc_traffic_limit,
            mobile_traffic_limit,
            used_res_traffic,
            used_dc_traffic,
            used_mobile_traffic,
            create_time: zone.show(row.created_at),
            update_time: zone.show(row.updated_at),
        }
    }
}

/// Which sub-accounts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SubUserFilter {
    /// 分页索引, 非必传, 默认1
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// 分页条数, 非必传, 默认10
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// 用户名: names that contain this
    #[param(example = "")]
    user_name: Option<String>,
    /// 子账号状态 active:激活 inactive:未激活
    #[param(inline)]
    status: Option<Switch>,
}

/// 获取子账号列表
///
/// Newest first.
#[utoipa::path(get, path = "/api/users/subuser/list", tag = "子账号管理", params(SubUserFilter),
    responses((status = 200, body = Envelope<List<SubUser>>)))]
pub(crate) async fn list(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<SubUserFilter>,
) -> Answer<List<SubUser>> {
    let page = Page::new(params.page, params.page_size)?;
    let status = match params.status {
        Some(Switch::Active) => "active",
        Some(Switch::Inactive) => "inactive",
        None => "",
    };
    let filter = Filter { username: params.user_name.unwrap_or_default(), status };
    let (found, total) = sub_accounts::list(&core, caller.account, filter, page).await?;
    ok(List { records: found.into_iter().map(|one| SubUser::new(one, core.zone())).collect(), total })
}

/// A change to a sub-account: what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SubUserChange {
    /// 子账号ID,必填
    #[schema(example = 0, minimum = 0)]
    id: i64,
    /// The same id by its name in other calls.
    #[schema(ignore)]
    subuser_id: Option<i64>,
    /// 备注,非必填
    #[schema(example = "string", max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    #[serde(default, deserialize_with = "clearable")]
    remark: Option<String>,
    /// 子账号密码,非必填
    #[schema(example = "string", min_length = 6, max_length = 128, pattern = "^[!-9;-~]+$")]
    password: Option<String>,
    /// 子账号状态 active:激活 inactive:未激活,非必填
    status: Option<Switch>,
    /// 使用住宅流量限制(GB),0表示不限制,非必填
    #[schema(example = 0, minimum = 0, maximum = 1000000000)]
    res_traffic_limit: Option<i64>,
    /// 使用机房流量限制(GB),0表示不限制,非必填
    #[schema(example = 0, minimum = 0, maximum = 1000000000)]
    dc_traffic_limit: Option<i64>,
    /// 使用移动流量限制(GB),0表示不限制,非必填
    #[schema(example = 0, minimum = 0, maximum = 1000000000)]
    mobile_traffic_limit: Option<i64>,
}

/// 更新子账号
///
/// Reaches live connections within a second: inactive or over its limit, they are cut.
#[utoipa::path(post, path = "/api/users/subuser/update", tag = "子账号管理", request_body = SubUserChange, responses(
    (status = 200, body = DoneEnvelope),
    (status = 404, description = "40400: no such sub-account of this account"),
))]
pub(crate) async fn update(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<SubUserChange>,
) -> Answer<()> {
    same_id(params.id, "subuser_id", params.subuser_id)?;
    let change = Change {
        password: params.password.map(SecretString::from),
        remark: params.remark,
        active: params.status.map(Switch::is_on),
        limits_gb: [params.res_traffic_limit, params.dc_traffic_limit, params.mobile_traffic_limit],
    };
    sub_accounts::update(&core, caller.account, SubAccountId::new(params.id), change).await?;
    done()
}

/// 获取子账号信息
#[utoipa::path(get, path = "/api/users/subuser/{subuser_id}", tag = "子账号管理",
    params(("subuser_id" = i64, Path, description = "子账号ID,必填", minimum = 0)),
    responses(
        (status = 200, body = Envelope<SubUser>),
        (status = 404, description = "40400: no such sub-account of this account"),
    ))]
pub(crate) async fn get(
    caller: Caller,
    PathId(id): PathId,
    State(core): State<Core>,
    _: Params<NoParams>,
) -> Answer<SubUser> {
    let found = sub_accounts::get(&core, caller.account, SubAccountId::new(id)).await?;
    ok(SubUser::new(found, core.zone()))
}

/// Which sub-account to delete.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SubUserId {
    /// 子账号ID,必填
    #[schema(example = 0, minimum = 0)]
    id: i64,
    /// The same id by its name in other calls.
    #[schema(ignore)]
    subuser_id: Option<i64>,
}

/// 删除子账号
///
/// Its connections are cut within a second, its name is free again, its history stays in the trends.
#[utoipa::path(post, path = "/api/users/subuser/delete", tag = "子账号管理", request_body = SubUserId, responses(
    (status = 200, body = DoneEnvelope),
    (status = 404, description = "40400: no such sub-account of this account"),
))]
pub(crate) async fn delete(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<SubUserId>,
) -> Answer<()> {
    same_id(params.id, "subuser_id", params.subuser_id)?;
    sub_accounts::delete(&core, caller.account, SubAccountId::new(params.id)).await?;
    done()
}
