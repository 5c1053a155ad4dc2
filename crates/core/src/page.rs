//! Pages of lists, and the checks that many parameters share.

use crate::{Error, Rule};

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

/// Demands that a number lies between two others.
pub(crate) fn check_range(field: &'static str, value: i64, min: i64, max: i64) -> Result<(), Error> {
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(Error::Invalid { field, rule: Rule::Range { min, max } }),
    }
}

/// Demands a text of so many characters, none of them a control character.
pub(crate) fn check_text(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), Error> {
    if !(min..=max).contains(&text.chars().count()) {
        return Err(Error::Invalid { field, rule: Rule::Length { min, max } });
    }
    match text.chars().any(char::is_control) {
        true => Err(Error::Invalid { field, rule: Rule::Characters }),
        false => Ok(()),
    }
}

/// Demands a user name: 3–64 of `A-Z a-z 0-9 _ .` (contract call 3).
pub(crate) fn check_username(field: &'static str, name: &str) -> Result<(), Error> {
    check_text(field, name, 3, 64)?;
    match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')) {
        true => Ok(()),
        false => Err(Error::Invalid { field, rule: Rule::Characters }),
    }
}
