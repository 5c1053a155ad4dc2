//! Statements: fixed texts, one for both engines.

use std::borrow::Cow;

/// One SQL statement, the same text for both engines.
///
/// Parameters are written `?1`, `?2` …; PostgreSQL's `$1` is made of them when the statement is
/// prepared. (SQLite takes `$1` for a *name* and would bind it to whatever position it came in.)
/// `{for_update}` becomes ` FOR UPDATE` on PostgreSQL and nothing on SQLite, whose writers are
/// alone anyway; `{skip_locked}` does the same with rows left out that somebody else has locked.
///
/// A `Sql` is made by [`statements!`](crate::statements) in this room; no other room contains SQL.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    name: &'static str,
    text: &'static str,
}

/// Tells statements apart without comparing their texts: where a text lies, and how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SqlKey(usize, usize);

impl Sql {
    /// Wraps a statement. `name` is what errors and logs call it.
    pub const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text }
    }

    /// What errors and logs call it.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The text as written.
    pub const fn text(self) -> &'static str {
        self.text
    }

    pub(crate) fn key(self) -> SqlKey {
        SqlKey(self.text.as_ptr() as usize, self.text.len())
    }

    pub(crate) fn for_sqlite(self) -> Cow<'static, str> {
        if self.text.contains(FOR_UPDATE) || self.text.contains(SKIP_LOCKED) {
            Cow::Owned(self.text.replace(FOR_UPDATE, "").replace(SKIP_LOCKED, ""))
        } else {
            Cow::Borrowed(self.text)
        }
    }

    pub(crate) fn for_postgres(self) -> String {
        let text = self.text.replace(FOR_UPDATE, " FOR UPDATE");
        dollars(&text.replace(SKIP_LOCKED, " FOR UPDATE SKIP LOCKED"))
    }
}

const FOR_UPDATE: &str = "{for_update}";
const SKIP_LOCKED: &str = "{skip_locked}";

/// Which part of a statement a character is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    /// Between two of this quote. A doubled quote leaves and enters again, which is the same.
    Quoted(char),
    Comment,
}

impl Part {
    fn after(self, c: char, next: Option<char>) -> Self {
        match (self, c) {
            (Self::Code, '\'' | '"') => Self::Quoted(c),
            (Self::Code, '-') if next == Some('-') => Self::Comment,
            (Self::Quoted(quote), _) if c == quote => Self::Code,
            (Self::Comment, '\n') => Self::Code,
            _ => self,
        }
    }
}

/// Writes `$1` for `?1`, except in quotes and comments.
fn dollars(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut part = Part::Code;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let parameter = part == Part::Code && c == '?' && next.is_some_and(|n| n.is_ascii_digit());
        out.push(if parameter { '$' } else { c });
        part = part.after(c, next);
    }
    out
}

/// Declares the statements of one noun: a constant for each, and `ALL` of them for the test that
/// prepares every statement on both engines.
///
/// ```
/// mod planets {
///     tollgate_store::statements! {
///         /// One planet.
///         BY_ID = "SELECT name FROM planets WHERE id = ?1";
///     }
/// }
/// ```
#[macro_export]
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $(
            $(#[$doc])*
            const $name: $crate::Sql = $crate::Sql::new(concat!(module_path!(), "::", stringify!($name)), $text);
        )*
        /// Every statement of this file.
        pub(crate) const ALL: &[$crate::Sql] = &[$($name),*];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_translated_outside_of_quotes_and_comments_only() {
        let cases = [
            ("SELECT ?1, ?12", "SELECT $1, $12"),
            ("SELECT '?1', ?1", "SELECT '?1', $1"),
            ("SELECT 'it''s ?1', ?2", "SELECT 'it''s ?1', $2"),
            ("SELECT \"a?1\" -- don't ?1\n, ?1", "SELECT \"a?1\" -- don't ?1\n, $1"),
            ("SELECT 3 - ?1, a->?2", "SELECT 3 - $1, a->$2"),
            ("SELECT 'ä' || ?1", "SELECT 'ä' || $1"),
            ("?", "?"),
        ];
        for (written, wanted) in cases {
            assert_eq!(dollars(written), wanted, "{written}");
        }
    }

    #[test]
    fn for_update_is_said_to_postgres_only() {
        let sql = Sql::new("lock", "SELECT balance FROM wallets WHERE account_id = ?1{for_update}");
        assert_eq!(sql.for_sqlite(), "SELECT balance FROM wallets WHERE account_id = ?1");
        assert_eq!(sql.for_postgres(), "SELECT balance FROM wallets WHERE account_id = $1 FOR UPDATE");
        let sql = Sql::new("due", "SELECT id FROM jobs LIMIT ?1{skip_locked}");
        assert_eq!(sql.for_sqlite(), "SELECT id FROM jobs LIMIT ?1");
        assert_eq!(sql.for_postgres(), "SELECT id FROM jobs LIMIT $1 FOR UPDATE SKIP LOCKED");
    }
}
