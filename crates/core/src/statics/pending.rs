//! Back-orders: what was ordered while stock was short, and waits for the operator.

use std::collections::BTreeSet;

use serde_json::json;
use tollgate_ledger::Entry;
use tollgate_ledger::statics::extension;
use tollgate_store::statics::prices::Price;
use tollgate_store::{self as store, OrderState, Tx};
use tollgate_types::{Cents, Country, StaticOrderId, StockId, Time};

use super::OrderRow;
use super::orders::{completed, set_jobs};
use crate::audit_log::{self, Actor};
use crate::directory::{self, Subject, write_and_publish};
use crate::events::{self, EventKind};
use crate::{Conflict, Core, Error, Noun, Rule};

/// Delivers a pending order: from these items, or from any that are free where none are named. The
/// time that was paid for begins now.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Conflict`] where the order is not pending, [`Error::OutOfStock`],
/// [`Error::Invalid`] for `stock_ids`: too few or too many, named twice, not free, of another type
/// or country.
pub async fn fulfil(core: &Core, actor: Actor, id: StaticOrderId, stock: Vec<StockId>) -> Result<(), Error> {
    if stock.iter().collect::<BTreeSet<_>>().len() < stock.len() {
        return Err(Error::invalid("stock_ids", Rule::Doubled));
    }
    let now = core.now();
    write_and_publish(core, move |tx| {
        let order = hold_pending(tx, id)?;
        let price = store::statics::prices::by_id(tx, order.price)?.ok_or_else(|| broken(&order))?;
        let country: Country = order.country.parse().map_err(|_| broken(&order))?;
        let stock = take(tx, &price, country, &stock, now)?;
        let term = extension(now, now, price.period);
        let proxies = store::statics::proxies::of_order(tx, id)?;
        if proxies.len() != stock.len() {
            return Err(broken(&order));
        }
        for (proxy, stock) in proxies.iter().zip(stock) {
            store::statics::proxies::deliver(tx, proxy.id, stock, term.1, now)?;
        }
        store::statics::terms::move_order(tx, id, term)?;
        store::statics::orders::set_state(tx, id, OrderState::Completed, now)?;
        log(tx, now, &actor, "static_order.fulfilled", &order, "")?;
        let told = completed(&order.order_no, &price, country, order.amount);
        events::emit(tx, order.account, EventKind::StaticOrderCompleted, &told, now)?;
        set_jobs(tx, id, term.1, now)?;
        directory::publish(tx, Subject::StaticOrder(id), now)
    })
    .await
}

/// Takes what an order is of from stock: what is named, or anything.
fn take(
    tx: &mut Tx<'_>,
    price: &Price,
    country: Country,
    named: &[StockId],
    now: Time,
) -> Result<Vec<StockId>, Error> {
    store::statics::stock::lock_shelf(tx, price.static_type, country)?;
    let count = usize::try_from(price.count).unwrap_or(usize::MAX);
    if named.is_empty() {
        let taken = store::statics::stock::lease(tx, price.static_type, country, price.count, now)?;
        return if taken.len() == count { Ok(taken) } else { Err(Error::OutOfStock) };
    }
    if named.len() != count {
        return Err(Error::invalid("stock_ids", Rule::Count { min: count, max: count }));
    }
    for id in named {
        if !store::statics::stock::lease_one(tx, *id, price.static_type, country, now)? {
            return Err(Error::invalid("stock_ids", Rule::Reference));
        }
    }
    Ok(named.to_vec())
}

/// Cancels a pending order and gives its whole price back; answers how much.
///
/// # Errors
/// [`Error::Invalid`] for `note`, [`Error::NotFound`], [`Error::Conflict`] where the order is not
/// pending.
pub async fn cancel(core: &Core, actor: Actor, id: StaticOrderId, note: String) -> Result<Cents, Error> {
    super::requests::check_note(&note)?;
    let now = core.now();
    core.db()
        .write(move |tx| {
            let order = hold_pending(tx, id)?;
            store::statics::terms::refund_order(tx, id)?;
            store::statics::proxies::end_order(tx, id, now)?;
            store::statics::orders::set_state(tx, id, OrderState::Cancelled, now)?;
            pay_back(tx, &order, now)?;
            log(tx, now, &actor, "static_order.cancelled", &order, &note)?;
            let told = json!({
                "order_no": order.order_no, "proxy_type": order.static_type.as_str(),
                "country": order.country, "count": order.count, "amount": order.amount.get(),
            });
            events::emit(tx, order.account, EventKind::StaticRefunded, &told, now)?;
            Ok(order.amount)
        })
        .await
}

fn pay_back(tx: &mut Tx<'_>, order: &OrderRow, now: Time) -> Result<(), Error> {
    let reference = format!("order:{}", order.order_no);
    let memo = "the order was cancelled".to_owned();
    let entry = Entry::static_refunded(order.account, order.static_type, order.amount, reference, memo)?;
    if let Some(entry) = entry {
        let wallet = store::wallets::read(tx, order.account)?;
        crate::wallets::write(tx, order.account, &wallet, &wallet.recharge(order.amount)?, now)?;
        store::entries::insert(tx, &entry, now)?;
    }
    Ok(())
}

/// A pending order, with its account's wallet locked.
fn hold_pending(tx: &mut Tx<'_>, id: StaticOrderId) -> Result<OrderRow, Error> {
    let missing = || Error::NotFound(Noun::StaticOrder);
    let account = store::statics::orders::by_id(tx, id)?.ok_or_else(missing)?.account;
    crate::locks::wallet(tx, account)?;
    let order = store::statics::orders::by_id(tx, id)?.ok_or_else(missing)?;
    match order.state == OrderState::Pending.as_str() {
        true => Ok(order),
        false => Err(Error::Conflict(Conflict::OrderDecided)),
    }
}

fn broken(order: &OrderRow) -> Error {
    Error::Internal(format!("order {} is not what it says", order.order_no))
}

fn log(
    tx: &mut Tx<'_>,
    now: Time,
    actor: &Actor,
    action: &str,
    order: &OrderRow,
    note: &str,
) -> Result<(), Error> {
    let detail = json!({
        "order_no": order.order_no, "count": order.count, "amount": order.amount.get(), "note": note,
    });
    let subject = format!("static_order:{}", order.id);
    audit_log::append(tx, now, actor, action, Some(order.account), &subject, &detail)
}
