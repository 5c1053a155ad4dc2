//! A table of the tests' own, and what is done with it.

use std::future::Future;
use std::time::Duration;

use tollgate_store::{Db, Error, Sql, Tx, params};
use tollgate_testkit::TestDb;

const CREATE: Sql = Sql::new(
    "create",
    "CREATE TABLE probe (id BIGINT PRIMARY KEY, n BIGINT NOT NULL CHECK (n >= 0), b BYTEA)",
);
const INSERT: Sql = Sql::new("insert", "INSERT INTO probe (id, n) VALUES (?1, ?2)");
const ADD: Sql = Sql::new("add", "UPDATE probe SET n = n + ?2 WHERE id = ?1");
const GET: Sql = Sql::new("get", "SELECT n FROM probe WHERE id = ?1");
const COUNT: Sql = Sql::new("count", "SELECT COUNT(*) FROM probe");

/// The longest anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A database with the empty table.
pub(crate) async fn with_probe(database: &TestDb) -> Db {
    let db = database.open();
    let made: Result<u64, Error> = db.write(|tx| tx.execute(CREATE, &[])).await;
    made.unwrap();
    db
}

pub(crate) fn insert(tx: &mut Tx<'_>, id: i64, n: i64) -> Result<(), Error> {
    tx.execute(INSERT, params![id, n]).map(drop)
}

/// Fails where there is no such row, so that nothing is lost unseen.
pub(crate) fn add(tx: &mut Tx<'_>, id: i64, n: i64) -> Result<(), Error> {
    match tx.execute(ADD, params![id, n])? {
        1 => Ok(()),
        _ => Err(Error::NoRow),
    }
}

pub(crate) fn get(tx: &mut Tx<'_>, id: i64) -> Result<i64, Error> {
    tx.one(GET, params![id], |row| row.i64(0))
}

pub(crate) fn count(tx: &mut Tx<'_>) -> Result<i64, Error> {
    tx.one(COUNT, &[], |row| row.i64(0))
}

/// What a row holds now.
pub(crate) async fn value(db: &Db, id: i64) -> Result<i64, Error> {
    db.read(move |tx| get(tx, id)).await
}

/// How many rows there are now.
pub(crate) async fn rows(db: &Db) -> i64 {
    db.read(count).await.unwrap()
}

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
