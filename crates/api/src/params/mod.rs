//! Parameters: wherever they come from, in whichever spelling, into one typed struct per call.
//!
//! A call takes them from its query string and from its body, JSON or a form. Where both have one, the
//! query string wins in a GET call, the body in a POST call. Numbers may be decimal strings, `null` is
//! absent, and so is an empty text for what may be left out; unknown fields are ignored. A parameter that
//! is given twice in the same place is refused, because clients and servers disagree on which one counts,
//! and so is an id that differs from the one in the path.

mod body;
mod coerce;
mod fields;
mod header;
mod import;
mod path;

use axum::extract::{FromRef, FromRequest, Request};
use axum::http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::state::Bounds;
use fields::Fields;

pub(crate) use coerce::clearable;
pub(crate) use header::{Idempotency, Spending};
pub(crate) use import::{Columns, Import, Row};
pub(crate) use path::{PathId, same_id};

/// The parameters of a call.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

/// The parameters of a list: as [`Params`], and an empty text counts as absent even for what must be
/// given.
#[derive(Debug)]
pub(crate) struct Filters<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Params<T>
where
    S: Send + Sync,
    Bounds: FromRef<S>,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        collect(request, Bounds::from_ref(state)).await?.into_typed().map(Self)
    }
}

impl<S, T> FromRequest<S> for Filters<T>
where
    S: Send + Sync,
    Bounds: FromRef<S>,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let fields = collect(request, Bounds::from_ref(state)).await?;
        fields.without_empty_texts().into_typed().map(Self)
    }
}

/// The parameters of a call that has none but the id in its path, which those that come all the same have
/// to agree with.
#[derive(Debug, Deserialize)]
pub(crate) struct NoParams {}

async fn collect(request: Request, bounds: Bounds) -> Result<Fields, ApiError> {
    let (mut parts, body) = request.into_parts();
    let body = body::read(&parts.headers, body, bounds).await?;
    let query = Fields::from_form(parts.uri.query().unwrap_or_default().as_bytes());
    path::agrees(&mut parts, [&query, &body]).await?;
    Ok(if parts.method == Method::POST { body.or(query) } else { query.or(body) })
}
