//! SQLite: one thread that writes, several that read, and one process per file.
//!
//! The writer shares commits. It runs the closures that wait, each in a savepoint, commits once for
//! all of them, and only then answers any: the cost of reaching the disk is divided by their number,
//! and nobody is told of what a power cut could still undo.

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc as channel};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use rustix::fs::FlockOperation;
use tokio::sync::mpsc;

use crate::db::{Counters, Crew, Options, Order, Orders, Queues, next_order};
use crate::error::{Failure, Remedy};
use crate::job::{Job, Ran};
use crate::migrate::{self, Dialect};
use crate::tx::{EachRow, Engine};
use crate::value::RowOf;
use crate::{Error, Expected, Loss, Row, Sql, Tx, Value, chain};

/// Closures that share one commit at most, which bounds how long the first of them waits.
const GROUP: usize = 64;

/// Moves all that is in the write-ahead log into the database, and leaves the log empty. Answers first
/// whether somebody kept it from doing so.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Prepared statements each connection keeps: all there are.
const STATEMENTS: usize = 512;

/// How long a statement waits for a lock. Only a tool of the operator's can hold one, for programs of
/// ours keep each other out, and whoever calls is to be told rather than kept waiting.
const LOCKED_MAX: Duration = Duration::from_secs(5);

/// The write-ahead log is cut back to this many bytes once a checkpoint has emptied it.
const JOURNAL_LIMIT: i64 = 64 << 20;

// Opening -----------------------------------------------------------------------------------------

pub(crate) fn open(
    path: &Path,
    options: &Options,
    counters: &Arc<Counters>,
    crew: &Crew,
) -> Result<Queues, Error> {
    let Alone { path, connection, lock } = open_alone(path, options)?;
    let lock = Arc::new(lock);
    let mut writer = Writer { connection, counters: counters.clone(), patience: patience(options) };

    let (reads, read_orders) = mpsc::channel(options.queue);
    let (writes, write_orders) = mpsc::channel(options.queue);
    // Nothing is ever sent: the channel ends with the last reader.
    let (reading, no_reader_left) = channel::channel::<Infallible>();
    let held = lock.clone();
    crew.start("store-writer", move || {
        writer.serve(write_orders);
        let _ = no_reader_left.recv();
        writer.checkpoint();
        drop(writer);
        drop(held);
    })?;
    let read_orders = Arc::new(Mutex::new(read_orders));
    for number in 0..options.readers.max(1) {
        let reader = Reader { connection: connect(&path, options)?, counters: counters.clone() };
        set(&reader.connection, "query_only", "ON")?;
        let (orders, held) = (read_orders.clone(), (reading.clone(), lock.clone()));
        crew.start(&format!("store-reader-{number}"), move || {
            reader.serve(&orders);
            drop(reader);
            drop(held);
        })?;
    }
    Ok(Queues { reads, writes })
}

/// A database that no other process has open.
pub(crate) struct Alone {
    /// Where it is, without symbolic links.
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    /// Released with this.
    pub(crate) lock: File,
}

/// Opens a file to write: made where it is absent, locked, its schema brought up to date. One that
/// has lost something is left as it is.
pub(crate) fn open_alone(path: &Path, options: &Options) -> Result<Alone, Error> {
    if options.expected != Expected::Anything && !options.accept_loss && !path.exists() {
        return Err(Error::Lost(Loss::Everything));
    }
    let (path, lock) = create_and_lock(path)?;
    let connection = connect(&path, options)?;
    let mut writer = Writer { connection, counters: Arc::default(), patience: patience(options) };
    let loss = chain::loss(&mut writer.tx(), &Dialect::SQLITE, options.expected)?;
    chain::refuse(loss, options)?;
    writer.prepare_file()?;
    while writer.migrate(options)? {}
    if loss.is_some() {
        chain::accept_loss(&mut writer.tx(), options.now)?;
    }
    Ok(Alone { path, connection: writer.connection, lock })
}

/// Opens a file to read what it holds, while another process may have it open and change it.
pub(crate) fn open_to_read(path: &Path, options: &Options) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(plain)?;
    connection.busy_timeout(options.statement_timeout).map_err(plain)?;
    set(&connection, "trusted_schema", "OFF")?;
    // A statement is planned once. Without this, SQLite plans it again whenever a bound value differs,
    // which is every time here and costs more than most statements themselves.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(plain)?;
    Ok(connection)
}

/// Makes the file, readable by its owner only, where it is absent, and locks a file beside it: two
/// processes that group commits and cache what they read must not share a database.
fn create_and_lock(path: &Path) -> Result<(PathBuf, File), Error> {
    open_private(path).map_err(|e| cannot_open(path, e))?;
    // Other spellings of the same path must meet at the same lock.
    let path = fs::canonicalize(path).map_err(|e| cannot_open(path, e))?;
    let mut beside = path.clone().into_os_string();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let lock = open_private(&beside).map_err(|e| cannot_open(&beside, e))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok((path, lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked(path)),
        Err(e) => Err(cannot_open(&beside, e.into())),
    }
}

fn cannot_open(path: &Path, error: io::Error) -> Error {
    Error::Unavailable(format!("{} cannot be opened: {error}", path.display()))
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// How long a statement waits for a lock.
fn patience(options: &Options) -> Duration {
    options.statement_timeout.min(LOCKED_MAX)
}

fn connect(path: &Path, options: &Options) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(plain)?;
    connection.busy_timeout(patience(options)).map_err(plain)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    set(&connection, "foreign_keys", "ON")?;
    set(&connection, "synchronous", "FULL")?;
    set(&connection, "trusted_schema", "OFF")?;
    // A statement is planned once. Without this, SQLite plans it again whenever a bound value differs,
    // which is every time here and costs more than most statements themselves.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(plain)?;
    Ok(connection)
}

pub(crate) fn set(connection: &Connection, pragma: &str, value: &str) -> Result<(), Error> {
    connection.pragma_update(None, pragma, value).map_err(plain)
}

// Writing -----------------------------------------------------------------------------------------

struct Writer {
    connection: Connection,
    counters: Arc<Counters>,
    /// How long a statement waits for a lock.
    patience: Duration,
}

/// A closure that has been run in the open group, or still is to be.
type Member = Box<dyn Job>;

/// The whole group is gone: SQLite rolls everything back by itself when the disk is full or fails,
/// and a commit can fail.
struct GroupLost(Error);

impl Writer {
    /// What belongs to the file rather than to a connection.
    fn prepare_file(&self) -> Result<(), Error> {
        set(&self.connection, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "journal_size_limit", JOURNAL_LIMIT).map_err(plain)
    }

    fn migrate(&mut self, options: &Options) -> Result<bool, Error> {
        self.run("BEGIN IMMEDIATE")?;
        let applied = migrate::step(&mut self.tx(), &Dialect::SQLITE, options.now);
        match applied {
            Ok(_) => self.run("COMMIT")?,
            Err(_) => self.undo(),
        }
        applied
    }

    fn serve(&mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(first) = orders.blocking_recv() {
            let mut members = Vec::new();
            let mut next = Some(first.job);
            let outcome = self.group(&mut members, || {
                next.take().or_else(|| orders.try_recv().ok().map(|order| order.job))
            });
            self.conclude(members, outcome);
            if self.counters.take_checkpoint() {
                self.checkpoint();
            }
        }
    }

    /// Empties the write-ahead log into the database, without waiting for whoever reads: what a reader
    /// keeps from being moved is moved the next time.
    fn checkpoint(&self) {
        let patience = |patience| self.connection.busy_timeout(patience);
        let emptied = patience(Duration::ZERO)
            .and_then(|()| self.connection.query_row(CHECKPOINT, [], |row| row.get::<_, bool>(0)));
        let restored = patience(self.patience);
        match emptied.and_then(|busy| restored.map(|()| busy)) {
            Ok(false) => {}
            Ok(true) => tracing::debug!("the write-ahead log could not be emptied: somebody reads"),
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be emptied into the database")
            }
        }
    }

    /// Runs closures in one transaction until none waits or the group is full, and commits. What
    /// was taken ends up in `members`, whatever happens.
    fn group(
        &self,
        members: &mut Vec<Member>,
        mut next: impl FnMut() -> Option<Member>,
    ) -> Result<(), GroupLost> {
        // The first is taken before anything can fail, so that there is somebody to tell.
        let mut member = next();
        let begun = self.run("BEGIN IMMEDIATE");
        if let Err(error) = begun {
            members.extend(member);
            return Err(GroupLost(error));
        }
        let changes = self.connection.total_changes();
        while let Some(mut job) = member {
            let ran = self.in_savepoint(job.as_mut());
            members.push(job);
            ran?;
            member = if members.len() < GROUP { next() } else { None };
        }
        self.run("COMMIT").map_err(GroupLost)?;
        // What changes nothing is committed on a full disk, too.
        if self.connection.total_changes() != changes {
            self.counters.can_write();
        }
        Ok(())
    }

    /// Runs one closure; what it did is kept or undone without touching the others.
    fn in_savepoint(&self, job: &mut dyn Job) -> Result<(), GroupLost> {
        self.run("SAVEPOINT member").map_err(GroupLost)?;
        let ran = job.run(&mut self.tx());
        if self.connection.is_autocommit() {
            let error = match ran {
                Ran::Failed(failure) => failure.error,
                Ran::Commit | Ran::RollBack => {
                    Error::Unwritable("SQLite gave the transaction up (disk full or failing?)".to_owned())
                }
            };
            return Err(GroupLost(error));
        }
        match ran {
            Ran::Commit => {}
            Ran::RollBack => self.run("ROLLBACK TO member").map_err(GroupLost)?,
            // Nobody else writes here, so a lock means another program: all have to wait for it.
            Ran::Failed(failure) => return Err(GroupLost(failure.error)),
        }
        self.run("RELEASE member").map_err(GroupLost)
    }

    /// Answers the members of a committed group. Those of a lost group are run again, each alone,
    /// so that one that cannot be committed takes no other with it.
    fn conclude(&self, members: Vec<Member>, outcome: Result<(), GroupLost>) {
        match outcome {
            Ok(()) => {
                self.counters.wrote(members.len() as u64);
                members.into_iter().for_each(Job::answer);
            }
            Err(GroupLost(error)) => {
                self.undo();
                if !self.counters.is_unwritable() {
                    tracing::warn!(%error, members = members.len(), "a group of transactions was rolled back");
                }
                for job in members {
                    self.alone(job);
                }
            }
        }
    }

    fn alone(&self, job: Member) {
        self.counters.retried();
        let mut member = Vec::new();
        let mut only = Some(job);
        let outcome = self.group(&mut member, || only.take());
        match outcome {
            Ok(()) => {
                self.counters.wrote(1);
                member.into_iter().for_each(Job::answer);
            }
            Err(GroupLost(error)) => {
                self.undo();
                if matches!(error, Error::Unwritable(_) | Error::Unavailable(_)) {
                    self.counters.cannot_write(&error);
                }
                member.into_iter().for_each(|job| job.fail(error.clone()));
            }
        }
    }

    /// Leaves no transaction open.
    fn undo(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.run("ROLLBACK")
        {
            tracing::error!(%error, "SQLite would not roll back");
        }
    }

    fn run(&self, statement: &'static str) -> Result<(), Error> {
        run(&self.connection, statement)
    }

    const fn tx(&self) -> Tx<'_> {
        Tx::new(Engine::Sqlite(&self.connection))
    }
}

// Reading -----------------------------------------------------------------------------------------

struct Reader {
    connection: Connection,
    counters: Arc<Counters>,
}

impl Reader {
    fn serve(&self, orders: &Orders) {
        while let Some(Order { mut job, .. }) = next_order(orders) {
            match self.once(job.as_mut()) {
                Ok(()) => {
                    self.counters.read();
                    job.answer();
                }
                Err(error) => job.fail(error),
            }
        }
    }

    /// One transaction: all its statements see the same state. There is nothing to commit.
    fn once(&self, job: &mut dyn Job) -> Result<(), Error> {
        run(&self.connection, "BEGIN")?;
        let ran = job.run(&mut Tx::new(Engine::Sqlite(&self.connection)));
        if !self.connection.is_autocommit() {
            run(&self.connection, "ROLLBACK")?;
        }
        match ran {
            Ran::Commit | Ran::RollBack => Ok(()),
            Ran::Failed(failure) => Err(failure.error),
        }
    }
}

// Statements --------------------------------------------------------------------------------------

pub(crate) fn execute(connection: &Connection, sql: Sql, params: &[Value<'_>]) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(&sql.for_sqlite()).map_err(classify)?;
    let changed = statement.execute(rusqlite::params_from_iter(params)).map_err(classify)?;
    Ok(changed as u64)
}

/// Runs a statement and shows each row of its answer. Always to the last row, so that a statement
/// that changes rows and returns them is never left half-run.
pub(crate) fn query(
    connection: &Connection,
    sql: Sql,
    params: &[Value<'_>],
    each: EachRow<'_>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(&sql.for_sqlite()).map_err(classify)?;
    let mut rows = statement.query(rusqlite::params_from_iter(params)).map_err(classify)?;
    while let Some(row) = rows.next().map_err(classify)? {
        each(&Row(RowOf::Sqlite(row)))?;
    }
    Ok(())
}

pub(crate) fn prepare(connection: &Connection, sql: Sql) -> Result<(), Failure> {
    connection.prepare_cached(&sql.for_sqlite()).map(drop).map_err(classify)
}

pub(crate) fn batch(connection: &Connection, script: &str) -> Result<(), Failure> {
    connection.execute_batch(script).map_err(classify)
}

pub(crate) fn run(connection: &Connection, statement: &str) -> Result<(), Error> {
    connection.prepare_cached(statement).and_then(|mut s| s.execute([])).map(drop).map_err(plain)
}

// Errors ------------------------------------------------------------------------------------------

pub(crate) fn plain(error: rusqlite::Error) -> Error {
    classify(error).error
}

fn classify(error: rusqlite::Error) -> Failure {
    let rusqlite::Error::SqliteFailure(cause, text) = &error else {
        return Error::Unexpected(error.to_string()).into();
    };
    let text = text.clone().unwrap_or_else(|| cause.to_string());
    match cause.code {
        ErrorCode::ConstraintViolation => constraint(cause.extended_code).into(),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy.into(),
        // These may have rolled the whole transaction back; `is_autocommit` tells.
        ErrorCode::DiskFull => Failure { error: Error::Unwritable(text), remedy: Remedy::Rerun },
        ErrorCode::SystemIoFailure
        | ErrorCode::OutOfMemory
        | ErrorCode::CannotOpen
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::PermissionDenied => Failure { error: Error::Unavailable(text), remedy: Remedy::Rerun },
        _ => Error::Unexpected(text).into(),
    }
}

const fn constraint(extended_code: i32) -> Error {
    match extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            Error::UniqueViolation
        }
        _ => Error::CheckViolation,
    }
}
