//! The chain of entries: each entry's hash covers the entry and the hash before it, so that the last
//! hash stands for everything that was ever entered, and for its order.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use tollgate_types::{AccountId, EntryId, Time};

/// A place in the chain, by the hash there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash([u8; 32]);

/// An entry as it is stored, which is what its hash covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its id.
    pub id: EntryId,
    /// Whose money it concerns.
    pub account: AccountId,
    /// What happened, as stored.
    pub kind: String,
    /// What names it within its account and kind.
    pub reference: String,
    /// One line for people.
    pub memo: String,
    /// When.
    pub at: Time,
    /// Its lines, in their order.
    pub lines: Vec<StoredLine>,
}

/// A line of an entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLine {
    /// Its place within the entry.
    pub line: i64,
    /// The ledger account, as stored.
    pub ledger_account: String,
    /// What the ledger account gains, in cents.
    pub amount: i64,
}

/// How far a chain reached at some time: what a database that is not older than that still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of entries in the chain.
    pub entries: i64,
    /// The hash of the last of them; [`ChainHash::START`] where there is none.
    pub hash: ChainHash,
    /// When a loss of entries was accepted last; the beginning of time where none ever was.
    pub accepted_at: Time,
}

impl ChainHash {
    /// The hash before the first entry.
    pub const START: Self = Self([0; 32]);

    /// Returns the hash of `entry`, which follows the entry of this hash.
    #[must_use]
    pub fn then(&self, entry: &StoredEntry) -> Self {
        let mut hash = Sha256::new();
        let text = |hash: &mut Sha256, text: &str| {
            // Its length stands before a text, so that no two entries look alike.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        hash.update(self.0);
        for number in [entry.id.get(), entry.account.get(), entry.at.micros()] {
            hash.update(number.to_be_bytes());
        }
        for part in [&entry.kind, &entry.reference, &entry.memo] {
            text(&mut hash, part);
        }
        hash.update((entry.lines.len() as u64).to_be_bytes());
        for line in &entry.lines {
            hash.update(line.line.to_be_bytes());
            text(&mut hash, &line.ledger_account);
            hash.update(line.amount.to_be_bytes());
        }
        Self(hash.finalize().into())
    }

    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<&[u8]> for ChainHash {
    type Error = NoHash;

    fn try_from(bytes: &[u8]) -> Result<Self, NoHash> {
        bytes.try_into().map(Self).map_err(|_| NoHash)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChainHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoHash);
        }
        let mut hash = [0; 32];
        for (byte, place) in hash.iter_mut().zip((0..).step_by(2)) {
            let pair = text.get(place..place + 2).ok_or(NoHash)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoHash)?;
        }
        Ok(Self(hash))
    }
}

/// What should be a chained hash is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no chained hash: 32 bytes, in hexadecimal 64 digits")]
pub struct NoHash;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> StoredEntry {
        let line = |line, ledger_account: &str, amount| StoredLine {
            line,
            ledger_account: ledger_account.to_owned(),
            amount,
        };
        StoredEntry {
            id: EntryId::new(1),
            account: AccountId::new(2),
            kind: "recharge".to_owned(),
            reference: "ab".to_owned(),
            memo: "c".to_owned(),
            at: Time::from_micros(3),
            lines: vec![line(0, "cash", -5), line(1, "wallet:2", 5)],
        }
    }

    #[test]
    fn whatever_is_changed_in_an_entry_or_before_it_changes_its_hash() {
        let whole = ChainHash::START.then(&entry());
        assert_eq!(whole, ChainHash::START.then(&entry()));
        assert_ne!(whole, whole.then(&entry()), "what stands before it counts");
        let changes: [fn(&mut StoredEntry); 10] = [
            |entry| entry.id = EntryId::new(2),
            |entry| entry.account = AccountId::new(1),
            |entry| entry.kind.push('x'),
            |entry| entry.reference.push('x'),
            |entry| entry.memo.clear(),
            |entry| (entry.reference, entry.memo) = ("a".to_owned(), "bc".to_owned()),
            |entry| entry.at = Time::from_micros(4),
            |entry| entry.lines.truncate(1),
            |entry| entry.lines[0].amount = -6,
            |entry| entry.lines[1].ledger_account = "wallet:3".to_owned(),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = entry();
            change(&mut changed);
            assert_ne!(ChainHash::START.then(&changed), whole, "change {number}");
        }
    }

    #[test]
    fn a_hash_is_written_and_read() {
        let hash = ChainHash::START.then(&entry());
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(ChainHash::try_from(&hash.as_bytes()[..]), Ok(hash));
        let long = format!("{hash}0");
        for wrong in ["", "00", "é", &"g".repeat(64), &"é".repeat(32), &long] {
            assert_eq!(wrong.parse::<ChainHash>(), Err(NoHash), "{wrong}");
        }
        assert_eq!(ChainHash::try_from(&[0; 31][..]), Err(NoHash));
    }
}
