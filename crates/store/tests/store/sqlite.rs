//! What is SQLite's own: shared commits, and one process per file.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::{fs, process};

use crate::probe::{PATIENCE, add, insert, rows, until, value, with_probe};
use tokio::task::JoinHandle;
use tollgate_store::{Db, DbUrl, Error, Options, Sql, params};
use tollgate_testkit::TestDb;
use tollgate_testkit::database::NOW;

/// Lets the writer start on a closure and stop there, so that others gather behind it.
async fn hold_the_writer(db: &Db) -> mpsc::SyncSender<()> {
    let (release, released) = mpsc::sync_channel(1);
    let (began, beginning) = mpsc::sync_channel(1);
    let held = db.clone();
    tokio::spawn(async move {
        held.write(move |_| {
            began.send(()).unwrap();
            released.recv_timeout(PATIENCE).unwrap();
            Ok::<_, Error>(())
        })
        .await
    });
    tokio::task::spawn_blocking(move || beginning.recv_timeout(PATIENCE)).await.unwrap().unwrap();
    release
}

/// Asks without waiting for the answer, but until the closure waits in the queue.
async fn queue<F>(db: &Db, closure: F) -> JoinHandle<Result<(), Error>>
where
    F: FnMut(&mut tollgate_store::Tx<'_>) -> Result<(), Error> + Send + 'static,
{
    let before = db.stats().queued;
    let asker = db.clone();
    let task = tokio::spawn(async move { asker.write(closure).await });
    until("it is queued", || async { db.stats().queued == before + 1 }).await;
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn closures_that_wait_share_one_commit() {
    let database = TestDb::sqlite();
    let db = with_probe(&database).await;
    db.write(|tx| insert(tx, 1, 0)).await.unwrap();
    let before = db.stats();
    let release = hold_the_writer(&db).await;
    let mut tasks = Vec::new();
    for _ in 0..60 {
        tasks.push(queue(&db, |tx| add(tx, 1, 1)).await);
    }
    release.send(()).unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!(value(&db, 1).await, Ok(60));
    let after = db.stats();
    assert_eq!((after.writes - before.writes, after.groups - before.groups), (61, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_only_whom_it_concerns() {
    const PAGES: Sql = Sql::new("pages", "SELECT page_count + 40 FROM pragma_page_count");
    const BIG: Sql = Sql::new("big", "INSERT INTO probe (id, n, b) VALUES (?1, 0, ?2)");
    let database = TestDb::sqlite();
    let db = with_probe(&database).await;
    let most: i64 = db.read(|tx| tx.one(PAGES, &[], |row| row.i64(0))).await.map_err(|e: Error| e).unwrap();
    let limit: &'static str = format!("PRAGMA max_page_count = {most}").leak();
    db.write(move |tx| tx.one(Sql::new("limit", limit), &[], |row| row.i64(0))).await.unwrap();

    let release = hold_the_writer(&db).await;
    let first = queue(&db, |tx| insert(tx, 1, 1)).await;
    let too_big = queue(&db, |tx| tx.execute(BIG, params![2, &vec![0_u8; 1 << 20]]).map(drop)).await;
    let last = queue(&db, |tx| insert(tx, 3, 3)).await;
    release.send(()).unwrap();

    assert_eq!(first.await.unwrap(), Ok(()));
    let too_big = too_big.await.unwrap();
    assert!(matches!(too_big, Err(Error::Unwritable(_))), "{too_big:?}");
    assert_eq!(last.await.unwrap(), Ok(()));
    assert_eq!((value(&db, 1).await, value(&db, 2).await, rows(&db).await), (Ok(1), Err(Error::NoRow), 2));
    assert!(db.stats().retries >= 2, "the group was lost and run again: {:?}", db.stats());
}

#[tokio::test]
async fn another_process_is_refused_the_file() {
    let database = TestDb::sqlite();
    let db = database.open();
    let path = database.url().path().unwrap();

    // In a process of its own: the shell's flock, where there is one, meets the same lock.
    let lock = format!("{}.lock", path.display());
    if let Ok(status) = process::Command::new("flock").args(["--nonblock", &lock, "true"]).status() {
        assert!(!status.success(), "the lock was to be had");
    }
    let refused = Db::open(database.url(), Options::new(NOW)).unwrap_err();
    assert_eq!(refused, Error::Locked(path.to_owned()));
    assert!(refused.to_string().contains("another process") && refused.to_string().contains("tollgate.db"));

    // However the path is spelled.
    let link = path.with_file_name("link.db");
    std::os::unix::fs::symlink(path, &link).unwrap();
    assert!(matches!(Db::open(&DbUrl::sqlite(&link), Options::new(NOW)), Err(Error::Locked(_))));

    db.close().await;
    Db::open(database.url(), Options::new(NOW)).unwrap().close().await;
}

#[tokio::test]
async fn the_files_are_their_owners_only() {
    let database = TestDb::sqlite();
    let db = with_probe(&database).await;
    let directory = database.url().path().unwrap().parent().unwrap();
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 3, "the file, its log and its lock: {files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    db.close().await;
}

#[test]
fn a_missing_directory_is_named() {
    let refused = Db::open(&DbUrl::sqlite("/nowhere/at/all.db"), Options::new(NOW)).unwrap_err();
    assert!(refused.to_string().contains("/nowhere/at/all.db"), "{refused}");
}

#[tokio::test]
async fn the_connections_are_set_for_durability() {
    const SETTINGS: Sql = Sql::new(
        "settings",
        "SELECT synchronous, foreign_keys, journal_mode FROM pragma_synchronous, pragma_foreign_keys, pragma_journal_mode",
    );
    let database = TestDb::sqlite();
    let db = database.open();
    let settings: Result<_, Error> =
        db.write(|tx| tx.one(SETTINGS, &[], |row| Ok((row.i64(0)?, row.i64(1)?, row.text(2)?)))).await;
    const FULL: i64 = 2;
    assert_eq!(settings, Ok((FULL, 1, "wal".to_owned())));
}
