//! Reading a request's body: bounded in bytes and time, in the media types that are taken. What a body
//! is stands in its label; where that is missing, or is the one that clients put on everything, the body
//! itself says it.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::fields::Fields;
use crate::error::{ApiError, NotTaken, Unreadable};
use crate::state::Bounds;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Form,
    Csv,
}

/// The parameters that the body holds; none where there is no body, or one of blanks only.
pub(super) async fn read(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<Fields, ApiError> {
    let bytes = read_bytes(headers, body, bounds).await?;
    let text = without_air(&bytes);
    if text.is_empty() {
        return Ok(Fields::default());
    }
    match media(headers, text)? {
        Media::Json => Fields::from_json(text),
        Media::Form => Ok(Fields::from_form(text)),
        Media::Csv => Err(ApiError::NotTaken(NotTaken::Media)),
    }
}

/// The body as it came.
pub(super) async fn read_bytes(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<Bytes, ApiError> {
    if declared_length(headers).is_some_and(|length| length > bounds.body_bytes) {
        return Err(ApiError::TooLarge);
    }
    take(body, bounds).await
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn take(body: Body, bounds: Bounds) -> Result<Bytes, ApiError> {
    let whole = Limited::new(body, bounds.body_bytes).collect();
    match tokio::time::timeout(bounds.body_time, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge),
        Ok(Err(_)) => Err(ApiError::Unreadable(Unreadable::Incomplete)),
        Err(_) => Err(ApiError::Unreadable(Unreadable::TooSlow)),
    }
}

/// The body without the byte order mark that editors and some clients put before it, and without the
/// blanks around it.
pub(super) fn without_air(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii()
}

/// What a body is, going by its label and by how it begins.
///
/// # Errors
/// The media type, the encoding or the character set is not one that is taken.
pub(super) fn media(headers: &HeaderMap, body: &[u8]) -> Result<Media, ApiError> {
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(ApiError::NotTaken(NotTaken::Encoding));
    }
    let label = headers.get(CONTENT_TYPE).map_or(Ok(""), |label| label.to_str());
    let label = label.map_err(|_| ApiError::NotTaken(NotTaken::Media))?.to_ascii_lowercase();
    let (name, parameters) = label.split_once(';').unwrap_or((&label, ""));
    let looks_like_json = body.starts_with(b"{");
    let media = match name.trim() {
        "application/json" | "text/json" => Media::Json,
        // What curl and others say of any body.
        "application/x-www-form-urlencoded" if looks_like_json => Media::Json,
        "application/x-www-form-urlencoded" => Media::Form,
        "text/csv" => Media::Csv,
        "" if looks_like_json || !body.contains(&b'=') => Media::Json,
        "" => Media::Form,
        _ => return Err(ApiError::NotTaken(NotTaken::Media)),
    };
    match can_be_read(parameters, media, body) {
        true => Ok(media),
        false => Err(ApiError::NotTaken(NotTaken::Charset)),
    }
}

/// Whether the body means what it means in UTF-8: where that is named, or no character set at all, or
/// one whose first half is ASCII while the body has no other half.
fn can_be_read(parameters: &str, media: Media, body: &[u8]) -> bool {
    let named = parameters.split(';').filter_map(|parameter| parameter.trim().strip_prefix("charset="));
    named.map(|charset| charset.trim().trim_matches('"')).all(|charset| match charset {
        "" | "utf-8" | "utf8" | "us-ascii" => true,
        _ => extends_ascii(charset) && body.is_ascii() && !(media == Media::Form && escapes_more(body)),
    })
}

/// The beginnings of the names of character sets that extend ASCII.
const EXTEND_ASCII: [&str; 11] =
    ["gb", "big5", "euc-", "iso-8859-", "latin", "windows-", "cp125", "shift_jis", "sjis", "koi8", "ascii"];

fn extends_ascii(charset: &str) -> bool {
    EXTEND_ASCII.iter().any(|beginning| charset.starts_with(beginning))
}

/// Whether a form holds an escaped byte that is not ASCII.
fn escapes_more(form: &[u8]) -> bool {
    form.windows(2).any(|pair| matches!(pair, [b'%', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(label: Option<&'static str>, body: &[u8]) -> Result<Media, NotTaken> {
        let mut headers = HeaderMap::new();
        headers.extend(label.map(|label| (CONTENT_TYPE, label.parse().unwrap())));
        media(&headers, body).map_err(|error| match error {
            ApiError::NotTaken(what) => what,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_body_is_what_it_says_or_what_it_plainly_is() {
        let form = "application/x-www-form-urlencoded";
        for (label, body, expected) in [
            (Some("application/json"), "{}", Media::Json),
            (Some("Text/JSON; charset=utf-8"), "{}", Media::Json),
            (Some(form), "a=1", Media::Form),
            (Some(form), "{\"a\":\"=\"}", Media::Json),
            (None, "{\"a\":\"=\"}", Media::Json),
            (Some(""), "{}", Media::Json),
            (None, "a=1", Media::Form),
            (None, "nonsense", Media::Json),
            (Some("text/csv"), "a,b", Media::Csv),
        ] {
            assert_eq!(of(label, body.as_bytes()), Ok(expected), "{label:?} {body}");
        }
        for label in ["text/plain", "multipart/form-data; boundary=x", "application/xml", "json"] {
            assert_eq!(of(Some(label), b"{}"), Err(NotTaken::Media), "{label}");
        }
    }

    #[test]
    fn a_character_set_matters_only_where_the_body_uses_it() {
        for label in ["GBK", "\"gb2312\"", "Big5", "iso-8859-1", "windows-1252", "Shift_JIS", "UTF8"] {
            let json = HeaderMap::from_iter([(
                CONTENT_TYPE,
                format!("application/json; charset={label}").parse().unwrap(),
            )]);
            assert_eq!(media(&json, b"{\"a\": \"b\"}"), Ok(Media::Json), "{label}");
        }
        let gbk_form = Some("application/x-www-form-urlencoded; charset=gbk");
        assert_eq!(of(gbk_form, b"a=1%20"), Ok(Media::Form));
        for (label, body) in [
            (Some("application/json; charset=gbk"), "{\"a\":\"\u{e4}\"}".as_bytes()),
            (gbk_form, b"a=%D6%D0"),
            (Some("application/json; charset=utf-16"), b"{}"),
            (Some("application/json; charset=utf-7"), b"{}"),
        ] {
            assert_eq!(of(label, body), Err(NotTaken::Charset), "{label:?}");
        }
        assert_eq!(
            of(Some("application/json; charset=utf-8"), "{\"a\":\"\u{e4}\"}".as_bytes()),
            Ok(Media::Json)
        );
    }
}
