//! The wallet: call 2, and its history.

use axum::extract::State;
use serde::Serialize;
use tollgate_core::wallets::{self, WalletLine};
use tollgate_core::{Core, accounts};
use tollgate_types::Zone;
use utoipa::ToSchema;

use crate::callers::Caller;
use crate::envelope::{Answer, Envelope, List, ok};
use crate::params::Filters;
use crate::words::PageParams;

/// The wallet, and what the account pays per GB once no package covers the traffic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WalletInfo {
    /// 机房流量单价(美分)
    #[schema(example = 200, minimum = 0)]
    dc_price: i64,
    /// 住宅流量单价(美分)
    #[schema(example = 533, minimum = 0)]
    res_price: i64,
    /// 移动流量单价(美分)
    #[schema(example = 1104, minimum = 0)]
    mobile_price: i64,
    /// 总充值(美分)
    #[schema(example = 136300, minimum = 0)]
    total_recharge: i64,
    /// 总消费(美分)
    #[schema(example = 131300, minimum = 0)]
    total_consume: i64,
    /// 余额(美分): always `total_recharge − total_consume`
    #[schema(example = 5000, minimum = 0)]
    balance: i64,
}

/// 获取钱包信息
#[utoipa::path(get, path = "/api/users/wallet/info", tag = "基础信息",
    responses((status = 200, body = Envelope<WalletInfo>)))]
pub(crate) async fn info(caller: Caller, State(core): State<Core>) -> Answer<WalletInfo> {
    let accounts::Overview { account, wallet, .. } = accounts::get(&core, caller.account).await?;
    let [res_price, dc_price, mobile_price] = account.prices.map(|price| price.get());
    ok(WalletInfo {
        dc_price,
        res_price,
        mobile_price,
        total_recharge: wallet.total_recharge.get(),
        total_consume: wallet.total_consume.get(),
        balance: wallet.balance().get(),
    })
}

/// One line of a wallet's history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LedgerLine {
    /// The entry's id.
    id: i64,
    /// What happened: recharge, adjustment, package_bought, package_closed, wallet_traffic, static_bought, static_renewed,
    /// static_refunded.
    #[schema(example = "recharge")]
    kind: String,
    /// What it did to the balance, in cents; 0 where it moved money that had left the wallet before.
    #[schema(example = 5000)]
    amount: i64,
    /// What it stands for; unique among the lines of its kind.
    reference: String,
    /// One line for people.
    memo: String,
    /// 创建时间
    #[schema(example = "2025-09-14 06:22:26")]
    create_time: String,
}

impl LedgerLine {
    pub(crate) fn new(line: WalletLine, zone: &Zone) -> Self {
        Self {
            id: line.id.get(),
            kind: line.kind,
            amount: line.amount.get(),
            reference: line.reference,
            memo: line.memo,
            create_time: zone.show(line.at),
        }
    }
}

/// 获取钱包流水
///
/// Everything that ever moved money of this wallet, newest first.
#[utoipa::path(get, path = "/api/users/wallet/ledger", tag = "基础信息", params(PageParams),
    responses((status = 200, body = Envelope<List<LedgerLine>>)))]
pub(crate) async fn ledger(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<PageParams>,
) -> Answer<List<LedgerLine>> {
    let (lines, total) = wallets::ledger(&core, caller.account, params.page()?).await?;
    ok(List { records: lines.into_iter().map(|line| LedgerLine::new(line, core.zone())).collect(), total })
}
