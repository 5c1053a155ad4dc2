//! Where a message's body ends, found without changing a byte of it.
//!
//! A [`BodyReader`] is shown the bytes as they arrive and says how many of them belong to the body.
//! Those are forwarded as they are. A chunked body is checked strictly, since the next reader may be
//! less strict: a chunk size, an extension or a trailer that two readers could take differently ends
//! the connection.

mod chunked;
mod trailers;

use chunked::Chunked;

use crate::http::Framing;

pub use chunked::EXTENSION_MAX;
pub use trailers::{TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

/// Why a body cannot be forwarded to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BodyError {
    /// A chunk size is not 1 to 16 hexadecimal digits, or does not fit 63 bits.
    #[error("a chunk size is malformed")]
    ChunkSize,
    /// A chunk extension is malformed or longer than [`EXTENSION_MAX`].
    #[error("a chunk extension is malformed or too long")]
    Extension,
    /// A line does not end in CR LF, or data does not end where its chunk does.
    #[error("a chunk does not end in CR LF")]
    LineEnd,
    /// A trailer field is malformed, or one that no trailer may be.
    #[error("a trailer field is malformed or forbidden")]
    Trailer,
    /// The trailers are more than [`TRAILER_BYTES_MAX`] or [`TRAILER_FIELDS_MAX`].
    #[error("the trailers are too large")]
    TrailersTooLarge,
    /// The connection was closed before the end of the body.
    #[error("the body was cut short")]
    Truncated,
}

/// What became of the bytes shown to a [`BodyReader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// So many bytes from the beginning belong to the body.
    pub take: usize,
    /// The body has ended; what follows belongs to the next message.
    pub done: bool,
}

/// Follows one body from its first byte to its last.
#[derive(Clone, Debug)]
pub struct BodyReader {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Length(u64),
    UntilClose,
    Chunked(Chunked),
    Failed(BodyError),
}

impl BodyReader {
    /// A body framed so.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None => State::Length(0),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether the body has ended.
    pub const fn is_done(&self) -> bool {
        match &self.state {
            State::Length(left) => *left == 0,
            State::Chunked(chunked) => chunked.is_done(),
            State::UntilClose | State::Failed(_) => false,
        }
    }

    /// Follows the next bytes. May be shown none, to learn whether the body has ended already.
    ///
    /// # Errors
    /// [`BodyError`], for these bytes and for all that come after: nothing more may be forwarded.
    pub fn advance(&mut self, buf: &[u8]) -> Result<Step, BodyError> {
        self.decode(buf, |_| ())
    }

    /// As [`BodyReader::advance`], and shows each run of content bytes, without chunk sizes, extensions
    /// and trailers: what a client gets that does not know chunks.
    ///
    /// # Errors
    /// As [`BodyReader::advance`]. Content before the fault may have been shown.
    pub fn decode(&mut self, buf: &[u8], mut content: impl FnMut(&[u8])) -> Result<Step, BodyError> {
        let taken = match &mut self.state {
            State::Length(left) => Ok(take_counted(buf, left, &mut content)),
            State::UntilClose => {
                content(buf);
                Ok(buf.len())
            }
            State::Chunked(chunked) => chunked.follow(buf, &mut content),
            State::Failed(error) => Err(*error),
        };
        match taken {
            Ok(take) => Ok(Step { take, done: self.is_done() }),
            Err(error) => {
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }

    /// Says whether the body is whole if the connection is closed now.
    ///
    /// # Errors
    /// [`BodyError::Truncated`], or the error that came before.
    pub fn finish(&self) -> Result<(), BodyError> {
        match &self.state {
            State::UntilClose => Ok(()),
            State::Failed(error) => Err(*error),
            State::Length(_) | State::Chunked(_) if self.is_done() => Ok(()),
            State::Length(_) | State::Chunked(_) => Err(BodyError::Truncated),
        }
    }
}

/// Shows at most `left` bytes of content and counts them off.
fn take_counted(buf: &[u8], left: &mut u64, content: &mut impl FnMut(&[u8])) -> usize {
    let most = usize::try_from(*left).unwrap_or(usize::MAX);
    let run = buf.get(..most).unwrap_or(buf);
    if !run.is_empty() {
        content(run);
        *left -= run.len() as u64;
    }
    run.len()
}

#[cfg(test)]
mod tests;
