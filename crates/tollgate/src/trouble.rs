//! Trouble that is said once, until it is over.

use std::fmt::Display;

/// Says once that something does not work, until it does again.
#[derive(Debug, Default)]
pub(crate) struct Trouble(bool);

impl Trouble {
    /// Takes how something went. Returns its value, or says `what` does not work unless that has been
    /// said.
    pub(crate) fn told<T, E: Display>(&mut self, what: &'static str, done: Result<T, E>) -> Option<T> {
        match done {
            Ok(value) => {
                self.0 = false;
                Some(value)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.0, true) {
                    tracing::warn!(%error, "{what}; it will be tried again");
                }
                None
            }
        }
    }
}
