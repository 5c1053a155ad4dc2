//! Requests about static proxies: another address, or the money back.

use std::time::Duration;

use serde_json::json;
use tollgate_ledger::statics::{Term, total, unused};
use tollgate_ledger::{Entry, Wallet};
use tollgate_store::statics::proxies::Proxy;
use tollgate_store::statics::requests::NewRequest;
pub use tollgate_store::statics::requests::Request as RequestRow;
use tollgate_store::{self as store, RequestKind, RequestState, StockState, Tx};
use tollgate_types::{AccountId, Cents, StaticProxyId, StaticRequestId, Time};

use super::{Held, LONGEST_TEXT, check_idle, ending, hold, hold_own, replacing, told};
use crate::audit_log::{self, Actor};
use crate::checks::check_text;
use crate::directory::{self, Subject, write_and_publish};
use crate::events::{self, EventKind};
use crate::jobs::{self, JobKind};
use crate::{Conflict, Core, Error, Noun, Page, Rule};

/// How often a proxy is given another address without being asked why.
const REPLACED_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What asking for another address did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The request.
    pub request: StaticRequestId,
    /// Whether the operator has to approve of it. Otherwise it is done in a moment.
    pub waits_for_operator: bool,
}

/// Asks for another address for a proxy, of the same type in the same country. Once in 24 hours it
/// is given by itself, more often if the operator approves.
///
/// # Errors
/// [`Error::Invalid`] for `reason`, [`Error::NotFound`], [`Error::OutOfStock`],
/// [`Error::Conflict`] where a request is open, or the proxy has expired or was not delivered yet.
pub async fn replace(
    core: &Core,
    account: AccountId,
    id: StaticProxyId,
    reason: String,
) -> Result<Asked, Error> {
    check_text("reason", &reason, 1, LONGEST_TEXT)?;
    let now = core.now();
    core.db()
        .write(move |tx| {
            let Held { proxy, .. } = hold_own(tx, account, id)?;
            check_idle(&proxy, now)?;
            if store::statics::stock::count_free(tx, proxy.static_type, proxy.country, 1)? == 0 {
                return Err(Error::OutOfStock);
            }
            let asked_by = Actor::Account(account).to_string();
            let since = now.minus(REPLACED_EVERY);
            let waits_for_operator = store::statics::requests::replaced_since(tx, id, &asked_by, since)? > 0;
            let state = if waits_for_operator { RequestState::Asked } else { RequestState::Going };
            let request = insert(tx, &proxy, RequestKind::Replace, &reason, state, now)?;
            if !waits_for_operator {
                replacing::begin(tx, request, now)?;
            }
            Ok(Asked { request, waits_for_operator })
        })
        .await
}

/// Asks to give a proxy back; answers how much would be paid back now. The proxy goes on working,
/// and is not renewed, until the operator decides. Where its address was taken out of service and
/// there was no other yet, that is decided first: a customer need not wait for an address that may
/// never come.
///
/// # Errors
/// [`Error::Invalid`] for `reason`, [`Error::NotFound`], [`Error::Conflict`] where a request is
/// open, or the proxy has expired or was not delivered yet.
pub async fn refund(
    core: &Core,
    account: AccountId,
    id: StaticProxyId,
    reason: String,
) -> Result<(StaticRequestId, Cents), Error> {
    check_text("reason", &reason, 1, LONGEST_TEXT)?;
    let now = core.now();
    core.db()
        .write(move |tx| {
            let Held { mut proxy, .. } = hold_own(tx, account, id)?;
            replacing::drop_operators(tx, &mut proxy, now)?;
            check_idle(&proxy, now)?;
            let request = insert(tx, &proxy, RequestKind::Refund, &reason, RequestState::Asked, now)?;
            let terms = store::statics::terms::unexpired(tx, id, now)?;
            Ok((request, total(terms.iter().map(|(_, term)| unused(term, now)))?))
        })
        .await
}

fn insert(
    tx: &mut Tx<'_>,
    proxy: &Proxy,
    kind: RequestKind,
    reason: &str,
    state: RequestState,
    now: Time,
) -> Result<StaticRequestId, Error> {
    let new = NewRequest {
        proxy: proxy.id,
        account: proxy.account,
        kind,
        asked_by: Actor::Account(proxy.account).to_string(),
        reason: reason.to_owned(),
        state,
        old_address: replacing::address(proxy),
    };
    Ok(store::statics::requests::insert(tx, &new, now)?)
}

/// Takes the customer's open request about a proxy back.
///
/// # Errors
/// [`Error::NotFound`] where there is no such proxy, or no request of its customer's is open.
pub async fn withdraw(core: &Core, account: AccountId, id: StaticProxyId) -> Result<(), Error> {
    let now = core.now();
    core.db()
        .write(move |tx| {
            let Held { proxy, .. } = hold_own(tx, account, id)?;
            let missing = Error::NotFound(Noun::StaticRequest);
            let Some((request, _)) = proxy.request else { return Err(missing) };
            let request = store::statics::requests::by_id(tx, request)?;
            let asked_by = Actor::Account(account).to_string();
            let own = request.filter(|request| request.asked_by == asked_by).ok_or(missing)?;
            store::statics::requests::write(tx, &own, RequestState::Dropped, now)?;
            after_none(tx, proxy, &own, now)
        })
        .await
}

/// Which requests a page shows: what is `None` is not asked for.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Whose.
    pub account: Option<AccountId>,
    /// replace or refund.
    pub kind: Option<String>,
    /// asked, going, done, refused or dropped.
    pub state: Option<String>,
}

/// A page of requests, newest first, and how many there are.
///
/// # Errors
/// [`Error::Invalid`] for `kind` or `state`.
pub async fn requests(
    core: &Core,
    filter: RequestFilter,
    page: Page,
) -> Result<(Vec<RequestRow>, i64), Error> {
    let filter = store::statics::requests::Filter {
        account: filter.account.map_or(0, AccountId::get),
        kind: word("kind", filter.kind, RequestKind::WORDS)?,
        state: word("state", filter.state, RequestState::WORDS)?,
    };
    core.db()
        .read(move |tx| Ok(store::statics::requests::page(tx, &filter, page.limit(), page.offset())?))
        .await
}

/// Approves of a request that was asked. A refund pays the whole days back that have not been used,
/// and the proxy ends; a replacement is done in a moment. Answers what was paid back.
///
/// # Errors
/// [`Error::Invalid`] for `note`, [`Error::NotFound`], [`Error::Conflict`] where the request has
/// been decided.
pub async fn approve(core: &Core, actor: Actor, id: StaticRequestId, note: String) -> Result<Cents, Error> {
    check_note(&note)?;
    let (now, inner) = (core.now(), core.clone());
    write_and_publish(core, move |tx| {
        let (held, request) = hold_request(tx, id)?;
        if request.state != RequestState::Asked.as_str() {
            return Err(Error::Conflict(Conflict::RequestDecided));
        }
        let request = RequestRow { note: note.clone(), ..request };
        match kind_of(&request)? {
            RequestKind::Replace => {
                store::statics::requests::write(tx, &request, RequestState::Going, now)?;
                log(tx, now, &actor, "static_request.approved", &request)?;
                replacing::begin(tx, id, now)?;
                Ok(Cents::ZERO)
            }
            RequestKind::Refund => give_back(tx, &inner, &actor, held, request, now),
        }
    })
    .await
}

/// Pays a proxy's unused days back and ends it.
fn give_back(
    tx: &mut Tx<'_>,
    core: &Core,
    actor: &Actor,
    held: Held,
    request: RequestRow,
    now: Time,
) -> Result<Cents, Error> {
    let Held { wallet, mut proxy } = held;
    let terms = store::statics::terms::unexpired(tx, proxy.id, now)?;
    let amount = pay_back(tx, wallet, &proxy, &terms, now)?;
    let told = {
        let mut told = told(core, &proxy);
        told["amount"] = amount.get().into();
        told
    };
    let resting = match &proxy.place {
        Some(place) => ending::rest(tx, core, place, now)?,
        None => None,
    };
    ending::end(tx, &mut proxy, Some(request.id), now)?;
    let request = RequestRow { amount, ..request };
    store::statics::requests::write(tx, &request, RequestState::Done, now)?;
    log(tx, now, actor, "static_request.approved", &request)?;
    events::emit(tx, proxy.account, EventKind::StaticRefunded, &told, now)?;
    for kind in [JobKind::StaticExpiry, JobKind::StaticRenewal] {
        jobs::forget(tx, kind, &proxy.id.to_string())?;
    }
    if let Some(resting) = resting {
        resting.set_job(tx, now)?;
    }
    directory::publish(tx, Subject::Static(proxy.id), now)?;
    Ok(amount)
}

/// Gives the unused part of terms back to the wallet; answers how much that is.
fn pay_back(
    tx: &mut Tx<'_>,
    wallet: Wallet,
    proxy: &Proxy,
    terms: &[(i64, Term)],
    now: Time,
) -> Result<Cents, Error> {
    let amount = total(terms.iter().map(|(_, term)| unused(term, now)))?;
    let (reference, memo) = (format!("proxy:{}", proxy.id), replacing::address(proxy));
    let entry = Entry::static_refunded(proxy.account, proxy.static_type, amount, reference, memo)?;
    if let Some(entry) = entry {
        for (id, term) in terms {
            store::statics::terms::refund(tx, *id, unused(term, now))?;
        }
        crate::wallets::write(tx, proxy.account, &wallet, &wallet.recharge(amount)?, now)?;
        store::entries::insert(tx, &entry, now)?;
    }
    Ok(amount)
}

/// Refuses a request.
///
/// # Errors
/// As [`approve`].
pub async fn refuse(core: &Core, actor: Actor, id: StaticRequestId, note: String) -> Result<(), Error> {
    check_note(&note)?;
    let now = core.now();
    core.db()
        .write(move |tx| {
            let (held, request) = hold_request(tx, id)?;
            if request.state != RequestState::Asked.as_str() {
                return Err(Error::Conflict(Conflict::RequestDecided));
            }
            let request = RequestRow { note: note.clone(), ..request };
            store::statics::requests::write(tx, &request, RequestState::Refused, now)?;
            log(tx, now, &actor, "static_request.refused", &request)?;
            after_none(tx, held.proxy, &request, now)
        })
        .await
}

/// What follows once nothing is asked for a proxy any more: no worker is to do it, and an address
/// that went out of service meanwhile is replaced after all.
fn after_none(tx: &mut Tx<'_>, mut proxy: Proxy, request: &RequestRow, now: Time) -> Result<(), Error> {
    if request.kind == RequestKind::Replace.as_str() {
        jobs::forget(tx, JobKind::StaticReplacement, &request.id.to_string())?;
    }
    proxy.request = None;
    if proxy.place.is_some_and(|place| place.state == StockState::Disabled) {
        replacing::out_of_service(tx, &proxy, now)?;
    }
    Ok(())
}

/// A request with its proxy, whose account's wallet is locked.
fn hold_request(tx: &mut Tx<'_>, id: StaticRequestId) -> Result<(Held, RequestRow), Error> {
    let missing = || Error::NotFound(Noun::StaticRequest);
    let proxy = store::statics::requests::by_id(tx, id)?.ok_or_else(missing)?.proxy;
    let held = hold(tx, proxy)?.ok_or_else(missing)?;
    let request = store::statics::requests::by_id(tx, id)?.ok_or_else(missing)?;
    Ok((held, request))
}

fn kind_of(request: &RequestRow) -> Result<RequestKind, Error> {
    request.kind.parse().map_err(|_| Error::Internal(format!("request {} is of no kind", request.id)))
}

/// An operator's note: may be empty.
pub(super) fn check_note(note: &str) -> Result<(), Error> {
    check_text("note", note, 0, LONGEST_TEXT)
}

/// A word to look for: one of these, or empty for any.
pub(super) fn word(
    field: &'static str,
    given: Option<String>,
    words: &'static [&'static str],
) -> Result<String, Error> {
    let word = given.unwrap_or_default();
    match word.is_empty() || words.contains(&word.as_str()) {
        true => Ok(word),
        false => Err(Error::invalid(field, Rule::OneOf(words))),
    }
}

fn log(tx: &mut Tx<'_>, now: Time, actor: &Actor, action: &str, request: &RequestRow) -> Result<(), Error> {
    let detail = json!({
        "kind": request.kind, "proxy_id": request.proxy.get(), "amount": request.amount.get(),
        "note": request.note,
    });
    let subject = format!("static_request:{}", request.id);
    audit_log::append(tx, now, actor, action, Some(request.account), &subject, &detail)
}
