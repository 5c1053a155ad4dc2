//! The outbox of directory changes: which account, sub-account, address or exit to look at again.

use tollgate_types::Time;

use crate::{Error, Tx, params, statements};

statements! {
    /// Its row's lock is held to the end of the transaction: versions are committed in their order.
    NEXT_VERSION = "UPDATE directory_version SET version = version + 1 WHERE id = 1 RETURNING version";
    SKIP = "UPDATE directory_version SET version = version + ?1 WHERE id = 1";
    VERSION = "SELECT version FROM directory_version WHERE id = 1";
    INSERT = "INSERT INTO directory_log (version, kind, ref_id, at) VALUES (?1, ?2, ?3, ?4)";
    SINCE = "SELECT version, kind, ref_id FROM directory_log WHERE version > ?1 ORDER BY version LIMIT ?2";
    PRUNE = "DELETE FROM directory_log WHERE at < ?1";
    META = "SELECT value FROM meta WHERE name = ?1";
    SET_META = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
}

/// A line of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its version; each is one more than the one before.
    pub version: i64,
    /// account, sub_account, whitelist, exits, static or static_order.
    pub kind: String,
    /// Which; 0 for exits.
    pub id: i64,
}

/// Says that something is to be looked at again. Called last in its transaction: from here to the
/// commit, nobody else can publish.
pub fn publish(tx: &mut Tx<'_>, kind: &str, id: i64, at: Time) -> Result<(), Error> {
    let version = tx.one(NEXT_VERSION, params![], |row| row.i64(0))?;
    tx.execute(INSERT, params![version, kind, id, at]).map(drop)
}

/// Leaves out so many versions.
pub fn skip(tx: &mut Tx<'_>, versions: i64) -> Result<(), Error> {
    tx.execute(SKIP, params![versions]).map(drop)
}

/// The newest version.
pub fn version(tx: &mut Tx<'_>) -> Result<i64, Error> {
    tx.one(VERSION, params![], |row| row.i64(0))
}

/// What changed after a version, oldest first.
pub fn since(tx: &mut Tx<'_>, version: i64, limit: i64) -> Result<Vec<Change>, Error> {
    tx.all(SINCE, params![version, limit], |row| {
        Ok(Change { version: row.i64(0)?, kind: row.text(1)?, id: row.i64(2)? })
    })
}

/// Forgets lines older than a moment. Who has not read them by then loads everything anew.
pub fn prune(tx: &mut Tx<'_>, before: Time) -> Result<u64, Error> {
    tx.execute(PRUNE, params![before])
}

/// A named value of the whole database.
pub fn meta(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>, Error> {
    tx.opt(META, params![name], |row| row.text(0))
}

/// Sets a named value once; a value that is there stays.
pub fn set_meta(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<(), Error> {
    tx.execute(SET_META, params![name, value]).map(drop)
}
