//! The keeper: keeps the database's chain of entries up, its mark a little behind that, and SQLite's
//! write-ahead log short. Every process on a database has one, whichever roles it plays.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tollgate_core::chain::{self, Mark};
use tollgate_core::{Core, Error};

use crate::mark::MarkFile;
use crate::trouble::Trouble;

/// How often the keeper looks for entries that are not in the chain, and, while nothing can be
/// written, whether something can.
const LOOK: Duration = Duration::from_secs(1);

/// Batches of entries at a time, so that one look ends.
const MOST_BATCHES: usize = 100;

/// Between two marks at least: each waits for the disk.
const MARK_EVERY: Duration = Duration::from_secs(5);

/// How often SQLite's write-ahead log is emptied into the database.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(180);

/// How long the last entries are chained for when the process ends, and how long the last mark may take.
/// The next process does the rest.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Keeps a database.
#[derive(Debug)]
pub struct Keeper {
    core: Core,
    marks: MarkFile,
    written: Option<Mark>,
    /// When the mark was looked at last, and the write-ahead log emptied; `None`: both are due.
    written_at: Option<Instant>,
    emptied_at: Option<Instant>,
    chaining: Trouble,
    marking: Trouble,
    emptying: Trouble,
}

impl Keeper {
    /// A keeper of the database of `core`, whose mark is `marks`.
    pub fn new(core: Core, marks: MarkFile) -> Self {
        let now = Some(Instant::now());
        Self {
            core,
            marks,
            written: None,
            written_at: now,
            emptied_at: now,
            chaining: Trouble::default(),
            marking: Trouble::default(),
            emptying: Trouble::default(),
        }
    }

    /// Keeps the database for as long as it is polled.
    pub async fn run(&mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look().await;
        }
    }

    /// Chains what is left, as far as there is time, and marks how far that was. To be done when nobody
    /// writes any more.
    pub async fn finish(&mut self) {
        let _ = timeout(LAST_LOOK, self.extend()).await;
        let _ = timeout(LAST_LOOK, self.mark()).await;
    }

    async fn look(&mut self) {
        if self.core.db().stats().unwritable {
            // The store says once that nothing can be written, and when that is over.
            let _ = chain::try_to_write(&self.core).await;
            return;
        }
        self.extend().await;
        if is_due(self.written_at, MARK_EVERY) {
            self.mark().await;
        }
        if is_due(self.emptied_at, CHECKPOINT_EVERY) {
            self.emptied_at = Some(Instant::now());
            let emptied = self.core.db().checkpoint().await;
            self.emptying.told("the write-ahead log cannot be emptied", emptied);
        }
    }

    async fn extend(&mut self) {
        for _ in 0..MOST_BATCHES {
            let extended = chain::extend(&self.core).await;
            if self.chaining.told("entries cannot be chained", extended) != Some(true) {
                return;
            }
        }
    }

    async fn mark(&mut self) {
        self.written_at = Some(Instant::now());
        let marked = mark_if_moved(&self.core, &self.marks, self.written).await;
        if let Some(mark) = self.marking.told("the mark of the database cannot be written", marked) {
            self.written = Some(mark);
        }
    }
}

fn is_due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= every)
}

/// Writes how far the chain reaches, unless that is what was written last. Returns what is written.
///
/// # Errors
/// The database cannot be read, or the mark not be written.
pub async fn mark_if_moved(core: &Core, marks: &MarkFile, last: Option<Mark>) -> anyhow::Result<Mark> {
    // What is read was committed, so that the mark is never ahead of the database.
    let head: Result<Mark, Error> = chain::head(core).await;
    let head = head?;
    if last != Some(head) {
        let marks = marks.clone();
        // A disk may take seconds: nobody else waits for it.
        tokio::task::spawn_blocking(move || marks.write(&head)).await??;
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tollgate_core::{Actor, Keys, Policy, accounts, wallets};
    use tollgate_store::{Db, DbUrl, Options, Sql};
    use tollgate_types::{Cents, Clock as _, SystemClock, Zone};

    use super::*;

    /// A keeper of a database with one entry.
    async fn keeper(folder: &Path) -> Keeper {
        let url = DbUrl::sqlite(folder.join("tollgate.db"));
        let db = Db::open(&url, Options::new(SystemClock.now())).expect("a database");
        let keys = Keys::new(&[7; 32]);
        let core = Core::open(db, Arc::new(SystemClock), Zone::UTC, keys, Policy::default(), [1; 32]).await;
        let core = core.expect("a core");
        let ann = accounts::NewAccount {
            username: "ann".into(),
            email: "ann@example.com".into(),
            password: None,
            prices: [Some(Cents::new(200)); 3],
        };
        let (id, _) = accounts::create(&core, Actor::Operator, ann).await.expect("an account");
        wallets::recharge(&core, Actor::Operator, id, Cents::new(5), "r".into()).await.expect("an entry");
        Keeper::new(core, MarkFile::of(&url, folder))
    }

    async fn limit_pages(db: &Db, pages: i64) {
        let limit: &'static str = format!("PRAGMA max_page_count = {pages}").leak();
        let limited: Result<i64, tollgate_store::Error> =
            db.write(move |tx| tx.one(Sql::new("limit", limit), &[], |row| row.i64(0))).await;
        limited.expect("a limit");
    }

    #[tokio::test]
    async fn entries_are_chained_at_once_and_marked_a_little_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut keeper = keeper(folder.path()).await;
        keeper.look().await;
        let head = chain::head(&keeper.core).await.expect("a head");
        assert_eq!((head.entries, keeper.marks.read().expect("no mark")), (1, None));
        keeper.written_at = None;
        keeper.look().await;
        assert_eq!(keeper.marks.read().expect("a mark"), Some(head));
        keeper.core.db().close().await;
    }

    #[tokio::test]
    async fn the_write_ahead_log_is_emptied_every_few_minutes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut keeper = keeper(folder.path()).await;
        let log = folder.path().join("tollgate.db-wal");
        let length = || std::fs::metadata(&log).map_or(0, |about| about.len());
        keeper.look().await;
        assert!(length() > 0);
        keeper.emptied_at = None;
        keeper.look().await;
        // Whoever writes next has waited for it.
        keeper.core.db().write(|_| Ok::<_, Error>(())).await.expect("nothing");
        assert_eq!(length(), 0);
        keeper.core.db().close().await;
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_tried_until_it_can_be() {
        const PAGES: Sql = Sql::new("pages", "SELECT page_count FROM pragma_page_count");
        const BIG: Sql =
            Sql::new("big", "INSERT INTO meta (name, value) VALUES ('big', hex(zeroblob(100000)))");
        let folder = tempfile::tempdir().expect("a folder");
        let mut keeper = keeper(folder.path()).await;
        let db = keeper.core.db().clone();
        let pages: Result<i64, tollgate_store::Error> =
            db.read(|tx| tx.one(PAGES, &[], |row| row.i64(0))).await;
        limit_pages(&db, pages.expect("a count")).await;
        db.write(|tx| tx.execute(BIG, &[]).map(drop)).await.expect_err("there is no room");
        assert!(db.stats().unwritable);
        limit_pages(&db, 1 << 30).await;
        assert!(db.stats().unwritable, "nothing has been written yet");
        keeper.look().await;
        assert!(!db.stats().unwritable);
        db.close().await;
    }
}
