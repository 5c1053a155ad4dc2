//! The account itself: call 1, and changing its API key.

use axum::extract::State;
use secrecy::ExposeSecret;
use serde::Serialize;
use tollgate_core::{Actor, Core, accounts};
use utoipa::ToSchema;

use crate::callers::Caller;
use crate::envelope::{Answer, Envelope, ok};

/// The account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    /// 用户名
    #[schema(example = "socks5")]
    username: String,
    /// 邮箱
    #[schema(example = "user@example.com")]
    email: String,
    /// api key
    #[schema(example = "string")]
    api_key: String,
    /// 是否设置密码,0:未设置,1:已设置
    #[schema(example = 1, minimum = 0, maximum = 1)]
    set_password_status: i32,
}

/// 获取当前用户信息
///
/// The account whose API key this is.
#[utoipa::path(get, path = "/api/users/me/info", tag = "基础信息", responses((status = 200, body = Envelope<Me>)))]
pub(crate) async fn info(caller: Caller, State(core): State<Core>) -> Answer<Me> {
    let info = accounts::info(&core, caller.account).await?;
    ok(Me {
        username: info.account.username,
        email: info.account.email,
        api_key: info.api_key.expose_secret().to_owned(),
        set_password_status: info.account.has_password.into(),
    })
}

/// An API key.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKey {
    /// The new key. The old one is dead.
    #[schema(example = "string")]
    pub(crate) api_key: String,
}

/// 更换 API Key
///
/// Gives the account another API key; the old one is dead at once.
#[utoipa::path(post, path = "/api/users/me/rotate-key", tag = "基础信息",
    responses((status = 200, body = Envelope<NewKey>)))]
pub(crate) async fn rotate_key(caller: Caller, State(core): State<Core>) -> Answer<NewKey> {
    let key = accounts::rotate_key(&core, Actor::Account(caller.account), caller.account).await?;
    ok(NewKey { api_key: key.expose_secret().to_owned() })
}
