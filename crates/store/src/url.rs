//! Where the database is: `sqlite:PATH` or `postgres://…`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use postgres::config::Host;

/// A database address that was not understood. Says nothing of what was given, which may hold a
/// password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DbUrlError {
    /// Neither of the two forms.
    #[error("a database is given as sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME")]
    UnknownForm,
    /// `sqlite:` without a file, or in memory.
    #[error("sqlite: must be followed by the path of a file")]
    NoFile,
    /// What follows `postgres://` is wrong.
    #[error("the postgres:// address cannot be read; special characters must be percent-encoded")]
    Postgres,
}

/// The address of a database. Shown without its password.
#[derive(Clone)]
pub struct DbUrl(Form);

#[derive(Clone)]
pub(crate) enum Form {
    Sqlite(PathBuf),
    Postgres(Box<postgres::Config>),
}

impl DbUrl {
    /// A SQLite file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Form::Sqlite(path.into()))
    }

    /// The name of the engine: `sqlite` or `postgres`.
    pub const fn engine(&self) -> &'static str {
        match self.0 {
            Form::Sqlite(_) => "sqlite",
            Form::Postgres(_) => "postgres",
        }
    }

    /// The file, where it is SQLite's.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Form::Sqlite(path) => Some(path),
            Form::Postgres(_) => None,
        }
    }

    /// Whether it holds a password, which is not shown.
    pub fn has_password(&self) -> bool {
        matches!(&self.0, Form::Postgres(config) if config.get_password().is_some())
    }

    pub(crate) const fn form(&self) -> &Form {
        &self.0
    }
}

impl FromStr for DbUrl {
    type Err = DbUrlError;

    /// Takes `sqlite:PATH` (also `sqlite://PATH`), `postgres://…` and `postgresql://…`. A unix
    /// socket is given as `postgres:///NAME?host=/directory`.
    fn from_str(url: &str) -> Result<Self, DbUrlError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return parse_sqlite(path.strip_prefix("//").unwrap_or(path));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let config = url.parse().map_err(|_| DbUrlError::Postgres)?;
            return Ok(Self(Form::Postgres(Box::new(config))));
        }
        Err(DbUrlError::UnknownForm)
    }
}

fn parse_sqlite(path: &str) -> Result<DbUrl, DbUrlError> {
    match path {
        "" | ":memory:" => Err(DbUrlError::NoFile),
        path => Ok(DbUrl::sqlite(path)),
    }
}

impl fmt::Display for DbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Form::Postgres(config) => write_postgres(config, f),
        }
    }
}

impl fmt::Debug for DbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Made anew of its parts, so that a password cannot slip through wherever it was written.
fn write_postgres(config: &postgres::Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("postgres://")?;
    if let Some(user) = config.get_user() {
        f.write_str(user)?;
        f.write_str(if config.get_password().is_some() { ":***@" } else { "@" })?;
    }
    for (i, host) in config.get_hosts().iter().enumerate() {
        f.write_str(if i == 0 { "" } else { "," })?;
        match host {
            Host::Tcp(name) => f.write_str(name)?,
            Host::Unix(directory) => write!(f, "[{}]", directory.display())?,
        }
        if let Some(port) = config.get_ports().get(i).or(config.get_ports().first()) {
            write!(f, ":{port}")?;
        }
    }
    write!(f, "/{}", config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_taken() {
        for (given, shown) in [
            ("sqlite:data/tollgate.db", "sqlite:data/tollgate.db"),
            ("sqlite:/var/lib/tollgate.db", "sqlite:/var/lib/tollgate.db"),
            ("sqlite:///var/lib/tollgate.db", "sqlite:/var/lib/tollgate.db"),
            ("postgres://tollgate@db.example:5433/prod", "postgres://tollgate@db.example:5433/prod"),
            ("postgresql:///prod?host=/run/postgresql&user=t", "postgres://t@[/run/postgresql]/prod"),
        ] {
            let url: Result<DbUrl, _> = given.parse();
            assert_eq!(url.clone().map(|url| url.has_password()), Ok(false), "{given}");
            assert_eq!(url.map(|url| url.to_string()), Ok(shown.to_owned()), "{given}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for given in ["", "mysql://x", "sqlite:", "sqlite::memory:", "/var/lib/tollgate.db"] {
            assert!(given.parse::<DbUrl>().is_err(), "{given}");
        }
        assert_eq!("postgres://h:port/x".parse::<DbUrl>().err(), Some(DbUrlError::Postgres));
    }

    #[test]
    fn the_password_is_never_shown() {
        for given in [
            "postgres://bob:hunter2@host/db",
            "postgres://host/db?user=bob&password=hunter2",
            "postgres://b:hunter2@h:x/",
        ] {
            let shown =
                format!("{:?} {:?}", given.parse::<DbUrl>(), given.parse::<DbUrl>().map(|u| u.to_string()));
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_ne!(given.parse::<DbUrl>().map(|url| url.has_password()), Ok(false), "{given}");
        }
    }
}
