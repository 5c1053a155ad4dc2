//! Structured logs on standard error.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::settings::{LogFormat, LogLevel, LogSettings};

/// Changes what is logged while the program runs.
#[derive(Clone, Debug)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl LogControl {
    /// Takes another level.
    ///
    /// # Errors
    /// The level does not parse.
    pub fn set(&self, level: &LogLevel) -> anyhow::Result<()> {
        self.filter.reload(filter(level)?).context("the log is closed")
    }
}

/// Starts logging. Once in a process.
///
/// # Errors
/// Something else in this process logs already.
pub fn start(settings: &LogSettings) -> anyhow::Result<LogControl> {
    let (filter, control) = reload::Layer::new(filter(&settings.level)?);
    let lines = match settings.format {
        LogFormat::Text => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => fmt::layer().with_writer(std::io::stderr).json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .context("logging has been started before")?;
    Ok(LogControl { filter: control })
}

fn filter(level: &LogLevel) -> anyhow::Result<EnvFilter> {
    EnvFilter::builder().parse(&level.0).context("log.level is not understood")
}
