//! Measures Tollgate beside the proxies that people would pick instead, in one run: the daemons
//! take turns (A B C … A B C …), client and origin live in this process, everything stays on
//! loopback, and every figure comes with its spread over the rounds. `bench/README.md` says what
//! each figure means; nothing here passes or fails by a time.
#![expect(clippy::float_arithmetic, reason = "rates and ratios are for reading; no money is involved")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing the tables and the progress is this program's job"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the clients dial the daemons under test, not customers' targets"
)]

mod args;
#[cfg(feature = "settle")]
mod capacity;
#[cfg(not(feature = "settle"))]
#[path = "capacity_absent.rs"]
mod capacity;
mod client;
mod goals;
mod machine;
mod measure;
mod origin;
mod peers;
mod pingpong;
mod platform;
mod postgres;
mod process;
mod relay;
mod report;
mod run;
mod statics;
mod tollgate;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Command, Options};
use crate::report::Report;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tollgate-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<()> {
    let command = args::parse(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Help => {
            print!("{}", args::USAGE);
            Ok(())
        }
        Command::Relay { port, target } => runtime.block_on(relay::serve(port, target)),
        Command::Run(options) => {
            process::adopt_orphans()?;
            if options.install_peers {
                peers::install()?;
            }
            let report = runtime.block_on(until_told(run::all(&options)))?;
            write(&report, &options)
        }
    }
}

/// Runs until the end or until a signal says so; either way every daemon that was started is ended,
/// because whatever holds one is dropped.
async fn until_told(run: impl Future<Output = Result<Report>>) -> Result<Report> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        report = run => report,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to end"),
    }
}

/// Prints the tables and keeps them, with every single value, under the output folder.
fn write(report: &Report, options: &Options) -> Result<()> {
    let folder = Path::new(&options.out);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let markdown = report.markdown();
    fs::write(folder.join("results.md"), &markdown)?;
    fs::write(folder.join("results.json"), format!("{:#}\n", report.json()))?;
    println!("{markdown}");
    eprintln!("kept as {0}/results.md and {0}/results.json", folder.display());
    Ok(())
}
