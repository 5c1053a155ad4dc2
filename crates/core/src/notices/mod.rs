//! Notices: where an account wants its events sent, and sending them.
//!
//! An account has one webhook and one mail address at most. Each goes its own way through the same
//! events: what is delivered, or given up, up to which number, is the channel's `sent_seq`.
//!
//! **Nothing is lost** because three things are looked at and changed under one lock, that of the
//! account's head of events ([`store::events::lock_head`]): the numbers that events get, which
//! channels are told of them, and whether a delivery's job may end. Whoever emits holds that lock
//! from the event's number to the commit, so that
//! - a job that ends under it has seen every event that has a number, and an event that gets its
//!   number later writes the job anew;
//! - a channel that is made or switched on under it is told of every event that comes later, and
//!   has every earlier one before it, or behind it.
//!
//! Locks are taken in this order: head, channel, job. None is held while something is sent.

mod delivery;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::{Value, json};
use tollgate_store::notice_channels::Channel;
use tollgate_store::{self as store, Tx};
use tollgate_types::{AccountId, Cents, Language, Time, UnknownWord};

use crate::audit_log::{self, Actor};
use crate::checks::check_email;
use crate::checks::check_range;
use crate::courier::BadUrl;
use crate::events::{self, EventKind};
use crate::jobs::{self, JobKind};
use crate::{Conflict, Core, Error, Noun, Rule};

pub(crate) use delivery::deliver;

/// The longest URL, in bytes.
const LONGEST_URL: usize = 2048;

/// For how many hours a webhook's old secret signs beside the new one, where nothing else is said.
const KEEP_OLD_HOURS: i64 = 24;

/// For how many hours it may, a week.
const MOST_OLD_HOURS: i64 = 7 * 24;

/// What is older is not delivered to a channel that is switched on again: it has been waiting for
/// about as long as a delivery is tried.
const STALE_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);

/// How often a customer may try the channels out.
const TEST_EVERY: Duration = Duration::from_secs(60);

/// The highest balance to be told of, in cents.
const HIGHEST_LOW_BALANCE: i64 = 1_000_000_000_000;

/// A way on which events leave the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// A POST to the customer's own server.
    Webhook,
    /// A mail.
    Email,
}

impl ChannelKind {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
        }
    }
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChannelKind {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "webhook" => Ok(Self::Webhook),
            "email" => Ok(Self::Email),
            _ => Err(UnknownWord),
        }
    }
}

/// A channel as its customer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelStatus {
    /// The URL, or the mail address.
    pub target: String,
    /// Which language mails are in.
    pub language: Language,
    /// False while nothing is sent.
    pub active: bool,
    /// Until when a webhook is signed with its old secret, too.
    pub old_secret_until: Option<Time>,
    /// Every event up to this number is delivered or given up.
    pub sent_seq: i64,
    /// How many events are waiting.
    pub pending: i64,
    /// Failures in a row with the next one.
    pub attempts: i64,
    /// When it is tried again, after a failure.
    pub retry_at: Option<Time>,
    /// Why it failed last; empty where it did not.
    pub last_error: String,
    /// How many events were never delivered.
    pub given_up: i64,
    /// When it was made.
    pub created_at: Time,
    /// When its customer last changed it.
    pub updated_at: Time,
}

/// Where an account's events are sent, and what else it wants to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its webhook.
    pub webhook: Option<ChannelStatus>,
    /// Its mail address for notices.
    pub email: Option<ChannelStatus>,
    /// Whether this platform sends mail at all.
    pub has_mail: bool,
    /// The balance at or below which it wants to be told; zero for never.
    pub low_balance: Cents,
}

/// What a customer says of a channel: what is `None` stays, and of a new channel is the default.
#[derive(Debug, Clone, Default)]
pub struct ChannelChange {
    /// The URL, which a new webhook needs, or the mail address, by default the account's own.
    pub target: Option<String>,
    /// Which language mails are in; Chinese by default.
    pub language: Option<Language>,
    /// Switched on, as a new one is by default, or off.
    pub active: Option<bool>,
}

/// An account's channels and how far they have got.
///
/// # Errors
/// [`Error::NotFound`] for an unknown account.
pub async fn settings(core: &Core, account: AccountId) -> Result<Settings, Error> {
    let (now, has_mail) = (core.now(), core.courier().has_mail());
    core.db()
        .read(move |tx| {
            let low_balance = store::wallets::low_balance(tx, account).map_err(no_account)?;
            let mut settings = Settings { webhook: None, email: None, has_mail, low_balance };
            for channel in store::notice_channels::of_account(tx, account)? {
                let slot = match channel.channel.parse().map_err(|_| misnamed(&channel))? {
                    ChannelKind::Webhook => &mut settings.webhook,
                    ChannelKind::Email => &mut settings.email,
                };
                *slot = Some(status(tx, channel, now)?);
            }
            Ok(settings)
        })
        .await
}

fn status(tx: &mut Tx<'_>, channel: Channel, now: Time) -> Result<ChannelStatus, Error> {
    Ok(ChannelStatus {
        pending: store::events::count_since(tx, channel.account, channel.sent_seq)?,
        language: channel.language.parse().map_err(|_| misnamed(&channel))?,
        old_secret_until: (channel.old_secret_until > now).then_some(channel.old_secret_until),
        retry_at: (channel.active && channel.retry_at > now).then_some(channel.retry_at),
        target: channel.target,
        active: channel.active,
        sent_seq: channel.sent_seq,
        attempts: channel.attempts,
        last_error: channel.last_error,
        given_up: channel.given_up,
        created_at: channel.created_at,
        updated_at: channel.updated_at,
    })
}

/// Makes or changes an account's webhook. A new one starts with the events that come from now on,
/// and its secret is answered, once. One that is switched on again goes on where it was, but for
/// events older than three days. Whatever waits is tried at once.
///
/// # Errors
/// [`Error::Invalid`] for `url`.
pub async fn set_webhook(
    core: &Core,
    account: AccountId,
    change: ChannelChange,
) -> Result<(ChannelStatus, Option<SecretString>), Error> {
    if let Some(url) = &change.target {
        check_url(core, url).await?;
    }
    let secret = new_secret(core);
    let sealed = core.seal(&owner(account), &secret)?;
    let now = core.now();
    let made = core
        .db()
        .write(move |tx| {
            store::events::lock_head(tx, account)?;
            let found = store::notice_channels::lock(tx, account, ChannelKind::Webhook.as_str())?;
            let is_new = found.is_none();
            let channel = match (found, &change.target) {
                (Some(channel), _) => changed(tx, channel, &change, now)?,
                (None, Some(url)) => {
                    let mut channel = new_channel(tx, account, ChannelKind::Webhook, url, &change, now)?;
                    channel.secret_sealed = Some(sealed.clone());
                    channel
                }
                (None, None) => return Err(Error::invalid("url", Rule::Required)),
            };
            Ok((put(tx, channel, is_new, now)?, is_new))
        })
        .await?;
    let (status, is_new) = made;
    Ok((status, is_new.then(|| SecretString::from(secret))))
}

/// Makes or changes where an account's notices are mailed to. It starts and goes on as a webhook
/// does.
///
/// # Errors
/// [`Error::Conflict`] where this platform sends no mail, [`Error::Invalid`] for `email`,
/// [`Error::NotFound`] for an unknown account.
pub async fn set_email(
    core: &Core,
    account: AccountId,
    change: ChannelChange,
) -> Result<ChannelStatus, Error> {
    if !core.courier().has_mail() {
        return Err(Error::Conflict(Conflict::NoMail));
    }
    let own = core.db().read(move |tx| Ok::<_, Error>(store::accounts::by_id(tx, account)?)).await?;
    let own = own.ok_or(Error::NotFound(Noun::Account))?.email;
    let address = change.target.clone().unwrap_or(own);
    check_email(&address)?;
    if !core.courier().takes_address(&address) {
        return Err(Error::invalid("email", Rule::Address));
    }
    let now = core.now();
    core.db()
        .write(move |tx| {
            store::events::lock_head(tx, account)?;
            let found = store::notice_channels::lock(tx, account, ChannelKind::Email.as_str())?;
            let is_new = found.is_none();
            let channel = match found {
                Some(channel) => changed(tx, channel, &change, now)?,
                None => new_channel(tx, account, ChannelKind::Email, &address, &change, now)?,
            };
            put(tx, channel, is_new, now)
        })
        .await
}

/// Takes a channel away, with its secret. What it has not delivered stays in the account's events.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn delete_channel(core: &Core, account: AccountId, kind: ChannelKind) -> Result<(), Error> {
    let now = core.now();
    core.db()
        .write(move |tx| {
            store::events::lock_head(tx, account)?;
            if !store::notice_channels::delete(tx, account, kind.as_str())? {
                return Err(Error::NotFound(Noun::NoticeChannel));
            }
            audit(tx, account, kind, "notices.channel_deleted", &json!({}), now)?;
            // It will find that nothing is left to do.
            jobs::hurry(tx, JobKind::NoticeDelivery, &subject(account, kind), now, now)
        })
        .await
}

/// Gives the webhook another secret, answered once. The one before signs beside it for so many
/// hours, a day by default.
///
/// # Errors
/// [`Error::Invalid`] for `keep_old_hours`, [`Error::NotFound`] where there is no webhook.
pub async fn rotate_webhook_secret(
    core: &Core,
    account: AccountId,
    keep_old_hours: Option<i64>,
) -> Result<(ChannelStatus, SecretString), Error> {
    let hours = keep_old_hours.unwrap_or(KEEP_OLD_HOURS);
    check_range("keep_old_hours", hours, 0, MOST_OLD_HOURS)?;
    let keep_for = Duration::from_secs(u64::try_from(hours).unwrap_or(0) * 3600);
    let secret = new_secret(core);
    let sealed = core.seal(&owner(account), &secret)?;
    let now = core.now();
    let kind = ChannelKind::Webhook;
    let status = core
        .db()
        .write(move |tx| {
            let found = store::notice_channels::lock(tx, account, kind.as_str())?;
            let mut channel = found.ok_or(Error::NotFound(Noun::NoticeChannel))?;
            channel.old_secret_sealed = channel.secret_sealed.replace(sealed.clone());
            channel.old_secret_until = now.plus(keep_for);
            if keep_for.is_zero() {
                channel.old_secret_sealed = None;
            }
            channel.updated_at = now;
            store::notice_channels::write(tx, &channel)?;
            audit(tx, account, kind, "notices.secret_rotated", &json!({ "keep_old_hours": hours }), now)?;
            status(tx, channel, now)
        })
        .await?;
    Ok((status, SecretString::from(secret)))
}

/// Has an event written that goes to every channel that is switched on, once a minute at most.
///
/// # Errors
/// [`Error::NotFound`] where no channel is switched on, [`Error::TooSoon`].
pub async fn test(core: &Core, account: AccountId) -> Result<(), Error> {
    let now = core.now();
    core.db()
        .write(move |tx| {
            store::events::lock_head(tx, account)?;
            let channels = store::notice_channels::active(tx, account)?;
            if channels.is_empty() {
                return Err(Error::NotFound(Noun::NoticeChannel));
            }
            let (kind, since) = (EventKind::NoticeTested, now.minus(TEST_EVERY));
            if let Some(last) = store::events::last_of_kind(tx, account, kind.as_str(), since)? {
                return Err(Error::TooSoon(last.plus(TEST_EVERY).since(now)));
            }
            let names: Vec<_> = channels.into_iter().map(|(name, _)| name).collect();
            events::emit(tx, account, kind, &json!({ "channels": names }), now)
        })
        .await
}

/// Sets the balance at or below which the account wants to be told; zero for never.
///
/// # Errors
/// [`Error::Invalid`] for `low_balance`, [`Error::NotFound`] for an unknown account.
pub async fn set_low_balance(core: &Core, account: AccountId, cents: Cents) -> Result<(), Error> {
    check_range("low_balance", cents.get(), 0, HIGHEST_LOW_BALANCE)?;
    core.db()
        .write(move |tx| {
            crate::locks::wallet(tx, account)?;
            Ok(store::notice_channels::set_low_balance(tx, account, cents)?)
        })
        .await
}

/// The form of a URL, and then whether it can be sent to as things stand.
async fn check_url(core: &Core, url: &str) -> Result<(), Error> {
    let broken = |rule| Err(Error::invalid("url", rule));
    if url.is_empty() || url.len() > LONGEST_URL {
        return broken(Rule::Length { min: 1, max: LONGEST_URL });
    }
    if url.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return broken(Rule::Characters);
    }
    if !has_sound_form(url) {
        return broken(Rule::Url);
    }
    match core.courier().check_url(url).await {
        Ok(()) => Ok(()),
        Err(BadUrl::Form) => broken(Rule::Url),
        Err(BadUrl::Plain) => broken(Rule::Https),
        Err(BadUrl::Unreachable) => broken(Rule::Unreachable),
    }
}

/// http or https, a host, neither credentials nor a fragment.
fn has_sound_form(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    is_web && !authority.is_empty() && !authority.contains('@') && !rest.contains('#')
}

/// A channel that begins now: behind every event that there is.
fn new_channel(
    tx: &mut Tx<'_>,
    account: AccountId,
    kind: ChannelKind,
    target: &str,
    change: &ChannelChange,
    now: Time,
) -> Result<Channel, Error> {
    Ok(Channel {
        account,
        channel: kind.as_str().to_owned(),
        target: target.to_owned(),
        secret_sealed: None,
        old_secret_sealed: None,
        old_secret_until: Time::default(),
        language: change.language.unwrap_or_default().tag().to_owned(),
        active: change.active.unwrap_or(true),
        sent_seq: store::events::last_seq(tx, account)?,
        attempts: 0,
        retry_at: Time::default(),
        last_error: String::new(),
        given_up: 0,
        created_at: now,
        updated_at: now,
    })
}

/// A channel as its customer changes it.
fn changed(
    tx: &mut Tx<'_>,
    mut channel: Channel,
    change: &ChannelChange,
    now: Time,
) -> Result<Channel, Error> {
    let active = change.active.unwrap_or(channel.active);
    if active && !channel.active {
        let stale = store::events::last_before(tx, channel.account, now.minus(STALE_AFTER))?;
        channel.sent_seq = channel.sent_seq.max(stale);
    }
    if let Some(target) = change.target.as_ref().filter(|target| **target != channel.target) {
        channel.target.clone_from(target);
        channel.last_error.clear();
    }
    if let Some(language) = change.language {
        language.tag().clone_into(&mut channel.language);
    }
    channel.active = active;
    channel.attempts = 0;
    channel.retry_at = Time::default();
    channel.updated_at = now;
    Ok(channel)
}

/// Writes a channel that its customer made or changed, and has what waits delivered.
fn put(tx: &mut Tx<'_>, channel: Channel, is_new: bool, now: Time) -> Result<ChannelStatus, Error> {
    store::notice_channels::write(tx, &channel)?;
    let kind = channel.channel.parse().map_err(|_| misnamed(&channel))?;
    let action = if is_new { "notices.channel_made" } else { "notices.channel_changed" };
    // Customers put keys of theirs into URLs.
    let detail = json!({ "active": channel.active, "language": channel.language });
    audit(tx, channel.account, kind, action, &detail, now)?;
    if channel.active {
        jobs::hurry(tx, JobKind::NoticeDelivery, &subject(channel.account, kind), now, now)?;
    }
    status(tx, channel, now)
}

fn audit(
    tx: &mut Tx<'_>,
    account: AccountId,
    kind: ChannelKind,
    action: &str,
    detail: &Value,
    now: Time,
) -> Result<(), Error> {
    let actor = Actor::Account(account);
    audit_log::append(tx, now, &actor, action, Some(account), &format!("channel:{kind}"), detail)
}

/// What the job is about that delivers on a channel.
fn subject(account: AccountId, kind: ChannelKind) -> String {
    format!("{account}:{kind}")
}

/// What a webhook's secrets are sealed for.
fn owner(account: AccountId) -> String {
    format!("notice_channels.secret:{account}")
}

/// A new secret, as the Standard Webhooks scheme writes them.
fn new_secret(core: &Core) -> String {
    format!("whsec_{}", STANDARD.encode(core.random::<32>()))
}

fn misnamed(channel: &Channel) -> Error {
    Error::Internal(format!("a channel {:?} in {:?} is unknown", channel.channel, channel.language))
}

fn no_account(error: store::Error) -> Error {
    match error {
        store::Error::NoRow => Error::NotFound(Noun::Account),
        other => other.into(),
    }
}
