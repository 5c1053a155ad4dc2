//! A database of each kind for every test.

use std::future::Future;

use tempfile::TempDir;
use tollgate_store::{Db, DbUrl, Options};
use tollgate_types::Time;

use crate::postgres;

/// A file system in memory, where the machine has one.
const MEMORY: &str = "/dev/shm";

/// Less than this is left to whoever needs it more, in bytes.
const ROOM: u64 = 1 << 30;

/// When test databases say that they were made: 2026-01-01T00:00:00Z.
pub const NOW: Time = Time::from_micros(1_767_225_600_000_000);

/// A database of a test's own, with the newest schema. Removed when dropped.
#[derive(Debug)]
pub struct TestDb {
    url: DbUrl,
    address: String,
    /// Where the file is, for SQLite.
    directory: Option<TempDir>,
}

impl TestDb {
    /// A SQLite file in a directory of its own.
    ///
    /// # Panics
    /// Where there is no room for it.
    pub fn sqlite() -> Self {
        match directory("tollgate-sqlite-") {
            Ok(directory) => {
                let path = directory.path().join("tollgate.db");
                Self::at(format!("sqlite:{}", path.display()), Some(directory))
            }
            Err(e) => panic!("no temporary directory: {e}"),
        }
    }

    /// A PostgreSQL database; `None` where the environment says `TOLLGATE_TEST_POSTGRES=skip`.
    ///
    /// # Panics
    /// Where there is no PostgreSQL, with a sentence that says what to install.
    pub fn postgres() -> Option<Self> {
        postgres::fresh_database().map(|address| Self::at(address, None))
    }

    fn at(address: String, directory: Option<TempDir>) -> Self {
        match address.parse() {
            Ok(url) => Self { url, address, directory },
            Err(e) => panic!("{address}: {e}"),
        }
    }

    /// Where it is.
    pub const fn url(&self) -> &DbUrl {
        &self.url
    }

    /// Where it is, as a setting of the program says it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The name of its engine: `sqlite` or `postgres`.
    pub const fn engine(&self) -> &'static str {
        self.url.engine()
    }

    /// Opens it.
    ///
    /// # Panics
    /// Where it cannot be opened.
    pub fn open(&self) -> Db {
        match Db::open(&self.url, Options::new(NOW)) {
            Ok(db) => db,
            Err(e) => panic!("{} cannot be opened: {e}", self.url),
        }
    }
}

/// A directory in memory where there is room: every commit waits for the disk, and tests have
/// thousands of them and nothing to lose.
fn directory(prefix: &str) -> std::io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    let room =
        rustix::fs::statvfs(MEMORY).map_or(0, |system| system.f_bavail.saturating_mul(system.f_frsize));
    if room < ROOM { builder.tempdir() } else { builder.tempdir_in(MEMORY) }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if self.directory.is_none() {
            postgres::drop_database(&self.address);
        }
    }
}

/// One database of each kind.
///
/// # Panics
/// As [`TestDb::postgres`].
pub fn databases() -> Vec<TestDb> {
    std::iter::once(TestDb::sqlite()).chain(TestDb::postgres()).collect()
}

/// Runs the async body of a test with a database; does nothing without one. What
/// [`on_both_databases!`](crate::on_both_databases) is made of.
///
/// # Panics
/// Where the body does.
pub fn run<F: Future<Output = ()>>(database: Option<TestDb>, body: impl FnOnce(TestDb) -> F) {
    let Some(database) = database else { return };
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(body(database)),
        Err(e) => panic!("no runtime: {e}"),
    }
}

/// Makes two tests of each async function, `name::sqlite` and `name::postgres`, and hands each a
/// [`TestDb`](crate::TestDb).
///
/// ```
/// tollgate_testkit::on_both_databases! {
///     async fn nothing_has_been_read_yet(database) {
///         assert_eq!(database.open().stats().reads, 0);
///     }
/// }
/// ```
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[$doc:meta])* async fn $name:ident($database:ident) $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            async fn body($database: $crate::TestDb) $body

            #[test]
            fn sqlite() {
                $crate::database::run(Some($crate::TestDb::sqlite()), body);
            }

            #[test]
            fn postgres() {
                $crate::database::run($crate::TestDb::postgres(), body);
            }
        }
    )*};
}
