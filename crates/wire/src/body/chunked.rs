//! The chunked coding (RFC 9112 §7.1), byte by byte between the runs of data.

use super::trailers::Trailers;
use super::{BodyError, take_counted};
use crate::http::is_token_byte;

/// The longest chunk extension, in bytes, from its semicolon to the line's end. Extensions mean
/// nothing to anybody, and long ones are only sent to do harm.
pub const EXTENSION_MAX: u16 = 256;

/// The most digits of a chunk size.
const DIGITS_MAX: u8 = 16;

#[derive(Clone, Debug)]
pub(super) struct Chunked {
    phase: Phase,
    /// The size of the chunk as far as it has been read, then what is left of its data.
    size: u64,
}

/// What the next byte belongs to.
#[derive(Clone, Debug)]
enum Phase {
    /// The size line: so many digits of it have been read.
    Size(u8),
    /// The blanks and the first byte of an extension's name; so many bytes of extension so far.
    ExtensionName(u16),
    /// The rest of an extension.
    Extension(u16),
    /// The LF of the size line.
    SizeLf,
    /// Data.
    Data,
    /// The CR behind the data.
    DataCr,
    /// The LF behind the data.
    DataLf,
    /// The trailers, down to the empty line.
    Trailers(Trailers),
    /// Nothing: the body has ended.
    Done,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { phase: Phase::Size(0), size: 0 }
    }
}

impl Chunked {
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Follows the bytes to their end or the body's, and says how many there were.
    pub(super) fn follow(&mut self, buf: &[u8], content: &mut impl FnMut(&[u8])) -> Result<usize, BodyError> {
        let mut rest = buf;
        while let Some((&byte, after)) = rest.split_first() {
            if self.is_done() {
                break;
            }
            if matches!(self.phase, Phase::Data) {
                let taken = take_counted(rest, &mut self.size, content);
                rest = rest.get(taken..).unwrap_or_default();
            } else {
                self.framing_byte(byte)?;
                rest = after;
            }
            if matches!(self.phase, Phase::Data) && self.size == 0 {
                self.phase = Phase::DataCr;
            }
        }
        Ok(buf.len() - rest.len())
    }

    /// Follows one byte that is not data.
    fn framing_byte(&mut self, byte: u8) -> Result<(), BodyError> {
        self.phase = match (&mut self.phase, byte) {
            (Phase::Size(digits), byte) => {
                let digits = *digits;
                self.size_line(digits, byte)?
            }
            (Phase::Extension(_), b'\r') => Phase::SizeLf,
            (Phase::ExtensionName(read) | Phase::Extension(read), _) if *read >= EXTENSION_MAX => {
                return Err(BodyError::Extension);
            }
            (Phase::ExtensionName(read), b' ' | b'\t') => Phase::ExtensionName(*read + 1),
            (Phase::ExtensionName(read), byte) if is_token_byte(byte) => Phase::Extension(*read + 1),
            (Phase::Extension(read), b'\t' | b' '..=b'~') => Phase::Extension(*read + 1),
            (Phase::ExtensionName(_) | Phase::Extension(_), _) => return Err(BodyError::Extension),
            (Phase::SizeLf, b'\n') if self.size == 0 => Phase::Trailers(Trailers::default()),
            (Phase::SizeLf, b'\n') | (Phase::Data, _) => Phase::Data,
            (Phase::DataCr, b'\r') => Phase::DataLf,
            (Phase::DataLf, b'\n') => Phase::Size(0),
            (Phase::SizeLf | Phase::DataCr | Phase::DataLf, _) => return Err(BodyError::LineEnd),
            (Phase::Trailers(trailers), byte) => {
                if !trailers.step(byte)? {
                    return Ok(());
                }
                Phase::Done
            }
            (Phase::Done, _) => Phase::Done,
        };
        Ok(())
    }

    /// A digit, or what may come behind the last one.
    fn size_line(&mut self, digits: u8, byte: u8) -> Result<Phase, BodyError> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            return match byte {
                b'\r' if digits > 0 => Ok(Phase::SizeLf),
                b';' if digits > 0 => Ok(Phase::ExtensionName(1)),
                _ => Err(BodyError::ChunkSize),
            };
        };
        if digits == DIGITS_MAX {
            return Err(BodyError::ChunkSize);
        }
        let before = if digits == 0 { 0 } else { self.size };
        // At most 15 digits came before, so no bit is lost.
        self.size = (before << 4) | u64::from(digit);
        if self.size > u64::MAX >> 1 {
            return Err(BodyError::ChunkSize);
        }
        Ok(Phase::Size(digits + 1))
    }
}
