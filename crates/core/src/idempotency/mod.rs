//! Calls that spend money are done once, however often a client sends them (contract §1).
//!
//! With an `Idempotency-Key` the same key and parameters within 24 hours give the first answer again, and
//! charge once. Without one, an answer that nobody heard is given again to whoever asks the same
//! (`unheard.rs`).
//!
//! Only a success is kept: nothing was charged by a refusal, so that the same call may try again.

mod unheard;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tollgate_ledger::Wallet;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Time};

use crate::{Conflict, Core, Error};

use unheard::Found;
pub use unheard::{Listener, UnheardCall, forget_unheard, set_heard, set_lost};

/// How long an answer is kept under an idempotency key.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How a call that spends money is known again when it is repeated. A call without is done each time.
#[derive(Debug, Clone)]
pub enum Once {
    /// By the key that the client chose.
    Key(IdempotencyKey),
    /// By what it asks, while its answer is unheard.
    Unheard(UnheardCall),
}

/// A key together with what it was used for.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    key: String,
    input_hash: [u8; 32],
}

impl IdempotencyKey {
    /// Makes one of a key, the call that it came with, and the parameters that decide what the call does, in a fixed order.
    pub fn new(key: String, call: &str, parameters: &[&str]) -> Self {
        Self { key, input_hash: input_hash(call, parameters) }
    }
}

impl From<IdempotencyKey> for Once {
    fn from(key: IdempotencyKey) -> Self {
        Self::Key(key)
    }
}

/// What came of a call that spends money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome<T> {
    /// What it did, or had done when it came first.
    pub value: T,
    /// Whether it had been done before, so that nothing was done now.
    pub is_replayed: bool,
}

impl<T> Outcome<T> {
    /// Turns the value into another.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Outcome<U> {
        Outcome { value: turn(self.value), is_replayed: self.is_replayed }
    }
}

/// What a call did, as a text that can be kept.
pub(crate) trait Kept: Sized + Send + 'static {
    /// Writes it down.
    fn to_text(&self) -> String;
    /// Reads what [`Kept::to_text`] wrote; `None` for anything else.
    fn from_text(text: &str) -> Option<Self>;
}

/// Does a call that spends an account's money, in one transaction under its wallet's lock, unless it
/// was done before: then its first outcome is given again. Waits where the same call was done and it is not
/// known yet whether its answer is heard.
///
/// `work` writes everything but the wallet's lock and the kept answer.
///
/// # Errors
/// Those of `work`, [`Error::NotFound`] for an unknown account, [`Error::Conflict`] for a key that was used
/// with other parameters, [`Error::Unavailable`] where the client has gone before anything was done.
pub(crate) async fn once<T, F>(
    core: &Core,
    account: AccountId,
    once: Option<Once>,
    work: F,
) -> Result<Outcome<T>, Error>
where
    T: Kept,
    F: Fn(&mut Tx<'_>, Wallet, Time) -> Result<T, Error> + Send + Sync + 'static,
{
    let work = Arc::new(work);
    let mut waiting = unheard::Waiting::new();
    loop {
        let (once, work, now) = (once.clone(), work.clone(), core.now());
        let given_up = waiting.given_up();
        let attempt = move |tx: &mut Tx<'_>| {
            let wallet = crate::locks::wallet(tx, account)?;
            let mut claim = Claim { account, once: once.as_ref(), given_up: given_up.as_deref(), now };
            match claim.find(tx)? {
                Found::Nothing => {
                    let value = work(tx, wallet, now)?;
                    claim.keep(tx, &value.to_text())?;
                    Ok(Attempt::Done(Outcome { value, is_replayed: false }))
                }
                Found::Answer(text) => {
                    let value = T::from_text(&text).ok_or_else(unreadable)?;
                    Ok(Attempt::Done(Outcome { value, is_replayed: true }))
                }
                Found::Undecided(delivery) => Ok(Attempt::Undecided(delivery)),
            }
        };
        match core.db().write::<_, Error, _>(attempt).await? {
            Attempt::Done(outcome) => return Ok(outcome),
            Attempt::Undecided(delivery) => waiting.pause(delivery).await,
        }
    }
}

/// How one try to do a call ended.
enum Attempt<T> {
    Done(Outcome<T>),
    /// The same call was answered, and this delivery of the answer is under way.
    Undecided(Vec<u8>),
}

/// One try to do a call.
struct Claim<'a> {
    account: AccountId,
    once: Option<&'a Once>,
    /// A delivery that was waited for long enough.
    given_up: Option<&'a [u8]>,
    now: Time,
}

impl Claim<'_> {
    /// Looks for what the same call was answered before. Asked under the wallet's lock, so that of many
    /// calls at once all but the first find it.
    fn find(&mut self, tx: &mut Tx<'_>) -> Result<Found, Error> {
        match self.once {
            None => Ok(Found::Nothing),
            Some(Once::Key(key)) => find_by_key(tx, self.account, key, self.now),
            Some(Once::Unheard(call)) => call.find(tx, self.account, self.given_up, self.now),
        }
    }

    /// Keeps the answer, in the transaction that did what it says.
    fn keep(&self, tx: &mut Tx<'_>, answer: &str) -> Result<(), Error> {
        match self.once {
            None => Ok(()),
            Some(Once::Key(IdempotencyKey { key, input_hash })) => {
                Ok(store::idempotency::insert(tx, self.account, key, input_hash, answer, self.now)?)
            }
            Some(Once::Unheard(call)) => call.keep(tx, self.account, answer, self.now),
        }
    }
}

fn find_by_key(tx: &mut Tx<'_>, account: AccountId, key: &IdempotencyKey, now: Time) -> Result<Found, Error> {
    let Some(answered) = store::idempotency::find(tx, account, &key.key)? else { return Ok(Found::Nothing) };
    if now.since(answered.at) >= KEPT_FOR {
        store::idempotency::forget(tx, account, &key.key)?;
        return Ok(Found::Nothing);
    }
    match answered.input_hash == key.input_hash {
        true => Ok(Found::Answer(answered.answer)),
        false => Err(Error::Conflict(Conflict::IdempotencyKeyReused)),
    }
}

/// Returns the hash by which a call with its parameters is known again.
fn input_hash(call: &str, parameters: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(&call).chain(parameters) {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// That a kept answer is not one of those that its call gives.
fn unreadable() -> Error {
    Error::Internal("a kept answer cannot be read".into())
}

/// Forgets answers that are no longer kept under a key. Returns the number of them.
///
/// # Errors
/// Those of the store.
pub async fn forget_old(core: &Core) -> Result<u64, Error> {
    let before = core.now().minus(KEPT_FOR);
    core.db().write(move |tx| Ok(store::idempotency::forget_before(tx, before)?)).await
}
