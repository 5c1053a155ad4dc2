//! Settings: typed, each with a default, laid in three layers — file, environment, flags.
//!
//! Every setting is declared once, below: its name, type, default and what it means. The declaration
//! makes the struct that the program uses, the list that `tollgate config` prints and the page
//! `docs/settings.md`. A setting that does not exist or does not parse is an error that names it
//! and where it was written.

mod layers;
mod value;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tollgate_store::DbUrl;

pub use layers::{CONFIG_VARIABLE, Layers, Origin, SettingsError, environment_name};
pub use value::{
    AdminToken, CorsOrigins, HostPort, Hosts, Listen, LogFormat, LogLevel, MasterKey, NameServers, Password,
    Ports, Ranges, Roles, SmtpSecurity, Value, ZoneName,
};

/// A setting, as lists and pages show it.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Its name: `listen` under `[gateway]` is `gateway.listen`.
    pub name: &'static str,
    /// The default, as it would be written.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Whether a running process takes another value when it reads the settings again.
    pub live: bool,
    show: fn(&Layers, &Item) -> Result<String, SettingsError>,
}

/// Declares a section of the settings file: a struct, how it is read, and its list of [`Item`]s. `live`
/// behind a default says that a running process takes another value.
macro_rules! section {
    (
        $(#[$about:meta])*
        $section:ident = $prefix:literal {
            $($(#[doc = $doc:literal])* $field:ident: $type:ty = $default:literal $($live:ident)?,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $section {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $section {
            const ITEMS: &[Item] = &[$(Item {
                name: concat!($prefix, stringify!($field)),
                default: $default,
                doc: concat!($($doc, "\n"),*),
                live: !concat!($(stringify!($live))?).is_empty(),
                show: shown::<$type>,
            }),*];

            fn read(layers: &Layers) -> Result<Self, SettingsError> {
                Ok(Self { $($field: parsed(layers, concat!($prefix, stringify!($field)), $default)?,)* })
            }
        }
    };
}

section! {
    /// What belongs to no section of the file.
    General = "" {
        /// Where everything lives that is not in the database: keys, the operator's token, the
        /// gateway's journal, and the database itself where it is SQLite's default one.
        data_dir: PathBuf = "tollgate-data",
        /// Which roles this process plays: `api`, `worker`, `gateway`.
        roles: Roles = "api,worker,gateway",
        /// 32 bytes in base64 under which everything secret in the database is sealed. The same
        /// for every process on one database. Kept in `DATA_DIR/master-key` where it is not given.
        master_key: Option<MasterKey> = "",
        /// A fixed operator token in place of the one that the first start generates and keeps in
        /// `DATA_DIR/admin-token`.
        admin_token: Option<AdminToken> = "",
        /// How long running connections may go on once the program has been asked to end.
        drain_timeout: Duration = "30s",
    }
}

section! {
    /// `[store]`
    StoreSettings = "store." {
        /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`; `DATA_DIR/tollgate.db` where
        /// it is not given.
        url: Option<DbUrl> = "",
        /// SQLite: threads that read. Writing is done by one.
        readers: usize = "4",
        /// PostgreSQL: connections.
        workers: usize = "8",
    }
}

section! {
    /// `[api]`
    ApiSettings = "api." {
        /// Addresses of the JSON API.
        listen: Listen = "127.0.0.1:8080",
        /// Whether private and loopback addresses may be whitelisted.
        allow_private_whitelist: bool = "false",
        /// Requests a minute for each key; 0 = no limit.
        rate_limit: u32 = "600",
        /// Origins whose pages may call the API from a browser (CORS), such as
        /// `https://panel.example.com`, separated by commas; `*` = every one. Cookies are never
        /// part of it.
        cors_origins: CorsOrigins = "",
        /// Addresses of fronts (reverse proxies) whose `X-Forwarded-For` says whom a call comes
        /// from: for the log, and for the limit on failed logins. Nobody else is believed.
        forwarded_from: Ranges = "",
    }
}

section! {
    /// `[gateway]`
    GatewaySettings = "gateway." {
        /// Addresses of the port whose traffic type the user name says; residential where it
        /// does not.
        listen: Listen = "127.0.0.1:7000",
        /// Addresses of the port for residential traffic.
        residential: Listen = "127.0.0.1:7001",
        /// Addresses of the port for datacenter traffic.
        datacenter: Listen = "127.0.0.1:7002",
        /// Addresses of the port for mobile traffic.
        mobile: Listen = "127.0.0.1:7003",
        /// Whether static proxies are served: on every address of this machine, on the ports that
        /// they are reached on.
        static_proxies: bool = "true",
        /// Ranges of addresses that may be reached although they are private, loopback or the
        /// like.
        allow_destinations: Ranges = "",
        /// Ports that may not be reached.
        blocked_ports: Ports = "25",
        /// Names that resolve to fixed addresses, as in a hosts file: `name=address`, several
        /// separated by commas.
        hosts: Hosts = "",
        /// The host that customers are told to connect to; the first listener's address where it
        /// is not given.
        public_host: Option<String> = "",
        /// From the first moment of a connection to the end of its request.
        handshake_timeout: Duration = "10s" live,
        /// From an accepted request to an established connection, retries on other exits included.
        connect_timeout: Duration = "10s",
        /// For one name to resolve.
        dns_timeout: Duration = "5s",
        /// The name servers to ask, `IP` or `IP:PORT`, several separated by commas; the system's where
        /// none is given.
        dns_servers: NameServers = "",
        /// How long a connection may carry nothing in either direction.
        idle_timeout: Duration = "5m" live,
        /// How long a client's HTTP connection may wait for its next request.
        keep_alive_timeout: Duration = "60s" live,
        /// The largest request head, and the largest response head, in bytes.
        head_bytes: usize = "65536" live,
        /// The most header fields of a head.
        head_fields: usize = "100" live,
        /// A file with the certificate with which TLS is spoken to customers, in PEM form, and
        /// behind it those that lead to one that they believe. Read again when it changes. Without
        /// it TLS is not spoken.
        certificate: Option<PathBuf> = "",
        /// The file with its private key, in PEM form.
        certificate_key: Option<PathBuf> = "",
        /// Requests at once on one HTTP/2 connection of a client, tunnels included.
        http2_streams: u32 = "100",
        /// How long a tunnel, or a connection that a client's requests are forwarded over, may live
        /// in all; 0s = as long as it likes.
        max_connection_time: Duration = "0s" live,
        /// Client connections at once; fewer where there are not two file descriptors for each. Each
        /// HTTP/2 request, and each UDP association, counts as one more.
        max_connections: usize = "20000" live,
        /// Connections at once of one account; 0 = no limit.
        max_connections_per_account: u32 = "0" live,
        /// Connections at once of one sub-account, of one whitelisted address, or of one static
        /// proxy; 0 = no limit.
        max_connections_per_caller: u32 = "5000" live,
        /// Client connections at once from one address (IPv6: from one /64), whoever they turn out
        /// to be; more are closed as they come. 0 = no limit.
        max_connections_per_address: u32 = "0" live,
        /// New connections a second of one account, two seconds' worth of them at once; 0 = no
        /// limit.
        connections_per_second_per_account: u32 = "0" live,
        /// The same of one sub-account, of one whitelisted address, or of one static proxy.
        connections_per_second_per_caller: u32 = "0" live,
        /// The same of client connections from one address (IPv6: from one /64); more are closed as
        /// they come.
        connections_per_second_per_address: u32 = "0" live,
        /// TLS handshakes a minute from one address (IPv6: from one /64) that may fail or bring no
        /// request; then connections from there that begin with TLS are closed as they come, until some
        /// are free again. 0 = no limit.
        tls_without_request: u32 = "300" live,
        /// Bytes a second of the whole gateway, both directions together; 0 = no limit.
        bandwidth: u64 = "0" live,
        /// The same of one account.
        bandwidth_per_account: u64 = "0" live,
        /// The same of one sub-account, of one whitelisted address, or of one static proxy.
        bandwidth_per_caller: u64 = "0" live,
        /// Failed logins a minute from one address (IPv6: from one /64); 0 = no limit.
        failed_logins: u32 = "100" live,
        /// How long the answer to a failed login is held back at most; the answers come the later
        /// the more logins from that address failed. 0s = at once.
        failed_login_delay: Duration = "1s" live,
        /// Addresses of load balancers whose connections begin with a PROXY header (version 1 or 2)
        /// that says who is behind them. Without it, connections from there are closed.
        proxy_protocol_from: Ranges = "",
        /// Whether SOCKS4 and SOCKS4a are served: to listed addresses, and to clients whose user id is
        /// `NAME:PASSWORD`.
        socks4: bool = "true",
        /// Whether SOCKS5 UDP ASSOCIATE is served: datagrams, on ports that the system chooses.
        udp: bool = "true",
        /// UDP associations at once of one sub-account, of one whitelisted address, or of one static
        /// proxy; 0 = no limit. Each needs up to four file descriptors.
        udp_associations_per_caller: u32 = "256",
        /// The address that clients of ports for metered traffic are told to send their datagrams
        /// to, where that is not the one that they have connected to: the gateway is behind NAT.
        udp_public_address: Option<IpAddr> = "",
        /// Sticky sessions that are remembered.
        max_sessions: usize = "1000000",
        /// How often exits are probed that are left out, or that no customer uses; 0s = never.
        probe_interval: Duration = "10s",
        /// `HOST:PORT` that a probe asks upstream proxies for; without it they are only connected
        /// to, and SOCKS5 servers greeted.
        probe_target: Option<HostPort> = "",
    }
}

section! {
    /// `[static]`
    StaticSettings = "static." {
        /// For how long an expired static proxy can still be renewed before its address is leased
        /// to others, and for how long an address rests that was given back.
        grace: Duration = "72h",
    }
}

section! {
    /// `[notices]`
    NoticeSettings = "notices." {
        /// Ranges of addresses that webhooks may be sent to although they are private, loopback or
        /// the like.
        allow_destinations: Ranges = "",
        /// Whether webhooks may be sent to `http://` URLs too.
        allow_http: bool = "false",
        /// Names of webhooks' hosts and of the mail relay that resolve to fixed addresses, as in a
        /// hosts file: `name=address`, several separated by commas.
        hosts: Hosts = "",
        /// A file of certificates in PEM form that are believed beside the public ones.
        trusted_certificates: Option<PathBuf> = "",
        /// The mail relay's name or address. Without it no mail is sent.
        smtp_host: Option<String> = "",
        /// Its port; 587 with `starttls`, 465 with `tls` and 25 with `none` where it is not given.
        smtp_port: Option<u16> = "",
        /// How it is spoken to: `starttls`, `tls` or `none`.
        smtp_security: SmtpSecurity = "starttls",
        /// The user name for it, where it asks for one.
        smtp_username: Option<String> = "",
        /// The password for it.
        smtp_password: Option<Password> = "",
        /// Whose name mail is sent in: an address, or a name and an address, `Tollgate
        /// <no-reply@example.com>`. Needed where there is a mail relay.
        mail_from: Option<String> = "",
    }
}

section! {
    /// `[metrics]`
    MetricsSettings = "metrics." {
        /// Addresses of `/healthz`, `/readyz` and `/metrics`.
        listen: Listen = "127.0.0.1:9090",
    }
}

section! {
    /// `[time]`
    TimeSettings = "time." {
        /// The zone that times are shown in, and whose days are counted. Do not change it once
        /// there is traffic: days already counted stay as they are.
        zone: ZoneName = "UTC",
    }
}

section! {
    /// `[log]`
    LogSettings = "log." {
        /// `error`, `warn`, `info`, `debug` or `trace`, and exceptions by module.
        level: LogLevel = "info" live,
        /// `text`, or `json` with one object a line. Both go to standard error.
        format: LogFormat = "text",
    }
}

/// Every setting of the program.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What belongs to no section.
    pub general: General,
    /// The database.
    pub store: StoreSettings,
    /// The JSON API.
    pub api: ApiSettings,
    /// The proxy.
    pub gateway: GatewaySettings,
    /// Static proxies.
    pub statics: StaticSettings,
    /// Webhooks and mail.
    pub notices: NoticeSettings,
    /// Metrics and health.
    pub metrics: MetricsSettings,
    /// Time.
    pub time: TimeSettings,
    /// Logs.
    pub log: LogSettings,
    /// Whether a database that has lost something is used all the same. No setting, since it is to hold
    /// for one start: a flag of `tollgate serve`.
    pub accept_loss: bool,
}

/// What the command line says about settings.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The settings file.
    pub config: Option<PathBuf>,
    /// Settings by name, the flag that set each, and its text.
    pub values: Vec<(&'static str, &'static str, String)>,
}

impl Settings {
    /// Puts the layers together.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn read(layers: &Layers) -> Result<Self, SettingsError> {
        Ok(Self {
            general: General::read(layers)?,
            store: StoreSettings::read(layers)?,
            api: ApiSettings::read(layers)?,
            gateway: GatewaySettings::read(layers)?,
            statics: StaticSettings::read(layers)?,
            notices: NoticeSettings::read(layers)?,
            metrics: MetricsSettings::read(layers)?,
            time: TimeSettings::read(layers)?,
            log: LogSettings::read(layers)?,
            accept_loss: false,
        })
    }

    /// Every port that the platform listens on, whichever process does: no static proxy can be
    /// reached there.
    pub fn ports(&self) -> Vec<u16> {
        let gateway = &self.gateway;
        let listens = [
            &self.api.listen,
            &self.metrics.listen,
            &gateway.listen,
            &gateway.residential,
            &gateway.datacenter,
            &gateway.mobile,
        ];
        let ports = listens.into_iter().flat_map(|listen| &listen.0).map(std::net::SocketAddr::port);
        ports.filter(|port| *port != 0).collect()
    }

    /// The database: the one that was given, or a file in the data directory.
    pub fn database(&self) -> DbUrl {
        self.store.url.clone().unwrap_or_else(|| DbUrl::sqlite(self.general.data_dir.join("tollgate.db")))
    }
}

/// Every setting that there is, in the order of the file.
pub fn items() -> Vec<Item> {
    [
        General::ITEMS,
        StoreSettings::ITEMS,
        ApiSettings::ITEMS,
        GatewaySettings::ITEMS,
        StaticSettings::ITEMS,
        NoticeSettings::ITEMS,
        MetricsSettings::ITEMS,
        TimeSettings::ITEMS,
        LogSettings::ITEMS,
    ]
    .concat()
}

/// Gathers what was written: what the command itself wants, then the file, the environment and
/// the flags over it.
///
/// # Errors
/// A file that cannot be read, or a name that is no setting.
pub fn gather(
    command: &[(&'static str, &'static str, &str)],
    flags: &Flags,
    environment: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)> + Clone,
) -> Result<Layers, SettingsError> {
    let items = items();
    let mut layers = Layers::default();
    for (command, name, text) in command {
        layers.lay(&items, name, (*text).to_owned(), Origin::Command(command))?;
    }
    if let Some(path) = config_file(flags, environment.clone()) {
        layers.lay_file(&items, &path, &read_file(&path)?)?;
    }
    layers.lay_environment(&items, environment)?;
    for (name, flag, text) in &flags.values {
        layers.lay(&items, name, text.clone(), Origin::Flag(flag))?;
    }
    Ok(layers)
}

/// A setting as it is in force: name, value, origin.
pub type InForce = (&'static str, String, Origin);

/// Each setting as it is in force. Secrets are masked.
///
/// # Errors
/// The first setting that is wrong.
pub fn effective(layers: &Layers) -> Result<Vec<InForce>, SettingsError> {
    let line = |item: &Item| {
        let origin = layers.find(item.name).map_or(Origin::Default, |(_, origin)| origin.clone());
        Ok((item.name, (item.show)(layers, item)?, origin))
    };
    items().iter().map(line).collect()
}

/// The page about settings, `docs/settings.md`.
pub fn page() -> String {
    let mut page = String::from(include_str!("page.md"));
    let mut section = "";
    for item in items() {
        let (of, key) = item.name.split_once('.').unwrap_or(("", item.name));
        if of != section {
            page += &format!("\n## `[{of}]`\n");
            section = of;
        }
        let default = if item.default.is_empty() { "none".to_owned() } else { format!("`{}`", item.default) };
        page += &format!("\n### `{key}`\n\n");
        let live = if item.live { ", live" } else { "" };
        page += &format!("`{}`, default {default}{live}\n\n", environment_name(item.name));
        page.extend(item.doc.lines().map(|line| format!("{}\n", line.trim())));
    }
    page
}

fn config_file(
    flags: &Flags,
    environment: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Option<PathBuf> {
    let named =
        || environment.into_iter().find(|(name, _)| name == CONFIG_VARIABLE).map(|(_, path)| path.into());
    flags.config.clone().or_else(named)
}

fn read_file(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|why| SettingsError::Unreadable { path: path.to_owned(), why })
}

fn parsed<T: Value>(layers: &Layers, name: &'static str, default: &'static str) -> Result<T, SettingsError> {
    let (text, origin) = layers.find(name).unwrap_or((default, &Origin::Default));
    T::parse(text).map_err(|why| layers::malformed(name, origin.clone(), why))
}

fn shown<T: Value>(layers: &Layers, item: &Item) -> Result<String, SettingsError> {
    parsed::<T>(layers, item.name, item.default).map(|value| value.show())
}

#[cfg(test)]
mod tests;
