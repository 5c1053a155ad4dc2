//! The price list of static proxies.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::statics::{self, Price, PriceChange};
use tollgate_core::{Actor, Core, Error};
use tollgate_types::{Cents, StaticPriceId, Zone};
use utoipa::ToSchema;

use crate::callers::Operator;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::params::{Filters, Params, PathId};
use crate::words::{Made, PageParams, StaticTypeWord};

/// A new item of the price list.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewPrice {
    /// What kind of address.
    proxy_type: StaticTypeWord,
    /// Addresses in an order.
    #[schema(example = 3, minimum = 1, maximum = 1000)]
    count: i64,
    /// Per cent off an order, 0 = none.
    #[schema(example = 0, minimum = 0, maximum = 100)]
    discount: i64,
    /// Days.
    #[schema(example = 30, minimum = 1, maximum = 3650)]
    period: i64,
    /// Cents for one address for the period.
    #[schema(example = 500, minimum = 0, maximum = 100000000)]
    price: i64,
    /// Whether it may be ordered while stock is short, to be delivered later; false where absent.
    back_orders: Option<bool>,
    /// Whether it can be ordered; true where absent.
    on_sale: Option<bool>,
}

/// Add an item to the price list
#[utoipa::path(post, path = "/api/admin/static/prices", tag = "operator", request_body = NewPrice,
    responses((status = 200, body = Envelope<Made>)))]
pub(crate) async fn create(
    _: Operator,
    State(core): State<Core>,
    Params(params): Params<NewPrice>,
) -> Answer<Made> {
    let new = PriceChange {
        static_type: Some(params.proxy_type.into()),
        count: Some(params.count),
        period: Some(params.period),
        price: Some(Cents::new(params.price)),
        discount: Some(params.discount),
        back_orders: params.back_orders,
        on_sale: params.on_sale,
    };
    let id = statics::create_price(&core, Actor::Operator, new).await?;
    ok(Made { id: id.get() })
}

/// A change to an item: what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PriceChange)]
pub(crate) struct PriceChangeParams {
    /// Cannot be changed: taken only where it is the same.
    proxy_type: Option<StaticTypeWord>,
    /// Cannot be changed: taken only where it is the same.
    #[schema(example = 3, minimum = 1, maximum = 1000)]
    count: Option<i64>,
    /// Per cent off an order, 0 = none.
    #[schema(example = 0, minimum = 0, maximum = 100)]
    discount: Option<i64>,
    /// Cannot be changed: taken only where it is the same.
    #[schema(example = 30, minimum = 1, maximum = 3650)]
    period: Option<i64>,
    /// Cents for one address for the period.
    #[schema(example = 500, minimum = 0, maximum = 100000000)]
    price: Option<i64>,
    /// Whether it may be ordered while stock is short, to be delivered later.
    back_orders: Option<bool>,
    /// Whether it can be ordered.
    on_sale: Option<bool>,
}

/// Change an item of the price list
///
/// What was ordered by it is renewed at the new price. Type, count and period of an item are for good: make another
/// item instead.
#[utoipa::path(post, path = "/api/admin/static/prices/{id}/update", tag = "operator",
    params(("id" = i64, Path, description = "The item's id", minimum = 0)), request_body = PriceChangeParams,
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such item"),
    ))]
pub(crate) async fn update(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<PriceChangeParams>,
) -> Answer<()> {
    let change = PriceChange {
        static_type: params.proxy_type.map(Into::into),
        count: params.count,
        period: params.period,
        price: params.price.map(Cents::new),
        discount: params.discount,
        back_orders: params.back_orders,
        on_sale: params.on_sale,
    };
    statics::update_price(&core, Actor::Operator, StaticPriceId::new(id), change).await?;
    done()
}

/// An item of the price list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PriceRecord {
    /// Its id.
    #[schema(example = 1)]
    id: i64,
    /// What kind of address.
    proxy_type: StaticTypeWord,
    /// Addresses in an order.
    #[schema(example = 3, minimum = 1)]
    count: i64,
    /// Per cent off an order, 0 = none.
    #[schema(example = 0, minimum = 0, maximum = 100)]
    discount: i64,
    /// Days.
    #[schema(example = 30, minimum = 1)]
    period: i64,
    /// Cents for one address for the period.
    #[schema(example = 500, minimum = 0)]
    price: i64,
    /// What an order costs, in cents.
    #[schema(example = 1500, minimum = 0)]
    amount: i64,
    /// Whether it may be ordered while stock is short.
    back_orders: bool,
    /// Whether it can be ordered.
    on_sale: bool,
    /// When it was made.
    #[schema(example = "2025-09-14 07:00:23")]
    create_time: String,
    /// When it was last changed.
    #[schema(example = "2025-09-14 07:00:23")]
    update_time: String,
}

impl PriceRecord {
    fn new(price: &Price, zone: &Zone) -> Result<Self, Error> {
        Ok(Self {
            id: price.id.get(),
            proxy_type: price.static_type.into(),
            count: price.count,
            discount: price.discount,
            period: price.period,
            price: price.price.get(),
            amount: statics::order_amount(price)?.get(),
            back_orders: price.back_orders,
            on_sale: price.on_sale,
            create_time: zone.show(price.created_at),
            update_time: zone.show(price.updated_at),
        })
    }
}

/// List the price list
///
/// Newest first, items that are not on sale among them.
#[utoipa::path(get, path = "/api/admin/static/prices", tag = "operator", params(PageParams),
    responses((status = 200, body = Envelope<List<PriceRecord>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    Filters(params): Filters<PageParams>,
) -> Answer<List<PriceRecord>> {
    let (prices, total) = statics::list_prices(&core, params.page()?).await?;
    let records = prices.iter().map(|price| PriceRecord::new(price, core.zone()));
    ok(List { records: records.collect::<Result<_, _>>()?, total })
}
