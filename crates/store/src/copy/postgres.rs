//! One end of a copy that is a PostgreSQL database.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BufMut as _;
use postgres::{Config, Row};

use super::CopyError;
use super::shape::{Column, Kind, Shape, Table};
use crate::db::Options;
use crate::postgres::{Session, classify, open_for_copy};
use crate::tx::Engine;
use crate::value::Value;
use crate::{Error, Tx};

/// Rows that are fetched at once.
const ROWS: usize = 1000;

/// A batch of rows is sent once it has grown to so many bytes.
const BATCH: usize = 1 << 20;

/// What the binary form of COPY begins with: its signature, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What it ends with.
const END: &[u8] = &[0xff, 0xff];

/// Between two looks at who else is there.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

const HAS_TABLE: &str = "SELECT to_regclass($1) IS NOT NULL";

/// Other sessions of this program on this database, by the name that they all go by.
const OTHERS: &str = "SELECT COUNT(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()
                        AND application_name = current_setting('application_name')";

/// Statements that take a table's references to others away, and that bring them back.
const REFERENCES: &str = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
                                 format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
                                        pg_get_constraintdef(oid))
                          FROM pg_constraint WHERE contype = 'f' AND conrelid = to_regclass($1)";

const SEQUENCE: &str = "SELECT pg_get_serial_sequence($1, $2)";
const SET_SEQUENCE: &str = "SELECT setval(CAST(pg_get_serial_sequence($1, $2) AS regclass), $3, true)";

/// A session inside of a transaction.
pub(super) struct PostgresEnd {
    session: Session,
    /// Rows that wait to be sent, in the form of COPY.
    batch: Vec<u8>,
    /// How the references are brought back that had to go.
    references: Vec<String>,
}

impl PostgresEnd {
    /// Connects to a database that may be in use.
    pub(super) fn online(config: &Config, options: &Options) -> Result<Self, Error> {
        open_for_copy(config, options, false).map(Self::of)
    }

    /// Connects to a database that no other process of this program uses, and brings its schema up
    /// to date.
    pub(super) fn alone(config: &Config, options: &Options) -> Result<Self, CopyError> {
        let mut end = Self::of(open_for_copy(config, options, true)?);
        end.wait_to_be_alone(options.patience)?;
        Ok(end)
    }

    const fn of(session: Session) -> Self {
        Self { session, batch: Vec::new(), references: Vec::new() }
    }

    /// Sessions of a process that has just ended are seen for a moment longer.
    fn wait_to_be_alone(&mut self, patience: Duration) -> Result<(), CopyError> {
        let deadline = Instant::now() + patience;
        loop {
            match self.one(OTHERS, &[], |row| row.try_get(0))? {
                0 => return Ok(()),
                others if Instant::now() > deadline => return Err(CopyError::InUse(others)),
                _ => thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// Begins a transaction that sees one state of the database, in which its tables stay as they
    /// are.
    pub(super) fn begin_to_read(&mut self, shape: &Shape) -> Result<(), Error> {
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        self.lock(shape, "ACCESS SHARE")
    }

    /// Begins a transaction that keeps everybody else from the tables.
    pub(super) fn begin_to_write(&mut self, shape: &Shape) -> Result<(), Error> {
        self.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")?;
        self.lock(shape, "ACCESS EXCLUSIVE")
    }

    fn lock(&mut self, shape: &Shape, mode: &str) -> Result<(), Error> {
        let tables: Vec<String> = shape.tables.iter().map(Table::quoted).collect();
        self.run(&format!("LOCK TABLE {} IN {mode} MODE", tables.join(", ")))
    }

    pub(super) const fn tx(&mut self) -> Tx<'_> {
        Tx::new(Engine::Postgres(&mut self.session))
    }

    pub(super) fn run(&mut self, statement: &str) -> Result<(), Error> {
        self.session.batch(statement).map_err(|failure| failure.error)
    }

    pub(super) fn has_table(&mut self, name: &str) -> Result<bool, Error> {
        self.one(HAS_TABLE, &[&name], |row| row.try_get(0))
    }

    pub(super) fn has_rows(&mut self, table: &Table) -> Result<bool, Error> {
        self.one(&table.has_rows(), &[], |row| row.try_get(0))
    }

    pub(super) fn read(
        &mut self,
        table: &Table,
        each: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.run(&format!("DECLARE copied NO SCROLL CURSOR FOR {}", table.select()))?;
        let fetch = format!("FETCH FORWARD {ROWS} FROM copied");
        let fetch = self.session.client().prepare(&fetch).map_err(|e| classify(&e).error)?;
        loop {
            let rows = self.session.client().query(&fetch, &[]).map_err(|e| classify(&e).error)?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let columns = table.columns.iter().enumerate();
                let values = columns.map(|(place, column)| value(row, place, column));
                each(&values.collect::<Result<Vec<_>, _>>()?)?;
            }
        }
        self.run("CLOSE copied")
    }

    /// Takes a row; it is sent with others.
    pub(super) fn write(&mut self, table: &Table, row: &[Value<'_>]) -> Result<(), Error> {
        encode(row, &mut self.batch)?;
        if self.batch.len() >= BATCH { self.flush(table) } else { Ok(()) }
    }

    /// Sends the rows that wait.
    pub(super) fn flush(&mut self, table: &Table) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let copy = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.quoted(), table.column_list());
        let mut copy = self.session.client().copy_in(&copy).map_err(|e| classify(&e).error)?;
        [HEAD, &self.batch, END]
            .into_iter()
            .try_for_each(|part| copy.write_all(part))
            .map_err(|e| Error::Unavailable(format!("rows cannot be sent: {e}")))?;
        copy.finish().map_err(|e| classify(&e).error)?;
        self.batch.clear();
        Ok(())
    }

    /// Takes the references between tables away, so that these can be filled in any order.
    pub(super) fn drop_references(&mut self, shape: &Shape) -> Result<(), Error> {
        for table in &shape.tables {
            let found = self.session.client().query(REFERENCES, &[&table.quoted()]);
            for row in found.map_err(|e| classify(&e).error)? {
                let text = |place| row.try_get::<_, String>(place).map_err(|e| classify(&e).error);
                self.run(&text(0)?)?;
                self.references.push(text(1)?);
            }
        }
        Ok(())
    }

    /// Brings the references back, which demands that what they refer to is there.
    pub(super) fn restore_references(&mut self) -> Result<(), CopyError> {
        for reference in std::mem::take(&mut self.references) {
            self.run(&reference).map_err(|why| match why {
                Error::CheckViolation => CopyError::Dangling { table: named_in(&reference) },
                why => why.into(),
            })?;
        }
        Ok(())
    }

    /// Lets the planner know what has come: the audit is about to ask for all of it.
    pub(super) fn analyze(&mut self, table: &Table) -> Result<(), Error> {
        self.run(&format!("ANALYZE {}", table.quoted()))
    }

    /// The largest number that a counter has given out.
    pub(super) fn counter(&mut self, table: &Table, column: &str) -> Result<i64, Error> {
        let sequence: String = self.one(SEQUENCE, &[&table.quoted(), &column], |row| row.try_get(0))?;
        let last = format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}");
        self.one(&last, &[], |row| row.try_get(0))
    }

    pub(super) fn set_counter(&mut self, table: &Table, column: &str, value: i64) -> Result<(), Error> {
        self.one(SET_SEQUENCE, &[&table.quoted(), &column, &value], |row| row.try_get::<_, i64>(0)).map(drop)
    }

    pub(super) fn commit(mut self) -> Result<(), Error> {
        self.run("COMMIT")
    }

    fn one<T>(
        &mut self,
        statement: &str,
        params: &[&(dyn postgres::types::ToSql + Sync)],
        map: impl FnOnce(&Row) -> Result<T, postgres::Error>,
    ) -> Result<T, Error> {
        let row = self.session.client().query_one(statement, params);
        row.and_then(|row| map(&row)).map_err(|e| classify(&e).error)
    }
}

fn value<'r>(row: &'r Row, place: usize, column: &Column) -> Result<Value<'r>, Error> {
    let value = match column.kind {
        Kind::Int => row.try_get::<_, Option<i64>>(place).map(Value::from),
        Kind::Text => row.try_get::<_, Option<&str>>(place).map(Value::from),
        Kind::Bytes => row.try_get::<_, Option<&[u8]>>(place).map(Value::from),
    };
    value.map_err(|e| Error::Unexpected(format!("{} cannot be read: {e}", column.name)))
}

/// Writes a row in the binary form of COPY: how many values, and of each its length and bytes.
fn encode(row: &[Value<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
    let too_long = |_| Error::Unexpected("a value or a row is too long for COPY".to_owned());
    out.put_i16(i16::try_from(row.len()).map_err(too_long)?);
    for value in row {
        let bytes = match value {
            Value::Null => {
                out.put_i32(-1);
                continue;
            }
            Value::I64(number) => &number.to_be_bytes()[..],
            Value::Text(text) => text.as_bytes(),
            Value::Blob(bytes) => bytes,
        };
        out.put_i32(i32::try_from(bytes.len()).map_err(too_long)?);
        out.put_slice(bytes);
    }
    Ok(())
}

/// The table that an ALTER TABLE names.
fn named_in(statement: &str) -> String {
    statement.split(' ').nth(2).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_as_copy_wants_it() {
        let mut out = Vec::new();
        encode(&[Value::Null, Value::I64(-2), Value::Text("é"), Value::Blob(&[])], &mut out).unwrap();
        let wanted: &[&[u8]] = &[
            &[0, 4],
            &[0xff; 4],
            &[0, 0, 0, 8],
            &(-2_i64).to_be_bytes(),
            &[0, 0, 0, 2],
            "é".as_bytes(),
            &[0; 4],
        ];
        assert_eq!(out, wanted.concat());
    }
}
