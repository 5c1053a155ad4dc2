//! Pages of lists.

use crate::Error;
use crate::checks::check_range;

/// Which page of a list: both numbers checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    number: i64,
    size: i64,
}

impl Page {
    /// The largest page.
    pub const LARGEST: i64 = 1000;

    /// A page by its number from 1 and its size, with the contract's defaults (§1).
    ///
    /// # Errors
    /// [`Error::Invalid`] for `page` or `page_size`.
    pub fn new(number: Option<i64>, size: Option<i64>) -> Result<Self, Error> {
        let number = number.unwrap_or(1);
        let size = size.unwrap_or(10);
        // So many pages of the largest size stay within 64 bits.
        let last = i64::MAX / Self::LARGEST;
        check_range("page", number, 1, last)?;
        check_range("page_size", size, 1, Self::LARGEST)?;
        Ok(Self { number, size })
    }

    /// How many rows to show.
    pub const fn limit(self) -> i64 {
        self.size
    }

    /// How many rows to pass over.
    pub const fn offset(self) -> i64 {
        (self.number - 1) * self.size
    }
}
