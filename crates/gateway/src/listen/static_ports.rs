//! The ports of static proxies. Each has one listener on every address of the machine, however many
//! proxies are reached on it: the address that a connection came to tells them apart.
//!
//! Which ports there are follows the directory. One that cannot be had just now (it is taken, or
//! needs a privilege) is said once, counted, and tried again every few seconds; the others are
//! unaffected. Changes of anything else in the directory cost nothing here.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use imbl::HashMap;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tollgate_types::{Directory, StaticEntry};

use crate::dial::Grounds;
use crate::listen::accept::{Port, Serve};
use crate::listen::intake::Intake;

/// Between two looks at the directory at least.
const SPACING: Duration = Duration::from_millis(100);

/// How often ports that could not be had are tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Opens and closes ports.
pub(crate) struct Ports<S> {
    intake: Arc<Intake>,
    grounds: Arc<Grounds>,
    /// What is done with the connections of all ports.
    serve: S,
    directory: watch::Receiver<Arc<Directory>>,
    /// The proxies that the ports were last matched with.
    seen: Option<HashMap<SocketAddr, Arc<StaticEntry>>>,
    /// The ports that proxies are reached on.
    wanted: BTreeSet<u16>,
    open: BTreeMap<u16, JoinHandle<()>>,
    /// The ports whose sockets were inherited: open from start to end, whoever is reached on them,
    /// for nothing that is done here would close them.
    inherited: BTreeSet<u16>,
    failed: BTreeSet<u16>,
}

impl<S: Serve> Ports<S> {
    /// No port is open yet.
    pub(crate) fn new(intake: Arc<Intake>, grounds: Arc<Grounds>, serve: S) -> Self {
        let directory = intake.directory.clone();
        let (wanted, open, inherited, failed) = Default::default();
        Self { intake, grounds, serve, directory, seen: None, wanted, open, inherited, failed }
    }

    /// Opens a port whose socket was inherited.
    pub(crate) fn inherit(&mut self, port: u16, bound: Port) {
        tracing::info!(port, "a port of static proxies was inherited");
        self.inherited.insert(port);
        tokio::spawn(bound.accept(self.intake.clone(), self.serve.clone()));
        self.tell();
    }

    /// Follows the directory until the gateway drains.
    pub(crate) async fn run(mut self) {
        let lifecycle = self.intake.lifecycle.clone();
        tokio::select! {
            () = self.follow() => {}
            // The listeners end by themselves.
            () = lifecycle.draining() => {}
        }
        self.open.clear();
        self.inherited.clear();
        self.failed.clear();
        self.tell();
    }

    async fn follow(&mut self) {
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = self.directory.changed() => match changed {
                    Ok(()) => self.match_directory(),
                    Err(_) => return,
                },
                _ = again.tick(), if !self.failed.is_empty() => self.open_missing(),
            }
            sleep(SPACING).await;
        }
    }

    /// Opens the ports that are missing, and closes those that nobody is reached on any more.
    pub(crate) fn match_directory(&mut self) {
        let newest = self.directory.borrow_and_update().clone();
        if self.seen.as_ref().is_some_and(|seen| seen.ptr_eq(&newest.statics)) {
            return;
        }
        // No proxy is reached on port 0: that would be a port of the system's choice.
        let wanted = newest.statics.keys().map(SocketAddr::port).filter(|port| *port != 0).collect();
        self.seen = Some(newest.statics.clone());
        if self.wanted != wanted {
            self.wanted = wanted;
            self.close_unwanted();
            self.open_missing();
        }
    }

    fn open_missing(&mut self) {
        let is_missing = |port: &u16| !self.open.contains_key(port) && !self.inherited.contains(port);
        let missing: Vec<u16> = self.wanted.iter().copied().filter(is_missing).collect();
        missing.into_iter().for_each(|port| self.open(port));
        self.tell();
    }

    fn close_unwanted(&mut self) {
        let wanted = &self.wanted;
        self.failed.retain(|port| wanted.contains(port));
        self.open.retain(|port, listening| {
            let stays = wanted.contains(port);
            if !stays {
                tracing::info!(port, "a port of static proxies is closed");
                listening.abort();
            }
            stays
        });
    }

    fn open(&mut self, port: u16) {
        match Port::bind_everywhere(port) {
            Ok(bound) => {
                tracing::info!(port, "a port of static proxies is open");
                self.failed.remove(&port);
                self.open.insert(port, tokio::spawn(bound.accept(self.intake.clone(), self.serve.clone())));
            }
            Err(error) => {
                if self.failed.insert(port) {
                    tracing::warn!(port, %error, "a port of static proxies cannot be listened on; it is tried again");
                }
            }
        }
    }

    fn tell(&self) {
        let open: HashSet<u16> = self.open.keys().chain(&self.inherited).copied().collect();
        let stats = &self.intake.stats;
        stats.static_listeners.store(open.len() as u64, Ordering::Relaxed);
        self.grounds.set_open(open);
        stats.static_ports_failed.store(self.failed.len() as u64, Ordering::Relaxed);
    }
}
