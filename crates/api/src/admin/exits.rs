//! Exits: the configured ways out, with how they are doing.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tollgate_core::exits::{self, ExitChange, ExitRow};
use tollgate_core::{Actor, Core};
use tollgate_types::{ExitId, Zone};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

use crate::callers::Operator;
use crate::envelope::{Answer, DoneEnvelope, Envelope, List, done, ok};
use crate::live::{ExitError, ExitStatus, LeftOutReason, Live};
use crate::params::{Filters, Params, PathId, clearable};
use crate::words::{Made, PageParams, Switch, TrafficType, ip_address};

/// How an exit reaches the target.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExitKindWord {
    Direct,
    Http,
    Socks5,
}

impl ExitKindWord {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Http => "http",
            Self::Socks5 => "socks5",
        }
    }

    /// The stored word's; anything but the three is not stored.
    fn of(word: &str) -> Self {
        match word {
            "http" => Self::Http,
            "socks5" => Self::Socks5,
            _ => Self::Direct,
        }
    }
}

/// A new exit.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewExit {
    /// The operator's name for it, unique.
    #[schema(example = "us-1", min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: String,
    /// The pool that it belongs to.
    proxy_type: TrafficType,
    /// How it reaches the target.
    kind: ExitKindWord,
    /// `host:port` of the upstream proxy; required unless direct.
    #[schema(example = "192.0.2.1:8000")]
    address: Option<String>,
    /// User name for the upstream proxy; may hold `{country} {state} {city} {session}`.
    #[schema(max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    username: Option<String>,
    /// Password for the upstream proxy; likewise.
    #[schema(max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    password: Option<String>,
    /// The local address that a direct exit leaves from.
    #[schema(schema_with = bind_ip)]
    bind_ip: Option<String>,
    /// The country that it comes out in.
    #[schema(example = "us", pattern = "^[A-Za-z]{2}$")]
    country: String,
    /// State or region.
    #[schema(max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    state: Option<String>,
    /// City.
    #[schema(max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    city: Option<String>,
    /// Autonomous system; 0 = unknown.
    #[schema(minimum = 0, maximum = 4294967295i64)]
    asn: Option<i64>,
    /// Its share among matching exits; 1 where absent.
    #[schema(example = 1, minimum = 1, maximum = 1000000)]
    weight: Option<i64>,
    /// Connections at once; 0 = no limit.
    #[schema(example = 0, minimum = 0, maximum = 1000000)]
    max_connections: Option<i64>,
    /// Whether it is used; active where absent.
    status: Option<Switch>,
}

/// A change to an exit: what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ExitChangeParams {
    /// The operator's name for it, unique.
    #[schema(example = "us-1", min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: Option<String>,
    /// The pool that it belongs to.
    proxy_type: Option<TrafficType>,
    /// How it reaches the target.
    kind: Option<ExitKindWord>,
    /// `host:port` of the upstream proxy.
    #[schema(example = "192.0.2.1:8000")]
    #[serde(default, deserialize_with = "clearable")]
    address: Option<String>,
    /// User name for the upstream proxy; empty takes it away.
    #[schema(max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    #[serde(default, deserialize_with = "clearable")]
    username: Option<String>,
    /// Password for the upstream proxy; empty takes it away.
    #[schema(max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    #[serde(default, deserialize_with = "clearable")]
    password: Option<String>,
    /// The local address that a direct exit leaves from; empty = the system's choice.
    #[schema(schema_with = bind_ip)]
    #[serde(default, deserialize_with = "clearable")]
    bind_ip: Option<String>,
    /// The country that it comes out in.
    #[schema(example = "us", pattern = "^[A-Za-z]{2}$")]
    #[serde(default, deserialize_with = "clearable")]
    country: Option<String>,
    /// State or region.
    #[schema(max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    #[serde(default, deserialize_with = "clearable")]
    state: Option<String>,
    /// City.
    #[schema(max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    #[serde(default, deserialize_with = "clearable")]
    city: Option<String>,
    /// Autonomous system; 0 = unknown.
    #[schema(minimum = 0, maximum = 4294967295i64)]
    asn: Option<i64>,
    /// Its share among matching exits.
    #[schema(example = 1, minimum = 1, maximum = 1000000)]
    weight: Option<i64>,
    /// Connections at once; 0 = no limit.
    #[schema(example = 0, minimum = 0, maximum = 1000000)]
    max_connections: Option<i64>,
    /// Whether it is used.
    status: Option<Switch>,
}

/// An address of this machine.
fn bind_ip() -> Schema {
    let types = SchemaType::from_iter([Type::String, Type::Null]);
    let empty = ObjectBuilder::new().schema_type(types).max_length(Some(0));
    let about = "The local address that a direct exit leaves from; empty = the system's choice.";
    Schema::AnyOf(ip_address().item(empty).description(Some(about)).build())
}

impl From<NewExit> for ExitChangeParams {
    fn from(new: NewExit) -> Self {
        Self {
            name: Some(new.name),
            proxy_type: Some(new.proxy_type),
            kind: Some(new.kind),
            country: Some(new.country),
            address: new.address,
            username: new.username,
            password: new.password,
            bind_ip: new.bind_ip,
            state: new.state,
            city: new.city,
            asn: new.asn,
            weight: new.weight,
            max_connections: new.max_connections,
            status: new.status,
        }
    }
}

impl From<ExitChangeParams> for ExitChange {
    fn from(params: ExitChangeParams) -> Self {
        Self {
            name: params.name,
            proxy_type: params.proxy_type.map(Into::into),
            kind: params.kind.map(|kind| kind.as_str().to_owned()),
            address: params.address,
            username: params.username,
            password: params.password.map(SecretString::from),
            bind_ip: params.bind_ip,
            country: params.country,
            state: params.state,
            city: params.city,
            asn: params.asn,
            weight: params.weight,
            max_connections: params.max_connections,
            active: params.status.map(Switch::is_on),
        }
    }
}

/// Add an exit
#[utoipa::path(post, path = "/api/admin/exits", tag = "operator", request_body = NewExit, responses(
    (status = 200, body = Envelope<Made>),
    (status = 409, description = "40900: the name is taken"),
))]
pub(crate) async fn create(
    _: Operator,
    State(core): State<Core>,
    Params(params): Params<NewExit>,
) -> Answer<Made> {
    let id = exits::create(&core, Actor::Operator, ExitChangeParams::from(params).into()).await?;
    ok(Made { id: id.get() })
}

/// Change an exit
///
/// Connections that leave through it go on.
#[utoipa::path(post, path = "/api/admin/exits/{id}/update", tag = "operator",
    params(("id" = i64, Path, description = "The exit's id", minimum = 0)), request_body = ExitChangeParams,
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such exit"),
        (status = 409, description = "40900: the name is taken"),
    ))]
pub(crate) async fn update(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<ExitChangeParams>,
) -> Answer<()> {
    exits::update(&core, Actor::Operator, ExitId::new(id), params.into()).await?;
    done()
}

/// Delete an exit
///
/// Connections that leave through it go on.
#[utoipa::path(post, path = "/api/admin/exits/{id}/delete", tag = "operator",
    params(("id" = i64, Path, description = "The exit's id", minimum = 0)),
    responses(
        (status = 200, body = DoneEnvelope),
        (status = 404, description = "40400: no such exit"),
    ))]
pub(crate) async fn delete(_: Operator, PathId(id): PathId, State(core): State<Core>) -> Answer<()> {
    exits::delete(&core, Actor::Operator, ExitId::new(id)).await?;
    done()
}

/// An exit, and how it is doing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExitRecord {
    /// Its id.
    id: i64,
    /// The operator's name for it.
    name: String,
    /// The pool that it belongs to.
    proxy_type: TrafficType,
    /// How it reaches the target.
    kind: ExitKindWord,
    /// `host:port` of the upstream proxy; empty for direct.
    address: String,
    /// User name for the upstream proxy; empty = none.
    username: String,
    /// Whether it has a password, which is never shown.
    has_password: bool,
    /// The local address that it leaves from; empty = the system's choice.
    bind_ip: String,
    /// The country that it comes out in.
    country: String,
    /// State or region; empty = unknown.
    state: String,
    /// City; empty = unknown.
    city: String,
    /// Autonomous system; 0 = unknown.
    asn: i64,
    /// Its share among matching exits.
    weight: i64,
    /// Connections at once; 0 = no limit.
    max_connections: i64,
    /// Whether it is used.
    status: Switch,
    /// Whether connections are sent through it; null where no gateway has said.
    healthy: Option<bool>,
    /// How long connecting through it takes, in milliseconds; null where nothing was measured.
    latency_ms: Option<i64>,
    /// How many connections it carries now.
    connections: i64,
    /// Of the attempts to connect within about the last minute, those that failed by the exit itself,
    /// in per cent; null without attempts.
    failure_percent: Option<i64>,
    /// What went wrong last with the exit itself, however long ago; null = nothing yet.
    last_error: Option<ExitError>,
    /// Why it is left out; null while it is not.
    left_out: Option<LeftOutReason>,
    /// Since when it is left out; null while it is not.
    left_out_since: Option<String>,
    /// When it was made.
    create_time: String,
    /// When it was last changed.
    update_time: String,
}

impl ExitRecord {
    fn new(row: ExitRow, doing: Option<&ExitStatus>, zone: &Zone) -> Self {
        let latency = doing.and_then(|doing| doing.latency);
        let left_out = doing.and_then(|doing| doing.left_out);
        Self {
            id: row.id.get(),
            name: row.name,
            proxy_type: row.proxy_type.into(),
            kind: ExitKindWord::of(&row.kind),
            address: row.address,
            username: row.username,
            has_password: row.password_sealed.is_some(),
            bind_ip: row.bind_ip,
            country: row.country,
            state: row.state,
            city: row.city,
            asn: row.asn,
            weight: row.weight,
            max_connections: row.max_connections,
            status: Switch::of(row.active),
            healthy: doing.map(|doing| doing.healthy),
            latency_ms: latency.map(|latency| i64::try_from(latency.as_millis()).unwrap_or(i64::MAX)),
            connections: doing.map_or(0, |doing| doing.connections.into()),
            failure_percent: doing.and_then(|doing| doing.failure_percent).map(i64::from),
            last_error: doing.and_then(|doing| doing.last_error),
            left_out: left_out.map(|(why, _)| why),
            left_out_since: left_out.map(|(_, since)| zone.show(since)),
            create_time: zone.show(row.created_at),
            update_time: zone.show(row.updated_at),
        }
    }
}

/// List the exits
///
/// Newest first, with health, latency, failures and load.
#[utoipa::path(get, path = "/api/admin/exits", tag = "operator", params(PageParams),
    responses((status = 200, body = Envelope<List<ExitRecord>>)))]
pub(crate) async fn list(
    _: Operator,
    State(core): State<Core>,
    State(live): State<Arc<dyn Live>>,
    Filters(params): Filters<PageParams>,
) -> Answer<List<ExitRecord>> {
    let (rows, total) = exits::list(&core, params.page()?).await?;
    let doing: HashMap<ExitId, ExitStatus> = live.exits().into_iter().map(|exit| (exit.id, exit)).collect();
    let record = |row: ExitRow| {
        let doing = doing.get(&row.id);
        ExitRecord::new(row, doing, core.zone())
    };
    ok(List { records: rows.into_iter().map(record).collect(), total })
}
