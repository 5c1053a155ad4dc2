//! The live connections: who, from where, to where, through which exit, since when, how much; and
//! the way to end one.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tollgate_types::{
    AccountId, Clock, ConnectionId, Directory, ExitId, PasswordTag, ProxyType, StaticEntry, StaticProxyId,
    StaticType, SubAccountId, Time, WhitelistId,
};

use crate::entry::revoke::still_admitted;
use crate::funds::Funds;
use crate::relay::MovedBytes;
use crate::stats::Stats;

/// On what grounds a connection was admitted: looked at again whenever the directory changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// By a user name and this password.
    Credentials(SubAccountId, PasswordTag),
    /// By its address.
    Whitelist(WhitelistId),
    /// To a static proxy, as it was then: by its own password, or by its owner's listed address.
    Static(Arc<StaticEntry>, Option<WhitelistId>),
}

/// Whether the grounds on which a connection was admitted still hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// They hold.
    Kept,
    /// They hold until then.
    Until(Time),
    /// They do not hold any more.
    Lost,
}

/// Of which kind a connection's traffic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Metered against packages and wallet.
    Metered(ProxyType),
    /// A static proxy's: counted for statistics.
    Static(StaticProxyId, StaticType),
}

/// What is known of a connection when it is admitted.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Whose it is.
    pub account: AccountId,
    /// The sub-account that opened it; `None` for static proxies, and where the address was enough.
    pub sub_account: Option<SubAccountId>,
    /// Of which kind its traffic is.
    pub traffic: Traffic,
    /// The proxy user name; empty where the address was enough.
    pub username: String,
    /// The client's address.
    pub client: SocketAddr,
    /// `host:port` asked for; `0.0.0.0:0` for UDP associations, which send to many.
    pub target: String,
    /// `connect`, `socks4`, `socks5`, `socks5-udp` or `http`.
    pub protocol: &'static str,
    /// When it was admitted.
    pub since: Time,
}

/// A live connection, to be shown.
#[derive(Clone, Debug)]
pub struct ConnectionView {
    /// Its id.
    pub id: ConnectionId,
    /// What was known when it was admitted.
    pub info: ConnectionInfo,
    /// The exit it leaves through; `None` until one is reached, and for static proxies.
    pub exit: Option<ExitId>,
    /// Payload bytes from the client so far.
    pub bytes_up: u64,
    /// Payload bytes to the client so far.
    pub bytes_down: u64,
}

/// When nothing expires.
const NEVER: i64 = i64::MAX;

/// All live connections of a gateway.
pub(crate) struct Live {
    entries: Mutex<HashMap<ConnectionId, Arc<Entry>>>,
    last_id: AtomicI64,
    /// The newest directory: at least as new as the one that a caller was just identified in.
    directory: watch::Receiver<Arc<Directory>>,
    clock: Arc<dyn Clock>,
    /// How long a connection may live, in microseconds; [`NEVER`] = as long as it likes.
    longest: AtomicI64,
    /// No connection's right ends before this moment, in microseconds, as far as is known.
    next_expiry: AtomicI64,
}

#[derive(Debug)]
struct Entry {
    id: ConnectionId,
    info: ConnectionInfo,
    admission: Admission,
    funds: Funds,
    /// What [`Funds::join`] returned.
    joined: u64,
    exit: AtomicI64,
    moved: MovedBytes,
    is_cut: AtomicBool,
    cut: Notify,
}

/// A connection that is among the live ones until this is dropped.
pub(crate) struct LiveConnection {
    live: Arc<Live>,
    entry: Arc<Entry>,
}

impl Live {
    /// No connection is live yet.
    pub(crate) fn new(directory: watch::Receiver<Arc<Directory>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            entries: Mutex::default(),
            last_id: AtomicI64::new(0),
            directory,
            clock,
            longest: AtomicI64::new(NEVER),
            next_expiry: AtomicI64::new(NEVER),
        }
    }

    /// How long connections may live from now on; zero = as long as they like. Those that live are
    /// held to it at the next [`recheck`](Self::recheck).
    pub(crate) fn set_longest(&self, longest: Duration) {
        let micros = i64::try_from(longest.as_micros()).unwrap_or(NEVER);
        self.longest.store(if micros == 0 { NEVER } else { micros }, Ordering::SeqCst);
    }

    /// Enters a connection. Where the right to it was lost since the caller was identified, it is
    /// cut at once.
    pub(crate) fn enter(
        self: &Arc<Self>,
        info: ConnectionInfo,
        funds: Funds,
        admission: Admission,
        stats: Arc<Stats>,
    ) -> LiveConnection {
        let id = ConnectionId::new(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let entry = Arc::new(Entry {
            id,
            info,
            admission,
            joined: funds.join(),
            funds,
            exit: AtomicI64::new(0),
            moved: MovedBytes::new(stats),
            is_cut: AtomicBool::new(false),
            cut: Notify::new(),
        });
        self.entries().insert(id, entry.clone());
        // Looked at after the entry is in: either a new directory's sweep finds the entry, or the
        // directory is found here.
        let newest = self.directory.borrow().clone();
        self.hold_against(&newest, &entry);
        LiveConnection { live: self.clone(), entry }
    }

    /// Every live connection, by id.
    pub(crate) fn list(&self) -> Vec<ConnectionView> {
        let mut views: Vec<_> = self.all().iter().map(|entry| entry.view()).collect();
        views.sort_by_key(|view| view.id);
        views
    }

    /// Returns the number of live connections.
    pub(crate) fn count(&self) -> usize {
        self.entries().len()
    }

    /// Ends the connection with this id. Returns whether there was one.
    pub(crate) fn close(&self, id: ConnectionId) -> bool {
        let entry = self.entries().get(&id).cloned();
        entry.map(|entry| entry.cut()).is_some()
    }

    /// Ends all connections.
    pub(crate) fn cut_all(&self) {
        self.all().iter().for_each(|entry| {
            entry.cut();
        });
    }

    /// Holds every connection against the newest directory, and cuts those that have lost their
    /// right.
    pub(crate) fn recheck(&self) {
        // Before the entries are looked at: whoever enters later says himself when his right ends.
        self.next_expiry.store(NEVER, Ordering::SeqCst);
        let entries = self.all();
        // Looked at after the entries: nobody is held against a directory older than his login.
        let newest = self.directory.borrow().clone();
        entries.iter().for_each(|entry| self.hold_against(&newest, entry));
    }

    /// Whether a right may have ended by itself since connections were looked at.
    pub(crate) fn has_expired(&self) -> bool {
        self.clock.now().micros() >= self.next_expiry.load(Ordering::SeqCst)
    }

    fn hold_against(&self, newest: &Directory, entry: &Entry) {
        let (info, peer, now) = (&entry.info, entry.info.client.ip(), self.clock.now());
        let too_long = info.since.micros().saturating_add(self.longest.load(Ordering::SeqCst));
        self.next_expiry.fetch_min(too_long, Ordering::SeqCst);
        if now.micros() >= too_long && entry.cut() {
            entry.moved.stats.overtime.fetch_add(1, Ordering::Relaxed);
        }
        match still_admitted(newest, info.account, &entry.admission, peer, now) {
            Right::Lost => {
                entry.cut();
            }
            Right::Kept => {}
            Right::Until(end) => {
                self.next_expiry.fetch_min(end.micros(), Ordering::SeqCst);
            }
        }
    }

    fn all(&self) -> Vec<Arc<Entry>> {
        self.entries().values().cloned().collect()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Answers whether it was not cut before.
    fn cut(&self) -> bool {
        let is_first = !self.is_cut.swap(true, Ordering::SeqCst);
        if is_first {
            self.moved.stats.cuts.fetch_add(1, Ordering::Relaxed);
            self.cut.notify_waiters();
        }
        is_first
    }

    fn view(&self) -> ConnectionView {
        let exit = self.exit.load(Ordering::Relaxed);
        ConnectionView {
            id: self.id,
            info: self.info.clone(),
            exit: (exit != 0).then(|| ExitId::new(exit)),
            bytes_up: self.moved.up(),
            bytes_down: self.moved.down(),
        }
    }
}

impl LiveConnection {
    /// Its id.
    #[cfg(test)]
    pub(crate) fn id(&self) -> ConnectionId {
        self.entry.id
    }

    /// Counts the bytes that it moves.
    pub(crate) fn moved(&self) -> &MovedBytes {
        &self.entry.moved
    }

    /// It leaves through this exit.
    pub(crate) fn set_exit(&self, exit: ExitId) {
        self.entry.exit.store(exit.get(), Ordering::Relaxed);
    }

    /// Resolves when the connection must end: its right or its funds are lost, or the operator or
    /// the drain ends it. May be waited for any number of times, before and after.
    pub(crate) async fn cut(&self) {
        let cut = self.entry.cut.notified();
        tokio::pin!(cut);
        cut.as_mut().enable();
        if self.entry.is_cut.load(Ordering::SeqCst) {
            return;
        }
        tokio::select! {
            () = cut => {}
            () = self.entry.funds.cut_after(self.entry.joined) => {
                self.entry.cut();
            }
        }
    }
}

impl Drop for LiveConnection {
    fn drop(&mut self) {
        self.live.entries().remove(&self.entry.id);
        self.entry.funds.leave();
    }
}
