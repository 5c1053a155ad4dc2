//! How a call that spends money is known again: by the `Idempotency-Key` header, or else by what it asks and
//! whether its answer was heard (contract §1, "Buying twice").

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tollgate_core::Core;
use tollgate_core::idempotency::{IdempotencyKey, Once, UnheardCall};
use tollgate_types::AccountId;
use utoipa::IntoParams;

use crate::error::{ApiError, Unreadable};
use crate::serve::{Peer, Receipt};

/// The longest key, in characters.
const LONGEST: usize = 255;

/// The header in the OpenAPI document.
#[derive(Debug, IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub(crate) struct Idempotency(
    /// The same key and parameters within 24 hours give the first answer again and charge once. Without a key
    /// that holds for 120 seconds, as long as no answer to the call reached the client
    #[param(pattern = "^[!-~]+$", min_length = 1, max_length = 255)]
    #[expect(dead_code, reason = "the document is made of it")]
    Option<String>,
);

/// By what a call that spends money can be known again.
#[derive(Debug)]
pub(crate) struct Spending {
    /// The caller's idempotency key.
    key: Option<String>,
    /// Who waits for the answer, where [`serve`](crate::serve()) knows the connection.
    client: Option<Arc<Peer>>,
}

impl Spending {
    /// Keeps the operator's keys apart from those that the customer chooses, which hold no blanks.
    pub(crate) fn by_operator(self) -> Self {
        Self { key: self.key.map(|key| format!("operator {key}")), ..self }
    }

    /// Returns how the call is known again, given the parameters that decide what it does, and what is to be told
    /// whether its answer was heard.
    pub(crate) fn of(
        self,
        core: &Core,
        account: AccountId,
        call: &str,
        parameters: &[&str],
    ) -> (Option<Once>, Option<Receipt>) {
        match (self.key, self.client) {
            (Some(key), _) => (Some(IdempotencyKey::new(key, call, parameters).into()), None),
            (None, Some(client)) => {
                let call = UnheardCall::new(core, call, parameters, client);
                let receipt = Receipt { core: core.clone(), account, call: call.clone() };
                (Some(Once::Unheard(call)), Some(receipt))
            }
            (None, None) => (None, None),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Spending {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let client = parts.extensions.get::<Arc<Peer>>().cloned();
        let mut given = parts.headers.get_all("idempotency-key").iter();
        let Some(key) = given.next() else { return Ok(Self { key: None, client }) };
        let bytes = key.as_bytes();
        let in_bounds = (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        match (in_bounds && given.next().is_none(), key.to_str()) {
            (true, Ok(key)) => Ok(Self { key: Some(key.to_owned()), client }),
            _ => Err(ApiError::Unreadable(Unreadable::IdempotencyKey)),
        }
    }
}
