//! Call 10: what can be bought.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::offers::{self, Offer};
use tollgate_core::{Core, Error};
use tollgate_types::{ProxyType, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::envelope::{Answer, Envelope, ok};
use crate::params::Filters;
use crate::words::{ByType, PlanType, TrafficType};

/// A package that can be bought.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrafficPackage {
    /// 流量包ID
    #[schema(example = 0)]
    id: i64,
    /// 流量(GB)
    #[schema(example = 0, minimum = 0)]
    traffic_gb: i64,
    /// 单价(美分): cents per GB
    #[schema(example = 0, minimum = 0)]
    price: i64,
    /// What a purchase costs: `price × traffic_gb`, in cents
    #[schema(example = 0, minimum = 0)]
    amount: i64,
    /// 购买时长(天)
    #[schema(example = 0, minimum = 0)]
    duration: i64,
    /// 流量包类型,personal:个人,enterprise:企业,custom:自定义
    plan_type: PlanType,
    /// 是否热门,false:否,true:是
    #[schema(example = false)]
    is_hot: bool,
    /// 额外赠送流量(GB): free on top
    #[schema(example = 0, minimum = 0)]
    extra_add_traffic: i64,
    /// 流量包描述
    #[schema(example = "string")]
    plan_desc: String,
    /// 创建时间
    #[schema(example = "2025-09-14 07:00:23")]
    create_time: String,
    /// 更新时间
    #[schema(example = "2025-09-14 07:00:23")]
    update_time: String,
}

impl TrafficPackage {
    fn new(offer: &Offer, zone: &Zone) -> Result<Self, Error> {
        Ok(Self {
            id: offer.id.get(),
            traffic_gb: offer.traffic_gb,
            price: offer.price.get(),
            amount: offers::amount(offer)?.get(),
            duration: offer.days,
            plan_type: PlanType::of(&offer.plan_type),
            is_hot: offer.is_hot,
            extra_add_traffic: offer.extra_gb,
            plan_desc: offer.description.clone(),
            create_time: zone.show(offer.created_at),
            update_time: zone.show(offer.updated_at),
        })
    }
}

/// Which packages to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CatalogueFilter {
    /// 流量类型,residential:住宅,datacenter:机房,mobile:移动; all of them where absent
    #[param(inline)]
    proxy_type: Option<TrafficType>,
}

/// 获取系统流量包列表
#[utoipa::path(get, path = "/api/users/traffic/packages", tag = "流量管理", params(CatalogueFilter),
    responses((status = 200, body = Envelope<ByType<Vec<TrafficPackage>>>)))]
pub(crate) async fn list(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<CatalogueFilter>,
) -> Answer<ByType<Vec<TrafficPackage>>> {
    let offers = offers::visible(&core, caller.account).await?;
    let only = params.proxy_type.map(ProxyType::from);
    let wanted = ProxyType::ALL.into_iter().filter(|proxy_type| only.is_none_or(|only| only == *proxy_type));
    let of_type = |proxy_type| {
        let of_type = offers.iter().filter(|offer| offer.proxy_type == proxy_type);
        let shown = of_type.map(|offer| TrafficPackage::new(offer, core.zone()));
        Ok((proxy_type, shown.collect::<Result<_, _>>()?))
    };
    ok(ByType::new(wanted.map(of_type).collect::<Result<Vec<_>, Error>>()?))
}
