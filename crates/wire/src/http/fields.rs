//! The fields of a head, in order and unmerged.

use std::fmt;

use super::{Framing, HeadError, Version, is_digits, is_text_byte, is_token_byte, trim_blanks};

/// Fields in the order they came. Names compare without case and keep the case they came in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    lines: Vec<(String, Vec<u8>)>,
}

impl Fields {
    /// Every field, in order: name and value. Values hold no control characters but tabs and are not
    /// surrounded by blanks.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The values of every field of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first field of that name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The comma-separated members of every field of that name, without the blanks around them.
    pub fn members<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name)
            .flat_map(|value| value.split(|&b| b == b','))
            .map(trim_blanks)
            .filter(|member| !member.is_empty())
    }

    /// Whether that word is a member of the fields of that name, in any case.
    pub fn has_member(&self, name: &str, word: &str) -> bool {
        self.members(name).any(|member| member.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The number of field lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The fields of a request, where a folded line or a blank before the colon is an error.
    pub(super) fn of_request(lines: &[&[u8]]) -> Result<Self, HeadError> {
        let mut fields = Self::default();
        for line in lines {
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                return Err(HeadError::BadRequest("a field line starts with a blank"));
            }
            let (name, value) = split(line)?;
            fields.push(name, value)?;
        }
        Ok(fields)
    }

    /// The fields of a response, where RFC 9112 §5 asks a proxy to tidy up: a blank before the colon
    /// goes, and a folded line is joined to the one before it by a blank.
    pub(super) fn of_response(lines: &[&[u8]]) -> Result<Self, HeadError> {
        let mut fields = Self::default();
        for line in lines {
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                fields.unfold(line)?;
            } else {
                let (name, value) = split(line)?;
                fields.push(trim_blanks(name), value)?;
            }
        }
        Ok(fields)
    }

    fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        if name.is_empty() || !name.iter().copied().all(is_token_byte) {
            return Err(HeadError::BadRequest("a field name is malformed"));
        }
        // A token is ASCII.
        let name = String::from_utf8_lossy(name).into_owned();
        self.lines.push((name, checked(value)?.to_vec()));
        Ok(())
    }

    fn unfold(&mut self, line: &[u8]) -> Result<(), HeadError> {
        let more = checked(line)?;
        let Some((_, value)) = self.lines.last_mut() else {
            return Err(HeadError::BadRequest("a blank before the first field"));
        };
        if !value.is_empty() && !more.is_empty() {
            value.push(b' ');
        }
        value.extend(more);
        Ok(())
    }

    /// Where these fields say that the body ends; [`Framing::None`] where they say nothing.
    ///
    /// # Errors
    /// [`HeadError::BadRequest`] for every way in which two readers could disagree (RFC 9112 §6): more
    /// than one length, a list of them, a length beside a coding, any coding but exactly `chunked`, a
    /// coding in HTTP/1.0.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, HeadError> {
        let mut lengths = self.all("content-length");
        let mut codings = self.all("transfer-encoding");
        match (lengths.next(), codings.next()) {
            (None, None) => Ok(Framing::None),
            (Some(_), Some(_)) => Err(HeadError::BadRequest("a Content-Length beside a Transfer-Encoding")),
            (Some(length), None) if lengths.next().is_none() => content_length(length),
            (Some(_), None) => Err(HeadError::BadRequest("more than one Content-Length")),
            (None, Some(coding)) if codings.next().is_none() => transfer_encoding(coding, version),
            (None, Some(_)) => Err(HeadError::BadRequest("more than one Transfer-Encoding")),
        }
    }
}

impl fmt::Debug for Fields {
    /// Names only: values hold cookies and credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines.iter().map(|(name, _)| name)).finish()
    }
}

fn split(line: &[u8]) -> Result<(&[u8], &[u8]), HeadError> {
    let colon = line.iter().position(|&b| b == b':');
    let parts = colon.and_then(|at| Some((line.get(..at)?, line.get(at + 1..)?)));
    parts.ok_or(HeadError::BadRequest("a field line without a colon"))
}

fn checked(value: &[u8]) -> Result<&[u8], HeadError> {
    if value.iter().copied().all(is_text_byte) {
        Ok(trim_blanks(value))
    } else {
        Err(HeadError::BadRequest("a control character in a field value"))
    }
}

/// The most digits of a length: those of the largest signed 64-bit number, which is what other readers
/// may use.
const LENGTH_DIGITS_MAX: usize = 19;

/// Digits only: no sign, no blank, no list.
fn content_length(value: &[u8]) -> Result<Framing, HeadError> {
    let plain = is_digits(value) && value.len() <= LENGTH_DIGITS_MAX;
    let text = std::str::from_utf8(value).ok().filter(|_| plain);
    text.and_then(|digits| digits.parse::<i64>().ok())
        .and_then(|length| u64::try_from(length).ok())
        .map(Framing::Length)
        .ok_or(HeadError::BadRequest("the Content-Length is not a number"))
}

fn transfer_encoding(value: &[u8], version: Version) -> Result<Framing, HeadError> {
    if version < Version::Http11 {
        return Err(HeadError::BadRequest("a Transfer-Encoding in HTTP/1.0"));
    }
    if !value.eq_ignore_ascii_case(b"chunked") {
        return Err(HeadError::BadRequest("a Transfer-Encoding other than chunked"));
    }
    Ok(Framing::Chunked)
}
