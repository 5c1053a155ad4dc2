//! What can be ordered: calls 15–17.

use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use tollgate_core::statics::{self, Price};
use tollgate_core::{Core, Error};
use tollgate_types::{Country, StaticType};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::countries;
use crate::envelope::{Answer, Envelope, ok};
use crate::language::{self, Language};
use crate::params::Filters;
use crate::words::StaticTypeWord;

/// A country.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountryRecord {
    /// 国家编码
    #[schema(example = "hk")]
    country_code: String,
    /// 国家: in the language of `Accept-Language`
    #[schema(example = "香港")]
    country_name: String,
}

/// 获取静态住宅国家列表
///
/// Where addresses can be ordered now, by name (Chinese names by pinyin).
#[utoipa::path(get, path = "/api/users/static/res/country", tag = "静态代理",
    responses((status = 200, body = Envelope<Vec<CountryRecord>>)))]
pub(crate) async fn res_countries(
    _: Caller,
    headers: HeaderMap,
    State(core): State<Core>,
) -> Answer<Vec<CountryRecord>> {
    named(&core, StaticType::Res, language::preferred(&headers)).await
}

/// ip类型:ipv4/ipv6
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "ipv4")]
pub(crate) enum IpType {
    Ipv4,
    Ipv6,
}

/// Which addresses to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DcCountryParams {
    /// ip类型:ipv4/ipv6,默认ipv4
    #[param(inline)]
    ip_type: Option<IpType>,
}

/// 获取静态机房&IPv6国家列表
///
/// Where addresses can be ordered now, by name (Chinese names by pinyin).
#[utoipa::path(get, path = "/api/users/static/dc/country", tag = "静态代理", params(DcCountryParams),
    responses((status = 200, body = Envelope<Vec<CountryRecord>>)))]
pub(crate) async fn dc_countries(
    _: Caller,
    headers: HeaderMap,
    State(core): State<Core>,
    Filters(params): Filters<DcCountryParams>,
) -> Answer<Vec<CountryRecord>> {
    let static_type = match params.ip_type.unwrap_or(IpType::Ipv4) {
        IpType::Ipv4 => StaticType::Dc,
        IpType::Ipv6 => StaticType::Ipv6,
    };
    named(&core, static_type, language::preferred(&headers)).await
}

async fn named(core: &Core, static_type: StaticType, language: Language) -> Answer<Vec<CountryRecord>> {
    let mut found: Vec<Country> = statics::countries(core, vec![static_type]).await?;
    found.sort_by(|a, b| countries::by_name(*a, *b, language));
    let record = |country: Country| CountryRecord {
        country_code: country.to_string(),
        country_name: countries::name(country, language),
    };
    ok(found.into_iter().map(record).collect())
}

/// An item of the price list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PricePackage {
    /// 代理ID: what `price_package_id` of an order names
    #[schema(example = 0)]
    id: i64,
    /// 代理类型
    proxy_type: StaticTypeWord,
    /// 数量
    #[schema(example = 0, minimum = 1)]
    count: i64,
    /// 折扣(0-100): per cent off, 0 = none
    #[schema(example = 0, minimum = 0, maximum = 100)]
    discount: i64,
    /// 有效期(单位:天)
    #[schema(example = 0, minimum = 1)]
    period: i64,
    /// 价格(单位:美分): of one address for the period
    #[schema(example = 0, minimum = 0)]
    price: i64,
    /// 金额(单位:美分): what an order costs, `count × price × (100 − discount) / 100` rounded half up
    #[schema(example = 0, minimum = 0)]
    amount: i64,
    /// Whether it can be ordered while stock is short; such an order is delivered later.
    back_orders: bool,
}

impl PricePackage {
    fn new(price: &Price) -> Result<Self, Error> {
        Ok(Self {
            id: price.id.get(),
            proxy_type: price.static_type.into(),
            count: price.count,
            discount: price.discount,
            period: price.period,
            price: price.price.get(),
            amount: statics::order_amount(price)?.get(),
            back_orders: price.back_orders,
        })
    }
}

/// Which part of the price list to show.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PriceFilter {
    /// 代理类型:res:静态住宅IP,dc:静态机房IP,ipv6; all of them where absent
    #[param(inline)]
    proxy_type: Option<StaticTypeWord>,
}

/// 获取价格列表
#[utoipa::path(get, path = "/api/users/static/price/package", tag = "静态代理", params(PriceFilter),
    responses((status = 200, body = Envelope<Vec<PricePackage>>)))]
pub(crate) async fn prices(
    _: Caller,
    State(core): State<Core>,
    Filters(params): Filters<PriceFilter>,
) -> Answer<Vec<PricePackage>> {
    let prices = statics::visible_prices(&core, params.proxy_type.map(Into::into)).await?;
    ok(prices.iter().map(PricePackage::new).collect::<Result<_, _>>()?)
}
