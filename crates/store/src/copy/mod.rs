//! Copying: every row of one database into another, empty one, whichever engines the two are.
//!
//! Backing up, restoring and moving from SQLite to PostgreSQL are this one thing. A backup is a
//! SQLite file of the same schema, whatever it is a backup of.
//!
//! - The source is read in one transaction that sees one state of it, while others go on using it.
//! - The target is written in one transaction, so that a copy that ends half-way leaves it empty.
//!   Whoever copies looks at what has come through [`Target::tx`] and only then commits.
//! - What is copied is found in the schema itself (`shape.rs`), so that nothing can be forgotten.
//! - Each table is read again once it is written, and compared with what was read: the number of
//!   rows, and a digest of all that is in them.
//! - Which migrations a database has had is compared, never copied. One that has had others than
//!   this program knows is refused; one that lacks some is copied into a new file, where they are
//!   made up for, and from there.

mod contents;
mod end;
mod postgres;
mod shape;
mod sqlite;

use std::path::Path;

use tollgate_types::Time;

pub use self::contents::Contents;
use self::end::End;
use self::shape::{Shape, Table};
use self::sqlite::SqliteEnd;
use crate::db::Options;
use crate::migrate::{self, Dialect, MIGRATIONS, Migration};
use crate::{DbUrl, Error, Tx, Value};

/// Whoever copies is told again after so many rows.
const ROWS_BETWEEN_WORDS: u64 = 1000;

/// How far counters go on after a restore: ids that were given out after the backup was made, and
/// are known outside, are not given out again for something else.
const GAP: i64 = 1 << 20;

/// The same for leases, of which a busy platform issues thousands a second: gateways report them
/// by their ids, even after a restore.
const GAP_OF_LEASES: i64 = 1 << 36;

/// Why a copy was not made. Nothing has been changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The database failed with a table's rows.
    #[error("the table {table} cannot be copied: {why}")]
    Table {
        /// Which table.
        table: String,
        /// What the database says.
        why: Error,
    },
    /// There is no schema of this program.
    #[error("it holds no database of Tollgate")]
    NoDatabase,
    /// A backup that is not as it was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The target is in use, or was.
    #[error("the database is not empty: its table {table} has rows")]
    NotEmpty {
        /// A table with rows.
        table: String,
    },
    /// Other processes of this program are connected to a PostgreSQL database.
    #[error("{0} other connections to the database are open; stop every server that uses it")]
    InUse(i64),
    /// A row refers to one that is not there.
    #[error("a row of the table {table} refers to one that is not there")]
    Dangling {
        /// The table that refers.
        table: String,
    },
    /// What was written is not what was read.
    #[error("the table {table} was not copied faithfully: read were {read:?}, written {written:?}")]
    Unfaithful {
        /// Which table.
        table: String,
        /// What it holds in the source.
        read: Contents,
        /// What it holds in the target.
        written: Contents,
    },
}

/// How far a copy has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'p> {
    /// The table that is being copied.
    pub table: &'p str,
    /// How many of its rows have been.
    pub rows: u64,
}

/// A table that has been copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub table: String,
    /// What it holds.
    pub contents: Contents,
}

// The source --------------------------------------------------------------------------------------

/// What is copied: one state of a database.
///
/// Like all of this module it blocks, and may not be used where async tasks are driven.
pub struct Source {
    end: End,
    known: &'static [Migration],
    shape: Shape,
}

impl Source {
    /// A database as it is now, while others go on using it.
    ///
    /// # Errors
    /// [`CopyError::NoDatabase`], [`Error::Migration`], and those of the database.
    pub fn online(url: &DbUrl, options: &Options) -> Result<Self, CopyError> {
        Self::of(End::online(url, options)?, MIGRATIONS)
    }

    /// A database that nobody else may use until this is dropped, since what they wrote would not
    /// be copied. Its schema is brought up to date.
    ///
    /// # Errors
    /// [`Error::Locked`] or [`CopyError::InUse`] where a server runs on it; as [`Source::online`].
    pub fn alone(url: &DbUrl, options: &Options) -> Result<Self, CopyError> {
        Self::of(End::alone(url, options)?, MIGRATIONS)
    }

    /// A backup. What it holds is compared with what was written to it.
    ///
    /// # Errors
    /// [`CopyError::Damaged`]; as [`Source::online`].
    pub fn backup(path: &Path, options: &Options) -> Result<Self, CopyError> {
        Self::backup_of(path, options, MIGRATIONS)
    }

    fn backup_of(path: &Path, options: &Options, known: &'static [Migration]) -> Result<Self, CopyError> {
        // What SQLite has against a file that nobody else uses is what is wrong with the file.
        let damaged = |error| match error {
            CopyError::Store(Error::Unavailable(why) | Error::Unexpected(why)) => CopyError::Damaged(why),
            error => error,
        };
        let open = || {
            let file = SqliteEnd::online(path, options)?;
            file.check_integrity()?;
            let mut source = Self::of(End::Sqlite(file), known)?;
            source.check_note()?;
            Ok(source)
        };
        open().map_err(damaged)
    }

    fn of(mut end: End, known: &'static [Migration]) -> Result<Self, CopyError> {
        let version = end.version(known)?;
        let shape = Shape::of(known.get(..version).unwrap_or_default())?;
        end.begin_to_read(&shape)?;
        if end.version(known)? == version {
            Ok(Self { end, known, shape })
        } else {
            // A server that was being started has just brought the schema up to date.
            Err(Error::Busy.into())
        }
    }

    /// Whether its schema lacks migrations: it is copied into a new file only.
    pub fn is_outdated(&self) -> bool {
        self.shape.version < self.known.len()
    }

    /// When a backup says that it was made.
    ///
    /// # Errors
    /// Those of the database.
    pub fn made_at(&mut self) -> Result<Option<Time>, CopyError> {
        match &self.end {
            End::Sqlite(file) if file.has_note()? => Ok(file.noted_at(&self.shape)?),
            _ => Ok(None),
        }
    }

    /// The transaction in which it is read.
    pub const fn tx(&mut self) -> Tx<'_> {
        self.end.tx()
    }

    fn check_note(&mut self) -> Result<(), CopyError> {
        let End::Sqlite(file) = &self.end else { return Ok(()) };
        if !file.has_note()? {
            return Ok(());
        }
        for table in &self.shape.tables {
            let contents = self.end.contents(table)?;
            if let End::Sqlite(file) = &self.end {
                file.check_note(table, contents)?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("version", &self.shape.version).finish_non_exhaustive()
    }
}

// The target --------------------------------------------------------------------------------------

/// What a copy is written to: an empty database, until [`Target::commit`] says otherwise. Dropped
/// before that, it leaves the database empty.
///
/// Like all of this module it blocks, and may not be used where async tasks are driven.
pub struct Target {
    end: End,
    known: &'static [Migration],
    shape: Shape,
    now: Time,
    is_file: bool,
    written: Vec<Written>,
}

impl Target {
    /// An empty database, made where it is absent, its schema brought up to date. Nobody else may
    /// use it until this is dropped.
    ///
    /// # Errors
    /// [`CopyError::NotEmpty`]; [`Error::Locked`] or [`CopyError::InUse`] where a server runs on it;
    /// those of the database.
    pub fn database(url: &DbUrl, options: &Options) -> Result<Self, CopyError> {
        let mut end = End::alone(url, options)?;
        let shape = Shape::of(MIGRATIONS)?;
        // Looked at first, so that a database in use is not locked in vain.
        end.demand_to_be_empty(&shape)?;
        end.begin_to_write(&shape)?;
        end.demand_to_be_empty(&shape)?;
        end.make_room(&shape)?;
        let (known, now) = (MIGRATIONS, options.now);
        Ok(Self { end, known, shape, now, is_file: false, written: Vec::new() })
    }

    /// An empty file, which is to become a backup of a source. One that lacks migrations is
    /// brought up to date in it. Once it is committed it needs no other file beside it, but the
    /// caller has to see that it reaches the disk.
    ///
    /// # Errors
    /// Those of the file.
    pub fn new_file(path: &Path, source: &Source, now: Time) -> Result<Self, CopyError> {
        let (known, version) = (source.known, source.shape.version);
        let migrations = known.get(..version).unwrap_or_default();
        let shape = Shape::of(migrations)?;
        let mut end = End::Sqlite(SqliteEnd::new_file(path)?);
        end.begin_to_write(&shape)?;
        migrate::create(&mut end.tx(), &Dialect::SQLITE, migrations, now)?;
        end.make_room(&shape)?;
        Ok(Self { end, known, shape, now, is_file: true, written: Vec::new() })
    }

    /// Copies everything, and compares each table with what was read.
    ///
    /// # Errors
    /// Those of the databases; [`CopyError::Unfaithful`], [`CopyError::Dangling`].
    pub fn fill(
        &mut self,
        source: &mut Source,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<&[Written], CopyError> {
        if source.shape.version != self.shape.version {
            return Err(Error::Unexpected("source and target differ in their schemas".to_owned()).into());
        }
        for table in &self.shape.tables {
            let of_table = |why| CopyError::Table { table: table.name.clone(), why };
            let (read, counter) = copy(&mut source.end, &mut self.end, table, tell).map_err(of_table)?;
            self.end.set_counter(table, counter).map_err(of_table)?;
            let written = self.end.contents(table).map_err(of_table)?;
            if read != written {
                return Err(CopyError::Unfaithful { table: table.name.clone(), read, written });
            }
            self.written.push(Written { table: table.name.clone(), contents: written });
        }
        self.end.check_references()?;
        self.make_up_for_migrations()?;
        Ok(&self.written)
    }

    /// The transaction in which it is written.
    pub const fn tx(&mut self) -> Tx<'_> {
        self.end.tx()
    }

    /// Lets every counter go on far behind what it has given out: what was given out after a backup
    /// was made, and is still known outside, is not given out again.
    ///
    /// # Errors
    /// Those of the database.
    pub fn leave_gaps(&mut self) -> Result<(), Error> {
        for table in &self.shape.tables {
            let gap = if table.name == "leases" { GAP_OF_LEASES } else { GAP };
            let Some(last) = self.end.counter(table)? else { continue };
            self.end.set_counter(table, last.saturating_add(gap))?;
        }
        Ok(())
    }

    /// Makes it last. In a new file it also says what is in it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn commit(self) -> Result<(), Error> {
        if let End::Sqlite(file) = &self.end
            && self.is_file
        {
            file.write_note(&self.written, self.now)?;
        }
        self.end.commit()
    }

    fn make_up_for_migrations(&mut self) -> Result<(), CopyError> {
        let missing = self.known.get(self.shape.version..).unwrap_or_default();
        if missing.is_empty() {
            return Ok(());
        }
        for migration in missing {
            migrate::apply(&mut self.end.tx(), &Dialect::SQLITE, migration, self.now)?;
        }
        self.shape = Shape::of(self.known)?;
        self.written.clear();
        for table in &self.shape.tables {
            let contents = self.end.contents(table)?;
            self.written.push(Written { table: table.name.clone(), contents });
        }
        self.end.check_references()
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("written", &self.written).finish_non_exhaustive()
    }
}

/// Copies a table; says what was read of it, and where its counter is to go on.
fn copy(
    from: &mut End,
    to: &mut End,
    table: &Table,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<(Contents, i64), Error> {
    let mut contents = Contents::default();
    let mut counter = from.counter(table)?.unwrap_or_default();
    let counted = table.columns.iter().position(|column| table.counter.as_ref() == Some(&column.name));
    from.read(table, &mut |row| {
        if let Some(Value::I64(id)) = counted.and_then(|place| row.get(place)) {
            counter = counter.max(*id);
        }
        contents.add(row);
        if contents.rows().is_multiple_of(ROWS_BETWEEN_WORDS) {
            tell(Progress { table: &table.name, rows: contents.rows() });
        }
        to.write(table, row)
    })?;
    to.flush(table)?;
    tell(Progress { table: &table.name, rows: contents.rows() });
    Ok((contents, counter))
}

#[cfg(test)]
mod tests;
