//! The whole platform for one story: the real program in a process of its own, on a database of
//! its own, with clients for its API and its gateway. Its end is an audit that must find nothing,
//! so that every story is also a test of money.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Api, ProxyUser};

/// How long the program may take to be ready, or to drain.
const PATIENCE: Duration = Duration::from_secs(60);

/// The operator's token in every world.
const ADMIN_TOKEN: &str = "operator-token-of-a-test-world-0123456789";

/// How a world is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program to run: `env!("CARGO_BIN_EXE_…")`.
    pub program: PathBuf,
    /// The store's URL; SQLite in the data directory where absent.
    pub database_url: Option<String>,
    /// Further settings, in their environment form.
    pub settings: Vec<(String, String)>,
    /// The sockets of the API and of the gateway, where the test keeps them open itself.
    pub sockets: Option<Arc<Sockets>>,
}

/// Sockets that are handed to the program at each start, as systemd does it, and that stay open
/// when it ends.
#[derive(Debug)]
pub struct Sockets {
    api: TcpListener,
    gateway: TcpListener,
}

impl Sockets {
    /// On free ports of 127.0.0.1.
    ///
    /// # Panics
    /// Where loopback cannot be listened on.
    pub fn bind() -> Arc<Self> {
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a listener");
        Arc::new(Self { api: bind(), gateway: bind() })
    }
}

impl Setup {
    /// The program with nothing special.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), database_url: None, settings: Vec::new(), sockets: None }
    }

    /// On another database.
    #[must_use]
    pub fn on(mut self, database_url: Option<String>) -> Self {
        self.database_url = database_url;
        self
    }

    /// On sockets that outlive the program.
    #[must_use]
    pub fn listening_on(mut self, sockets: &Arc<Sockets>) -> Self {
        self.sockets = Some(sockets.clone());
        self
    }

    /// With a setting, in its environment form; an earlier one of the same name gives way.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running platform.
#[derive(Debug)]
pub struct World {
    setup: Setup,
    data_dir: TempDir,
    process: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    api: SocketAddr,
    gateway: SocketAddr,
    metrics: SocketAddr,
}

/// A customer of a world.
#[derive(Debug, Clone)]
pub struct Customer {
    /// The account's id.
    pub id: i64,
    /// Its API key.
    pub key: String,
    /// Its API.
    pub api: Api,
}

impl World {
    /// Starts the program and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub fn start(setup: Setup) -> Self {
        let mut world = Self::asleep(setup);
        world.boot();
        world
    }

    /// A world that has a data directory and is not running yet.
    ///
    /// # Panics
    /// Where there is no room for the directory.
    pub fn asleep(setup: Setup) -> Self {
        Self { setup, data_dir: tempfile::tempdir().expect("a data directory"), process: None }
    }

    /// Another world, not running, with this one's master key and the backup in its database.
    ///
    /// # Panics
    /// Where the backup cannot be restored.
    pub fn restored(&self, backup: &Path, database_url: Option<String>) -> Self {
        let world = Self::asleep(self.setup.clone().on(database_url));
        self.give_key_to(&world);
        world.run(&["restore", backup.to_str().expect("a path in UTF-8")]);
        world
    }

    /// Gives another world this one's master key.
    ///
    /// # Panics
    /// Where there is none.
    pub fn give_key_to(&self, other: &Self) {
        let key = |world: &Self| world.data_dir.path().join("master-key");
        std::fs::copy(key(self), key(other)).expect("the master key can be copied");
    }

    /// Lets this world, while it is not running, use another database from now on.
    ///
    /// # Panics
    /// Where it is running.
    pub fn move_to(&mut self, database_url: Option<String>) {
        assert!(self.process.is_none(), "it is running");
        self.setup.database_url = database_url;
    }

    /// Starts the program again after [`World::kill`] or [`World::stop`].
    ///
    /// # Panics
    /// Where it does not become ready.
    pub fn boot(&mut self) {
        assert!(self.process.is_none(), "it is running");
        let mut command = self.server();
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("its log");
        let (ready, waiting) = mpsc::sync_channel(1);
        // The log is read to its end, so that the program never waits for room in the pipe.
        std::thread::spawn(move || {
            let mut log = String::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(addresses) = addresses_of(&line) {
                    let _ = ready.try_send(Ok(addresses));
                }
                if log.len() < 100_000 {
                    log += &line;
                    log.push('\n');
                }
                if std::option_env!("TOLLGATE_TEST_LOG").is_some() {
                    eprintln!("{line}");
                }
            }
            let _ = ready.try_send(Err(log));
        });
        match waiting.recv_timeout(PATIENCE) {
            Ok(Ok((api, gateway, metrics))) => self.process = Some(Running { child, api, gateway, metrics }),
            Ok(Err(log)) => panic!("the program ended before it was ready:\n{log}"),
            Err(_) => {
                let _ = child.kill();
                panic!("the program was not ready after {PATIENCE:?}");
            }
        }
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Where the API listens.
    pub fn api_address(&self) -> SocketAddr {
        self.running().api
    }

    /// The gateway's port without a type.
    pub fn gateway(&self) -> SocketAddr {
        self.running().gateway
    }

    /// Where metrics and health are.
    pub fn metrics(&self) -> SocketAddr {
        self.running().metrics
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// The operator's API.
    pub fn admin(&self) -> Api {
        Api::new(self.api_address(), ADMIN_TOKEN)
    }

    /// The API with a key, at the present address: it changes with every boot.
    pub fn api(&self, key: &str) -> Api {
        Api::new(self.api_address(), key)
    }

    /// A user of the gateway, with `user:password` or nothing.
    pub fn user(&self, credentials: &str) -> ProxyUser {
        ProxyUser { gateway: self.gateway(), credentials: credentials.to_owned() }
    }

    /// A new customer, with so many cents, paying 200, 100 and 400 cents per GB.
    pub async fn customer(&self, name: &str, cents: i64) -> Customer {
        let admin = self.admin();
        let body = json!({ "username": name, "email": format!("{name}@example.com"),
                           "res_price": 200, "dc_price": 100, "mobile_price": 400 });
        let made = admin.post("/api/admin/accounts", body).await;
        let (id, key) = (int(&made.data()["id"]), text(&made.data()["api_key"]));
        if cents > 0 {
            let body = json!({ "amount": cents, "reference": format!("first-{name}") });
            admin.post(&format!("/api/admin/accounts/{id}/recharge"), body).await.data();
        }
        Customer { id, api: self.api(&key), key }
    }

    /// A new sub-account of a customer; gives its id.
    pub async fn sub_account(&self, customer: &Customer, name: &str, password: &str, limit_gb: i64) -> i64 {
        let body = json!({ "username": name, "password": password, "res_traffic_limit": limit_gb,
                           "dc_traffic_limit": limit_gb, "mobile_traffic_limit": limit_gb });
        int(&self.api(&customer.key).post("/api/users/subuser/create", body).await.data()["id"])
    }

    /// An exit of kind `direct` that leaves from an address of loopback; gives its id.
    pub async fn exit(&self, name: &str, proxy_type: &str, country: &str, bind_ip: &str) -> i64 {
        let body = json!({ "name": name, "proxy_type": proxy_type, "kind": "direct",
                           "country": country, "bind_ip": bind_ip });
        int(&self.admin().post("/api/admin/exits", body).await.data()["id"])
    }

    /// A new package on sale; gives its id.
    pub async fn offer(&self, proxy_type: &str, traffic_gb: i64, price: i64) -> i64 {
        let body = json!({ "proxy_type": proxy_type, "traffic_gb": traffic_gb, "price": price, "duration": 30,
                           "plan_type": "personal", "plan_desc": "for a story" });
        int(&self.admin().post("/api/admin/traffic-packages", body).await.data()["id"])
    }

    /// Kills the program where it stands.
    ///
    /// # Panics
    /// Where it is not running.
    pub fn kill(&mut self) {
        let mut running = self.process.take().expect("it is running");
        running.child.kill().expect("its own child can be killed");
        running.child.wait().expect("its own child can be waited for");
    }

    /// Asks the program to end, waits until it has, and demands that it ended well.
    ///
    /// # Panics
    /// Where it does not end, or not with 0.
    pub fn stop(&mut self) {
        let mut running = self.process.take().expect("it is running");
        let pid = rustix::process::Pid::from_child(&running.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .expect("its own child can be signalled");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match running.child.try_wait().expect("its own child can be waited for") {
                Some(status) => return assert!(status.success(), "it ended with {status}"),
                None if Instant::now() > deadline => {
                    let _ = running.child.kill();
                    panic!("it did not drain within {PATIENCE:?}");
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Runs `tollgate audit` on the stopped world and demands that it finds nothing.
    ///
    /// # Panics
    /// Where it finds something.
    pub fn audit(&self) {
        self.run(&["audit"]);
    }

    /// Runs another command of the program in this world to its end, and demands that it succeeds;
    /// gives what it says.
    ///
    /// # Panics
    /// Where it fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the program runs");
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {}\n{said}", output.status);
        said
    }

    /// Runs another command of the program in this world.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.setup.program);
        command.args(arguments).stdin(Stdio::null());
        self.set_environment(&mut command);
        command
    }

    fn set_environment(&self, command: &mut Command) {
        let address = |socket: fn(&Sockets) -> &TcpListener| {
            let bound = self.setup.sockets.as_ref().map(|sockets| socket(sockets).local_addr());
            bound.map_or("127.0.0.1:0".to_owned(), |bound| bound.expect("its address").to_string())
        };
        let (api, gateway) = (address(|sockets| &sockets.api), address(|sockets| &sockets.gateway));
        for (name, value) in [
            ("TOLLGATE_DATA_DIR", self.data_dir.path().to_str().expect("a path in UTF-8")),
            ("TOLLGATE_ADMIN_TOKEN", ADMIN_TOKEN),
            ("TOLLGATE_API__LISTEN", api.as_str()),
            ("TOLLGATE_METRICS__LISTEN", "127.0.0.1:0"),
            ("TOLLGATE_GATEWAY__LISTEN", gateway.as_str()),
            ("TOLLGATE_GATEWAY__RESIDENTIAL", ""),
            ("TOLLGATE_GATEWAY__DATACENTER", ""),
            ("TOLLGATE_GATEWAY__MOBILE", ""),
            ("TOLLGATE_GATEWAY__ALLOW_DESTINATIONS", "127.0.0.0/8,::1/128"),
            ("TOLLGATE_API__ALLOW_PRIVATE_WHITELIST", "true"),
            ("TOLLGATE_API__RATE_LIMIT", "0"),
        ] {
            command.env(name, value);
        }
        if let Some(url) = &self.setup.database_url {
            command.env("TOLLGATE_STORE__URL", url);
        }
        command.envs(self.setup.settings.iter().map(|(name, value)| (name, value)));
    }

    fn server(&self) -> Command {
        let arguments = ["serve", "--log-format", "json"];
        let Some(sockets) = &self.setup.sockets else {
            let mut command = self.command(&arguments);
            command.stdout(Stdio::null());
            return command;
        };
        // A shell moves them to where `sd_listen_fds(3)` has them, and becomes the program.
        let hand_over = "exec 3<&0 4>&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\"";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", hand_over]).arg(&self.setup.program).args(arguments);
        self.set_environment(&mut command);
        command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "api:gateway");
        let pass = |socket: &TcpListener| {
            Stdio::from(OwnedFd::from(socket.try_clone().expect("a descriptor of the socket")))
        };
        command.stdin(pass(&sockets.api)).stdout(pass(&sockets.gateway));
        command
    }

    fn running(&self) -> &Running {
        self.process.as_ref().expect("it is running")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(mut running) = self.process.take() {
                let _ = running.child.kill();
                let _ = running.child.wait();
            }
            return;
        }
        if self.process.is_some() {
            self.stop();
        }
        self.audit();
    }
}

/// Waits until something holds, asking again and again, with a deadline.
///
/// # Panics
/// Where it does not hold in time.
pub async fn eventually<F: Future<Output = Option<T>>, T>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The addresses in the log line that announces readiness.
fn addresses_of(line: &str) -> Option<(SocketAddr, SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| {
        let found = line.get(name).or_else(|| line.get("fields")?.get(name))?;
        found.as_str()?.split([',', ' ']).next()?.parse().ok()
    };
    Some((field("api")?, field("gateway")?, field("metrics")?))
}

/// A number of an answer.
///
/// # Panics
/// Where it is none.
pub fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no integer: {value}"))
}

/// A text of an answer.
///
/// # Panics
/// Where it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
