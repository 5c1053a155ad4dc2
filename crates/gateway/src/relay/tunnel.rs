//! The relay: bytes both ways between two connections until both have ended, something breaks, or no
//! more bytes are granted.
//!
//! A direction moves bytes only as they come, and only as many as the purse has just granted. A flow
//! that comes in small pieces is copied, through scratch memory of the thread; one that is worth it
//! is spliced, through a pipe that is taken for as long as bytes are in it. A tunnel at rest holds
//! no buffer, no pipe and no granted bytes. What the far side does not take at once waits in a small
//! buffer or in the pipe, and nothing more is read until that is gone: that is the backpressure.
//!
//! **What a direction holds at most:** [`COPY`] bytes in a buffer or [`PIPE_BYTES`] in a pipe, of
//! which there are no more than `MOST_PIPES` at once ([`crate::relay::pipe`]).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::funds::Direction;
use crate::relay::ending::{DELIVERY, break_off, break_off_behind, close_gently};
use crate::relay::meter::{Broke, Grant, Meter};
use crate::relay::pipe::{PIPE_BYTES, Pipe};
use crate::stream::{Pending, Stream};

/// After so many bytes a direction lets the other one, and other connections, have their turn.
const BYTES_PER_TURN: usize = 2 * PIPE_BYTES;
/// After so long a connection is one that may vanish without a word.
const SETTLED: Duration = Duration::from_secs(10);
/// The most that is copied at once.
const COPY: usize = 16 * 1024;
/// After so many full reads one after the other a flow is worth a pipe.
const WORTH_A_PIPE: u8 = 4;
/// A pipe that carries less than that at once is not worth it any more.
const NOT_WORTH_A_PIPE: usize = 4 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; COPY]);
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
    early_up: Vec<u8>,
    early_down: Vec<u8>,
    meter: &Meter<'_>,
    cut: Pin<&mut impl Future<Output = ()>>,
) -> Ended {
    let mut up = Lane::new(Direction::Up, client, upstream, meter, early_up);
    let mut down = Lane::new(Direction::Down, upstream, client, meter, early_down);
    let ended = flow(&mut up, &mut down, meter, cut).await;
    match ended {
        Ended::Done => {}
        Ended::Broke(Broke::Reading(Direction::Up) | Broke::Writing(Direction::Down)) => upstream.break_off(),
        Ended::Broke(Broke::Reading(Direction::Down)) => Box::pin(deliver_and_break_off(&mut down)).await,
        Ended::Broke(Broke::Writing(Direction::Up)) => Box::pin(hear_out(&mut down, client)).await,
        Ended::Broke(Broke::Idle | Broke::Denied(_)) | Ended::Cut => {
            Box::pin(cut_off(&mut up, &mut down)).await;
        }
    }
    ended
}

/// Runs both directions until they have ended or the tunnel has to.
async fn flow(
    up: &mut Lane<'_>,
    down: &mut Lane<'_>,
    meter: &Meter<'_>,
    mut cut: Pin<&mut impl Future<Output = ()>>,
) -> Ended {
    let (client, upstream) = (up.from, up.to);
    let mut reset = pin!(client.reset());
    let idle = async {
        if !meter.idle_within(SETTLED).await {
            // Most connections do not live to need it.
            upstream.notice_silence();
            meter.idle().await;
        }
    };
    let mut idle = pin!(idle);
    poll_fn(|cx| {
        if cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ended::Cut);
        }
        match (up.poll(cx, down.ended), down.poll(cx, up.ended)) {
            (Poll::Ready(Err(broke)), _) | (_, Poll::Ready(Err(broke))) => Poll::Ready(Ended::Broke(broke)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ended::Done),
            _ if reset.as_mut().poll(cx).is_ready() => {
                Poll::Ready(Ended::Broke(Broke::Reading(Direction::Up)))
            }
            _ => idle.as_mut().poll(cx).map(|()| Ended::Broke(Broke::Idle)),
        }
    })
    .await
}

/// The client is told that its target is gone, once it has all that the target said before.
async fn hear_out(down: &mut Lane<'_>, client: &Stream) {
    match timeout(DELIVERY, poll_fn(|cx| down.poll(cx, true))).await {
        Ok(Ok(())) => close_gently(client).await,
        _ => break_off(client).await,
    }
}

/// Both sides are told that the tunnel was cut, once they have what was granted: its sender believes it
/// sent.
async fn cut_off(up: &mut Lane<'_>, down: &mut Lane<'_>) {
    tokio::join!(deliver_and_break_off(up), deliver_and_break_off(down));
}

async fn deliver_and_break_off(lane: &mut Lane<'_>) {
    let to = lane.to;
    break_off_behind(to, poll_fn(|cx| lane.poll_flush(cx))).await;
}

/// One direction.
struct Lane<'t> {
    direction: Direction,
    from: &'t Stream,
    to: &'t Stream,
    meter: &'t Meter<'t>,
    /// Was read before, and is still to be granted and sent.
    early: Vec<u8>,
    /// Read and granted, but not yet taken by the far side.
    held: Held<'t>,
    /// Bytes that are being asked for.
    refill: Option<Refill<'t>>,
    /// How many full reads there were, one after the other.
    full_reads: u8,
    /// The near side has ended, and the far side knows.
    ended: bool,
}

type Refill<'t> = Pin<Box<dyn Future<Output = Result<(), Broke>> + Send + 't>>;

/// What a direction holds.
enum Held<'t> {
    Nothing,
    Copied { bytes: Vec<u8>, written: usize, grant: Grant<'t> },
    Piped { pipe: Pipe, grant: Grant<'t> },
}

/// What one step of a lane came to.
enum Step<'t> {
    /// So many bytes are on the far side.
    Moved(usize),
    Waits(Held<'t>),
    Nothing,
    Ungranted,
    Ended,
}

impl<'t> Lane<'t> {
    fn new(
        direction: Direction,
        from: &'t Stream,
        to: &'t Stream,
        meter: &'t Meter<'t>,
        early: Vec<u8>,
    ) -> Self {
        let (held, refill) = (Held::Nothing, None);
        Self { direction, from, to, meter, early, held, refill, full_reads: 0, ended: false }
    }

    /// Moves everything until the near side ends, and then says so to the far side; the last
    /// direction's end shows in that the connection is closed, if nothing is held back in it.
    fn poll(&mut self, cx: &mut Context<'_>, is_last: bool) -> Poll<Result<(), Broke>> {
        let mut moved = 0;
        loop {
            if moved >= BYTES_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(refill) = &mut self.refill {
                ready!(refill.as_mut().poll(cx))?;
                self.refill = None;
            }
            ready!(self.poll_flush(cx))?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            let step = if self.early.is_empty() {
                ready!(self.from.poll_readable(cx)).map_err(|_| Broke::Reading(self.direction))?;
                self.step()?
            } else {
                self.send_early()?
            };
            match step {
                Step::Moved(bytes) => moved += bytes,
                Step::Waits(held) => self.held = held,
                Step::Nothing => {}
                Step::Ungranted => {
                    let meter = self.meter;
                    self.refill = Some(Box::pin(meter.refill()));
                }
                Step::Ended => {
                    if !is_last || self.to.socket().is_none() {
                        self.to.finish();
                    }
                    self.ended = true;
                }
            }
        }
    }

    /// What was read before: as much of it as is granted, to be flushed.
    fn send_early(&mut self) -> Result<Step<'t>, Broke> {
        let Some(grant) = self.meter.take(self.early.len().min(COPY)) else { return Ok(Step::Ungranted) };
        let rest = self.early.split_off(grant.left().min(self.early.len()));
        let bytes = std::mem::replace(&mut self.early, rest);
        self.write(&bytes, grant)
    }

    /// Takes a grant, moves at most that.
    fn step(&mut self) -> Result<Step<'t>, Broke> {
        let pipe = if self.full_reads >= WORTH_A_PIPE { self.pipe() } else { None };
        let most = if pipe.is_some() { PIPE_BYTES } else { COPY };
        let Some(grant) = self.meter.take(most) else {
            pipe.into_iter().for_each(|(_, _, pipe)| pipe.give_back());
            return self.ungranted();
        };
        match pipe {
            Some((from, to, pipe)) => self.splice(from, to, pipe, grant),
            None => self.copy(grant),
        }
    }

    /// A pipe, where both sides can be spliced.
    fn pipe(&self) -> Option<(&'t TcpStream, &'t TcpStream, Pipe)> {
        Some((self.from.socket()?, self.to.socket()?, Pipe::take()?))
    }

    /// The end of the stream costs nothing and must not wait for a grant.
    fn ungranted(&self) -> Result<Step<'t>, Broke> {
        Ok(match self.from.peek().map_err(|_| Broke::Reading(self.direction))? {
            Pending::Nothing => Step::Nothing,
            Pending::Bytes => Step::Ungranted,
            Pending::End => Step::Ended,
        })
    }

    fn copy(&mut self, grant: Grant<'t>) -> Result<Step<'t>, Broke> {
        SCRATCH.with_borrow_mut(|scratch| {
            let room = grant.left().min(scratch.len());
            let scratch = scratch.get_mut(..room).unwrap_or_default();
            match self.from.try_read(scratch) {
                Ok(0) => Ok(Step::Ended),
                Ok(read) => {
                    self.full_reads = if read == COPY { self.full_reads.saturating_add(1) } else { 0 };
                    self.write(scratch.get(..read).unwrap_or_default(), grant)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Nothing),
                Err(_) => Err(Broke::Reading(self.direction)),
            }
        })
    }

    fn write(&self, bytes: &[u8], mut grant: Grant<'t>) -> Result<Step<'t>, Broke> {
        grant.keep(bytes.len());
        let written = match self.to.try_write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return Err(Broke::Writing(self.direction)),
        };
        grant.spend(self.direction, written);
        match bytes.get(written..) {
            None | Some([]) => Ok(Step::Moved(written)),
            Some(rest) => Ok(Step::Waits(Held::Copied { bytes: rest.to_vec(), written: 0, grant })),
        }
    }

    fn splice(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        mut pipe: Pipe,
        mut grant: Grant<'t>,
    ) -> Result<Step<'t>, Broke> {
        let read = match pipe.fill(from, grant.left()) {
            Ok(read) => read,
            Err(error) => {
                pipe.give_back();
                let nothing = error.kind() == io::ErrorKind::WouldBlock;
                return if nothing { Ok(Step::Nothing) } else { Err(Broke::Reading(self.direction)) };
            }
        };
        if read == 0 {
            pipe.give_back();
            return Ok(Step::Ended);
        }
        if read < NOT_WORTH_A_PIPE {
            self.full_reads = 0;
        }
        grant.keep(read);
        Ok(match self.drain(to, &mut pipe, &mut grant)? {
            Poll::Ready(()) => {
                pipe.give_back();
                Step::Moved(read)
            }
            Poll::Pending => Step::Waits(Held::Piped { pipe, grant }),
        })
    }

    /// Moves what is in a pipe to the far side, as long as that takes it.
    fn drain(&self, to: &TcpStream, pipe: &mut Pipe, grant: &mut Grant<'t>) -> Result<Poll<()>, Broke> {
        while pipe.held() > 0 {
            match pipe.drain(to) {
                Ok(written) => grant.spend(self.direction, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Poll::Pending),
                Err(_) => return Err(Broke::Writing(self.direction)),
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Resolves when nothing is held and the far side's stream holds nothing back.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broke>> {
        let broke = |_| Broke::Writing(self.direction);
        while !matches!(self.held, Held::Nothing) {
            ready!(self.to.poll_writable(cx)).map_err(broke)?;
            self.held = match std::mem::replace(&mut self.held, Held::Nothing) {
                Held::Nothing => Held::Nothing,
                Held::Copied { bytes, written, grant } => self.flush_copied(bytes, written, grant)?,
                Held::Piped { pipe, grant } => self.flush_piped(pipe, grant)?,
            };
        }
        self.to.poll_flush(cx).map_err(broke)
    }

    fn flush_copied(&self, bytes: Vec<u8>, written: usize, mut grant: Grant<'t>) -> Result<Held<'t>, Broke> {
        let rest = bytes.get(written..).unwrap_or_default();
        let more = match self.to.try_write(rest) {
            Ok(more) => more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return Err(Broke::Writing(self.direction)),
        };
        grant.spend(self.direction, more);
        let written = written + more;
        Ok(if written < bytes.len() { Held::Copied { bytes, written, grant } } else { Held::Nothing })
    }

    fn flush_piped(&self, mut pipe: Pipe, mut grant: Grant<'t>) -> Result<Held<'t>, Broke> {
        // Only sockets are spliced to.
        let Some(to) = self.to.socket() else { return Err(Broke::Writing(self.direction)) };
        Ok(match self.drain(to, &mut pipe, &mut grant)? {
            Poll::Ready(()) => {
                pipe.give_back();
                Held::Nothing
            }
            Poll::Pending => Held::Piped { pipe, grant },
        })
    }
}

#[cfg(test)]
mod tests;
