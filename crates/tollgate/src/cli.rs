//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::admin::AdminCommand;
use crate::settings::Flags;

/// A platform that sells proxy traffic: customer API, wallet and packages, and the proxy gateway that meters every byte.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    propagate_version = true,
    after_help = "\
Try it in a minute, on loopback, with a customer, packages and exits made up:
  tollgate demo

Run it, everything in one process on an embedded database:
  tollgate serve --data-dir /var/lib/tollgate

Run it as a fleet on one PostgreSQL:
  tollgate serve --roles api,worker --database-url postgres://tollgate@db/tollgate
  tollgate serve --roles gateway    --database-url postgres://tollgate@db/tollgate

Settings come from a file (--config), the environment (TOLLGATE_…) and flags, each over the one before;
`tollgate config` prints what is in force."
)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub struct GlobalArgs {
    /// Settings file (TOML) [env: TOLLGATE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where keys, the operator's token and the journal live [env: TOLLGATE_DATA_DIR] [default: tollgate-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// sqlite:PATH or postgres://… [env: TOLLGATE_STORE__URL] [default: DATA_DIR/tollgate.db]
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// error, warn, info, debug or trace; exceptions as in info,tollgate_gateway=debug
    #[arg(long, visible_alias = "log", global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the platform, or some of its roles
    #[command(after_help = "\
Examples:
  tollgate serve
  tollgate serve --roles gateway --database-url postgres://tollgate@db/tollgate
  TOLLGATE_GATEWAY__LISTEN=0.0.0.0:7000 tollgate serve

SIGTERM drains: no new connections, running ones may go on for drain_timeout, all usage is settled.
SIGHUP reads the settings again.")]
    Serve {
        /// Which roles: api, worker, gateway [env: TOLLGATE_ROLES] [default: all]
        #[arg(long, value_name = "ROLES")]
        roles: Option<String>,
    },
    /// Run the platform on loopback with everything made up, and print lines to paste
    #[command(after_help = "\
Without --data-dir everything is thrown away at the end. The ports are those of `tollgate serve`; where
one is taken, another is used and printed.")]
    Demo,
    /// Recompute every balance, package, limit and daily total; exit status 1 if any differs
    Audit,
    /// Print the settings in force, secrets masked, and where each comes from
    Config,
    /// Print the OpenAPI document of the API
    Openapi,
    /// The operator's calls, over the API of a running server
    #[command(after_help = "\
Examples:
  tollgate admin accounts create alice --email alice@example.com --res-price 200
  tollgate admin accounts recharge 1 --amount 5000 --reference invoice-17
  tollgate admin packages create --proxy-type residential --traffic-gb 10 --price 150 --duration 30
  tollgate admin exits create us-1 --proxy-type residential --kind socks5 --address 203.0.113.7:1080 --country us
  tollgate admin static import addresses.csv --proxy-type res --country us
  tollgate admin --json accounts list | jq .data.list

The token is TOLLGATE_ADMIN_TOKEN, or the one in DATA_DIR/admin-token.")]
    Admin(Box<AdminArgs>),
}

/// Flags of `tollgate admin`.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// Address of the API, HOST:PORT or http://HOST:PORT [default: where the settings say it listens]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub api: Option<String>,
    /// Print the API's answer as it came
    #[arg(long, global = true)]
    pub json: bool,
    /// Which call.
    #[command(subcommand)]
    pub command: AdminCommand,
}

impl Cli {
    /// What the flags say about settings.
    pub fn flags(&self) -> Flags {
        let global = &self.global;
        let roles = match &self.command {
            Command::Serve { roles } => roles.as_ref(),
            _ => None,
        };
        let given = [
            ("data_dir", "--data-dir", global.data_dir.as_ref()),
            ("store.url", "--database-url", global.database_url.as_ref()),
            ("log.level", "--log-level", global.log_level.as_ref()),
            ("log.format", "--log-format", global.log_format.as_ref()),
            ("roles", "--roles", roles),
        ];
        let values =
            given.into_iter().filter_map(|(name, flag, text)| Some((name, flag, text?.clone()))).collect();
        Flags { config: global.config.clone(), values }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_settings() {
        let cli =
            Cli::try_parse_from(["tollgate", "serve", "--roles", "api", "--data-dir", "x", "--log", "debug"]);
        let flags = cli.expect("it parses").flags();
        let names: Vec<_> = flags.values.iter().map(|(name, _, text)| (*name, text.as_str())).collect();
        assert_eq!(names, [("data_dir", "x"), ("log.level", "debug"), ("roles", "api")]);
    }
}
