//! Answers that nobody heard. Many HTTP clients send a call again by themselves when its connection ends
//! before the answer: without an idempotency key, too, and nobody asked for a second purchase.
//!
//! The answer to a call that spent money is kept in the same transaction, and forgotten once it was heard.
//! Whoever asks the same while it is kept gets it again. While its delivery is under way, nobody knows
//! whether it will be heard: the same call from elsewhere waits until that is decided, and then is either
//! answered again or done. It is decided within [`LONGEST_DELIVERY`] at the latest.
//! docs/decisions/0011-unheard-answers.md tells why.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tollgate_store::Tx;
use tollgate_store::unheard::{self as stored, DeliveryId};
use tollgate_types::{AccountId, Time};

use crate::{Core, Error};

/// For how long after its last delivery an unheard answer is given again.
const REPEATED_FOR: Duration = Duration::from_secs(120);

/// How long a delivery may be under way before it counts as lost: that of a process that died, say.
const LONGEST_DELIVERY: Duration = Duration::from_secs(3);

/// How long the first pause is between two looks at a delivery that is under way.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Who waits for the answer to a call.
pub trait Listener: fmt::Debug + Send + Sync {
    /// Whether it is known that nobody waits for the answer any more.
    fn is_gone(&self) -> bool;
}

/// A call that is known again by what it asks, and one delivery of its answer.
#[derive(Debug, Clone)]
pub struct UnheardCall {
    input_hash: [u8; 32],
    delivery: DeliveryId,
    listener: Arc<dyn Listener>,
}

/// What there is of the same call.
pub(super) enum Found {
    /// It was not done, or its answer was heard.
    Nothing,
    /// What it was answered.
    Answer(String),
    /// It was answered, and this delivery of the answer is under way.
    Undecided(Vec<u8>),
}

impl UnheardCall {
    /// Makes one of a call, the parameters that decide what the call does, in a fixed order, and who waits for the answer.
    pub fn new(core: &Core, call: &str, parameters: &[&str], listener: Arc<dyn Listener>) -> Self {
        Self { input_hash: super::input_hash(call, parameters), delivery: core.random(), listener }
    }

    /// Looks for an unheard answer. Finding one begins its next delivery, which is this call's.
    pub(super) fn find(
        &self,
        tx: &mut Tx<'_>,
        account: AccountId,
        given_up: Option<&[u8]>,
        now: Time,
    ) -> Result<Found, Error> {
        if self.listener.is_gone() {
            return Err(Error::Unavailable("the client has gone before its call was done".into()));
        }
        let call = self.call(account);
        let Some(before) = stored::find(tx, call)? else { return Ok(Found::Nothing) };
        let age = now.since(before.answered_at);
        if age >= REPEATED_FOR {
            return Ok(Found::Nothing);
        }
        let is_over = before.is_lost || age >= LONGEST_DELIVERY || given_up == Some(&before.delivery);
        if !is_over {
            return Ok(Found::Undecided(before.delivery));
        }
        // It may be heard at this very moment, for that takes no lock.
        match stored::deliver_again(tx, call, &before.delivery, &self.delivery, now)? {
            true => Ok(Found::Answer(before.answer)),
            false => Ok(Found::Nothing),
        }
    }

    /// Keeps the answer, whose first delivery is this call's.
    pub(super) fn keep(
        &self,
        tx: &mut Tx<'_>,
        account: AccountId,
        answer: &str,
        now: Time,
    ) -> Result<(), Error> {
        Ok(stored::replace(tx, self.call(account), &self.delivery, answer, now)?)
    }

    const fn call(&self, account: AccountId) -> stored::Call<'_> {
        stored::Call { account, input_hash: &self.input_hash }
    }
}

/// Forgets the answer to a call, for its delivery was heard. A later delivery of the same answer stays unheard.
///
/// # Errors
/// Those of the store.
pub async fn set_heard(core: &Core, account: AccountId, call: &UnheardCall) -> Result<(), Error> {
    let call = call.clone();
    core.db().write(move |tx| Ok(stored::set_heard(tx, call.call(account), &call.delivery)?)).await
}

/// Writes down that the delivery of an answer was lost, so that nobody waits for it.
///
/// # Errors
/// Those of the store.
pub async fn set_lost(core: &Core, account: AccountId, call: &UnheardCall) -> Result<(), Error> {
    let call = call.clone();
    core.db().write(move |tx| Ok(stored::set_lost(tx, call.call(account), &call.delivery)?)).await
}

/// Forgets unheard answers that would not be given again. Returns the number of them.
///
/// # Errors
/// Those of the store.
pub async fn forget_unheard(core: &Core) -> Result<u64, Error> {
    let before = core.now().minus(REPEATED_FOR);
    core.db().write(move |tx| Ok(stored::forget_before(tx, before)?)).await
}

/// Waits for a delivery that is under way, with pauses that grow.
pub(super) struct Waiting {
    /// The delivery, and since when it is waited for.
    delivery: Option<(Vec<u8>, Instant)>,
    pause: Duration,
}

impl Waiting {
    pub(super) const fn new() -> Self {
        Self { delivery: None, pause: FIRST_PAUSE }
    }

    /// Waits a little before the next look at a delivery.
    pub(super) async fn pause(&mut self, delivery: Vec<u8>) {
        if self.delivery.as_ref().is_none_or(|(before, _)| *before != delivery) {
            *self = Self { delivery: Some((delivery, Instant::now())), pause: FIRST_PAUSE };
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Returns the delivery that was waited for long enough, whatever the clocks of other processes say.
    pub(super) fn given_up(&self) -> Option<Vec<u8>> {
        let (delivery, since) = self.delivery.as_ref()?;
        (since.elapsed() >= LONGEST_DELIVERY).then(|| delivery.clone())
    }
}
