//! `tollgate demo`: the platform on loopback with a customer, packages, exits and an origin made up,
//! and lines to paste.

mod origin;
mod seed;
mod tour;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::lifecycle::{Signals, Wish};
use crate::settings::{Flags, Settings, SettingsError, Value as _, gather, items};
use crate::{commands, serve, telemetry};

/// The origin's port, where it is free.
const ORIGIN_PORT: u16 = 8090;

/// The origin's name for those who let the gateway resolve it.
const ORIGIN_NAME: &str = "origin.test";

/// The settings of a demo, and the temporary folder that it lives in.
struct Stage {
    settings: Settings,
    /// Deleted when dropped; `None` where the data directory was named.
    temporary: Option<tempfile::TempDir>,
}

/// Runs until somebody asks it to end.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(flags: &Flags, environment: &[(OsString, OsString)]) -> anyhow::Result<ExitCode> {
    let stage = set_stage(flags, environment)?;
    telemetry::start(&stage.settings.log)?;
    let mut signals = Signals::listen()?;
    let listener = listen_at_origin().await?;
    let origin = listener.local_addr().context("the origin has no address")?;
    let serving = tokio::spawn(origin::serve(listener));
    let Some(platform) = serve::start(&stage.settings, &mut signals).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let seeded = seed::seed(&platform).await;
    let customer = match seeded {
        Ok(customer) => customer,
        Err(error) => {
            platform.stop().await;
            return Err(error).context("the demo's data could not be made");
        }
    };
    let cautions = tour::cautions(environment);
    let told =
        tour::Tour { addresses: platform.addresses(), customer: &customer, origin, origin_name: ORIGIN_NAME };
    let data = stage.temporary.is_none().then(|| platform.data().path());
    commands::say(&told.text(&cautions, &stage.settings.time.zone.name, data))?;
    while signals.next().await == Wish::Reload {}
    let ended = serve::drain(platform, signals).await;
    serving.abort();
    ended
}

fn set_stage(flags: &Flags, environment: &[(OsString, OsString)]) -> anyhow::Result<Stage> {
    let given = |name: &str| -> Result<bool, SettingsError> {
        Ok(gather(&[], flags, environment.iter().cloned())?.find(name).is_some())
    };
    let temporary = match given("data_dir")? {
        true => None,
        false => {
            Some(tempfile::Builder::new().prefix("tollgate-demo-").tempdir().context("no temporary folder")?)
        }
    };
    let data_dir =
        temporary.as_ref().map(|folder| folder.path().to_owned()).unwrap_or_else(|| PathBuf::from("."));
    let mut own = vec![
        ("data_dir", data_dir.show()),
        ("gateway.allow_destinations", "127.0.0.0/8,::1/128".to_owned()),
        ("gateway.hosts", format!("{ORIGIN_NAME}=127.0.0.1")),
        ("api.allow_private_whitelist", "true".to_owned()),
        ("log.level", "warn".to_owned()),
        ("drain_timeout", "3s".to_owned()),
    ];
    own.extend(taken_ports());
    let own: Vec<_> = own.iter().map(|(name, text)| ("demo", *name, text.as_str())).collect();
    let settings = Settings::read(&gather(&own, flags, environment.iter().cloned())?)?;
    Ok(Stage { settings, temporary })
}

/// Settings of listeners whose usual port somebody else has: any other port.
fn taken_ports() -> Vec<(&'static str, String)> {
    let listeners =
        items().into_iter().filter_map(|item| Some((item.name, item.default.parse::<SocketAddr>().ok()?)));
    let taken = listeners.filter(|(_, address)| std::net::TcpListener::bind(address).is_err());
    taken.map(|(name, address)| (name, SocketAddr::new(address.ip(), 0).to_string())).collect()
}

async fn listen_at_origin() -> anyhow::Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, ORIGIN_PORT)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the origin cannot listen"),
    }
}
