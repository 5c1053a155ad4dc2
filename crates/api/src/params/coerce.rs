//! From JSON values to typed parameters, as forgiving as the contract says (§1) and not more: numbers
//! may be decimal strings, truth values the words for them. Every error names its field.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};
use tollgate_core::Rule;

use crate::error::{ApiError, Unreadable};

/// The parameters of a call, to be read into its struct.
pub(super) struct Coerce {
    values: Map<String, Value>,
    repeated: BTreeSet<String>,
}

impl Coerce {
    /// Values by name, and the names that came more than once.
    pub(super) const fn new(values: Map<String, Value>, repeated: BTreeSet<String>) -> Self {
        Self { values, repeated }
    }
}

/// A field that breaks a rule. The field is filled in on the way up, where it is known.
#[derive(Debug)]
pub(super) struct Broken {
    field: Option<&'static str>,
    /// `None` where the field came twice.
    rule: Option<Rule>,
}

impl From<Broken> for ApiError {
    fn from(Broken { field, rule }: Broken) -> Self {
        let field = field.unwrap_or("body");
        match rule {
            Some(rule) => Self::invalid(field, rule),
            None => Self::Unreadable(Unreadable::Twice(field)),
        }
    }
}

impl Broken {
    const fn rule(rule: Rule) -> Self {
        Self { field: None, rule: Some(rule) }
    }
}

impl std::error::Error for Broken {}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.field.unwrap_or("body"), self.rule)
    }
}

impl de::Error for Broken {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::rule(Rule::WrongType)
    }

    fn missing_field(field: &'static str) -> Self {
        Self { field: Some(field), rule: Some(Rule::Required) }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::rule(Rule::OneOf(expected))
    }
}

impl<'de> Deserializer<'de> for Coerce {
    type Error = Broken;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        self.deserialize_struct("", &[], visitor)
    }

    /// Goes through the fields that the struct knows; what else there is stays unread.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Broken> {
        visitor.visit_map(InTurn { given: self, known: known.iter(), next: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The known fields that were given, in the order of the struct.
struct InTurn {
    given: Coerce,
    known: std::slice::Iter<'static, &'static str>,
    next: Option<(&'static str, Value)>,
}

impl<'de> MapAccess<'de> for InTurn {
    type Error = Broken;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Broken> {
        for name in self.known.by_ref() {
            if self.given.repeated.contains(*name) {
                return Err(Broken { field: Some(name), rule: None });
            }
            if let Some(value) = self.given.values.remove(*name) {
                self.next = Some((name, value));
                return seed.deserialize((*name).into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Broken> {
        let (field, value) = self.next.take().ok_or(Broken::rule(Rule::WrongType))?;
        seed.deserialize(Given(value)).map_err(|broken| Broken { field: Some(field), ..broken })
    }
}

/// One value as it was given.
struct Given(Value);

impl Given {
    /// A whole number: a JSON integer, or decimal digits in a text.
    fn integer(self) -> Result<i64, Broken> {
        let number = match self.0 {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if is_decimal(&text) => text.parse().ok(),
            _ => None,
        };
        number.ok_or(Broken::rule(Rule::WrongType))
    }

    fn truth(self) -> Result<bool, Broken> {
        match self.0 {
            Value::Bool(truth) => Ok(truth),
            Value::String(text) if text == "true" || text == "1" => Ok(true),
            Value::String(text) if text == "false" || text == "0" => Ok(false),
            _ => Err(Broken::rule(Rule::WrongType)),
        }
    }

    /// A text. One with a NUL in it, which no database keeps, holds a wrong character.
    fn text(self) -> Result<String, Broken> {
        match self.0 {
            Value::String(text) if text.contains('\0') => Err(Broken::rule(Rule::Characters)),
            Value::String(text) => Ok(text),
            _ => Err(Broken::rule(Rule::WrongType)),
        }
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

impl<'de> Deserializer<'de> for Given {
    type Error = Broken;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Broken> {
        Err(Broken::rule(Rule::WrongType))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_bool(self.truth()?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_i64(self.integer()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        visitor.visit_newtype_struct(self)
    }

    /// A word of a list. Whatever is not even a text gets the list, too.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Broken> {
        let Value::String(word) = self.0 else { return Err(Broken::rule(Rule::OneOf(words))) };
        let word: StringDeserializer<Broken> = word.into_deserializer();
        visitor.visit_enum(word)
    }

    /// A JSON array; in a form, where there are none, a text with commas.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        let items = match self.0 {
            Value::Array(items) => items,
            Value::String(text) if text.is_empty() => Vec::new(),
            Value::String(text) => {
                text.split(',').map(|item| Value::String(item.trim().to_owned())).collect()
            }
            _ => return Err(Broken::rule(Rule::WrongType)),
        };
        visitor.visit_seq(Items(items.into_iter()))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct map
        struct identifier
    }
}

struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Broken;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Broken> {
        self.0.next().map(|item| seed.deserialize(Given(item))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Active,
        Inactive,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sample {
        id: i64,
        name: Option<String>,
        word: Option<Word>,
        hot: Option<bool>,
        ids: Option<Vec<i64>>,
    }

    fn read(value: Value) -> Result<Sample, (Option<&'static str>, Rule)> {
        let Value::Object(fields) = value else { panic!("a sample is an object") };
        Sample::deserialize(Coerce::new(fields, BTreeSet::new()))
            .map_err(|broken| (broken.field, broken.rule.expect("a broken rule")))
    }

    #[test]
    fn whole_numbers_are_taken_as_numbers_and_as_texts() {
        for (given, expected) in [
            (json!(0), Some(0)),
            (json!(-3), Some(-3)),
            (json!("42"), Some(42)),
            (json!("-7"), Some(-7)),
            (json!("007"), Some(7)),
            (json!(i64::MAX), Some(i64::MAX)),
            (json!("9223372036854775807"), Some(i64::MAX)),
            (json!(u64::MAX), None),
            (json!("9223372036854775808"), None),
            (json!(1.0), None),
            (json!(0.5), None),
            (json!("1.0"), None),
            (json!("1e3"), None),
            (json!("+1"), None),
            (json!(" 1"), None),
            (json!("1 "), None),
            (json!("١"), None),
            (json!("0x1"), None),
            (json!("-"), None),
            (json!(""), None),
            (json!(true), None),
            (json!([1]), None),
            (json!({"a": 1}), None),
        ] {
            let read = read(json!({ "id": given.clone() })).map(|sample| sample.id);
            assert_eq!(read, expected.ok_or((Some("id"), Rule::WrongType)), "{given}");
        }
    }

    #[test]
    fn texts_words_truths_and_lists() {
        let with = |name: &str, value: Value| read(json!({ "id": 1, name: value }));
        assert_eq!(with("name", json!("")).unwrap().name, Some(String::new()));
        assert_eq!(with("name", json!(5)), Err((Some("name"), Rule::WrongType)));
        assert_eq!(with("name", json!("a\0b")), Err((Some("name"), Rule::Characters)));
        assert_eq!(with("word", json!("inactive")).unwrap().word, Some(Word::Inactive));
        for wrong in [json!("ACTIVE"), json!(""), json!(1), json!(["active"])] {
            assert_eq!(with("word", wrong), Err((Some("word"), Rule::OneOf(&["active", "inactive"]))));
        }
        for (given, expected) in [(json!(true), true), (json!("true"), true), (json!("0"), false)] {
            assert_eq!(with("hot", given).unwrap().hot, Some(expected));
        }
        assert_eq!(with("hot", json!("yes")), Err((Some("hot"), Rule::WrongType)));
        assert_eq!(with("ids", json!([1, "2"])).unwrap().ids, Some(vec![1, 2]));
        assert_eq!(with("ids", json!("1, 2")).unwrap().ids, Some(vec![1, 2]));
        assert_eq!(with("ids", json!("")).unwrap().ids, Some(vec![]));
        assert_eq!(with("ids", json!([1.5])), Err((Some("ids"), Rule::WrongType)));
        assert_eq!(with("ids", json!(7)), Err((Some("ids"), Rule::WrongType)));
    }

    #[test]
    fn a_missing_field_is_named_and_an_unknown_one_ignored() {
        assert_eq!(read(json!({})), Err((Some("id"), Rule::Required)));
        assert_eq!(read(json!({ "id": 1, "role": { "deep": [] } })).unwrap().id, 1);
    }
}
