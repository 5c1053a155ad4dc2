//! Call 12: what an account has.

use axum::extract::State;
use serde::Serialize;
use tollgate_core::Core;
use tollgate_core::packages::{self, Holding};
use tollgate_types::{OfferId, Zone};
use utoipa::ToSchema;

use crate::callers::Caller;
use crate::envelope::{Answer, Envelope, ok};
use crate::words::{ByType, PlanType, RebuyStatus, Switch};

/// What an account has of one type of traffic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrentPackage {
    /// 流量包总流量(Byte): of the unexpired packages
    #[schema(example = 0, minimum = 0)]
    total_traffic: i64,
    /// 流量包消耗流量(Byte): of the unexpired packages
    #[schema(example = 0, minimum = 0)]
    cost_traffic: i64,
    /// 流量包状态,active:启用,inactive:禁用
    status: Switch,
    /// 流量包过期时间: of the last to expire
    #[schema(example = "2025-09-14 12:32:33")]
    expire_time: String,
    /// 备注
    #[schema(example = "string")]
    remark: String,
    /// Reminders and auto-rebuy.
    strategy: Strategy,
    /// Each unexpired package, in the order in which they are drawn down.
    packages: Vec<BoughtPackage>,
}

/// Reminders and auto-rebuy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Strategy {
    /// 是否开启提醒,inactive:关闭,active:开启
    auto_remind: Switch,
    /// 提醒剩余额度(GB)
    #[schema(example = 1, minimum = 0)]
    remind_gb: i64,
    /// 提醒剩余天数
    #[schema(example = 1, minimum = 0)]
    remind_days: i64,
    /// 是否开启自动续订,inactive:关闭,active:开启
    auto_rebuy: Switch,
    /// 续订剩余(GB)
    #[schema(example = 1, minimum = 0)]
    rebuy_gb: i64,
    /// 续订剩余天数
    #[schema(example = 1, minimum = 0)]
    rebuy_days: i64,
    /// 续订流量包ID; 0 where none was chosen
    #[schema(example = 0, minimum = 0)]
    rebuy_package_id: i64,
    /// 续订流量包流量(GB); 0 where none was chosen
    #[schema(example = 0, minimum = 0)]
    rebuy_traffic_gb: i64,
    /// 续订流量包类型,personal:个人,enterprise:企业,custom:自定义
    rebuy_plan_type: PlanType,
    /// 续订状态,normal:正常,insufficient:余额不足,failed:续费失败
    rebuy_status: RebuyStatus,
}

/// One bought package.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BoughtPackage {
    /// Its id.
    id: i64,
    /// The id of the package of the catalogue that was bought.
    traffic_package_id: i64,
    /// All it held to begin with, in bytes.
    #[schema(minimum = 0)]
    total_traffic: i64,
    /// What has been used of it, in bytes.
    #[schema(minimum = 0)]
    cost_traffic: i64,
    /// What was paid, in cents.
    #[schema(minimum = 0)]
    amount: i64,
    /// When it was bought.
    #[schema(example = "2025-09-14 07:00:23")]
    create_time: String,
    /// When it expires.
    #[schema(example = "2025-10-14 07:00:23")]
    expire_time: String,
}

/// 获取已购流量包
///
/// A key for each type of traffic of which a package was ever bought.
#[utoipa::path(get, path = "/api/users/traffic/packages/current", tag = "流量管理",
    responses((status = 200, body = Envelope<ByType<CurrentPackage>>)))]
pub(crate) async fn current(caller: Caller, State(core): State<Core>) -> Answer<ByType<CurrentPackage>> {
    let holdings = packages::current(&core, caller.account).await?.into_iter();
    ok(ByType::new(holdings.map(|holding| (holding.proxy_type, CurrentPackage::new(holding, core.zone())))))
}

impl CurrentPackage {
    fn new(holding: Holding, zone: &Zone) -> Self {
        Self {
            total_traffic: holding.total.as_i64(),
            cost_traffic: holding.used.as_i64(),
            status: Switch::of(holding.settings.active),
            expire_time: zone.show(holding.expires_at),
            remark: holding.settings.remark.clone(),
            strategy: Strategy::new(&holding),
            packages: bought(&holding, zone),
        }
    }
}

impl Strategy {
    fn new(Holding { settings, rebuy, .. }: &Holding) -> Self {
        Self {
            auto_remind: Switch::of(settings.auto_remind),
            remind_gb: settings.remind_gb,
            remind_days: settings.remind_days,
            auto_rebuy: Switch::of(settings.auto_rebuy),
            rebuy_gb: settings.rebuy_gb,
            rebuy_days: settings.rebuy_days,
            rebuy_package_id: settings.rebuy_offer.map_or(0, OfferId::get),
            rebuy_traffic_gb: rebuy.as_ref().map_or(0, |offer| offer.traffic_gb),
            rebuy_plan_type: PlanType::of(rebuy.as_ref().map_or("", |offer| &offer.plan_type)),
            rebuy_status: settings.rebuy_status.into(),
        }
    }
}

fn bought(holding: &Holding, zone: &Zone) -> Vec<BoughtPackage> {
    let bought = holding.packages.iter().map(|package| BoughtPackage {
        id: package.id.get(),
        traffic_package_id: package.offer.get(),
        total_traffic: package.total.as_i64(),
        cost_traffic: package.used.as_i64(),
        amount: package.amount.get(),
        create_time: zone.show(package.bought_at),
        expire_time: zone.show(package.expires_at),
    });
    bought.collect()
}
