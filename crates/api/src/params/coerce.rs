//! From JSON values to typed parameters, as forgiving as the contract says (§1) and not more: numbers
//! may be decimal strings, truth values the words for them, enumerations in any case; an empty text for
//! what may be left out counts as absent. Every error names its field.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
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

/// The source document's pairs of names for one thing: a parameter is understood by either.
const SYNONYMS: [(&str, &str); 3] =
    [("username", "user_name"), ("ip", "proxy_address"), ("country", "country_code")];

/// The other name of a parameter, where it has one.
fn synonym(name: &str) -> Option<&'static str> {
    SYNONYMS.into_iter().find_map(|(a, b)| match name {
        name if name == a => Some(b),
        name if name == b => Some(a),
        _ => None,
    })
}

impl Coerce {
    /// Takes a parameter out, by its name or by the other name that the document has for it, if the
    /// call does not know that as a parameter of its own.
    fn take(&mut self, name: &'static str, known: &'static [&'static str]) -> Result<Option<Value>, Broken> {
        let other = synonym(name).filter(|other| !known.contains(other));
        let twice = Err(Broken { field: Some(name), rule: None });
        if self.repeated.contains(name) || other.is_some_and(|other| self.repeated.contains(other)) {
            return twice;
        }
        let value = self.values.remove(name);
        let other = other.and_then(|other| self.values.remove(other)).filter(|other| !is_empty(other));
        match (&value, &other) {
            (Some(value), Some(other)) if !is_empty(value) && value != other => twice,
            _ => Ok(other.or(value)),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_str() == Some("")
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
        visitor.visit_map(InTurn { given: self, known, left: known.iter(), next: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The known fields that were given, in the order of the struct.
struct InTurn {
    given: Coerce,
    known: &'static [&'static str],
    left: std::slice::Iter<'static, &'static str>,
    next: Option<(&'static str, Value)>,
}

impl<'de> MapAccess<'de> for InTurn {
    type Error = Broken;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Broken> {
        for name in self.left.by_ref() {
            if let Some(value) = self.given.take(name, self.known)? {
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

/// Reads one parameter that is a whole number.
///
/// # Errors
/// It is something else.
pub(super) fn integer(field: &'static str, value: Value) -> Result<i64, ApiError> {
    Given(value).integer().map_err(|broken| Broken { field: Some(field), ..broken }.into())
}

/// One value as it was given.
struct Given(Value);

impl Given {
    /// A whole number: a JSON number without a fraction, or its decimal digits in a text.
    fn integer(self) -> Result<i64, Broken> {
        let number = match &self.0 {
            Value::Number(number) => number.as_i64().or_else(|| {
                let read = whole(&number.to_string());
                read.filter(|read| read.unsigned_abs() < FIRST_INEXACT)
            }),
            Value::String(text) if text.is_empty() => return Err(Broken::rule(Rule::Required)),
            Value::String(text) => whole(text),
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

    /// A text. One with a NUL in it, which no database keeps, holds a wrong character, and so does one with U+FFFD: that
    /// stands for bytes of a form that are not UTF-8, and are lost.
    fn text(self) -> Result<String, Broken> {
        match self.0 {
            Value::String(text) if text.contains(['\0', '\u{fffd}']) => Err(Broken::rule(Rule::Characters)),
            Value::String(text) => Ok(text),
            _ => Err(Broken::rule(Rule::WrongType)),
        }
    }
}

/// From this number on JSON's numbers with a point leave whole numbers out.
const FIRST_INEXACT: u64 = 1 << 53;

/// Decimal digits, and behind a point zeros only.
fn whole(text: &str) -> Option<i64> {
    let (number, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = number.strip_prefix('-').unwrap_or(number);
    let is_whole = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b == b'0');
    number.parse().ok().filter(|_| is_whole)
}

/// The words for a type of traffic, each with the word that another section has for it.
const SAME_TYPE: [(&str, &str); 3] = [("res", "residential"), ("dc", "datacenter"), ("mob", "mobile")];

/// Finds a word in a list whatever its case, by the other section's word for it where need be.
fn listed(given: &str, words: &'static [&'static str]) -> Option<&'static str> {
    let find = |word: &str| words.iter().copied().find(|listed| listed.eq_ignore_ascii_case(word));
    let other = || {
        let same = |a: &str, b| a.eq_ignore_ascii_case(given).then_some(b);
        SAME_TYPE.into_iter().find_map(|(short, long)| same(short, long).or(same(long, short)))
    };
    find(given).or_else(|| find(other()?))
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

    /// An empty text counts as absent. Where it is a value, see [`clearable`].
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        if is_empty(&self.0) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        visitor.visit_newtype_struct(self)
    }

    /// A word of a list, in any case. Whatever is not even a text gets the list, too.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Broken> {
        let given = self.0.as_str().ok_or(Broken::rule(Rule::OneOf(words)))?;
        let word = listed(given, words).ok_or(Broken::rule(Rule::OneOf(words)))?;
        let word: StrDeserializer<'_, Broken> = word.into_deserializer();
        visitor.visit_enum(word)
    }

    /// A JSON array, a text with commas between its items and perhaps one at its end, or the only item.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        let items = match self.0 {
            Value::Array(items) => items,
            Value::String(text) => split(&text),
            number @ Value::Number(_) => vec![number],
            _ => return Err(Broken::rule(Rule::WrongType)),
        };
        // An item that is an empty text is no item that was left out.
        if items.iter().any(is_empty) {
            return Err(Broken::rule(Rule::WrongType));
        }
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

/// A list written as a text: what is between its commas, without blanks around.
fn split(text: &str) -> Vec<Value> {
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    match text.is_empty() {
        true => Vec::new(),
        false => text.split(',').map(|item| Value::String(item.trim().to_owned())).collect(),
    }
}

/// Reads an optional text or list that may be set to nothing: an empty one is a value, not absent. For
/// `#[serde(default, deserialize_with = "…")]`.
pub(crate) fn clearable<'de, D, T>(given: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(given).map(Some)
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
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Active,
        Inactive,
        Residential,
        Dc,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sample {
        id: i64,
        name: Option<String>,
        word: Option<Word>,
        hot: Option<bool>,
        ids: Option<Vec<i64>>,
        #[serde(default, deserialize_with = "clearable")]
        note: Option<String>,
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
            (json!(1.0), Some(1)),
            (json!(-5.0), Some(-5)),
            (json!(9_007_199_254_740_991.0), Some(9_007_199_254_740_991)),
            (json!(9_007_199_254_740_992.0), None),
            (json!(1e300), None),
            (json!(0.5), None),
            (json!("1.0"), Some(1)),
            (json!("9223372036854775807.00"), Some(i64::MAX)),
            (json!("1."), None),
            (json!(".0"), None),
            (json!("1.0.0"), None),
            (json!("1.01"), None),
            (json!("1e3"), None),
            (json!("+1"), None),
            (json!(" 1"), None),
            (json!("1 "), None),
            (json!("١"), None),
            (json!("0x1"), None),
            (json!("-"), None),
            (json!(true), None),
            (json!([1]), None),
            (json!({"a": 1}), None),
        ] {
            let read = read(json!({ "id": given.clone() })).map(|sample| sample.id);
            assert_eq!(read, expected.ok_or((Some("id"), Rule::WrongType)), "{given}");
        }
    }

    fn with(name: &str, value: Value) -> Result<Sample, (Option<&'static str>, Rule)> {
        let mut fields = json!({ "id": 1 });
        fields[name] = value;
        read(fields)
    }

    #[test]
    fn texts_and_truths() {
        assert_eq!(with("name", json!(5)), Err((Some("name"), Rule::WrongType)));
        for wrong in ["a\0b", "a\u{fffd}"] {
            assert_eq!(with("name", json!(wrong)), Err((Some("name"), Rule::Characters)));
        }
        for (given, expected) in [(json!(true), true), (json!("true"), true), (json!("0"), false)] {
            assert_eq!(with("hot", given).unwrap().hot, Some(expected));
        }
        assert_eq!(with("hot", json!("yes")), Err((Some("hot"), Rule::WrongType)));
    }

    #[test]
    fn an_empty_text_is_absent_where_that_may_be_and_missing_elsewhere() {
        for name in ["name", "word", "hot", "ids"] {
            assert_eq!(with(name, json!("")), read(json!({ "id": 1 })), "{name}");
        }
        assert_eq!(with("id", json!("")), Err((Some("id"), Rule::Required)));
        assert_eq!(with("note", json!("")).unwrap().note, Some(String::new()));
        assert_eq!(with("note", json!("x")).unwrap().note, Some("x".to_owned()));
        assert_eq!(read(json!({ "id": 1 })).unwrap().note, None);
    }

    #[test]
    fn words_are_known_in_any_case_and_by_the_other_sections_name() {
        for (given, expected) in [
            ("inactive", Word::Inactive),
            ("INACTIVE", Word::Inactive),
            ("Active", Word::Active),
            ("res", Word::Residential),
            ("RESIDENTIAL", Word::Residential),
            ("Datacenter", Word::Dc),
        ] {
            assert_eq!(with("word", json!(given)).unwrap().word, Some(expected), "{given}");
        }
        let words = Rule::OneOf(&["active", "inactive", "residential", "dc"]);
        for wrong in [json!("mobile"), json!(" active"), json!(1), json!(["active"])] {
            assert_eq!(with("word", wrong), Err((Some("word"), words)));
        }
    }

    #[test]
    fn lists_are_arrays_texts_with_commas_or_one_number() {
        for (given, expected) in [
            (json!([1, "2"]), Some(vec![1, 2])),
            (json!("1, 2"), Some(vec![1, 2])),
            (json!("1,2, "), Some(vec![1, 2])),
            (json!("12,"), Some(vec![12])),
            (json!(" 12 "), Some(vec![12])),
            (json!(12), Some(vec![12])),
            (json!(12.0), Some(vec![12])),
            (json!(" "), Some(vec![])),
            (json!([1.5]), None),
            (json!([""]), None),
            (json!("1,,2"), None),
            (json!("1,,"), None),
            (json!(",1"), None),
            (json!(true), None),
        ] {
            let read = with("ids", given.clone()).map(|sample| sample.ids);
            match expected {
                Some(ids) => assert_eq!(read, Ok(Some(ids)), "{given}"),
                None => assert_eq!(read, Err((Some("ids"), Rule::WrongType)), "{given}"),
            }
        }
    }

    #[test]
    fn a_parameter_is_understood_by_the_documents_other_name_for_it() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Filter {
            user_name: Option<String>,
        }
        #[derive(Debug, Deserialize, PartialEq)]
        struct Both {
            ip: Option<String>,
            proxy_address: Option<String>,
        }
        let filter = |value: Value| {
            let Value::Object(fields) = value else { panic!("no object") };
            Filter::deserialize(Coerce::new(fields, BTreeSet::new())).map(|filter| filter.user_name)
        };
        let name = Some("a".to_owned());
        assert_eq!(filter(json!({ "username": "a" })).unwrap(), name);
        assert_eq!(filter(json!({ "username": "a", "user_name": "" })).unwrap(), name);
        assert_eq!(filter(json!({ "username": "", "user_name": "a" })).unwrap(), name);
        assert_eq!(filter(json!({ "username": "a", "user_name": "a" })).unwrap(), name);
        let twice = filter(json!({ "username": "b", "user_name": "a" })).unwrap_err();
        assert_eq!(ApiError::from(twice), ApiError::Unreadable(Unreadable::Twice("user_name")));
        let fields = Map::from_iter([("ip".to_owned(), json!("a"))]);
        let both = Both::deserialize(Coerce::new(fields, BTreeSet::new())).unwrap();
        assert_eq!(both, Both { ip: Some("a".to_owned()), proxy_address: None });
    }

    #[test]
    fn a_missing_field_is_named_and_an_unknown_one_ignored() {
        assert_eq!(read(json!({})), Err((Some("id"), Rule::Required)));
        assert_eq!(read(json!({ "id": 1, "role": { "deep": [] } })).unwrap().id, 1);
    }
}
