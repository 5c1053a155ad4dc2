//! The role gateway: its settings, its door to the core, and what operators see of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tollgate_api::{ExitError, ExitStatus, LeftOutReason, Live, LiveConnection};
use tollgate_core::Core;
use tollgate_gateway::{
    Bandwidth, Caps, CertificateFiles, ConnectionView, ExitTrouble, Gateway, GatewayConfig, GatewayLimits,
    Inherited, LeftOut, Run, Stats, Traffic,
};
use tollgate_types::{Bytes, Clock, ConnectionId, ExitId, ProxyType, StaticType, SystemClock};

use crate::control::InProcess;
use crate::data_dir::{DataDir, random_bytes};
use crate::descriptors;
use crate::limit_metrics;
use crate::metrics::{Alarm, Kind, Reading, Source};
use crate::settings::Settings;

/// The folder of the data directory that holds the gateway's id and journal.
const FOLDER: &str = "gateway";

/// How long failed logins are counted together.
const FAILED_LOGINS_WINDOW: Duration = Duration::from_secs(60);

/// A running gateway.
pub struct GatewayRole {
    gateway: Arc<Gateway<InProcess>>,
    core: Core,
    types: Vec<Option<ProxyType>>,
}

impl GatewayRole {
    /// Starts the gateway, on the sockets that were inherited where the settings have their
    /// addresses. `own` are the platform's other listeners, which no customer may reach.
    ///
    /// # Errors
    /// A port that cannot be listened on, or a journal that cannot be kept.
    pub async fn start(
        core: &Core,
        settings: &Settings,
        inherited: Inherited,
        data: &DataDir,
        own: Vec<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let config = config(settings, own)?;
        let types = config.listeners.iter().map(|(_, proxy_type)| *proxy_type).collect();
        let folder = data.folder(FOLDER)?;
        let run = Run { folder: &folder, seed: random_bytes()? };
        let control = Arc::new(InProcess(core.clone()));
        let gateway = Gateway::start_on(inherited, config, control, run, Arc::new(SystemClock)).await;
        let gateway = Arc::new(gateway.context("the gateway cannot be started")?);
        Ok(Self { gateway, core: core.clone(), types })
    }

    /// Where it listens, and the type of each port.
    pub fn addresses(&self) -> Vec<(SocketAddr, Option<ProxyType>)> {
        self.gateway.local_addrs().iter().copied().zip(self.types.iter().copied()).collect()
    }

    /// What the API shows of it.
    pub fn live(&self) -> Arc<dyn Live> {
        Arc::new(GatewayLive { gateway: self.gateway.clone(), core: self.core.clone() })
    }

    /// What the metrics tell of it.
    pub fn metrics(&self) -> Source {
        let gateway = self.gateway.clone();
        Box::new(move || readings(&gateway))
    }

    /// Whether the gateway's journal cannot be written just now.
    pub fn journal_fails(&self) -> Alarm {
        let gateway = self.gateway.clone();
        Arc::new(move || gateway.stats().journal_fails.load(Ordering::Relaxed))
    }

    /// Has the limits of these settings hold from now on.
    pub fn reconfigure(&self, settings: &Settings) {
        self.gateway.reconfigure(limits(settings));
    }

    /// Looks whether the files of the certificate have changed.
    pub async fn reload_certificate(&self) {
        self.gateway.reload_certificate().await;
    }

    /// Takes nothing new, lets what runs go on for a while, settles everything.
    pub async fn drain(&self) {
        if let Err(error) = self.gateway.drain().await {
            tracing::error!(%error, "not all usage could be settled; the journal keeps it for the next start");
        }
    }
}

impl std::fmt::Debug for GatewayRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayRole").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

fn config(settings: &Settings, own: Vec<SocketAddr>) -> anyhow::Result<GatewayConfig> {
    let gateway = &settings.gateway;
    let certificate = match (&gateway.certificate, &gateway.certificate_key) {
        (Some(chain), Some(key)) => Some(CertificateFiles { chain: chain.clone(), key: key.clone() }),
        (None, None) => None,
        (Some(_), None) => bail!("gateway.certificate needs gateway.certificate_key"),
        (None, Some(_)) => bail!("gateway.certificate_key needs gateway.certificate"),
    };
    let ports = [
        (&gateway.listen, None),
        (&gateway.residential, Some(ProxyType::Residential)),
        (&gateway.datacenter, Some(ProxyType::Datacenter)),
        (&gateway.mobile, Some(ProxyType::Mobile)),
    ];
    let mut config = GatewayConfig {
        listeners: ports
            .into_iter()
            .flat_map(|(listen, proxy_type)| listen.0.iter().map(move |address| (*address, proxy_type)))
            .collect(),
        static_proxies: gateway.static_proxies,
        limits: limits(settings),
        proxy_protocol_from: gateway.proxy_protocol_from.0.clone(),
        connect_timeout: gateway.connect_timeout,
        dns_timeout: gateway.dns_timeout,
        dns_servers: gateway.dns_servers.0.clone(),
        socks4: gateway.socks4,
        udp: gateway.udp,
        udp_associations_per_caller: gateway.udp_associations_per_caller,
        udp_public_address: gateway.udp_public_address,
        max_sessions: gateway.max_sessions,
        allow_destinations: gateway.allow_destinations.0.clone(),
        blocked_ports: gateway.blocked_ports.0.clone(),
        own_addresses: own,
        certificate,
        http2_streams: gateway.http2_streams,
        probe_interval: gateway.probe_interval,
        probe_target: gateway.probe_target.as_ref().map(|target| target.0.clone()),
        drain_timeout: settings.general.drain_timeout,
        ..GatewayConfig::default()
    };
    for (name, address) in &gateway.hosts.0 {
        config.hosts.entry(name.clone()).or_default().push(*address);
    }
    Ok(config)
}

/// What can be changed while the gateway runs.
fn limits(settings: &Settings) -> GatewayLimits {
    let gateway = &settings.gateway;
    GatewayLimits {
        handshake_timeout: gateway.handshake_timeout,
        head_bytes: gateway.head_bytes,
        head_fields: gateway.head_fields,
        idle_timeout: gateway.idle_timeout,
        keep_alive_timeout: gateway.keep_alive_timeout,
        max_connection_time: gateway.max_connection_time,
        max_connections: descriptors::fit(gateway.max_connections),
        per_account: Caps {
            connections: gateway.max_connections_per_account,
            per_second: gateway.connections_per_second_per_account,
        },
        per_caller: Caps {
            connections: gateway.max_connections_per_caller,
            per_second: gateway.connections_per_second_per_caller,
        },
        per_address: Caps {
            connections: gateway.max_connections_per_address,
            per_second: gateway.connections_per_second_per_address,
        },
        tls_without_request: gateway.tls_without_request,
        bandwidth: Bandwidth {
            whole: gateway.bandwidth,
            per_account: gateway.bandwidth_per_account,
            per_caller: gateway.bandwidth_per_caller,
        },
        failed_logins: gateway.failed_logins,
        failed_logins_window: FAILED_LOGINS_WINDOW,
        failed_login_delay: gateway.failed_login_delay,
    }
}

/// The live connections of this process's gateway. Those of other processes are not seen from here.
struct GatewayLive {
    gateway: Arc<Gateway<InProcess>>,
    core: Core,
}

impl Live for GatewayLive {
    fn connections(&self) -> Vec<LiveConnection> {
        self.gateway.connections().into_iter().map(|view| self.show(view)).collect()
    }

    fn close(&self, id: i64) -> bool {
        self.gateway.close(ConnectionId::new(id))
    }

    fn exits(&self) -> Vec<ExitStatus> {
        let now = SystemClock.now();
        let show = |(id, status): (ExitId, tollgate_gateway::ExitStatus)| ExitStatus {
            id,
            healthy: status.healthy,
            latency: (status.latency_micros > 0).then(|| Duration::from_micros(status.latency_micros)),
            connections: status.connections,
            failure_percent: percent(status.recent_failures, status.recent_attempts),
            last_error: status.last_trouble.map(error_word),
            left_out: status.left_out.map(|(why, lasts)| (reason_word(why), now.minus(lasts))),
        };
        self.gateway.exit_status().into_iter().map(show).collect()
    }
}

impl GatewayLive {
    fn show(&self, view: ConnectionView) -> LiveConnection {
        let (static_proxy, proxy_type) = match view.info.traffic {
            Traffic::Metered(proxy_type) => (None, proxy_type),
            Traffic::Static(id, static_type) => (Some(id), like(static_type)),
        };
        let directory = self.core.directory().borrow().clone();
        let renamed =
            view.info.sub_account.and_then(|id| directory.sub_account(id)).map(|entry| &entry.username);
        LiveConnection {
            id: view.id,
            account: view.info.account,
            sub_account: view.info.sub_account,
            static_proxy,
            username: renamed.map_or(view.info.username, |name| name.to_string()),
            client: view.info.client,
            target: view.info.target,
            exit: view.exit.unwrap_or(ExitId::new(0)),
            proxy_type,
            since: view.info.since,
            sent: Bytes::new(view.bytes_up),
            received: Bytes::new(view.bytes_down),
        }
    }
}

/// So much of a whole, rounded down; of nothing, `None`.
fn percent(part: u32, whole: u32) -> Option<u32> {
    let percent = (u64::from(part) * 100).checked_div(u64::from(whole))?;
    u32::try_from(percent).ok()
}

const fn error_word(trouble: ExitTrouble) -> ExitError {
    match trouble {
        ExitTrouble::Unreachable => ExitError::Unreachable,
        ExitTrouble::Silent => ExitError::Silent,
        ExitTrouble::LoginRefused => ExitError::LoginRefused,
        ExitTrouble::Broken => ExitError::Broken,
        ExitTrouble::NoLocalAddress => ExitError::NoLocalAddress,
    }
}

const fn reason_word(why: LeftOut) -> LeftOutReason {
    match why {
        LeftOut::Failures => LeftOutReason::Failures,
        LeftOut::Outlier => LeftOutReason::Outlier,
    }
}

/// The type of traffic that a static proxy's is like.
const fn like(static_type: StaticType) -> ProxyType {
    match static_type {
        StaticType::Res => ProxyType::Residential,
        StaticType::Dc | StaticType::Ipv6 => ProxyType::Datacenter,
    }
}

fn readings(gateway: &Gateway<InProcess>) -> Vec<Reading> {
    let stats: &Stats = gateway.stats();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counter = |name, help, counter| Reading::one(name, Kind::Counter, help, read(counter));
    let gauge = |name, help, value: u64| Reading::one(name, Kind::Gauge, help, value);
    let labelled = |label, values: &[(&str, u64)]| {
        values.iter().map(|(of, value)| (vec![(label, (*of).to_owned())], *value)).collect::<Vec<_>>()
    };
    let tunnels = [
        ("connect", read(&stats.connect_tunnels)),
        ("socks4", read(&stats.socks4_tunnels)),
        ("socks5", read(&stats.socks5_tunnels)),
        ("socks5-udp", read(&stats.udp_associations)),
        ("http", read(&stats.forwarded_requests)),
    ];
    let handshakes = [("done", read(&stats.tls_handshakes)), ("failed", read(&stats.tls_failures))];
    let bytes = [("up", read(&stats.bytes_up)), ("down", read(&stats.bytes_down))];
    let refusals: Vec<_> = stats.refusals().map(|(refusal, count)| (refusal.name(), count)).collect();
    let drops: Vec<_> = stats.drops().map(|(why, count)| (why.as_str(), count)).collect();
    let exits = gateway.exit_status();
    let healthy = exits.iter().filter(|(_, status)| status.healthy).count();
    let presence = gateway.presence();
    let counters = |name, help, values| Reading { name, help, kind: Kind::Counter, values };
    let mut readings = vec![
        gauge("gateway_connections", "Live proxied connections", presence.connections as u64),
        gauge("gateway_exits_healthy", "Exits that connections are sent through", healthy as u64),
        gauge(
            "gateway_exits_left_out",
            "Exits left out for failures in a row, or for far more failures than others",
            (exits.len() - healthy) as u64,
        ),
        counter("gateway_probes", "Probes of exits that are left out or idle", &stats.probes),
        counter("gateway_probe_failures", "Probes of exits that failed", &stats.probe_failures),
        counter("gateway_accepted", "Client connections accepted", &stats.accepted),
        counter("gateway_turned_away", "Client connections closed for want of room", &stats.turned_away),
        counters("gateway_tls_handshakes", "TLS handshakes with clients", labelled("outcome", &handshakes)),
        counter(
            "gateway_tls_without_request",
            "TLS handshakes with clients that failed, or after which no request came",
            &stats.tls_without_request,
        ),
        counter("gateway_http2_connections", "HTTP/2 connections of clients", &stats.http2_connections),
        counter("gateway_http2_streams", "Requests that came by HTTP/2", &stats.http2_streams),
        counters("gateway_served", "Tunnels and requests admitted", labelled("protocol", &tunnels)),
        counters("gateway_bytes", "Payload bytes forwarded", labelled("direction", &bytes)),
        counters("gateway_refusals", "Refusals by reason", labelled("reason", &refusals)),
        counters("gateway_udp_dropped", "Datagrams dropped by reason", labelled("reason", &drops)),
        counter("gateway_leases", "Leases asked for", &stats.leases),
        counter("gateway_leases_denied", "Leases asked for in vain", &stats.leases_denied),
        counter("gateway_settlements", "Usage reports settled", &stats.settles),
        counter(
            "gateway_settlement_failures",
            "Usage reports that could not be settled then",
            &stats.settle_failures,
        ),
        counter(
            "gateway_journal_failures",
            "Times the journal could not be written",
            &stats.journal_failures,
        ),
    ];
    readings.extend(readings_of_statics(stats));
    readings.extend(limit_metrics::readings(stats, presence, &gateway.limits()));
    readings
}

fn readings_of_statics(stats: &Stats) -> [Reading; 6] {
    let reading =
        |name, kind, help, number: &AtomicU64| Reading::one(name, kind, help, number.load(Ordering::Relaxed));
    [
        reading(
            "gateway_static_listeners",
            Kind::Gauge,
            "Ports of static proxies that are listened on",
            &stats.static_listeners,
        ),
        reading(
            "gateway_static_ports_failed",
            Kind::Gauge,
            "Ports of static proxies that cannot be listened on just now",
            &stats.static_ports_failed,
        ),
        reading(
            "gateway_static_accepted",
            Kind::Counter,
            "Client connections accepted at static proxies' addresses",
            &stats.static_accepted,
        ),
        reading(
            "gateway_static_strays",
            Kind::Counter,
            "Client connections closed because they came to nobody's address",
            &stats.static_strays,
        ),
        reading(
            "gateway_static_reports",
            Kind::Counter,
            "Reports of static proxies' traffic that were taken",
            &stats.static_reports,
        ),
        reading(
            "gateway_static_report_failures",
            Kind::Counter,
            "Reports of static proxies' traffic that could not be told then",
            &stats.static_report_failures,
        ),
    ]
}
