//! Listed addresses: whose traffic it is when no credentials come with it (contract calls 7–9).

use std::net::IpAddr;

use serde_json::json;
use tollgate_store as store;
pub use tollgate_store::whitelist::Listed;
use tollgate_types::{AccountId, WhitelistId};

use crate::audit_log::{self, Actor};
use crate::checks::check_text;
use crate::directory::{self, Subject, write_and_publish};
use crate::{Conflict, Core, Error, Noun, Page, Rule};

/// A page of an account's listed addresses that begin with a text, newest first, and how many.
///
/// # Errors
/// Those of the store.
pub async fn list(
    core: &Core,
    account: AccountId,
    prefix: String,
    page: Page,
) -> Result<(Vec<Listed>, i64), Error> {
    core.db()
        .read(move |tx| Ok(store::whitelist::page(tx, account, &prefix, page.limit(), page.offset())?))
        .await
}

/// Lists an address, in any valid spelling.
///
/// # Errors
/// [`Error::Invalid`] for what is no address, or one that nobody comes from over the internet;
/// [`Error::Conflict`] where it is listed already, by anybody.
pub async fn add(core: &Core, account: AccountId, ip: &str, remark: String) -> Result<WhitelistId, Error> {
    let ip: IpAddr = ip.trim().parse().map_err(|_| Error::Invalid { field: "ip", rule: Rule::Address })?;
    let ip = ip.to_canonical();
    if is_never_a_client(ip) || (is_private(ip) && !core.policy().allow_private_whitelist) {
        return Err(Error::Invalid { field: "ip", rule: Rule::PrivateAddress });
    }
    check_text("remark", &remark, 0, 255)?;
    let now = core.now();
    write_and_publish(core, move |tx| {
        let id = store::whitelist::insert(tx, account, ip, &remark, now).map_err(|error| match error {
            store::Error::UniqueViolation => Error::Conflict(Conflict::AddressListed),
            other => other.into(),
        })?;
        let (subject, detail) = (format!("whitelist:{id}"), json!({ "ip": ip.to_string() }));
        audit_log::append(
            tx,
            now,
            &Actor::Account(account),
            "whitelist.added",
            Some(account),
            &subject,
            &detail,
        )?;
        directory::publish(tx, Subject::Whitelist(id), now)?;
        Ok(id)
    })
    .await
}

/// Takes an address off the list; the connections that it admitted are cut within a second.
///
/// # Errors
/// [`Error::NotFound`], also where the entry is another account's.
pub async fn delete(core: &Core, account: AccountId, id: WhitelistId) -> Result<(), Error> {
    let now = core.now();
    write_and_publish(core, move |tx| {
        if !store::whitelist::delete(tx, account, id)? {
            return Err(Error::NotFound(Noun::WhitelistEntry));
        }
        let subject = format!("whitelist:{id}");
        audit_log::append(
            tx,
            now,
            &Actor::Account(account),
            "whitelist.deleted",
            Some(account),
            &subject,
            &json!({}),
        )?;
        directory::publish(tx, Subject::Whitelist(id), now)
    })
    .await
}

/// Addresses that no setting can make a client's.
fn is_never_a_client(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast() || matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.octets()[0] == 0 || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
