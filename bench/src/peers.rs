//! The proxies that Tollgate is measured beside, from Debian's packages, each in the foreground on
//! a port of its own, with a configuration written for the run: credentials where it can check
//! them without changing the system, logs off, limits high enough, nothing else tuned.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::client::{Door, Login, Way};
use crate::process::{Daemon, free_port, program};

/// The credentials that every peer is given.
pub(crate) const USER: &str = "bench";

/// Its password.
pub(crate) const PASSWORD: &str = "bench-password";

/// [`PASSWORD`] as Apache's tools hash it, for squid's helper.
const PASSWORD_APR1: &str = "$apr1$benchbch$/ezqANLrd4boPSofX0gCj1";

/// A proxy that can be installed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// What it is called here.
    pub(crate) name: &'static str,
    /// Debian's package.
    pub(crate) package: &'static str,
    /// Its program.
    program: &'static str,
    /// How its clients ask.
    way: Way,
    /// Whether it checks credentials here.
    login: bool,
    /// Whether it takes absolute-form requests.
    pub(crate) http: bool,
    /// Writes the configuration into a folder and says how to start it.
    configure: fn(&Setup<'_>, &mut Command) -> Result<()>,
}

/// What a configuration needs to know.
#[derive(Debug)]
struct Setup<'a> {
    folder: &'a Path,
    listen: SocketAddr,
    origin: SocketAddr,
}

/// All of them, in the order in which they take turns.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: "tinyproxy",
        package: "tinyproxy",
        program: "tinyproxy",
        way: Way::Connect,
        login: true,
        http: true,
        configure: tinyproxy,
    },
    Peer {
        name: "squid",
        package: "squid",
        program: "squid",
        way: Way::Connect,
        login: true,
        http: true,
        configure: squid,
    },
    Peer {
        name: "dante",
        package: "dante-server",
        program: "danted",
        way: Way::Socks5,
        login: false,
        http: false,
        configure: dante,
    },
    Peer {
        name: "microsocks",
        package: "microsocks",
        program: "microsocks",
        way: Way::Socks5,
        login: true,
        http: false,
        configure: microsocks,
    },
    Peer {
        name: "haproxy",
        package: "haproxy",
        program: "haproxy",
        way: Way::Straight,
        login: false,
        http: false,
        configure: haproxy,
    },
];

impl Peer {
    /// Whether it is a proxy, and not a mere relay.
    pub(crate) fn is_proxy(&self) -> bool {
        self.way != Way::Straight
    }

    /// Whether its program is there.
    pub(crate) fn is_installed(&self) -> bool {
        program(self.program).is_some()
    }

    /// Starts it, with a folder to itself, and waits until it answers.
    pub(crate) async fn start(&self, folder: &Path, origin: SocketAddr) -> Result<(Daemon, Door)> {
        let program = program(self.program).with_context(|| format!("{} is not installed", self.name))?;
        let listen = free_port()?;
        let mut command = Command::new(program);
        (self.configure)(&Setup { folder, listen, origin }, &mut command)?;
        let mut daemon = Daemon::spawn(self.name, &mut command, &folder.join("output.log"))?;
        daemon.answers(listen).await?;
        let login = self.login.then(|| Login { user: USER.to_owned(), password: PASSWORD.to_owned() });
        Ok((daemon, Door { address: listen, way: self.way, login }))
    }
}

/// Installs the missing ones with apt-get.
pub(crate) fn install() -> Result<()> {
    let missing: Vec<&str> =
        PEERS.iter().filter(|peer| !peer.is_installed()).map(|peer| peer.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    apt_get(&["update", "-qq"])?;
    apt_get(&[&["install", "-y", "--no-install-recommends"][..], &missing].concat())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    // The services that the packages bring are not wanted; a run level that is none keeps most
    // machines' hooks from starting them.
    let mut command = Command::new("apt-get");
    let status =
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").status();
    match status.context("cannot run apt-get")? {
        status if status.success() => Ok(()),
        status => bail!("apt-get {} ended with {status}; it needs root", arguments.join(" ")),
    }
}

fn tinyproxy(setup: &Setup<'_>, command: &mut Command) -> Result<()> {
    let file = setup.folder.join("tinyproxy.conf");
    let port = setup.listen.port();
    fs::write(
        &file,
        format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 5000\nLogLevel Critical\n\
             BasicAuth {USER} {PASSWORD}\n"
        ),
    )?;
    command.arg("-d").arg("-c").arg(file);
    Ok(())
}

fn squid(setup: &Setup<'_>, command: &mut Command) -> Result<()> {
    let folder = setup.folder.display();
    let helper = ["/usr/lib/squid/basic_ncsa_auth", "/usr/lib64/squid/basic_ncsa_auth"];
    let helper =
        helper.iter().find(|path| Path::new(path).is_file()).context("squid's basic_ncsa_auth is missing")?;
    fs::write(setup.folder.join("passwords"), format!("{USER}:{PASSWORD_APR1}\n"))?;
    // It gives up root for the user of its package, who must be able to write its log.
    fs::write(setup.folder.join("cache.log"), "")?;
    let file = setup.folder.join("squid.conf");
    fs::write(
        &file,
        format!(
            "http_port {}\nvisible_hostname bench\npid_filename none\ncoredump_dir none\npinger_enable off\n\
             auth_param basic program {helper} {folder}/passwords\n\
             auth_param basic children 2 startup=1 idle=1\nauth_param basic credentialsttl 2 hours\n\
             acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n\
             cache deny all\naccess_log none\ncache_log /dev/null\ncache_store_log none\n\
             shutdown_lifetime 0 seconds\nmax_filedescriptors 16384\n",
            setup.listen
        ),
    )?;
    command.arg("-N").arg("-f").arg(file);
    Ok(())
}

/// Its passwords are those of the system's users, which a benchmark does not add to: it runs
/// without, which is in its favour.
fn dante(setup: &Setup<'_>, command: &mut Command) -> Result<()> {
    let file = setup.folder.join("danted.conf");
    let users = match rustix::process::geteuid().is_root() {
        true => "user.privileged: root\nuser.unprivileged: nobody\n",
        false => "",
    };
    fs::write(
        &file,
        format!(
            "logoutput: /dev/null\ninternal: 127.0.0.1 port = {}\nexternal: 127.0.0.1\n\
             clientmethod: none\nsocksmethod: none\n{users}\
             client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n\
             socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 command: connect }}\n",
            setup.listen.port()
        ),
    )?;
    command.arg("-f").arg(file).arg("-p").arg(setup.folder.join("danted.pid"));
    Ok(())
}

fn microsocks(setup: &Setup<'_>, command: &mut Command) -> Result<()> {
    let port = setup.listen.port().to_string();
    command.args(["-i", "127.0.0.1", "-p", &port, "-u", USER, "-P", PASSWORD]);
    // Older ones always write a line for each connection.
    let help = Command::new(command.get_program()).arg("-h").output()?;
    if [help.stdout, help.stderr].concat().windows(9).any(|window| window == b"option -q") {
        command.arg("-q");
    }
    Ok(())
}

fn haproxy(setup: &Setup<'_>, command: &mut Command) -> Result<()> {
    let file = setup.folder.join("haproxy.cfg");
    fs::write(
        &file,
        format!(
            "global\n  maxconn 5000\ndefaults\n  mode tcp\n  option splice-auto\n  timeout connect 5s\n\
             \x20 timeout client 600s\n  timeout server 600s\nlisten bench\n  bind {}\n  server origin {}\n",
            setup.listen, setup.origin
        ),
    )?;
    command.arg("-db").arg("-f").arg(file);
    Ok(())
}
