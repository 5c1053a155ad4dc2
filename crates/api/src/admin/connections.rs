//! Live connections: who, from where, to where, through which exit, since when, how many bytes.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::{Core, Noun, Page};
use tollgate_types::{StaticProxyId, SubAccountId, Zone};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Operator;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::error::ApiError;
use crate::live::{Live, LiveConnection};
use crate::params::{Filters, PathId};
use crate::words::TrafficType;

/// A live connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionRecord {
    /// Its id.
    id: i64,
    /// Whose it is.
    account_id: i64,
    /// The sub-account that opened it; 0 where its address admitted it, and for static proxies.
    subuser_id: i64,
    /// The static proxy that it goes through; 0 where it is none.
    static_proxy_id: i64,
    /// The name of the sub-account or of the static proxy; empty where its address admitted it.
    username: String,
    /// The type of traffic. Of static proxies, residential for `res` and datacenter for the others.
    proxy_type: TrafficType,
    /// Where it comes from.
    #[schema(example = "203.0.113.7:51234")]
    client: String,
    /// Where it goes to.
    #[schema(example = "example.com:443")]
    target: String,
    /// Through which exit; 0 where it leaves from a static proxy's own address.
    exit_id: i64,
    /// Bytes from the client so far.
    #[schema(minimum = 0)]
    sent: i64,
    /// Bytes to the client so far.
    #[schema(minimum = 0)]
    received: i64,
    /// Since when.
    #[schema(example = "2025-09-14 06:22:26")]
    since: String,
}

impl ConnectionRecord {
    fn new(connection: &LiveConnection, zone: &Zone) -> Self {
        Self {
            id: connection.id.get(),
            account_id: connection.account.get(),
            subuser_id: connection.sub_account.map_or(0, SubAccountId::get),
            static_proxy_id: connection.static_proxy.map_or(0, StaticProxyId::get),
            username: connection.username.clone(),
            proxy_type: connection.proxy_type.into(),
            client: connection.client.to_string(),
            target: connection.target.clone(),
            exit_id: connection.exit.get(),
            sent: connection.sent.as_i64(),
            received: connection.received.as_i64(),
            since: zone.show(connection.since),
        }
    }
}

/// Which connections to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConnectionFilter {
    /// The page, from 1.
    #[param(example = 1, minimum = 1, maximum = 9223372036854775i64)]
    page: Option<i64>,
    /// Records per page.
    #[param(example = 10, minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// Only this account's.
    account_id: Option<i64>,
}

/// List live connections
///
/// Newest first.
#[utoipa::path(get, path = "/api/admin/connections", tag = "operator", params(ConnectionFilter),
    responses((status = 200, body = Envelope<List<ConnectionRecord>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    State(live): State<Arc<dyn Live>>,
    Filters(params): Filters<ConnectionFilter>,
) -> Answer<List<ConnectionRecord>> {
    let page = Page::new(params.page, params.page_size)?;
    let mut found = live.connections();
    found.retain(|connection| params.account_id.is_none_or(|account| account == connection.account.get()));
    found.sort_by_key(|connection| Reverse(connection.id));
    let whole = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
    let shown = found.iter().skip(whole(page.offset())).take(whole(page.limit()));
    let records = shown.map(|connection| ConnectionRecord::new(connection, core.zone())).collect();
    ok(List { records, total: i64::try_from(found.len()).unwrap_or(i64::MAX) })
}

/// Cut a live connection
#[utoipa::path(post, path = "/api/admin/connections/{id}/close", tag = "operator",
    params(("id" = i64, Path, description = "The connection's id", minimum = 0)),
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such connection"),
    ))]
pub(crate) async fn close(_: Operator, PathId(id): PathId, State(live): State<Arc<dyn Live>>) -> Answer<()> {
    match live.close(id) {
        true => done(),
        false => Err(ApiError::NotFound(Noun::Connection)),
    }
}
