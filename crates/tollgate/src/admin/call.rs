//! A call of the API, and what it is put together from.

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

/// A call of the API: method, path with query, body.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// From `/api/` on, query included.
    pub path: String,
    /// What is sent along.
    pub body: Option<Body>,
}

/// What is sent along with a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A JSON object.
    Json(Value),
    /// A table.
    Csv(String),
}

impl Call {
    /// Asks.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), body: None }
    }

    /// Changes.
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: "POST", path: path.into(), body: Some(Body::Json(body)) }
    }

    /// Imports a table.
    pub fn import(path: impl Into<String>, table: String) -> Self {
        Self { method: "POST", path: path.into(), body: Some(Body::Csv(table)) }
    }
}

impl Body {
    /// The media type, and the bytes.
    pub(super) fn written(&self) -> (&'static str, String) {
        match self {
            Self::Json(value) => ("application/json", value.to_string()),
            Self::Csv(table) => ("text/csv", table.clone()),
        }
    }
}

/// What is given of a list of parameters, as it follows a path's `?`.
pub(super) fn query(pairs: &[(&str, Option<String>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    given.map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}

/// Flags as the fields of a JSON object.
pub(super) fn object(fields: &impl Serialize) -> anyhow::Result<Value> {
    serde_json::to_value(fields).context("the flags cannot be written as JSON")
}

/// Adds a field to a JSON object.
pub(super) fn put(body: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(fields) = body.as_object_mut() {
        fields.insert(name.to_owned(), value.into());
    }
}

/// The first line of a file: passwords do not belong on a command line, where every process sees
/// them.
pub(super) fn read_password(file: &std::path::Path) -> anyhow::Result<String> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("the password cannot be read")?
    } else {
        std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?
    };
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A text as it may stand in a query.
pub fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped += &format!("%{byte:02X}"),
        }
        escaped
    })
}
