//! The schema and the statements, on both engines.

use std::path::Path;

use tollgate_store::{Db, Error, Options, Sql};
use tollgate_testkit::database::NOW;
use tollgate_testkit::on_both_databases;

const COUNT_MIGRATIONS: Sql =
    Sql::new("count", "SELECT COUNT(*), CAST(MIN(applied_at) AS BIGINT) FROM schema_migrations");
const SPOIL: Sql = Sql::new("spoil", "UPDATE schema_migrations SET checksum = 'x' WHERE version = 1");
const FROM_THE_FUTURE: Sql = Sql::new(
    "future",
    "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (9999, 'flying cars', 'x', 0)",
);

on_both_databases! {
    async fn opening_again_migrates_nothing(database) {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let db = database.open();
            let row = db.read(|tx| tx.one(COUNT_MIGRATIONS, &[], |row| Ok((row.i64(0)?, row.i64(1)?)))).await;
            seen.push(row);
            db.close().await;
        }
        assert!(matches!(seen[0], Ok((count, _)) if count >= 1), "{seen:?}");
        assert_eq!(seen[0], seen[1]);
    }

    async fn an_edited_migration_is_refused(database) {
        assert_refused(&database, SPOIL, "has been changed").await;
    }

    async fn a_newer_database_is_refused(database) {
        assert_refused(&database, FROM_THE_FUTURE, "newer version of this program").await;
    }

    /// What a compiler would check of any other language.
    async fn every_statement_prepares(database) {
        let db = database.open();
        let mut wrong = Vec::new();
        for (noun, statements) in tollgate_store::statements() {
            assert!(!statements.is_empty(), "{noun} declares no statements");
            for sql in statements.iter().copied() {
                wrong.extend(db.read(move |tx| tx.prepare(sql)).await.err());
            }
        }
        assert_eq!(wrong, Vec::<Error>::new());
    }
}

async fn assert_refused(database: &tollgate_testkit::TestDb, change: Sql, wanted: &str) {
    let db = database.open();
    let changed: Result<u64, Error> = db.write(move |tx| tx.execute(change, &[])).await;
    assert_eq!(changed, Ok(1));
    db.close().await;
    match Db::open(database.url(), Options::new(NOW)) {
        Err(Error::Migration(why)) => assert!(why.contains(wanted), "{why}"),
        other => panic!("opened all the same: {other:?}"),
    }
}

/// Declaring statements and leaving them out of `nouns!` would leave them untested.
#[test]
fn every_file_with_statements_is_listed() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let listed: Vec<String> =
        tollgate_store::statements().into_iter().map(|(noun, _)| noun.replace(' ', "")).collect();
    let (mut folders, mut declaring) = (vec![sources.clone()], 0);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if declares_statements(&path) {
                let inside = path.strip_prefix(&sources).unwrap().with_extension("");
                let noun: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
                assert!(listed.contains(&noun.join("::")), "{} is not in `nouns!`", path.display());
                declaring += 1;
            }
        }
    }
    assert_eq!(declaring, listed.len(), "each of {listed:?} is a file with statements");
}

fn declares_statements(path: &Path) -> bool {
    let is_source = path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("sql.rs");
    let declares = |line: &str| line.trim_end().ends_with("statements! {") && !line.starts_with("//");
    is_source && std::fs::read_to_string(path).unwrap().lines().any(declares)
}
