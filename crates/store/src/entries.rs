//! Journal entries and their postings: written once, never changed.

use tollgate_ledger::{Entry, EntryKind};
use tollgate_types::{AccountId, Cents, EntryId, Time};

use crate::{Error, Tx, params, statements};

statements! {
    INSERT = "INSERT INTO entries (account_id, kind, reference, memo, at) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id";
    INSERT_POSTING = "INSERT INTO postings (entry_id, line, ledger_account, amount) VALUES (?1, ?2, ?3, ?4)";
    /// What an entry did to its customer's wallet.
    BY_REFERENCE = "SELECT e.id, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT)
                    FROM entries e LEFT JOIN postings p ON p.entry_id = e.id AND p.ledger_account = ?4
                    WHERE e.account_id = ?1 AND e.kind = ?2 AND e.reference = ?3 GROUP BY e.id";
    COUNT = "SELECT COUNT(*) FROM entries WHERE account_id = ?1";
    PAGE = "SELECT e.id, e.kind, e.reference, e.memo, e.at, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT)
            FROM entries e LEFT JOIN postings p ON p.entry_id = e.id AND p.ledger_account = ?2
            WHERE e.account_id = ?1
            GROUP BY e.id, e.kind, e.reference, e.memo, e.at ORDER BY e.id DESC LIMIT ?3 OFFSET ?4";
    UNBALANCED = "SELECT e.id, CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM entries e
                  LEFT JOIN postings p ON p.entry_id = e.id
                  GROUP BY e.id HAVING COALESCE(SUM(p.amount), 0) <> 0 OR COUNT(p.amount) < 2 ORDER BY e.id";
    /// What each ledger account has gained, and of that what came in and what went out.
    TOTALS = "SELECT p.ledger_account, e.kind, CAST(SUM(p.amount) AS BIGINT),
                     CAST(SUM(CASE WHEN p.amount > 0 THEN p.amount ELSE 0 END) AS BIGINT),
                     CAST(SUM(CASE WHEN p.amount < 0 THEN -p.amount ELSE 0 END) AS BIGINT)
              FROM postings p JOIN entries e ON e.id = p.entry_id
              GROUP BY p.ledger_account, e.kind ORDER BY p.ledger_account, e.kind";
    /// What each account's traffic has earned, by product.
    EARNED = "SELECT e.account_id, p.ledger_account, CAST(SUM(p.amount) AS BIGINT)
              FROM postings p JOIN entries e ON e.id = p.entry_id
              WHERE e.kind = 'wallet_traffic' AND p.amount > 0
              GROUP BY e.account_id, p.ledger_account ORDER BY e.account_id, p.ledger_account";
    /// What each account paid for static proxies, and was given back, by kind of entry and product.
    LEASED = "SELECT e.account_id, e.kind, p.ledger_account, CAST(SUM(p.amount) AS BIGINT)
              FROM postings p JOIN entries e ON e.id = p.entry_id
              WHERE e.kind IN ('static_bought', 'static_renewed', 'static_refunded')
                AND p.ledger_account LIKE 'revenue:%'
              GROUP BY e.account_id, e.kind, p.ledger_account ORDER BY e.account_id, e.kind, p.ledger_account";
}

/// Enters a balanced entry. [`Error::UniqueViolation`] where the same thing was entered before.
pub fn insert(tx: &mut Tx<'_>, entry: &Entry, at: Time) -> Result<EntryId, Error> {
    let head = params![entry.account, entry.kind.as_str(), &entry.reference, &entry.memo, at];
    let id = tx.insert(INSERT, head)?;
    for (line, posting) in (0i64..).zip(entry.postings()) {
        tx.execute(INSERT_POSTING, params![id, line, &posting.account.to_string(), posting.amount])?;
    }
    Ok(EntryId::new(id))
}

/// The entry that stands for this, with what it did to the wallet.
pub fn by_reference(
    tx: &mut Tx<'_>,
    account: AccountId,
    kind: EntryKind,
    reference: &str,
) -> Result<Option<(EntryId, Cents)>, Error> {
    let wallet = wallet_of(account);
    tx.opt(BY_REFERENCE, params![account, kind.as_str(), reference, &wallet], |row| {
        Ok((EntryId::new(row.i64(0)?), Cents::new(row.i64(1)?)))
    })
}

/// One line of a wallet's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletLine {
    /// The entry.
    pub id: EntryId,
    /// What happened.
    pub kind: String,
    /// What it stands for.
    pub reference: String,
    /// One line for people.
    pub memo: String,
    /// When.
    pub at: Time,
    /// What it did to the wallet; zero where it moved money that had left it before.
    pub amount: Cents,
}

/// A page of a wallet's history, newest first, and how many entries there are.
pub fn page(
    tx: &mut Tx<'_>,
    account: AccountId,
    limit: i64,
    offset: i64,
) -> Result<(Vec<WalletLine>, i64), Error> {
    let total = tx.one(COUNT, params![account], |row| row.i64(0))?;
    let lines = tx.all(PAGE, params![account, &wallet_of(account), limit, offset], |row| {
        Ok(WalletLine {
            id: EntryId::new(row.i64(0)?),
            kind: row.text(1)?,
            reference: row.text(2)?,
            memo: row.text(3)?,
            at: Time::from_micros(row.i64(4)?),
            amount: Cents::new(row.i64(5)?),
        })
    })?;
    Ok((lines, total))
}

/// Entries that do not sum to zero, or have fewer than two lines: there should be none.
pub fn unbalanced(tx: &mut Tx<'_>) -> Result<Vec<(EntryId, i64)>, Error> {
    tx.all(UNBALANCED, params![], |row| Ok((EntryId::new(row.i64(0)?), row.i64(1)?)))
}

/// What a ledger account gained by one kind of entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// The ledger account, as stored.
    pub ledger_account: String,
    /// The kind of entry, as stored.
    pub kind: String,
    /// Cents gained less cents lost.
    pub net: i64,
    /// Cents gained.
    pub gained: i64,
    /// Cents lost.
    pub lost: i64,
}

/// What every ledger account gained, by kind of entry.
pub fn totals(tx: &mut Tx<'_>) -> Result<Vec<Total>, Error> {
    tx.all(TOTALS, params![], |row| {
        Ok(Total {
            ledger_account: row.text(0)?,
            kind: row.text(1)?,
            net: row.i64(2)?,
            gained: row.i64(3)?,
            lost: row.i64(4)?,
        })
    })
}

/// What each account paid from its wallet for traffic: account, product's ledger account, cents.
pub fn earned_by_traffic(tx: &mut Tx<'_>) -> Result<Vec<(AccountId, String, Cents)>, Error> {
    tx.all(EARNED, params![], |row| Ok((AccountId::new(row.i64(0)?), row.text(1)?, Cents::new(row.i64(2)?))))
}

/// What a product earned by one kind of entry of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earned {
    /// Whose entries.
    pub account: AccountId,
    /// The kind of entry, as stored.
    pub kind: String,
    /// The product's ledger account, as stored.
    pub ledger_account: String,
    /// Cents gained less cents lost.
    pub net: Cents,
}

/// What static proxies earned, and what of it was given back.
pub fn earned_by_statics(tx: &mut Tx<'_>) -> Result<Vec<Earned>, Error> {
    tx.all(LEASED, params![], |row| {
        Ok(Earned {
            account: AccountId::new(row.i64(0)?),
            kind: row.text(1)?,
            ledger_account: row.text(2)?,
            net: Cents::new(row.i64(3)?),
        })
    })
}

fn wallet_of(account: AccountId) -> String {
    tollgate_ledger::LedgerAccount::Wallet(account).to_string()
}
