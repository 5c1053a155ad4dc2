//! Ordering static proxies.

use serde_json::json;
use tollgate_ledger::statics::{extension, shares};
use tollgate_ledger::{Entry, StaticSale, Wallet};
use tollgate_store::statics::orders::NewOrder;
pub use tollgate_store::statics::orders::Order as OrderRow;
use tollgate_store::statics::prices::Price;
use tollgate_store::statics::proxies::{Credentials, NewProxies};
use tollgate_store::{self as store, OrderKind, OrderState, Tx};
use tollgate_types::{
    AccountId, Cents, Country, StaticOrderId, StaticPriceId, StaticProtocol, StaticProxyId, StaticType,
    StockId, Time,
};

use super::prices::order_amount;
use super::{credentials, marks};
use crate::directory::{self, Subject};
use crate::events::{self, EventKind};
use crate::idempotency::{self, Kept, Once, Outcome};
use crate::jobs::JobKind;
use crate::{Core, Error, Noun, Page, Rule};

/// How many numbers are drawn for an order before one is free, which the first is but once in
/// millions of millions.
const MOST_DRAWS: u32 = 8;

/// What a customer orders.
#[derive(Debug, Clone)]
pub struct OrderRequest {
    /// What kind of address.
    pub static_type: StaticType,
    /// Where: a country code.
    pub country: String,
    /// What the proxies are to speak.
    pub protocol: StaticProtocol,
    /// How many, for how long, at which price.
    pub price: StaticPriceId,
}

/// What an order would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// How many addresses.
    pub count: i64,
    /// Cents for one address for the period.
    pub price: Cents,
    /// Per cent off.
    pub discount: i64,
    /// For how many days.
    pub period: i64,
    /// What the order costs.
    pub amount: Cents,
    /// Whether so many are free now.
    pub in_stock: bool,
    /// What the wallet holds.
    pub balance: Cents,
}

/// What an order would cost, and whether it could be delivered now. Nothing is held.
///
/// # Errors
/// As [`order`], but for stock and money.
pub async fn quote(core: &Core, account: AccountId, ask: OrderRequest) -> Result<Quote, Error> {
    let country = super::country(&ask.country)?;
    core.db()
        .read(move |tx| {
            let price = price_of(tx, &ask)?;
            if !store::statics::stock::has_shelf(tx, price.static_type, country)? {
                return Err(nothing_there());
            }
            let free = store::statics::stock::count_free(tx, price.static_type, country, price.count)?;
            Ok(Quote {
                count: price.count,
                price: price.price,
                discount: price.discount,
                period: price.period,
                amount: order_amount(&price)?,
                in_stock: free >= price.count,
                balance: store::wallets::read(tx, account)?.balance(),
            })
        })
        .await
}

/// What an order did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The order.
    pub order: StaticOrderId,
    /// What it is called.
    pub order_no: String,
    /// What it cost.
    pub amount: Cents,
    /// Whether it is to be delivered later, for stock is short.
    pub pending: bool,
}

/// Orders addresses from the wallet: all of them, or none (contract call 18).
///
/// # Errors
/// [`Error::Invalid`] for a `country` that is none or where there is nothing of this type, and for
/// a `price_package_id` of another type; [`Error::NotFound`] for a price package that is not on
/// sale; [`Error::OutOfStock`], [`Error::InsufficientFunds`], [`Error::Conflict`] for a reused
/// idempotency key.
pub async fn order(
    core: &Core,
    account: AccountId,
    ask: OrderRequest,
    once: Option<Once>,
) -> Result<Outcome<Ordered>, Error> {
    let country = super::country(&ask.country)?;
    // How many an item is of never changes. Credentials take a while to make: not while others wait
    // for the stock.
    let price = ask.price;
    let price = core.db().read(move |tx| Ok::<_, Error>(store::statics::prices::by_id(tx, price)?)).await?;
    let count = price.map_or(0, |price| usize::try_from(price.count).unwrap_or(0));
    let credentials = credentials::make(core, count).await?;
    let inner = core.clone();
    let work = move |tx: &mut Tx<'_>, wallet: Wallet, now| {
        let placing = Placing { core: &inner, account, ask: &ask, country, credentials: &credentials, now };
        placing.place(tx, &wallet)
    };
    let ordered = idempotency::once(core, account, once, work).await?;
    directory::published(core).await;
    Ok(ordered)
}

/// An order on its way.
struct Placing<'a> {
    core: &'a Core,
    account: AccountId,
    ask: &'a OrderRequest,
    country: Country,
    credentials: &'a [Credentials],
    now: Time,
}

impl Placing<'_> {
    fn place(&self, tx: &mut Tx<'_>, wallet: &Wallet) -> Result<Ordered, Error> {
        let (account, now) = (self.account, self.now);
        let price = price_of(tx, self.ask)?;
        let amount = order_amount(&price)?;
        let paid = wallet.spend(amount)?;
        let stock = self.take(tx, &price)?;
        crate::wallets::write(tx, account, wallet, &paid, now)?;
        let pending = stock.is_none();
        let (order, order_no) = self.enter(tx, &price, amount, pending)?;
        let (_, expires_at) = self.deliver(tx, &price, order, amount, stock)?;
        let ordered = Ordered { order, order_no, amount, pending };
        if !pending {
            let told = completed(&ordered.order_no, &price, self.country, amount);
            events::emit(tx, account, EventKind::StaticOrderCompleted, &told, now)?;
            set_jobs(tx, order, expires_at, now)?;
            directory::publish(tx, Subject::StaticOrder(order), now)?;
        }
        Ok(ordered)
    }

    /// Takes what is ordered from stock; `None` where it is to be delivered later.
    fn take(&self, tx: &mut Tx<'_>, price: &Price) -> Result<Option<Vec<StockId>>, Error> {
        let (kind, country) = (price.static_type, self.country);
        if !store::statics::stock::lock_shelf(tx, kind, country)? {
            return Err(nothing_there());
        }
        let free = store::statics::stock::count_free(tx, kind, country, price.count)?;
        match (free >= price.count, price.back_orders) {
            (true, _) => Ok(Some(store::statics::stock::lease(tx, kind, country, price.count, self.now)?)),
            (false, true) => Ok(None),
            (false, false) => Err(Error::OutOfStock),
        }
    }

    /// Writes the order and its entry.
    fn enter(
        &self,
        tx: &mut Tx<'_>,
        price: &Price,
        amount: Cents,
        pending: bool,
    ) -> Result<(StaticOrderId, String), Error> {
        let new = NewOrder {
            account: self.account,
            kind: OrderKind::Purchase,
            static_type: price.static_type,
            country: self.country.to_string(),
            protocol: self.ask.protocol.as_str(),
            price: price.id,
            count: price.count,
            amount,
            state: if pending { OrderState::Pending } else { OrderState::Completed },
        };
        let (order, order_no) = number(tx, self.core, &new, self.now)?;
        let memo = format!("{} × {} {}, {} days", price.count, price.static_type, self.country, price.period);
        enter_sale(tx, &new, &order_no, memo, self.now)?;
        Ok((order, order_no))
    }

    /// Writes the proxies and what was paid for which time of each.
    fn deliver(
        &self,
        tx: &mut Tx<'_>,
        price: &Price,
        order: StaticOrderId,
        amount: Cents,
        stock: Option<Vec<StockId>>,
    ) -> Result<(Time, Time), Error> {
        let count = usize::try_from(price.count).unwrap_or(0);
        let stock: Vec<Option<StockId>> = match stock {
            Some(stock) => stock.into_iter().map(Some).collect(),
            None => vec![None; count],
        };
        if self.credentials.len() != count || stock.len() != count {
            return Err(Error::Internal("an order is not of as many proxies as it says".into()));
        }
        let term = extension(self.now, self.now, price.period);
        let new = NewProxies {
            account: self.account,
            order,
            price: price.id,
            static_type: price.static_type,
            country: self.country,
            protocol: self.ask.protocol,
            expires_at: term.1,
        };
        let mut proxies = Vec::with_capacity(count);
        for (stock, credentials) in stock.into_iter().zip(self.credentials) {
            proxies.push(store::statics::proxies::insert(tx, &new, stock, credentials, self.now)?);
        }
        write_terms(tx, order, &proxies, amount, term)?;
        Ok(term)
    }
}

/// Divides an order's amount among its proxies.
fn write_terms(
    tx: &mut Tx<'_>,
    order: StaticOrderId,
    proxies: &[StaticProxyId],
    amount: Cents,
    term: (Time, Time),
) -> Result<(), Error> {
    let shares: Vec<(StaticProxyId, Cents)> =
        proxies.iter().copied().zip(shares(amount, proxies.len())).collect();
    // Proxies were numbered as they were written: those with like shares stand together.
    for alike in shares.chunk_by(|one, next| one.1 == next.1) {
        if let (Some((first, share)), Some((last, _))) = (alike.first(), alike.last()) {
            store::statics::terms::insert_alike(tx, order, (*first, *last), *share, term)?;
        }
    }
    Ok(())
}

/// Writes an order under a number that no other has.
pub(super) fn number(
    tx: &mut Tx<'_>,
    core: &Core,
    new: &NewOrder,
    now: Time,
) -> Result<(StaticOrderId, String), Error> {
    for _ in 0..MOST_DRAWS {
        let order_no = credentials::order_no(core);
        if let Some(order) = store::statics::orders::insert(tx, &order_no, new, now)? {
            return Ok((order, order_no));
        }
    }
    Err(Error::Internal("every number that was drawn for an order is taken".into()))
}

/// Enters what an order cost.
pub(super) fn enter_sale(
    tx: &mut Tx<'_>,
    order: &NewOrder,
    order_no: &str,
    memo: String,
    now: Time,
) -> Result<(), Error> {
    let sale = StaticSale {
        static_type: order.static_type,
        renewal: order.kind == OrderKind::Renewal,
        order_no: order_no.to_owned(),
        amount: order.amount,
        memo,
    };
    if let Some(entry) = Entry::static_sold(order.account, sale)? {
        store::entries::insert(tx, &entry, now)?;
    }
    Ok(())
}

/// What is to happen by itself to proxies that have just been delivered.
pub(super) fn set_jobs(
    tx: &mut Tx<'_>,
    order: StaticOrderId,
    expires_at: Time,
    now: Time,
) -> Result<(), Error> {
    let kinds =
        [(JobKind::StaticExpiry, Some(expires_at)), (JobKind::StaticRenewal, marks::next(expires_at, now))];
    for (kind, at) in kinds {
        if let Some(at) = at {
            store::statics::orders::set_jobs(tx, order, kind.as_str(), at, now)?;
        }
    }
    Ok(())
}

/// What is told of an order that is there.
pub(super) fn completed(order_no: &str, price: &Price, country: Country, amount: Cents) -> serde_json::Value {
    json!({
        "order_no": order_no, "proxy_type": price.static_type.as_str(), "country": country.as_str(),
        "count": price.count, "amount": amount.get(),
    })
}

/// The price package that is ordered, where it can be.
fn price_of(tx: &mut Tx<'_>, ask: &OrderRequest) -> Result<Price, Error> {
    let found = store::statics::prices::by_id(tx, ask.price)?.filter(|price| price.on_sale);
    let price = found.ok_or(Error::NotFound(Noun::StaticPrice))?;
    match price.static_type == ask.static_type {
        true => Ok(price),
        false => Err(Error::invalid("price_package_id", Rule::Reference)),
    }
}

/// There never was anything of that type in that country.
fn nothing_there() -> Error {
    Error::invalid("country", Rule::Reference)
}

impl Kept for Ordered {
    fn to_text(&self) -> String {
        format!("{} {} {} {}", self.order, self.order_no, self.amount, u8::from(self.pending))
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        Some(Self {
            order: StaticOrderId::new(words.next()?.parse().ok()?),
            order_no: words.next()?.to_owned(),
            amount: Cents::new(words.next()?.parse().ok()?),
            pending: words.next()? == "1",
        })
    }
}

/// Which orders a page shows: what is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// Whose.
    pub account: Option<AccountId>,
    /// pending, completed or cancelled.
    pub state: Option<String>,
    /// Exactly this one.
    pub order_no: Option<String>,
}

/// A page of orders, newest first, and how many there are.
///
/// # Errors
/// [`Error::Invalid`] for `state`.
pub async fn orders(core: &Core, filter: OrderFilter, page: Page) -> Result<(Vec<OrderRow>, i64), Error> {
    let filter = store::statics::orders::Filter {
        account: filter.account.map_or(0, AccountId::get),
        state: super::requests::word("state", filter.state, OrderState::WORDS)?,
        order_no: super::proxies::storable(filter.order_no),
    };
    core.db()
        .read(move |tx| Ok(store::statics::orders::page(tx, &filter, page.limit(), page.offset())?))
        .await
}
