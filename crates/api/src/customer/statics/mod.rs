//! Static proxies: calls 15–23, and what goes with them.

mod catalogue;
mod export;
mod orders;
mod proxies;
mod requests;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) use orders::{OrderRecord, OrderState};
pub(crate) use requests::{RequestKind, RequestRecord, RequestState};

/// Every customer call about static proxies.
pub(super) fn calls() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(catalogue::res_countries))
        .routes(routes!(catalogue::dc_countries))
        .routes(routes!(catalogue::prices))
        .routes(routes!(orders::create))
        .routes(routes!(orders::quote))
        .routes(routes!(orders::rebuy))
        .routes(routes!(orders::rebuy_quote))
        .routes(routes!(orders::list))
        .routes(routes!(proxies::res_list))
        .routes(routes!(proxies::dc_list))
        .routes(routes!(proxies::auto_rebuy))
        .routes(routes!(proxies::remark))
        .routes(routes!(proxies::usage))
        .routes(routes!(export::export))
        .routes(routes!(requests::replace))
        .routes(routes!(requests::refund))
        .routes(routes!(requests::withdraw))
        .routes(routes!(requests::list))
}
