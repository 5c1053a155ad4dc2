//! Where the gateway is and how to speak to it, with ready-made lines to copy.

use axum::extract::State;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tollgate_core::sub_accounts::{self, Filter, SubAccount};
use tollgate_core::{Core, Error, Page};
use tollgate_types::{AccountId, SubAccountId};
use utoipa::{IntoParams, ToSchema};

use crate::callers::Caller;
use crate::endpoints::Endpoints;
use crate::envelope::{Answer, Envelope, ok};
use crate::params::Filters;
use crate::state::ApiState;
use crate::words::TrafficType;

/// Which sub-account the ready-made lines are for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EndpointsParams {
    /// 子账号ID; the newest active one where absent
    subuser_id: Option<i64>,
}

/// Where the gateway is and how to speak to it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointsData {
    /// Host name or address of the gateway.
    #[schema(example = "127.0.0.1")]
    host: String,
    /// The open ports. Each speaks HTTP and SOCKS5.
    ports: Vec<Port>,
    /// How a proxy user name is written.
    #[schema(example = "NAME[-key-value]*")]
    username_grammar: &'static str,
    /// What may follow the name; each key at most once, in any order, in any case.
    username_parameters: Vec<UsernameParameter>,
    /// Lines to copy, for one sub-account; none while there is none.
    lines: Vec<Lines>,
}

/// An open port.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Port {
    /// Its number.
    #[schema(example = 7001, minimum = 1, maximum = 65535)]
    port: i32,
    /// The type of traffic that it carries; null where the user name says it.
    proxy_type: Option<TrafficType>,
}

/// A routing parameter in a proxy user name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsernameParameter {
    /// Its key.
    #[schema(example = "country")]
    key: &'static str,
    /// Other keys for the same.
    aliases: &'static [&'static str],
    /// What it takes.
    #[schema(example = "two letters (ISO 3166-1), or any")]
    values: &'static str,
}

/// Lines to copy, for one port.
#[derive(Serialize, ToSchema)]
pub(crate) struct Lines {
    /// The type of traffic.
    proxy_type: Option<TrafficType>,
    /// `host:port:username:password`
    line: String,
    /// As an HTTP proxy's URL.
    http: String,
    /// As a SOCKS5 proxy's URL.
    socks5: String,
    /// A command to try it with.
    curl: String,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lines(…)")
    }
}

/// How a proxy user name is written (platform.md §3).
const GRAMMAR: &str = "NAME[-key-value]*";

const PARAMETERS: [(&str, &[&str], &str); 7] = [
    ("type", &["zone"], "residential (res), datacenter (dc) or mobile (mob)"),
    ("country", &["cc", "region"], "two letters (ISO 3166-1), or any"),
    ("state", &["st"], "a state or region; blanks as _ or +"),
    ("city", &[], "a city; blanks as _ or +"),
    ("asn", &[], "the number of an autonomous system"),
    ("session", &["sessid", "sid"], "1 to 64 of A-Z a-z 0-9 _; the same one keeps the same exit"),
    ("sesstime", &["lifetime"], "minutes that a session lasts, 1 to 1440; 10 where absent"),
];

/// 获取代理接入信息
///
/// Hosts, ports, the grammar of user names, and ready-made lines for one sub-account.
#[utoipa::path(get, path = "/api/users/proxy/endpoints", tag = "白名单管理", params(EndpointsParams), responses(
    (status = 200, body = Envelope<EndpointsData>),
    (status = 404, description = "40400: no such sub-account of this account"),
))]
pub(crate) async fn endpoints(
    caller: Caller,
    State(state): State<ApiState>,
    Filters(params): Filters<EndpointsParams>,
) -> Answer<EndpointsData> {
    let chosen = choose(&state.core, caller.account, params.subuser_id.map(SubAccountId::new)).await?;
    let endpoints = &state.settings.endpoints;
    let ports = ports(endpoints);
    let lines =
        chosen.iter().flat_map(|chosen| ports.iter().map(|port| Lines::new(&endpoints.host, *port, chosen)));
    ok(EndpointsData {
        host: endpoints.host.clone(),
        lines: lines.collect(),
        ports,
        username_grammar: GRAMMAR,
        username_parameters: PARAMETERS
            .map(|(key, aliases, values)| UsernameParameter { key, aliases, values })
            .into(),
    })
}

/// The sub-account that was asked for, or the newest active one.
async fn choose(
    core: &Core,
    account: AccountId,
    id: Option<SubAccountId>,
) -> Result<Option<SubAccount>, Error> {
    if let Some(id) = id {
        return sub_accounts::get(core, account, id).await.map(Some);
    }
    let active = Filter { username: String::new(), status: "active" };
    let (newest, _) = sub_accounts::list(core, account, active, Page::new(Some(1), Some(1))?).await?;
    Ok(newest.into_iter().next())
}

fn ports(endpoints: &Endpoints) -> Vec<Port> {
    let ports = [
        (endpoints.any, None),
        (endpoints.residential, Some(TrafficType::Residential)),
        (endpoints.datacenter, Some(TrafficType::Datacenter)),
        (endpoints.mobile, Some(TrafficType::Mobile)),
    ];
    ports.into_iter().filter_map(|(port, proxy_type)| Some(Port { port: port?.into(), proxy_type })).collect()
}

impl Lines {
    fn new(host: &str, Port { port, proxy_type }: Port, sub_account: &SubAccount) -> Self {
        let (name, password) = (&sub_account.row.username, sub_account.password.expose_secret());
        // Form encoding is percent-encoding for all that a name or a password can hold.
        let encoded: String = form_urlencoded::byte_serialize(password.as_bytes()).collect();
        let at = format!("{name}:{encoded}@{host}:{port}");
        Self {
            proxy_type,
            line: format!("{host}:{port}:{name}:{password}"),
            http: format!("http://{at}"),
            socks5: format!("socks5h://{at}"),
            curl: format!("curl -x 'http://{at}' https://example.com/"),
        }
    }
}
