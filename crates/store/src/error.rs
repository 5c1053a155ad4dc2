//! What can go wrong with a database, in words that mean the same on both engines.

use std::path::PathBuf;

use crate::{Loss, Sql};

/// Why the database did not do what it was asked.
///
/// No variant carries a parameter's value: texts are the engine's own and may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// [`Tx::one`](crate::Tx::one) found nothing. The only error after which a transaction goes on.
    #[error("no such row")]
    NoRow,
    /// A row with this key exists already.
    #[error("a row with this key exists already")]
    UniqueViolation,
    /// A CHECK, NOT NULL, foreign key or column type stands against the row.
    #[error("the row breaks a rule of its table")]
    CheckViolation,
    /// Two transactions stood in each other's way and this one had to give way, again and again.
    #[error("the transaction was given up for another one, repeatedly")]
    Serialization,
    /// A lock was not to be had in time, repeatedly.
    #[error("the database is locked by another transaction")]
    Busy,
    /// The database cannot be reached or cannot work just now. Unless the text says that the
    /// outcome is unknown, nothing has been changed.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Nothing can be written: the disk is full or fails. Nothing has been changed.
    #[error("nothing can be written to the database: {0}")]
    Unwritable(String),
    /// It holds less than is known to have been in it, and was left alone.
    #[error("{0}")]
    Lost(Loss),
    /// Another process has the SQLite file open.
    #[error("another process has the database {} open (it holds {}.lock)", .0.display(), .0.display())]
    Locked(PathBuf),
    /// The schema cannot be brought up to date.
    #[error("the schema of the database does not fit this program: {0}")]
    Migration(String),
    /// A defect: of a statement, of a row's type, of a closure that panicked.
    #[error("unexpected database error: {0}")]
    Unexpected(String),
}

impl Error {
    /// Whether running the transaction again, from its start, may well succeed.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Serialization | Self::Busy)
    }
}

/// A statement that failed, and what may be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) remedy: Remedy,
}

/// What may be done after a failed statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing: the same would happen again.
    Nothing,
    /// Run the transaction again.
    Rerun,
    /// Connect anew, then run the transaction again: it was never committed.
    Reconnect,
}

impl Failure {
    /// Says which statement it was, where that helps somebody: in a defect.
    pub(crate) fn of(mut self, sql: Sql) -> Self {
        if let Error::Unexpected(text) = &mut self.error {
            *text = format!("{}: {text}", sql.name());
        }
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let remedy = if error.is_retryable() { Remedy::Rerun } else { Remedy::Nothing };
        Self { error, remedy }
    }
}
