//! Whether a client heard the answer to a call that spent money.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tollgate_core::idempotency::{self, UnheardCall};
use tollgate_core::{Core, Error};
use tollgate_sockets::Ending;
use tollgate_types::AccountId;

use super::peer::{Peer, Seen};

/// For how long after the acknowledgement of the last byte a reset still says that nobody read the answer. A program
/// that ends without having read what its system acknowledged resets the connection.
const SETTLING: Duration = Duration::from_millis(300);

/// The longest that an answer's acknowledgement is waited for.
const LONGEST_WATCH: Duration = Duration::from_secs(30);

/// How soon the connection is looked at the first time.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How often writing down how an answer fared is tried, and how long the first pause between tries is.
const TRIES: u32 = 6;
const FIRST_REST: Duration = Duration::from_millis(100);

/// An answer that counts as unheard until this is told. Travels in the answer's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) core: Core,
    pub(crate) account: AccountId,
    pub(crate) call: UnheardCall,
}

impl Receipt {
    /// Writes down how the answer fared.
    async fn tell(&self, is_heard: bool) -> Result<(), Error> {
        match is_heard {
            true => idempotency::set_heard(&self.core, self.account, &self.call).await,
            false => idempotency::set_lost(&self.core, self.account, &self.call).await,
        }
    }
}

/// Watches over an answer if it has a [`Receipt`].
pub(super) fn watch(mut response: Response, peer: &Arc<Peer>) -> Response {
    let Some(receipt) = response.extensions_mut().remove::<Receipt>() else { return response };
    let (taken, is_taken) = oneshot::channel();
    let asked = peer.seen().requests;
    tokio::spawn(follow(receipt, peer.clone(), asked, is_taken));
    let watched = Watched { peer: peer.clone(), taken: Some(taken) };
    response.map(|body| Body::new(WatchedBody { body, _watched: watched }))
}

/// Follows an answer on its way, and writes down how it fared.
async fn follow(receipt: Receipt, peer: Arc<Peer>, asked: u64, is_taken: oneshot::Receiver<u64>) {
    let Ok(flushes) = is_taken.await else { return };
    let Some(is_heard) = fate(&peer, Seen { requests: asked, flushes }).await else { return };
    drop(peer);
    let mut rest = FIRST_REST;
    for _ in 0..TRIES {
        match receipt.tell(is_heard).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "cannot write down whether an answer was heard"),
        }
        sleep(rest).await;
        rest *= 2;
    }
}

/// Waits until it is known whether an answer was heard; `None` where it takes too long. `before` is what was
/// seen of the connection when the answer's last byte was still to be written.
async fn fate(peer: &Peer, before: Seen) -> Option<bool> {
    let began = Instant::now();
    let (mut acknowledged, mut pause) = (None, FIRST_LOOK);
    while began.elapsed() < LONGEST_WATCH {
        let now = peer.seen();
        // Asked before the acknowledgement: what comes between the two is seen by the next look.
        let ending = peer.ending();
        if ending == Ending::Reset {
            return Some(false);
        }
        if now.flushes > before.flushes && peer.has_acknowledged() {
            let since = *acknowledged.get_or_insert_with(Instant::now);
            let is_used_again = now.requests > before.requests;
            if is_used_again || ending == Ending::Finished || since.elapsed() >= SETTLING {
                return Some(true);
            }
        } else if now.flushes == before.flushes && peer.is_over() {
            return Some(false);
        }
        let _ = timeout(pause, peer.changed()).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    None
}

/// Says that the server has taken an answer's last byte, or has given it up.
struct Watched {
    peer: Arc<Peer>,
    taken: Option<oneshot::Sender<u64>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            // Whoever follows the answer may have ended with the runtime.
            let _ = taken.send(self.peer.seen().flushes);
        }
    }
}

/// An answer's body. It is dropped when all of it has been taken, which is before that is written.
struct WatchedBody {
    body: Body,
    _watched: Watched,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
