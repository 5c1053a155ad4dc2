//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::besieger::Siege;

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
Measures Tollgate beside other proxies on loopback.

usage: cargo run --release -p tollgate-bench -- [options]

  --tollgate PATH   the built program (default: target/release/tollgate)
  --rounds N        how often everything is measured, in turns (default 5, at most 50)
  --quick           small sizes and one round: shows that it works, the figures mean little
  --only A,B        these subjects only: tollgate tinyproxy squid dante microsocks haproxy relay
  --measure A,B     these measurements only: idle bulk connections requests pingpong
                    api static settle capacity siege
  --install-peers   first install missing peers with apt-get (needs root)
  --out FOLDER      where results.md and results.json go (default: bench/out)
";

/// More rounds than this tell nothing new.
const MOST_ROUNDS: usize = 50;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print how to use the program.
    Help,
    /// Measure.
    Run(Options),
    /// Be the bare relay, a subject of the measurements; started by the program itself.
    Relay {
        /// Where to listen on 127.0.0.1.
        port: u16,
        /// Where every connection goes.
        target: SocketAddr,
    },
    /// Be the origin in a process of its own; started by the program itself.
    Origin {
        /// Where to listen on 127.0.0.1.
        port: u16,
    },
    /// Be those who besiege a gateway; started by the program itself.
    Besiege(Siege),
}

/// How to measure.
#[derive(Debug)]
pub(crate) struct Options {
    /// Tollgate's program.
    pub(crate) tollgate: PathBuf,
    /// How many rounds.
    pub(crate) rounds: usize,
    /// Whether this is the smoke run.
    pub(crate) quick: bool,
    /// The subjects asked for; empty: all.
    pub(crate) only: Vec<String>,
    /// The measurements asked for; empty: all.
    pub(crate) measure: Vec<String>,
    /// Whether missing peers are to be installed.
    pub(crate) install_peers: bool,
    /// Where the results go.
    pub(crate) out: String,
    /// How many descriptors a process may have.
    pub(crate) descriptors: u64,
    /// How much of each.
    pub(crate) sizes: Sizes,
}

impl Options {
    /// Whether a subject is asked for.
    pub(crate) fn wants_subject(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Whether a measurement is asked for.
    pub(crate) fn wants_measure(&self, name: &str) -> bool {
        self.measure.is_empty() || self.measure.iter().any(|measure| measure == name)
    }
}

/// How much each measurement does. All of them are bounded by these counts, and each once more by
/// [`crate::measure::PATIENCE`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Bytes through the one tunnel.
    pub(crate) bulk_one: u64,
    /// Bytes through 32 tunnels together.
    pub(crate) bulk_many: u64,
    /// New connections.
    pub(crate) connections: u64,
    /// Absolute-form requests.
    pub(crate) requests: u64,
    /// Small messages at a steady pace.
    pub(crate) messages: u64,
    /// Idle tunnels.
    pub(crate) idle: u64,
    /// Calls of each API method.
    pub(crate) api_calls: u64,
    /// Static addresses.
    pub(crate) statics: u64,
    /// Connections of each kind whose admission is timed.
    pub(crate) admissions: u64,
    /// Sub-accounts with traffic at the same time.
    pub(crate) payers: u64,
    /// For how long they have traffic.
    pub(crate) settle_for: Duration,
    /// Usage reports, each of every payer's lease, that are settled one after the other.
    pub(crate) reports: u64,
    /// Idle tunnels of the siege at most; the number of descriptors bounds them, too.
    pub(crate) siege_tunnels: u64,
    /// Clients that never finish their requests.
    pub(crate) slow: u64,
    /// For how long they are there beside normal traffic.
    pub(crate) slow_for: Duration,
    /// Guessed passwords.
    pub(crate) guesses: u64,
    /// How many of them a second.
    pub(crate) guesses_per_second: u64,
    /// For how long normal traffic is measured on its own.
    pub(crate) quiet_for: Duration,
}

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

const FULL: Sizes = Sizes {
    bulk_one: 2 * GIB,
    bulk_many: 4 * GIB,
    connections: 6_000,
    requests: 20_000,
    messages: 16_000,
    idle: 4_000,
    api_calls: 10_000,
    statics: 10_000,
    admissions: 10_000,
    payers: 1_000,
    settle_for: Duration::from_secs(15),
    reports: 60,
    siege_tunnels: 18_000,
    slow: 2_000,
    slow_for: Duration::from_secs(20),
    guesses: 100_000,
    guesses_per_second: 2_000,
    quiet_for: Duration::from_secs(10),
};

const QUICK: Sizes = Sizes {
    bulk_one: 128 * MIB,
    bulk_many: 256 * MIB,
    connections: 200,
    requests: 500,
    messages: 1_000,
    idle: 100,
    api_calls: 200,
    statics: 200,
    admissions: 200,
    payers: 30,
    settle_for: Duration::from_secs(2),
    reports: 10,
    siege_tunnels: 300,
    slow: 120,
    slow_for: Duration::from_secs(3),
    guesses: 2_000,
    guesses_per_second: 1_000,
    quiet_for: Duration::from_secs(2),
};

/// Reads the command line.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Command> {
    let mut options = Options {
        tollgate: PathBuf::from("target/release/tollgate"),
        rounds: 5,
        quick: false,
        only: Vec::new(),
        measure: Vec::new(),
        install_peers: false,
        out: "bench/out".to_owned(),
        descriptors: 0,
        sizes: FULL,
    };
    let mut rounds = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "relay" => return Ok(Command::Relay { port: value()?.parse()?, target: value()?.parse()? }),
            "origin" => return Ok(Command::Origin { port: value()?.parse()? }),
            "besiege" => return Ok(Command::Besiege(Siege::parse(&words.collect::<Vec<_>>())?)),
            "--help" | "-h" => return Ok(Command::Help),
            "--tollgate" => options.tollgate = PathBuf::from(value()?),
            "--rounds" => rounds = Some(value()?.parse().context("--rounds takes a number")?),
            "--quick" => options.quick = true,
            "--only" => options.only = names(&value()?, SUBJECTS)?,
            "--measure" => options.measure = names(&value()?, MEASURES)?,
            "--install-peers" => options.install_peers = true,
            "--out" => options.out = value()?,
            other => bail!("unknown option {other}; --help lists them"),
        }
    }
    if options.quick {
        options.sizes = QUICK;
    }
    options.rounds = rounds.unwrap_or(if options.quick { 1 } else { options.rounds });
    if options.rounds == 0 || options.rounds > MOST_ROUNDS {
        bail!("--rounds takes 1 to {MOST_ROUNDS}");
    }
    Ok(Command::Run(options))
}

const SUBJECTS: &[&str] = &["tollgate", "tinyproxy", "squid", "dante", "microsocks", "haproxy", "relay"];
const MEASURES: &[&str] =
    &["idle", "bulk", "connections", "requests", "pingpong", "api", "static", "settle", "capacity", "siege"];

/// A comma-separated list of known names.
fn names(list: &str, known: &[&str]) -> Result<Vec<String>> {
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => bail!("unknown name {unknown:?}; known are {}", known.join(", ")),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, parse};

    fn run(line: &str) -> anyhow::Result<Command> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn quick_means_one_round_unless_told() {
        let Ok(Command::Run(options)) = run("--quick") else { panic!("it is a run") };
        assert_eq!(options.rounds, 1);
        let Ok(Command::Run(options)) = run("--quick --rounds 3 --only squid,relay") else {
            panic!("it is a run")
        };
        assert_eq!(options.rounds, 3);
        assert!(options.wants_subject("relay") && !options.wants_subject("dante"));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (line, said) in [
            ("--fast", "--fast"),
            ("--rounds", "--rounds"),
            ("--rounds 0", "1 to 50"),
            ("--only nginx", "nginx"),
        ] {
            assert!(run(line).expect_err(line).to_string().contains(said), "{line}");
        }
    }
}
