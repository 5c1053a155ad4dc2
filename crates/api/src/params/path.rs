//! The one id in a path.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use tollgate_core::Rule;

use super::fields::Fields;
use crate::error::{ApiError, Unreadable};

/// The id in the path, e.g. 42 in `/api/users/subuser/42`. No path holds more than one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathId(pub(crate) i64);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let (field, id) = id_in(parts).await?.ok_or(ApiError::invalid("id", Rule::WrongType))?;
        let query = Fields::from_form(parts.uri.query().unwrap_or_default().as_bytes());
        check(field, id, &query)?;
        Ok(Self(id))
    }
}

/// Looks whether the parameters name another id than the one in the path. `places`: where they came from, each
/// of which is looked at, whichever wins.
///
/// # Errors
/// They do: it is anybody's guess which one is meant.
pub(super) async fn agrees(parts: &mut Parts, places: [&Fields; 2]) -> Result<(), ApiError> {
    let Some((field, id)) = id_in(parts).await? else { return Ok(()) };
    places.into_iter().try_for_each(|fields| check(field, id, fields))
}

/// The id in the path and its name; `None` where there is none.
async fn id_in(parts: &mut Parts) -> Result<Option<(&'static str, i64)>, ApiError> {
    let wrong = |field| ApiError::invalid(field, Rule::WrongType);
    let path = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| wrong("id"))?;
    let Some((name, text)) = path.iter().next() else { return Ok(None) };
    let field = if name == "subuser_id" { "subuser_id" } else { "id" };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let id = text.parse().ok().filter(|_| digits).ok_or(wrong(field))?;
    Ok(Some((field, id)))
}

/// Looks whether an id that may be named twice is the same in both places. `field`: the name of the second.
///
/// # Errors
/// It is not.
pub(crate) fn same_id(id: i64, field: &'static str, other: Option<i64>) -> Result<(), ApiError> {
    match other.is_none_or(|other| other == id) {
        true => Ok(()),
        false => Err(ApiError::Unreadable(Unreadable::OtherId(field))),
    }
}

/// The path's id may come beside it by its own name, and as `id`.
fn check(field: &'static str, id: i64, fields: &Fields) -> Result<(), ApiError> {
    for name in [field, "id"] {
        same_id(id, name, fields.integer(name)?)?;
    }
    Ok(())
}
