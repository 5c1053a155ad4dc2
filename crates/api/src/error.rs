//! The reasoned no of the JSON API: what went wrong, its code and its HTTP status (contract §1).
//!
//! A handler returns an [`ApiError`] as a value. The words are chosen in one place only, where the
//! answer leaves (`plumbing`), because only there the caller's language is at hand.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tollgate_core::{BadLine, Conflict, Error, Noun, Rule};

/// Why a call was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// A parameter does not hold what it should (40000).
    #[error("parameter {field}: {rule}")]
    Invalid {
        /// The parameter's name, as in the API document.
        field: &'static str,
        /// The rule that it breaks.
        rule: Rule,
    },
    /// Lines of an import that cannot be taken; nothing of it was (40000).
    #[error("{} lines of an import cannot be taken", .0.len())]
    Lines(Vec<BadLine>),
    /// The parameters cannot even be read (40000).
    #[error("unreadable parameters: {0:?}")]
    Unreadable(Unreadable),
    /// No key, or not a valid one (40100).
    #[error("not authenticated")]
    Unauthorized,
    /// The account is suspended (40300).
    #[error("the account is suspended")]
    Suspended,
    /// A customer's key on an operator's call (40300).
    #[error("operators only")]
    OperatorsOnly,
    /// No such thing of this caller's (40400).
    #[error("no such {0:?}")]
    NotFound(Noun),
    /// No call has this path (40400).
    #[error("no such path")]
    NoSuchCall,
    /// The call is not made by this method (40500).
    #[error("method not allowed")]
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: String,
    },
    /// The wallet does not hold what this costs (40200).
    #[error("the wallet's balance is too low")]
    InsufficientFunds,
    /// It stands against what is there already (40900).
    #[error("conflict: {0:?}")]
    Conflict(Conflict),
    /// Nothing of it is left (40901).
    #[error("out of stock")]
    OutOfStock,
    /// The body is larger than is taken (41300).
    #[error("body too large")]
    TooLarge,
    /// The body is of a media type, in an encoding or in a character set that is not taken (41500).
    #[error("not taken: {0:?}")]
    NotTaken(NotTaken),
    /// More calls, or more failed logins, than are taken (42900).
    #[error("too many requests")]
    TooMany {
        /// After which time a call would be taken again.
        retry_after: Duration,
    },
    /// A defect (50000). The text is for the log, never for the caller.
    #[error("internal error: {0}")]
    Internal(String),
    /// It cannot be done just now (50300). The text is for the log.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// What about a body is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// Its media type.
    Media,
    /// Its content encoding: it is compressed.
    Encoding,
    /// Its character set.
    Charset,
}

/// Why parameters cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// The body is not JSON: malformed, nested too deeply, in another character set.
    NotJson,
    /// The body is JSON, but not an object.
    NotAnObject,
    /// This parameter is given twice in the same place, so that it is anybody's guess which one is
    /// meant.
    Twice(&'static str),
    /// This parameter names another id than the path, or another parameter, does.
    OtherId(&'static str),
    /// The headers present two different keys, so that it is anybody's guess who calls.
    TwoKeys,
    /// The body did not arrive whole.
    Incomplete,
    /// The body did not arrive in time.
    TooSlow,
    /// The CSV cannot be read from this line on: quotes that do not fit, too many cells, or not UTF-8.
    Csv(usize),
    /// The first line of the CSV is no header, or one without this column.
    CsvHeader(&'static str),
    /// The template of an export holds what none may hold.
    Template,
    /// The `Idempotency-Key` header is not 1 to 255 visible ASCII characters, or comes twice.
    IdempotencyKey,
}

impl ApiError {
    /// That a parameter breaks a rule.
    pub(crate) const fn invalid(field: &'static str, rule: Rule) -> Self {
        Self::Invalid { field, rule }
    }

    /// The document's status code: an `int`, never 0.
    pub const fn code(&self) -> i32 {
        match self {
            Self::Invalid { .. } | Self::Lines(_) | Self::Unreadable(_) => 40000,
            Self::Unauthorized => 40100,
            Self::InsufficientFunds => 40200,
            Self::Suspended | Self::OperatorsOnly => 40300,
            Self::NotFound(_) | Self::NoSuchCall => 40400,
            Self::MethodNotAllowed { .. } => 40500,
            Self::Conflict(_) => 40900,
            Self::OutOfStock => 40901,
            Self::TooLarge => 41300,
            Self::NotTaken(_) => 41500,
            Self::TooMany { .. } => 42900,
            Self::Internal(_) => 50000,
            Self::Unavailable(_) => 50300,
        }
    }

    /// The HTTP status: the code's first three digits.
    pub fn status(&self) -> StatusCode {
        let digits = u16::try_from(self.code() / 100).unwrap_or(500);
        StatusCode::from_u16(digits).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// That a line of an import cannot be read as what it should be.
pub(crate) fn unreadable_line(line: usize, error: &ApiError) -> BadLine {
    match error {
        ApiError::Invalid { field, rule } => BadLine { line, field, rule: *rule },
        ApiError::Unreadable(Unreadable::Twice(field)) => BadLine { line, field, rule: Rule::Doubled },
        _ => BadLine { line, field: "items", rule: Rule::WrongType },
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { field, rule } => Self::Invalid { field, rule },
            Error::NotFound(noun) => Self::NotFound(noun),
            Error::Conflict(conflict) => Self::Conflict(conflict),
            Error::InsufficientFunds => Self::InsufficientFunds,
            Error::OutOfStock => Self::OutOfStock,
            Error::Lines(lines) => Self::Lines(lines),
            Error::TooSoon(retry_after) => Self::TooMany { retry_after },
            Error::Suspended => Self::Suspended,
            Error::Unavailable(text) => Self::Unavailable(text),
            Error::Internal(text) => Self::Internal(text),
        }
    }
}

impl IntoResponse for ApiError {
    /// Hands the error on to the plumbing, which says it in the caller's language.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
