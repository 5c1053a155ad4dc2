//! `tollgate serve`: start, say so, wait for signals, drain.

use std::process::ExitCode;

use secrecy::ExposeSecret as _;
use tollgate_types::ProxyType;

use crate::lifecycle::{Signals, Wish};
use crate::platform::{Addresses, Platform};
use crate::settings::{Settings, SettingsError};
use crate::telemetry::LogControl;

/// Runs until somebody asks it to end. `reread` gathers the settings anew for SIGHUP.
///
/// # Errors
/// What keeps it from starting.
pub async fn serve(
    settings: &Settings,
    log: &LogControl,
    reread: impl Fn() -> Result<Settings, SettingsError>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let platform = Platform::start(settings).await?;
    announce(&platform);
    while signals.next().await == Wish::Reload {
        reload(log, &reread);
    }
    drain(platform, signals).await
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
        let shown = format!("The operator's token is {} (kept in {})\n", token.token.expose_secret(), path.display());
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

fn reload(log: &LogControl, reread: impl Fn() -> Result<Settings, SettingsError>) {
    let settings = match reread() {
        Ok(settings) => settings,
        Err(error) => return tracing::error!(%error, "the settings were not read again"),
    };
    match log.set(&settings.log.level) {
        Ok(()) => tracing::info!(level = settings.log.level.0, "log.level is in force; other settings need a restart"),
        Err(error) => tracing::error!(%error, "the settings were not read again"),
    }
}

fn list<T: ToString>(addresses: impl IntoIterator<Item = T>) -> String {
    addresses.into_iter().map(|address| address.to_string()).collect::<Vec<_>>().join(",")
}
