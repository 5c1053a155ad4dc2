//! `tollgate serve`: start, say so, wait for signals, drain.

use std::process::ExitCode;

use secrecy::ExposeSecret as _;
use tollgate_gateway::Inherited;
use tollgate_types::ProxyType;

use crate::lifecycle::{Signals, Wish};
use crate::platform::{Addresses, Platform};
use crate::settings::{InForce, Layers, Settings, SettingsError, effective, items};
use crate::supervisor::Supervisor;
use crate::telemetry::LogControl;

/// Runs until somebody asks it to end, on the sockets that it was handed and on those that are
/// missing. `accept_loss` lets it start on a database that has lost something; `reread` gathers the
/// settings anew for SIGHUP.
///
/// # Errors
/// What keeps it from starting.
pub async fn serve(
    layers: Layers,
    accept_loss: bool,
    log: &LogControl,
    supervisor: &Supervisor,
    sockets: Inherited,
    reread: impl Fn() -> Result<Layers, SettingsError>,
) -> anyhow::Result<ExitCode> {
    let life = live(layers, accept_loss, log, supervisor, sockets, reread);
    tokio::select! {
        ended = life => ended,
        never = supervisor.keep_telling() => match never {},
    }
}

async fn live(
    layers: Layers,
    accept_loss: bool,
    log: &LogControl,
    supervisor: &Supervisor,
    sockets: Inherited,
    reread: impl Fn() -> Result<Layers, SettingsError>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let settings = Settings { accept_loss, ..Settings::read(&layers)? };
    let Some(platform) = start(&settings, sockets, &mut signals).await? else { return Ok(ExitCode::SUCCESS) };
    announce(&platform);
    supervisor.ready();
    let mut in_force = effective(&layers)?;
    while signals.next().await == Wish::Reload {
        if let Err(error) = reload(log, &platform, &mut in_force, &reread) {
            tracing::error!(%error, "the settings were not read again; those before hold");
        }
        platform.reload_certificate().await;
    }
    supervisor.stopping();
    drain(platform, signals).await
}

/// Starts the platform; `None` where somebody asked it to end before it was ready. What it had begun
/// is undone by the next start, as after a crash.
///
/// # Errors
/// What keeps it from starting.
pub async fn start(
    settings: &Settings,
    sockets: Inherited,
    signals: &mut Signals,
) -> anyhow::Result<Option<Platform>> {
    tokio::select! {
        started = Platform::start(settings, sockets) => started.map(Some),
        () = signals.insists() => {
            tracing::info!("ended before it was ready");
            Ok(None)
        }
    }
}

/// Ends in good order, or at once where somebody insists.
///
/// # Errors
/// None; the signature is that of a command's end.
pub async fn drain(platform: Platform, mut signals: Signals) -> anyhow::Result<ExitCode> {
    tracing::info!("draining; asked again, the program ends at once");
    tokio::select! {
        () = platform.stop() => {
            tracing::info!("drained");
            Ok(ExitCode::SUCCESS)
        }
        () = signals.insists() => {
            tracing::warn!("ended before everything was settled; the journal keeps what was not");
            std::process::exit(1)
        }
    }
}

/// The line that says where everything is; programs that start this one wait for it.
fn announce(platform: &Platform) {
    let token = platform.admin_token();
    if token.fresh {
        let path = platform.data().path().join("admin-token");
        // To people, once, and not to the log, which is kept.
        let shown =
            format!("The operator's token is {} (kept in {})\n", token.token.expose_secret(), path.display());
        if let Err(error) = crate::commands::say(&shown) {
            tracing::warn!(%error, "the operator's token could not be shown; it is in {}", path.display());
        }
    }
    let Addresses { api, gateway, metrics } = platform.addresses();
    let port = |of: Option<ProxyType>| {
        list(gateway.iter().filter(|(_, proxy_type)| *proxy_type == of).map(|(address, _)| address))
    };
    tracing::info!(
        api = list(api),
        gateway = port(None),
        residential = port(Some(ProxyType::Residential)),
        datacenter = port(Some(ProxyType::Datacenter)),
        mobile = port(Some(ProxyType::Mobile)),
        metrics = list(metrics),
        data_dir = %platform.data().path().display(),
        "ready",
    );
}

/// Takes what can be changed in a running process from the settings as they are written now, and
/// says which other changes wait for a restart. Where one of them is wrong, none is taken.
fn reload(
    log: &LogControl,
    platform: &Platform,
    in_force: &mut [InForce],
    reread: impl Fn() -> Result<Layers, SettingsError>,
) -> anyhow::Result<()> {
    let layers = reread()?;
    let settings = Settings::read(&layers)?;
    let written = effective(&layers)?;
    log.set(&settings.log.level)?;
    platform.reconfigure(&settings);
    let (mut changed, mut need_a_restart) = (Vec::new(), Vec::new());
    for ((item, holds), now) in items().iter().zip(in_force).zip(written) {
        if holds.1 == now.1 {
            continue;
        }
        if item.live {
            *holds = now;
            changed.push(item.name);
        } else {
            need_a_restart.push(item.name);
        }
    }
    let (changed, need_a_restart) = (changed.join(","), need_a_restart.join(","));
    tracing::info!(changed, need_a_restart, "the settings were read again");
    Ok(())
}

fn list<T: ToString>(addresses: impl IntoIterator<Item = T>) -> String {
    addresses.into_iter().map(|address| address.to_string()).collect::<Vec<_>>().join(",")
}
