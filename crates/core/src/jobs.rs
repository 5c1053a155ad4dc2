//! Jobs: everything that happens by itself.
//!
//! A job is written by the transaction that causes it ([`set`], [`hurry`]) and deleted by the
//! transaction that does it, so that it takes effect once, however many workers there are and
//! whenever one of them dies. In between a worker holds it by a numbered claim with an end: whoever
//! has not been heard of by then is presumed dead, the job is claimed anew, and the older claim can
//! no longer commit anything.
//!
//! What a job does is decided by the state that it finds, never by what it was written for: it may
//! come late, or twice. Whoever writes a job about an account holds that account's wallet, and so
//! does the transaction that does it; the job's own row is touched last. (Deliveries of notices have
//! a lock of their own: see [`crate::notices`].)

use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
pub use tollgate_store::jobs::{Claimed, JobRow};
use tollgate_store::{self as store, Tx};
use tollgate_types::{JobId, Language, Time, UnknownWord};

use crate::audit_log::{self, Actor};
use crate::{Core, Error, Noun, Page, Rule};

/// How long a claim holds without a word from its worker.
pub const CLAIM_TTL: Duration = Duration::from_secs(60);

/// How often a worker says that it is still at a job.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Failures in a row after which a job is dead.
const MOST_ATTEMPTS: i64 = 10;

/// The rest after a first failure; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_secs(5);

/// The longest rest after a failure.
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// The longest error that is kept, in characters.
const LONGEST_ERROR: usize = 500;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// What is to be done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum JobKind {
            $($(#[$doc])* $variant,)*
        }

        impl JobKind {
            /// The stored and shown word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for JobKind {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word { $($word => Ok(Self::$variant),)* _ => Err(UnknownWord) }
            }
        }
    };
}

kinds! {
    /// A package expires: what is left of it is breakage. About a package.
    PackageExpiry = "package.expiry",
    /// Reminders and auto-rebuy. About an account and a type, `7:residential`.
    PackageWatch = "package.watch",
    /// Renewing, or saying that an end is near. About a static proxy.
    StaticRenewal = "static.renewal",
    /// A static proxy expires, and later gives its address back. About a static proxy.
    StaticExpiry = "static.expiry",
    /// A static proxy gets another address. About a request.
    StaticReplacement = "static.replacement",
    /// An address without a proxy is free again. About a stock item.
    StockRelease = "stock.release",
    /// An account's next event is to be delivered. About an account and a channel, `7:webhook`.
    NoticeDelivery = "notice.delivery",
    /// What has grown old is forgotten. About everything, `all`.
    Pruning = "pruning",
}

/// What becomes of a job that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is over.
    Done,
    /// It is due again.
    At(Time),
}

/// Has something done at a time and not earlier; a job about the same is moved there.
pub(crate) fn set(tx: &mut Tx<'_>, kind: JobKind, subject: &str, at: Time, now: Time) -> Result<(), Error> {
    Ok(store::jobs::set(tx, kind.as_str(), subject, at, now)?)
}

/// Has something done at a time or earlier.
pub(crate) fn hurry(tx: &mut Tx<'_>, kind: JobKind, subject: &str, at: Time, now: Time) -> Result<(), Error> {
    Ok(store::jobs::hurry(tx, kind.as_str(), subject, at, now)?)
}

/// Has something not done after all.
pub(crate) fn forget(tx: &mut Tx<'_>, kind: JobKind, subject: &str) -> Result<(), Error> {
    Ok(store::jobs::forget(tx, kind.as_str(), subject)?)
}

/// Closes a job in the transaction that did it.
///
/// # Errors
/// [`Error::Unavailable`] where the job was taken away meanwhile: the transaction must not commit.
pub(crate) fn close(tx: &mut Tx<'_>, job: &Claimed, next: Next, now: Time) -> Result<(), Error> {
    let held = match next {
        Next::Done => store::jobs::finish(tx, job.id, job.claim)?,
        Next::At(at) => store::jobs::again(tx, job.id, job.claim, at, now)?,
    };
    if held { Ok(()) } else { Err(Error::Unavailable("another worker has taken the job over".into())) }
}

/// Goes on with a job of which the transaction has done a part: the claim holds on from now.
///
/// # Errors
/// As [`close`].
pub(crate) fn go_on(tx: &mut Tx<'_>, job: &Claimed, now: Time) -> Result<(), Error> {
    let held = store::jobs::prolong(tx, job.id, job.claim, now.plus(CLAIM_TTL))?;
    if held { Ok(()) } else { Err(Error::Unavailable("another worker has taken the job over".into())) }
}

/// A notice on its way out of the house.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The same for every attempt: receivers know by it what they had before.
    pub id: String,
    /// When this attempt is made: what is signed.
    pub at: Time,
    /// When it happened.
    pub happened_at: Time,
    /// What happened, as [`crate::events::EventKind`] says it.
    pub kind: String,
    /// More of it, in JSON.
    pub data: String,
    /// Which way it goes.
    pub way: Way,
}

/// Which way a notice goes.
#[derive(Debug, Clone)]
pub enum Way {
    /// To a customer's own server.
    Webhook {
        /// Where.
        url: String,
        /// The whole body.
        body: String,
        /// What to sign it with: one, or two while they are being changed.
        secrets: Vec<SecretString>,
    },
    /// By mail.
    Mail {
        /// To whom.
        to: String,
        /// In which language.
        language: Language,
    },
}

/// A notice did not arrive, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Undelivered {
    /// Why, in one line without secrets; shown to the customer.
    pub why: String,
    /// What is to be done about it.
    pub prospect: Prospect,
}

/// Whether a notice that did not arrive may arrive yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// It may, later.
    TryAgain,
    /// This one never will.
    GiveUp,
    /// The receiver wants nothing more, ever (HTTP 410): the channel is to be switched off.
    SwitchOff,
}

/// Why a URL is not one that letters can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is no URL, or holds what it may not.
    #[error("not a URL such as https://example.com/hooks")]
    Form,
    /// It is not https, and nothing else is taken here.
    #[error("not https")]
    Plain,
    /// Its host has no address, or none that may be reached from here.
    #[error("the host has no public address")]
    Unreachable,
}

/// An answer that is waited for.
pub type Awaited<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes notices out of the house: what a worker needs from outside. May be given the same letter
/// more than once; gives up by itself after a time shorter than [`CLAIM_TTL`].
pub trait Courier: std::fmt::Debug + Send + Sync + 'static {
    /// Delivers a letter, once.
    fn deliver(&self, letter: Letter) -> Awaited<'_, Result<(), Undelivered>>;

    /// Whether a webhook's URL is one that letters can be sent to; resolves its name.
    fn check_url<'a>(&'a self, url: &'a str) -> Awaited<'a, Result<(), BadUrl>>;

    /// Whether mail can be sent at all.
    fn has_mail(&self) -> bool;

    /// Whether mail can be sent to an address, by its form.
    fn takes_address(&self, address: &str) -> bool;
}

/// Delivers nothing: for processes that only have others do so.
#[derive(Debug, Clone, Copy)]
pub struct NoCourier;

impl Courier for NoCourier {
    fn deliver(&self, _: Letter) -> Awaited<'_, Result<(), Undelivered>> {
        let undelivered = Undelivered { why: "no courier is employed".into(), prospect: Prospect::TryAgain };
        Box::pin(std::future::ready(Err(undelivered)))
    }

    fn check_url<'a>(&'a self, _: &'a str) -> Awaited<'a, Result<(), BadUrl>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn has_mail(&self) -> bool {
        false
    }

    fn takes_address(&self, _: &str) -> bool {
        false
    }
}

/// Which jobs: those that wait for strangers are kept apart, so that they hold up no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Everything that is done in the house.
    House,
    /// Deliveries of notices.
    Post,
}

/// Claims jobs that are due, so many at most. Each is to be given to [`attempt`].
///
/// # Errors
/// Those of the store.
pub async fn claim(core: &Core, queue: Queue, most: i64) -> Result<Vec<Claimed>, Error> {
    let (now, deliveries) = (core.now(), queue == Queue::Post);
    core.db().write(move |tx| Ok(store::jobs::claim(tx, deliveries, now, now.plus(CLAIM_TTL), most)?)).await
}

/// Does a claimed job. One that fails is put back and tells the log.
pub async fn attempt(core: Core, job: Claimed) {
    let done = tokio::select! {
        done = perform(&core, &job) => done,
        // Lost: whoever has the job now does it.
        () = keep_claim(&core, &job) => return,
    };
    if let Err(error) = done {
        put_back(&core, &job, &error).await;
    }
}

/// Claims and does jobs that are due, so many of each queue at most, beside each other; returns
/// when they are done, and says how many they were.
///
/// # Errors
/// Those of the store, where nothing can be claimed.
pub async fn run_due(core: &Core, most: i64) -> Result<usize, Error> {
    let mut jobs = claim(core, Queue::House, most).await?;
    jobs.extend(claim(core, Queue::Post, most).await?);
    let count = jobs.len();
    let mut running = tokio::task::JoinSet::new();
    for job in jobs {
        running.spawn(attempt(core.clone(), job));
    }
    while running.join_next().await.is_some() {}
    Ok(count)
}

/// When there is something to claim again.
///
/// # Errors
/// Those of the store.
pub async fn next_due(core: &Core) -> Result<Option<Time>, Error> {
    core.db().read(|tx| Ok(store::jobs::next_due(tx)?)).await
}

/// Writes the jobs that nothing causes: called by every worker as it starts.
///
/// # Errors
/// Those of the store.
pub async fn begin(core: &Core) -> Result<(), Error> {
    let now = core.now();
    core.db().write(move |tx| hurry(tx, JobKind::Pruning, "all", now, now)).await
}

async fn perform(core: &Core, job: &Claimed) -> Result<(), Error> {
    let misnamed =
        || Error::Internal(format!("a job {} about {:?} cannot be understood", job.kind, job.subject));
    match job.kind.parse::<JobKind>().map_err(|_| misnamed())? {
        JobKind::PackageExpiry => crate::packages::expire(core, job).await,
        JobKind::PackageWatch => crate::packages::watch(core, job).await,
        JobKind::StaticRenewal => crate::statics::jobs::renewal(core, job).await,
        JobKind::StaticExpiry => crate::statics::jobs::expiry(core, job).await,
        JobKind::StaticReplacement => crate::statics::jobs::replacement(core, job).await,
        JobKind::StockRelease => crate::statics::jobs::release(core, job).await,
        JobKind::NoticeDelivery => crate::notices::deliver(core, job).await,
        JobKind::Pruning => crate::pruning::prune(core, job).await,
    }
}

/// Prolongs the claim for as long as it is polled; returns when it is lost.
async fn keep_claim(core: &Core, job: &Claimed) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let (id, claim, until) = (job.id, job.claim, core.now().plus(CLAIM_TTL));
        let held =
            core.db().write(move |tx| Ok::<_, Error>(store::jobs::prolong(tx, id, claim, until)?)).await;
        if held == Ok(false) {
            tracing::warn!(job = %id, kind = job.kind, "another worker has taken a job over");
            return;
        }
    }
}

/// Puts a job back that failed, to be tried again after a rest, or sets it aside. Where even that
/// fails the claim runs out by itself.
async fn put_back(core: &Core, job: &Claimed, error: &Error) {
    let (id, claim, now) = (job.id, job.claim, core.now());
    let again_at = (job.attempts + 1 < MOST_ATTEMPTS).then(|| now.plus(rest_after(job.attempts)));
    match again_at {
        Some(_) => {
            tracing::warn!(job = %id, kind = job.kind, subject = job.subject, %error, "a job has failed and will be tried again")
        }
        None => {
            tracing::error!(job = %id, kind = job.kind, subject = job.subject, %error, "a job has failed too often and waits for the operator")
        }
    }
    let text: String = error.to_string().chars().take(LONGEST_ERROR).collect();
    let put_back = core
        .db()
        .write(move |tx| Ok::<_, Error>(store::jobs::fail(tx, id, claim, again_at, &text, now)?))
        .await;
    if let Err(error) = put_back {
        tracing::warn!(job = %id, %error, "a failed job could not be put back; its claim will run out");
    }
}

/// The rest after so many failures before this one.
fn rest_after(failures: i64) -> Duration {
    let doublings = u32::try_from(failures.clamp(0, 20)).unwrap_or(20);
    FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST)
}

/// The states a job can be in, in the operator API's words.
pub const STATES: &[&str] = &["waiting", "claimed", "dead"];

/// A page of jobs by when they are due, and how many there are; only those in one state where one
/// is named.
///
/// # Errors
/// [`Error::Invalid`] for `state`.
pub async fn list(core: &Core, state: Option<String>, page: Page) -> Result<(Vec<JobRow>, i64), Error> {
    if state.as_ref().is_some_and(|state| !STATES.contains(&state.as_str())) {
        return Err(Error::Invalid { field: "state", rule: Rule::OneOf(STATES) });
    }
    core.db().read(move |tx| Ok(store::jobs::page(tx, state.as_deref(), page.limit(), page.offset())?)).await
}

/// Has a dead job tried again.
///
/// # Errors
/// [`Error::NotFound`] where there is no dead job of that id.
pub async fn retry(core: &Core, actor: Actor, id: JobId) -> Result<(), Error> {
    let now = core.now();
    decide_dead(core, actor, id, "job.retried", move |tx| store::jobs::revive(tx, id, now)).await
}

/// Forgets a dead job.
///
/// # Errors
/// [`Error::NotFound`] where there is no dead job of that id.
pub async fn discard(core: &Core, actor: Actor, id: JobId) -> Result<(), Error> {
    decide_dead(core, actor, id, "job.discarded", move |tx| store::jobs::discard(tx, id)).await
}

async fn decide_dead(
    core: &Core,
    actor: Actor,
    id: JobId,
    action: &'static str,
    decide: impl Fn(&mut Tx<'_>) -> Result<bool, store::Error> + Send + 'static,
) -> Result<(), Error> {
    let now = core.now();
    core.db()
        .write(move |tx| {
            let job = store::jobs::lock(tx, id)?.ok_or(Error::NotFound(Noun::Job))?;
            if !decide(tx)? {
                return Err(Error::NotFound(Noun::Job));
            }
            let detail =
                serde_json::json!({ "kind": job.kind, "subject": job.subject, "error": job.last_error });
            audit_log::append(tx, now, &actor, action, None, &format!("job:{id}"), &detail)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_an_hour() {
        let seconds: Vec<u64> = (0..12).map(|failures| rest_after(failures).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
    }
}
