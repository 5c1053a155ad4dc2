//! The relay: bytes both ways between two sockets until both have ended, something breaks, or no
//! more bytes are granted.
//!
//! A direction reads only when its socket is ready, only as much as the purse has just granted, and
//! into scratch memory of the thread; a tunnel at rest holds neither a buffer nor granted bytes.
//! What the far side does not take at once waits in a small buffer of the direction, and nothing
//! more is read until that is gone: that is the backpressure.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use crate::meter::{Broke, Grant, Meter, SLICE, Way};
use crate::stream::{Pending, Stream};

/// How long bytes that were read before the end may take to reach the far side.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection that is cut keeps swallowing what its peer still sends, so that the close
/// does not turn into a reset that destroys bytes on their way to it.
const LINGER: Duration = Duration::from_millis(500);
/// After so many slices a direction lets the other one, and other connections, have their turn.
const SLICES_PER_TURN: u32 = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SLICE]);
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides had nothing more to say.
    Done,
    /// Something broke, or no more bytes were granted.
    Broke(Broke),
    /// The customer lost the right to it, the operator closed it, or the gateway drains.
    Cut,
}

/// Relays between a client and an upstream. `early_up` and `early_down` were read from them before
/// and are sent first. `cut` ends the tunnel when it resolves.
pub(crate) async fn relay(
    client: &Stream,
    upstream: &Stream,
    early_up: &[u8],
    early_down: &[u8],
    meter: &Meter<'_>,
    cut: impl Future<Output = ()>,
) -> Ended {
    let mut up = Lane::new(Way::Up, client, upstream, meter);
    let mut down = Lane::new(Way::Down, upstream, client, meter);
    let flow = async { tokio::try_join!(up.run(early_up), down.run(early_down)).map(|_| ()) };
    let ended = tokio::select! {
        flowed = flow => flowed.map_or_else(Ended::Broke, |()| Ended::Done),
        () = meter.idle() => Ended::Broke(Broke::Idle),
        () = cut => Ended::Cut,
    };
    match ended {
        Ended::Done | Ended::Broke(Broke::Idle) => {}
        // The far side is to see that the near one broke off.
        Ended::Broke(Broke::Reading(Way::Up)) => upstream.break_off(),
        Ended::Broke(Broke::Reading(Way::Down)) => client.break_off(),
        Ended::Broke(Broke::Writing(_)) => linger(client, upstream).await,
        Ended::Broke(Broke::Denied(_)) | Ended::Cut => {
            // Those bytes were granted, and their sender believes them sent.
            let _ = timeout(FLUSH_TIMEOUT, async { tokio::join!(up.flush(), down.flush()) }).await;
            linger(client, upstream).await;
        }
    }
    ended
}

/// Ends both connections so that all that was written to them still arrives.
async fn linger(client: &Stream, upstream: &Stream) {
    client.finish();
    upstream.finish();
    let _ = timeout(LINGER, async { tokio::join!(swallow(client), swallow(upstream)) }).await;
}

/// Ends one connection so that all that was written to it still arrives.
pub(crate) async fn close_gently(stream: &Stream) {
    stream.finish();
    let _ = timeout(LINGER, swallow(stream)).await;
}

/// Reads and forgets until the peer ends or breaks off.
async fn swallow(stream: &Stream) {
    while stream.readable().await.is_ok() {
        let read = SCRATCH.with_borrow_mut(|scratch| stream.try_read(scratch));
        match read {
            Ok(1..) => tokio::task::yield_now().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// One direction.
struct Lane<'t> {
    way: Way,
    from: &'t Stream,
    to: &'t Stream,
    meter: &'t Meter<'t>,
    /// Read and granted, but not yet taken by the far side.
    leftover: Option<Leftover<'t>>,
}

struct Leftover<'t> {
    bytes: Vec<u8>,
    written: usize,
    grant: Grant<'t>,
}

/// What one step of a lane came to.
enum Step<'t> {
    Moved,
    Waits(Leftover<'t>),
    Nothing,
    Ungranted,
    Ended,
}

impl<'t> Lane<'t> {
    fn new(way: Way, from: &'t Stream, to: &'t Stream, meter: &'t Meter<'t>) -> Self {
        Self { way, from, to, meter, leftover: None }
    }

    /// Moves everything until the near side ends, and then says so to the far side.
    async fn run(&mut self, early: &[u8]) -> Result<(), Broke> {
        self.meter.send(self.way, self.to, early).await?;
        let mut slices = 0;
        loop {
            self.from.readable().await.map_err(|_| Broke::Reading(self.way))?;
            match self.step()? {
                Step::Moved => slices += 1,
                Step::Waits(leftover) => {
                    self.leftover = Some(leftover);
                    self.flush().await?;
                }
                Step::Nothing => slices = 0,
                Step::Ungranted => self.meter.refill().await?,
                Step::Ended => {
                    self.to.finish();
                    return Ok(());
                }
            }
            if slices >= SLICES_PER_TURN {
                slices = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes a grant, reads at most that, writes what the far side takes.
    fn step(&self) -> Result<Step<'t>, Broke> {
        let Some(grant) = self.meter.take(SLICE) else {
            // The end of the stream costs nothing and must not wait for a grant.
            let pending = self.from.peek().map_err(|_| Broke::Reading(self.way))?;
            return Ok(match pending {
                Pending::Nothing => Step::Nothing,
                Pending::Bytes => Step::Ungranted,
                Pending::End => Step::Ended,
            });
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let room = grant.left().min(scratch.len());
            let scratch = scratch.get_mut(..room).unwrap_or_default();
            match self.from.try_read(scratch) {
                Ok(0) => Ok(Step::Ended),
                Ok(read) => self.write(scratch.get(..read).unwrap_or_default(), grant),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Nothing),
                Err(_) => Err(Broke::Reading(self.way)),
            }
        })
    }

    fn write(&self, bytes: &[u8], mut grant: Grant<'t>) -> Result<Step<'t>, Broke> {
        grant.keep(bytes.len());
        let written = match self.to.try_write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return Err(Broke::Writing(self.way)),
        };
        grant.spend(self.way, written);
        match bytes.get(written..) {
            None | Some([]) => Ok(Step::Moved),
            Some(rest) => Ok(Step::Waits(Leftover { bytes: rest.to_vec(), written: 0, grant })),
        }
    }

    /// Writes what was left over.
    async fn flush(&mut self) -> Result<(), Broke> {
        while let Some(leftover) = &mut self.leftover {
            self.to.writable().await.map_err(|_| Broke::Writing(self.way))?;
            let rest = leftover.bytes.get(leftover.written..).unwrap_or_default();
            match self.to.try_write(rest) {
                Ok(written) => {
                    leftover.grant.spend(self.way, written);
                    leftover.written += written;
                    if leftover.written >= leftover.bytes.len() {
                        self.leftover = None;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Broke::Writing(self.way)),
            }
        }
        Ok(())
    }
}
