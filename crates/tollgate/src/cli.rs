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
        /// Start even if the database is gone, or older than its mark: go on without what is missing
        #[arg(long)]
        accept_loss: bool,
    },
    /// Run the platform on loopback with everything made up, and print lines to paste
    #[command(after_help = "\
Without --data-dir everything is thrown away at the end. The ports are those of `tollgate serve`; where
one is taken, another is used and printed.")]
    Demo,
    /// Recompute every balance, package, limit and daily total, also while servers run; exit status 1 if any differs
    #[command(after_help = "\
It reads the database as it is at one moment, beside whoever uses it, and changes nothing. Besides the figures it
follows the chain of entries, which shows whether any was changed or taken away, and holds it against the mark
beside the database, which shows whether the last ones are missing.

Exit status: 0 nothing differs, 1 something does, 2 it could not be done.")]
    Audit,
    /// Back the database up into a file, also while servers run on it
    #[command(after_help = "\
Examples:
  tollgate backup --data-dir /var/lib/tollgate /backup/tollgate-$(date +%F).db
  tollgate backup --database-url postgres://tollgate@db/tollgate /backup/tollgate.db

The backup is the database as it was at one moment: a SQLite file (mode 0600), whichever database it is one of.
It is audited before it gets its name; FILE.partial is one that is not finished, and no file is written over.
The master key is not in it. Keep it elsewhere: without it, nothing sealed in the backup can be opened again.

Exit status: 0 there is a backup, 1 the audit found differences and there is none, 2 it could not be made.")]
    Backup(BackupArgs),
    /// Restore a backup into an empty database, with the servers stopped
    #[command(after_help = "\
Examples:
  install -m 600 -D master-key /var/lib/tollgate/master-key
  tollgate restore --data-dir /var/lib/tollgate /backup/tollgate-2026-03-01.db
  TOLLGATE_MASTER_KEY=… tollgate restore --database-url postgres://tollgate@db/tollgate /backup/tollgate.db

The database may be another one than was backed up: SQLite or PostgreSQL. It is written in one transaction, and
audited in it: what ends half-way leaves it empty. A database that is in use, or was, is refused.
The master key has to be that of the platform that was backed up: in DATA_DIR/master-key or TOLLGATE_MASTER_KEY.

Exit status: 0 restored, 1 the audit found differences and nothing was restored, 2 it could not be done.")]
    Restore(RestoreArgs),
    /// Move to another database
    Db {
        /// What to do with the database.
        #[command(subcommand)]
        command: DbCommand,
    },
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
  tollgate admin --json accounts list | jq .data.records

The token is TOLLGATE_ADMIN_TOKEN, or the one in DATA_DIR/admin-token.

Exit status: 0 done, 2 refused or not asked; standard error says why, or with --json the answer.")]
    Admin(Box<AdminArgs>),
}

/// Flags of `tollgate backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file to make
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Keep the backup even if the audit finds differences: the database has them too
    #[arg(long)]
    pub accept_differences: bool,
}

/// Flags of `tollgate restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A file made by `tollgate backup`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Restore the backup even if the audit finds differences in it
    #[arg(long)]
    pub accept_differences: bool,
}

/// What to do with a database.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Copy the database into another, empty one, with the servers stopped: from SQLite to PostgreSQL, or back
    #[command(after_help = "\
Examples:
  tollgate db copy --data-dir /var/lib/tollgate --to postgres://tollgate:PASSWORD@db/tollgate
  tollgate db copy --database-url postgres://tollgate@db/tollgate --to sqlite:/var/lib/tollgate/tollgate.db

Stop every server first. The copy is made in one transaction and audited in it: what ends half-way leaves the
other database empty, and the old one is left as it is. Then start the servers with the setting that is printed;
the data directory, with its master key, stays the same.

Exit status: 0 copied, 1 the audit found differences and nothing was copied, 2 it could not be done.")]
    Copy(CopyArgs),
}

/// Flags of `tollgate db copy`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The empty database: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Keep the copy even if the audit finds differences: the database has them too
    #[arg(long)]
    pub accept_differences: bool,
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
            Command::Serve { roles, .. } => roles.as_ref(),
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
