//! Parameters as they arrived: names with JSON values, each name once.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::coerce::{self, Coerce};
use crate::error::{ApiError, Unreadable};

/// Parameters by name, each with the value that came first. What is `null` counts as absent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields {
    values: Map<String, Value>,
    /// Those that came again.
    repeated: BTreeSet<String>,
}

impl Fields {
    /// From a query string or a form: every value is a text.
    pub(super) fn from_form(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes);
        Self::from_pairs(pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))))
    }

    /// From names with values.
    pub(super) fn from_pairs(pairs: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut fields = Self::default();
        for (name, value) in pairs {
            fields.add(name, value);
        }
        fields
    }

    /// From a JSON value that is within another; `None` where it is no object.
    pub(super) fn from_value(value: Value) -> Option<Self> {
        let Value::Object(mut values) = value else { return None };
        values.retain(|_, value| !value.is_null());
        Some(Self { values, repeated: BTreeSet::new() })
    }

    /// From a JSON object. Depth is bounded by serde_json's recursion limit, size by the caller.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let fields = json.deserialize_any(AsTheyCome).and_then(|fields| {
            json.end()?;
            Ok(fields)
        });
        fields.map_err(|error| {
            let why = if error.is_data() { Unreadable::NotAnObject } else { Unreadable::NotJson };
            ApiError::Unreadable(why)
        })
    }

    fn add(&mut self, name: String, value: Value) {
        match self.values.entry(name) {
            Entry::Vacant(place) => {
                place.insert(value);
            }
            Entry::Occupied(taken) => {
                self.repeated.insert(taken.key().clone());
            }
        }
    }

    /// These, and whatever `others` hold besides.
    pub(super) fn or(mut self, others: Self) -> Self {
        self.repeated.extend(others.repeated.into_iter().filter(|name| !self.values.contains_key(name)));
        for (name, value) in others.values {
            self.values.entry(name).or_insert(value);
        }
        self
    }

    /// Without the fields that are an empty text.
    pub(super) fn without_empty_texts(mut self) -> Self {
        self.values.retain(|_, value| value.as_str() != Some(""));
        self
    }

    /// Takes one out.
    ///
    /// # Errors
    /// It came twice.
    pub(super) fn take(&mut self, name: &'static str) -> Result<Option<Value>, ApiError> {
        match self.repeated.contains(name) {
            true => Err(ApiError::Unreadable(Unreadable::Twice(name))),
            false => Ok(self.values.remove(name)),
        }
    }

    /// A whole number among them; `None` where it is not there.
    ///
    /// # Errors
    /// It is something else, or came twice.
    pub(super) fn integer(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        match self.values.get(name) {
            _ if self.repeated.contains(name) => Err(ApiError::Unreadable(Unreadable::Twice(name))),
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(value) => coerce::integer(name, value.clone()).map(Some),
        }
    }

    /// As the typed parameters of a call. One that came twice is refused here, where it is known
    /// which of them the call looks at.
    pub(super) fn into_typed<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        T::deserialize(Coerce::new(self.values, self.repeated)).map_err(ApiError::from)
    }
}

/// Takes an object's fields one by one.
struct AsTheyCome;

impl<'de> Visitor<'de> for AsTheyCome {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some((name, value)) = object.next_entry()? {
            fields.add(name, value);
        }
        fields.values.retain(|_, value| !value.is_null());
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

    #[derive(Debug, serde::Deserialize, PartialEq)]
    struct Sample {
        id: Option<i64>,
    }

    #[test]
    fn a_parameter_given_twice_in_one_place_is_refused() {
        let twice = Err(ApiError::Unreadable(Unreadable::Twice("id")));
        let json = |text: &str| Fields::from_json(text.as_bytes()).unwrap();
        assert_eq!(json(r#"{"id":1,"id":2}"#).into_typed::<Sample>(), twice);
        assert_eq!(json(r#"{"id":null,"id":2}"#).into_typed::<Sample>(), twice);
        assert_eq!(json(r#"{"id":1,"id":null}"#).into_typed::<Sample>(), twice);
        assert_eq!(Fields::from_form(b"id=1&id=1").into_typed::<Sample>(), twice);
        let unknown = Fields::from_form(b"x=1&x=2&id=3").into_typed();
        assert_eq!(
            unknown,
            Ok(Sample { id: Some(3) }),
            "unknown fields are ignored, however often they come"
        );
        let overruled = Fields::from_form(b"id=3").or(json(r#"{"id":1,"id":2}"#)).into_typed();
        assert_eq!(overruled, Ok(Sample { id: Some(3) }));
    }

    #[test]
    fn the_query_string_wins_field_by_field() {
        let query = Fields::from_form(b"page=2");
        let body = Fields::from_json(br#"{"page":1,"page_size":5}"#).unwrap();
        let expected = Fields::from_json(br#"{"page":"2","page_size":5}"#).unwrap();
        assert_eq!(query.or(body), expected);
    }
}
