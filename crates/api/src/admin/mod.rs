//! The operator's calls (platform.md §2).

mod accounts;
mod audit_log;
mod connections;
mod exits;
mod jobs;
mod money;
mod overview;
mod packages;
mod statics;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

/// Every operator call.
pub(crate) fn calls() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::get))
        .routes(routes!(accounts::update))
        .routes(routes!(accounts::rotate_key))
        .routes(routes!(money::recharge))
        .routes(routes!(money::adjust))
        .routes(routes!(money::ledger))
        .routes(routes!(packages::list, packages::create))
        .routes(routes!(packages::update))
        .routes(routes!(exits::list, exits::create))
        .routes(routes!(exits::update))
        .routes(routes!(exits::delete))
        .merge(statics::calls())
        .routes(routes!(overview::overview))
        .routes(routes!(connections::list))
        .routes(routes!(connections::close))
        .routes(routes!(audit_log::list))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::discard))
}
