//! `tollgate demo`: the platform on loopback with a customer, packages, exits and an origin made up,
//! and lines to paste.

mod origin;
mod seed;
mod tour;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tollgate_gateway::Inherited;

use crate::lifecycle::{Signals, Wish};
use crate::settings::{Flags, Settings, SettingsError, gather, items};
use crate::{commands, serve, telemetry};

/// The origin's port, where it is free.
const ORIGIN_PORT: u16 = 8090;

/// The origin's name for those who let the gateway resolve it.
const ORIGIN_NAME: &str = "origin.test";

/// Runs until somebody asks it to end.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(flags: &Flags, environment: &[(OsString, OsString)]) -> anyhow::Result<ExitCode> {
    let stage = Stage::set(flags, environment)?;
    let settings = stage.settings(&taken_ports())?;
    telemetry::start(&settings.log)?;
    let mut signals = Signals::listen()?;
    let listener = listen_at_origin().await?;
    let origin = listener.local_addr().context("the origin has no address")?;
    // For static proxies that leave by IPv6; some machines have none.
    let besides = TcpListener::bind((Ipv6Addr::LOCALHOST, origin.port())).await.ok();
    let serving = tokio::spawn(origin::serve(listener, besides));
    let started = match serve::start(&settings, Inherited::default(), &mut signals).await {
        // Somebody else was quicker: another demo, say.
        Err(error) if is_taken(&error) => {
            serve::start(&stage.settings(&listeners())?, Inherited::default(), &mut signals).await
        }
        started => started,
    };
    let Some(platform) = started? else { return Ok(ExitCode::SUCCESS) };
    let customer = match seed::seed(&platform).await {
        Ok(customer) => customer,
        Err(error) => {
            platform.stop().await;
            return Err(error).context("the demo's data could not be made");
        }
    };
    let cautions = tour::cautions(environment);
    let told =
        tour::Tour { addresses: platform.addresses(), customer: &customer, origin, origin_name: ORIGIN_NAME };
    let kept = stage.temporary.is_none().then(|| platform.data().path());
    commands::say(&told.text(&cautions, &settings.time.zone.name, kept))?;
    while signals.next().await == Wish::Reload {}
    let ended = serve::drain(platform, signals).await;
    serving.abort();
    ended
}

/// Where a demo plays: what was given to it, and a temporary folder.
struct Stage<'g> {
    flags: &'g Flags,
    environment: &'g [(OsString, OsString)],
    /// Deleted when dropped; `None` where the data directory was given.
    temporary: Option<tempfile::TempDir>,
}

impl<'g> Stage<'g> {
    fn set(flags: &'g Flags, environment: &'g [(OsString, OsString)]) -> anyhow::Result<Self> {
        let given = gather(&[], flags, environment.iter().cloned())?;
        let folder = || tempfile::Builder::new().prefix("tollgate-demo-").tempdir();
        let temporary = match given.find("data_dir") {
            Some(_) => None,
            None => Some(folder().context("a temporary folder cannot be made")?),
        };
        Ok(Self { flags, environment, temporary })
    }

    /// The settings of a demo, over which what was given is laid; the listeners that are named
    /// take any port.
    fn settings(&self, elsewhere: &[Listener]) -> Result<Settings, SettingsError> {
        let mut own = vec![
            ("gateway.allow_destinations", "127.0.0.0/8,::1/128".to_owned()),
            ("gateway.hosts", format!("{ORIGIN_NAME}=127.0.0.1,{ORIGIN_NAME}=::1")),
            ("notices.allow_destinations", "127.0.0.0/8,::1/128".to_owned()),
            ("notices.allow_http", "true".to_owned()),
            ("api.allow_private_whitelist", "true".to_owned()),
            ("log.level", "warn".to_owned()),
            ("drain_timeout", "3s".to_owned()),
        ];
        own.extend(self.temporary.as_ref().map(|folder| ("data_dir", folder.path().display().to_string())));
        own.extend(elsewhere.iter().map(|(name, usual)| (*name, SocketAddr::new(usual.ip(), 0).to_string())));
        let own: Vec<_> = own.iter().map(|(name, text)| ("demo", *name, text.as_str())).collect();
        Settings::read(&gather(&own, self.flags, self.environment.iter().cloned())?)
    }
}

/// A setting that holds a listener, and its usual address.
type Listener = (&'static str, SocketAddr);

fn listeners() -> Vec<Listener> {
    items().into_iter().filter_map(|item| Some((item.name, item.default.parse().ok()?))).collect()
}

/// The listeners whose usual port somebody else has.
fn taken_ports() -> Vec<Listener> {
    listeners().into_iter().filter(|(_, usual)| std::net::TcpListener::bind(usual).is_err()).collect()
}

fn is_taken(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| kind == io::ErrorKind::AddrInUse)
}

async fn listen_at_origin() -> anyhow::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, ORIGIN_PORT)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the origin cannot listen"),
    }
}
