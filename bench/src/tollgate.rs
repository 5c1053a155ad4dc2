//! Tollgate itself: the built program as `serve` in a data directory of its own, filled through
//! its own APIs, as an operator and a customer would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::client::{ApiClient, Door, Login, Way};
use crate::measure::touch;
use crate::process::Daemon;

/// The data directory in a platform's folder.
const DATA: &str = "data";

/// The operator's token of every run.
const ADMIN_TOKEN: &str = "operator-token-of-a-benchmark-0123456789";

/// The password of every sub-account.
const PASSWORD: &str = "bench-password";

/// Every account gets so many cents …
const RECHARGE: i64 = 100_000_000;

/// … and a package of so many GB, at a cent each.
const PACKAGE_GB: i64 = 10_000;

/// How long a new sub-account may take to be known to the gateway.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(10);

/// A running platform.
#[derive(Debug)]
pub(crate) struct Tollgate {
    daemon: Daemon,
    addresses: Addresses,
    offer: i64,
    program: PathBuf,
    database_url: Option<String>,
    // Dropped last: the files go after the process.
    folder: TempDir,
}

#[derive(Debug, Clone, Copy)]
struct Addresses {
    api: SocketAddr,
    gateway: SocketAddr,
    metrics: SocketAddr,
}

impl Tollgate {
    /// Starts the program on a new database, with one exit that leaves directly and one package on
    /// sale; SQLite where no other database is named.
    pub(crate) async fn start(program: &Path, database_url: Option<&str>) -> Result<Self> {
        if !program.is_file() {
            bail!("not built: {} is missing", program.display());
        }
        let folder = crate::run::folder()?;
        std::fs::create_dir(folder.path().join(DATA))?;
        let (daemon, addresses) = spawn(program, folder.path(), database_url).await?;
        let (program, database_url) = (program.to_owned(), database_url.map(str::to_owned));
        let mut tollgate = Self { daemon, addresses, offer: 0, program, database_url, folder };
        tollgate.stock().await?;
        Ok(tollgate)
    }

    /// Ends the program in good order and starts it again on what it has; says how long the start
    /// took, until it was ready.
    pub(crate) async fn restart(&mut self) -> Result<Duration> {
        self.daemon.end();
        let start = Instant::now();
        let again = spawn(&self.program, self.folder.path(), self.database_url.as_deref()).await?;
        let took = start.elapsed();
        (self.daemon, self.addresses) = again;
        Ok(took)
    }

    async fn stock(&mut self) -> Result<()> {
        let mut admin = self.operator();
        let exit =
            json!({ "name": "direct", "proxy_type": "residential", "kind": "direct", "country": "US" });
        admin.post("/api/admin/exits", &exit).await?;
        let offer = json!({ "proxy_type": "residential", "traffic_gb": PACKAGE_GB, "price": 1, "duration": 30,
                            "plan_type": "personal", "plan_desc": "bench" });
        self.offer = id_of(&admin.post("/api/admin/traffic-packages", &offer).await?)?;
        Ok(())
    }

    /// Opens an account with money and a package; gives its API key.
    pub(crate) async fn account(&self, name: &str) -> Result<String> {
        let mut admin = self.operator();
        let account = json!({ "username": name, "email": format!("{name}@example.com"),
                              "res_price": 100, "dc_price": 100, "mobile_price": 100 });
        let made = admin.post("/api/admin/accounts", &account).await?;
        let (id, key) = (id_of(&made)?, made.get("api_key").and_then(Value::as_str).context("no api_key")?);
        let recharge = json!({ "amount": RECHARGE, "reference": format!("first-{name}") });
        admin.post(&format!("/api/admin/accounts/{id}/recharge"), &recharge).await?;
        let offer = self.offer;
        let purchase = format!(
            "/api/users/traffic/packages/purchase?traffic_package_id={offer}&payment_type=wallet_only"
        );
        self.api(key).get(&purchase).await?;
        Ok(key.to_owned())
    }

    /// The operator as a caller of the API.
    pub(crate) fn operator(&self) -> ApiClient {
        self.api(ADMIN_TOKEN)
    }

    /// A caller of the API with a key.
    pub(crate) fn api(&self, key: &str) -> ApiClient {
        ApiClient::new(self.addresses.api, key)
    }

    /// Where the API listens.
    pub(crate) fn api_address(&self) -> SocketAddr {
        self.addresses.api
    }

    /// Where metrics are.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.addresses.metrics
    }

    /// A way into the gateway as a sub-account.
    pub(crate) fn door(&self, way: Way, user: &str) -> Door {
        let login = Login { user: user.to_owned(), password: PASSWORD.to_owned() };
        Door { address: self.addresses.gateway, way, login: Some(login) }
    }

    /// Its process.
    pub(crate) fn daemon(&self) -> &Daemon {
        &self.daemon
    }
}

/// Creates a sub-account without limits.
pub(crate) async fn create_sub_account(api: &mut ApiClient, name: &str) -> Result<()> {
    let body = json!({ "username": name, "password": PASSWORD });
    api.post("/api/users/subuser/create", &body).await?;
    Ok(())
}

/// Waits until the gateway lets somebody in: a change reaches it a moment after it is made. Asks
/// seldom, because failed logins are held against the address that they come from.
pub(crate) async fn until_admitted(door: &Door, origin: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + DIRECTORY_PATIENCE;
    loop {
        match touch(door, origin).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context("the gateway does not let anybody in"));
            }
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Starts the program in a folder, and waits until it is ready.
async fn spawn(program: &Path, folder: &Path, database_url: Option<&str>) -> Result<(Daemon, Addresses)> {
    let log = folder.join("tollgate.log");
    let mut command = command(program, &folder.join(DATA), database_url);
    let mut daemon = Daemon::spawn("tollgate", &mut command, &log)?;
    let ready = async || std::fs::read_to_string(&log).ok()?.lines().find_map(addresses_of);
    let addresses = daemon.until("names its addresses", ready).await?;
    Ok((daemon, addresses))
}

fn command(program: &Path, data: &Path, database_url: Option<&str>) -> Command {
    let mut command = Command::new(program);
    // Only what is set here may decide what is measured.
    command.env_clear().args(["serve", "--log-format", "json"]);
    command.env("TOLLGATE_DATA_DIR", data);
    for (name, value) in [
        ("PATH", "/usr/bin:/bin"),
        ("TOLLGATE_ADMIN_TOKEN", ADMIN_TOKEN),
        ("TOLLGATE_API__LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_METRICS__LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_GATEWAY__LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_GATEWAY__RESIDENTIAL", ""),
        ("TOLLGATE_GATEWAY__DATACENTER", ""),
        ("TOLLGATE_GATEWAY__MOBILE", ""),
        ("TOLLGATE_GATEWAY__ALLOW_DESTINATIONS", "127.0.0.0/8,::1/128"),
        ("TOLLGATE_API__RATE_LIMIT", "0"),
    ] {
        command.env(name, value);
    }
    if let Some(url) = database_url {
        command.env("TOLLGATE_STORE__URL", url);
    }
    command
}

/// The addresses in the log line that announces readiness.
fn addresses_of(line: &str) -> Option<Addresses> {
    let line: Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| {
        let found = line.get(name).or_else(|| line.get("fields")?.get(name))?;
        found.as_str()?.split([',', ' ']).next()?.parse().ok()
    };
    Some(Addresses { api: field("api")?, gateway: field("gateway")?, metrics: field("metrics")? })
}

/// The id in what a call gave.
pub(crate) fn id_of(data: &Value) -> Result<i64> {
    data.get("id").and_then(Value::as_i64).with_context(|| format!("no id in {data}"))
}

#[cfg(test)]
mod tests {
    use super::addresses_of;

    #[test]
    fn addresses_are_found_in_either_place() {
        let flat = r#"{"level":"INFO","api":"127.0.0.1:1","gateway":"127.0.0.1:2, 127.0.0.1:4","metrics":"127.0.0.1:3"}"#;
        assert_eq!(addresses_of(flat).expect("addresses").gateway.port(), 2);
        let nested = r#"{"fields":{"api":"127.0.0.1:1","gateway":"127.0.0.1:2","metrics":"127.0.0.1:3"}}"#;
        assert_eq!(addresses_of(nested).expect("addresses").metrics.port(), 3);
        assert!(addresses_of("no json").is_none());
    }
}
