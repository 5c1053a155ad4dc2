//! The schema and the statements, on both engines.

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
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let listed: Vec<&str> = tollgate_store::statements().into_iter().map(|(noun, _)| noun).collect();
    for file in std::fs::read_dir(sources).unwrap().map(Result::unwrap) {
        let path = file.path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let declares = path.is_file()
            && std::fs::read_to_string(&path)
                .unwrap()
                .lines()
                .any(|line| line.trim_end().ends_with("statements! {") && !line.starts_with("//"));
        assert!(
            !declares || listed.contains(&name.as_str()) || name == "sql",
            "{name}.rs is not in `nouns!`"
        );
    }
}
