//! A few facts about the database itself, by name.

use crate::{Error, Tx, params, statements};

statements! {
    GET = "SELECT value FROM meta WHERE name = ?1";
    /// Keeps what is there already.
    PUT_ONCE = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
}

/// The value of a name.
pub fn get(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>, Error> {
    tx.opt(GET, params![name], |row| row.text(0))
}

/// Gives a name a value, unless it has one.
pub fn put_once(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<(), Error> {
    tx.execute(PUT_ONCE, params![name, value]).map(drop)
}
