//! Every reason for which the gateway says no (platform.md §3).

use std::fmt;
use std::str::FromStr;

use crate::UnknownWord;

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A reasoned no to a proxy client. How it is said on the wire is the wire room's business.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Refusal {
            $($(#[$doc])* $variant,)*
        }

        impl Refusal {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The public name, as in `X-Tollgate-Error`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

refusals! {
    /// An unknown, doubled or malformed routing parameter in the user name.
    BadParam = "BAD_PARAM",
    /// The request could not be understood, or its framing is ambiguous.
    BadRequest = "BAD_REQUEST",
    /// The request head is larger than the gateway takes.
    HeadTooLarge = "HEAD_TOO_LARGE",
    /// A protocol or scheme that this port does not speak.
    Unsupported = "UNSUPPORTED",
    /// No credentials, wrong ones, or an address that is not listed.
    AuthRequired = "AUTH_REQUIRED",
    /// The sub-account is inactive or the account suspended.
    UserBlocked = "USER_BLOCKED",
    /// Packages and wallet are exhausted.
    BalanceEmpty = "BALANCE_EMPTY",
    /// The sub-account's own traffic limit is reached.
    TrafficLimit = "TRAFFIC_LIMIT",
    /// The destination address may not be reached.
    HostBlocked = "HOST_BLOCKED",
    /// The destination port may not be reached.
    PortBlocked = "PORT_BLOCKED",
    /// More connections at once than allowed.
    TooManyConnections = "TOO_MANY_CONNECTIONS",
    /// More failed logins than allowed.
    TooManyAttempts = "TOO_MANY_ATTEMPTS",
    /// No exit matches what was asked for, or none of them is healthy.
    NoExit = "NO_EXIT",
    /// The target's name does not resolve.
    DnsFailed = "DNS_FAILED",
    /// The target refused the connection.
    ConnectionRefused = "CONNECTION_REFUSED",
    /// The target or the way to it cannot be reached.
    Unreachable = "UNREACHABLE",
    /// The target answered with something that is not HTTP, or broke off before its answer.
    BadGateway = "BAD_GATEWAY",
    /// The target, its name server or the client took too long.
    Timeout = "TIMEOUT",
    /// The gateway cannot ask the control plane for funds just now, or is at its very end.
    Unavailable = "UNAVAILABLE",
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Refusal {
    type Err = UnknownWord;

    fn from_str(name: &str) -> Result<Self, UnknownWord> {
        Self::ALL.iter().copied().find(|refusal| refusal.name() == name).ok_or(UnknownWord)
    }
}
