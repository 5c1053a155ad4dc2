//! The door of this room: a handle that runs closures in transactions on database threads.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tollgate_types::Time;

use crate::job::{Ask, Job};
use crate::url::Form;
use crate::{DbUrl, Error, Expected, Tx, postgres, sqlite};

/// How a database is opened. Every bound of this room is here.
#[derive(Clone, Debug)]
pub struct Options {
    /// Now: when migrations made at this opening are said to have been made.
    pub now: Time,
    /// SQLite: threads that read. Writing is done by one.
    pub readers: usize,
    /// PostgreSQL: threads, each with a connection of its own that reads and writes.
    pub workers: usize,
    /// Closures that may wait for a thread. Whoever comes when this many wait, waits to wait.
    pub queue: usize,
    /// How long a caller waits for a place in the queue, and how long a closure waits for a
    /// connection, before [`Error::Unavailable`].
    pub patience: Duration,
    /// PostgreSQL: the longest a statement may take. SQLite: how long a lock held by another
    /// program (a backup, a shell) is waited for.
    pub statement_timeout: Duration,
    /// PostgreSQL: the longest a row lock is waited for, each time.
    pub lock_timeout: Duration,
    /// What the database held before. One that holds less is refused, and left as it is.
    pub expected: Expected,
    /// Whether a database that holds less than expected is used all the same. That it was is written
    /// down in it.
    pub accept_loss: bool,
}

impl Options {
    /// The defaults.
    pub const fn new(now: Time) -> Self {
        Self {
            now,
            readers: 4,
            workers: 8,
            queue: 1024,
            patience: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            expected: Expected::Anything,
            accept_loss: false,
        }
    }
}

/// What a database has been doing since it was opened, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reading closures that were run to their end.
    pub reads: u64,
    /// Writing closures that were run to their end, whether they changed anything or not.
    pub writes: u64,
    /// Commits. On SQLite, the closures of one group share one.
    pub groups: u64,
    /// Closures that were run again: locks, serialization failures, lost connections, lost groups.
    pub retries: u64,
    /// Closures that wait for a thread just now.
    pub queued: usize,
    /// Writing closures that could not be committed because nothing can be written.
    pub write_failures: u64,
    /// Whether the last attempt to write failed because nothing can be written.
    pub unwritable: bool,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    groups: AtomicU64,
    retries: AtomicU64,
    write_failures: AtomicU64,
    unwritable: AtomicBool,
    /// Asks SQLite's writer to empty the write-ahead log into the database.
    checkpoint: AtomicBool,
}

impl Counters {
    pub(crate) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, closures: u64) {
        self.writes.fetch_add(closures, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing can be written. The log says so once.
    pub(crate) fn cannot_write(&self, error: &Error) {
        self.write_failures.fetch_add(1, Ordering::Relaxed);
        if !self.unwritable.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "nothing can be written to the database; calls that write are refused");
        }
    }

    /// Something was written. The log says so where it could not be before.
    pub(crate) fn can_write(&self) {
        if self.is_unwritable() && self.unwritable.swap(false, Ordering::Relaxed) {
            tracing::info!("the database can be written again");
        }
    }

    /// Whether the last attempt to write failed because nothing can be written.
    pub(crate) fn is_unwritable(&self) -> bool {
        self.unwritable.load(Ordering::Relaxed)
    }

    /// Whether a checkpoint was asked for, once for each time.
    pub(crate) fn take_checkpoint(&self) -> bool {
        self.checkpoint.load(Ordering::Relaxed) && self.checkpoint.swap(false, Ordering::Relaxed)
    }
}

/// A job and what is to be done with it.
pub(crate) struct Order {
    pub(crate) access: Access,
    pub(crate) job: Box<dyn Job>,
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// The receiving end of a queue, shared by the threads that serve it.
pub(crate) type Orders = Arc<Mutex<mpsc::Receiver<Order>>>;

/// Waits for the next order; `None` once the database is being closed and the queue is empty.
pub(crate) fn next_order(orders: &Orders) -> Option<Order> {
    // One idle thread waits inside of the lock, the others for the lock.
    orders.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

/// A database.
///
/// Clones are handles to the same one. Closures run on threads of the database, one transaction
/// each, to their end: an asker that goes away half-way changes nothing. When the last handle is
/// dropped the threads finish what is queued and end; [`Db::close`] waits for that.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

struct Shared {
    engine: &'static str,
    patience: Duration,
    counters: Arc<Counters>,
    /// `None` once closed.
    queues: RwLock<Option<Queues>>,
    /// Ends when the last thread has ended.
    ended: tokio::sync::Mutex<mpsc::Receiver<Infallible>>,
}

/// Where closures wait. PostgreSQL's workers do both from one queue.
#[derive(Clone)]
pub(crate) struct Queues {
    pub(crate) reads: mpsc::Sender<Order>,
    pub(crate) writes: mpsc::Sender<Order>,
}

/// Starts the threads of a database and lets [`Db::close`] know when they have ended.
#[derive(Clone)]
pub(crate) struct Crew {
    ended: mpsc::Sender<Infallible>,
}

impl Crew {
    pub(crate) fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let ended = self.ended.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            work();
            drop(ended);
        });
        thread.map(drop).map_err(|e| Error::Unavailable(format!("a thread cannot be started: {e}")))
    }
}

impl Db {
    /// Opens a database: locks it (SQLite), connects, and brings its schema up to date. Blocks
    /// meanwhile, at most for [`Options::patience`] where the server cannot be reached.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Lost`], [`Error::Migration`], or [`Error::Unavailable`] where the
    /// file cannot be opened or the server not be reached.
    pub fn open(url: &DbUrl, options: Options) -> Result<Self, Error> {
        let counters = Arc::new(Counters::default());
        let (ended, all_ended) = mpsc::channel(1);
        let crew = Crew { ended };
        let patience = options.patience;
        let queues = on_plain_thread(|| match url.form() {
            Form::Sqlite(path) => sqlite::open(path, &options, &counters, &crew),
            Form::Postgres(config) => postgres::open(config, &options, &counters, &crew),
        })?;
        let shared = Shared {
            engine: url.engine(),
            patience,
            counters,
            queues: RwLock::new(Some(queues)),
            ended: tokio::sync::Mutex::new(all_ended),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Runs a closure in a transaction that sees one state of the database and cannot change it.
    ///
    /// The closure may be run more than once. What it returns is handed out.
    ///
    /// # Errors
    /// What the closure returns; the failure of a statement it ignored; [`Error::Unavailable`];
    /// [`Error::Unexpected`] where it panicked.
    pub async fn read<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.ask(Access::Read, closure).await
    }

    /// Runs a closure in a transaction and commits it, durably, before its value is handed out.
    /// An `Err` rolls back.
    ///
    /// The closure may be run more than once: after serialization failures, lock timeouts and lost
    /// connections, never after a commit whose outcome is unknown. Until it is accepted into the
    /// queue, dropping the future withdraws it; from then on it is run whatever happens to the
    /// future.
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn write<T, E, F>(&self, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.ask(Access::Write, closure).await
    }

    /// The name of the engine: `sqlite` or `postgres`.
    pub fn engine(&self) -> &'static str {
        self.shared.engine
    }

    /// What it has been doing since it was opened.
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        Stats {
            reads: counters.reads.load(Ordering::Relaxed),
            writes: counters.writes.load(Ordering::Relaxed),
            groups: counters.groups.load(Ordering::Relaxed),
            retries: counters.retries.load(Ordering::Relaxed),
            queued: self.queues().map_or(0, |queues| queues.len()),
            write_failures: counters.write_failures.load(Ordering::Relaxed),
            unwritable: counters.is_unwritable(),
        }
    }

    /// Has SQLite's write-ahead log emptied into the database, as far as readers let it be; nothing on
    /// PostgreSQL, which does so by itself. Returns before it is done: whoever writes next waits for it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the writer cannot be reached.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        if self.shared.engine != "sqlite" {
            return Ok(());
        }
        self.shared.counters.checkpoint.store(true, Ordering::Relaxed);
        // The writer looks after each group; this one makes sure that there is one.
        self.write(|_| Ok(())).await
    }

    /// Takes no more closures, lets those that wait be run, and returns when the last connection is
    /// closed and the file's lock released. Later closures are answered [`Error::Unavailable`].
    pub async fn close(&self) {
        drop(self.shared.queues.write().unwrap_or_else(PoisonError::into_inner).take());
        // Nothing is ever sent: the channel ends with the threads that hold its other end.
        let _ = self.shared.ended.lock().await.recv().await;
    }

    async fn ask<T, E, F>(&self, access: Access, closure: F) -> Result<T, E>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let place = self.place(access).await?;
        place.send(Order { access, job: Box::new(Ask::new(closure, reply)) });
        // The queue is not held open by those who wait for their answers.
        answer.await.unwrap_or_else(|_| Err(E::from(unknown_outcome("the database thread ended"))))
    }

    async fn place(&self, access: Access) -> Result<mpsc::OwnedPermit<Order>, Error> {
        let closed = || Error::Unavailable("the database is closed".to_owned());
        let queues = self.queues().ok_or_else(closed)?;
        let queue = match access {
            Access::Read => queues.reads,
            Access::Write => queues.writes,
        };
        let full = match queue.try_reserve_owned() {
            Ok(place) => return Ok(place),
            Err(TrySendError::Closed(_)) => return Err(closed()),
            Err(TrySendError::Full(queue)) => queue,
        };
        match tokio::time::timeout(self.shared.patience, full.reserve_owned()).await {
            Ok(place) => place.map_err(|_| closed()),
            Err(_) => Err(Error::Unavailable("too many transactions are waiting".to_owned())),
        }
    }

    fn queues(&self) -> Option<Queues> {
        self.shared.queues.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("engine", &self.shared.engine).field("stats", &self.stats()).finish()
    }
}

impl Queues {
    fn len(&self) -> usize {
        let waiting = |queue: &mpsc::Sender<Order>| queue.max_capacity() - queue.capacity();
        let reads = waiting(&self.reads);
        if self.reads.same_channel(&self.writes) { reads } else { reads + waiting(&self.writes) }
    }
}

pub(crate) fn unknown_outcome(why: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!("outcome unknown: {why}"))
}

/// Runs something on a thread of its own and waits for it: PostgreSQL's blocking client refuses to
/// work on a thread that drives async tasks.
fn on_plain_thread<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let opening = thread::Builder::new().name("store-open".to_owned()).spawn_scoped(scope, work);
        match opening.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(Error::Unexpected("opening the database panicked".to_owned())),
            Err(e) => Err(Error::Unavailable(format!("a thread cannot be started: {e}"))),
        }
    })
}
