//! A throw-away PostgreSQL for one measurement, durable as it comes, on loopback with a password.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::{Daemon, free_port, program};

/// Its only user's name and password; the cluster lives as long as one measurement.
const USER: &str = "tollgate";
const PASSWORD: &str = "throw-away";

/// A running cluster. Ended and removed when dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    daemon: Daemon,
    url: String,
    // Dropped last: the files go after the process.
    _folder: TempDir,
}

impl Cluster {
    /// Makes one and waits until it takes connections.
    pub(crate) async fn start() -> Result<Self> {
        let programs = programs().context("PostgreSQL is not installed")?;
        let folder = crate::run::folder()?;
        let data = folder.path().join("data");
        fs::create_dir(&data)?;
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            chown(&data, Some(uid), Some(gid))?;
        }
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD)?;
        let mut init = command(&programs.join("initdb"), user, folder.path());
        init.arg("-D").arg(&data).args([
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        let made = init.arg("--pwfile").arg(&password).stdin(Stdio::null()).output()?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let port = free_port()?.port();
        let mut server = command(&programs.join("postgres"), user, folder.path());
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""]);
        let mut daemon = Daemon::spawn("postgres", &mut server, &folder.path().join("postgres.log"))?;
        let log = folder.path().join("postgres.log");
        let ready =
            async || fs::read_to_string(&log).ok()?.contains("ready to accept connections").then_some(());
        daemon.until("is ready", ready).await?;
        let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres");
        Ok(Self { daemon, url, _folder: folder })
    }

    /// Where to connect to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its processes.
    pub(crate) fn daemon(&self) -> &Daemon {
        &self.daemon
    }
}

/// The folder of `initdb` and `postgres`, of the newest version.
fn programs() -> Option<PathBuf> {
    if let Some(path) = program("initdb") {
        return path.parent().map(Path::to_owned);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let numbered =
        versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    numbered.max().map(|(_, path)| path.join("bin")).filter(|path| path.join("initdb").is_file())
}

/// PostgreSQL refuses to run as root: the user and group to run it as, where this is root.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody"))
}

fn command(program: &Path, user: Option<(u32, u32)>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}
