//! Ids: one newtype per noun, so that one kind can never be passed for another.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Wraps a raw id, as the store or an API parameter holds it.
            pub const fn new(raw: i64) -> Self {
                Self(raw)
            }

            /// The raw id.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

ids! {
    /// A paying customer.
    AccountId;
    /// A proxy login of an account, with limits of its own.
    SubAccountId;
    /// An address that is admitted without credentials.
    WhitelistId;
    /// One item of the catalogue of traffic packages.
    OfferId;
    /// One bought traffic package.
    PackageId;
    /// One configured way out.
    ExitId;
    /// One reservation of bytes for one payer on one gateway.
    LeaseId;
    /// One journal entry of the ledger.
    EntryId;
    /// One gateway; kept in its data directory over restarts.
    GatewayId;
    /// One run of a gateway's process. Differs from run to run; carries no order.
    BootId;
    /// One live proxied connection. Unique within a gateway's run.
    ConnectionId;
    /// One item of the price list of static proxies.
    StaticPriceId;
    /// One address and port that the operator can lease out.
    StockId;
    /// One order of static proxies.
    StaticOrderId;
    /// One static proxy of a customer. Stays the same over renewals and replacements.
    StaticProxyId;
    /// One request about a static proxy that the operator may have to decide.
    StaticRequestId;
    /// One thing to be done by a worker.
    JobId;
}
