//! The 23 calls of the source document, field by field: the parameters as the document prints them,
//! the answers with the names and types that it promises. Only types are compared here; the
//! snapshots hold the values.

mod statics;
mod traffic;

use axum::http::Method;
use serde_json::Value;

use crate::common::Api;

/// The type of a field in the document's samples.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Int,
    Text,
    /// `2025-09-14 06:22:26`
    When,
    /// `2025-09-07`
    Day,
    Truth,
    Word(&'static [&'static str]),
}

use Kind::{Day, Int, Text, Truth, When, Word};

pub(super) const SWITCH: Kind = Word(&["active", "inactive"]);

fn fits(kind: Kind, value: &Value) -> bool {
    let shaped = |shape: &str| {
        value.as_str().is_some_and(|text| {
            let same = |(c, s): (char, char)| if s == '0' { c.is_ascii_digit() } else { c == s };
            text.len() == shape.len() && text.chars().zip(shape.chars()).all(same)
        })
    };
    match kind {
        Int => value.is_i64(),
        Text => value.is_string(),
        When => shaped("0000-00-00 00:00:00"),
        Day => shaped("0000-00-00"),
        Truth => value.is_boolean(),
        Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
    }
}

pub(super) fn check(call: &str, fields: &[(&str, Kind)], value: &Value) {
    for (name, kind) in fields {
        let field = value.get(name).unwrap_or_else(|| panic!("{call}: no {name} in {value}"));
        assert!(fits(*kind, field), "{call}: {name} is {field}, not {kind:?}");
    }
}

/// A GET call with the document's JSON parameters in its body; by query it must answer the same.
pub(super) async fn get(api: &Api, key: &str, path: &str, params: Value) -> Value {
    let by_body = api.send_json(Method::GET, key, path, &params.to_string()).await;
    let pairs = params.as_object().unwrap().iter();
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let query: Vec<_> = pairs.map(|(name, value)| format!("{name}={}", text(value))).collect();
    let by_query = api.get(key, &format!("{path}?{}", query.join("&"))).await;
    assert_eq!(by_body.data(), by_query.data(), "{path}");
    assert_eq!(by_body.message(), "success");
    by_body.data().clone()
}

pub(super) async fn post(api: &Api, key: &str, path: &str, params: Value) -> Value {
    let answer = api.post(key, path, params).await;
    assert_eq!(answer.message(), "success", "{path}");
    answer.data().clone()
}
