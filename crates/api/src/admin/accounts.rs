//! Accounts: opening, finding, changing and suspending them, and their API keys.

use axum::extract::State;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tollgate_core::accounts::{self, Change, NewAccount, Overview};
use tollgate_core::{Actor, Core, Page};
use tollgate_types::{AccountId, Cents, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Operator;
use crate::customer::NewKey;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::params::{Filters, Params, PathId};

/// A new account.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewAccountParams {
    /// Its name, unique whatever its case.
    #[schema(example = "socks5", min_length = 3, max_length = 64, pattern = "^[A-Za-z0-9_.]+$")]
    username: String,
    /// Where its notices go.
    #[schema(
        example = "user@example.com",
        min_length = 3,
        max_length = 254,
        pattern = r"^[^@\s\x00-\x1F\x7F-\x9F]+@[^\s\x00-\x1F\x7F-\x9F]+$"
    )]
    email: String,
    /// Its password; none where absent.
    #[schema(min_length = 8, max_length = 128, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    password: Option<String>,
    /// Cents per GB of residential traffic from the wallet.
    #[schema(example = 533, minimum = 0, maximum = 100000000)]
    res_price: Option<i64>,
    /// Cents per GB of datacenter traffic from the wallet.
    #[schema(example = 200, minimum = 0, maximum = 100000000)]
    dc_price: Option<i64>,
    /// Cents per GB of mobile traffic from the wallet.
    #[schema(example = 1104, minimum = 0, maximum = 100000000)]
    mobile_price: Option<i64>,
}

/// A new account's id and API key.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewAccountData {
    /// Its id.
    #[schema(example = 1)]
    id: i64,
    /// Its API key.
    #[schema(example = "string")]
    api_key: String,
}

/// Open an account
#[utoipa::path(post, path = "/api/admin/accounts", tag = "operator", request_body = NewAccountParams, responses(
    (status = 200, body = Envelope<NewAccountData>),
    (status = 409, description = "40900: the username is taken"),
))]
pub(crate) async fn create(
    _: Operator,
    State(core): State<Core>,
    Params(params): Params<NewAccountParams>,
) -> Answer<NewAccountData> {
    let new = NewAccount {
        username: params.username,
        email: params.email,
        password: params.password.map(SecretString::from),
        prices: [params.res_price, params.dc_price, params.mobile_price].map(|price| price.map(Cents::new)),
    };
    let (id, api_key) = accounts::create(&core, Actor::Operator, new).await?;
    ok(NewAccountData { id: id.get(), api_key: api_key.expose_secret().to_owned() })
}

/// Whether an account may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccountStatus {
    Active,
    Suspended,
}

/// An account with its totals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountRecord {
    /// Its id.
    id: i64,
    /// Its name.
    #[schema(example = "socks5")]
    username: String,
    /// Where its notices go.
    #[schema(example = "user@example.com")]
    email: String,
    /// Whether it may do anything.
    status: AccountStatus,
    /// 1 where it has a password, else 0.
    #[schema(minimum = 0, maximum = 1)]
    set_password_status: i32,
    /// Cents per GB of residential traffic from the wallet.
    #[schema(minimum = 0)]
    res_price: i64,
    /// Cents per GB of datacenter traffic from the wallet.
    #[schema(minimum = 0)]
    dc_price: i64,
    /// Cents per GB of mobile traffic from the wallet.
    #[schema(minimum = 0)]
    mobile_price: i64,
    /// All that ever came in, in cents.
    #[schema(minimum = 0)]
    total_recharge: i64,
    /// All that was ever spent, in cents.
    #[schema(minimum = 0)]
    total_consume: i64,
    /// What is left, in cents.
    #[schema(minimum = 0)]
    balance: i64,
    /// Residential bytes ever used.
    #[schema(minimum = 0)]
    used_res_traffic: i64,
    /// Datacenter bytes ever used.
    #[schema(minimum = 0)]
    used_dc_traffic: i64,
    /// Mobile bytes ever used.
    #[schema(minimum = 0)]
    used_mobile_traffic: i64,
    /// When it was opened.
    #[schema(example = "2025-09-14 06:22:26")]
    create_time: String,
    /// When it was last changed.
    #[schema(example = "2025-09-14 06:22:26")]
    update_time: String,
}

impl AccountRecord {
    fn new(Overview { account, wallet, used }: Overview, zone: &Zone) -> Self {
        let [res_price, dc_price, mobile_price] = account.prices.map(Cents::get);
        let [used_res_traffic, used_dc_traffic, used_mobile_traffic] = used.map(|bytes| bytes.as_i64());
        Self {
            id: account.id.get(),
            username: account.username,
            email: account.email,
            status: if account.active { AccountStatus::Active } else { AccountStatus::Suspended },
            set_password_status: account.has_password.into(),
            res_price,
            dc_price,
            mobile_price,
            total_recharge: wallet.total_recharge.get(),
            total_consume: wallet.total_consume.get(),
            balance: wallet.balance().get(),
            used_res_traffic,
            used_dc_traffic,
            used_mobile_traffic,
            create_time: zone.show(account.created_at),
            update_time: zone.show(account.updated_at),
        }
    }
}

/// Which accounts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccountFilter {
    /// The page, from 1.
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// Records per page.
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// Names that contain this.
    #[param(example = "")]
    username: Option<String>,
}

/// List accounts
///
/// Newest first.
#[utoipa::path(get, path = "/api/admin/accounts", tag = "operator", params(AccountFilter),
    responses((status = 200, body = Envelope<List<AccountRecord>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    Filters(params): Filters<AccountFilter>,
) -> Answer<List<AccountRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let (found, total) = accounts::list(&core, params.username.unwrap_or_default(), page).await?;
    ok(List { records: found.into_iter().map(|one| AccountRecord::new(one, core.zone())).collect(), total })
}

/// One account
#[utoipa::path(get, path = "/api/admin/accounts/{id}", tag = "operator",
    params(("id" = i64, Path, description = "The account's id", minimum = 0)),
    responses(
        (status = 200, body = Envelope<AccountRecord>),
        (status = 404, description = "40400: no such account"),
    ))]
pub(crate) async fn get(_: Operator, PathId(id): PathId, State(core): State<Core>) -> Answer<AccountRecord> {
    let found = accounts::get(&core, AccountId::new(id)).await?;
    ok(AccountRecord::new(found, core.zone()))
}

/// A change to an account: what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AccountChange {
    /// Suspending cuts live connections within a second.
    status: Option<AccountStatus>,
    /// Where its notices go.
    #[schema(
        example = "user@example.com",
        min_length = 3,
        max_length = 254,
        pattern = r"^[^@\s\x00-\x1F\x7F-\x9F]+@[^\s\x00-\x1F\x7F-\x9F]+$"
    )]
    email: Option<String>,
    /// Cents per GB of residential traffic from the wallet.
    #[schema(example = 533, minimum = 0, maximum = 100000000)]
    res_price: Option<i64>,
    /// Cents per GB of datacenter traffic from the wallet.
    #[schema(example = 200, minimum = 0, maximum = 100000000)]
    dc_price: Option<i64>,
    /// Cents per GB of mobile traffic from the wallet.
    #[schema(example = 1104, minimum = 0, maximum = 100000000)]
    mobile_price: Option<i64>,
}

/// Change or suspend an account
#[utoipa::path(post, path = "/api/admin/accounts/{id}/update", tag = "operator",
    params(("id" = i64, Path, description = "The account's id", minimum = 0)), request_body = AccountChange,
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such account"),
    ))]
pub(crate) async fn update(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<AccountChange>,
) -> Answer<()> {
    let change = Change {
        active: params.status.map(|status| status == AccountStatus::Active),
        email: params.email,
        prices: [params.res_price, params.dc_price, params.mobile_price].map(|price| price.map(Cents::new)),
    };
    accounts::update(&core, Actor::Operator, AccountId::new(id), change).await?;
    done()
}

/// Give an account another API key
///
/// The old one is dead at once.
#[utoipa::path(post, path = "/api/admin/accounts/{id}/rotate-key", tag = "operator",
    params(("id" = i64, Path, description = "The account's id", minimum = 0)),
    responses(
        (status = 200, body = Envelope<NewKey>),
        (status = 404, description = "40400: no such account"),
    ))]
pub(crate) async fn rotate_key(_: Operator, PathId(id): PathId, State(core): State<Core>) -> Answer<NewKey> {
    let key = accounts::rotate_key(&core, Actor::Operator, AccountId::new(id)).await?;
    ok(NewKey { api_key: key.expose_secret().to_owned() })
}
