//! Totals for a dashboard.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use tollgate_core::{Core, Page, jobs, overview, statics};
use tollgate_types::StaticType;
use utoipa::ToSchema;

use crate::callers::Operator;
use crate::envelope::{Answer, Envelope, ok};
use crate::live::Live;
use crate::words::{StaticTypeWord, TrafficType};

/// Totals over the whole platform.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OverviewData {
    /// Accounts, suspended ones too.
    #[schema(minimum = 0)]
    accounts: i64,
    /// Accounts that are not suspended.
    #[schema(minimum = 0)]
    active_accounts: i64,
    /// Money ever received, in cents.
    money_in: i64,
    /// Money ever spent from wallets, in cents.
    money_out: i64,
    /// What all wallets hold, in cents.
    balance: i64,
    /// What is owed in bytes (bought, neither used nor expired yet), in cents.
    owed: i64,
    /// Traffic by type and day over the last 30 days; days without traffic are left out.
    traffic: Vec<TrafficDay>,
    /// Open connections.
    #[schema(minimum = 0)]
    connections: i64,
    /// Exits that connections are sent through.
    #[schema(minimum = 0)]
    exits_up: i64,
    /// Exits that are switched on and not healthy.
    #[schema(minimum = 0)]
    exits_down: i64,
    /// Addresses of each static type by state.
    stock: Vec<StockTotal>,
    /// Jobs that have failed too often and wait for the operator.
    #[schema(minimum = 0)]
    dead_jobs: i64,
}

/// Addresses of one static type.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StockTotal {
    /// The type.
    proxy_type: StaticTypeWord,
    /// Can be leased.
    #[schema(minimum = 0)]
    free: i64,
    /// In customers' hands.
    #[schema(minimum = 0)]
    leased: i64,
    /// Resting, or expired and still renewable.
    #[schema(minimum = 0)]
    grace: i64,
    /// Out of service.
    #[schema(minimum = 0)]
    disabled: i64,
}

impl StockTotal {
    fn of(static_type: StaticType, totals: &[(StaticType, String, i64)]) -> Self {
        let count = |state: &str| {
            let of_state = totals.iter().filter(|(of, word, _)| *of == static_type && word == state);
            of_state.map(|(.., count)| count).sum()
        };
        Self {
            proxy_type: static_type.into(),
            free: count("free"),
            leased: count("leased"),
            grace: count("grace"),
            disabled: count("disabled"),
        }
    }
}

/// Everybody's traffic of one type on one day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrafficDay {
    /// The day.
    #[schema(example = "2025-09-07")]
    day: String,
    /// The type.
    proxy_type: TrafficType,
    /// Bytes that packages paid for.
    #[schema(minimum = 0)]
    package_traffic: i64,
    /// Bytes that wallets paid for.
    #[schema(minimum = 0)]
    wallet_traffic: i64,
    /// Both together.
    #[schema(minimum = 0)]
    total_traffic: i64,
}

/// Totals for a dashboard
#[utoipa::path(get, path = "/api/admin/overview", tag = "operator",
    responses((status = 200, body = Envelope<OverviewData>)))]
pub(crate) async fn overview(
    _: Operator,
    State(core): State<Core>,
    State(live): State<Arc<dyn Live>>,
) -> Answer<OverviewData> {
    let totals = overview::read(&core).await?;
    let stock = statics::stock_totals(&core).await?;
    let (_, dead_jobs) = jobs::admin::list(&core, Some("dead".to_owned()), Page::new(None, Some(1))?).await?;
    let (up, down): (Vec<_>, Vec<_>) = live.exits().into_iter().partition(|exit| exit.healthy);
    let traffic = totals.traffic.into_iter().map(|total| TrafficDay {
        day: total.day.to_string(),
        proxy_type: total.proxy_type.into(),
        package_traffic: total.package.as_i64(),
        wallet_traffic: total.wallet.as_i64(),
        total_traffic: total.package.plus(total.wallet).as_i64(),
    });
    ok(OverviewData {
        accounts: totals.accounts,
        active_accounts: totals.active_accounts,
        money_in: totals.money_in.get(),
        money_out: totals.money_out.get(),
        balance: totals.balance.get(),
        owed: totals.owed.get(),
        traffic: traffic.collect(),
        connections: count(live.connections().len()),
        exits_up: count(up.len()),
        exits_down: count(down.len()),
        stock: StaticType::ALL.map(|static_type| StockTotal::of(static_type, &stock)).into(),
        dead_jobs,
    })
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
