//! For whom an item of the catalogue is.

use std::fmt;
use std::str::FromStr;

use crate::UnknownWord;

/// For whom a traffic package is made (contract call 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanType {
    /// For single users; seen by everybody.
    Personal,
    /// For businesses; seen by everybody.
    Enterprise,
    /// Made for some accounts; seen by them only.
    Custom,
}

impl PlanType {
    /// All of them, in the document's order.
    pub const ALL: [Self; 3] = [Self::Personal, Self::Enterprise, Self::Custom];

    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Enterprise => "enterprise",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for PlanType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PlanType {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|t| t.as_str() == word).ok_or(UnknownWord)
    }
}
