//! How values of an event are written in a text.

use serde_json::Value;
use tollgate_types::{GB, Language, ProxyType};

/// The longest word of an event's that is written, in characters.
const MAX_WORD_CHARS: usize = 200;

/// What kind of value a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A word or a number, as it is.
    Plain,
    /// Whole US cents.
    Cents,
    /// Bytes, said in GB.
    Bytes,
    /// A kind of traffic.
    ProxyType,
}

impl Form {
    /// The value's text; `None` where it is not of this kind, or empty.
    pub(crate) fn write(self, value: &Value, language: Language) -> Option<String> {
        let text = match self {
            Self::Plain => plain(value)?,
            Self::Cents => dollars(value.as_i64()?),
            Self::Bytes => gigabytes(value.as_u64()?),
            Self::ProxyType => proxy_type(&plain(value)?, language),
        };
        Some(text).filter(|text| !text.is_empty())
    }
}

/// `$12.34`.
fn dollars(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}${}.{:02}", cents / 100, cents % 100)
}

/// `1.25 GB`, of 2^30 bytes each; never more than there is.
fn gigabytes(bytes: u64) -> String {
    let hundredths = u128::from(bytes) * 100 / u128::from(GB);
    format!("{}.{:02} GB", hundredths / 100, hundredths % 100)
}

fn proxy_type(word: &str, language: Language) -> String {
    match word.parse() {
        Ok(ProxyType::Residential) => language.pick("住宅", "residential"),
        Ok(ProxyType::Datacenter) => language.pick("数据中心", "datacenter"),
        Ok(ProxyType::Mobile) => language.pick("移动", "mobile"),
        Err(_) => word,
    }
    .to_owned()
}

/// A string in one line and without tricks, or a whole number.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let text: String = text.chars().filter(|c| is_harmless(*c)).take(MAX_WORD_CHARS).collect();
            Some(text.trim().to_owned())
        }
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Neither ends a line nor turns the direction of writing.
fn is_harmless(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(form: Form, value: Value) -> Option<String> {
        form.write(&value, Language::En)
    }

    #[test]
    fn money_is_written_to_the_cent() {
        for (cents, text) in [
            (0, "$0.00"),
            (1, "$0.01"),
            (1234, "$12.34"),
            (100, "$1.00"),
            (-105, "-$1.05"),
            (-5, "-$0.05"),
            (i64::MAX, "$92233720368547758.07"),
            (i64::MIN, "-$92233720368547758.08"),
        ] {
            assert_eq!(written(Form::Cents, json!(cents)).as_deref(), Some(text));
        }
        assert_eq!(written(Form::Cents, json!(1.5)), None, "never a fraction of a cent");
    }

    #[test]
    fn traffic_is_written_in_gb_and_never_as_more_than_there_is() {
        for (bytes, text) in [
            (0, "0.00 GB"),
            (1, "0.00 GB"),
            (GB, "1.00 GB"),
            (GB - 1, "0.99 GB"),
            (GB + GB / 4, "1.25 GB"),
            (1000 * GB, "1000.00 GB"),
            (u64::MAX, "17179869183.99 GB"),
        ] {
            assert_eq!(written(Form::Bytes, json!(bytes)).as_deref(), Some(text));
        }
        assert_eq!(written(Form::Bytes, json!(-1)), None);
    }

    #[test]
    fn words_stay_in_their_line() {
        let tricky = json!("a\r\nBcc: b\u{2028}\u{202e}c\u{0}");
        assert_eq!(written(Form::Plain, tricky).as_deref(), Some("aBcc: bc"));
        assert_eq!(
            written(Form::Plain, json!("x".repeat(1000))).map(|text| text.len()),
            Some(MAX_WORD_CHARS)
        );
        for nothing in [json!(null), json!("\n"), json!([1]), json!({"a": 1}), json!(true), json!(1.5)] {
            assert_eq!(written(Form::Plain, nothing), None);
        }
    }

    #[test]
    fn types_of_traffic_have_their_words() {
        assert_eq!(Form::ProxyType.write(&json!("mobile"), Language::Zh).as_deref(), Some("移动"));
        assert_eq!(written(Form::ProxyType, json!("satellite")).as_deref(), Some("satellite"));
    }
}
