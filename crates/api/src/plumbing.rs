//! What happens around every call: an id, a caught panic, an error put into words, the headers that
//! every answer carries, and one line in the log.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::envelope::say;
use crate::error::ApiError;
use crate::language;
use crate::methods::Methods;
use crate::request_id::RequestId;

/// Everything that happens around a call.
pub(crate) async fn around(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let (started, id, language) =
        (Instant::now(), RequestId::fresh(), language::preferred(request.headers()));
    let method = request.method().clone();
    let mut response = caught(next.run(request)).await;
    if let Some(error) = fault_of(&mut response) {
        log_fault(&error, &id);
        response = say(&error, language, id.as_str());
        response.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    }
    dress(response.headers_mut(), &id);
    // The path's template, never the path or its query string: ids and keys stay out of the log.
    let path = path.as_ref().map_or("-", MatchedPath::as_str);
    let (status, micros) = (response.status().as_u16(), started.elapsed().as_micros());
    tracing::info!(target: "tollgate_api::access", request_id = id.as_str(), %method, path, status, micros);
    response
}

/// Lets a call through where the OpenAPI document lists its method for its path; every other
/// method is refused before any handler runs, HEAD on a GET that changes something among them.
pub(crate) async fn only_documented_methods(
    State(methods): State<Arc<Methods>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = path.map_or(Ok(()), |path| methods.allow(path.as_str(), request.method()));
    match allowed {
        Ok(()) => next.run(request).await,
        Err(allow) => ApiError::MethodNotAllowed { allow }.into_response(),
    }
}

/// The answer to a path that no call has.
pub(crate) async fn no_such_call() -> ApiError {
    ApiError::NoSuchCall
}

/// The error that a handler returned. A bare failing status, which only the documentation's pages
/// answer with, counts as one.
fn fault_of(response: &mut Response) -> Option<ApiError> {
    let returned = response.extensions_mut().remove::<ApiError>();
    returned.or_else(|| match response.status() {
        StatusCode::NOT_FOUND => Some(ApiError::NoSuchCall),
        status if status.is_client_error() || status.is_server_error() => {
            Some(ApiError::Internal(format!("a page answered {status}")))
        }
        _ => None,
    })
}

/// Turns a panic in a handler into an error: one call fails, nothing else.
async fn caught(call: impl Future<Output = Response>) -> Response {
    let mut call = Box::pin(call);
    poll_fn(|cx| {
        // A call that panicked is never polled again, so nothing sees it half done.
        catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)))
            .unwrap_or_else(|panic| Poll::Ready(ApiError::Internal(words_of(&*panic)).into_response()))
    })
    .await
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", words.unwrap_or("(no words)"))
}

fn log_fault(error: &ApiError, id: &RequestId) {
    match error {
        ApiError::Internal(text) => tracing::error!(request_id = id.as_str(), error = text, "a call failed"),
        ApiError::Unavailable(text) => {
            tracing::warn!(request_id = id.as_str(), error = text, "a call had to wait")
        }
        _ => {}
    }
}

/// The headers that every answer carries. What a handler has set itself is left as it is.
fn dress(headers: &mut HeaderMap, id: &RequestId) {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (VARY, "accept-language"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.extend(HeaderValue::try_from(id.as_str()).ok().map(|id| (REQUEST_ID, id)));
}

/// The header that names a request in answer and log alike.
const REQUEST_ID: axum::http::HeaderName = axum::http::HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_fails_one_call_and_says_nothing_of_itself() {
        let router: axum::Router = axum::Router::new()
            .route("/panic", get(async || -> &'static str { panic!("secret") }))
            .route("/fine", get(async || "fine"))
            .layer(from_fn(around));
        let ask = |path: &str| router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap());
        let failed = ask("/panic").await.unwrap();
        assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let id = failed.headers()[REQUEST_ID].to_str().unwrap().to_owned();
        let body = String::from_utf8(to_bytes(failed.into_body(), 1000).await.unwrap().to_vec()).unwrap();
        assert!(body.contains("50000") && body.contains(&id) && !body.contains("secret"), "{body}");
        assert_eq!(ask("/fine").await.unwrap().status(), StatusCode::OK);
    }
}
