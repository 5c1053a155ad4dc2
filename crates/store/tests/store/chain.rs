//! The chain of entries, what is missed when a database comes back with less, and the write-ahead log
//! that must not be all that knows.

use std::fs;
use std::path::{Path, PathBuf};

use tollgate_ledger::{ChainHash, Mark};
use tollgate_store::{Db, DbUrl, Error, Expected, Loss, Options, Sql, chain};
use tollgate_testkit::database::NOW;
use tollgate_testkit::{TestDb, on_both_databases};
use tollgate_types::Time;

use crate::probe::until;
use crate::samples::insert_entry;

const ACCOUNT: Sql = Sql::new(
    "account",
    "INSERT INTO accounts (id, username, username_key, email, status, api_key_hash, api_key_sealed, res_price,
                           dc_price, mobile_price, created_at, updated_at)
     VALUES (7, 'ann', 'ann', '', 'active', ?1, ?1, 0, 0, 0, 0, 0)",
);
const COUNT: &str = "SELECT COUNT(*) FROM entries";

/// A database with an account that can have entries.
async fn begun(database: &TestDb) -> Db {
    let db = database.open();
    let key: &[u8] = &[1];
    db.write(move |tx| tx.execute(ACCOUNT, tollgate_store::params![key]).map(drop)).await.unwrap();
    db
}

async fn enter(db: &Db, n: i64) {
    db.write(move |tx| insert_entry(tx, n)).await.unwrap();
}

/// Chains everything; gives how far that is.
async fn chained(db: &Db) -> Mark {
    while db.write(|tx| chain::extend(tx, 2)).await.unwrap() > 0 {}
    db.read(chain::head).await.unwrap()
}

fn reopened(database: &TestDb, expected: Expected, accept_loss: bool) -> Result<Db, Error> {
    Db::open(database.url(), Options { expected, accept_loss, ..Options::new(NOW) })
}

/// What a copy of nothing but the database's file holds.
fn alone(file: &Path) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(file, &copy).unwrap();
    let count = rusqlite::Connection::open(&copy).unwrap().query_row(COUNT, [], |row| row.get(0));
    count.unwrap_or(-1)
}

fn log_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", file.display()))
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |about| about.len())
}

on_both_databases! {
    async fn entries_are_chained_once_in_the_order_in_which_they_are_found(database) {
        let db = begun(&database).await;
        assert_eq!(chained(&db).await, Mark { entries: 0, hash: ChainHash::START, accepted_at: Time::from_micros(0) });
        for n in 0..5 {
            enter(&db, n).await;
        }
        // One that was rolled back leaves a gap in the ids, and none in the chain.
        let undone = db.write(|tx| insert_entry(tx, 9).and(Err::<(), _>(Error::NoRow))).await;
        assert_eq!(undone, Err(Error::NoRow));
        enter(&db, 5).await;
        assert_eq!(db.read(chain::is_behind).await, Ok(true));
        let head = chained(&db).await;
        assert_eq!((head.entries, db.read(chain::is_behind).await), (6, Ok(false)));
        assert_eq!(chained(&db).await, head, "nothing is chained twice");

        let all = db.read(|tx| chain::range(tx, 1, 100)).await.unwrap();
        let mut hash = ChainHash::START;
        for (chained, place) in all.iter().zip(1..) {
            hash = hash.then(&chained.entry);
            assert_eq!((chained.place, chained.hash, chained.entry.lines.len()), (place, Some(hash), 2));
        }
        assert_eq!((all.len(), hash), (6, head.hash));
        assert_eq!(db.read(chain::last_place).await, Ok(6));
        db.close().await;
    }

    /// Processes that chain at the same time, beside others that enter: one chain comes of it.
    async fn many_chain_and_enter_at_the_same_time(database) {
        let db = begun(&database).await;
        let tasks: Vec<_> = (0..60).map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                enter(&db, n).await;
                db.write(|tx| chain::extend(tx, 7)).await.unwrap();
            })
        }).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let head = chained(&db).await;
        let all = db.read(|tx| chain::range(tx, 1, 100)).await.unwrap();
        let last = all.iter().fold(ChainHash::START, |hash, chained| hash.then(&chained.entry));
        assert_eq!((head.entries, all.len(), head.hash), (60, 60, last));
        db.close().await;
    }

    async fn a_database_that_holds_less_than_its_mark_is_refused_until_that_is_accepted(database) {
        let db = begun(&database).await;
        enter(&db, 1).await;
        let before = chained(&db).await;
        db.close().await;
        let later = Mark { entries: 3, ..before };
        let other = Mark { hash: ChainHash::START, ..before };
        for (mark, loss) in [
            (later, Loss::Entries { expected: 3, found: 1 }),
            (other, Loss::History { place: 1 }),
        ] {
            let refused = reopened(&database, Expected::Mark(mark), false).unwrap_err();
            assert_eq!(refused, Error::Lost(loss));
        }
        // What it held then, and more, is no loss.
        let db = reopened(&database, Expected::Mark(before), false).unwrap();
        enter(&db, 2).await;
        chained(&db).await;
        db.close().await;
        reopened(&database, Expected::Mark(before), false).unwrap().close().await;

        let db = reopened(&database, Expected::Mark(later), true).unwrap();
        let head = chained(&db).await;
        db.close().await;
        assert_eq!((head.entries, head.accepted_at), (2, NOW));
        // Other processes, with marks of their own, hear of it.
        reopened(&database, Expected::Mark(later), false).unwrap().close().await;
        let next = Mark { entries: 3, ..head };
        let refused = reopened(&database, Expected::Mark(next), false).unwrap_err();
        assert_eq!(refused, Error::Lost(Loss::Entries { expected: 3, found: 2 }), "a later loss is another one");
    }
}

#[test]
fn a_file_that_is_gone_or_empty_is_missed_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.db");
    let mark = Mark { entries: 0, hash: ChainHash::START, accepted_at: Time::from_micros(0) };
    for expected in [Expected::Database, Expected::Mark(mark)] {
        let options = Options { expected, ..Options::new(NOW) };
        assert_eq!(Db::open(&DbUrl::sqlite(&path), options).unwrap_err(), Error::Lost(Loss::Everything));
        assert!(!path.exists());
    }
    // Nothing but the first page, as a database is left whose log was lost.
    let file = rusqlite::Connection::open(&path).unwrap();
    file.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(file);
    let before = fs::read(&path).unwrap();
    assert_eq!(before.len(), 4096);
    let options = Options { expected: Expected::Database, ..Options::new(NOW) };
    assert_eq!(Db::open(&DbUrl::sqlite(&path), options).unwrap_err(), Error::Lost(Loss::Everything));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_closed_needs_no_other_file() {
    for round in 0..20 {
        let database = TestDb::sqlite();
        let db = begun(&database).await;
        let readers = (0..8).map(|_| {
            let db = db.clone();
            tokio::spawn(async move { db.read(chain::head).await.unwrap() })
        });
        let readers: Vec<_> = readers.collect();
        enter(&db, 1).await;
        for reader in readers {
            reader.await.unwrap();
        }
        db.close().await;
        let file = database.url().path().unwrap();
        assert_eq!((alone(file), length(&log_of(file))), (1, 0), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_emptied_into_the_database_while_it_is_used() {
    let database = TestDb::sqlite();
    let db = begun(&database).await;
    let file = database.url().path().unwrap();
    enter(&db, 1).await;
    assert!(length(&log_of(file)) > 0 && alone(file) != 1, "it is in the log only");

    // Somebody who reads keeps it from being emptied, and nobody from writing.
    let reader = rusqlite::Connection::open(file).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let seen: i64 = reader.query_row(COUNT, [], |row| row.get(0)).unwrap();
    enter(&db, 2).await;
    db.checkpoint().await.unwrap();
    enter(&db, 3).await;
    assert!(length(&log_of(file)) > 0);
    let still: i64 = reader.query_row(COUNT, [], |row| row.get(0)).unwrap();
    assert_eq!((seen, still), (1, 1));
    drop(reader);

    db.checkpoint().await.unwrap();
    until("the log is empty", || async { length(&log_of(file)) == 0 }).await;
    assert_eq!(alone(file), 3);
    enter(&db, 4).await;
    db.close().await;
}
