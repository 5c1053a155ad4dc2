//! One end of a copy, on either engine.

use super::CopyError;
use super::contents::Contents;
use super::postgres::PostgresEnd;
use super::shape::{Shape, Table};
use super::sqlite::SqliteEnd;
use crate::db::Options;
use crate::migrate::{self, Migration};
use crate::url::Form;
use crate::value::Value;
use crate::{DbUrl, Error, Tx};

/// A connection, and the transaction on it.
pub(super) enum End {
    Sqlite(SqliteEnd),
    Postgres(Box<PostgresEnd>),
}

/// What is done with each row.
pub(super) type EachRow<'e> = &'e mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>;

impl End {
    /// Opens a database that may be in use.
    pub(super) fn online(url: &DbUrl, options: &Options) -> Result<Self, CopyError> {
        Ok(match url.form() {
            Form::Sqlite(path) => Self::Sqlite(SqliteEnd::online(path, options)?),
            Form::Postgres(config) => Self::Postgres(Box::new(PostgresEnd::online(config, options)?)),
        })
    }

    /// Opens a database that nobody else uses meanwhile, and brings its schema up to date.
    pub(super) fn alone(url: &DbUrl, options: &Options) -> Result<Self, CopyError> {
        Ok(match url.form() {
            Form::Sqlite(path) => Self::Sqlite(SqliteEnd::alone(path, options)?),
            Form::Postgres(config) => Self::Postgres(Box::new(PostgresEnd::alone(config, options)?)),
        })
    }

    /// How many of the known migrations it has had.
    pub(super) fn version(&mut self, known: &[Migration]) -> Result<usize, CopyError> {
        let is_database = match self {
            Self::Sqlite(end) => end.has_table(migrate::TABLE),
            Self::Postgres(end) => end.has_table(migrate::TABLE),
        };
        match is_database? {
            true => Ok(migrate::count_applied(&mut self.tx(), known)?),
            false => Err(CopyError::NoDatabase),
        }
    }

    /// Begins a transaction that sees one state of the database.
    pub(super) fn begin_to_read(&mut self, shape: &Shape) -> Result<(), Error> {
        match self {
            Self::Sqlite(end) => end.begin_to_read(),
            Self::Postgres(end) => end.begin_to_read(shape),
        }
    }

    /// Begins a transaction beside which nobody changes anything.
    pub(super) fn begin_to_write(&mut self, shape: &Shape) -> Result<(), Error> {
        match self {
            Self::Sqlite(end) => end.begin_to_write(),
            Self::Postgres(end) => end.begin_to_write(shape),
        }
    }

    pub(super) const fn tx(&mut self) -> Tx<'_> {
        match self {
            Self::Sqlite(end) => end.tx(),
            Self::Postgres(end) => end.tx(),
        }
    }

    fn run(&mut self, statement: &str) -> Result<(), Error> {
        match self {
            Self::Sqlite(end) => end.run(statement),
            Self::Postgres(end) => end.run(statement),
        }
    }

    /// Demands that nobody has ever used the database.
    pub(super) fn demand_to_be_empty(&mut self, shape: &Shape) -> Result<(), CopyError> {
        for table in shape.tables.iter().filter(|table| !table.seeded) {
            let has_rows = match self {
                Self::Sqlite(end) => end.has_rows(table),
                Self::Postgres(end) => end.has_rows(table),
            };
            if has_rows? {
                return Err(CopyError::NotEmpty { table: table.name.clone() });
            }
        }
        Ok(())
    }

    /// Takes away what was there to begin with, and what would keep tables from being filled in any
    /// order.
    pub(super) fn make_room(&mut self, shape: &Shape) -> Result<(), Error> {
        if let Self::Postgres(end) = self {
            end.drop_references(shape)?;
        }
        shape.tables.iter().filter(|table| table.seeded).try_for_each(|table| self.run(&table.clear()))
    }

    /// Shows each row of a table.
    pub(super) fn read(&mut self, table: &Table, each: EachRow<'_>) -> Result<(), Error> {
        match self {
            Self::Sqlite(end) => end.read(table, each),
            Self::Postgres(end) => end.read(table, each),
        }
    }

    /// What a table holds.
    pub(super) fn contents(&mut self, table: &Table) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        self.read(table, &mut |row| {
            contents.add(row);
            Ok(())
        })?;
        Ok(contents)
    }

    /// Adds a row to a table; it may not be there before [`End::flush`].
    pub(super) fn write(&mut self, table: &Table, row: &[Value<'_>]) -> Result<(), Error> {
        match self {
            Self::Sqlite(end) => end.write(table, row),
            Self::Postgres(end) => end.write(table, row),
        }
    }

    /// Sees that all rows added are there.
    pub(super) fn flush(&mut self, table: &Table) -> Result<(), Error> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(end) => end.flush(table).and_then(|()| end.analyze(table)),
        }
    }

    /// Demands that whatever refers to something refers to something that is there, from now on too.
    pub(super) fn check_references(&mut self) -> Result<(), CopyError> {
        match self {
            Self::Sqlite(end) => end.check_references(),
            Self::Postgres(end) => end.restore_references(),
        }
    }

    /// The largest number that a table's counter has given out; `None` where it has none.
    pub(super) fn counter(&mut self, table: &Table) -> Result<Option<i64>, Error> {
        let Some(column) = &table.counter else { return Ok(None) };
        match self {
            Self::Sqlite(end) => end.counter(table),
            Self::Postgres(end) => end.counter(table, column),
        }
        .map(Some)
    }

    /// Lets a table's counter go on after a number.
    pub(super) fn set_counter(&mut self, table: &Table, value: i64) -> Result<(), Error> {
        let Some(column) = table.counter.as_ref().filter(|_| value > 0) else { return Ok(()) };
        match self {
            Self::Sqlite(end) => end.set_counter(table, value),
            Self::Postgres(end) => end.set_counter(table, column, value),
        }
    }

    pub(super) fn commit(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(end) => end.commit(),
            Self::Postgres(end) => end.commit(),
        }
    }
}
