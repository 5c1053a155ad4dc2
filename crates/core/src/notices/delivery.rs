//! Delivering events: each channel in order, each event at least once.
//!
//! The job of a channel sends what waits, one event after the other, and writes down how each went
//! before it sends the next. It ends when nothing is left, when the next attempt has to rest, or
//! when it has been at it for long enough, so that others get their turn. A delivery that fails is
//! no failure of the job: that it fails, and how often, is the channel's own business.

use std::time::Duration;

use secrecy::SecretString;
use tollgate_store::events::Event;
use tollgate_store::jobs::Claimed;
use tollgate_store::notice_channels::Channel;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Time};

use super::{ChannelKind, misnamed, owner};
use crate::courier::{Courier, Letter, Prospect, Undelivered, Way};
use crate::jobs::{self, Next};
use crate::{Core, Error};

/// The rests after failures with the same event; when they are used up it is given up.
pub(super) const RESTS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// The longest that a delivery is waited for: couriers give up before.
const LONGEST_DELIVERY: Duration = Duration::from_secs(45);

/// How many events are sent in one go of a job.
pub(super) const MOST_IN_A_TURN: usize = 1000;

/// After which time a job sends no further event in one go.
const LONGEST_TURN: Duration = Duration::from_secs(10);

/// How many events are read at a time.
const BATCH: i64 = 100;

/// The longest error that is kept, in characters.
const LONGEST_ERROR: usize = 500;

/// Delivers what waits on a channel.
pub(crate) async fn deliver(core: &Core, job: &Claimed) -> Result<(), Error> {
    let (account, kind) = subject(job)?;
    let mut turn = Turn { core, job, account, kind, begun: core.now(), left: MOST_IN_A_TURN };
    while turn.batch().await? {}
    Ok(())
}

/// What a job is about.
fn subject(job: &Claimed) -> Result<(AccountId, ChannelKind), Error> {
    let named = job
        .subject
        .split_once(':')
        .and_then(|(account, kind)| Some((AccountId::new(account.parse().ok()?), kind.parse().ok()?)));
    named.ok_or_else(|| Error::Internal(format!("no channel is called {:?}", job.subject)))
}

/// One go of a channel's job.
struct Turn<'a> {
    core: &'a Core,
    job: &'a Claimed,
    account: AccountId,
    kind: ChannelKind,
    begun: Time,
    left: usize,
}

/// How an event went, and what it was sent for.
struct Attempt {
    /// The channel as it was when it was sent.
    channel: Channel,
    event: Event,
    outcome: Result<(), Undelivered>,
}

impl Turn<'_> {
    /// Sends the next events; false once the job is closed.
    async fn batch(&mut self) -> Result<bool, Error> {
        let (found, events) = self.load().await?;
        let ready = found.filter(|channel| channel.active && channel.retry_at <= self.core.now());
        let Some(mut channel) = ready.filter(|_| !events.is_empty()) else {
            return Ok(self.settle(None).await?.is_some());
        };
        for event in events {
            let reached = event.seq;
            let outcome = self.send(&channel, &event).await?;
            self.left = self.left.saturating_sub(1);
            match self.settle(Some(Attempt { channel, event, outcome })).await? {
                None => return Ok(false),
                Some(next) if next.sent_seq == reached => channel = next,
                // Changed meanwhile: the rest of what was read need not be what is to be sent.
                Some(_) => break,
            }
        }
        Ok(true)
    }

    async fn load(&self) -> Result<(Option<Channel>, Vec<Event>), Error> {
        let (account, kind) = (self.account, self.kind);
        self.core
            .db()
            .read(move |tx| {
                let mut channels = store::notice_channels::of_account(tx, account)?;
                channels.retain(|channel| channel.channel == kind.as_str());
                let Some(channel) = channels.pop() else { return Ok::<_, Error>((None, Vec::new())) };
                let events = store::events::since(tx, account, channel.sent_seq, BATCH)?;
                Ok((Some(channel), events))
            })
            .await
    }

    async fn send(&self, channel: &Channel, event: &Event) -> Result<Result<(), Undelivered>, Error> {
        let letter = letter(self.core, self.kind, channel, event)?;
        let outcome = carry(self.core.courier(), letter).await;
        if let Err(undelivered) = &outcome {
            let (account, seq) = (self.account.get(), event.seq);
            tracing::debug!(account, channel = %self.kind, seq, why = undelivered.why, "a notice was not delivered");
        }
        Ok(outcome)
    }

    /// Writes down how an attempt went, and closes the job where nothing can be sent any more just
    /// now. Answers the channel as it then is; `None` once the job is closed.
    async fn settle(&self, attempt: Option<Attempt>) -> Result<Option<Channel>, Error> {
        let (account, kind, job, now) = (self.account, self.kind, self.job.clone(), self.core.now());
        let is_tired = self.left == 0 || now.since(self.begun) >= LONGEST_TURN;
        self.core
            .db()
            .write(move |tx| {
                store::events::lock_head(tx, account)?;
                let mut channel = store::notice_channels::lock(tx, account, kind.as_str())?;
                if let (Some(channel), Some(attempt)) = (&mut channel, &attempt)
                    && note(channel, attempt, now)
                {
                    store::notice_channels::write(tx, channel)?;
                }
                match (channel, is_tired) {
                    (Some(channel), _) if !channel.active => closed(tx, &job, Next::Done, now),
                    (None, _) => closed(tx, &job, Next::Done, now),
                    (Some(channel), _)
                        if store::events::since(tx, account, channel.sent_seq, 1)?.is_empty() =>
                    {
                        closed(tx, &job, Next::Done, now)
                    }
                    (Some(channel), _) if channel.retry_at > now => {
                        closed(tx, &job, Next::At(channel.retry_at), now)
                    }
                    (Some(_), true) => closed(tx, &job, Next::At(now), now),
                    (Some(channel), false) => {
                        jobs::go_on(tx, &job, now)?;
                        Ok(Some(channel))
                    }
                }
            })
            .await
    }
}

/// Has a letter carried, for so long at most.
pub(super) async fn carry(courier: &dyn Courier, letter: Letter) -> Result<(), Undelivered> {
    let late = |_| Err(Undelivered { why: "no answer in time".into(), prospect: Prospect::TryAgain });
    tokio::time::timeout(LONGEST_DELIVERY, courier.deliver(letter)).await.unwrap_or_else(late)
}

fn closed(tx: &mut Tx<'_>, job: &Claimed, next: Next, now: Time) -> Result<Option<Channel>, Error> {
    jobs::close(tx, job, next, now).map(|()| None)
}

/// Notes on a channel how an attempt went; false where that says nothing of the channel any more:
/// it leads somewhere else now, or has gone past that event.
fn note(channel: &mut Channel, attempt: &Attempt, now: Time) -> bool {
    let sent_for = &attempt.channel;
    if channel.target != sent_for.target || channel.sent_seq != sent_for.sent_seq {
        return false;
    }
    match &attempt.outcome {
        Ok(()) => {
            channel.last_error.clear();
            pass(channel, &attempt.event);
        }
        // Its customer has switched it off meanwhile.
        Err(_) if !channel.active => return false,
        Err(undelivered) => {
            channel.last_error = shortened(&undelivered.why);
            match undelivered.prospect {
                Prospect::TryAgain => rest_or_give_up(channel, &attempt.event, now),
                Prospect::GiveUp => give_up(channel, &attempt.event),
                Prospect::SwitchOff => channel.active = false,
            }
        }
    }
    true
}

/// The event is dealt with.
fn pass(channel: &mut Channel, event: &Event) {
    channel.sent_seq = event.seq;
    channel.attempts = 0;
    channel.retry_at = Time::default();
}

fn rest_or_give_up(channel: &mut Channel, event: &Event, now: Time) {
    match usize::try_from(channel.attempts).ok().and_then(|failures| RESTS.get(failures)) {
        Some(rest) => {
            channel.attempts += 1;
            channel.retry_at = now.plus(*rest);
        }
        None => give_up(channel, event),
    }
}

fn give_up(channel: &mut Channel, event: &Event) {
    let (account, seq) = (event.account.get(), event.seq);
    tracing::warn!(account, channel = channel.channel, seq, why = channel.last_error, "a notice is given up");
    channel.given_up += 1;
    pass(channel, event);
}

fn letter(core: &Core, kind: ChannelKind, channel: &Channel, event: &Event) -> Result<Letter, Error> {
    let at = core.now();
    let id = format!("evt_{}_{}", event.account, event.seq);
    let way = match kind {
        ChannelKind::Webhook => Way::Webhook {
            url: channel.target.clone(),
            body: body(&id, event)?,
            secrets: secrets(core, channel, at)?,
        },
        ChannelKind::Email => Way::Mail {
            to: channel.target.clone(),
            language: channel.language.parse().map_err(|_| misnamed(channel))?,
        },
    };
    let (kind, data) = (event.kind.clone(), event.data.clone());
    Ok(Letter { id, at, happened_at: event.at, kind, data, way })
}

/// What a webhook carries, the same bytes in every attempt.
fn body(id: &str, event: &Event) -> Result<String, Error> {
    let Event { account, seq, kind, data, at } = event;
    let kind = serde_json::to_string(kind).map_err(|error| Error::Internal(error.to_string()))?;
    let at = at.rfc3339();
    Ok(format!(
        r#"{{"id":"{id}","type":{kind},"timestamp":"{at}","account_id":{account},"seq":{seq},"data":{data}}}"#
    ))
}

/// What a webhook is signed with: the newest secret first, and the one before while it holds.
fn secrets(core: &Core, channel: &Channel, now: Time) -> Result<Vec<SecretString>, Error> {
    let old = channel.old_secret_sealed.as_ref().filter(|_| channel.old_secret_until > now);
    let owner = owner(channel.account);
    channel.secret_sealed.iter().chain(old).map(|sealed| core.keys().open(&owner, sealed)).collect()
}

/// An error's text, bounded and in one line.
fn shortened(why: &str) -> String {
    why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_ERROR).collect()
}
