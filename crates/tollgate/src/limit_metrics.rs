//! What the metrics tell of the gateway's limits: which hold, who has connections, and what was kept
//! out or slowed down.

use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_gateway::{GatewayLimits, Presence, Stats};

use crate::metrics::{Kind, Labels, Reading};

/// All of them.
pub fn readings(stats: &Stats, presence: Presence, limits: &GatewayLimits) -> Vec<Reading> {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counter = |name, help, value| Reading::one(name, Kind::Counter, help, value);
    let gauge = |name, help, value: usize| Reading::one(name, Kind::Gauge, help, value as u64);
    let kept_out = stats.limits().map(|(limit, count)| labelled("limit", limit.name(), count)).collect();
    vec![
        gauge("gateway_clients", "Client connections, of whomever", presence.clients),
        Reading {
            name: "gateway_present",
            help: "Accounts, callers and addresses that have connections",
            kind: Kind::Gauge,
            values: vec![
                labelled("kind", "account", presence.accounts as u64),
                labelled("kind", "caller", presence.callers as u64),
                labelled("kind", "address", presence.addresses as u64),
            ],
        },
        Reading {
            name: "gateway_limited",
            help: "Connections kept out by limit",
            kind: Kind::Counter,
            values: kept_out,
        },
        Reading {
            name: "gateway_limit",
            help: "The limits that hold; 0 is none",
            kind: Kind::Gauge,
            values: in_force(limits),
        },
        counter(
            "gateway_overtime",
            "Live connections cut because they had lived too long",
            read(&stats.overtime),
        ),
        counter(
            "gateway_throttle_waits",
            "Times a connection waited because of a limit on bandwidth",
            read(&stats.throttle_waits),
        ),
        counter(
            "gateway_throttled_seconds",
            "How long connections waited because of a limit on bandwidth",
            read(&stats.throttled_micros) / 1_000_000,
        ),
        counter(
            "gateway_logins_delayed",
            "Answers to failed logins that were held back",
            read(&stats.logins_delayed),
        ),
        gauge(
            "gateway_logins_held_back",
            "Answers to failed logins that are held back",
            presence.logins_held_back,
        ),
        counter(
            "gateway_proxy_headers_refused",
            "Connections from load balancers closed for want of a PROXY header",
            read(&stats.proxy_headers_refused),
        ),
    ]
}

/// The numbers among the limits, by the names of their settings.
fn in_force(limits: &GatewayLimits) -> Vec<(Labels, u64)> {
    let (account, caller, address) = (limits.per_account, limits.per_caller, limits.per_address);
    [
        ("max_connections", limits.max_connections as u64),
        ("max_connections_per_account", account.connections.into()),
        ("max_connections_per_caller", caller.connections.into()),
        ("max_connections_per_address", address.connections.into()),
        ("connections_per_second_per_account", account.per_second.into()),
        ("connections_per_second_per_caller", caller.per_second.into()),
        ("connections_per_second_per_address", address.per_second.into()),
        ("tls_without_request", limits.tls_without_request.into()),
        ("bandwidth", limits.bandwidth.whole),
        ("bandwidth_per_account", limits.bandwidth.per_account),
        ("bandwidth_per_caller", limits.bandwidth.per_caller),
        ("failed_logins", limits.failed_logins.into()),
    ]
    .map(|(name, value)| labelled("limit", name, value))
    .into()
}

fn labelled(label: &'static str, of: &str, value: u64) -> (Labels, u64) {
    (vec![(label, of.to_owned())], value)
}
