//! The data directory: made for its owner only, with the master key and the operator's token in it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng as _;
use rand::rngs::SysRng;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::{AdminToken, MasterKey, Value as _};

/// The file that is there during the first start.
const FIRST_START: &str = "first-start";

/// Files of keys are shorter than this.
const LONGEST_SECRET: u64 = 4096;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The system would not.
    #[error("{}: cannot be {what}: {why}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// `read`, `written` …
        what: &'static str,
        /// What the system says.
        why: io::Error,
    },
    /// Others than its owner may read a secret.
    #[error("{}: others than its owner may read or write it (mode {mode:03o}); run chmod 600", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        why: String,
    },
    /// Another process has it.
    #[error("another process uses the data directory {}; stop it, or give this one a data directory of its own", .0.display())]
    InUse(PathBuf),
    /// There is a database but not the key under which it was sealed.
    #[error("{}: the master key is missing, but there is a database that was sealed with one; restore the file \
             or set TOLLGATE_MASTER_KEY", path.display())]
    KeyLost {
        /// Where the key should be.
        path: PathBuf,
    },
    /// The system has no random numbers to give.
    #[error("no random numbers: {0}")]
    Random(String),
}

/// A data directory that exists.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// The right to use a data directory, for as long as it is held. It ends with the process.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// A token, and whether it has just been made.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub token: SecretString,
    /// True the first time: its owner has not seen it yet.
    pub fresh: bool,
}

impl DataDir {
    /// Makes the directory, and those above it, where it is missing; for its owner only (0700).
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|why| io_error(path, "created", why))?;
        let path = path.canonicalize().map_err(|why| io_error(path, "found", why))?;
        Ok(Self { path })
    }

    /// Keeps every other process from using the directory: its journal and its keys are one process's.
    ///
    /// # Errors
    /// [`DataDirError::InUse`], or [`DataDirError::Io`].
    pub fn lock(&self) -> Result<DataDirLock, DataDirError> {
        let path = self.path.join("lock");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|why| io_error(&path, "opened", why))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DataDirLock { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(DataDirError::InUse(self.path.clone())),
            Err(why) => Err(io_error(&path, "locked", why.into())),
        }
    }

    /// Notes that the first start has begun: until it [is over](Self::first_start_is_over), a key
    /// without a database is one that a start broke off, and not a database that was lost.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn begin_first_start(&self) -> Result<(), DataDirError> {
        let path = self.path.join(FIRST_START);
        write_whole(&path, b"").map_err(|why| io_error(&path, "written", why))
    }

    /// Notes that there is a database.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn first_start_is_over(&self) -> Result<(), DataDirError> {
        let path = self.path.join(FIRST_START);
        match fs::remove_file(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(io_error(&path, "removed", why)),
            _ => Ok(()),
        }
    }

    /// Whether the first start has begun and is not over.
    pub fn is_first_start(&self) -> bool {
        self.path.join(FIRST_START).exists()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder inside, made where it is missing.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn folder(&self, name: &str) -> Result<PathBuf, DataDirError> {
        Self::open(&self.path.join(name)).map(|folder| folder.path)
    }

    /// The master key: the one in the file `master-key`, made at the first start. `sealed` says
    /// that there is a database already, for which a new key would be the wrong one.
    ///
    /// # Errors
    /// The file is readable by others, malformed, or lost.
    pub fn master_key(&self, sealed: bool) -> Result<MasterKey, DataDirError> {
        if let Some(key) = self.find_master_key()? {
            return Ok(key);
        }
        let path = self.path.join("master-key");
        if sealed {
            return Err(DataDirError::KeyLost { path });
        }
        let key = MasterKey::new(random_bytes()?);
        write_secret(&path, &key.encode())?;
        Ok(key)
    }

    /// The master key, where there is one already.
    ///
    /// # Errors
    /// The file is readable by others, or malformed.
    pub fn find_master_key(&self) -> Result<Option<MasterKey>, DataDirError> {
        let path = self.path.join("master-key");
        let Some(text) = read_secret(&path)? else { return Ok(None) };
        let malformed = |why| DataDirError::Malformed { path, why: format!("the master key {why}") };
        MasterKey::parse(text.expose_secret()).map(Some).map_err(malformed)
    }

    /// The operator's token: the one in the file `admin-token`, made at the first start.
    ///
    /// # Errors
    /// The file is readable by others, or malformed.
    pub fn admin_token(&self) -> Result<Token, DataDirError> {
        if let Some(token) = self.find_admin_token()? {
            return Ok(Token { token, fresh: false });
        }
        let token: SecretString = URL_SAFE_NO_PAD.encode(random_bytes::<32>()?).into();
        write_secret(&self.path.join("admin-token"), &token)?;
        Ok(Token { token, fresh: true })
    }

    /// The operator's token, where there is one already.
    ///
    /// # Errors
    /// As [`DataDir::admin_token`].
    pub fn find_admin_token(&self) -> Result<Option<SecretString>, DataDirError> {
        let path = self.path.join("admin-token");
        let Some(text) = read_secret(&path)? else { return Ok(None) };
        let malformed = |why| DataDirError::Malformed { path, why: format!("the operator's token {why}") };
        AdminToken::parse(text.expose_secret()).map(|token| Some(token.0)).map_err(malformed)
    }

    /// A secret kept under a name, where there is one.
    ///
    /// # Errors
    /// The file is readable by others, or cannot be read.
    pub fn secret(&self, name: &str) -> Result<Option<SecretString>, DataDirError> {
        read_secret(&self.path.join(name))
    }

    /// Keeps a secret under a name, in place of the one before.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn keep_secret(&self, name: &str, secret: &SecretString) -> Result<(), DataDirError> {
        write_secret(&self.path.join(name), secret)
    }
}

/// Reads a file of one line that only its owner may read; `None` where there is no such file.
fn read_secret(path: &Path) -> Result<Option<SecretString>, DataDirError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(io_error(path, "read", why)),
    };
    let mode = file.metadata().map_err(|why| io_error(path, "read", why))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DataDirError::Open { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(LONGEST_SECRET).read_to_string(&mut text).map_err(|why| io_error(path, "read", why))?;
    Ok(Some(text.trim().into()))
}

/// Writes a secret as a file of one line.
fn write_secret(path: &Path, secret: &SecretString) -> Result<(), DataDirError> {
    let line = SecretString::from(format!("{}\n", secret.expose_secret()));
    write_whole(path, line.expose_secret().as_bytes()).map_err(|why| io_error(path, "written", why))
}

/// Writes a file for its owner only: whole or not at all, and on the disk before it has its name. What
/// was sealed under a key that did not survive a power cut could not be opened again.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    // A draft left behind by a crash may have been made by anybody's rules.
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Random bytes from the system.
///
/// # Errors
/// [`DataDirError::Random`].
pub fn random_bytes<const N: usize>() -> Result<[u8; N], DataDirError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| DataDirError::Random(error.to_string()))?;
    Ok(bytes)
}

fn io_error(path: &Path, what: &'static str, why: io::Error) -> DataDirError {
    DataDirError::Io { path: path.to_owned(), what, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it exists").permissions().mode() & 0o777
    }

    #[test]
    fn the_first_start_makes_keys_that_only_the_owner_reads_and_later_ones_find_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(&folder.path().join("a/b")).expect("a data directory");
        assert_eq!(mode(data.path()), 0o700);
        let (key, token) = (data.master_key(false).expect("a key"), data.admin_token().expect("a token"));
        assert!(token.fresh);
        for file in ["master-key", "admin-token"] {
            assert_eq!(mode(&data.path().join(file)), 0o600, "{file}");
        }
        let again = DataDir::open(data.path()).expect("the same");
        assert_eq!(again.master_key(true).expect("the key").expose(), key.expose());
        let found = again.admin_token().expect("the token");
        assert_eq!((found.token.expose_secret(), found.fresh), (token.token.expose_secret(), false));
    }

    #[test]
    fn a_data_directory_is_one_users_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("a data directory");
        let lock = data.lock().expect("nobody has it");
        let error =
            DataDir::open(folder.path()).expect("the same").lock().expect_err("it is taken").to_string();
        assert!(error.contains("another process uses the data directory"), "{error}");
        drop(lock);
        data.lock().expect("nobody has it any more");
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("a data directory");
        data.master_key(false).expect("a key");
        let path = data.path().join("master-key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
        let error = data.master_key(false).expect_err("too open").to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_key_is_never_made_anew_for_a_database_that_has_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("a data directory");
        assert!(matches!(data.master_key(true), Err(DataDirError::KeyLost { .. })));
        assert!(!data.path().join("master-key").exists());
    }

    #[test]
    fn a_malformed_key_is_named_and_not_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("a data directory");
        data.keep_secret("master-key", &"hunter2".into()).expect("written");
        let error = data.master_key(true).expect_err("no key").to_string();
        assert!(error.contains("master-key: the master key must be 32 bytes"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
