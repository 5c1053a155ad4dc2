//! Money and traffic arithmetic: pure decisions, no IO.
//!
//! Everything that moves a cent or a granted byte is decided here and only carried out elsewhere:
//! what an [`Entry`] posts, what traffic costs ([`rating`]), which source pays for it and how much
//! of it may be reserved ([`plan`]), what a report changes ([`settle`]), what a lease of addresses
//! costs and gives back ([`statics`]), what a purchase needs ([`wallet`]), and when little is left of
//! what was bought ([`watch`]). The [`chain`] of entries makes a loss visible. All arithmetic is in integers; what does not fit is refused, never
//! wrapped.

pub mod chain;
pub mod entry;
pub mod package;
pub mod plan;
pub mod rating;
pub mod settle;
pub mod statics;
pub mod wallet;
pub mod watch;

pub use chain::{ChainHash, Mark, StoredEntry, StoredLine};
pub use entry::{Entry, EntryKind, LedgerAccount, Posting, Product, StaticSale};
pub use wallet::Wallet;

/// Why a decision about money could not be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The wallet does not hold what is asked of it, or open leases hold it.
    #[error("the wallet's balance is too low")]
    InsufficientFunds,
    /// The amount is zero or has the wrong sign.
    #[error("the amount must be more than zero")]
    NotPositive,
    /// A total would leave the range of 64 bits.
    #[error("the amount is too large")]
    Overflow,
}
