//! The catalogue of traffic packages: what can be bought, and by whom.

use serde_json::json;
use tollgate_ledger::package::quote;
pub use tollgate_store::offers::Offer;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Cents, MAX_LIMIT_GB, OfferId, ProxyType, Time};

use crate::audit_log::{self, Actor};
use crate::checks::{check_range, check_text};
use crate::{Core, Error, Noun, Page, Rule};

/// For whom a plan is meant, in the document's words.
pub const PLAN_TYPES: &[&str] = &["personal", "enterprise", "custom"];

/// The longest a package may last: ten years.
const MOST_DAYS: i64 = 3_650;

/// The dearest GB, in cents.
const DEAREST: i64 = 100_000_000;

/// What an operator says of an item, or changes of it: what is `None` stays, or is the default.
#[derive(Debug, Clone, Default)]
pub struct OfferChange {
    /// The kind of traffic.
    pub proxy_type: Option<ProxyType>,
    /// What is paid for, in GB.
    pub traffic_gb: Option<i64>,
    /// Cents per GB.
    pub price: Option<Cents>,
    /// For how many days.
    pub days: Option<i64>,
    /// One of [`PLAN_TYPES`].
    pub plan_type: Option<String>,
    /// Whether to show it as popular.
    pub is_hot: Option<bool>,
    /// Free on top, in GB.
    pub extra_gb: Option<i64>,
    /// What it says of itself.
    pub description: Option<String>,
    /// For whom a custom item is made.
    pub accounts: Option<Vec<AccountId>>,
    /// Whether it can be bought.
    pub on_sale: Option<bool>,
}

/// Adds an item to the catalogue.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter.
pub async fn create(core: &Core, actor: Actor, new: OfferChange) -> Result<OfferId, Error> {
    let missing = |field| Error::Invalid { field, rule: Rule::Required };
    let now = core.now();
    let offer = Offer {
        id: OfferId::new(0),
        proxy_type: new.proxy_type.ok_or_else(|| missing("proxy_type"))?,
        traffic_gb: new.traffic_gb.ok_or_else(|| missing("traffic_gb"))?,
        price: new.price.ok_or_else(|| missing("price"))?,
        days: new.days.ok_or_else(|| missing("duration"))?,
        plan_type: new.plan_type.ok_or_else(|| missing("plan_type"))?,
        is_hot: new.is_hot.unwrap_or(false),
        extra_gb: new.extra_gb.unwrap_or(0),
        description: new.description.unwrap_or_default(),
        on_sale: new.on_sale.unwrap_or(true),
        created_at: now,
        updated_at: now,
    };
    check(&offer)?;
    let accounts = new.accounts.unwrap_or_default();
    core.db()
        .write(move |tx| {
            let id = store::offers::insert(tx, &offer, now)?;
            set_accounts(tx, id, &accounts)?;
            log(tx, now, &actor, "package_offer.created", &Offer { id, ..offer.clone() })?;
            Ok(id)
        })
        .await
}

/// Changes an item. What was bought stays as it was bought.
///
/// # Errors
/// [`Error::Invalid`] naming the parameter, [`Error::NotFound`].
pub async fn update(core: &Core, actor: Actor, id: OfferId, change: OfferChange) -> Result<(), Error> {
    let now = core.now();
    core.db()
        .write(move |tx| {
            let offer = store::offers::lock(tx, id)?.ok_or(Error::NotFound(Noun::Offer))?;
            let change = change.clone();
            let offer = Offer {
                proxy_type: change.proxy_type.unwrap_or(offer.proxy_type),
                traffic_gb: change.traffic_gb.unwrap_or(offer.traffic_gb),
                price: change.price.unwrap_or(offer.price),
                days: change.days.unwrap_or(offer.days),
                plan_type: change.plan_type.unwrap_or(offer.plan_type),
                is_hot: change.is_hot.unwrap_or(offer.is_hot),
                extra_gb: change.extra_gb.unwrap_or(offer.extra_gb),
                description: change.description.unwrap_or(offer.description),
                on_sale: change.on_sale.unwrap_or(offer.on_sale),
                ..offer
            };
            check(&offer)?;
            store::offers::update(tx, &offer, now)?;
            if let Some(accounts) = &change.accounts {
                set_accounts(tx, id, accounts)?;
            }
            log(tx, now, &actor, "package_offer.updated", &offer)
        })
        .await
}

/// A page of the whole catalogue with the accounts that each custom item is for, newest first, and
/// how many items there are.
///
/// # Errors
/// Those of the store.
pub async fn list(core: &Core, page: Page) -> Result<(Vec<(Offer, Vec<AccountId>)>, i64), Error> {
    core.db()
        .read(move |tx| {
            let (offers, total) = store::offers::page(tx, page.limit(), page.offset())?;
            let with_accounts = |offer: Offer| Ok((store::offers::accounts_of(tx, offer.id)?, offer));
            let offers = offers.into_iter().map(with_accounts).collect::<Result<Vec<_>, Error>>()?;
            Ok((offers.into_iter().map(|(accounts, offer)| (offer, accounts)).collect(), total))
        })
        .await
}

/// What an account can buy, by type and size (contract call 10).
///
/// # Errors
/// Those of the store.
pub async fn visible(core: &Core, account: AccountId) -> Result<Vec<Offer>, Error> {
    core.db().read(move |tx| Ok(store::offers::visible(tx, account, None)?)).await
}

/// What a purchase of an item costs: its price per GB times its GB (contract call 10).
///
/// # Errors
/// [`Error::Internal`] where that is more than can be counted, which no stored item is.
pub fn amount(offer: &Offer) -> Result<Cents, Error> {
    Ok(quote(offer.traffic_gb, offer.extra_gb, offer.price, offer.days)?.amount)
}

/// One item, where this account can buy it.
pub(crate) fn visible_in(tx: &mut Tx<'_>, account: AccountId, id: OfferId) -> Result<Option<Offer>, Error> {
    if id.get() <= 0 {
        return Ok(None);
    }
    Ok(store::offers::visible(tx, account, Some(id))?.pop())
}

/// One item, on sale or not.
pub(crate) fn by_id_in(tx: &mut Tx<'_>, id: OfferId) -> Result<Option<Offer>, Error> {
    Ok(store::offers::by_id(tx, id)?)
}

fn set_accounts(tx: &mut Tx<'_>, id: OfferId, accounts: &[AccountId]) -> Result<(), Error> {
    for account in accounts {
        if store::accounts::by_id(tx, *account)?.is_none() {
            return Err(Error::Invalid { field: "account_ids", rule: Rule::Reference });
        }
    }
    let mut accounts = accounts.to_vec();
    accounts.sort_unstable();
    accounts.dedup();
    Ok(store::offers::set_accounts(tx, id, &accounts)?)
}

fn check(offer: &Offer) -> Result<(), Error> {
    check_range("traffic_gb", offer.traffic_gb, 1, MAX_LIMIT_GB)?;
    check_range("extra_add_traffic", offer.extra_gb, 0, MAX_LIMIT_GB)?;
    check_range("price", offer.price.get(), 0, DEAREST)?;
    check_range("duration", offer.days, 1, MOST_DAYS)?;
    check_text("plan_desc", &offer.description, 0, 1000)?;
    match PLAN_TYPES.contains(&offer.plan_type.as_str()) {
        true => Ok(()),
        false => Err(Error::Invalid { field: "plan_type", rule: Rule::OneOf(PLAN_TYPES) }),
    }
}

fn log(tx: &mut Tx<'_>, now: Time, actor: &Actor, action: &str, offer: &Offer) -> Result<(), Error> {
    let detail = json!({ "proxy_type": offer.proxy_type.as_str(), "traffic_gb": offer.traffic_gb,
                         "price": offer.price.get(), "days": offer.days, "on_sale": offer.on_sale });
    audit_log::append(tx, now, actor, action, None, &format!("package_offer:{}", offer.id), &detail)
}
