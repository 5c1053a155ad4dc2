//! The customers' calls: those of the source document, and their extensions in the same style.

mod endpoints;
mod events;
mod me;
mod notices;
mod packages;
mod refusals;
mod statics;
mod sub_accounts;
mod trend;
mod wallet;
mod whitelist;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) use me::NewKey;
pub(crate) use statics::{OrderRecord, OrderState, RequestKind, RequestRecord, RequestState};
pub(crate) use wallet::LedgerLine;

/// Every customer call.
pub(crate) fn calls() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(me::info))
        .routes(routes!(me::rotate_key))
        .routes(routes!(wallet::info))
        .routes(routes!(wallet::ledger))
        .routes(routes!(sub_accounts::create))
        .routes(routes!(sub_accounts::list))
        .routes(routes!(sub_accounts::update))
        .routes(routes!(sub_accounts::delete))
        .routes(routes!(sub_accounts::get))
        .routes(routes!(whitelist::list))
        .routes(routes!(whitelist::add))
        .routes(routes!(whitelist::delete, whitelist::delete_by_post))
        .routes(routes!(packages::catalogue::list))
        .routes(routes!(packages::purchase::purchase, packages::purchase::purchase_by_post))
        .routes(routes!(packages::current::current))
        .routes(routes!(packages::handling::strategy))
        .routes(routes!(packages::handling::status))
        .routes(routes!(trend::of_account))
        .routes(routes!(trend::of_sub_account))
        .merge(statics::calls())
        .routes(routes!(endpoints::endpoints))
        .routes(routes!(refusals::refusals))
        .routes(routes!(events::list))
        .routes(routes!(notices::settings))
        .routes(routes!(notices::set_webhook))
        .routes(routes!(notices::rotate_secret))
        .routes(routes!(notices::delete_webhook))
        .routes(routes!(notices::set_email))
        .routes(routes!(notices::delete_email))
        .routes(routes!(notices::test))
        .routes(routes!(notices::remind_of_balance))
}
