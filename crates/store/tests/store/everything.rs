//! All that is in a database, read by the drivers themselves.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::ValueRef;
use tollgate_testkit::TestDb;

/// Tables by name, without the one of migrations: it says when they were made.
pub(crate) type Everything = BTreeMap<String, Table>;

/// A table as it compares on both engines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: BTreeSet<String>,
    /// Each row as `column=value …`, in an order of its own.
    pub(crate) rows: BTreeSet<String>,
}

pub(crate) fn everything(database: &TestDb) -> Everything {
    let mut all = match database.url().path() {
        Some(path) => of_sqlite(&rusqlite::Connection::open(path).unwrap()),
        None => of_postgres(&mut postgres::Client::connect(database.address(), postgres::NoTls).unwrap()),
    };
    all.remove("schema_migrations");
    all
}

fn of_sqlite(db: &rusqlite::Connection) -> Everything {
    let texts = |statement: &str| -> Vec<String> {
        let mut statement = db.prepare(statement).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables =
        texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'");
    tables
        .into_iter()
        .map(|name| {
            let columns: BTreeSet<String> =
                texts(&format!("SELECT name FROM pragma_table_info('{name}')")).into_iter().collect();
            let list: Vec<&str> = columns.iter().map(String::as_str).collect();
            let mut statement = db.prepare(&format!("SELECT {} FROM {name}", list.join(","))).unwrap();
            let rows = statement.query_map([], |row| {
                Ok(columns
                    .iter()
                    .enumerate()
                    .map(|(at, column)| shown(column, row.get_ref_unwrap(at)))
                    .collect())
            });
            let rows = rows.unwrap().map(Result::unwrap).collect();
            (name, Table { columns, rows })
        })
        .collect()
}

fn shown(column: &str, value: ValueRef<'_>) -> String {
    let value = match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => format!("{:?}", std::str::from_utf8(text).unwrap()),
        ValueRef::Blob(bytes) => format!("{bytes:02x?}"),
        other => panic!("{column}: {other:?}"),
    };
    format!("{column}={value} ")
}

fn of_postgres(db: &mut postgres::Client) -> Everything {
    const COLUMNS: &str = "SELECT table_name::text, column_name::text, data_type::text
                           FROM information_schema.columns WHERE table_schema = current_schema()";
    let mut tables = BTreeMap::<String, BTreeMap<String, String>>::new();
    for row in db.query(COLUMNS, &[]).unwrap() {
        tables.entry(row.get(0)).or_default().insert(row.get(1), row.get(2));
    }
    tables
        .into_iter()
        .map(|(name, columns)| {
            let list: Vec<&str> = columns.keys().map(String::as_str).collect();
            let found = db.query(&format!("SELECT {} FROM {name}", list.join(",")), &[]).unwrap();
            let value = |row: &postgres::Row, at: usize, kind: &str| match kind {
                "bigint" => row.get::<_, Option<i64>>(at).map(|number| number.to_string()),
                "text" => row.get::<_, Option<String>>(at).map(|text| format!("{text:?}")),
                "bytea" => row.get::<_, Option<Vec<u8>>>(at).map(|bytes| format!("{bytes:02x?}")),
                other => panic!("{name}: {other}"),
            };
            let row = |row: &postgres::Row| -> String {
                let columns = columns.iter().enumerate();
                columns
                    .map(|(at, (column, kind))| {
                        format!("{column}={} ", value(row, at, kind).unwrap_or_else(|| "NULL".to_owned()))
                    })
                    .collect()
            };
            let rows = found.iter().map(row).collect();
            (name, Table { columns: columns.into_keys().collect(), rows })
        })
        .collect()
}
