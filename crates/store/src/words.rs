//! Stored words: the states and kinds that rows can be in, each as a type of its own.

use std::str::FromStr;

use tollgate_types::UnknownWord;

use crate::{Error, Row, Value};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl $name {
            /// Every word, as stored and shown.
            pub const WORDS: &[&str] = &[$($word),*];

            /// As stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word { $($word => Ok(Self::$variant),)* _ => Err(UnknownWord) }
            }
        }

        impl From<$name> for Value<'_> {
            fn from(word: $name) -> Self {
                Self::Text(word.as_str())
            }
        }
    )*};
}

words! {
    /// What an address of the stock is at.
    StockState {
        /// It can be leased.
        Free = "free",
        /// A proxy that works is reached at it.
        Leased = "leased",
        /// It rests until it is free again: with a proxy that has expired, or without one.
        Grace = "grace",
        /// The operator has taken it out of service.
        Disabled = "disabled",
    }
    /// What an order of static proxies is at.
    OrderState {
        /// To be delivered when there is stock.
        Pending = "pending",
        /// Delivered.
        Completed = "completed",
        /// Never delivered, and paid back.
        Cancelled = "cancelled",
    }
    /// What an order of static proxies is for.
    OrderKind {
        /// New proxies.
        Purchase = "purchase",
        /// More time for proxies that are there.
        Renewal = "renewal",
    }
    /// What a static proxy is at.
    ProxyState {
        /// Ordered, and not delivered yet.
        Pending = "pending",
        /// It works, until it expires.
        Live = "live",
        /// It has expired, and may still be renewed.
        Grace = "grace",
        /// It gave its address back, or never got one.
        Ended = "ended",
    }
    /// How the last purchase or renewal went that was to happen by itself.
    RebuyStatus {
        /// Well, or it was not tried.
        Normal = "normal",
        /// The wallet did not hold what it costs.
        Insufficient = "insufficient",
        /// Something else stood against it.
        Failed = "failed",
    }
    /// What is asked for a static proxy.
    RequestKind {
        /// Another address.
        Replace = "replace",
        /// The money for the rest of its time.
        Refund = "refund",
    }
    /// What became of what was asked.
    RequestState {
        /// It waits for the operator.
        Asked = "asked",
        /// A worker does it.
        Going = "going",
        /// It was done.
        Done = "done",
        /// The operator refused it.
        Refused = "refused",
        /// It was taken back, or there is nothing left that it could be done to.
        Dropped = "dropped",
    }
}

/// A column that holds a word.
pub(crate) fn word<T: FromStr>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    let word = row.text(column)?;
    word.parse().map_err(|_| Error::Unexpected(format!("{word:?} is none of the words of column {column}")))
}
