//! The HTTP JSON API of Tollgate: the customers' calls (`/api/users/…`), the operator's
//! (`/api/admin/…`), and the OpenAPI document that describes both (`/openapi.json`, `/docs`).
//!
//! A call goes `compression → plumbing → methods → caller → params → core → envelope`. The document's spellings
//! (`subuser`, `res_price`) are known in this room only; what is done is decided in `core`.

mod admin;
mod callers;
mod client_address;
mod compression;
mod cors;
mod countries;
pub mod csv;
mod customer;
mod docs;
mod endpoints;
mod envelope;
mod error;
mod language;
mod limits;
mod live;
mod messages;
mod methods;
mod openapi;
mod params;
mod plumbing;
mod refused_keys;
mod request_id;
mod serve;
mod state;
mod untold;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower::ServiceExt as _;

pub use cors::Origins;
pub use endpoints::Endpoints;
pub use error::{ApiError, Unreadable};
pub use language::Language;
pub use live::{ExitError, ExitStatus, LeftOutReason, Live, LiveConnection, NoGateway};
pub use openapi::openapi;
pub use refused_keys::RefusedKeyCounts;
pub use serve::{ServeLimits, serve};
pub use state::{AdminToken, ApiState, Bounds, Settings};

/// The whole API with its documentation, to be served by [`serve`] or called directly in tests.
pub fn router(state: ApiState) -> Router {
    let document = openapi();
    let methods = Arc::new(methods::Methods::of(&document));
    let surroundings = Arc::new(plumbing::Surroundings::new(&state.settings));
    let origins = Arc::new(state.settings.cors_origins.clone());
    let calls: Router<ApiState> = openapi::calls().into();
    let calls = calls
        .with_state(state)
        .merge(docs::pages(document))
        .fallback(plumbing::no_such_call)
        .layer(from_fn_with_state(methods, plumbing::only_documented_methods))
        .layer(from_fn_with_state(surroundings, plumbing::around))
        .layer(from_fn(compression::compress))
        .layer(from_fn_with_state(origins, cors::share))
        .layer(from_fn(methods::head_as_get));
    // Outside of all routes: which one it is depends on it.
    Router::new().fallback_service(calls.map_request(plumbing::without_trailing_slash))
}
