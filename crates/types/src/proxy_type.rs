//! The kinds of traffic and of static addresses, with the exact words of the contract (§2).

use std::fmt;
use std::str::FromStr;

/// A word that names no known value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown value")]
pub struct UnknownWord;

/// A kind of metered traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyType {
    /// Addresses of households.
    Residential,
    /// Addresses of hosting providers.
    Datacenter,
    /// Addresses of mobile carriers.
    Mobile,
}

impl ProxyType {
    /// All of them, in the document's order.
    pub const ALL: [Self; 3] = [Self::Residential, Self::Datacenter, Self::Mobile];

    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Residential => "residential",
            Self::Datacenter => "datacenter",
            Self::Mobile => "mobile",
        }
    }

    /// A small dense number, for tables with one place per type.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for ProxyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ProxyType {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|t| t.as_str() == word).ok_or(UnknownWord)
    }
}

/// A kind of static proxy, leased by the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StaticType {
    /// Static residential IPv4.
    Res,
    /// Static datacenter IPv4.
    Dc,
    /// Static IPv6.
    Ipv6,
}

impl StaticType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Res, Self::Dc, Self::Ipv6];

    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Res => "res",
            Self::Dc => "dc",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl fmt::Display for StaticType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StaticType {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|t| t.as_str() == word).ok_or(UnknownWord)
    }
}
