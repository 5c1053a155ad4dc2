//! What a transaction promises, on both engines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::probe::{PATIENCE, add, count, get, insert, rows, until, value, with_probe};
use tollgate_store::{Db, Error, Options, Sql, params};
use tollgate_testkit::database::NOW;
use tollgate_testkit::on_both_databases;

/// An error of a room above, as the closures return it.
#[derive(Debug, PartialEq)]
enum Refused {
    Rule,
    Store(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

on_both_databases! {
    async fn concurrent_writes_are_all_there_whatever_happens_to_others(database) {
        let db = with_probe(&database).await;
        db.write(|tx| insert(tx, 1, 0)).await.unwrap();
        let tasks: Vec<_> = (0..300)
            .map(|i| {
                let db = db.clone();
                tokio::spawn(async move {
                    db.write(move |tx| {
                        add(tx, 1, 1)?;
                        // Every third changes its mind, every tenth breaks a rule of the table.
                        match i {
                            _ if i % 10 == 0 => add(tx, 1, -1_000_000).map_err(Refused::from),
                            _ if i % 3 == 0 => Err(Refused::Rule),
                            _ => Ok(()),
                        }
                    })
                    .await
                })
            })
            .collect();
        let mut committed = 0;
        for (i, task) in tasks.into_iter().enumerate() {
            match task.await.unwrap() {
                Ok(()) => committed += 1,
                Err(Refused::Rule) => assert!(i % 3 == 0),
                Err(Refused::Store(error)) => {
                    assert_eq!((i % 10, error), (0, Error::CheckViolation));
                }
            }
        }
        assert_eq!(committed, (0..300).filter(|i| i % 10 != 0 && i % 3 != 0).count());
        assert_eq!(value(&db, 1).await, Ok(committed as i64));
    }

    async fn what_is_answered_can_be_read_at_once(database) {
        let db = with_probe(&database).await;
        for id in 0..50 {
            db.write(move |tx| insert(tx, id, id)).await.unwrap();
            assert_eq!(value(&db, id).await, Ok(id));
        }
    }

    async fn an_error_rolls_back(database) {
        let db = with_probe(&database).await;
        let answer = db
            .write(|tx| {
                insert(tx, 1, 1)?;
                insert(tx, 2, 2)?;
                Err::<(), _>(Refused::Rule)
            })
            .await;
        assert_eq!(answer, Err(Refused::Rule));
        assert_eq!(rows(&db).await, 0);
    }

    async fn a_failed_statement_ends_the_transaction_even_if_it_is_ignored(database) {
        let db = with_probe(&database).await;
        let answer = db
            .write(|tx| {
                insert(tx, 1, 1)?;
                assert_eq!(insert(tx, 1, 1), Err(Error::UniqueViolation));
                assert_eq!(insert(tx, 2, 2), Err(Error::UniqueViolation), "it is over");
                Ok::<_, Error>(())
            })
            .await;
        assert_eq!(answer, Err(Error::UniqueViolation));
        assert_eq!(rows(&db).await, 0);
    }

    async fn a_row_that_is_not_there_ends_nothing(database) {
        let db = with_probe(&database).await;
        let answer = db
            .write(|tx| {
                assert_eq!(get(tx, 1), Err(Error::NoRow));
                insert(tx, 1, 1)
            })
            .await;
        assert_eq!(answer, Ok(()));
        assert_eq!(rows(&db).await, 1);
    }

    async fn violations_are_told_apart(database) {
        let db = with_probe(&database).await;
        const ORPHAN: Sql = Sql::new("orphan", "INSERT INTO wallets (account_id) VALUES (?1)");
        const NULL: Sql = Sql::new("null", "INSERT INTO probe (id, n) VALUES (?1, NULL)");
        const TYPO: Sql = Sql::new("typo", "SELECT nothing FROM probe");
        assert_eq!(db.write(|tx| insert(tx, 1, -1)).await, Err(Error::CheckViolation));
        assert_eq!(db.write(|tx| tx.execute(ORPHAN, params![77])).await, Err(Error::CheckViolation));
        assert_eq!(db.write(|tx| tx.execute(NULL, params![1])).await, Err(Error::CheckViolation));
        match db.read(|tx| tx.execute(TYPO, &[])).await {
            Err(Error::Unexpected(why)) => assert!(why.starts_with("typo: "), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    async fn a_panic_rolls_back_and_hurts_nobody_else(database) {
        let db = with_probe(&database).await;
        let runs = Arc::new(AtomicU64::new(0));
        let counted = runs.clone();
        let answer = db
            .write(move |tx| {
                counted.fetch_add(1, Ordering::Relaxed);
                insert(tx, 1, 1)?;
                if count(tx)? == 1 {
                    panic!("of the test");
                }
                Ok::<_, Error>(())
            })
            .await;
        assert_eq!(
            answer,
            Err(Error::Unexpected("a transaction's closure panicked: of the test".to_owned()))
        );
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(rows(&db).await, 0);
        assert_eq!(db.write(|tx| insert(tx, 1, 1)).await, Ok(()));
    }

    async fn a_reader_cannot_write(database) {
        let db = with_probe(&database).await;
        let answer = db.read(|tx| insert(tx, 1, 1)).await;
        assert!(matches!(answer, Err(Error::Unexpected(_))), "{answer:?}");
        assert_eq!(rows(&db).await, 0);
    }

    async fn a_read_sees_one_state(database) {
        let db = with_probe(&database).await;
        let (began, beginning) = mpsc::sync_channel(1);
        let (written, writing) = mpsc::sync_channel(1);
        let reader = tokio::spawn({
            let db = db.clone();
            async move {
                db.read(move |tx| {
                    let before = count(tx)?;
                    began.send(()).unwrap();
                    writing.recv_timeout(PATIENCE).unwrap();
                    Ok::<_, Error>((before, count(tx)?))
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || beginning.recv_timeout(PATIENCE)).await.unwrap().unwrap();
        db.write(|tx| insert(tx, 1, 1)).await.unwrap();
        written.send(()).unwrap();
        assert_eq!(reader.await.unwrap(), Ok((0, 0)));
        assert_eq!(rows(&db).await, 1);
    }

    async fn an_asker_that_leaves_half_way_changes_nothing(database) {
        let db = with_probe(&database).await;
        let (began, beginning) = mpsc::sync_channel(1);
        let (gone, going) = mpsc::sync_channel(1);
        let asker = tokio::spawn({
            let db = db.clone();
            async move {
                db.write(move |tx| {
                    insert(tx, 1, 1)?;
                    began.send(()).unwrap();
                    going.recv_timeout(PATIENCE).unwrap();
                    insert(tx, 2, 2)
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || beginning.recv_timeout(PATIENCE)).await.unwrap().unwrap();
        asker.abort();
        assert!(asker.await.unwrap_err().is_cancelled());
        gone.send(()).unwrap();
        until("both rows are there", || async { rows(&db).await == 2 }).await;
    }

    async fn a_full_queue_says_so_in_time(database) {
        with_probe(&database).await.close().await;
        let options =
            Options { queue: 1, workers: 1, patience: Duration::from_millis(50), ..Options::new(NOW) };
        let db = Db::open(database.url(), options).unwrap();
        let (release, released) = mpsc::sync_channel(1);
        let (began, beginning) = mpsc::sync_channel(1);
        let first = tokio::spawn({
            let db = db.clone();
            async move {
                db.write(move |tx| {
                    insert(tx, 1, 1)?;
                    began.send(()).unwrap();
                    released.recv_timeout(PATIENCE).unwrap();
                    Ok::<_, Error>(())
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || beginning.recv_timeout(PATIENCE)).await.unwrap().unwrap();
        let second = tokio::spawn({
            let db = db.clone();
            async move { db.write(|tx| insert(tx, 2, 2)).await }
        });
        until("the second waits", || async { db.stats().queued == 1 }).await;
        let third = db.write(|tx| insert(tx, 3, 3)).await;
        assert_eq!(third, Err(Error::Unavailable("too many transactions are waiting".to_owned())));
        release.send(()).unwrap();
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(()), Ok(())));
        assert_eq!(rows(&db).await, 2);
    }

    async fn closing_runs_what_waits_and_takes_no_more(database) {
        let db = with_probe(&database).await;
        let (release, released) = mpsc::sync_channel(1);
        let (began, beginning) = mpsc::sync_channel(1);
        let slow = tokio::spawn({
            let db = db.clone();
            async move {
                db.write(move |tx| {
                    began.send(()).unwrap();
                    released.recv_timeout(PATIENCE).unwrap();
                    insert(tx, 1, 1)
                })
                .await
            }
        });
        tokio::task::spawn_blocking(move || beginning.recv_timeout(PATIENCE)).await.unwrap().unwrap();
        let closing = tokio::spawn({
            let db = db.clone();
            async move { db.close().await }
        });
        until("it takes no more", || async { value(&db, 1).await != Err(Error::NoRow) }).await;
        assert_eq!(value(&db, 1).await, Err(Error::Unavailable("the database is closed".to_owned())));
        release.send(()).unwrap();
        closing.await.unwrap();
        assert_eq!(slow.await.unwrap(), Ok(()));
        assert_eq!(rows(&database.open()).await, 1);
    }

    async fn values_come_back_as_they_went(database) {
        let db = with_probe(&database).await;
        const BLOB: Sql = Sql::new("blob", "INSERT INTO probe (id, n, b) VALUES (?1, ?2, ?3) RETURNING id");
        const ALL: Sql = Sql::new("all", "SELECT id, b FROM probe ORDER BY id");
        const KINDS: Sql = Sql::new(
            "kinds",
            "SELECT 1, COUNT(*), EXISTS (SELECT 1 FROM probe), CAST(?1 AS TEXT), CAST(?2 AS BIGINT) FROM probe",
        );
        let id = db.write(|tx| tx.insert(BLOB, params![i64::MAX, 0, &[0_u8, 255]])).await;
        assert_eq!(id, Ok::<_, Error>(i64::MAX));
        db.write(|tx| tx.insert(BLOB, params![i64::MIN, 0, None::<&[u8]>])).await.unwrap();
        let all = db.read(|tx| tx.all(ALL, &[], |row| Ok((row.i64(0)?, row.opt_blob(1)?)))).await;
        assert_eq!(all, Ok::<_, Error>(vec![(i64::MIN, None), (i64::MAX, Some(vec![0, 255]))]));
        let kinds = db
            .read(|tx| {
                tx.one(KINDS, params!["straße 🚧", None::<i64>], |row| {
                    let truth = row.bool(2)?;
                    Ok((row.i64(0)?, row.i64(1)?, truth, row.text(3)?, row.opt_i64(4)?))
                })
            })
            .await;
        assert_eq!(kinds, Ok::<_, Error>((1, 2, true, "straße 🚧".to_owned(), None)));
    }

    async fn rows_that_do_not_fit_are_defects(database) {
        let db = with_probe(&database).await;
        const TWO: Sql = Sql::new("two", "SELECT id, b FROM probe");
        db.write(|tx| insert(tx, 1, 1).and_then(|()| insert(tx, 2, 2))).await.unwrap();
        let two = db.read(|tx| tx.opt(TWO, &[], |row| row.i64(0))).await;
        assert_eq!(two, Err(Error::Unexpected("two: more than one row".to_owned())));
        let null = db.read(|tx| tx.all(TWO, &[], |row| row.blob(1))).await;
        assert_eq!(null, Err(Error::Unexpected("two: column 1 is NULL".to_owned())));
        for wrong in [db.read(|tx| tx.all(TWO, &[], |row| row.text(0))).await.err(),
                      db.read(|tx| tx.all(TWO, &[], |row| row.i64(9))).await.err()] {
            assert!(matches!(wrong, Some(Error::Unexpected(_))), "{wrong:?}");
        }
    }

    async fn a_nul_character_is_refused(database) {
        let db = with_probe(&database).await;
        const ECHO: Sql = Sql::new("echo", "SELECT CAST(?1 AS TEXT)");
        let answer: Result<String, Error> = db.read(|tx| tx.one(ECHO, params!["a\0b"], |row| row.text(0))).await;
        assert_eq!(answer, Err(Error::Unexpected("echo: a text holds a NUL character".to_owned())));
    }

    async fn parameters_are_bound_by_their_numbers(database) {
        let db = database.open();
        const SWAPPED: Sql = Sql::new("swapped", "SELECT CAST(?2 AS BIGINT), CAST(?1 AS BIGINT), '?1'");
        let row = db
            .read(|tx| tx.one(SWAPPED, params![10, 20], |row| Ok((row.i64(0)?, row.i64(1)?, row.text(2)?))))
            .await;
        assert_eq!(row, Ok::<_, Error>((20, 10, "?1".to_owned())));
    }
}
