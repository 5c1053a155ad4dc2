//! What there is to copy: the tables and columns of a schema, found by making it.
//!
//! The migrations are run on an empty database in memory, and that is asked what has come of them.
//! So a table or a column of a later migration cannot be forgotten here, and there is no list to
//! keep. The names in the statements of a copy come from here and nowhere else, quoted; they are
//! the only texts in this room that are put together at run time.

use rusqlite::{Connection, Row};
use tollgate_types::Time;

use crate::migrate::{self, Dialect, Migration};
use crate::sqlite::plain;
use crate::tx::Engine;
use crate::value::Value;
use crate::{Error, Tx};

const TABLES: &str = "SELECT name, sql FROM sqlite_schema
                      WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' AND name <> ?1 ORDER BY rowid";
const COLUMNS: &str = "SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid";

/// Tables in which a start of the program leaves rows: they are no sign of use. (In `meta` it leaves
/// the proof of its keys.)
const LEFT_BY_A_START: &[&str] = &["jobs", "meta"];

/// A schema after some of the migrations.
#[derive(Debug)]
pub(super) struct Shape {
    /// After how many.
    pub(super) version: usize,
    /// In the order in which they were made.
    pub(super) tables: Vec<Table>,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The column that counts its rows up, where one does.
    pub(super) counter: Option<String>,
    /// Whether a database that nobody has used has rows in it.
    pub(super) seeded: bool,
    /// The statement that adds a row to it, of which there are many.
    pub(super) insert: String,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a column holds, if not NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
}

impl Shape {
    /// The schema that migrations make.
    ///
    /// # Errors
    /// [`Error::Unexpected`] where a column is of a kind that cannot be copied.
    pub(super) fn of(migrations: &[Migration]) -> Result<Self, Error> {
        let model = Connection::open_in_memory().map_err(plain)?;
        let mut tx = Tx::new(Engine::Sqlite(&model));
        migrate::create(&mut tx, &Dialect::SQLITE, migrations, Time::from_micros(0))?;
        let found = all(&model, TABLES, migrate::TABLE, |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        let tables = found.into_iter().map(|(name, sql)| Table::of(&model, name, &sql));
        Ok(Self { version: migrations.len(), tables: tables.collect::<Result<_, _>>()? })
    }
}

impl Table {
    fn of(model: &Connection, name: String, sql: &str) -> Result<Self, Error> {
        let found = all(model, COLUMNS, &name, |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
        })?;
        let key = found.iter().find(|(_, _, is_key)| *is_key).map(|(column, _, _)| column.clone());
        let columns = found.into_iter().map(|(column, kind, _)| Column::of(&name, column, &kind));
        let columns = columns.collect::<Result<_, _>>()?;
        let counter = key.filter(|_| sql.contains(Dialect::SQLITE.id));
        let mut table = Self { name, columns, counter, seeded: false, insert: String::new() };
        table.insert = table.insert();
        let has_rows = model.query_row(&table.has_rows(), [], |row| row.get(0)).map_err(plain)?;
        table.seeded = has_rows || LEFT_BY_A_START.contains(&table.name.as_str());
        Ok(table)
    }

    /// Its name as it stands in a statement.
    pub(super) fn quoted(&self) -> String {
        quoted(&self.name)
    }

    /// Its columns as they stand in a statement.
    pub(super) fn column_list(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        columns.join(", ")
    }

    fn insert(&self) -> String {
        let places: Vec<String> = (1..=self.columns.len()).map(|place| format!("?{place}")).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", self.quoted(), self.column_list(), places.join(", "))
    }

    /// All that is in it.
    pub(super) fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.column_list(), self.quoted())
    }

    /// Whether anything is in it.
    pub(super) fn has_rows(&self) -> String {
        format!("SELECT EXISTS (SELECT 1 FROM {})", self.quoted())
    }

    /// Takes all that is in it away.
    pub(super) fn clear(&self) -> String {
        format!("DELETE FROM {}", self.quoted())
    }
}

impl Column {
    fn of(table: &str, name: String, kind: &str) -> Result<Self, Error> {
        let kind = match kind {
            "INTEGER" => Kind::Int,
            "TEXT" => Kind::Text,
            "BLOB" => Kind::Bytes,
            _ => return Err(Error::Unexpected(format!("{table}.{name} is of the type {kind}"))),
        };
        Ok(Self { name, kind })
    }
}

impl Kind {
    /// Whether a column of this kind can hold a value.
    pub(super) const fn holds(self, value: &Value<'_>) -> bool {
        matches!(
            (self, value),
            (_, Value::Null)
                | (Self::Int, Value::I64(_))
                | (Self::Text, Value::Text(_))
                | (Self::Bytes, Value::Blob(_))
        )
    }
}

/// A name as it stands in a statement, on both engines.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn all<T>(
    model: &Connection,
    statement: &str,
    about: &str,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Error> {
    let mut statement = model.prepare(statement).map_err(plain)?;
    let rows = statement.query_map([about], map).map_err(plain)?;
    rows.collect::<Result<_, _>>().map_err(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::MIGRATIONS;

    #[test]
    fn the_schema_is_found_with_its_counters_and_seeds() {
        let shape = Shape::of(MIGRATIONS).unwrap();
        let table = |name: &str| shape.tables.iter().find(|table| table.name == name).unwrap();
        assert_eq!(table("accounts").counter.as_deref(), Some("id"));
        assert_eq!(table("wallets").counter, None);
        let kind =
            |of: &Table, name: &str| of.columns.iter().find(|column| column.name == name).unwrap().kind;
        assert_eq!(kind(table("accounts"), "id"), Kind::Int);
        assert_eq!(kind(table("accounts"), "email"), Kind::Text);
        assert_eq!(kind(table("accounts"), "api_key_hash"), Kind::Bytes);
        assert!(table("meta").seeded && table("directory_version").seeded);
        for used in ["accounts", "entries", "leases"] {
            assert!(!table(used).seeded, "{used}");
        }
        assert!(shape.tables.iter().all(|table| table.name != migrate::TABLE));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("odd \"name\""), "\"odd \"\"name\"\"\"");
    }

    #[test]
    fn a_column_that_cannot_be_copied_is_named() {
        let odd = [Migration { version: 1, name: "odd", text: "CREATE TABLE odd (x REAL);" }];
        assert_eq!(Shape::of(&odd).unwrap_err(), Error::Unexpected("odd.x is of the type REAL".to_owned()));
    }
}
