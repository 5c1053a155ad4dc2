//! Who is calling at a static proxy's address: its own credentials, or a listed address of its
//! owner. Pure.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use subtle::ConstantTimeEq;
use tollgate_types::{Directory, PasswordTag, Refusal, StaticEntry, Time, WhitelistId, without_case};

use crate::entry::caller::{Caller, Proof, Service, TurnedAway, unknown};
use crate::entry::live::Admission;

/// Identifies a caller who came to a local address.
///
/// The user name is the proxy's own and takes no routing parameters. The work for a wrong name is
/// that for a wrong password, and that the proxy has expired or its owner is suspended is said only
/// to who knows the password, or comes from one of the owner's listed addresses.
///
/// # Errors
/// [`TurnedAway`].
pub(crate) fn identify(
    directory: &Directory,
    local: SocketAddr,
    proof: &Proof,
    peer: IpAddr,
    now: Time,
) -> Result<Caller, TurnedAway> {
    let entry = directory.static_at(local);
    let (entry, listed) = match proof {
        Proof::Credentials { user, password } => (by_credentials(directory, entry, user, password)?, None),
        Proof::Malformed => return Err(unknown("the credentials could not be read", true)),
        Proof::Address => {
            let (entry, listed) = by_address(directory, entry, peer)?;
            (entry, Some(listed))
        }
    };
    may_be_used(directory, entry, now)?;
    let username = listed.map_or_else(|| entry.username.to_string(), |_| String::new());
    Ok(Caller {
        admission: Admission::Static(entry.clone(), listed),
        username,
        service: Service::Static(entry.clone()),
    })
}

fn by_credentials<'d>(
    directory: &Directory,
    entry: Option<&'d Arc<StaticEntry>>,
    user: &str,
    password: &[u8],
) -> Result<&'d Arc<StaticEntry>, TurnedAway> {
    // Both are compared in any case; against a tag that no password has where there is no proxy.
    let tag = directory.password_key.tag(password);
    let known = entry.map_or(PasswordTag::from_slice(&[0; 32]), |entry| Some(entry.password));
    let name = entry.map_or(Cow::Borrowed(""), |entry| without_case(&entry.username));
    let right = (known == Some(tag)) & bool::from(name.as_bytes().ct_eq(without_case(user).as_bytes()));
    entry.filter(|_| right).ok_or_else(|| unknown("the user name or the password is wrong", true))
}

fn by_address<'d>(
    directory: &Directory,
    entry: Option<&'d Arc<StaticEntry>>,
    peer: IpAddr,
) -> Result<(&'d Arc<StaticEntry>, WhitelistId), TurnedAway> {
    let listed = entry.and_then(|entry| Some((entry, listed_by_owner(directory, entry, peer)?)));
    listed.ok_or_else(|| unknown("credentials are needed, for this address is not listed", false))
}

/// The owner's whitelist entry that admits a peer.
fn listed_by_owner(directory: &Directory, entry: &StaticEntry, peer: IpAddr) -> Option<WhitelistId> {
    directory.whitelisted(peer).filter(|listed| listed.account == entry.account).map(|listed| listed.id)
}

fn may_be_used(directory: &Directory, entry: &StaticEntry, now: Time) -> Result<(), TurnedAway> {
    let blocked = |detail: &str| TurnedAway {
        refusal: Refusal::UserBlocked,
        detail: detail.to_owned(),
        who: Some((entry.account, None)),
        failed_login: false,
    };
    if !directory.accounts.get(&entry.account).is_some_and(|account| account.active) {
        return Err(blocked("the account is suspended"));
    }
    if entry.expires_at <= now {
        return Err(blocked("the static proxy has expired"));
    }
    Ok(())
}

/// The entry as it is now, where what a connection was admitted to is still there for it: the same
/// proxy of the same owner at the same address, leaving from the same one, and the password or the
/// listed address that let it in. That it expires later than it did is no difference.
pub(crate) fn still_admitted<'d>(
    directory: &'d Directory,
    then: &StaticEntry,
    listed: Option<WhitelistId>,
    peer: IpAddr,
    now: Time,
) -> Option<&'d Arc<StaticEntry>> {
    let entry = directory.static_proxy(then.id)?;
    let is_same = entry.account == then.account
        && entry.listen == then.listen
        && entry.exit_ip == then.exit_ip
        && entry.protocol == then.protocol;
    let may_enter = match listed {
        Some(id) => listed_by_owner(directory, entry, peer) == Some(id),
        None => entry.username == then.username && entry.password == then.password,
    };
    (is_same && may_enter && may_be_used(directory, entry, now).is_ok()).then_some(entry)
}

#[cfg(test)]
mod tests;
