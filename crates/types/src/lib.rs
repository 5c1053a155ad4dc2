//! The vocabulary of Tollgate: ids, quantities, time, and the values that cross the gateway's door.
//!
//! Nothing here does IO, waits, or knows SQL or JSON. Every other room may depend on this one;
//! it depends on none of them.

mod address;
mod cidr;
mod clock;
mod country;
mod directory;
mod exit;
mod id;
mod language;
mod lease;
mod password;
mod proxy_type;
mod quantity;
mod refusal;
mod statics;
mod time;

pub use address::{alternate_families, is_public_address};
pub use cidr::{BadCidr, Cidr};
pub use clock::{Clock, SystemClock};
pub use country::{Country, CountryError};
pub use directory::{
    AccountEntry, Directory, DirectoryChange, SubAccountEntry, WhitelistEntry, without_case,
};
pub use exit::{Exit, ExitCredentials, ExitKind, Pools, normalise_place};
pub use id::{
    AccountId, BootId, ConnectionId, EntryId, ExitId, GatewayId, JobId, LeaseId, OfferId, PackageId,
    StaticOrderId, StaticPriceId, StaticProxyId, StaticRequestId, StockId, SubAccountId, WhitelistId,
};
pub use language::Language;
pub use lease::{
    ByteLease, LeaseDenied, LeaseRequest, LeaseUsage, Payer, RefusalNote, Settled, Unavailable, UsageReport,
};
pub use password::{PasswordKey, PasswordTag};
pub use proxy_type::{ProxyType, StaticType, UnknownWord};
pub use quantity::{Bytes, Cents, GB, MAX_LIMIT_GB};
pub use refusal::Refusal;
pub use statics::{StaticEntry, StaticProtocol, StaticTraffic};
pub use time::{Day, Time, TimeError, Zone};
