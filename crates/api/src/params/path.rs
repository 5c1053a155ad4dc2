//! The one id in a path.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use tollgate_core::Rule;

use crate::error::ApiError;

/// The id in the path, e.g. 42 in `/api/users/subuser/42`. No path holds more than one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathId(pub(crate) i64);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let wrong = |field| ApiError::invalid(field, Rule::WrongType);
        let path = RawPathParams::from_request_parts(parts, state).await.map_err(|_| wrong("id"))?;
        let Some((name, text)) = path.iter().next() else { return Err(wrong("id")) };
        let field = if name == "subuser_id" { "subuser_id" } else { "id" };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| digits).map(Self).ok_or(wrong(field))
    }
}
