//! The checks that parameters of several calls share.

use crate::{Error, Rule};

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

/// Demands something that can be an e-mail address.
pub(crate) fn check_email(email: &str) -> Result<(), Error> {
    check_text("email", email, 3, 254)?;
    let sound = email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    match sound && !email.contains(char::is_whitespace) {
        true => Ok(()),
        false => Err(Error::Invalid { field: "email", rule: Rule::Address }),
    }
}
