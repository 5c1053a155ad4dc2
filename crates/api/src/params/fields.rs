//! Parameters as they arrived: names with JSON values, each name once.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::coerce::Coerce;
use crate::error::{ApiError, Unreadable};

/// The longest name that is repeated to the caller, in characters.
const NAME_SHOWN: usize = 64;

/// Parameters by name. What is `null` counts as absent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// From a query string or a form: every value is a text.
    pub(super) fn from_form(bytes: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Map::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            if fields.insert(name.clone().into_owned(), Value::String(value.into_owned())).is_some() {
                return Err(twice(&name));
            }
        }
        Ok(Self(fields))
    }

    /// From a JSON object. Depth is bounded by serde_json's recursion limit, size by the caller.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let mut repeated = None;
        let fields = json.deserialize_any(Once { repeated: &mut repeated }).and_then(|fields| {
            json.end()?;
            Ok(fields)
        });
        match (fields, repeated) {
            (_, Some(name)) => Err(twice(&name)),
            (Ok(fields), None) => Ok(Self(fields)),
            (Err(error), None) if error.is_data() => Err(ApiError::Unreadable(Unreadable::NotAnObject)),
            (Err(_), None) => Err(ApiError::Unreadable(Unreadable::NotJson)),
        }
    }

    /// These, and whatever `others` hold besides.
    pub(super) fn or(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// Without the fields that are an empty text.
    pub(super) fn without_empty_texts(mut self) -> Self {
        self.0.retain(|_, value| value.as_str() != Some(""));
        self
    }

    /// As the typed parameters of a call.
    pub(super) fn into_typed<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        T::deserialize(Coerce::new(self.0)).map_err(ApiError::from)
    }
}

fn twice(name: &str) -> ApiError {
    ApiError::Unreadable(Unreadable::Twice(name.chars().take(NAME_SHOWN).collect()))
}

/// Takes an object whose names differ, and remembers the first that does not.
struct Once<'a> {
    repeated: &'a mut Option<String>,
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, value)) = object.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                self.repeated.get_or_insert(name);
            } else {
                fields.insert(name, value);
            }
        }
        fields.retain(|_, value| !value.is_null());
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &[u8]) -> Unreadable {
        match Fields::from_json(json) {
            Err(ApiError::Unreadable(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_whole_json_object_is_taken() {
        assert_eq!(Fields::from_json(b" {} ").unwrap(), Fields::default());
        assert_eq!(Fields::from_json(br#"{"a": null}"#).unwrap(), Fields::default());
        for other in [&b"[]"[..], b"1", b"\"text\"", b"null", b"true"] {
            assert_eq!(refused(other), Unreadable::NotAnObject);
        }
        let deep = [b"{\"a\":".as_slice(), &b"[".repeat(10_000)].concat();
        let malformed = [
            &b"{"[..],
            b"{}x",
            b"\xef\xbb\xbf{}",
            b"{\"a\":NaN}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":1e400}",
            &deep,
        ];
        for malformed in malformed {
            assert_eq!(refused(malformed), Unreadable::NotJson);
        }
    }

    #[test]
    fn a_name_given_twice_is_refused_wherever_it_stands() {
        assert_eq!(refused(br#"{"id":1,"id":2}"#), Unreadable::Twice("id".into()));
        assert_eq!(refused(br#"{"id":null,"id":2}"#), Unreadable::Twice("id".into()));
        assert_eq!(Fields::from_form(b"id=1&id=1").unwrap_err(), twice("id"));
    }

    #[test]
    fn the_query_string_wins_field_by_field() {
        let query = Fields::from_form(b"page=2").unwrap();
        let body = Fields::from_json(br#"{"page":1,"page_size":5}"#).unwrap();
        let expected = Fields::from_json(br#"{"page":"2","page_size":5}"#).unwrap();
        assert_eq!(query.or(body), expected);
    }
}
