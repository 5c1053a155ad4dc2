//! What happened to the account, for those who ask.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::Core;
use tollgate_core::events::{self, Event};
use tollgate_types::Zone;
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::envelope::{Answer, Envelope, ok};
use crate::params::Filters;

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventRecord {
    /// Its number among the account's events.
    #[schema(example = 7, minimum = 1)]
    seq: i64,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(example = "wallet.low")]
    kind: String,
    /// More of it; which fields there are depends on `type`.
    #[schema(value_type = Object)]
    data: serde_json::Value,
    /// 创建时间
    #[schema(example = "2025-09-14 06:22:26")]
    create_time: String,
}

impl EventRecord {
    fn new(event: Event, zone: &Zone) -> Self {
        Self {
            seq: event.seq,
            kind: event.kind,
            data: serde_json::from_str(&event.data).unwrap_or_else(|_| serde_json::json!({})),
            create_time: zone.show(event.at),
        }
    }
}

/// Some of what happened, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Events {
    /// The events.
    records: Vec<EventRecord>,
    /// What to ask with for those that come later.
    #[schema(example = 7, minimum = 0)]
    cursor: i64,
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventFilter {
    /// The `cursor` of the answer before, 非必传: the events that came after it. 0, 默认, for the oldest that are kept
    #[param(example = 0, minimum = 0)]
    cursor: Option<i64>,
    /// How many at most, 非必传, 默认100
    #[param(example = 100, minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// 获取事件
///
/// What happened to this account, oldest first: the same events as webhook and mail are told of. They are kept for
/// 90 days.
#[utoipa::path(get, path = "/api/users/events", tag = "通知", params(EventFilter),
    responses((status = 200, body = Envelope<Events>)))]
pub(crate) async fn list(
    caller: Caller,
    State(core): State<Core>,
    Filters(params): Filters<EventFilter>,
) -> Answer<Events> {
    let (events, cursor) =
        events::since(&core, caller.account, params.cursor.unwrap_or(0), params.limit).await?;
    ok(Events {
        records: events.into_iter().map(|event| EventRecord::new(event, core.zone())).collect(),
        cursor,
    })
}
