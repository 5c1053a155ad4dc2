//! A throw-away PostgreSQL: one cluster per test process, one database per test.
//!
//! The server must end with the process that started it, however that ends: the test harness
//! leaves by `exit`, which drops nothing, and a test may be killed. So the server is started by a
//! small shell that waits at the end of a pipe. The other end is held here and nowhere else
//! (Rust opens pipes close-on-exec), and the kernel closes it when this process is gone. The shell
//! then stops the server and removes its directory. It is in a process group of its own, where
//! Ctrl-C at the terminal does not reach it before its work is done.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tollgate_store::{Db, DbUrl, Options};
use tollgate_types::Time;

/// How long the server may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Addresses without a host in front: it is given as the socket's directory, behind the name.
const SCHEME: &str = "postgres:///";

/// The migrated database every other one is copied from.
const TEMPLATE: &str = "tollgate_template";

/// Starts the server `$1` with the arguments from `$3` on, and when its input ends, stops it and
/// removes the directory `$2`.
const KEEPER: &str = r#"
server=$1; directory=$2; shift 2
"$server" "$@" </dev/null >"$directory/log" 2>&1 &
pid=$!
while read -r _; do :; done
kill -QUIT "$pid"
wait "$pid"
cd / && rm -rf "$directory"
"#;

/// A running server.
struct Cluster {
    directory: PathBuf,
    /// Its end is the server's end.
    _keeper: ChildStdin,
}

/// An unprivileged user to run the server as, since it refuses to be run by root.
#[derive(Clone, Copy)]
struct Unprivileged {
    uid: u32,
    gid: u32,
}

/// Makes a database with the newest schema, on a server that is started where none runs yet, and
/// hands out its `postgres://` address. `None` where the environment says
/// `TOLLGATE_TEST_POSTGRES=skip`.
///
/// # Panics
/// Where there is no PostgreSQL, with a sentence that says what to install.
pub fn fresh_database() -> Option<String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let cluster = cluster()?;
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    demand(cluster.command(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")));
    Some(cluster.address(&name))
}

/// Makes an empty database, without any schema. `None` as with [`fresh_database`].
///
/// # Panics
/// As [`fresh_database`].
pub fn empty_database() -> Option<String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let cluster = cluster()?;
    let name = format!("empty_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    demand(cluster.command(&format!("CREATE DATABASE {name} TEMPLATE template0")));
    Some(cluster.address(&name))
}

/// Runs SQL as the server's administrator, beside whatever the tested program does.
///
/// # Panics
/// Where the server refuses it.
pub fn as_administrator(sql: &str) {
    if let Some(cluster) = cluster() {
        demand(cluster.command(sql));
    }
}

/// Removes a database made here, whoever is still connected to it.
pub(crate) fn drop_database(address: &str) {
    let name = address.strip_prefix(SCHEME).and_then(|rest| rest.split('?').next());
    if let (Some(cluster), Some(name)) = (cluster(), name) {
        // Called while a test unwinds, perhaps: a database left over goes with the cluster.
        let _ = cluster.command(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    }
}

#[expect(clippy::disallowed_methods, reason = "how whoever runs the tests says that there is no PostgreSQL")]
fn is_skipped() -> bool {
    std::env::var("TOLLGATE_TEST_POSTGRES").is_ok_and(|word| word == "skip")
}

fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    if is_skipped() {
        return None;
    }
    match CLUSTER.get_or_init(Cluster::start) {
        Ok(cluster) => Some(cluster),
        Err(why) => panic!("{why}"),
    }
}

fn demand<T>(result: Result<T, String>) -> T {
    match result {
        Ok(value) => value,
        Err(why) => panic!("the throw-away PostgreSQL failed: {why}"),
    }
}

impl Cluster {
    fn start() -> Result<Self, String> {
        let binaries = find_binaries()?;
        let user = unprivileged()?;
        let directory = make_directory(user)?;
        let data = directory.join("data");
        initialise(&binaries, &data, user)?;
        let keeper = start_server(&binaries, &directory, &data, user)?;
        let cluster = Self { directory, _keeper: keeper };
        cluster.wait_until_ready()?;
        cluster.make_template()?;
        Ok(cluster)
    }

    fn address(&self, database: &str) -> String {
        format!("{SCHEME}{database}?host={}&user=tollgate", self.directory.display())
    }

    /// On a thread of its own: the blocking client does not work where async tasks are driven.
    fn command(&self, sql: &str) -> Result<(), String> {
        let address = self.address("postgres");
        let run = || {
            let mut client =
                postgres::Client::connect(&address, postgres::NoTls).map_err(|e| describe(&e))?;
            client.batch_execute(sql).map_err(|e| describe(&e))
        };
        thread::scope(|scope| {
            scope.spawn(run).join().unwrap_or_else(|_| Err("the client panicked".to_owned()))
        })
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + START;
        while let Err(why) = self.command("SELECT 1") {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                return Err(format!("it did not start: {why}\n{log}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn make_template(&self) -> Result<(), String> {
        self.command(&format!("CREATE DATABASE {TEMPLATE} TEMPLATE template0"))?;
        let url: DbUrl = self.address(TEMPLATE).parse().map_err(|e| format!("{e}"))?;
        // Its workers connect when they are first needed, which is never.
        let migrated = Db::open(&url, Options::new(Time::from_micros(0)));
        migrated.map(drop).map_err(|e| e.to_string())
    }
}

fn describe(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Looks where the `PATH` leads, and where Debian keeps its versions, the newest last.
#[expect(clippy::disallowed_methods, reason = "looks for programs as a shell does")]
fn find_binaries() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    places.extend(versions.into_iter().rev());
    let complete = |place: &PathBuf| ["initdb", "postgres"].iter().all(|name| place.join(name).is_file());
    places.into_iter().find(complete).ok_or_else(|| {
        "these tests need PostgreSQL's initdb and postgres, in PATH or /usr/lib/postgresql/*/bin: install the \
         package `postgresql` (Debian, Ubuntu) or `postgresql-server` (Fedora), or set \
         TOLLGATE_TEST_POSTGRES=skip to leave PostgreSQL untested"
            .to_owned()
    })
}

/// Whom to become, where the tests are run by root.
fn unprivileged() -> Result<Option<Unprivileged>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|e| format!("/etc/passwd: {e}"))?;
    let found = ["postgres", "nobody"].iter().find_map(|name| user_called(&users, name));
    found.map(Some).ok_or_else(|| "neither the user `postgres` nor `nobody` exists".to_owned())
}

fn user_called(users: &str, name: &str) -> Option<Unprivileged> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (found, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (found == name).then_some(())?;
        Some(Unprivileged { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

/// The path is also the socket's, of which the system takes about a hundred bytes.
fn make_directory(user: Option<Unprivileged>) -> Result<PathBuf, String> {
    let here = std::env::temp_dir();
    let here = if here.as_os_str().len() > 60 { Path::new("/tmp") } else { here.as_path() };
    let made = tempfile::Builder::new().prefix("tollgate-pg-").tempdir_in(here);
    let directory = made.map_err(|e| format!("no temporary directory: {e}"))?.keep();
    let owned = user.map_or(Ok(()), |user| chown(&directory, Some(user.uid), Some(user.gid)));
    owned
        .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)))
        .map_err(|e| format!("{}: {e}", directory.display()))?;
    Ok(directory)
}

fn initialise(binaries: &Path, data: &Path, user: Option<Unprivileged>) -> Result<(), String> {
    let mut initdb = Command::new(binaries.join("initdb"));
    initdb.args(["--no-sync", "--username=tollgate", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
    initdb.arg("-D").arg(data);
    let output =
        run_as(&mut initdb, data, user).output().map_err(|e| format!("initdb cannot be run: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("initdb failed: {}", String::from_utf8_lossy(&output.stderr)))
}

fn start_server(
    binaries: &Path,
    directory: &Path,
    data: &Path,
    user: Option<Unprivileged>,
) -> Result<ChildStdin, String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", KEEPER, "keeper"]).arg(binaries.join("postgres")).arg(directory);
    shell.arg("-D").arg(data).arg("-k").arg(directory);
    for setting in [
        "listen_addresses=",
        "max_connections=200",
        "shared_buffers=32MB",
        "fsync=off",
        "full_page_writes=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "autovacuum=off",
        "deadlock_timeout=100ms",
    ] {
        shell.args(["-c", setting]);
    }
    // Whoever waits for the end of the tests' output must not wait for the keeper.
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let started = run_as(&mut shell, data, user).spawn();
    let mut keeper = started.map_err(|e| format!("/bin/sh cannot be run: {e}"))?;
    keeper.stdin.take().ok_or_else(|| "no pipe to the keeper".to_owned())
}

/// As the unprivileged user, from a directory which that user may enter.
fn run_as<'c>(command: &'c mut Command, data: &Path, user: Option<Unprivileged>) -> &'c mut Command {
    command.current_dir(data.parent().unwrap_or(Path::new("/")));
    match user {
        Some(Unprivileged { uid, gid }) => command.uid(uid).gid(gid),
        None => command,
    }
}
