//! Layers of settings: what was written, where, and which of several wins.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Item;

/// What every variable of the environment that is ours begins with.
const PREFIX: &str = "TOLLGATE_";

/// Variables that only the tests look at.
const TEST_PREFIX: &str = "TOLLGATE_TEST_";

/// The variable that names the settings file, as `--config` does.
pub const CONFIG_VARIABLE: &str = "TOLLGATE_CONFIG";

/// Where a setting was written. Later ones win.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nowhere: it is the program's own.
    Default,
    /// By the command that is run, `demo` for one.
    Command(&'static str),
    /// In a settings file.
    File(PathBuf),
    /// In the environment.
    Environment(String),
    /// On the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Command(name) => write!(f, "tollgate {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why the settings cannot be used. Names the one that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings file {} cannot be read: {why}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The file is no TOML.
    #[error("the settings file {} is not understood: {why}", path.display())]
    NotToml {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        why: String,
    },
    /// There is no such setting.
    #[error("{origin}: there is no setting {name}{hint}; `tollgate config` lists them all")]
    Unknown {
        /// As it was written.
        name: String,
        /// Where.
        origin: Origin,
        /// The nearest name that there is, with words around it; or nothing.
        hint: String,
    },
    /// Its value is not what it should be.
    #[error("{origin}: the setting {name} {why}")]
    Malformed {
        /// The setting's name.
        name: String,
        /// Where it was written.
        origin: Origin,
        /// What would have been right.
        why: String,
    },
}

/// Everything that was written, the winner of each setting.
#[derive(Debug, Default)]
pub struct Layers {
    /// Text by the setting's name, such as `gateway.listen`.
    written: BTreeMap<&'static str, (String, Origin)>,
}

impl Layers {
    /// What was written for a setting, and where.
    pub fn find(&self, name: &str) -> Option<(&str, &Origin)> {
        self.written.get(name).map(|(text, origin)| (text.as_str(), origin))
    }

    /// Lays a value over what is there.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`].
    pub fn lay(
        &mut self,
        items: &[Item],
        name: &str,
        text: String,
        origin: Origin,
    ) -> Result<(), SettingsError> {
        let Some(item) = items.iter().find(|item| item.name == name) else {
            return Err(unknown(items, name, name, origin));
        };
        self.written.insert(item.name, (text, origin));
        Ok(())
    }

    /// Lays the contents of a settings file over what is there.
    ///
    /// # Errors
    /// The file is not TOML, or holds what is no setting.
    pub fn lay_file(&mut self, items: &[Item], path: &Path, text: &str) -> Result<(), SettingsError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| SettingsError::NotToml {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        let origin = Origin::File(path.to_owned());
        for (key, value) in &table {
            match value {
                toml::Value::Table(section) => {
                    for (inner, value) in section {
                        self.lay_toml(items, &format!("{key}.{inner}"), value, &origin)?;
                    }
                }
                value => self.lay_toml(items, key, value, &origin)?,
            }
        }
        Ok(())
    }

    /// Lays the environment over what is there.
    ///
    /// # Errors
    /// A variable that begins with [`PREFIX`] and names no setting, or holds what is not UTF-8.
    pub fn lay_environment(
        &mut self,
        items: &[Item],
        variables: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<(), SettingsError> {
        for (variable, value) in variables {
            let Some(variable) = variable.to_str().filter(|v| v.starts_with(PREFIX)) else { continue };
            if variable.starts_with(TEST_PREFIX) || variable == CONFIG_VARIABLE {
                continue;
            }
            let origin = Origin::Environment(variable.to_owned());
            let Some(item) = items.iter().find(|item| environment_name(item.name) == variable) else {
                return Err(unknown(items, variable, &setting_name(variable), origin));
            };
            let Ok(text) = value.into_string() else {
                return Err(malformed(item.name, origin, "must be UTF-8"));
            };
            self.written.insert(item.name, (text, origin));
        }
        Ok(())
    }

    fn lay_toml(
        &mut self,
        items: &[Item],
        name: &str,
        value: &toml::Value,
        origin: &Origin,
    ) -> Result<(), SettingsError> {
        // An unknown name is told before a value of the wrong type.
        self.lay(items, name, String::new(), origin.clone())?;
        let text = as_text(value).map_err(|why| malformed(name, origin.clone(), why))?;
        self.lay(items, name, text, origin.clone())
    }
}

/// A value of the file in the form that it would have in the environment.
fn as_text(value: &toml::Value) -> Result<String, &'static str> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(truth) => Ok(truth.to_string()),
        toml::Value::Array(values) => {
            let parts: Result<Vec<_>, _> = values.iter().map(as_text).collect();
            Ok(parts?.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            Err("must be a text, a whole number, true or false, or a list of these")
        }
    }
}

/// `gateway.listen` → `TOLLGATE_GATEWAY__LISTEN`.
pub fn environment_name(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('.', "__").to_ascii_uppercase())
}

fn setting_name(variable: &str) -> String {
    variable.strip_prefix(PREFIX).unwrap_or(variable).replace("__", ".").to_ascii_lowercase()
}

pub(super) fn malformed(name: &str, origin: Origin, why: impl Into<String>) -> SettingsError {
    SettingsError::Malformed { name: name.to_owned(), origin, why: why.into() }
}

fn unknown(items: &[Item], written: &str, name: &str, origin: Origin) -> SettingsError {
    let in_environment = matches!(origin, Origin::Environment(_));
    let near =
        items.iter().map(|item| (distance(item.name, name), item.name)).min().filter(|(far, _)| *far <= 4);
    let hint = near.map(|(_, near)| if in_environment { environment_name(near) } else { near.to_owned() });
    let hint = hint.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    SettingsError::Unknown { name: written.to_owned(), origin, hint }
}

/// How many letters have to be put in, left out or changed to make one text the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (place, to) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(from != *to);
            diagonal = *place;
            left = changed.min(left + 1).min(*place + 1);
            *place = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances() {
        for (a, b, far) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }
}
