//! What a job may answer instead of doing what it was asked: structured, so that the API can say
//! it in the caller's language (contract §1).

use std::time::Duration;

use tollgate_ledger::LedgerError;
use tollgate_store as store;

/// Why a job was not done. Nothing has been changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A parameter does not hold what it should (40000).
    #[error("parameter {field}: {rule}")]
    Invalid {
        /// The parameter's name, as in the API document.
        field: &'static str,
        /// The rule that it breaks.
        rule: Rule,
    },
    /// No such thing, or it is another account's (40400).
    #[error("no such {0:?}")]
    NotFound(Noun),
    /// It stands against what is there already (40900).
    #[error("conflict: {0:?}")]
    Conflict(Conflict),
    /// The wallet does not hold what this costs (40200).
    #[error("the wallet's balance is too low")]
    InsufficientFunds,
    /// Nothing of it is left (40901).
    #[error("out of stock")]
    OutOfStock,
    /// Lines of an import that cannot be taken; nothing of it was (40000).
    #[error("{} lines of an import cannot be taken", .0.len())]
    Lines(Vec<BadLine>),
    /// It was done a moment ago, and is not done so often (42900).
    #[error("not so soon again; after {0:?}")]
    TooSoon(Duration),
    /// The account is suspended (40300).
    #[error("the account is suspended")]
    Suspended,
    /// It cannot be done just now (50300). The text is for the log.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// A defect (50000). The text is for the log, never for the caller.
    #[error("internal error: {0}")]
    Internal(String),
}

/// A line of an import that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Which one, counting from 1.
    pub line: usize,
    /// The name of the field, as in the API document.
    pub field: &'static str,
    /// The rule that it breaks.
    pub rule: Rule,
}

/// What a parameter should have held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// It must be given.
    #[error("is required")]
    Required,
    /// Text for a number, or the like.
    #[error("has the wrong type")]
    WrongType,
    /// It must be so many characters long.
    #[error("must be {min} to {max} characters long")]
    Length {
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// It holds a character that may not be in it.
    #[error("holds a character that is not allowed")]
    Characters,
    /// It must lie between two numbers, both included.
    #[error("must be from {min} to {max}")]
    Range {
        /// At least.
        min: i64,
        /// At most.
        max: i64,
    },
    /// It must be one of these words.
    #[error("must be one of {0:?}")]
    OneOf(&'static [&'static str]),
    /// It is no date, or no date and time.
    #[error("must be a date")]
    Date,
    /// The start lies after the end.
    #[error("must not lie after the end")]
    Order,
    /// It is no IP address, or no `host:port` where one is wanted.
    #[error("is not an address")]
    Address,
    /// It is an address that nobody can come from over the internet.
    #[error("is a private, loopback, multicast or unspecified address")]
    PrivateAddress,
    /// It names something that cannot be used here.
    #[error("names something that cannot be used here")]
    Reference,
    /// It is no URL such as https://example.com/hooks, or holds credentials or a fragment.
    #[error("is not a URL such as https://example.com/hooks, without credentials or fragment")]
    Url,
    /// It is http, where only https is taken.
    #[error("must begin with https://")]
    Https,
    /// Its host has no address that can be reached from here.
    #[error("names a host that has no public address")]
    Unreachable,
    /// It cannot be changed any more.
    #[error("cannot be changed")]
    Immutable,
    /// So many of them must be given.
    #[error("must be {min} to {max} in number")]
    Count {
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// The same is named twice.
    #[error("names the same twice")]
    Doubled,
    /// It is there already.
    #[error("is there already")]
    Taken,
    /// The platform itself listens on this port.
    #[error("is a port that the platform itself listens on")]
    Reserved,
    /// It is an unspecified, multicast or broadcast address.
    #[error("must be the address of one host")]
    OneHost,
    /// It is an IPv6 address where IPv4 is wanted.
    #[error("must be an IPv4 address")]
    Ipv4,
    /// It is an IPv4 address where IPv6 is wanted.
    #[error("must be an IPv6 address")]
    Ipv6,
}

/// A thing that may be looked for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the types vocabulary's own")]
pub enum Noun {
    Account,
    SubAccount,
    WhitelistEntry,
    Offer,
    Package,
    Exit,
    Connection,
    Job,
    StaticPrice,
    StockItem,
    StaticOrder,
    StaticProxy,
    StaticRequest,
    NoticeChannel,
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Another account or sub-account has this user name, in whichever case it is written.
    UsernameTaken,
    /// The address is listed already, here or by another account.
    AddressListed,
    /// The idempotency key came with other parameters before.
    IdempotencyKeyReused,
    /// Another exit has this name.
    NameTaken,
    /// The recharge's reference came with another amount before.
    ReferenceReused,
    /// The balance would be negative.
    WouldBeNegative,
    /// A replacement or refund of the static proxy is under way.
    OpenRequest,
    /// The request has been decided already.
    RequestDecided,
    /// The order does not wait for anything any more.
    OrderDecided,
    /// The static proxy was ordered, and has not been delivered yet.
    Undelivered,
    /// The static proxy has expired.
    Expired,
    /// This platform sends no mail.
    NoMail,
}

impl Error {
    /// That a parameter breaks a rule.
    pub(crate) const fn invalid(field: &'static str, rule: Rule) -> Self {
        Self::Invalid { field, rule }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Serialization
            | store::Error::Busy
            | store::Error::Unavailable(_)
            | store::Error::Unwritable(_) => Self::Unavailable(error.to_string()),
            // Where a job expects one of these it says so itself, before it gets here.
            store::Error::NoRow
            | store::Error::UniqueViolation
            | store::Error::CheckViolation
            | store::Error::Locked(_)
            | store::Error::Lost(_)
            | store::Error::Migration(_)
            | store::Error::Unexpected(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::InsufficientFunds => Self::InsufficientFunds,
            // Both are amounts that cannot be entered; each room checks its own more closely first.
            LedgerError::NotPositive | LedgerError::Overflow => {
                Self::invalid("amount", Rule::Range { min: 1, max: i64::MAX })
            }
        }
    }
}
