//! How connections end. One that was finished ends with the end of its stream; one that is cut, or
//! whose other side broke off, ends with a reset, so that nobody takes a part for the whole. Before
//! either, what was granted and counted is given time to arrive.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use crate::stream::Stream;

/// How long bytes that were counted may take to reach the peer before a connection is reset.
pub(crate) const DELIVERY: Duration = Duration::from_millis(1_500);
/// How long a connection that has ended is still read from, so that closing it does not become a reset
/// that destroys bytes on their way to the peer.
const LINGER: Duration = Duration::from_millis(500);
/// And how many bytes of it. Whoever sends more than that does not listen.
const LINGER_BYTES: usize = 1024 * 1024;
/// How many bytes are read at once to be thrown away.
const SCRATCH_BYTES: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// Ends one connection so that all that was written to it still arrives, then the end of the stream.
pub(crate) async fn close_gently(stream: &Stream) {
    stream.finish();
    let _ = timeout(LINGER, swallow(stream)).await;
}

/// Lets what was written arrive, and has the close of the connection be a reset. Takes [`DELIVERY`]
/// at most, and reads nothing meanwhile.
pub(crate) async fn break_off(stream: &Stream) {
    break_off_behind(stream, stream.flush()).await;
}

/// [`break_off`], where the last bytes are written by `rest`.
pub(crate) async fn break_off_behind<E>(stream: &Stream, rest: impl Future<Output = Result<(), E>>) {
    let arrived = async {
        // An error says that the connection is over already.
        if rest.await.is_ok() {
            stream.delivered(DELIVERY).await;
        }
    };
    let _ = timeout(DELIVERY, arrived).await;
    stream.break_off();
}

/// Reads and forgets until the peer ends, breaks off or has sent too much.
async fn swallow(stream: &Stream) {
    if matches!(stream, Stream::Http2(_)) {
        // What was written before its end is sent whatever else comes in on it.
        return;
    }
    let mut left = LINGER_BYTES;
    while left > 0 && stream.readable().await.is_ok() {
        let read = SCRATCH.with_borrow_mut(|scratch| stream.try_read(scratch));
        match read {
            Ok(read @ 1..) => {
                left = left.saturating_sub(read);
                tokio::task::yield_now().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}
