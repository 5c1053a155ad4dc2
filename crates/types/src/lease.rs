//! Leases: how bytes are granted to a gateway and how it says what it used of them.
//!
//! A lease reserves bytes for one payer from one source of funds. The gateway answers for it with
//! two numbers that only ever move one way: `used` grows, `granted` (what it still holds) shrinks.
//! Settling takes the larger `used` and the smaller `granted`, so that a report sent twice, late
//! or out of order changes nothing. A lease is over when `used == granted`.

use std::time::Duration;

use crate::{AccountId, BootId, Bytes, GatewayId, LeaseId, ProxyType, Refusal, SubAccountId};

/// Who pays for a connection's bytes, and of which kind they are. One purse on each gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Payer {
    /// The account whose funds are drawn on.
    pub account: AccountId,
    /// The sub-account whose limits apply; `None` for connections admitted by their address.
    pub sub_account: Option<SubAccountId>,
    /// The kind of traffic.
    pub proxy_type: ProxyType,
}

/// Asks for bytes.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRequest {
    /// The gateway that asks.
    pub gateway: GatewayId,
    /// Its present run.
    pub boot: BootId,
    /// For whom.
    pub payer: Payer,
    /// How many would be useful. Fewer may be granted, never more.
    pub want: Bytes,
}

/// Bytes granted: until used, handed back, or out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteLease {
    /// Its id, to be named in reports.
    pub id: LeaseId,
    /// How many; more than zero.
    pub granted: Bytes,
    /// For how long they may be used from now. A duration, so that the gateway's wall clock
    /// does not matter.
    pub ttl: Duration,
}

/// Why no bytes are granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseDenied {
    /// Packages and wallet are exhausted.
    BalanceEmpty,
    /// The sub-account's limit is reached.
    TrafficLimit,
    /// There would be bytes, but other purses hold them just now: ask again soon.
    HeldElsewhere,
    /// The sub-account's limit would let more bytes through, but other purses, or this one, hold
    /// them just now: ask again soon.
    LimitHeldElsewhere,
    /// The sub-account is inactive or gone, or the account suspended.
    Blocked,
    /// The control plane cannot answer just now: ask again soon.
    Unavailable,
}

impl LeaseDenied {
    /// What the proxy client is told.
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::BalanceEmpty | Self::HeldElsewhere => Refusal::BalanceEmpty,
            Self::TrafficLimit | Self::LimitHeldElsewhere => Refusal::TrafficLimit,
            Self::Blocked => Refusal::UserBlocked,
            Self::Unavailable => Refusal::Unavailable,
        }
    }

    /// Whether asking again soon may be answered differently without anybody's doing.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::HeldElsewhere | Self::LimitHeldElsewhere | Self::Unavailable)
    }

    /// Whether there would be bytes if nobody held them.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::HeldElsewhere | Self::LimitHeldElsewhere)
    }
}

/// How far a lease has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseUsage {
    /// The lease.
    pub id: LeaseId,
    /// Bytes forwarded under it so far; never decreases.
    pub used: Bytes,
    /// Bytes that the gateway still holds or has used: at most what was granted, at least `used`,
    /// never increases. The rest has been handed back.
    pub granted: Bytes,
}

/// What a gateway says about its leases, about twice a second and whenever one ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageReport {
    /// The gateway.
    pub gateway: GatewayId,
    /// Its present run.
    pub boot: BootId,
    /// True in the first report of a run, which carries what the journal of the run before had
    /// kept: every lease of this gateway's other runs ends with it.
    pub recovered: bool,
    /// The leases that moved.
    pub leases: Vec<LeaseUsage>,
}

/// The report is durably taken: the journal may forget what it covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled;

/// The control plane could not take a report; send it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control plane is unavailable: {0}")]
pub struct Unavailable(pub String);

/// That somebody was refused. Statistics only: may be lost, is never billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalNote {
    /// Whose connection it was.
    pub account: AccountId,
    /// The sub-account it named, where it named one.
    pub sub_account: Option<SubAccountId>,
    /// Why.
    pub refusal: Refusal,
    /// What exactly, in one line without secrets; shown to the customer.
    pub detail: String,
    /// How often since the last note of the same kind.
    pub count: u32,
}
