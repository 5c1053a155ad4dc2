//! A stream and what has been read of it but not yet used; reading and writing on it by waiting.

use std::cell::RefCell;
use std::io;

use crate::stream::Stream;

/// The most that is read at once while heads and framed bodies are looked at.
const READ: usize = 32 * 1024;

/// A socket and the bytes read from it that nobody has used yet.
#[derive(Debug)]
pub(crate) struct Buffered {
    pub(crate) stream: Stream,
    pub(crate) buf: Vec<u8>,
}

impl Buffered {
    pub(crate) fn new(stream: Stream, buf: Vec<u8>) -> Self {
        Self { stream, buf }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// Reads once into a buffer: how many bytes came; 0 is the end of the stream. May be dropped
/// while it waits without losing anything.
///
/// The buffer has room for what came and no more: clients that send a head byte by byte are many at
/// times, and are not to hold much each.
///
/// # Errors
/// The connection failed.
pub(crate) async fn fill(stream: &Stream, buf: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        let read = SCRATCH.with_borrow_mut(|scratch| {
            let read = stream.try_read(scratch)?;
            buf.extend_from_slice(scratch.get(..read).unwrap_or_default());
            Ok(read)
        });
        match read {
            Err(error) if is_not_yet(&error) => {
                if buf.is_empty() {
                    // A connection that waits holds no memory.
                    *buf = Vec::new();
                }
            }
            read => return read,
        }
    }
}

fn is_not_yet(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Writes everything. What the gateway says on its own account is not metered.
///
/// # Errors
/// The connection failed.
pub(crate) async fn say(stream: &Stream, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    stream.flush().await
}
