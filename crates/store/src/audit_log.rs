//! The audit log: who changed what, when. Written with the change, never changed.

use tollgate_types::{AccountId, Time};

use crate::{Error, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO audit_log (at, actor, action, account_id, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    COUNT = "SELECT COUNT(*) FROM audit_log WHERE (CAST(?1 AS BIGINT) = 0 OR account_id = ?1)";
    PAGE = "SELECT id, at, actor, action, account_id, subject, detail FROM audit_log
            WHERE (CAST(?1 AS BIGINT) = 0 OR account_id = ?1) ORDER BY id DESC LIMIT ?2 OFFSET ?3";
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: Time,
    /// Who: `operator` or `account:ID`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// The account concerned, where one is.
    pub account: Option<AccountId>,
    /// To what.
    pub subject: String,
    /// The particulars, as JSON without secrets.
    pub detail: String,
}

/// Writes a line; its `id` is not looked at.
pub fn insert(tx: &mut Tx<'_>, line: &Line) -> Result<(), Error> {
    let account = line.account.map_or(0, AccountId::get);
    let values = params![line.at, &line.actor, &line.action, account, &line.subject, &line.detail];
    tx.execute(INSERT, values).map(drop)
}

/// A page, newest first, and how many lines there are; only those of one account where one is named.
pub fn page(
    tx: &mut Tx<'_>,
    account: Option<AccountId>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Line>, i64), Error> {
    let account = account.map_or(0, AccountId::get);
    let total = tx.one(COUNT, params![account], |row| row.i64(0))?;
    let lines = tx.all(PAGE, params![account, limit, offset], |row| {
        let account = row.i64(4)?;
        Ok(Line {
            id: row.i64(0)?,
            at: Time::from_micros(row.i64(1)?),
            actor: row.text(2)?,
            action: row.text(3)?,
            account: (account != 0).then(|| AccountId::new(account)),
            subject: row.text(5)?,
            detail: row.text(6)?,
        })
    })?;
    Ok((lines, total))
}
