//! Copies of databases that lack migrations, which no released list of them can show.

use std::fs::File;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{Sql, params};

const NOW: Time = Time::from_micros(1_767_225_600_000_000);

static FIRST: &[Migration] =
    &[Migration { version: 1, name: "spine", text: include_str!("../migrations/0001_spine.sql") }];

/// What a later program knows: it changes what is there, and has rows to begin with.
static BOTH: &[Migration] = &[
    Migration { version: 1, name: "spine", text: include_str!("../migrations/0001_spine.sql") },
    Migration {
        version: 2,
        name: "names",
        text: "ALTER TABLE meta ADD COLUMN shown TEXT NOT NULL DEFAULT '';
               UPDATE meta SET shown = name || ' is ' || value;
               CREATE TABLE nicknames (id {id}, meta TEXT NOT NULL REFERENCES meta (name)) {strict};
               INSERT INTO nicknames (meta) SELECT name FROM meta;",
    },
];

fn options() -> Options {
    Options::new(NOW)
}

fn empty_file(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    File::create(&path).unwrap();
    path
}

/// A database as the first program made it.
fn of_the_first(folder: &TempDir) -> PathBuf {
    let path = empty_file(folder, "first.db");
    let file = SqliteEnd::new_file(&path).unwrap();
    file.begin_to_write().unwrap();
    migrate::create(&mut file.tx(), &Dialect::SQLITE, FIRST, NOW).unwrap();
    crate::directory::set_meta(&mut file.tx(), "colour", "blue").unwrap();
    file.commit().unwrap();
    path
}

/// A database in use, seen by a program that knows these migrations.
fn looked_at(path: &Path, known: &'static [Migration]) -> Source {
    Source::of(End::online(&DbUrl::sqlite(path), &options()).unwrap(), known).unwrap()
}

fn backed_up(mut source: Source, path: &Path) -> Vec<Written> {
    let mut target = Target::new_file(path, &source, NOW).unwrap();
    let written = target.fill(&mut source, &mut |_| {}).unwrap().to_vec();
    target.commit().unwrap();
    written
}

fn shown(source: &mut Source) -> String {
    source.tx().one(Sql::new("shown", "SELECT shown FROM meta"), params![], |row| row.text(0)).unwrap()
}

#[test]
fn an_old_backup_is_brought_up_to_date_in_a_copy_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let old = empty_file(&folder, "old.db");
    let before = looked_at(&of_the_first(&folder), FIRST);
    assert!(!before.is_outdated());
    backed_up(before, &old);

    let source = Source::backup_of(&old, &options(), BOTH).unwrap();
    assert!(source.is_outdated());
    let new = empty_file(&folder, "new.db");
    let written = backed_up(source, &new);
    let rows = |name: &str| written.iter().find(|of| of.table == name).unwrap().contents.rows();
    assert_eq!((rows("meta"), rows("nicknames"), rows("accounts")), (1, 1, 0));

    // And is a backup like any other, which says what is in it.
    let mut source = Source::backup_of(&new, &options(), BOTH).unwrap();
    assert!(!source.is_outdated());
    assert_eq!(source.made_at(), Ok(Some(NOW)));
    assert_eq!(shown(&mut source), "colour is blue");
    // The old one stays as it was.
    assert!(Source::backup_of(&old, &options(), FIRST).is_ok());
}

#[test]
fn a_running_older_program_is_backed_up_by_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = of_the_first(&folder);
    let source = looked_at(&first, BOTH);
    assert!(source.is_outdated());
    let new = empty_file(&folder, "new.db");
    backed_up(source, &new);
    assert_eq!(shown(&mut Source::backup_of(&new, &options(), BOTH).unwrap()), "colour is blue");
    assert_eq!(looked_at(&first, BOTH).shape.version, 1, "the database itself is left alone");
}

#[test]
fn a_newer_backup_is_refused_by_an_older_program() {
    let folder = tempfile::tempdir().unwrap();
    let new = empty_file(&folder, "new.db");
    backed_up(looked_at(&of_the_first(&folder), BOTH), &new);
    match Source::backup_of(&new, &options(), FIRST).unwrap_err() {
        CopyError::Store(Error::Migration(why)) => assert!(why.contains("newer version"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_source_is_not_copied_into_another_schema() {
    let folder = tempfile::tempdir().unwrap();
    let new = empty_file(&folder, "new.db");
    backed_up(looked_at(&of_the_first(&folder), BOTH), &new);
    let newer = Source::backup_of(&new, &options(), BOTH).unwrap();
    let mut target = Target::new_file(&empty_file(&folder, "target.db"), &newer, NOW).unwrap();
    let refused = target.fill(&mut looked_at(&of_the_first(&folder), BOTH), &mut |_| {}).unwrap_err();
    assert!(
        matches!(&refused, CopyError::Store(Error::Unexpected(why)) if why.contains("schemas")),
        "{refused:?}"
    );
}

#[test]
fn a_file_that_does_not_say_what_is_in_it_is_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Source::backup_of(&of_the_first(&folder), &options(), FIRST).unwrap_err();
    assert!(matches!(&refused, CopyError::Damaged(why) if why.contains("was not finished")), "{refused:?}");
}

#[test]
fn what_was_not_copied_faithfully_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = looked_at(&of_the_first(&folder), FIRST);
    let mut target = Target::new_file(&empty_file(&folder, "new.db"), &source, NOW).unwrap();
    // Something that nobody should have put there.
    const MEDDLE: &str = "CREATE TRIGGER meddle AFTER INSERT ON meta
                          BEGIN UPDATE meta SET value = 'red' WHERE name = new.name; END";
    target.tx().batch(MEDDLE).unwrap();
    let refused = target.fill(&mut source, &mut |_| {}).unwrap_err();
    assert!(matches!(&refused, CopyError::Unfaithful { table, .. } if table == "meta"), "{refused:?}");
}
