//! The caller's language (contract §1): Chinese unless English is preferred.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

pub use tollgate_types::Language;

/// The language that a request prefers by its `Accept-Language` (RFC 9110 §12.5.4). Unknown
/// languages are passed over; where two are equally welcome, the first named wins.
pub(crate) fn preferred(headers: &HeaderMap) -> Language {
    let mut best = (0, Language::default());
    for value in headers.get_all(ACCEPT_LANGUAGE) {
        for range in value.to_str().unwrap_or_default().split(',') {
            if let Some((weight, language)) = parse_range(range)
                && weight > best.0
            {
                best = (weight, language);
            }
        }
    }
    best.1
}

/// One language range with its weight in thousandths; `None` for a language that is not spoken.
fn parse_range(range: &str) -> Option<(u16, Language)> {
    let mut parts = range.split(';').map(str::trim);
    let tag = parts.next()?;
    let language = match tag.split('-').next()? {
        primary if primary.eq_ignore_ascii_case("zh") => Language::Zh,
        primary if primary.eq_ignore_ascii_case("en") => Language::En,
        "*" => Language::default(),
        _ => return None,
    };
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((weight.map_or(Some(1000), thousandths)?, language))
}

/// Reads the weight of a header's item in thousandths: `0.8` → 800, without floating point; `None` for what is no weight.
pub(crate) fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = |text: &str| text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    match whole {
        "1" if digits(fraction) => Some(1000),
        "0" if digits(fraction) => format!("{fraction:0<3}").parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_strongest_language_that_is_spoken() {
        for (header, expected) in [
            ("", Language::Zh),
            ("en", Language::En),
            ("EN-us", Language::En),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Zh),
            ("en-GB,en;q=0.9,zh;q=0.8", Language::En),
            ("zh;q=0.2, en;q=0.7", Language::En),
            ("fr, de;q=0.9, en;q=0.1", Language::En),
            ("fr", Language::Zh),
            ("*", Language::Zh),
            ("en;q=0", Language::Zh),
            ("en;q=nonsense, zh", Language::Zh),
            ("english", Language::Zh),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, header.parse().unwrap());
            assert_eq!(preferred(&headers), expected, "{header:?}");
        }
        assert_eq!(preferred(&HeaderMap::new()), Language::Zh);
    }
}
