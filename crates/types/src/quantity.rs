//! Quantities. Money has no operators here: its arithmetic belongs to the ledger room.

use std::fmt;

/// Bytes in one GB, in limits, packages and prices alike (contract §2).
pub const GB: u64 = 1 << 30;

/// The largest traffic limit or package size that is taken, in GB: an exabyte. Far below the point
/// where byte counts would leave an `i64`.
pub const MAX_LIMIT_GB: i64 = 1_000_000_000;

/// A number of bytes. Always fits an `i64`, which is what the store keeps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Self = Self(0);
    /// The most that can be said.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// A number of bytes; more than [`Bytes::MAX`] is taken as that.
    pub const fn new(bytes: u64) -> Self {
        if bytes > Self::MAX.0 { Self::MAX } else { Self(bytes) }
    }

    /// So many GB of 2^30 bytes each.
    pub const fn from_gb(gb: u64) -> Self {
        Self::new(gb.saturating_mul(GB))
    }

    /// From a stored column. A negative value, which no column may hold, reads as zero.
    pub const fn from_i64(raw: i64) -> Self {
        if raw < 0 { Self::ZERO } else { Self(raw as u64) }
    }

    /// As a plain number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As the store keeps it.
    pub const fn as_i64(self) -> i64 {
        self.0 as i64
    }

    /// Whether there are none.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, at most [`Bytes::MAX`].
    pub const fn plus(self, other: Self) -> Self {
        Self::new(self.0.saturating_add(other.0))
    }

    /// What is left after taking `other` away; zero where `other` is more.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

impl std::iter::Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Self::plus)
    }
}

/// An amount of money in whole US cents. Signed: postings and corrections may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cents(i64);

impl Cents {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// So many cents.
    pub const fn new(cents: i64) -> Self {
        Self(cents)
    }

    /// As a plain number of cents.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} c", self.0)
    }
}
