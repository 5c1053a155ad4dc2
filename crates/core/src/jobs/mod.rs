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
//! a lock of their own.)
//!
//! This file writes and closes jobs. [`run`] claims and does them, and alone knows what each kind does;
//! [`admin`] is what an operator sees of them and decides.

use std::str::FromStr;
use std::time::Duration;

use tollgate_store::jobs::Claimed;
use tollgate_store::{self as store, Tx};
use tollgate_types::{Time, UnknownWord};

use crate::Error;

pub mod admin;
pub mod run;

/// How long a claim holds without a word from its worker.
pub const CLAIM_TTL: Duration = Duration::from_secs(60);

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
