//! A closure on its way to a database thread, and its answer on the way back.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use crate::error::{Failure, Remedy};
use crate::{Error, Tx};

/// Work for a database thread.
///
/// It is run, possibly several times, and then answered or failed once: the asker hears nothing
/// before the transaction's end is certain.
pub(crate) trait Job: Send {
    /// Runs the closure once and keeps what it returned.
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran;
    /// Hands out what the last run kept.
    fn answer(self: Box<Self>);
    /// Hands out an error instead.
    fn fail(self: Box<Self>, error: Error);
}

/// How a run of a closure ended, and so what is to become of its transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It succeeded: commit, then answer.
    Commit,
    /// It returned an error or panicked: roll back, then answer.
    RollBack,
    /// Something outside of the closure's power went wrong: roll back, and run it again if the
    /// failure's remedy says so.
    Failed(Failure),
}

/// The one kind of [`Job`]: a closure and where its answer goes.
pub(crate) struct Ask<F, T, E> {
    closure: F,
    answer: Option<Result<T, E>>,
    panicked: bool,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Ask<F, T, E> {
    pub(crate) const fn new(closure: F, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self { closure, answer: None, panicked: false, reply }
    }
}

impl<F, T, E> Job for Ask<F, T, E>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran {
        if self.panicked {
            // Its captured state may be half-changed; the answer of the first run stands.
            return Ran::RollBack;
        }
        let returned = catch_unwind(AssertUnwindSafe(|| (self.closure)(tx)));
        let (answer, ran) = match (returned, tx.take_failure()) {
            (Err(panic), _) => {
                self.panicked = true;
                (Err(E::from(panicked(panic.as_ref()))), Ran::RollBack)
            }
            (Ok(_), Some(failure)) if failure.remedy != Remedy::Nothing => return Ran::Failed(failure),
            (Ok(Ok(_)), Some(failure)) => (Err(E::from(failure.error)), Ran::RollBack),
            (Ok(Ok(value)), None) => (Ok(value), Ran::Commit),
            (Ok(Err(error)), _) => (Err(error), Ran::RollBack),
        };
        self.answer = Some(answer);
        ran
    }

    fn answer(self: Box<Self>) {
        if let Some(answer) = self.answer {
            // Whoever asked may be gone; what was done stays done.
            let _ = self.reply.send(answer);
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(E::from(error)));
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Error::Unexpected(format!("a transaction's closure panicked: {}", text.unwrap_or("without a text")))
}
