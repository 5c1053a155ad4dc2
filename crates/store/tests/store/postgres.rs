//! What is PostgreSQL's own: transactions in each other's way, and connections that break.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::probe::{add, get, insert, rows, value, with_probe};
use tollgate_store::{Db, DbUrl, Error, Options, Sql, params};
use tollgate_testkit::database::{self, NOW};
use tollgate_testkit::{TestDb, postgres};

/// Runs a test where PostgreSQL is not to be skipped.
fn on_postgres<F: Future<Output = ()>>(body: impl FnOnce(TestDb) -> F) {
    database::run(TestDb::postgres(), body);
}

#[test]
fn a_deadlock_is_run_again() {
    on_postgres(async |database| {
        let db = with_probe(&database).await;
        db.write(|tx| insert(tx, 1, 0).and_then(|()| insert(tx, 2, 0))).await.unwrap();
        let both_hold_one = Arc::new(Barrier::new(2));
        let crossing = |first: i64, second: i64| {
            let (db, barrier) = (db.clone(), both_hold_one.clone());
            let mut meet = true;
            tokio::spawn(async move {
                db.write(move |tx| {
                    add(tx, first, 1)?;
                    if std::mem::take(&mut meet) {
                        barrier.wait();
                    }
                    add(tx, second, 1)
                })
                .await
            })
        };
        let (there, back) = (crossing(1, 2), crossing(2, 1));
        assert_eq!((there.await.unwrap(), back.await.unwrap()), (Ok(()), Ok(())));
        assert_eq!((value(&db, 1).await, value(&db, 2).await), (Ok(2), Ok(2)));
        assert!(db.stats().retries >= 1);
    });
}

#[test]
fn a_lock_that_is_held_for_too_long_is_reported_after_all_attempts() {
    on_postgres(async |database| {
        const LOCK: Sql = Sql::new("lock", "SELECT n FROM probe WHERE id = ?1{for_update}");
        with_probe(&database).await.close().await;
        let options = Options { lock_timeout: Duration::from_millis(10), ..Options::new(NOW) };
        let db = Db::open(database.url(), options).unwrap();
        db.write(|tx| insert(tx, 1, 0)).await.unwrap();
        let (held, holding) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (meet, leave) = (held.clone(), holding.clone());
        let holder = tokio::spawn({
            let db = db.clone();
            async move {
                db.write(move |tx| {
                    let n = tx.one(LOCK, params![1], |row| row.i64(0))?;
                    meet.wait();
                    leave.wait();
                    Ok::<_, Error>(n)
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || held.wait()).await.unwrap();
        assert_eq!(db.write(|tx| add(tx, 1, 1)).await, Err(Error::Busy));
        assert!(db.stats().retries > 1);
        tokio::task::spawn_blocking(move || holding.wait()).await.unwrap();
        assert_eq!(holder.await.unwrap(), Ok(0));
        assert_eq!(db.write(|tx| add(tx, 1, 1)).await, Ok(()));
    });
}

/// Ends every connection to the database that is asked about, as a restart of the server does.
fn break_connections(database: &TestDb) {
    let name = database.url().to_string();
    let name = name.rsplit('/').next().unwrap_or_default();
    postgres::as_administrator(&format!(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
    ));
}

#[test]
fn broken_connections_are_made_anew() {
    on_postgres(async |database| {
        let db = with_probe(&database).await;
        for id in 0..20 {
            db.write(move |tx| insert(tx, id, id)).await.unwrap();
        }
        break_connections(&database);
        for id in 20..40 {
            assert_eq!(db.write(move |tx| insert(tx, id, id)).await, Ok(()), "{id}");
            assert_eq!(value(&db, id).await, Ok(id));
        }
        assert_eq!(rows(&db).await, 40);
    });
}

#[test]
fn a_connection_that_breaks_before_the_commit_is_run_again() {
    on_postgres(async |database| {
        let db = with_probe(&database).await;
        let database = Arc::new(database);
        let (runs, handle) = (Arc::new(AtomicU64::new(0)), database.clone());
        let counted = runs.clone();
        let answer = db
            .write(move |tx| {
                insert(tx, 1, 1)?;
                if counted.fetch_add(1, Ordering::Relaxed) == 0 {
                    break_connections(&handle);
                }
                insert(tx, 2, 2)
            })
            .await;
        assert_eq!(answer, Ok(()));
        assert_eq!((runs.load(Ordering::Relaxed), rows(&db).await), (2, 2));
    });
}

/// A trigger that runs inside of COMMIT breaks the connection there: the one case in which a write
/// must not be run again.
#[test]
fn a_commit_whose_outcome_is_unknown_is_never_run_again() {
    on_postgres(async |database| {
        const FUNCTION: Sql = Sql::new(
            "function",
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60); RETURN NULL; END'",
        );
        const TRIGGER: Sql = Sql::new(
            "trigger",
            "CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON probe DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION die()",
        );
        let db = with_probe(&database).await;
        db.write(|tx| tx.execute(FUNCTION, &[]).and_then(|_| tx.execute(TRIGGER, &[]))).await.unwrap();
        let runs = Arc::new(AtomicU64::new(0));
        let counted = runs.clone();
        let answer = db
            .write(move |tx| {
                counted.fetch_add(1, Ordering::Relaxed);
                insert(tx, 1, 1)
            })
            .await;
        match answer {
            Err(Error::Unavailable(why)) => assert!(why.starts_with("outcome unknown"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(rows(&db).await, 0, "the worker goes on with a new connection");
    });
}

/// Constraints that are checked at COMMIT are answers, not accidents.
#[test]
fn a_commit_that_is_refused_is_an_answer() {
    on_postgres(async |database| {
        const DEFERRED: Sql = Sql::new(
            "deferred",
            "ALTER TABLE probe ADD CONSTRAINT one_n UNIQUE (n) DEFERRABLE INITIALLY DEFERRED",
        );
        let db = with_probe(&database).await;
        db.write(|tx| tx.execute(DEFERRED, &[])).await.unwrap();
        let answer = db.write(|tx| insert(tx, 1, 7).and_then(|()| insert(tx, 2, 7))).await;
        assert_eq!(answer, Err(Error::UniqueViolation));
        assert_eq!(rows(&db).await, 0);
    });
}

#[test]
fn a_statement_that_takes_too_long_is_ended() {
    on_postgres(async |database| {
        const SLEEP: Sql = Sql::new("sleep", "SELECT CAST(pg_sleep(60) AS TEXT)");
        let options = Options { statement_timeout: Duration::from_millis(50), ..Options::new(NOW) };
        let db = Db::open(database.url(), options).unwrap();
        let answer = db.read(|tx| tx.all(SLEEP, &[], |row| row.text(0))).await;
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    });
}

/// A schema that changes under a running program must not fail its prepared statements for good.
#[test]
fn statements_are_prepared_anew_when_their_table_changed() {
    on_postgres(async |database| {
        const ALL: Sql = Sql::new("all", "SELECT * FROM probe WHERE id = ?1");
        const WIDEN: Sql = Sql::new("widen", "ALTER TABLE probe ALTER COLUMN n TYPE INTEGER");
        with_probe(&database).await.close().await;
        let db = Db::open(database.url(), Options { workers: 1, ..Options::new(NOW) }).unwrap();
        db.write(|tx| insert(tx, 1, 5)).await.unwrap();
        let second = || db.read(|tx| tx.one(ALL, params![1], |row| row.i64(1)));
        assert_eq!(second().await, Ok(5));
        let before = db.stats().retries;
        db.write(|tx| tx.execute(WIDEN, &[])).await.unwrap();
        assert_eq!(second().await, Ok(5));
        assert_eq!(db.stats().retries, before + 1);
        assert_eq!(db.read(|tx| get(tx, 1)).await, Ok(5));
    });
}

#[test]
fn a_server_that_is_not_there_is_said_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let url: DbUrl = format!("postgres:///x?host={}&user=x", directory.path().display()).parse().unwrap();
    let options = Options { patience: Duration::from_millis(200), ..Options::new(NOW) };
    let asked = Instant::now();
    let refused = Db::open(&url, options);
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(asked.elapsed() < Duration::from_secs(20));
}

/// Several programs that start at once migrate an empty database once.
#[test]
fn programs_that_start_together_migrate_once() {
    let Some(address) = postgres::empty_database() else { return };
    let url: DbUrl = address.parse().unwrap();
    let opened: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..6).map(|_| scope.spawn(|| Db::open(&url, Options::new(NOW)))).collect();
        starts.into_iter().map(|start| start.join().unwrap().err()).collect()
    });
    assert_eq!(opened, vec![None; 6]);
}
