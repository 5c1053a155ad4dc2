//! A file that gets its name when it is complete, on the disk, and not before.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags};
use rustix::io::Errno;

/// Why there is no such file.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// A file has the name already.
    #[error("{} exists already; nothing is written over it", .0.display())]
    Exists(PathBuf),
    /// Another process is writing it.
    #[error("{} is being written by another process", .0.display())]
    Busy(PathBuf),
    /// The name is none of a file.
    #[error("{} is no name of a file", .0.display())]
    NoName(PathBuf),
    /// The system would not.
    #[error("{}: {why}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
}

/// An unfinished file, readable by its owner only, under the name `FILE.partial`. Unless it is kept
/// it is removed; what a crash leaves of it, the next attempt takes over.
#[derive(Debug)]
pub struct Draft {
    name: PathBuf,
    draft: PathBuf,
    /// Locked, so that two that write the same file do not meet in one draft.
    file: File,
    kept: bool,
}

impl Draft {
    /// Begins a file, empty.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn begin(name: &Path) -> Result<Self, DraftError> {
        if name.file_name().is_none() {
            return Err(DraftError::NoName(name.to_owned()));
        }
        let draft = with_ending(name, ".partial");
        let failed = |why| DraftError::Io { path: draft.clone(), why };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&draft);
        let file = file.map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(DraftError::Busy(name.to_owned())),
            Err(why) => return Err(failed(why.into())),
        }
        // Whoever held the lock until just now may have given the file its name.
        if !is_at(&file, &draft).map_err(failed)? {
            return Err(DraftError::Busy(name.to_owned()));
        }
        let begun = Self { name: name.to_owned(), draft: draft.clone(), file, kept: false };
        if fs::symlink_metadata(name).is_ok() {
            return Err(DraftError::Exists(name.to_owned()));
        }
        begun.empty().map_err(failed)?;
        Ok(begun)
    }

    /// Where it is meanwhile.
    pub fn path(&self) -> &Path {
        &self.draft
    }

    /// Sees that it is on the disk, and gives it its name.
    ///
    /// # Errors
    /// [`DraftError::Exists`] where another file has got the name meanwhile; [`DraftError::Io`].
    pub fn keep(mut self) -> Result<(), DraftError> {
        let failed = |why| DraftError::Io { path: self.name.clone(), why };
        self.file.sync_all().map_err(failed)?;
        match give_name(&self.draft, &self.name) {
            Ok(()) => self.kept = true,
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                return Err(DraftError::Exists(self.name.clone()));
            }
            Err(why) => return Err(failed(why)),
        }
        let folder = self.name.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")));
        folder.and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Forgets what a crash may have left, the journal that would undo what is written now included.
    fn empty(&self) -> io::Result<()> {
        match fs::remove_file(with_ending(&self.draft, "-journal")) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        self.file.set_len(0)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // Whoever looks on has been told of what went wrong before.
            let _ = fs::remove_file(with_ending(&self.draft, "-journal"));
            let _ = fs::remove_file(&self.draft);
        }
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Whether a path leads to this very file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (here, there) = (file.metadata()?, fs::symlink_metadata(path)?);
    Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
}

/// Renames a file, but never over another one.
fn give_name(draft: &Path, name: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, draft, CWD, name, RenameFlags::NOREPLACE) {
        // Not every file system can do that; those know links.
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(draft, name).and_then(|()| fs::remove_file(draft)),
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_when_it_is_complete_and_is_its_owners_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().join("x");
        let draft = Draft::begin(&name).expect("a draft");
        fs::write(draft.path(), "all of it").expect("written");
        assert_eq!(names(folder.path()), ["x.partial"]);
        draft.keep().expect("kept");
        assert_eq!(names(folder.path()), ["x"]);
        assert_eq!(fs::read(&name).expect("readable"), b"all of it");
        assert_eq!(fs::metadata(&name).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_not_kept_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let draft = Draft::begin(&folder.path().join("x")).expect("a draft");
        fs::write(with_ending(draft.path(), "-journal"), "half").expect("written");
        drop(draft);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn no_file_is_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().join("x");
        let draft = Draft::begin(&name).expect("a draft");
        fs::write(&name, "precious").expect("written");
        assert!(matches!(draft.keep(), Err(DraftError::Exists(_))));
        assert!(matches!(Draft::begin(&name), Err(DraftError::Exists(_))));
        assert_eq!(fs::read(&name).expect("readable"), b"precious");
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn two_do_not_write_one_file_and_what_a_crash_left_is_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().join("x");
        let draft = Draft::begin(&name).expect("a draft");
        assert!(matches!(Draft::begin(&name), Err(DraftError::Busy(_))));
        drop(draft);
        for left in ["x.partial", "x.partial-journal"] {
            let mut file = File::create(folder.path().join(left)).expect("a file");
            file.write_all(b"left by a crash").expect("written");
        }
        let draft = Draft::begin(&name).expect("a draft");
        assert_eq!(fs::metadata(draft.path()).expect("there").len(), 0);
        assert_eq!(names(folder.path()), ["x.partial"]);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["..", "/"] {
            assert!(matches!(Draft::begin(Path::new(name)), Err(DraftError::NoName(_))), "{name}");
        }
        let refused = Draft::begin(Path::new("/nowhere/at/all/x")).expect_err("no such folder");
        assert!(refused.to_string().starts_with("/nowhere/at/all/x.partial: "), "{refused}");
    }
}
