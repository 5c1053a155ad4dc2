//! A transaction, as the nouns of this room see it.

use crate::error::Failure;
use crate::postgres::Session;
use crate::{Error, Row, Sql, Value, sqlite};

/// An open transaction, in the hands of a closure given to [`Db::read`](crate::Db::read) or
/// [`Db::write`](crate::Db::write).
///
/// **A statement that fails ends the transaction**, on both engines: every later statement answers
/// with the same error, and nothing is committed even if the closure returns `Ok`. (PostgreSQL
/// works like this; SQLite is held to it, so that a test on one engine speaks for the other.)
/// To go on after a conflict, say so in the statement: `ON CONFLICT DO NOTHING`.
pub struct Tx<'c> {
    engine: Engine<'c>,
    failure: Option<Failure>,
}

pub(crate) enum Engine<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(&'c mut Session),
}

/// What is done with each row of an answer.
pub(crate) type EachRow<'e> = &'e mut dyn FnMut(&Row<'_>) -> Result<(), Error>;

/// What a script's errors are filed under.
const SCRIPT: Sql = Sql::new("script", "");

impl<'c> Tx<'c> {
    pub(crate) const fn new(engine: Engine<'c>) -> Self {
        Self { engine, failure: None }
    }

    pub(crate) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Runs a statement that answers with no rows, and says how many rows it changed.
    ///
    /// # Errors
    /// Whatever the engine says against it, as an [`Error`].
    pub fn execute(&mut self, sql: Sql, params: &[Value<'_>]) -> Result<u64, Error> {
        self.attempt(sql, params, |engine| match engine {
            Engine::Sqlite(connection) => sqlite::execute(connection, sql, params),
            Engine::Postgres(session) => session.execute(sql, params),
        })
    }

    /// Runs an INSERT that ends in `RETURNING id`, and hands the id out.
    ///
    /// # Errors
    /// As [`Tx::execute`]; [`Error::NoRow`] where `ON CONFLICT DO NOTHING` inserted nothing.
    pub fn insert(&mut self, sql: Sql, params: &[Value<'_>]) -> Result<i64, Error> {
        self.one(sql, params, |row| row.i64(0))
    }

    /// The one row of an answer, or `None`. More than one is an error.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn opt<T>(
        &mut self,
        sql: Sql,
        params: &[Value<'_>],
        mut map: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut found = None;
        self.each(sql, params, &mut |row| {
            if found.is_some() {
                return Err(Error::Unexpected("more than one row".to_owned()));
            }
            found = Some(map(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The one row of an answer.
    ///
    /// # Errors
    /// [`Error::NoRow`] where there is none (the transaction goes on); otherwise as [`Tx::opt`].
    pub fn one<T>(
        &mut self,
        sql: Sql,
        params: &[Value<'_>],
        map: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.opt(sql, params, map)?.ok_or(Error::NoRow)
    }

    /// Every row of an answer, in its order.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn all<T>(
        &mut self,
        sql: Sql,
        params: &[Value<'_>],
        mut map: impl FnMut(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        self.each(sql, params, &mut |row| {
            rows.push(map(row)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Prepares a statement without running it: how the tests check every statement.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn prepare(&mut self, sql: Sql) -> Result<(), Error> {
        self.attempt(sql, &[], |engine| match engine {
            Engine::Sqlite(connection) => sqlite::prepare(connection, sql),
            Engine::Postgres(session) => session.prepare(sql).map(drop),
        })
    }

    /// Runs a script of several statements, as migrations are.
    pub(crate) fn batch(&mut self, script: &str) -> Result<(), Error> {
        self.attempt(SCRIPT, &[], |engine| match engine {
            Engine::Sqlite(connection) => sqlite::batch(connection, script),
            Engine::Postgres(session) => session.batch(script),
        })
    }

    fn each(&mut self, sql: Sql, params: &[Value<'_>], each: EachRow<'_>) -> Result<(), Error> {
        self.attempt(sql, params, |engine| match engine {
            Engine::Sqlite(connection) => sqlite::query(connection, sql, params, each),
            Engine::Postgres(session) => session.query(sql, params, each),
        })
    }

    fn attempt<T>(
        &mut self,
        sql: Sql,
        params: &[Value<'_>],
        statement: impl FnOnce(&mut Engine<'c>) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.error.clone());
        }
        let answer = storable(params).and_then(|()| statement(&mut self.engine));
        answer.map_err(|failure| self.failure.insert(failure.of(sql)).error.clone())
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("failure", &self.failure).finish_non_exhaustive()
    }
}

/// PostgreSQL cannot keep a NUL character in a text. SQLite could; the two are kept alike.
fn storable(params: &[Value<'_>]) -> Result<(), Failure> {
    let nul = params.iter().any(|value| matches!(value, Value::Text(text) if text.contains('\0')));
    if nul { Err(Error::Unexpected("a text holds a NUL character".to_owned()).into()) } else { Ok(()) }
}
