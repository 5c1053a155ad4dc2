//! The binary: command line, settings, wiring of roles, lifecycle, telemetry, demo.
//!
//! `main` reads the command line and the settings; [`platform`] wires the roles that a process
//! plays; everything else is one command each.

pub mod admin;
pub mod backup;
pub mod cli;
pub mod commands;
pub mod control;
pub mod courier;
pub mod data_dir;
pub mod demo;
pub mod descriptors;
pub mod draft;
pub mod gateway_role;
pub mod keeper;
pub mod lifecycle;
pub mod limit_metrics;
pub mod mark;
pub mod metrics;
pub mod open;
pub mod platform;
pub mod serve;
pub mod settings;
pub mod supervisor;
pub mod telemetry;
mod trouble;
pub mod worker;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::cli::{Cli, Command, DbCommand};
use crate::settings::{Flags, Layers, Settings, SettingsError};
use crate::supervisor::Supervisor;

/// Something kept the program from doing what it was asked.
pub(crate) const FAILED: u8 = 2;

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // What the program writes is for its owner only, the database's files included.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to be told that this could not be said.
            let _ = writeln!(std::io::stderr(), "tollgate: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let environment: Vec<_> = std::env::vars_os().collect();
    let flags = cli.flags();
    match &cli.command {
        Command::Openapi => commands::openapi(),
        Command::Config => commands::config(&layers(&flags, &environment)?),
        Command::Demo => on_runtime(demo::run(&flags, &environment)),
        Command::Serve { accept_loss, .. } => {
            let layers = layers(&flags, &environment)?;
            let log = telemetry::start(&Settings::read(&layers)?.log)?;
            let sockets = supervisor::inherited_sockets(&environment)?;
            let supervisor = Supervisor::find(&environment);
            let reread = || self::layers(&flags, &environment);
            on_runtime(serve::serve(layers, *accept_loss, &log, &supervisor, sockets, reread))
        }
        Command::Audit => commands::audit(&logging(&flags, &environment)?),
        Command::Backup(args) => backup::backup(args, &logging(&flags, &environment)?),
        Command::Restore(args) => backup::restore(args, &logging(&flags, &environment)?),
        Command::Db { command: DbCommand::Copy(args) } => backup::copy(args, &logging(&flags, &environment)?),
        Command::Admin(admin) => on_runtime(commands::admin(admin, &read(&flags, &environment)?)),
    }
}

fn layers(flags: &Flags, environment: &[(OsString, OsString)]) -> Result<Layers, SettingsError> {
    settings::gather(&[], flags, environment.iter().cloned())
}

fn read(flags: &Flags, environment: &[(OsString, OsString)]) -> Result<Settings, SettingsError> {
    Settings::read(&layers(flags, environment)?)
}

/// Reads the settings and starts logging as they say.
fn logging(flags: &Flags, environment: &[(OsString, OsString)]) -> anyhow::Result<Settings> {
    let settings = read(flags, environment)?;
    telemetry::start(&settings.log)?;
    Ok(settings)
}

fn on_runtime(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    descriptors::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the async runtime cannot be started")?.block_on(work)
}
