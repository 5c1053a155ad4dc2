//! Parameters: wherever they come from, in whichever spelling, into one typed struct per call.
//!
//! A GET call takes them from its query string and from a JSON body (the query string wins per
//! field), a POST call from its body alone: JSON, or `application/x-www-form-urlencoded`. Numbers may
//! be decimal strings, `null` is absent, unknown fields are ignored. A parameter that is given
//! twice in the same place is refused, because clients and servers disagree on which one counts.

mod body;
mod coerce;
mod fields;
mod header;
mod import;
mod path;

use axum::extract::{FromRef, FromRequest, Request};
use axum::http::Method;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::state::Bounds;
use fields::Fields;

pub(crate) use header::{Idempotency, Spending};
pub(crate) use import::{Columns, Import, Row};
pub(crate) use path::PathId;

/// The parameters of a call.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

/// The parameters of a list: as [`Params`], and an empty text counts as absent, so that
/// `"user_name": ""` filters nothing (as in the document's sample).
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

async fn collect(request: Request, bounds: Bounds) -> Result<Fields, ApiError> {
    let (parts, body) = request.into_parts();
    let forms_taken = parts.method == Method::POST;
    let fields = body::read(&parts.headers, body, forms_taken, bounds).await?;
    if parts.method == Method::POST {
        return Ok(fields);
    }
    Ok(Fields::from_form(parts.uri.query().unwrap_or_default().as_bytes()).or(fields))
}
