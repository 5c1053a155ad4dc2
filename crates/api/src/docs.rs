//! The documentation that the API serves of itself: the OpenAPI document, and a page that shows it
//! without fetching anything from elsewhere.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// What the page may load: its own files. Its styles are set by script, hence `unsafe-inline`.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'none'";

/// `/openapi.json` and `/docs`.
pub(crate) fn pages(document: OpenApi) -> Router {
    // Nothing is validated by a service elsewhere, and no key outlives the page.
    let config = Config::default().validator_url("none").persist_authorization(false);
    let page = SwaggerUi::new("/docs").config(config).url("/openapi.json", document);
    let policy = HeaderValue::from_static(PAGE_POLICY);
    let caching = HeaderValue::from_static("no-cache");
    Router::from(page)
        .layer(SetResponseHeaderLayer::overriding(CONTENT_SECURITY_POLICY, policy))
        .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, caching))
}
