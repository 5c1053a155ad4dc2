//! The head of an origin's or an upstream proxy's response.

use super::fields::Fields;
use super::lines::{line, lines_to_empty};
use super::{Framing, HeadError, Limits, Parsed, Version, is_text_byte};

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status, 100 to 599.
    pub status: u16,
    /// The reason, any text.
    pub reason: Vec<u8>,
    /// The version the origin speaks.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
    pub(super) said: Framing,
}

/// Reads the head at the beginning of `buf`. What the same bytes are read as does not depend on how
/// many of them arrived at once.
///
/// # Errors
/// [`HeadError`], as soon as the bytes cannot become an acceptable head; the client is then told
/// `BAD_GATEWAY`.
pub fn response_head(buf: &[u8], limits: &Limits) -> Result<Parsed<ResponseHead>, HeadError> {
    let view = buf.get(..limits.head_bytes).unwrap_or(buf);
    match parse(view, limits)? {
        Some((head, end)) => Ok(Parsed::Done(head, end)),
        None if buf.len() >= limits.head_bytes => Err(HeadError::TooLarge),
        None => Ok(Parsed::Need),
    }
}

fn parse(view: &[u8], limits: &Limits) -> Result<Option<(ResponseHead, usize)>, HeadError> {
    let begins = b"HTTP/1.".iter().zip(view).all(|(expected, given)| expected == given);
    if !begins {
        return Err(HeadError::BadRequest("this is no HTTP/1 response"));
    }
    let Some((status_line, next)) = line(view, 0)? else {
        return Ok(None);
    };
    let (version, status, reason) = status_line_parts(status_line)?;
    let Some((lines, end)) = lines_to_empty(view, next, limits.fields)? else {
        return Ok(None);
    };
    let fields = Fields::of_response(&lines)?;
    let said = fields.framing(version)?;
    Ok(Some((ResponseHead { status, reason: reason.to_vec(), version, fields, said }, end)))
}

/// `HTTP/1.1 200 Reason`. The blank after the status is often left out along with the reason.
fn status_line_parts(line: &[u8]) -> Result<(Version, u16, &[u8]), HeadError> {
    let malformed = HeadError::BadRequest("the status line is malformed");
    let (version, rest) = line.split_at_checked("HTTP/1.1 ".len()).ok_or(malformed)?;
    let version = Version::parse(version.strip_suffix(b" ").ok_or(malformed)?)?;
    let (status, reason) = rest.split_at_checked(3).ok_or(malformed)?;
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] if reason.iter().copied().all(is_text_byte) => reason,
        _ => return Err(malformed),
    };
    let status = match status {
        [b'1'..=b'5', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            status.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
        }
        _ => return Err(malformed),
    };
    Ok((version, status, reason))
}

impl ResponseHead {
    /// Whether another head follows this one.
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Where the body ends, which depends on what was asked (RFC 9112 §6.3).
    pub fn framing(&self, request_method: &str) -> Framing {
        let tunnel = request_method == "CONNECT" && matches!(self.status, 200..=299);
        if self.is_bodyless() || request_method == "HEAD" || tunnel {
            return Framing::None;
        }
        match self.said {
            Framing::None | Framing::UntilClose => Framing::UntilClose,
            said @ (Framing::Length(_) | Framing::Chunked) => said,
        }
    }

    /// Whether the origin's connection may carry another request after this response (given that the
    /// body's end is known).
    pub fn keep_alive(&self) -> bool {
        let says = |word| self.fields.has_member("connection", word);
        !says("close") && (self.version == Version::Http11 || says("keep-alive"))
    }

    /// Whether no response of this status has a body.
    pub(super) const fn is_bodyless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }
}
