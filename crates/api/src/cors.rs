//! Which pages' scripts may call the API from a browser (CORS): those of the origins that the operator names,
//! none at first. A key in a header is all that ever says who calls, so no answer is shared by cookie.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, ORIGIN,
    VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::methods::SentMethod;

/// The request headers that scripts may set.
const TAKEN: &str =
    "authorization, x-api-key, api-key, apikey, token, content-type, accept-language, idempotency-key";

/// The response headers that scripts may read beside those that they always may.
const SHOWN: &str = "x-request-id, retry-after, allow, idempotency-replayed";

/// For how long a browser may remember what it was told, in seconds.
const REMEMBERED: &str = "600";

/// The origins whose pages may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// No other than the API's own.
    #[default]
    None,
    /// Every one.
    Any,
    /// These, each as `scheme://host` or `scheme://host:port`.
    Listed(Vec<String>),
}

impl Origins {
    /// What to answer an origin with; `None` where it may not call.
    fn shared_with(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Listed(listed) => {
                let is_listed =
                    listed.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(origin.as_bytes()));
                is_listed.then(|| origin.clone())
            }
        }
    }
}

/// Says of an answer with whom a browser may share it.
pub(crate) async fn share(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
    if *origins == Origins::None {
        return next.run(request).await;
    }
    let shared = request.headers().get(ORIGIN).and_then(|origin| origins.shared_with(origin));
    let sent_options =
        request.extensions().get::<SentMethod>().is_some_and(|SentMethod(sent)| *sent == Method::OPTIONS);
    let is_preflight = sent_options && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if matches!(*origins, Origins::Listed(_)) {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = shared {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        match is_preflight {
            true => permit(headers),
            false => show(headers),
        }
    }
    response
}

/// Answers what a browser asks before a call.
fn permit(headers: &mut HeaderMap) {
    let methods = headers.get(ALLOW).cloned();
    headers.extend(methods.map(|methods| (ACCESS_CONTROL_ALLOW_METHODS, methods)));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(TAKEN));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
}

fn show(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
}
