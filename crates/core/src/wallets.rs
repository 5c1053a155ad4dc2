//! Wallets: money in, corrections, and the history of both.

use tollgate_ledger::{Entry, EntryKind, Wallet};
pub use tollgate_store::entries::WalletLine;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Cents, EntryId, Time};

use crate::audit_log::{self, Actor};
use crate::events::{self, EventKind};
use crate::idempotency::{self, Kept, Once, Outcome};
use crate::{Conflict, Core, Error, Rule, locks};

/// The largest single recharge or correction: ten thousand million dollars.
const LARGEST_AMOUNT: i64 = 1_000_000_000_000;

/// The longest reference or reason, in characters.
const LONGEST_TEXT: usize = 255;

/// A wallet as it is.
///
/// # Errors
/// [`Error::NotFound`] for an unknown account.
pub async fn read(core: &Core, account: AccountId) -> Result<Wallet, Error> {
    core.db().read(move |tx| locks::known(store::wallets::read(tx, account))).await
}

/// A page of a wallet's history, newest first, and how many lines there are in all.
///
/// # Errors
/// [`Error::NotFound`] for an unknown account.
pub async fn ledger(
    core: &Core,
    account: AccountId,
    page: crate::Page,
) -> Result<(Vec<WalletLine>, i64), Error> {
    core.db()
        .read(move |tx| {
            locks::known(store::wallets::read(tx, account))?;
            Ok(store::entries::page(tx, account, page.limit(), page.offset())?)
        })
        .await
}

/// What a recharge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recharged {
    /// The entry that stands for it.
    pub entry: EntryId,
    /// False where the reference had been credited before, so that nothing was added now.
    pub credited: bool,
    /// The balance after it.
    pub balance: Cents,
}

/// Credits money received from outside. The same reference twice credits once (platform.md §2).
///
/// # Errors
/// [`Error::Invalid`] for `amount` or `reference`, [`Error::NotFound`] for an unknown account,
/// [`Error::Conflict`] where the reference was credited with another amount.
pub async fn recharge(
    core: &Core,
    actor: Actor,
    account: AccountId,
    amount: Cents,
    reference: String,
) -> Result<Recharged, Error> {
    check_amount(amount, 1)?;
    check_text("reference", &reference)?;
    let now = core.now();
    core.db()
        .write(move |tx| {
            let wallet = locks::wallet(tx, account)?;
            if let Some((entry, before)) =
                store::entries::by_reference(tx, account, EntryKind::Recharge, &reference)?
            {
                return match before == amount {
                    true => Ok(Recharged { entry, credited: false, balance: wallet.balance() }),
                    false => Err(Error::Conflict(Conflict::ReferenceReused)),
                };
            }
            let (before, wallet) = (wallet, wallet.recharge(amount)?);
            write(tx, account, &before, &wallet, now)?;
            let entry = store::entries::insert(tx, &Entry::recharge(account, amount, &reference)?, now)?;
            let detail = serde_json::json!({ "amount": amount.get(), "reference": reference });
            audit_log::append(
                tx,
                now,
                &actor,
                "wallet.recharged",
                Some(account),
                &format!("entry:{entry}"),
                &detail,
            )?;
            Ok(Recharged { entry, credited: true, balance: wallet.balance() })
        })
        .await
}

/// Corrects a balance upwards or downwards. Each call is a correction of its own, unless `once` knows it again.
///
/// # Errors
/// [`Error::Invalid`] for `amount` or `reason`, [`Error::NotFound`] for an unknown account,
/// [`Error::Conflict`] where the balance, less what open leases hold, would become negative.
pub async fn adjust(
    core: &Core,
    actor: Actor,
    account: AccountId,
    amount: Cents,
    reason: String,
    once: Option<Once>,
) -> Result<Outcome<Recharged>, Error> {
    check_amount(amount, -LARGEST_AMOUNT)?;
    check_text("reason", &reason)?;
    let reference = core.random_reference();
    let work = move |tx: &mut Tx<'_>, before: Wallet, now| {
        let wallet = before.adjust(amount).map_err(|error| match error {
            tollgate_ledger::LedgerError::InsufficientFunds => Error::Conflict(Conflict::WouldBeNegative),
            other => other.into(),
        })?;
        write(tx, account, &before, &wallet, now)?;
        let entry = Entry::adjustment(account, amount, reference.clone(), &reason)?;
        let entry = store::entries::insert(tx, &entry, now)?;
        let detail = serde_json::json!({ "amount": amount.get(), "reason": reason });
        let subject = format!("entry:{entry}");
        audit_log::append(tx, now, &actor, "wallet.adjusted", Some(account), &subject, &detail)?;
        Ok(Recharged { entry, credited: true, balance: wallet.balance() })
    };
    idempotency::once(core, account, once, work).await
}

impl Kept for Recharged {
    fn to_text(&self) -> String {
        format!("{} {} {}", self.entry, u8::from(self.credited), self.balance)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        Some(Self {
            entry: EntryId::new(words.next()?.parse().ok()?),
            credited: words.next()? == "1",
            balance: Cents::new(words.next()?.parse().ok()?),
        })
    }
}

/// Writes a locked wallet back. Says so where its balance falls to what the customer wants to be
/// told of, and has what failed for want of money tried again where it grows.
pub(crate) fn write(
    tx: &mut Tx<'_>,
    account: AccountId,
    before: &Wallet,
    after: &Wallet,
    now: Time,
) -> Result<(), Error> {
    store::wallets::write(tx, account, after)?;
    let (was, balance) = (before.balance(), after.balance());
    if balance > was {
        return crate::watch::watch_failed(tx, account, now);
    }
    if balance == was {
        return Ok(());
    }
    let threshold = store::wallets::low_balance(tx, account)?;
    if was > threshold && balance <= threshold && threshold > Cents::ZERO {
        let data = serde_json::json!({ "balance": balance.get(), "threshold": threshold.get() });
        events::emit(tx, account, EventKind::WalletLow, &data, now)?;
    }
    Ok(())
}

fn check_amount(amount: Cents, least: i64) -> Result<(), Error> {
    let range = least..=LARGEST_AMOUNT;
    match range.contains(&amount.get()) && amount != Cents::ZERO {
        true => Ok(()),
        false => {
            Err(Error::Invalid { field: "amount", rule: Rule::Range { min: least, max: LARGEST_AMOUNT } })
        }
    }
}

fn check_text(field: &'static str, text: &str) -> Result<(), Error> {
    if text.is_empty() || text.chars().count() > LONGEST_TEXT {
        return Err(Error::Invalid { field, rule: Rule::Length { min: 1, max: LONGEST_TEXT } });
    }
    match text.chars().any(char::is_control) {
        true => Err(Error::Invalid { field, rule: Rule::Characters }),
        false => Ok(()),
    }
}
