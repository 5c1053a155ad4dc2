//! What happens around every call: an id, a caught panic, an error put into words, the headers that
//! every answer carries, and one line in the log.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tollgate_types::Cidr;

use crate::callers::{CallerSlot, KnownCaller};
use crate::client_address::ClientAddress;
use crate::compression::{Compressible, may_be_compressed};
use crate::envelope::say;
use crate::error::ApiError;
use crate::language;
use crate::methods::{Methods, SentMethod};
use crate::request_id::RequestId;
use crate::state::Settings;
use crate::untold::Untold;

/// What the calls of a process have in common around them.
pub(crate) struct Surroundings {
    /// Whose word on a caller's address is taken.
    fronts: Vec<Cidr>,
    /// Calls that cannot be done just now, as long as the log has not said so.
    waiting: Arc<Untold<()>>,
}

impl Surroundings {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { fronts: settings.forwarded_from.clone(), waiting: Arc::default() }
    }
}

/// Everything that happens around a call.
pub(crate) async fn around(
    State(surroundings): State<Arc<Surroundings>>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let (started, language) = (Instant::now(), language::preferred(request.headers()));
    let call = Call::new(&mut request, path, &surroundings.fronts);
    let mut response = caught(next.run(request)).await;
    if let Some(error) = fault_of(&mut response) {
        call.log_fault(&error, &surroundings.waiting);
        response = say(&error, language, call.id.as_str());
        response.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    }
    dress(response.headers_mut(), &call.id);
    if may_be_compressed(call.acting_method(), call.path()) {
        response.extensions_mut().insert(Compressible);
    }
    call.log_end(response.status(), started.elapsed());
    response
}

/// What is said in the log of a call.
struct Call {
    id: RequestId,
    client: ClientAddress,
    caller: CallerSlot,
    method: Method,
    path: Option<MatchedPath>,
}

impl Call {
    fn new(request: &mut Request, path: Option<MatchedPath>, fronts: &[Cidr]) -> Self {
        let sent = request.extensions().get::<SentMethod>();
        let method = sent.map_or(request.method(), |SentMethod(sent)| sent).clone();
        let client = ClientAddress::of(request.extensions(), request.headers(), fronts);
        let caller = CallerSlot::default();
        request.extensions_mut().insert(caller.clone());
        Self { id: RequestId::fresh(), client, caller, method, path }
    }

    /// The method by which the call is done.
    fn acting_method(&self) -> &Method {
        if self.method == Method::HEAD { &Method::GET } else { &self.method }
    }

    /// The path's template, never the path or its query string: ids and keys stay out of the log.
    fn path(&self) -> &str {
        self.path.as_ref().map_or("-", MatchedPath::as_str)
    }

    /// The account that called, and whether the operator did.
    fn caller(&self) -> (Option<i64>, Option<bool>) {
        match self.caller.get() {
            Some(KnownCaller::Account(account)) => (Some(account.get()), None),
            Some(KnownCaller::Operator) => (None, Some(true)),
            None => (None, None),
        }
    }

    /// A defect is a line of its own. That something is away is said once, and when it is over; what it is to this
    /// call, at `debug`.
    fn log_fault(&self, error: &ApiError, waiting: &Arc<Untold<()>>) {
        let (id, client, (account, operator)) = (self.id.as_str(), self.client.0, self.caller());
        match error {
            ApiError::Internal(text) => {
                tracing::error!(request_id = id, %client, account, operator, error = text, "a call failed");
            }
            ApiError::Unavailable(text) => {
                tracing::debug!(request_id = id, %client, account, operator, error = text, "a call has to wait");
                let text = text.clone();
                waiting.note((), move |count| tell_of_waiting(&text, count));
            }
            _ => {}
        }
    }

    fn log_end(&self, status: StatusCode, took: Duration) {
        let (account, operator) = self.caller();
        tracing::info!(
            target: "tollgate_api::access",
            request_id = self.id.as_str(), client = %self.client.0, account, operator, method = %self.method,
            path = self.path(), status = status.as_u16(), micros = took.as_micros()
        );
    }
}

fn tell_of_waiting(error: &str, count: u64) {
    match count {
        0 => tracing::info!("no call had to wait for a minute"),
        _ => tracing::warn!(error, count, "calls have to wait"),
    }
}

/// Lets a call through where the OpenAPI document lists its method for its path, or that follows from it; every
/// other method is answered before any handler runs, HEAD on a GET that changes something among them.
pub(crate) async fn only_documented_methods(
    State(methods): State<Arc<Methods>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let sent = request.extensions().get::<SentMethod>();
    let method = sent.map_or(request.method(), |SentMethod(sent)| sent);
    match path.and_then(|path| methods.answer(path.as_str(), method)) {
        Some(answer) => answer,
        None => next.run(request).await,
    }
}

/// Takes one slash off the end of a call's path.
pub(crate) fn without_trailing_slash(mut request: Request) -> Request {
    if let Some(shorter) = shorter(request.uri()) {
        *request.uri_mut() = shorter;
    }
    request
}

fn shorter(uri: &Uri) -> Option<Uri> {
    let path =
        uri.path().strip_suffix('/').filter(|path| path.starts_with("/api/") && !path.ends_with('/'))?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
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

/// The headers that every answer carries. What a handler has set itself is left as it is.
fn dress(headers: &mut HeaderMap, id: &RequestId) {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.append(VARY, HeaderValue::from_static("accept-language"));
    headers.extend(HeaderValue::try_from(id.as_str()).ok().map(|id| (REQUEST_ID, id)));
}

/// The header that names a request in answer and log alike.
const REQUEST_ID: axum::http::HeaderName = axum::http::HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::state::AdminToken;

    #[tokio::test]
    async fn a_panic_fails_one_call_and_says_nothing_of_itself() {
        let router: axum::Router = axum::Router::new()
            .route("/panic", get(async || -> &'static str { panic!("secret") }))
            .route("/fine", get(async || "fine"))
            .layer(from_fn_with_state(
                Arc::new(Surroundings::new(&Settings::new(AdminToken::new("")))),
                around,
            ));
        let ask = |path: &str| router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap());
        let failed = ask("/panic").await.unwrap();
        assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let id = failed.headers()[REQUEST_ID].to_str().unwrap().to_owned();
        let body = String::from_utf8(to_bytes(failed.into_body(), 1000).await.unwrap().to_vec()).unwrap();
        assert!(body.contains("50000") && body.contains(&id) && !body.contains("secret"), "{body}");
        assert_eq!(ask("/fine").await.unwrap().status(), StatusCode::OK);
    }
}
