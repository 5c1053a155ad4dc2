//! The catalogue of traffic packages.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::offers::{self, Offer, OfferChange};
use tollgate_core::{Actor, Core};
use tollgate_types::{AccountId, Cents, OfferId, Zone};
use utoipa::ToSchema;

use crate::callers::Operator;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::params::{Filters, Params, PathId, clearable};
use crate::words::{Made, PageParams, PlanType, TrafficType};

/// A new item of the catalogue.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewPackageParams {
    /// The type of traffic.
    proxy_type: TrafficType,
    /// What is paid for, in GB.
    #[schema(example = 10, minimum = 1, maximum = 1000000000)]
    traffic_gb: i64,
    /// Cents per GB.
    #[schema(example = 300, minimum = 0, maximum = 100000000)]
    price: i64,
    /// Days.
    #[schema(example = 30, minimum = 1, maximum = 3650)]
    duration: i64,
    /// For whom it is meant; `custom` items are seen by the accounts of `account_ids` only.
    plan_type: PlanType,
    /// Whether to show it as popular.
    is_hot: Option<bool>,
    /// Free on top, in GB.
    #[schema(example = 0, minimum = 0, maximum = 1000000000)]
    extra_add_traffic: Option<i64>,
    /// What it says of itself.
    #[schema(example = "string", max_length = 1000, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    plan_desc: Option<String>,
    /// For whom a custom item is made.
    account_ids: Option<Vec<i64>>,
    /// Whether it can be bought; true where absent.
    on_sale: Option<bool>,
}

/// Add an item to the catalogue
#[utoipa::path(post, path = "/api/admin/traffic-packages", tag = "operator", request_body = NewPackageParams,
    responses((status = 200, body = Envelope<Made>)))]
pub(crate) async fn create(
    _: Operator,
    State(core): State<Core>,
    Params(params): Params<NewPackageParams>,
) -> Answer<Made> {
    let new = OfferChange {
        proxy_type: Some(params.proxy_type.into()),
        traffic_gb: Some(params.traffic_gb),
        price: Some(Cents::new(params.price)),
        days: Some(params.duration),
        plan_type: Some(params.plan_type.as_str().to_owned()),
        is_hot: params.is_hot,
        extra_gb: params.extra_add_traffic,
        description: params.plan_desc,
        accounts: params.account_ids.map(accounts),
        on_sale: params.on_sale,
    };
    let id = offers::create(&core, Actor::Operator, new).await?;
    ok(Made { id: id.get() })
}

/// A change to an item: what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PackageChange {
    /// The type of traffic.
    proxy_type: Option<TrafficType>,
    /// What is paid for, in GB.
    #[schema(example = 10, minimum = 1, maximum = 1000000000)]
    traffic_gb: Option<i64>,
    /// Cents per GB.
    #[schema(example = 300, minimum = 0, maximum = 100000000)]
    price: Option<i64>,
    /// Days.
    #[schema(example = 30, minimum = 1, maximum = 3650)]
    duration: Option<i64>,
    /// For whom it is meant.
    plan_type: Option<PlanType>,
    /// Whether to show it as popular.
    is_hot: Option<bool>,
    /// Free on top, in GB.
    #[schema(example = 0, minimum = 0, maximum = 1000000000)]
    extra_add_traffic: Option<i64>,
    /// What it says of itself.
    #[schema(example = "string", max_length = 1000, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    #[serde(default, deserialize_with = "clearable")]
    plan_desc: Option<String>,
    /// For whom a custom item is made.
    #[serde(default, deserialize_with = "clearable")]
    account_ids: Option<Vec<i64>>,
    /// Whether it can be bought.
    on_sale: Option<bool>,
}

/// Change an item of the catalogue
///
/// What was bought stays as it was bought.
#[utoipa::path(post, path = "/api/admin/traffic-packages/{id}/update", tag = "operator",
    params(("id" = i64, Path, description = "The item's id", minimum = 0)), request_body = PackageChange,
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such item"),
    ))]
pub(crate) async fn update(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<PackageChange>,
) -> Answer<()> {
    let change = OfferChange {
        proxy_type: params.proxy_type.map(Into::into),
        traffic_gb: params.traffic_gb,
        price: params.price.map(Cents::new),
        days: params.duration,
        plan_type: params.plan_type.map(|plan_type| plan_type.as_str().to_owned()),
        is_hot: params.is_hot,
        extra_gb: params.extra_add_traffic,
        description: params.plan_desc,
        accounts: params.account_ids.map(accounts),
        on_sale: params.on_sale,
    };
    offers::update(&core, Actor::Operator, OfferId::new(id), change).await?;
    done()
}

fn accounts(ids: Vec<i64>) -> Vec<AccountId> {
    ids.into_iter().map(AccountId::new).collect()
}

/// An item of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PackageRecord {
    /// Its id.
    id: i64,
    /// The type of traffic.
    proxy_type: TrafficType,
    /// What is paid for, in GB.
    #[schema(minimum = 0)]
    traffic_gb: i64,
    /// Cents per GB.
    #[schema(minimum = 0)]
    price: i64,
    /// What a purchase costs, in cents.
    #[schema(minimum = 0)]
    amount: i64,
    /// Days.
    #[schema(minimum = 0)]
    duration: i64,
    /// For whom it is meant.
    plan_type: PlanType,
    /// Whether it is shown as popular.
    is_hot: bool,
    /// Free on top, in GB.
    #[schema(minimum = 0)]
    extra_add_traffic: i64,
    /// What it says of itself.
    plan_desc: String,
    /// For whom a custom item is made.
    account_ids: Vec<i64>,
    /// Whether it can be bought.
    on_sale: bool,
    /// When it was made.
    #[schema(example = "2025-09-14 07:00:23")]
    create_time: String,
    /// When it was last changed.
    #[schema(example = "2025-09-14 07:00:23")]
    update_time: String,
}

impl PackageRecord {
    fn new((offer, accounts): (Offer, Vec<AccountId>), zone: &Zone) -> Result<Self, tollgate_core::Error> {
        Ok(Self {
            id: offer.id.get(),
            proxy_type: offer.proxy_type.into(),
            traffic_gb: offer.traffic_gb,
            price: offer.price.get(),
            amount: offers::amount(&offer)?.get(),
            duration: offer.days,
            plan_type: PlanType::of(&offer.plan_type),
            is_hot: offer.is_hot,
            extra_add_traffic: offer.extra_gb,
            plan_desc: offer.description,
            account_ids: accounts.into_iter().map(AccountId::get).collect(),
            on_sale: offer.on_sale,
            create_time: zone.show(offer.created_at),
            update_time: zone.show(offer.updated_at),
        })
    }
}

/// List the catalogue
///
/// Newest first, items that are not on sale among them.
#[utoipa::path(get, path = "/api/admin/traffic-packages", tag = "operator", params(PageParams),
    responses((status = 200, body = Envelope<List<PackageRecord>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    Filters(params): Filters<PageParams>,
) -> Answer<List<PackageRecord>> {
    let (items, total) = offers::list(&core, params.page()?).await?;
    let records = items.into_iter().map(|item| PackageRecord::new(item, core.zone()));
    ok(List { records: records.collect::<Result<_, _>>()?, total })
}
