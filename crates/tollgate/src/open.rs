//! Opening what every role and every command on the database needs: the keys, the store, the core.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tollgate_core::{Core, Keys, Policy};
use tollgate_store::{Db, DbUrl, Options};
use tollgate_types::{Clock, SystemClock};

use crate::data_dir::{DataDir, random_bytes};
use crate::settings::{MasterKey, Settings};

/// Opens the store and the core on it. The first opening makes the keys and the database.
///
/// # Errors
/// The data directory, the keys or the database cannot be used.
pub async fn open(settings: &Settings, data: &DataDir) -> anyhow::Result<Core> {
    let url = settings.database();
    let key = master_key(settings, data, &url)?;
    let mut options = Options::new(SystemClock.now());
    options.readers = settings.store.readers.max(1);
    options.workers = settings.store.workers.max(1);
    let db = Db::open(&url, options).with_context(|| format!("the database {url} cannot be opened"))?;
    let policy = Policy {
        allow_private_whitelist: settings.api.allow_private_whitelist,
        static_grace: settings.statics.grace,
        reserved_ports: settings.ports(),
    };
    let zone = settings.time.zone.zone.clone();
    let opened =
        Core::open(db.clone(), Arc::new(SystemClock), zone, Keys::new(key.expose()), policy, random_bytes()?);
    match opened.await {
        Ok(core) => Ok(core),
        Err(error) => {
            db.close().await;
            Err(error).with_context(|| format!("the database {url} cannot be used"))
        }
    }
}

/// Opens a database that must exist already.
///
/// # Errors
/// It does not; or as [`open`].
pub async fn open_existing(settings: &Settings) -> anyhow::Result<Core> {
    let url = settings.database();
    if let Some(path) = url.path() {
        anyhow::ensure!(has_content(path), "there is no database at {}", path.display());
    }
    open(settings, &DataDir::open(&settings.general.data_dir)?).await
}

fn master_key(settings: &Settings, data: &DataDir, url: &DbUrl) -> anyhow::Result<MasterKey> {
    if let Some(key) = &settings.general.master_key {
        return Ok(key.clone());
    }
    // Of a PostgreSQL database, the core finds out whether the key is the right one.
    Ok(data.master_key(url.path().is_some_and(has_content))?)
}

fn has_content(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0)
}
