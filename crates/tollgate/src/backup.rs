//! `tollgate backup`, `tollgate restore` and `tollgate db copy`: one database copied into another,
//! audited before it counts.
//!
//! Nothing here is async: a copy reads and writes on the thread that asks for it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tollgate_core::audit::{self, Report};
use tollgate_core::keys::{Keys, Proof, proof_in};
use tollgate_core::{chain, directory, events};
use tollgate_store::copy::{CopyError, Progress, Source, Target};
use tollgate_store::{DbUrl, Expected, Options};
use tollgate_types::{Clock as _, SystemClock};

use crate::cli::{BackupArgs, CopyArgs, RestoreArgs};
use crate::commands::{FOUND, say};
use crate::data_dir::DataDir;
use crate::draft::Draft;
use crate::mark::MarkFile;
use crate::open::existing;
use crate::settings::{MasterKey, Settings};

/// Long work says how far it has got this often.
const WORDS_EVERY: Duration = Duration::from_secs(2);

/// What is said of a backup of a database on which an older program runs.
const BROUGHT_UP_TO_DATE: &str = "\
The database is that of an older version of this program. The backup has been brought up to date: it is restored
with this version or a later one only.
";

/// What a copy came to.
struct Copied {
    tables: usize,
    rows: u64,
    report: Report,
}

impl Copied {
    /// Whether the copy may be kept: nothing differs, or it may for once.
    const fn is_kept(&self, accept_differences: bool) -> bool {
        self.report.differences.is_empty() || accept_differences
    }

    /// What the audit found, what was done and how much, and what is to be known besides.
    fn say(&self, done: &str, besides: &str) -> anyhow::Result<ExitCode> {
        let Report { compared, differences } = &self.report;
        let lines: String = differences.iter().map(|difference| format!("{difference}\n")).collect();
        let (tables, rows, found) = (self.tables, self.rows, differences.len());
        let counts = format!("{tables} tables, {rows} rows; {compared} figures audited, {found} differ");
        say(&format!("{lines}{done}\n{counts}\n{besides}"))
    }

    /// That the copy was thrown away, and what to do about it.
    fn refuse(&self, what: &str) -> anyhow::Result<ExitCode> {
        self.say(
            &format!("the audit found differences, so {what}"),
            "The copy was faithful: its source has the same differences. Find out what they come from; until then,\n\
             --accept-differences keeps a copy as it is.\n",
        )?;
        Ok(ExitCode::from(FOUND))
    }
}

/// `tollgate backup`.
///
/// # Errors
/// The database cannot be read or the file not be written.
pub fn backup(args: &BackupArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    let url = settings.database();
    existing(&url)?;
    let draft = Draft::begin(&args.file)?;
    let options = Options::new(SystemClock.now());
    let failed = || format!("the database {url} cannot be backed up");
    let mut source = Source::online(&url, &options).with_context(failed)?;
    let outdated = source.is_outdated();
    let mut target = Target::new_file(draft.path(), &source, options.now).with_context(failed)?;
    let copied = fill(&mut target, &mut source).with_context(failed)?;
    if !copied.is_kept(args.accept_differences) {
        return copied.refuse("there is no backup");
    }
    target.commit().with_context(failed)?;
    draft.keep().with_context(failed)?;
    let besides = if outdated { BROUGHT_UP_TO_DATE } else { "" };
    copied.say(&format!("{} is a backup of {url}", args.file.display()), besides)
}

/// `tollgate restore`.
///
/// # Errors
/// The file is no backup or damaged, the master key is not its own, the database is not empty or
/// cannot be written.
pub fn restore(args: &RestoreArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    let (url, file) = (settings.database(), &args.file);
    let options = Options::new(SystemClock.now());
    let mut source = open_backup(file, &options)?;
    // All that can be known is asked before anything is written.
    check_key(&mut source, settings)?;
    let made_at = source.made_at().with_context(|| format!("{} cannot be read", file.display()))?;
    let data = DataDir::open(&settings.general.data_dir)?;
    let failed = || format!("{} cannot be restored into {url}", file.display());
    let mut target = Target::database(&url, &options).with_context(failed)?;
    let _lock = data.lock()?;
    let scratch = bring_up_to_date(&mut source, &data, &options).with_context(failed)?;
    let copied = fill(&mut target, &mut source).with_context(failed)?;
    if !copied.is_kept(args.accept_differences) {
        return copied.refuse("nothing has been restored");
    }
    target.leave_gaps().with_context(failed)?;
    directory::restored_in(&mut target.tx()).with_context(failed)?;
    events::restored_in(&mut target.tx()).with_context(failed)?;
    chain::restored_in(&mut target.tx(), options.now).with_context(failed)?;
    let besides = keep(target, &url, data.path()).with_context(failed)?;
    drop((source, scratch));
    let made = made_at.map(|at| format!(" of {}", settings.time.zone.zone.show(at))).unwrap_or_default();
    copied.say(&format!("the backup{made} has been restored into {url}"), &besides)
}

/// Makes a copy last, and marks how far it reaches in place of what was marked of the database before.
/// Returns what is to be known of what it lacks.
fn keep(mut target: Target, url: &DbUrl, data_dir: &Path) -> anyhow::Result<String> {
    let head = chain::head_in(&mut target.tx())?;
    target.commit()?;
    let marks = MarkFile::of(url, data_dir);
    let before = marks.read().ok().flatten().filter(|before| before.entries > head.entries);
    marks.write(&head)?;
    Ok(before.map_or_else(String::new, |before| {
        let (then, now) = (before.entries, head.entries);
        format!("The database before it held {then} entries, this one holds {now}: what came after is not in it.\n")
    }))
}

/// `tollgate db copy`.
///
/// # Errors
/// A server runs on the database, the other one is not empty, or one of them fails.
pub fn copy(args: &CopyArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    let from = settings.database();
    existing(&from)?;
    // Parsed here, where it is not repeated if it is wrong: it may hold a password.
    let to: DbUrl = args.to.parse().context("--to")?;
    ensure!(from.to_string() != to.to_string(), "{from} is the database itself; --to names another one");
    let folder = &settings.general.data_dir;
    let options = Options::new(SystemClock.now());
    let mark = MarkFile::of(&from, folder).read()?;
    let of_source = Options { expected: mark.map_or(Expected::Anything, Expected::Mark), ..options.clone() };
    let mut source = Source::alone(&from, &of_source).map_err(|error| {
        let why = match &error {
            CopyError::Store(tollgate_store::Error::Lost(_)) => {
                "start a server with --accept-loss first, or restore a backup"
            }
            _ => "what a server writes to it later would be lost",
        };
        anyhow::Error::new(error).context(format!("{from} cannot be copied: {why}"))
    })?;
    let _lock = if folder.exists() { Some(DataDir::open(folder)?.lock()?) } else { None };
    let failed = || format!("{from} cannot be copied to {to}");
    let mut target = Target::database(&to, &options).with_context(failed)?;
    let copied = fill(&mut target, &mut source).with_context(failed)?;
    if !copied.is_kept(args.accept_differences) {
        return copied.refuse("nothing has been copied");
    }
    // A mark of PostgreSQL's is in the data directory, where there is one.
    match to.path().is_some() || folder.exists() {
        true => drop(keep(target, &to, folder).with_context(failed)?),
        false => target.commit().with_context(failed)?,
    }
    let url = if to.has_password() { to.to_string() } else { args.to.clone() };
    copied.say(
        &format!("{from} has been copied to {to}"),
        &format!(
            "Let every process use it from now on, with the same master key:\n  TOLLGATE_STORE__URL={url}\n\
             The old database is as it was. What is written to it from now on is in no other.\n"
        ),
    )
}

/// Copies everything and audits it where it has arrived.
fn fill(target: &mut Target, source: &mut Source) -> anyhow::Result<Copied> {
    let mut words = Words { last: Instant::now() };
    let written = target.fill(source, &mut |progress| words.progress(progress))?;
    let (tables, rows) = (written.len(), written.iter().map(|table| table.contents.rows()).sum());
    words.say("auditing the copy");
    let report = audit::run_in(&mut target.tx()).context("the copy cannot be audited")?;
    Ok(Copied { tables, rows, report })
}

/// How far long work has got, on standard error.
struct Words {
    last: Instant,
}

impl Words {
    fn progress(&mut self, progress: Progress<'_>) {
        self.say(&format!("{}: {} rows", progress.table, progress.rows));
    }

    fn say(&mut self, words: &str) {
        if self.last.elapsed() >= WORDS_EVERY {
            self.last = Instant::now();
            // The work goes on whoever listens.
            let _ = writeln!(std::io::stderr(), "{words}");
        }
    }
}

fn open_backup(file: &Path, options: &Options) -> anyhow::Result<Source> {
    let is_file = File::open(file).and_then(|file| file.metadata()).map(|about| about.is_file());
    let is_file = is_file.with_context(|| format!("{} cannot be read", file.display()))?;
    anyhow::ensure!(is_file, "{} is no file", file.display());
    Source::backup(file, options).with_context(|| format!("{} cannot be restored", file.display()))
}

/// A backup of an older program is copied once more, into a file in which its schema is brought up
/// to date. The file is gone with what this returns.
fn bring_up_to_date(source: &mut Source, data: &DataDir, options: &Options) -> anyhow::Result<Option<Draft>> {
    if !source.is_outdated() {
        return Ok(None);
    }
    let draft = Draft::begin(&data.path().join("restore"))?;
    let mut target = Target::new_file(draft.path(), source, options.now)?;
    target.fill(source, &mut |_| {})?;
    target.commit().map_err(CopyError::from)?;
    *source = Source::backup(draft.path(), options)?;
    Ok(Some(draft))
}

/// Demands the master key under which the backup's secrets were sealed: with another, or a new one,
/// nobody could be shown an API key or log in to the gateway again.
fn check_key(source: &mut Source, settings: &Settings) -> anyhow::Result<()> {
    let (key, place) = master_key(settings)?;
    let Some(key) = key else {
        anyhow::bail!(
            "the master key is missing, and is not part of a backup: put the file master-key of the data directory \
             that was backed up to {} (chmod 600), or set TOLLGATE_MASTER_KEY. Nothing has been restored",
            place.display()
        );
    };
    match proof_in(&mut source.tx(), &Keys::new(key.expose())).context("the backup cannot be read")? {
        Proof::None | Proof::Same => Ok(()),
        Proof::Other => anyhow::bail!(
            "the master key ({}) is not the one under which the backup's secrets are sealed: the master-key file \
             of the data directory that was backed up is needed, or TOLLGATE_MASTER_KEY with its content. Nothing \
             has been restored",
            if settings.general.master_key.is_some() {
                "the setting".to_owned()
            } else {
                place.display().to_string()
            }
        ),
    }
}

/// The master key where there is one, and where its file is or would be.
fn master_key(settings: &Settings) -> anyhow::Result<(Option<MasterKey>, PathBuf)> {
    let folder = &settings.general.data_dir;
    let place = folder.join("master-key");
    if let Some(key) = &settings.general.master_key {
        return Ok((Some(key.clone()), place));
    }
    // A restore that cannot be made leaves no data directory behind.
    let key = if folder.exists() { DataDir::open(folder)?.find_master_key()? } else { None };
    Ok((key, place))
}
