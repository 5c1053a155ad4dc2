//! The `Idempotency-Key` header (contract §1, "Buying twice").

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tollgate_core::idempotency::IdempotencyKey;
use utoipa::IntoParams;

use crate::error::{ApiError, Unreadable};

/// The longest key, in characters.
const LONGEST: usize = 255;

/// The caller's idempotency key, where one came with the call.
#[derive(Debug, IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub(crate) struct Idempotency(
    /// The same key and parameters within 24 hours give the first answer again and charge once
    #[param(pattern = "^[!-~]+$", min_length = 1, max_length = 255)]
    Option<String>,
);

impl Idempotency {
    /// The key together with the call and the parameters that decide what the call does.
    pub(crate) fn of(self, call: &str, parameters: &[&str]) -> Option<IdempotencyKey> {
        self.0.map(|key| IdempotencyKey::new(key, call, parameters))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut given = parts.headers.get_all("idempotency-key").iter();
        let Some(key) = given.next() else { return Ok(Self(None)) };
        let bytes = key.as_bytes();
        let in_bounds = (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        match (in_bounds && given.next().is_none(), key.to_str()) {
            (true, Ok(key)) => Ok(Self(Some(key.to_owned()))),
            _ => Err(ApiError::Unreadable(Unreadable::IdempotencyKey)),
        }
    }
}
