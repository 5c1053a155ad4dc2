//! How the program ends: signals, and the word that they bring to every part of it.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Tells every part of the program to end. Dropped, it tells so too.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// Waits for the word to end.
#[derive(Clone, Debug)]
pub struct Stopped(watch::Receiver<bool>);

impl Stop {
    /// A word that has not been given, and those who wait for it.
    pub fn new() -> (Self, Stopped) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stopped(receiver))
    }

    /// Gives the word.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stopped {
    /// Returns once the word is given.
    pub async fn wait(mut self) {
        // The sender is gone: so is whoever could have said that we go on.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

/// What somebody outside wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM, SIGINT: end in good order.
    End,
    /// SIGHUP: read the settings again.
    Reload,
}

/// The signals that the program listens to.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system would not.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next wish.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// Returns once somebody asks for the second time.
    pub async fn insists(&mut self) {
        while self.next().await == Wish::Reload {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_the_word_also_late_and_when_nobody_is_left_to_give_it() {
        let (stop, stopped) = Stop::new();
        let early = tokio::spawn(stopped.clone().wait());
        stop.stop();
        early.await.expect("it ends");
        stopped.wait().await;
        let (stop, stopped) = Stop::new();
        drop(stop);
        stopped.wait().await;
    }
}
