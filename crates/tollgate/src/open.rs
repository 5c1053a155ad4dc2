//! Opening what every role and every command on the database needs: the keys, the store, the core.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tollgate_core::chain::Mark;
use tollgate_core::{Core, Keys, Policy};
use tollgate_store::{Db, DbUrl, Expected, Options};
use tollgate_types::{Clock, SystemClock};

use crate::data_dir::{DataDir, random_bytes};
use crate::keeper::mark_if_moved;
use crate::mark::MarkFile;
use crate::settings::{MasterKey, Settings};

/// Opens the store and the core on it. The first opening makes the keys and the database. A database
/// that has lost something since the last one is refused, unless the settings accept that.
///
/// # Errors
/// The data directory, the keys or the database cannot be used.
pub async fn open(settings: &Settings, data: &DataDir) -> anyhow::Result<Core> {
    let url = settings.database();
    let marks = MarkFile::of(&url, data.path());
    let mut options = Options::new(SystemClock.now());
    options.readers = settings.store.readers.max(1);
    options.workers = settings.store.workers.max(1);
    options.expected = expected(data, &url, marks.read()?)?;
    options.accept_loss = settings.accept_loss;
    let key = master_key(settings, data, &url, options.expected)?;
    let db = Db::open(&url, options).map_err(|error| refused(error, &url, &marks))?;
    let policy = Policy {
        allow_private_whitelist: settings.api.allow_private_whitelist,
        static_grace: settings.statics.grace,
        reserved_ports: settings.ports(),
    };
    let zone = settings.time.zone.zone.clone();
    let opened =
        Core::open(db.clone(), Arc::new(SystemClock), zone, Keys::new(key.expose()), policy, random_bytes()?);
    let opened = async {
        let core = opened.await?;
        mark_opened(&core, data, &MarkFile::of(&url, data.path())).await;
        Ok::<_, tollgate_core::Error>(core)
    };
    match opened.await {
        Ok(core) => Ok(core),
        Err(error) => {
            db.close().await;
            Err(error).with_context(|| format!("the database {url} cannot be used"))
        }
    }
}

/// Leaves a mark beside a database, so that from now on it is missed where it is lost. A disk that is
/// full does not keep anybody from starting.
async fn mark_opened(core: &Core, data: &DataDir, marks: &MarkFile) {
    let marked = mark_if_moved(core, marks, None).await;
    if let Err(error) = marked.and_then(|_| Ok(data.first_start_is_over()?)) {
        tracing::warn!(%error, "the database has no mark yet; it will be tried again");
    }
}

/// What is known of a database: what its mark says, or else that the key in the data directory was
/// made with one.
fn expected(data: &DataDir, url: &DbUrl, mark: Option<Mark>) -> anyhow::Result<Expected> {
    if let Some(mark) = mark {
        return Ok(Expected::Mark(mark));
    }
    // Of PostgreSQL that is not known: processes of a fleet are given the key before they have seen it.
    let has_key = url.path().is_some() && data.find_master_key()?.is_some();
    Ok(if has_key && !data.is_first_start() { Expected::Database } else { Expected::Anything })
}

/// Says how to go on where a database has lost something.
fn refused(error: tollgate_store::Error, url: &DbUrl, marks: &MarkFile) -> anyhow::Error {
    let is_lost = matches!(error, tollgate_store::Error::Lost(_));
    let error = anyhow::Error::new(error).context(format!("the database {url} cannot be opened"));
    if !is_lost {
        return error;
    }
    let files = url.path().map(|path| format!(" ({0} together with {0}-wal)", path.display()));
    anyhow::anyhow!(
        "{error:#}. Its mark is {}. Bring the whole database back{}, or restore a backup with `tollgate restore`. To go \
         on without what is missing, start once with `tollgate serve --accept-loss`",
        marks.path().display(),
        files.unwrap_or_default()
    )
}

/// Demands that a database exists, as far as a file can tell.
///
/// # Errors
/// It does not.
pub fn existing(url: &DbUrl) -> anyhow::Result<()> {
    match url.path() {
        Some(path) if !has_content(path) => anyhow::bail!("there is no database at {}", path.display()),
        _ => Ok(()),
    }
}

fn master_key(
    settings: &Settings,
    data: &DataDir,
    url: &DbUrl,
    expected: Expected,
) -> anyhow::Result<MasterKey> {
    if let Some(key) = &settings.general.master_key {
        return Ok(key.clone());
    }
    // Of a PostgreSQL database that has no mark here, the core finds out whether the key is the right one.
    let sealed = expected != Expected::Anything || url.path().is_some_and(has_content);
    if !sealed && data.find_master_key()?.is_none() {
        data.begin_first_start()?;
    }
    Ok(data.master_key(sealed)?)
}

fn has_content(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0)
}
