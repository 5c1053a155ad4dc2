//! PostgreSQL: worker threads, each with a connection of its own.
//!
//! A write runs in READ COMMITTED, with row locks where it says `{for_update}`; a read sees one
//! snapshot. Serialization failures, deadlocks and lock timeouts are run again, and so is whatever
//! was under way when a connection broke, unless it broke during COMMIT: what became of that
//! nobody here can know, and the caller is told so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use postgres::error::{DbError, Severity, SqlState};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Statement};
use tokio::sync::mpsc;

use crate::db::{Access, Counters, Crew, Options, Order, Orders, Queues, next_order, unknown_outcome};
use crate::error::{Failure, Remedy};
use crate::job::{Job, Ran};
use crate::migrate::{self, Dialect};
use crate::sql::SqlKey;
use crate::tx::{EachRow, Engine};
use crate::value::RowOf;
use crate::{Error, Row, Sql, Tx, Value, chain};

/// How often a closure is run at most.
const ATTEMPTS: u32 = 10;

/// The first pause before a closure is run again; doubles with each attempt, up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The pauses between attempts to connect grow from and to this.
const FIRST_RECONNECT: Duration = Duration::from_millis(50);
const LONGEST_RECONNECT: Duration = Duration::from_secs(2);

/// How long a server that does not acknowledge is believed to be there (over TCP).
const SILENCE: Duration = Duration::from_secs(20);

/// How long another process's migrations are waited for.
const MIGRATION_WAIT: Duration = Duration::from_secs(120);

/// The advisory lock of whoever migrates ("tollgate" in ASCII).
const MIGRATION_LOCK: i64 = 0x746f_6c6c_6761_7465;

// Opening -----------------------------------------------------------------------------------------

pub(crate) fn open(
    config: &Config,
    options: &Options,
    counters: &Arc<Counters>,
    crew: &Crew,
) -> Result<Queues, Error> {
    let config = with_defaults(config, options);
    let mut first = Connector::new(config.clone(), Timeouts::migrating());
    let session = first.session(Instant::now() + options.patience)?;
    session.bring_up_to_date(options)?;
    drop(first);

    let (sender, orders) = mpsc::channel(options.queue);
    let orders = Arc::new(Mutex::new(orders));
    for number in 0..options.workers.max(1) {
        let mut worker = Worker {
            number,
            connector: Connector::new(config.clone(), Timeouts::of(options)),
            patience: options.patience,
            counters: counters.clone(),
        };
        let orders = orders.clone();
        crew.start(&format!("store-worker-{number}"), move || worker.serve(&orders))?;
    }
    Ok(Queues { reads: sender.clone(), writes: sender })
}

/// Opens one session for a copy, which may take as long as it needs. Where it is to be written, the
/// schema is brought up to date first.
pub(crate) fn open_for_copy(config: &Config, options: &Options, migrate: bool) -> Result<Session, Error> {
    let mut connector = Connector::new(with_defaults(config, options), Timeouts::migrating());
    let session = connector.session(Instant::now() + options.patience)?;
    if migrate {
        session.bring_up_to_date(options)?;
    }
    connector.session.take().ok_or(connector.last_error)
}

/// What the address leaves open is chosen so that no thread waits for ever.
fn with_defaults(config: &Config, options: &Options) -> Config {
    let mut config = config.clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.patience);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
    if config.get_application_name().is_none() {
        config.application_name("tollgate");
    }
    config
}

/// The limits a session asks the server to keep.
#[derive(Clone, Copy)]
struct Timeouts {
    statement: Duration,
    lock: Duration,
    idle_in_transaction: Duration,
}

impl Timeouts {
    const fn of(options: &Options) -> Self {
        let statement = options.statement_timeout;
        Self { statement, lock: options.lock_timeout, idle_in_transaction: statement }
    }

    /// A migration may take as long as it needs, once it is its turn.
    const fn migrating() -> Self {
        Self { statement: Duration::ZERO, lock: MIGRATION_WAIT, idle_in_transaction: Duration::ZERO }
    }

    fn script(self) -> String {
        format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            self.statement.as_millis(),
            self.lock.as_millis(),
            self.idle_in_transaction.as_millis()
        )
    }
}

// Connecting --------------------------------------------------------------------------------------

/// Holds a session, and makes a new one when it is gone, with pauses that grow.
struct Connector {
    config: Config,
    timeouts: Timeouts,
    session: Option<Session>,
    pause: Duration,
    not_before: Option<Instant>,
    last_error: Error,
}

impl Connector {
    fn new(config: Config, timeouts: Timeouts) -> Self {
        Self {
            config,
            timeouts,
            session: None,
            pause: FIRST_RECONNECT,
            not_before: None,
            last_error: Error::Unavailable("not connected".to_owned()),
        }
    }

    /// The session, made anew where there is none. Gives up at the deadline, but not without
    /// having tried, unless it has tried just now: callers of a database that is down are many,
    /// and each is to be told soon.
    fn session(&mut self, deadline: Instant) -> Result<&mut Session, Error> {
        if self.session.as_ref().is_some_and(|session| session.client.is_closed()) {
            self.session = None;
        }
        while self.session.is_none() {
            self.pause_until_due(deadline)?;
            match Session::connect(&self.config, self.timeouts) {
                Ok(session) => self.connected(session),
                Err(failure) => self.refused(failure.error),
            }
        }
        self.session.as_mut().ok_or_else(|| self.last_error.clone())
    }

    fn forget(&mut self) {
        self.session = None;
    }

    fn pause_until_due(&self, deadline: Instant) -> Result<(), Error> {
        let now = Instant::now();
        let wait = self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if !wait.is_zero() && now + wait > deadline {
            return Err(self.last_error.clone());
        }
        thread::sleep(wait);
        Ok(())
    }

    fn connected(&mut self, session: Session) {
        self.session = Some(session);
        self.pause = FIRST_RECONNECT;
        self.not_before = None;
    }

    fn refused(&mut self, error: Error) {
        tracing::warn!(%error, "PostgreSQL cannot be reached");
        self.last_error = Error::Unavailable(format!("PostgreSQL cannot be reached: {error}"));
        self.not_before = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_RECONNECT);
    }
}

// Working -----------------------------------------------------------------------------------------

struct Worker {
    number: usize,
    connector: Connector,
    patience: Duration,
    counters: Arc<Counters>,
}

/// How one attempt at a transaction ended.
enum Attempt {
    /// The closure has its answer, and what it did is committed or undone.
    Done,
    /// It is undone, or nobody knows: no further attempt.
    Failed(Error),
    /// It is undone for certain, and may be tried again.
    Undone(Failure),
}

impl Worker {
    fn serve(&mut self, orders: &Orders) {
        while let Some(Order { access, mut job }) = next_order(orders) {
            match self.attempts(access, job.as_mut()) {
                Ok(()) => {
                    match access {
                        Access::Read => self.counters.read(),
                        Access::Write => self.wrote(),
                    }
                    job.answer();
                }
                Err(error) => {
                    if access == Access::Write && matches!(error, Error::Unwritable(_)) {
                        self.counters.cannot_write(&error);
                    }
                    job.fail(error);
                }
            }
        }
    }

    fn wrote(&self) {
        self.counters.wrote(1);
        // What changes nothing is committed on a full disk, too.
        if self.connector.session.as_ref().is_some_and(|session| session.changed) {
            self.counters.can_write();
        }
    }

    fn attempts(&mut self, access: Access, job: &mut dyn Job) -> Result<(), Error> {
        let deadline = Instant::now() + self.patience;
        let mut attempt = 1;
        loop {
            let session = self.connector.session(deadline)?;
            let failure = match session.transaction(access, job) {
                Attempt::Done => return Ok(()),
                Attempt::Failed(error) => {
                    self.connector.forget();
                    return Err(error);
                }
                Attempt::Undone(failure) => failure,
            };
            if failure.remedy == Remedy::Reconnect {
                self.connector.forget();
            }
            if failure.remedy == Remedy::Nothing || attempt == ATTEMPTS {
                return Err(failure.error);
            }
            tracing::debug!(error = %failure.error, attempt, "running a transaction again");
            self.counters.retried();
            thread::sleep(self.pause(attempt));
            attempt += 1;
        }
    }

    /// Longer with each attempt, and different for each worker, so that two that met do not meet
    /// again.
    fn pause(&self, attempt: u32) -> Duration {
        let step = FIRST_PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE);
        let share = u32::try_from(self.number % 8).unwrap_or(0) + 1;
        step / 2 + step * share / 16
    }
}

// A session ---------------------------------------------------------------------------------------

/// A connection and the statements prepared on it.
pub(crate) struct Session {
    client: Client,
    statements: HashMap<SqlKey, Statement>,
    /// Whether a statement of the last transaction changed a row.
    changed: bool,
}

impl Session {
    fn connect(config: &Config, timeouts: Timeouts) -> Result<Self, Failure> {
        let client = config.connect(NoTls).map_err(|e| classify(&e))?;
        let mut session = Self { client, statements: HashMap::new(), changed: false };
        session.batch(&timeouts.script())?;
        Ok(session)
    }

    /// Brings the schema up to date. A database that has lost something is left as it is.
    fn bring_up_to_date(&mut self, options: &Options) -> Result<(), Error> {
        let loss = chain::loss(&mut Tx::new(Engine::Postgres(self)), &Dialect::POSTGRES, options.expected)?;
        chain::refuse(loss, options)?;
        while self.migrate(options)? {}
        if loss.is_some() {
            chain::accept_loss(&mut Tx::new(Engine::Postgres(self)), options.now)?;
        }
        Ok(())
    }

    fn migrate(&mut self, options: &Options) -> Result<bool, Error> {
        self.batch("BEGIN").map_err(|failure| failure.error)?;
        let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
        let applied = self.batch(&lock).map_err(|failure| failure.error).and_then(|()| {
            migrate::step(&mut Tx::new(Engine::Postgres(self)), &Dialect::POSTGRES, options.now)
        });
        let end = if applied.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.batch(end).map_err(|failure| failure.error)?;
        applied
    }

    fn transaction(&mut self, access: Access, job: &mut dyn Job) -> Attempt {
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        if let Err(failure) = self.batch(begin) {
            return Attempt::Undone(failure);
        }
        self.changed = false;
        match job.run(&mut Tx::new(Engine::Postgres(self))) {
            Ran::Commit => self.commit(access),
            Ran::RollBack => self.roll_back(),
            Ran::Failed(failure) => {
                // Where the connection is gone, so is the transaction.
                let remedy = match self.roll_back() {
                    Attempt::Done => failure.remedy,
                    Attempt::Failed(_) | Attempt::Undone(_) => Remedy::Reconnect,
                };
                Attempt::Undone(Failure { remedy, ..failure })
            }
        }
    }

    fn commit(&mut self, access: Access) -> Attempt {
        match self.client.batch_execute("COMMIT") {
            Ok(()) => Attempt::Done,
            Err(error) if access == Access::Read || was_rolled_back(&error) => {
                Attempt::Undone(classify(&error))
            }
            Err(error) => {
                Attempt::Failed(unknown_outcome(format_args!("the connection broke during COMMIT ({error})")))
            }
        }
    }

    fn roll_back(&mut self) -> Attempt {
        match self.client.batch_execute("ROLLBACK") {
            Ok(()) => Attempt::Done,
            // A transaction whose connection is gone is rolled back by the server.
            Err(error) => Attempt::Undone(Failure { remedy: Remedy::Reconnect, ..classify(&error) }),
        }
    }

    pub(crate) fn execute(&mut self, sql: Sql, params: &[Value<'_>]) -> Result<u64, Failure> {
        let statement = self.prepare(sql)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
        let changed = self.client.execute(&statement, &params).map_err(|e| classify(&e))?;
        self.changed |= changed > 0;
        Ok(changed)
    }

    /// Runs a statement and shows each row of its answer.
    pub(crate) fn query(&mut self, sql: Sql, params: &[Value<'_>], each: EachRow<'_>) -> Result<(), Failure> {
        let statement = self.prepare(sql)?;
        let mut rows = self.client.query_raw(&statement, params).map_err(|e| classify(&e))?;
        while let Some(row) = rows.next().map_err(|e| classify(&e))? {
            each(&Row(RowOf::Postgres(&row)))?;
        }
        Ok(())
    }

    pub(crate) fn prepare(&mut self, sql: Sql) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(&sql.key()) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&sql.for_postgres()).map_err(|e| classify(&e))?;
        self.statements.insert(sql.key(), statement.clone());
        Ok(statement)
    }

    /// The connection itself, for what copies need of it.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    pub(crate) fn batch(&mut self, script: &str) -> Result<(), Failure> {
        self.client.batch_execute(script).map_err(|e| classify(&e))
    }
}

// Errors ------------------------------------------------------------------------------------------

/// Whether a failed COMMIT is known to have changed nothing: the server said so, and lives.
fn was_rolled_back(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|answer| {
        answer.parsed_severity() == Some(Severity::Error)
            && *answer.code() != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
    })
}

pub(crate) fn classify(error: &postgres::Error) -> Failure {
    if let Some(answer) = error.as_db_error() {
        return classify_answer(answer);
    }
    if is_broken_connection(error) {
        return Failure { error: Error::Unavailable(with_source(error)), remedy: Remedy::Reconnect };
    }
    Error::Unexpected(with_source(error)).into()
}

fn classify_answer(answer: &DbError) -> Failure {
    let code = answer.code();
    // The detail, which may quote values, is left out.
    let text = format!("{} ({})", answer.message(), code.code());
    let reconnect = |error| Failure { error, remedy: Remedy::Reconnect };
    match *code {
        SqlState::UNIQUE_VIOLATION => Error::UniqueViolation.into(),
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => Error::Serialization.into(),
        SqlState::LOCK_NOT_AVAILABLE => Error::Busy.into(),
        SqlState::DISK_FULL | SqlState::IO_ERROR => Error::Unwritable(text).into(),
        SqlState::QUERY_CANCELED => Error::Unavailable(text).into(),
        // Prepared statements that are gone, or no longer fit the schema.
        SqlState::INVALID_SQL_STATEMENT_NAME => reconnect(Error::Unexpected(text)),
        SqlState::FEATURE_NOT_SUPPORTED if answer.routine() == Some("RevalidateCachedQuery") => {
            reconnect(Error::Unexpected(text))
        }
        _ => match code.code().get(..2) {
            Some("23") => Error::CheckViolation.into(),
            // Connection exceptions; operator intervention (shutdown, crash of another backend).
            Some("08" | "57") => reconnect(Error::Unavailable(text)),
            // Insufficient resources: connections, disk, memory. Wrong password, no such database.
            Some("53" | "58" | "28" | "3D") => Error::Unavailable(text).into(),
            // The session was in a transaction for too long.
            Some("25") if answer.parsed_severity() == Some(Severity::Fatal) => {
                reconnect(Error::Unavailable(text))
            }
            _ => Error::Unexpected(text).into(),
        },
    }
}

fn is_broken_connection(error: &postgres::Error) -> bool {
    use std::error::Error as _;
    error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>())
}

fn with_source(error: &postgres::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
