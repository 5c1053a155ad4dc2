//! One end of a copy that is a SQLite file.

use std::fs::File;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tollgate_types::Time;

use super::contents::Contents;
use super::shape::{Shape, Table};
use super::{CopyError, Written};
use crate::db::Options;
use crate::sqlite::{self, Alone, plain, run, set};
use crate::tx::Engine;
use crate::value::Value;
use crate::{Error, Tx};

/// What a backup says of itself: what was in each table when it was made.
const NOTE: &str = "CREATE TABLE backup_contents (
    name TEXT PRIMARY KEY,
    contents BLOB NOT NULL,
    made_at INTEGER NOT NULL
) STRICT";
const HAS_TABLE: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
const NOTED: &str = "SELECT contents, made_at FROM backup_contents WHERE name = ?1";
const WRITE_NOTE: &str = "INSERT INTO backup_contents (name, contents, made_at) VALUES (?1, ?2, ?3)";

const COUNTER: &str = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
const FORGET_COUNTER: &str = "DELETE FROM sqlite_sequence WHERE name = ?1";
const SET_COUNTER: &str = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";

/// A connection inside of a transaction.
pub(super) struct SqliteEnd {
    connection: Connection,
    /// Whoever is alone stays so until the connection is closed.
    _lock: Option<File>,
}

impl SqliteEnd {
    /// Opens a file that may be in use.
    pub(super) fn online(path: &Path, options: &Options) -> Result<Self, Error> {
        Ok(Self { connection: sqlite::open_to_read(path, options)?, _lock: None })
    }

    /// Opens a file that nobody else uses meanwhile, and brings its schema up to date. It is made
    /// where it is absent.
    pub(super) fn alone(path: &Path, options: &Options) -> Result<Self, Error> {
        let Alone { connection, lock, .. } = sqlite::open_alone(path, options)?;
        Ok(Self { connection, _lock: Some(lock) })
    }

    /// Opens an empty file, to make it a database that needs no other file beside it.
    pub(super) fn new_file(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(plain)?;
        set(&connection, "trusted_schema", "OFF")?;
        // Whoever made the file waits for the disk once, when it is complete.
        set(&connection, "synchronous", "OFF")?;
        Ok(Self { connection, _lock: None })
    }

    /// Begins a transaction that sees one state of the file.
    pub(super) fn begin_to_read(&self) -> Result<(), Error> {
        self.run("BEGIN")
    }

    /// Begins a transaction in which tables can be filled in any order: what refers to what is
    /// looked at when all are there.
    pub(super) fn begin_to_write(&self) -> Result<(), Error> {
        set(&self.connection, "foreign_keys", "OFF")?;
        self.run("BEGIN IMMEDIATE")
    }

    pub(super) const fn tx(&self) -> Tx<'_> {
        Tx::new(Engine::Sqlite(&self.connection))
    }

    pub(super) fn run(&self, statement: &str) -> Result<(), Error> {
        run(&self.connection, statement)
    }

    pub(super) fn has_table(&self, name: &str) -> Result<bool, Error> {
        self.connection.query_row(HAS_TABLE, [name], |row| row.get(0)).map_err(plain)
    }

    pub(super) fn has_rows(&self, table: &Table) -> Result<bool, Error> {
        self.connection.query_row(&table.has_rows(), [], |row| row.get(0)).map_err(plain)
    }

    pub(super) fn read(
        &self,
        table: &Table,
        each: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut statement = self.connection.prepare(&table.select()).map_err(plain)?;
        let mut rows = statement.query([]).map_err(plain)?;
        while let Some(row) = rows.next().map_err(plain)? {
            let values = table.columns.iter().enumerate().map(|(place, column)| {
                let value = value(row.get_ref(place).map_err(plain)?);
                value.filter(|value| column.kind.holds(value)).ok_or_else(|| {
                    Error::Unexpected(format!("{} holds what cannot be in a column of its type", column.name))
                })
            });
            each(&values.collect::<Result<Vec<_>, Error>>()?)?;
        }
        Ok(())
    }

    pub(super) fn write(&self, table: &Table, row: &[Value<'_>]) -> Result<(), Error> {
        let mut insert = self.connection.prepare_cached(&table.insert).map_err(plain)?;
        insert.execute(rusqlite::params_from_iter(row)).map(drop).map_err(plain)
    }

    /// Demands that whatever refers to something refers to something that is there.
    pub(super) fn check_references(&self) -> Result<(), CopyError> {
        let mut check = self.connection.prepare("PRAGMA foreign_key_check").map_err(plain)?;
        let broken = check.query_row([], |row| row.get(0)).optional().map_err(plain)?;
        broken.map_or(Ok(()), |table| Err(CopyError::Dangling { table }))
    }

    /// The largest number that a counter has given out.
    pub(super) fn counter(&self, table: &Table) -> Result<i64, Error> {
        let counted = self.connection.query_row(COUNTER, [&table.name], |row| row.get(0)).optional();
        counted.map(Option::unwrap_or_default).map_err(plain)
    }

    pub(super) fn set_counter(&self, table: &Table, value: i64) -> Result<(), Error> {
        self.connection.execute(FORGET_COUNTER, [&table.name]).map_err(plain)?;
        self.connection.execute(SET_COUNTER, (&table.name, value)).map(drop).map_err(plain)
    }

    pub(super) fn commit(self) -> Result<(), Error> {
        self.run("COMMIT")
    }

    /// Demands that the file is whole, as SQLite sees it.
    pub(super) fn check_integrity(&self) -> Result<(), CopyError> {
        let mut check = self.connection.prepare("PRAGMA integrity_check(1)").map_err(plain)?;
        let said: String = check.query_row([], |row| row.get(0)).map_err(plain)?;
        if said == "ok" { Ok(()) } else { Err(CopyError::Damaged(said)) }
    }

    /// Writes down what each table holds.
    pub(super) fn write_note(&self, written: &[Written], now: Time) -> Result<(), Error> {
        run(&self.connection, NOTE)?;
        let mut insert = self.connection.prepare(WRITE_NOTE).map_err(plain)?;
        for Written { table, contents } in written {
            insert.execute((table, contents.to_bytes(), now.micros())).map_err(plain)?;
        }
        Ok(())
    }

    /// Whether the file says what is in it. One that the store has used since it was made is in
    /// another mode, and what it said holds no longer.
    ///
    /// # Errors
    /// [`CopyError::Damaged`] where it should say so and does not: it was never finished.
    pub(super) fn has_note(&self) -> Result<bool, CopyError> {
        let mode: String =
            self.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(plain)?;
        if mode == "wal" || self.has_table("backup_contents")? {
            return Ok(mode != "wal");
        }
        let why = "it does not say what is in it: it was not finished, or is no backup of this program's";
        Err(CopyError::Damaged(why.to_owned()))
    }

    /// Demands that a table holds what was written down.
    pub(super) fn check_note(&self, table: &Table, contents: Contents) -> Result<(), CopyError> {
        let noted = self.connection.query_row(NOTED, [&table.name], |row| row.get::<_, Vec<u8>>(0));
        if noted.optional().map_err(plain)? == Some(contents.to_bytes()) {
            return Ok(());
        }
        Err(CopyError::Damaged(format!("the table {} does not hold what was written to it", table.name)))
    }

    /// When the file says that it was made.
    pub(super) fn noted_at(&self, shape: &Shape) -> Result<Option<Time>, Error> {
        let Some(table) = shape.tables.first() else { return Ok(None) };
        let noted = self.connection.query_row(NOTED, [&table.name], |row| row.get(1)).optional();
        noted.map(|at| at.map(Time::from_micros)).map_err(plain)
    }
}

/// A value of SQLite's; `None` for what the store never writes.
fn value(value: ValueRef<'_>) -> Option<Value<'_>> {
    match value {
        ValueRef::Null => Some(Value::Null),
        ValueRef::Integer(number) => Some(Value::I64(number)),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(Value::Text),
        ValueRef::Blob(bytes) => Some(Value::Blob(bytes)),
        ValueRef::Real(_) => None,
    }
}
