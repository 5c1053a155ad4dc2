//! Reading a request's body: bounded in bytes and time, in the media types that are taken.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::fields::Fields;
use crate::error::{ApiError, Unreadable};
use crate::state::Bounds;

/// The media types that parameters come in.
pub(super) enum Media {
    Json,
    Form,
}

/// The parameters that the body holds; none where there is no body.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    forms_taken: bool,
    bounds: Bounds,
) -> Result<Fields, ApiError> {
    let bytes = read_bytes(headers, body, bounds).await?;
    if bytes.is_empty() {
        return Ok(Fields::default());
    }
    match media(headers) {
        Some(Media::Json) => Fields::from_json(&bytes),
        Some(Media::Form) if forms_taken => Ok(Fields::from_form(&bytes)),
        Some(Media::Form) | None => Err(ApiError::MediaType),
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

/// What the body says it is; JSON where it does not say. `None` for what holds no parameters.
pub(super) fn media(headers: &HeaderMap) -> Option<Media> {
    match media_type(headers)?.as_str() {
        "application/json" => Some(Media::Json),
        "application/x-www-form-urlencoded" => Some(Media::Form),
        _ => None,
    }
}

/// The body's media type in lower case; JSON where it does not say. `None` for encodings and
/// character sets that are not taken.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return None;
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Some("application/json".to_owned()) };
    let content_type = content_type.to_str().ok()?;
    let (media, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    is_utf8(parameters).then(|| media.trim().to_ascii_lowercase())
}

/// Whether the character set, where one is named, is UTF-8.
fn is_utf8(parameters: &str) -> bool {
    let lower = parameters.to_ascii_lowercase();
    let named = lower.split(';').filter_map(|parameter| parameter.trim().strip_prefix("charset="));
    named
        .map(|charset| charset.trim_matches('"'))
        .all(|charset| matches!(charset, "utf-8" | "utf8" | "us-ascii"))
}
