//! HTTP/1 message heads (RFC 9110, RFC 9112), read strictly and written anew.
//!
//! A head that two readers could understand differently is refused: bare CR or LF, NUL and other
//! control characters, folded lines in requests, a second Host, two lengths, a length beside chunked.
//! [`RequestHead::write_forward`] and [`ResponseHead::write_back`] write a head from what was
//! understood rather than pass on what came.

mod connect;
mod fields;
mod forward;
mod lines;
mod local;
mod request;
mod response;

use tollgate_types::Refusal;

pub use connect::{connect_request, websocket_key};
pub use fields::Fields;
pub use request::{Expect, ProxyAuthorization, RequestHead, RequestTarget, Scheme, Upgrade, request_head};
pub use response::{ResponseHead, response_head};

pub use crate::Parsed;

/// The longest method, in bytes.
pub const METHOD_MAX: usize = 32;
/// The longest request line, in bytes, its line end included (RFC 9112 §3 asks for 8000 at least).
pub const REQUEST_LINE_MAX: usize = 16 << 10;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole head, in bytes, the empty line at its end included.
    pub head_bytes: usize,
    /// The number of field lines.
    pub fields: usize,
}

impl Default for Limits {
    /// 64 KiB and 128 fields.
    fn default() -> Self {
        Self { head_bytes: 64 << 10, fields: 128 }
    }
}

/// Why bytes are not the head of a message, or not of one that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeadError {
    /// Malformed or ambiguous; the text says how.
    #[error("{0}")]
    BadRequest(&'static str),
    /// Larger than the [`Limits`], or a request line longer than [`REQUEST_LINE_MAX`].
    #[error("the message head is too large")]
    TooLarge,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("this HTTP version is not spoken here")]
    Version,
    /// A URI whose scheme is not `http`.
    #[error("only http:// is forwarded; use CONNECT for anything else")]
    Scheme,
}

impl HeadError {
    /// What a client is told whose request failed with this.
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::BadRequest(_) | Self::Version => Refusal::BadRequest,
            Self::TooLarge => Refusal::HeadTooLarge,
            Self::Scheme => Refusal::Unsupported,
        }
    }
}

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2, whose requests are written down as those of HTTP/1.1 by who receives them. Such a
    /// client takes no chunks, and its stream ends with the response.
    Http2,
}

impl Version {
    /// Reads `HTTP/1.0` or `HTTP/1.1`; another number is [`HeadError::Version`].
    fn parse(text: &[u8]) -> Result<Self, HeadError> {
        let malformed = HeadError::BadRequest("the HTTP version is malformed");
        match text {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            other => {
                let number = other.strip_prefix(b"HTTP/").ok_or(malformed)?;
                let mut parts = number.split(|&b| b == b'.');
                let mut digits = || parts.next().is_some_and(is_digits);
                let numbers = digits() && digits();
                Err(if numbers && parts.next().is_none() { HeadError::Version } else { malformed })
            }
        }
    }
}

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// After so many bytes.
    Length(u64),
    /// After the last chunk and the trailers.
    Chunked,
    /// When the connection is closed; responses only.
    UntilClose,
}

/// Whether a byte may stand in a token (RFC 9110 §5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether a byte may stand in a field value or a reason: no control character but the tab.
pub(crate) const fn is_text_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// One digit at least, and nothing else.
fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Without the blanks and tabs around it.
fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests;
