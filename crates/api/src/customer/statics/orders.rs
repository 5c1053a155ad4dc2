//! Ordering and renewing: calls 18 and 19, what they would cost, and what was ordered.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::statics::{self, OrderFilter, OrderRequest, OrderRow, RenewalLine};
use tollgate_core::{Core, Page};
use tollgate_types::{StaticPriceId, StaticProtocol, StaticProxyId, StaticType, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::envelope::{Answer, Envelope, List, ok, spent};
use crate::params::{Filters, Idempotency, Params, Spending};
use crate::words::{PaymentType, ProtocolWord, StaticTypeWord};

/// What to order.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewOrder {
    /// 代理类型,res:住宅,dc:机房,ipv6:IPV6,必填
    proxy_type: StaticTypeWord,
    /// 国家编码,必填
    #[schema(example = "us", pattern = "^[A-Za-z]{2}$")]
    country: String,
    /// 协议,http,socks5,http/socks5,必填
    protocol: ProtocolWord,
    /// 价格套餐ID,必填
    #[schema(example = 0, minimum = 0)]
    price_package_id: i64,
    /// 支付类型,wallet_only:钱包支付,必填
    payment_type: PaymentType,
}

impl NewOrder {
    /// What the same key has to come with to be the same order.
    fn parameters(&self) -> [String; 4] {
        let static_type = StaticType::from(self.proxy_type).to_string();
        let protocol = StaticProtocol::from(self.protocol).to_string();
        [static_type, self.country.to_ascii_lowercase(), protocol, self.price_package_id.to_string()]
    }
}

/// An order that was placed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ordered {
    /// 订单号
    #[schema(example = "16987AE61820")]
    order_no: String,
    /// What was charged, in cents.
    #[schema(example = 1500, minimum = 0)]
    amount: i64,
    /// completed: the addresses are in the list; pending: stock was short, they are delivered later.
    order_status: PlacedStatus,
}

/// completed: delivered, pending: delivered later
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "completed")]
pub(crate) enum PlacedStatus {
    Completed,
    Pending,
}

/// 创建静态订单
///
/// 注:仅支持钱包扣款,请保证余额充足! Charged and delivered atomically, once: all of the price package's
/// `count` addresses, or none.
#[utoipa::path(post, path = "/api/users/static/order/create", tag = "静态代理", request_body = NewOrder,
    params(Idempotency),
    responses(
        (status = 200, body = Envelope<Ordered>),
        (status = 402, description = "40200: the wallet's balance is too low; nothing was charged"),
        (status = 404, description = "40400: no such price package on sale"),
        (status = 409, description = "40901: out of stock, nothing was charged; \
            40900: the idempotency key was used with other parameters"),
    ))]
pub(crate) async fn create(
    caller: Caller,
    spending: Spending,
    State(core): State<Core>,
    Params(params): Params<NewOrder>,
) -> Answer<Ordered> {
    let parameters = params.parameters();
    let parameters = parameters.each_ref().map(String::as_str);
    let (once, receipt) = spending.of(&core, caller.account, "static/order/create", &parameters);
    let NewOrder { proxy_type, country, protocol, price_package_id, payment_type: PaymentType::WalletOnly } =
        params;
    let request = request(proxy_type, country, protocol, price_package_id);
    let ordered = statics::order(&core, caller.account, request, once).await?;
    let ordered = ordered.map(|ordered| Ordered {
        order_no: ordered.order_no,
        amount: ordered.amount.get(),
        order_status: if ordered.pending { PlacedStatus::Pending } else { PlacedStatus::Completed },
    });
    spent(ordered, receipt)
}

fn request(
    proxy_type: StaticTypeWord,
    country: String,
    protocol: ProtocolWord,
    price_package_id: i64,
) -> OrderRequest {
    OrderRequest {
        static_type: proxy_type.into(),
        country,
        protocol: protocol.into(),
        price: StaticPriceId::new(price_package_id),
    }
}

/// What would be ordered.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrderQuoteParams {
    /// 代理类型,res:住宅,dc:机房,ipv6:IPV6,必填
    #[param(inline)]
    proxy_type: StaticTypeWord,
    /// 国家编码,必填
    #[param(example = "us", pattern = "^[A-Za-z]{2}$")]
    country: String,
    /// 协议,http,socks5,http/socks5,必填
    #[param(inline)]
    protocol: ProtocolWord,
    /// 价格套餐ID,必填
    #[param(example = 0, minimum = 0)]
    price_package_id: i64,
    /// 支付类型,wallet_only:钱包支付
    #[param(inline)]
    payment_type: Option<PaymentType>,
}

/// What an order would cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderQuote {
    /// 数量
    #[schema(example = 3, minimum = 1)]
    count: i64,
    /// 有效期(单位:天)
    #[schema(example = 30, minimum = 1)]
    period: i64,
    /// 价格(单位:美分): of one address for the period
    #[schema(example = 500, minimum = 0)]
    price: i64,
    /// 折扣(0-100): per cent off, 0 = none
    #[schema(example = 0, minimum = 0, maximum = 100)]
    discount: i64,
    /// 金额(单位:美分): what the order would cost
    #[schema(example = 1500, minimum = 0)]
    amount: i64,
    /// Whether so many addresses are free now.
    in_stock: bool,
    /// 余额(美分)
    #[schema(example = 5000, minimum = 0)]
    balance: i64,
}

/// 静态订单报价
///
/// What an order with the same parameters would cost now. Nothing is held or charged.
#[utoipa::path(get, path = "/api/users/static/order/quote", tag = "静态代理", params(OrderQuoteParams), responses(
    (status = 200, body = Envelope<OrderQuote>),
    (status = 404, description = "40400: no such price package on sale"),
))]
pub(crate) async fn quote(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<OrderQuoteParams>,
) -> Answer<OrderQuote> {
    let OrderQuoteParams {
        proxy_type,
        country,
        protocol,
        price_package_id,
        payment_type: None | Some(PaymentType::WalletOnly),
    } = params;
    let request = request(proxy_type, country, protocol, price_package_id);
    let quote = statics::quote(&core, caller.account, request).await?;
    ok(OrderQuote {
        count: quote.count,
        period: quote.period,
        price: quote.price.get(),
        discount: quote.discount,
        amount: quote.amount.get(),
        in_stock: quote.in_stock,
        balance: quote.balance.get(),
    })
}

/// What to renew.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RebuyParams {
    /// 代理类型,res:住宅,dc:机房,ipv6:IPV6,必填
    proxy_type: StaticTypeWord,
    /// 续费代理id,必填: with commas between them, each once
    #[schema(value_type = String, example = "10000,10001", pattern = "^[0-9]{1,18}(,[0-9]{1,18})*$")]
    proxy_ids: Vec<i64>,
    /// 支付类型,wallet_only:钱包支付,必填
    payment_type: PaymentType,
}

/// A renewal that was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Renewed {
    /// 订单号: of the renewal
    #[schema(example = "16987AE61820")]
    order_no: String,
    /// What was charged, in cents.
    #[schema(example = 1000, minimum = 0)]
    amount: i64,
    /// Each proxy, in the order in which they were named.
    proxies: Vec<RenewedProxy>,
}

/// One proxy's part in a renewal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RenewedProxy {
    /// Its id.
    #[schema(example = 10000)]
    id: i64,
    /// What it costs, in cents.
    #[schema(example = 500, minimum = 0)]
    amount: i64,
    /// 过期时间: until when it works then
    #[schema(example = "2025-10-14 12:57:38")]
    expire_time: String,
}

impl RenewedProxy {
    fn all(lines: Vec<RenewalLine>, zone: &Zone) -> Vec<Self> {
        let proxies = lines.into_iter().map(|line| Self {
            id: line.proxy.get(),
            amount: line.amount.get(),
            expire_time: zone.show(line.expires_at),
        });
        proxies.collect()
    }
}

/// 续费静态订单
///
/// 注:仅支持钱包扣款,请保证余额充足! Each proxy is extended by the period that it was bought for, from the later of
/// now and its expiry, at its package's price for one address: all of them, or none.
#[utoipa::path(post, path = "/api/users/static/order/rebuy", tag = "静态代理", request_body = RebuyParams,
    params(Idempotency),
    responses(
        (status = 200, body = Envelope<Renewed>),
        (status = 402, description = "40200: the wallet's balance is too low; nothing was charged"),
        (status = 404, description = "40400: one of them is not a proxy of this type and account"),
        (status = 409, description = "40900: one of them is being refunded, or has not been delivered yet; \
            or the idempotency key was used with other parameters"),
    ))]
pub(crate) async fn rebuy(
    caller: Caller,
    spending: Spending,
    State(core): State<Core>,
    Params(params): Params<RebuyParams>,
) -> Answer<Renewed> {
    let RebuyParams { proxy_type, proxy_ids, payment_type: PaymentType::WalletOnly } = params;
    let static_type = StaticType::from(proxy_type);
    let parameters = [static_type.as_str(), &joined(&proxy_ids)];
    let (once, receipt) = spending.of(&core, caller.account, "static/order/rebuy", &parameters);
    let renewed = statics::renew(&core, caller.account, static_type, proxies(proxy_ids), once).await?;
    let renewed = renewed.map(|renewed| Renewed {
        order_no: renewed.order_no,
        amount: renewed.amount.get(),
        proxies: RenewedProxy::all(renewed.lines, core.zone()),
    });
    spent(renewed, receipt)
}

fn joined(ids: &[i64]) -> String {
    ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

fn proxies(ids: Vec<i64>) -> Vec<StaticProxyId> {
    ids.into_iter().map(StaticProxyId::new).collect()
}

/// What would be renewed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RebuyQuoteParams {
    /// 代理类型,res:住宅,dc:机房,ipv6:IPV6,必填
    #[param(inline)]
    proxy_type: StaticTypeWord,
    /// 续费代理id,必填: with commas between them, each once
    #[param(value_type = String, example = "10000,10001", pattern = "^[0-9]{1,18}(,[0-9]{1,18})*$")]
    proxy_ids: Vec<i64>,
    /// 支付类型,wallet_only:钱包支付
    #[param(inline)]
    payment_type: Option<PaymentType>,
}

/// What a renewal would cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RebuyQuote {
    /// 金额(单位:美分)
    #[schema(example = 1000, minimum = 0)]
    amount: i64,
    /// 余额(美分)
    #[schema(example = 5000, minimum = 0)]
    balance: i64,
    /// Each proxy, in the order in which they were named.
    proxies: Vec<RenewedProxy>,
}

/// 静态续费报价
///
/// What a renewal with the same parameters would cost now. Nothing is charged.
#[utoipa::path(get, path = "/api/users/static/order/rebuy/quote", tag = "静态代理", params(RebuyQuoteParams),
    responses(
        (status = 200, body = Envelope<RebuyQuote>),
        (status = 404, description = "40400: one of them is not a proxy of this type and account"),
        (status = 409, description = "40900: one of them is being refunded, or has not been delivered yet"),
    ))]
pub(crate) async fn rebuy_quote(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<RebuyQuoteParams>,
) -> Answer<RebuyQuote> {
    let RebuyQuoteParams { proxy_type, proxy_ids, payment_type: None | Some(PaymentType::WalletOnly) } =
        params;
    let quote = statics::quote_renewal(&core, caller.account, proxy_type.into(), proxies(proxy_ids)).await?;
    ok(RebuyQuote {
        amount: quote.amount.get(),
        balance: quote.balance.get(),
        proxies: RenewedProxy::all(quote.lines, core.zone()),
    })
}

/// What an order was for.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "purchase")]
pub(crate) enum OrderKind {
    Purchase,
    Renewal,
}

/// pending: to be delivered, completed: done, cancelled: not delivered and paid back
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "completed")]
pub(crate) enum OrderState {
    Pending,
    Completed,
    Cancelled,
}

impl OrderState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The stored word's; anything but the three is not stored.
    fn of(word: &str) -> Self {
        match word {
            "pending" => Self::Pending,
            "cancelled" => Self::Cancelled,
            _ => Self::Completed,
        }
    }
}

/// An order of static proxies.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderRecord {
    /// Its id.
    #[schema(example = 1)]
    id: i64,
    /// 订单号
    #[schema(example = "16987AE61820")]
    order_no: String,
    /// Whose it is.
    #[schema(example = 1)]
    account_id: i64,
    /// purchase: a new order, renewal: of proxies that were there
    kind: OrderKind,
    /// 代理类型
    proxy_type: StaticTypeWord,
    /// 国家编码; empty for renewals
    #[schema(example = "us")]
    country: String,
    /// 协议; empty for renewals
    #[schema(example = "http")]
    protocol: String,
    /// 数量
    #[schema(example = 3, minimum = 1)]
    count: i64,
    /// 金额(单位:美分)
    #[schema(example = 1500, minimum = 0)]
    amount: i64,
    /// pending: to be delivered, completed: done, cancelled: not delivered and paid back
    state: OrderState,
    /// 创建时间
    #[schema(example = "2025-09-14 12:57:38")]
    create_time: String,
    /// 修改时间
    #[schema(example = "2025-09-14 12:57:38")]
    update_time: String,
}

impl OrderRecord {
    pub(crate) fn new(row: OrderRow, zone: &Zone) -> Self {
        Self {
            id: row.id.get(),
            order_no: row.order_no,
            account_id: row.account.get(),
            kind: if row.kind == "renewal" { OrderKind::Renewal } else { OrderKind::Purchase },
            proxy_type: row.static_type.into(),
            country: row.country,
            protocol: row.protocol,
            count: row.count,
            amount: row.amount.get(),
            state: OrderState::of(&row.state),
            create_time: zone.show(row.created_at),
            update_time: zone.show(row.updated_at),
        }
    }
}

/// Which orders to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrdersParams {
    /// 分页索引, 非必传, 默认1
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// 分页条数, 非必传, 默认10
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// pending, completed or cancelled
    #[param(inline)]
    state: Option<OrderState>,
    /// 订单号
    #[param(example = "16987AE61820")]
    order_no: Option<String>,
}

/// 获取静态订单列表
///
/// Newest first.
#[utoipa::path(get, path = "/api/users/static/orders", tag = "静态代理", params(OrdersParams),
    responses((status = 200, body = Envelope<List<OrderRecord>>)))]
pub(crate) async fn list(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<OrdersParams>,
) -> Answer<List<OrderRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let filter = OrderFilter {
        account: Some(caller.account),
        state: params.state.map(|state| state.as_str().to_owned()),
        order_no: params.order_no,
    };
    let (orders, total) = statics::orders(&core, filter, page).await?;
    ok(List { records: orders.into_iter().map(|row| OrderRecord::new(row, core.zone())).collect(), total })
}
