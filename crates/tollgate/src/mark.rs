//! The mark beside a database: how far its chain of entries reached a moment ago, on the disk. A
//! database that was lost or put back tells nobody of it; its mark does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tollgate_core::chain::Mark;
use tollgate_store::DbUrl;
use tollgate_types::Time;

use crate::data_dir::write_whole;

/// What a mark begins with: its form, which is the first.
const FORM: &str = "tollgate-mark-1";

/// Files of marks are shorter than this.
const LONGEST: u64 = 1024;

/// Why there is no mark.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The system would not.
    #[error("the mark {} cannot be {what}: {why}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// What the system says.
        why: io::Error,
    },
    /// It holds something else.
    #[error("{} is no mark of a database: put the one back that was there, or move it away", .0.display())]
    Malformed(PathBuf),
}

/// Where the mark of a database is.
#[derive(Clone, Debug)]
pub struct MarkFile {
    path: PathBuf,
}

impl MarkFile {
    /// The mark of a database: beside the file where it is SQLite's, in the data directory where it is
    /// PostgreSQL's.
    pub fn of(url: &DbUrl, data_dir: &Path) -> Self {
        let Some(file) = url.path() else { return Self { path: data_dir.join("postgres.mark") } };
        // Another spelling of the file's path must find the same mark.
        let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let mut path = file.into_os_string();
        path.push(".mark");
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the mark; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or is none of a mark.
    pub fn read(&self) -> Result<Option<Mark>, MarkError> {
        let failed = |why| MarkError::Io { path: self.path.clone(), what: "read", why };
        match fs::metadata(&self.path) {
            Ok(about) if about.len() > LONGEST => return Err(MarkError::Malformed(self.path.clone())),
            Ok(_) => {}
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(failed(why)),
        }
        let bytes = fs::read(&self.path).map_err(failed)?;
        let mark = std::str::from_utf8(&bytes).ok().and_then(parse);
        mark.map(Some).ok_or_else(|| MarkError::Malformed(self.path.clone()))
    }

    /// Writes the mark, whole or not at all, and returns when it is on the disk.
    ///
    /// # Errors
    /// [`MarkError::Io`]; the mark before stays.
    pub fn write(&self, mark: &Mark) -> Result<(), MarkError> {
        let text = format!("{FORM} {} {} {}\n", mark.entries, mark.hash, mark.accepted_at.micros());
        let failed = |why| MarkError::Io { path: self.path.clone(), what: "written", why };
        write_whole(&self.path, text.as_bytes()).map_err(failed)
    }
}

fn parse(text: &str) -> Option<Mark> {
    let mut words = text.strip_suffix('\n')?.split(' ');
    let is_mark = words.next()? == FORM;
    let entries = words.next()?.parse().ok().filter(|entries| *entries >= 0)?;
    let hash = words.next()?.parse().ok()?;
    let accepted_at = Time::from_micros(words.next()?.parse().ok()?);
    (is_mark && words.next().is_none()).then_some(Mark { entries, hash, accepted_at })
}

#[cfg(test)]
mod tests {
    use tollgate_core::chain::ChainHash;

    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_nothing_else_is_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let marks = MarkFile::of(&DbUrl::sqlite(folder.path().join("x.db")), Path::new("/nowhere"));
        assert_eq!(marks.path(), folder.path().join("x.db.mark"));
        assert_eq!(marks.read().expect("none yet"), None);
        for entries in [0, 7] {
            let accepted_at = Time::from_micros(-entries);
            let mark = Mark { entries, hash: ChainHash::START, accepted_at };
            marks.write(&mark).expect("written");
            assert_eq!(marks.read().expect("a mark"), Some(mark));
        }
        let whole = fs::read_to_string(marks.path()).expect("the file");
        let long = whole.repeat(20);
        let minus = whole.replace(" 7 ", " -7 ");
        let other = whole.replace("mark-1", "mark-2");
        for wrong in ["", &whole[..whole.len() - 1], &whole.repeat(2), &long, &minus, &other] {
            fs::write(marks.path(), wrong).expect("written");
            assert!(matches!(marks.read(), Err(MarkError::Malformed(_))), "{wrong:?}");
        }
        fs::write(marks.path(), b"\xff").expect("written");
        assert!(matches!(marks.read(), Err(MarkError::Malformed(_))));
    }
}
