//! The catalogue of traffic packages.

use tollgate_types::{AccountId, Cents, OfferId, ProxyType, Time};

use crate::wallets::proxy_type;
use crate::{Error, Row, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO package_offers (proxy_type, traffic_gb, price, duration, plan_type, is_hot, extra_add_traffic,
                                          plan_desc, on_sale, created_at, updated_at)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10) RETURNING id";
    UPDATE = "UPDATE package_offers SET proxy_type = ?2, traffic_gb = ?3, price = ?4, duration = ?5, plan_type = ?6,
                     is_hot = ?7, extra_add_traffic = ?8, plan_desc = ?9, on_sale = ?10, updated_at = ?11
              WHERE id = ?1";
    /// Held to the end of the transaction: of two changes at once, neither undoes the other.
    LOCK = "SELECT id FROM package_offers WHERE id = ?1{for_update}";
    BY_ID = "SELECT id, proxy_type, traffic_gb, price, duration, plan_type, is_hot, extra_add_traffic, plan_desc, on_sale,
                    created_at, updated_at
             FROM package_offers WHERE id = ?1";
    ALL_OFFERS = "SELECT id, proxy_type, traffic_gb, price, duration, plan_type, is_hot, extra_add_traffic, plan_desc, on_sale,
                  created_at, updated_at
           FROM package_offers ORDER BY id DESC LIMIT ?1 OFFSET ?2";
    COUNT = "SELECT COUNT(*) FROM package_offers";
    /// What an account can buy: on sale, and not made for others only.
    VISIBLE = "SELECT o.id, o.proxy_type, o.traffic_gb, o.price, o.duration, o.plan_type, o.is_hot, o.extra_add_traffic,
                      o.plan_desc, o.on_sale, o.created_at, o.updated_at
               FROM package_offers o
               WHERE o.on_sale = 1 AND (CAST(?2 AS BIGINT) = 0 OR o.id = ?2) AND (o.plan_type <> 'custom' OR EXISTS
                     (SELECT 1 FROM package_offer_accounts a WHERE a.offer_id = o.id AND a.account_id = ?1))
               ORDER BY o.proxy_type, o.traffic_gb, o.id";
    ACCOUNTS_OF = "SELECT account_id FROM package_offer_accounts WHERE offer_id = ?1 ORDER BY account_id";
    CLEAR_ACCOUNTS = "DELETE FROM package_offer_accounts WHERE offer_id = ?1";
    ADD_ACCOUNT = "INSERT INTO package_offer_accounts (offer_id, account_id) VALUES (?1, ?2)";
}

/// An item of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its id; 0 before it is written.
    pub id: OfferId,
    /// The kind of traffic.
    pub proxy_type: ProxyType,
    /// What is paid for, in GB.
    pub traffic_gb: i64,
    /// Cents per GB.
    pub price: Cents,
    /// For how many days.
    pub days: i64,
    /// personal, enterprise or custom.
    pub plan_type: String,
    /// Whether to show it as popular.
    pub is_hot: bool,
    /// Free on top, in GB.
    pub extra_gb: i64,
    /// What it says of itself.
    pub description: String,
    /// Whether it can be bought.
    pub on_sale: bool,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// Adds an item.
pub fn insert(tx: &mut Tx<'_>, new: &Offer, now: Time) -> Result<OfferId, Error> {
    let values = params![
        new.proxy_type,
        new.traffic_gb,
        new.price,
        new.days,
        new.plan_type.as_str(),
        new.is_hot,
        new.extra_gb,
        &new.description,
        new.on_sale,
        now
    ];
    tx.insert(INSERT, values).map(OfferId::new)
}

/// Writes an item back.
pub fn update(tx: &mut Tx<'_>, offer: &Offer, now: Time) -> Result<(), Error> {
    let values = params![
        offer.id,
        offer.proxy_type,
        offer.traffic_gb,
        offer.price,
        offer.days,
        offer.plan_type.as_str(),
        offer.is_hot,
        offer.extra_gb,
        &offer.description,
        offer.on_sale,
        now
    ];
    tx.execute(UPDATE, values).map(drop)
}

/// One item, on sale or not.
pub fn by_id(tx: &mut Tx<'_>, id: OfferId) -> Result<Option<Offer>, Error> {
    tx.opt(BY_ID, params![id], offer)
}

/// The same, locked to the end of the transaction.
pub fn lock(tx: &mut Tx<'_>, id: OfferId) -> Result<Option<Offer>, Error> {
    tx.opt(LOCK, params![id], |row| row.i64(0))?;
    by_id(tx, id)
}

/// A page of all items, newest first, and how many there are.
pub fn page(tx: &mut Tx<'_>, limit: i64, offset: i64) -> Result<(Vec<Offer>, i64), Error> {
    let total = tx.one(COUNT, params![], |row| row.i64(0))?;
    Ok((tx.all(ALL_OFFERS, params![limit, offset], offer)?, total))
}

/// What an account can buy, by type and size; only that item where one is named.
pub fn visible(tx: &mut Tx<'_>, account: AccountId, only: Option<OfferId>) -> Result<Vec<Offer>, Error> {
    tx.all(VISIBLE, params![account, only.map_or(0, OfferId::get)], offer)
}

/// For whom a custom item was made.
pub fn accounts_of(tx: &mut Tx<'_>, id: OfferId) -> Result<Vec<AccountId>, Error> {
    tx.all(ACCOUNTS_OF, params![id], |row| Ok(AccountId::new(row.i64(0)?)))
}

/// Says for whom a custom item was made.
pub fn set_accounts(tx: &mut Tx<'_>, id: OfferId, accounts: &[AccountId]) -> Result<(), Error> {
    tx.execute(CLEAR_ACCOUNTS, params![id])?;
    for account in accounts {
        tx.execute(ADD_ACCOUNT, params![id, *account])?;
    }
    Ok(())
}

fn offer(row: &Row<'_>) -> Result<Offer, Error> {
    Ok(Offer {
        id: OfferId::new(row.i64(0)?),
        proxy_type: proxy_type(row, 1)?,
        traffic_gb: row.i64(2)?,
        price: Cents::new(row.i64(3)?),
        days: row.i64(4)?,
        plan_type: row.text(5)?,
        is_hot: row.bool(6)?,
        extra_gb: row.i64(7)?,
        description: row.text(8)?,
        on_sale: row.bool(9)?,
        created_at: Time::from_micros(row.i64(10)?),
        updated_at: Time::from_micros(row.i64(11)?),
    })
}
