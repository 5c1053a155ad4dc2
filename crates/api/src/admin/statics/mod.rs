//! Static proxies as the operator handles them: prices, stock, orders, requests.

mod orders;
mod prices;
mod requests;
mod stock;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

/// Every operator call about static proxies.
pub(super) fn calls() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(prices::list, prices::create))
        .routes(routes!(prices::update))
        .routes(routes!(stock::list, stock::import))
        .routes(routes!(stock::update))
        .routes(routes!(orders::list))
        .routes(routes!(orders::fulfil))
        .routes(routes!(orders::cancel))
        .routes(routes!(requests::list))
        .routes(routes!(requests::approve))
        .routes(routes!(requests::refuse))
}
