//! The trailer section of a chunked body.

use super::BodyError;
use crate::http::{is_text_byte, is_token_byte};

/// The most bytes of trailers, the empty line behind them included.
pub const TRAILER_BYTES_MAX: u16 = 8 << 10;
/// The most trailer fields.
pub const TRAILER_FIELDS_MAX: u16 = 128;

/// Fields that no trailer may be (RFC 9110 §6.5.1): a reader who merged them into the head would frame,
/// route, authenticate or decode the message differently.
const FORBIDDEN: [&str; 18] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "max-forwards",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Follows the trailers to the empty line behind them.
#[derive(Clone, Debug)]
pub(super) struct Trailers {
    place: Place,
    /// The name of the field being read.
    name: Vec<u8>,
    bytes: u16,
    fields: u16,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Place {
    LineStart,
    Name,
    Value,
    LineLf,
    LastLf,
}

impl Default for Trailers {
    fn default() -> Self {
        Self { place: Place::LineStart, name: Vec::new(), bytes: 0, fields: 0 }
    }
}

impl Trailers {
    /// Follows one byte; true with the last one.
    pub(super) fn step(&mut self, byte: u8) -> Result<bool, BodyError> {
        if self.bytes >= TRAILER_BYTES_MAX {
            return Err(BodyError::TrailersTooLarge);
        }
        self.bytes += 1;
        self.place = match (self.place, byte) {
            (Place::LineStart, b'\r') => Place::LastLf,
            (Place::LastLf, b'\n') => return Ok(true),
            (Place::LineStart, byte) if is_token_byte(byte) => self.begin_field(byte)?,
            (Place::Name, b':') => self.end_name()?,
            (Place::Name, byte) if is_token_byte(byte) => {
                self.name.push(byte);
                Place::Name
            }
            (Place::Value, b'\r') => Place::LineLf,
            (Place::Value, byte) if is_text_byte(byte) => Place::Value,
            (Place::LineLf, b'\n') => Place::LineStart,
            (Place::LineLf | Place::LastLf, _) => return Err(BodyError::LineEnd),
            (Place::LineStart | Place::Name | Place::Value, _) => return Err(BodyError::Trailer),
        };
        Ok(false)
    }

    fn begin_field(&mut self, first: u8) -> Result<Place, BodyError> {
        if self.fields >= TRAILER_FIELDS_MAX {
            return Err(BodyError::TrailersTooLarge);
        }
        self.fields += 1;
        self.name.clear();
        self.name.push(first);
        Ok(Place::Name)
    }

    fn end_name(&self) -> Result<Place, BodyError> {
        let proxy = self.name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"proxy-"));
        let forbidden = FORBIDDEN.iter().any(|name| self.name.eq_ignore_ascii_case(name.as_bytes()));
        if proxy || forbidden { Err(BodyError::Trailer) } else { Ok(Place::Value) }
    }
}
