//! Rights that are lost while connections live: every new directory is held against them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tollgate_types::{Directory, Payer};

use crate::control::Control;
use crate::live::{Admission, Live};
use crate::purse::Purse;
use crate::purses::Purses;

/// Cuts the connections of whoever lost a right, and has purses ask anew whose limits or funds
/// were changed, for as long as it is polled.
pub(crate) async fn watch<C: Control>(
    mut directory: watch::Receiver<Arc<Directory>>,
    live: Arc<Live>,
    purses: Arc<Purses<C>>,
) {
    let mut before = directory.borrow_and_update().clone();
    while directory.changed().await.is_ok() {
        let now = directory.borrow_and_update().clone();
        let mut asking = HashMap::<Payer, Arc<Purse>>::new();
        for entry in live.all() {
            if !still_admitted(&now, entry.payer(), entry.admission) {
                entry.cut();
            } else if funds_changed(&before, &now, entry.payer()) {
                asking.insert(entry.payer(), entry.purse.clone());
            }
        }
        for purse in asking.into_values() {
            let (live, purses) = (live.clone(), purses.clone());
            // Each asks for itself: one slow answer does not keep the others' rights waiting.
            tokio::spawn(async move {
                if purses.recall(&purse).await.is_err() {
                    let of_purse = live.all().into_iter().filter(|entry| entry.payer() == purse.payer());
                    of_purse.for_each(|entry| entry.cut());
                }
            });
        }
        before = now;
    }
}

/// Whether the grounds on which a connection was admitted still hold.
pub(crate) fn still_admitted(directory: &Directory, payer: Payer, admission: Admission) -> bool {
    if !directory.accounts.get(&payer.account).is_some_and(|account| account.active) {
        return false;
    }
    match admission {
        Admission::Credentials(id, password) => {
            let entry = directory.sub_account(id);
            entry.is_some_and(|entry| {
                entry.active && entry.account == payer.account && entry.password == password
            })
        }
        Admission::Whitelist(id) => directory.whitelist_addresses.contains_key(&id),
    }
}

/// Whether what a payer may draw on may have shrunk or grown.
fn funds_changed(before: &Directory, now: &Directory, payer: Payer) -> bool {
    let epoch =
        |directory: &Directory| directory.accounts.get(&payer.account).map(|account| account.funds_epoch);
    let limit = |directory: &Directory| {
        let entry = payer.sub_account.and_then(|id| directory.sub_account(id));
        entry.map(|entry| entry.limit(payer.proxy_type))
    };
    epoch(before) != epoch(now) || limit(before) != limit(now)
}
