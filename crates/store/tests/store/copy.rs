//! Copies, between every pair of engines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tempfile::TempDir;
use tollgate_store::copy::{CopyError, Progress, Source, Target};
use tollgate_store::{Db, DbUrl, Error, Options, Sql, Tx};
use tollgate_testkit::database::{NOW, databases};
use tollgate_testkit::{TestDb, postgres};

use crate::everything::{Everything, everything};
use crate::samples;

/// Runs async steps of a test; copies themselves are made outside of them.
fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn write<F>(database: &TestDb, mut work: F)
where
    F: FnMut(&mut Tx<'_>) -> Result<(), Error> + Send + 'static,
{
    wait(async {
        let db = database.open();
        db.write(move |tx| work(tx)).await.unwrap();
        db.close().await;
    });
}

fn options() -> Options {
    Options::new(NOW)
}

/// A database with rows in every table.
fn full(database: TestDb) -> TestDb {
    write(&database, samples::insert);
    if database.engine() == "postgres" {
        // Ids that were given as numbers are none that the sequences know of.
        let mut db = ::postgres::Client::connect(database.address(), ::postgres::NoTls).unwrap();
        db.batch_execute(PASS_IDS).unwrap();
    }
    database
}

const PASS_IDS: &str = "DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT table_name FROM information_schema.columns
             WHERE table_schema = current_schema() AND is_identity = 'YES' LOOP
        EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), (SELECT MAX(id) FROM %I))', t, 'id', t);
    END LOOP;
END $$";

fn copied(mut source: Source, mut target: Target) -> Result<(), CopyError> {
    target.fill(&mut source, &mut |_| {})?;
    Ok(target.commit()?)
}

fn copy(from: &TestDb, to: &TestDb) -> Result<(), CopyError> {
    copied(Source::online(from.url(), &options())?, Target::database(to.url(), &options())?)
}

/// A backup in a folder of its own.
struct Backup {
    _folder: TempDir,
    path: PathBuf,
}

impl Backup {
    fn of(database: &TestDb) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.db");
        fs::File::create(&path).unwrap();
        let source = Source::online(database.url(), &options()).unwrap();
        let target = Target::new_file(&path, &source, NOW).unwrap();
        copied(source, target).unwrap();
        Self { _folder: folder, path }
    }

    fn open(&self) -> Result<Source, CopyError> {
        Source::backup(&self.path, &options())
    }

    fn restore(&self, to: &TestDb) -> Result<(), CopyError> {
        copied(self.open()?, Target::database(to.url(), &options())?)
    }
}

/// Whoever adds a table adds rows of it to the samples; without them its copy would be untested.
#[test]
fn the_samples_fill_every_table_on_both_engines() {
    for database in databases() {
        let database = full(database);
        let rows = everything(&database);
        let empty: Vec<_> =
            rows.iter().filter(|(_, table)| table.rows.is_empty()).map(|(name, _)| name).collect();
        assert!(empty.is_empty(), "{}: no sample rows of {empty:?}", database.engine());
    }
}

/// Tables and columns by name: what is found in the one schema is what there is in the other.
#[test]
fn both_engines_have_the_same_tables_and_columns() {
    let shapes: Vec<BTreeMap<String, BTreeSet<String>>> = databases()
        .iter()
        .map(|database| {
            write(database, |_| Ok(()));
            everything(database).into_iter().map(|(name, table)| (name, table.columns)).collect()
        })
        .collect();
    assert!(shapes[0].len() > 20, "{:?}", shapes[0]);
    assert!(shapes.iter().all(|shape| *shape == shapes[0]));
}

#[test]
fn every_pair_of_engines_copies_everything() {
    for from in databases().into_iter().map(full) {
        for to in databases() {
            copy(&from, &to).unwrap();
            assert_eq!(everything(&to), everything(&from), "{} to {}", from.engine(), to.engine());
        }
    }
}

#[test]
fn a_backup_of_either_engine_is_restored_on_either() {
    for from in databases().into_iter().map(full) {
        let backup = Backup::of(&from);
        assert_eq!(backup.open().unwrap().made_at(), Ok(Some(NOW)));
        for to in databases() {
            backup.restore(&to).unwrap();
            assert_eq!(everything(&to), everything(&from), "{} to {}", from.engine(), to.engine());
        }
    }
}

#[test]
fn a_backup_is_one_file() {
    let backup = Backup::of(&full(TestDb::sqlite()));
    backup.open().unwrap();
    let beside: Vec<_> = fs::read_dir(backup.path.parent().unwrap()).unwrap().map(Result::unwrap).collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

#[test]
fn a_backup_can_itself_be_served_and_backed_up() {
    let from = full(TestDb::sqlite());
    let backup = Backup::of(&from);
    let before = everything(&from);
    let url = DbUrl::sqlite(&backup.path);
    wait(async {
        let db = Db::open(&url, options()).unwrap();
        db.write(|tx| samples::insert_account(tx, "later").map(drop)).await.unwrap();
        db.close().await;
    });
    // What it said of itself holds no longer, and is not held against it.
    let mut source = backup.open().unwrap();
    assert_eq!(source.made_at(), Ok(None));
    let to = TestDb::sqlite();
    copied(source, Target::database(to.url(), &options()).unwrap()).unwrap();
    assert_eq!(everything(&to)["accounts"].rows.len(), before["accounts"].rows.len() + 1);
}

#[test]
fn no_id_is_given_out_twice() {
    for from in databases().into_iter().map(full) {
        // Given out and gone: nobody can see it in the rows any more.
        write(&from, |tx| samples::insert_account(tx, "gone").and_then(|id| samples::delete_account(tx, id)));
        let next = next_account(&from, "next");
        for to in databases() {
            copy(&from, &to).unwrap();
            assert_eq!(next_account(&to, "after"), next + 1, "{} to {}", from.engine(), to.engine());
        }
    }
}

fn next_account(database: &TestDb, name: &'static str) -> i64 {
    let given = Arc::new(AtomicI64::new(0));
    let id = given.clone();
    write(database, move |tx| {
        id.store(samples::insert_account(tx, name)?, Ordering::SeqCst);
        Ok(())
    });
    given.load(Ordering::SeqCst)
}

#[test]
fn after_a_restore_ids_go_on_far_behind_those_that_may_be_known_outside() {
    let from = full(TestDb::sqlite());
    let next = next_account(&from, "next");
    for to in databases() {
        let mut source = Source::online(from.url(), &options()).unwrap();
        let mut target = Target::database(to.url(), &options()).unwrap();
        target.fill(&mut source, &mut |_| {}).unwrap();
        target.leave_gaps().unwrap();
        target.commit().unwrap();
        assert_eq!(next_account(&to, "after"), next + 1 + (1 << 20), "{}", to.engine());
        let lease = Arc::new(AtomicI64::new(0));
        let id = lease.clone();
        write(&to, move |tx| {
            id.store(samples::insert_lease(tx)?, Ordering::SeqCst);
            Ok(())
        });
        assert!(lease.load(Ordering::SeqCst) > 1 << 36, "{}: {lease:?}", to.engine());
    }
}

#[test]
fn a_database_that_is_not_empty_is_refused_and_stays_as_it_was() {
    let from = full(TestDb::sqlite());
    for to in databases() {
        write(&to, |tx| samples::insert_account(tx, "precious").map(drop));
        let before = everything(&to);
        let refused = Target::database(to.url(), &options()).unwrap_err();
        assert_eq!(refused, CopyError::NotEmpty { table: "accounts".to_owned() });
        assert!(refused.to_string().contains("its table accounts has rows"), "{refused}");
        assert_eq!(everything(&to), before);
    }
    drop(from);
}

/// A server that was started once leaves the proof of its key, and nothing else.
#[test]
fn a_database_that_has_only_been_opened_is_empty() {
    let from = full(TestDb::sqlite());
    for to in databases() {
        write(&to, |tx| tollgate_store::directory::set_meta(tx, "master_key_proof", "another"));
        copy(&from, &to).unwrap();
        assert_eq!(everything(&to), everything(&from));
    }
}

#[test]
fn a_copy_that_is_not_committed_leaves_nothing() {
    let from = full(TestDb::sqlite());
    for to in databases() {
        write(&to, |_| Ok(()));
        let empty = everything(&to);
        let mut source = Source::online(from.url(), &options()).unwrap();
        let mut target = Target::database(to.url(), &options()).unwrap();
        let written = target.fill(&mut source, &mut |_| {}).unwrap();
        assert!(written.iter().all(|written| written.contents.rows() > 0));
        drop(target);
        assert_eq!(everything(&to), empty);
        copy(&from, &to).unwrap();
        assert_eq!(everything(&to), everything(&from));
    }
}

#[test]
fn a_copy_that_fails_half_way_leaves_nothing_and_names_the_table() {
    let from = full(TestDb::sqlite());
    for to in databases() {
        const ONE_ACTOR: Sql = Sql::new("index", "CREATE UNIQUE INDEX one_actor ON audit_log (actor)");
        write(&to, |tx| tx.execute(ONE_ACTOR, &[]).map(drop));
        let empty = everything(&to);
        let failed = copy(&from, &to).unwrap_err();
        let wanted = CopyError::Table { table: "audit_log".to_owned(), why: Error::UniqueViolation };
        assert_eq!(failed, wanted, "{}", to.engine());
        assert_eq!(everything(&to), empty);
    }
}

#[test]
fn a_row_that_refers_to_nothing_is_refused() {
    let from = full(TestDb::sqlite());
    let db = rusqlite::Connection::open(from.url().path().unwrap()).unwrap();
    db.pragma_update(None, "foreign_keys", "OFF").unwrap();
    db.execute("DELETE FROM package_offers", []).unwrap();
    drop(db);
    for to in databases() {
        write(&to, |_| Ok(()));
        let empty = everything(&to);
        let refused = copy(&from, &to).unwrap_err();
        assert!(
            matches!(&refused, CopyError::Dangling { table } if table.contains("package")),
            "{refused:?}"
        );
        assert_eq!(everything(&to), empty);
        // The target goes on demanding it.
        write(&to, |tx| samples::insert_account(tx, "fine").map(drop));
        assert!(orphan_is_refused(&to), "{}", to.engine());
    }
}

fn orphan_is_refused(database: &TestDb) -> bool {
    const ORPHAN: Sql = Sql::new("orphan", "INSERT INTO wallets (account_id) VALUES (4711)");
    wait(async {
        let db = database.open();
        let answer: Result<u64, Error> = db.write(|tx| tx.execute(ORPHAN, &[])).await;
        db.close().await;
        answer == Err(Error::CheckViolation)
    })
}

#[test]
fn references_are_demanded_again_after_a_copy() {
    let from = full(TestDb::sqlite());
    for to in databases() {
        copy(&from, &to).unwrap();
        assert!(orphan_is_refused(&to), "{}", to.engine());
    }
}

#[test]
fn many_rows_come_in_batches_and_are_told_of() {
    for from in databases() {
        write(&from, |tx| (0..3500).try_for_each(|n| samples::insert_long_row(tx, n)));
        for to in databases() {
            let mut told = Vec::new();
            let mut source = Source::online(from.url(), &options()).unwrap();
            let mut target = Target::database(to.url(), &options()).unwrap();
            let mut tell = |Progress { table, rows }: Progress<'_>| {
                if table == "audit_log" {
                    told.push(rows);
                }
            };
            target.fill(&mut source, &mut tell).unwrap();
            target.commit().unwrap();
            assert_eq!(told, [1000, 2000, 3000, 3500]);
            assert_eq!(everything(&to), everything(&from), "{} to {}", from.engine(), to.engine());
        }
    }
}

/// The server holds its lock and writes as fast as it can; each copy is one state of what it wrote.
#[test]
fn a_database_in_use_is_copied_as_it_was_at_one_moment() {
    for from in databases() {
        let from = full(from);
        // So much lies between what is written together that a copy takes a while to get there.
        write(&from, |tx| (0..10_000).try_for_each(|n| samples::insert_between(tx, n)));
        let stop = Arc::new(AtomicBool::new(false));
        let db = wait(async { from.open() });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (writer, stopped) = (db.clone(), stop.clone());
        let writing = runtime.spawn(async move {
            let mut written = 0_i64;
            while !stopped.load(Ordering::SeqCst) {
                writer.write(move |tx| samples::insert_entry(tx, written)).await.unwrap();
                written += 1;
            }
            written
        });
        let mut entries = Vec::new();
        for _ in 0..4 {
            let before = entries.last().copied().unwrap_or(0);
            runtime.block_on(crate::probe::until("something is written", || async {
                db.read(samples::count_entries).await.unwrap() > before
            }));
            let backup = Backup::of(&from);
            let tables = rows_of(&backup);
            let counts = ["entries", "postings", "audit_log"].map(|name| tables[name].rows.len());
            assert_eq!(counts[1..], [2 * counts[0], counts[0]], "{}: {counts:?}", from.engine());
            entries.push(i64::try_from(counts[0]).unwrap());
        }
        stop.store(true, Ordering::SeqCst);
        let written = runtime.block_on(writing).unwrap();
        runtime.block_on(db.close());
        assert!(entries.windows(2).all(|pair| pair[0] < pair[1]), "{entries:?}");
        assert!(written + 10 > entries[3], "{written} written, {entries:?}");
    }
}

fn rows_of(backup: &Backup) -> Everything {
    let to = TestDb::sqlite();
    backup.restore(&to).unwrap();
    everything(&to)
}

#[test]
fn a_server_keeps_its_database_from_being_moved_or_written_over() {
    for database in databases() {
        let db = wait(async {
            let db = database.open();
            // PostgreSQL's workers connect when they are first needed.
            db.read(samples::count_entries).await.unwrap();
            db
        });
        let quick = Options { patience: std::time::Duration::from_millis(100), ..options() };
        for refused in [
            Source::alone(database.url(), &quick).map(drop).unwrap_err(),
            Target::database(database.url(), &quick).map(drop).unwrap_err(),
        ] {
            match (database.engine(), &refused) {
                ("sqlite", CopyError::Store(Error::Locked(_))) | (_, CopyError::InUse(1..)) => {}
                other => panic!("{other:?}"),
            }
        }
        Source::online(database.url(), &quick).unwrap();
        wait(db.close());
        Source::alone(database.url(), &options()).unwrap();
        Target::database(database.url(), &options()).unwrap();
    }
}

#[test]
fn a_database_cannot_be_moved_onto_itself() {
    for database in databases() {
        write(&database, |_| Ok(()));
        let source = Source::alone(database.url(), &options()).unwrap();
        let quick = Options { patience: std::time::Duration::from_millis(100), ..options() };
        let refused = Target::database(database.url(), &quick).unwrap_err();
        assert!(
            matches!(refused, CopyError::Store(Error::Locked(_)) | CopyError::InUse(1)),
            "{}: {refused:?}",
            database.engine()
        );
        drop(source);
    }
}

#[test]
fn what_is_no_backup_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Source::backup(&path, &options()).unwrap_err()
    };
    assert_eq!(open(b""), CopyError::NoDatabase);
    let text = open(&b"hello, world\n".repeat(1000));
    assert!(matches!(&text, CopyError::Damaged(why) if why.contains("not a database")), "{text:?}");

    fs::remove_file(&path).unwrap();
    let another = rusqlite::Connection::open(&path).unwrap();
    another.execute("CREATE TABLE accounts (id INTEGER)", []).unwrap();
    drop(another);
    assert_eq!(Source::backup(&path, &options()).unwrap_err(), CopyError::NoDatabase);
    if let Some(address) = postgres::empty_database() {
        let refused = Source::online(&address.parse().unwrap(), &options()).unwrap_err();
        assert_eq!(refused, CopyError::NoDatabase);
    }
}

#[test]
fn a_backup_cut_short_is_refused_wherever_it_is_cut() {
    let backup = Backup::of(&full(TestDb::sqlite()));
    let whole = fs::read(&backup.path).unwrap();
    for twelfths in 1..12 {
        fs::write(&backup.path, &whole[..whole.len() * twelfths / 12]).unwrap();
        let refused = backup.open().unwrap_err();
        assert!(matches!(refused, CopyError::Damaged(_)), "{twelfths}/12: {refused:?}");
    }
}

/// SQLite itself would not notice another letter in a text.
#[test]
fn a_backup_in_which_a_byte_has_changed_is_refused() {
    let backup = Backup::of(&full(TestDb::sqlite()));
    let mut bytes = fs::read(&backup.path).unwrap();
    let mail = b"ann@example.com";
    let at = bytes.windows(mail.len()).position(|window| window == mail).unwrap();
    bytes[at] ^= 1;
    fs::write(&backup.path, bytes).unwrap();
    let refused = backup.open().unwrap_err();
    let why = "the table accounts does not hold what was written to it".to_owned();
    assert_eq!(refused, CopyError::Damaged(why));
}

#[test]
fn a_backup_of_a_newer_program_is_refused() {
    let backup = Backup::of(&full(TestDb::sqlite()));
    let db = rusqlite::Connection::open(&backup.path).unwrap();
    db.execute("INSERT INTO schema_migrations VALUES (9999, 'flying cars', 'x', 0)", []).unwrap();
    drop(db);
    match backup.open().unwrap_err() {
        CopyError::Store(Error::Migration(why)) => assert!(why.contains("newer version"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_database_left_by_a_crash_is_copied() {
    let from = full(TestDb::sqlite());
    let path = from.url().path().unwrap();
    // What a power cut leaves: the file as it was, and a log that nobody has put into it yet.
    let db = wait(async {
        let db = from.open();
        db.write(|tx| samples::insert_account(tx, "in the log").map(drop)).await.unwrap();
        db
    });
    let folder = tempfile::tempdir().unwrap();
    for ending in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        fs::copy(name(path), name(&folder.path().join("left.db"))).unwrap();
    }
    wait(db.close());
    let to = TestDb::sqlite();
    let source = Source::online(&DbUrl::sqlite(folder.path().join("left.db")), &options()).unwrap();
    copied(source, Target::database(to.url(), &options()).unwrap()).unwrap();
    assert_eq!(everything(&to), everything(&from));
}
