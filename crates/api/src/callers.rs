//! Who calls: a customer by API key, or the operator by token. Both come in headers only, never in
//! a query string (it would end up in logs) and never in a cookie.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use secrecy::SecretString;
use tollgate_core::accounts;
use tollgate_types::AccountId;

use crate::client_address::ClientAddress;
use crate::error::{ApiError, Unreadable};
use crate::refused_keys::KeyOf;
use crate::state::ApiState;

/// The longest key or token that is looked at, in bytes.
const LONGEST: usize = 512;

/// A customer, known by the API key and not suspended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// Whose key it is.
    pub(crate) account: AccountId,
}

/// The operator, known by the token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator;

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let Some(login) = find_customer(&parts.headers, state).await? else {
            return Err(unauthorized(parts, state, KeyOf::Customer));
        };
        let (account, active) = login;
        note_caller(parts, KnownCaller::Account(account));
        if !active {
            return Err(ApiError::Suspended);
        }
        state.limits.call(account)?;
        Ok(Self { account })
    }
}

impl FromRequestParts<ApiState> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        presented_key(&parts.headers)?;
        if only(authorizations(&parts.headers))?.is_some_and(|token| state.settings.admin_token.is(token)) {
            note_caller(parts, KnownCaller::Operator);
            return Ok(Self);
        }
        match find_customer(&parts.headers, state).await? {
            Some((account, _)) => {
                note_caller(parts, KnownCaller::Account(account));
                Err(ApiError::OperatorsOnly)
            }
            None => Err(unauthorized(parts, state, KeyOf::Operator)),
        }
    }
}

/// Whose the presented key is, and whether that account is active. A request without one is looked up, too, so that it takes as long as
/// one with a wrong key.
async fn find_customer(headers: &HeaderMap, state: &ApiState) -> Result<Option<(AccountId, bool)>, ApiError> {
    let key = presented_key(headers)?.filter(|key| key.len() <= LONGEST);
    let key = SecretString::from(key.unwrap_or_default());
    Ok(accounts::by_api_key(&state.core, &key).await?)
}

/// The headers that hold nothing but a key.
const KEY_HEADERS: [&str; 4] = ["x-api-key", "api-key", "apikey", "token"];

/// The one key that a request presents, in whichever of the customary headers.
fn presented_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let named = KEY_HEADERS.into_iter().flat_map(|name| headers.get_all(name));
    let named = named.filter_map(|value| value.to_str().ok()).map(str::trim);
    only(named.chain(authorizations(headers)))
}

/// Every token that comes as `Authorization`: behind `Bearer` or `Token`, or alone.
fn authorizations(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(AUTHORIZATION).iter().filter_map(|value| token_in(value.to_str().ok()?.trim()))
}

fn token_in(value: &str) -> Option<&str> {
    let is_scheme = |word: &str| word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("token");
    match value.split_once(' ') {
        Some((scheme, token)) => is_scheme(scheme).then_some(token.trim()),
        None => (!is_scheme(value)).then_some(value),
    }
}

/// The one that they all are, empty ones apart.
///
/// # Errors
/// They differ: it would be anybody's guess who calls.
fn only<'a>(keys: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, ApiError> {
    let mut keys = keys.filter(|key| !key.is_empty());
    let Some(key) = keys.next() else { return Ok(None) };
    match keys.all(|other| other == key) {
        true => Ok(Some(key)),
        false => Err(ApiError::Unreadable(Unreadable::TwoKeys)),
    }
}

/// A failed login is 40100, until its address has had too many of them. Where a key was presented, it was refused.
fn unauthorized(parts: &Parts, state: &ApiState, key_of: KeyOf) -> ApiError {
    let ClientAddress(client) =
        ClientAddress::of(&parts.extensions, &parts.headers, &state.settings.forwarded_from);
    if presented_key(&parts.headers).is_ok_and(|key| key.is_some()) {
        state.refused_keys.note(client, key_of);
    }
    state.limits.failed_login(client).err().unwrap_or(ApiError::Unauthorized)
}

/// Who called, for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KnownCaller {
    /// The customer.
    Account(AccountId),
    /// The operator.
    Operator,
}

/// Where it is written down who called, once that is known. Travels in the request's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallerSlot(Arc<OnceLock<KnownCaller>>);

impl CallerSlot {
    /// Returns who called, if that is known.
    pub(crate) fn get(&self) -> Option<KnownCaller> {
        self.0.get().copied()
    }
}

fn note_caller(parts: &Parts, caller: KnownCaller) {
    if let Some(CallerSlot(slot)) = parts.extensions.get() {
        // Whoever has been written down stays: one call has one caller.
        let _ = slot.set(caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(headers: &[(&'static str, &'static str)]) -> Result<Option<String>, ApiError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        presented_key(&map).map(|key| key.map(str::to_owned))
    }

    #[test]
    fn a_key_is_taken_from_any_of_the_customary_headers() {
        for headers in [
            &[("authorization", "Bearer k")][..],
            &[("authorization", "bearer  k ")],
            &[("authorization", "Token k")],
            &[("authorization", "k")],
            &[("x-api-key", "k")],
            &[("api-key", " k ")],
            &[("apikey", "k")],
            &[("token", "k")],
            &[("api-key", "k"), ("x-api-key", "k"), ("authorization", "Bearer k"), ("token", "k")],
            &[("x-api-key", ""), ("authorization", "Bearer k")],
            &[("authorization", "Basic dTpw"), ("x-api-key", "k")],
        ] {
            assert_eq!(presented(headers), Ok(Some("k".to_owned())), "{headers:?}");
        }
    }

    #[test]
    fn no_key_and_an_empty_one_are_none() {
        for headers in [
            &[][..],
            &[("authorization", "Basic k")],
            &[("authorization", "Bearer")],
            &[("authorization", "Token")],
            &[("x-api-key", "")],
            &[("cookie", "api_key=k")],
        ] {
            assert_eq!(presented(headers), Ok(None), "{headers:?}");
        }
    }

    #[test]
    fn two_different_keys_are_refused() {
        for headers in [
            &[("x-api-key", "k"), ("api-key", "j")][..],
            &[("x-api-key", "k"), ("x-api-key", "j")],
            &[("authorization", "Bearer k"), ("authorization", "Bearer j")],
            &[("authorization", "Bearer k"), ("token", "j")],
        ] {
            assert_eq!(presented(headers), Err(ApiError::Unreadable(Unreadable::TwoKeys)), "{headers:?}");
        }
    }
}
