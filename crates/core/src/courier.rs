//! The courier: takes notices out of the house. What a worker needs of the world outside is this one
//! trait; [`NoCourier`] stands in where nobody has been employed.

use std::pin::Pin;

use secrecy::SecretString;
use tollgate_types::{Language, Time};

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
/// more than once; gives up by itself before the claim of a job
/// ends.
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
