//! Rights that are lost while connections live: every new directory is held against them, and those
//! that end by themselves are looked at when their time has come.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tollgate_types::{AccountId, Directory, Time};

use crate::control::Control;
use crate::entry::live::{Admission, Live, Right};
use crate::entry::statics;
use crate::funds::Purses;

/// Between two looks at all connections at least: changes that come faster are looked at together.
const SPACING: Duration = Duration::from_millis(100);
/// How often the clock is looked at. It is not slept towards: it may be set.
const GLANCE: Duration = Duration::from_millis(250);

/// Cuts the connections of whoever lost a right, and has purses ask anew whose limits or funds
/// were changed, for as long as it is polled.
pub(crate) async fn revoke<C: Control>(
    mut directory: watch::Receiver<Arc<Directory>>,
    live: Arc<Live>,
    purses: Arc<Purses<C>>,
) {
    loop {
        directory.mark_unchanged();
        // Connections first: those that are cut do not get another byte out of what purses are
        // granted anew.
        live.recheck();
        purses.recheck();
        sleep(SPACING).await;
        loop {
            tokio::select! {
                changed = directory.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = sleep(GLANCE) => if live.has_expired() {
                    live.recheck();
                },
            }
        }
    }
}

/// Whether the grounds on which a connection of an account was admitted still hold.
pub(crate) fn still_admitted(
    directory: &Directory,
    account: AccountId,
    admission: &Admission,
    peer: IpAddr,
    now: Time,
) -> Right {
    let kept = |holds: bool| if holds { Right::Kept } else { Right::Lost };
    if !directory.accounts.get(&account).is_some_and(|account| account.active) {
        return Right::Lost;
    }
    match admission {
        Admission::Credentials(id, password) => {
            let entry = directory.sub_account(*id);
            kept(
                entry.is_some_and(|entry| {
                    entry.active && entry.account == account && entry.password == *password
                }),
            )
        }
        Admission::Whitelist(id) => {
            let entry = directory.whitelisted(peer);
            kept(entry.is_some_and(|entry| entry.id == *id && entry.account == account))
        }
        Admission::Static(then, listed) => {
            let entry = statics::still_admitted(directory, then, *listed, peer, now);
            entry.map_or(Right::Lost, |entry| Right::Until(entry.expires_at))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tollgate_types::{
        AccountEntry, Bytes, DirectoryChange, PasswordKey, SubAccountEntry, SubAccountId, WhitelistEntry,
        WhitelistId,
    };

    use super::*;

    const ACCOUNT: AccountId = AccountId::new(1);
    const SUB_ACCOUNT: SubAccountId = SubAccountId::new(10);
    const ENTRY: WhitelistId = WhitelistId::new(20);

    fn key() -> PasswordKey {
        PasswordKey::new([7; 32])
    }

    fn directory() -> Directory {
        let mut directory = Directory::empty(key());
        directory.apply(DirectoryChange::Account(account(ACCOUNT, true)));
        directory.apply(DirectoryChange::SubAccount(sub_account(ACCOUNT, true, b"secret")));
        directory
            .apply(DirectoryChange::Whitelist(address(1), WhitelistEntry { id: ENTRY, account: ACCOUNT }));
        directory
    }

    fn account(id: AccountId, active: bool) -> AccountEntry {
        AccountEntry { id, active, funds_epoch: 0 }
    }

    fn sub_account(account: AccountId, active: bool, password: &[u8]) -> SubAccountEntry {
        let (username, password) = (Arc::from("alice"), key().tag(password));
        SubAccountEntry { id: SUB_ACCOUNT, account, username, active, password, limits: [Bytes::ZERO; 3] }
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    /// Whether a connection by credentials, and one by address, keep their right over a change.
    fn keep_right(change: DirectoryChange) -> (bool, bool) {
        let mut directory = directory();
        directory.apply(change);
        let by = |admission| {
            let now = Time::from_micros(0);
            still_admitted(&directory, ACCOUNT, &admission, address(1), now) == Right::Kept
        };
        let credentials = Admission::Credentials(SUB_ACCOUNT, key().tag(b"secret"));
        (by(credentials), by(Admission::Whitelist(ENTRY)))
    }

    #[test]
    fn a_right_is_lost_with_what_it_stands_on_and_only_then() {
        let other = AccountId::new(2);
        let listed = |id, account| WhitelistEntry { id: WhitelistId::new(id), account };
        for (change, kept) in [
            (DirectoryChange::Account(account(other, false)), (true, true)),
            (DirectoryChange::Account(account(ACCOUNT, false)), (false, false)),
            (DirectoryChange::SubAccount(sub_account(ACCOUNT, true, b"secret")), (true, true)),
            (DirectoryChange::SubAccount(sub_account(ACCOUNT, false, b"secret")), (false, true)),
            (DirectoryChange::SubAccount(sub_account(ACCOUNT, true, b"changed")), (false, true)),
            (DirectoryChange::SubAccount(sub_account(other, true, b"secret")), (false, true)),
            (DirectoryChange::SubAccountGone(SUB_ACCOUNT), (false, true)),
            (DirectoryChange::WhitelistGone(ENTRY), (true, false)),
            (DirectoryChange::Whitelist(address(2), listed(21, other)), (true, true)),
            (DirectoryChange::Whitelist(address(2), listed(20, ACCOUNT)), (true, false)),
            (DirectoryChange::Whitelist(address(1), listed(21, other)), (true, false)),
        ] {
            assert_eq!(keep_right(change.clone()), kept, "{change:?}");
        }
    }
}
