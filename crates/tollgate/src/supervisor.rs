//! What a supervisor hands to the program, and what it is told: listening sockets that it keeps open
//! while the program restarts, and how far the program's life has got. The protocols are systemd's
//! (`sd_listen_fds(3)`, `sd_notify(3)`); others speak them, too.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use anyhow::Context as _;
use listenfd::ListenFd;
use tollgate_gateway::Inherited;

/// Takes over the listening sockets that were passed (`LISTEN_FDS`), for this process or for any
/// (`LISTEN_PID`), and takes them out of the environment. Each is logged with the name that it was
/// given (`LISTEN_FDNAMES`). To be called once, before there are threads.
///
/// # Errors
/// A socket that cannot be used.
pub fn inherited_sockets(environment: &[(OsString, OsString)]) -> anyhow::Result<Inherited> {
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 && find(environment, "LISTEN_FDS").is_some() {
        tracing::warn!("LISTEN_FDS is meant for another process, for LISTEN_PID is not this one's");
    }
    let names = find(environment, "LISTEN_FDNAMES").map(OsStr::to_string_lossy).unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or_default();
        match passed.take_tcp_listener(index) {
            Ok(Some(socket)) if is_listening(&socket) => {
                tracing::info!(name, address = %socket.local_addr()?, "a listening socket was inherited");
                sockets.push(socket);
            }
            Ok(_) => tracing::warn!(name, "an inherited socket is closed, for it does not listen"),
            Err(error) => tracing::warn!(name, %error, "what was inherited is of no use here"),
        }
    }
    Inherited::new(sockets).context("an inherited socket cannot be used")
}

fn is_listening(socket: &TcpListener) -> bool {
    rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
}

/// Who started the program and wants to hear of it, if anybody.
#[derive(Debug, Default)]
pub struct Supervisor {
    ear: Option<UnixDatagram>,
    /// How long it may hear nothing before it takes the program for dead.
    patience: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names (`NOTIFY_SOCKET`, `WATCHDOG_USEC`).
    pub fn find(environment: &[(OsString, OsString)]) -> Self {
        let ear = find(environment, "NOTIFY_SOCKET").and_then(|address| match connect(address) {
            Ok(ear) => Some(ear),
            Err(error) => {
                tracing::warn!(%error, "the supervisor cannot be told anything");
                None
            }
        });
        let number = |name| find(environment, name)?.to_str()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let patience = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0);
        Self { ear, patience: patience.map(Duration::from_micros) }
    }

    /// The program can be reached.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The program drains.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells it, twice as often as it wants to hear so, that the program is alive. Does not return.
    pub async fn keep_telling(&self) -> Infallible {
        let Some(patience) = self.patience else { return std::future::pending().await };
        let mut tick = tokio::time::interval(patience / 2);
        loop {
            tick.tick().await;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, what: &str) {
        let Some(ear) = &self.ear else { return };
        if let Err(error) = ear.send(what.as_bytes()) {
            tracing::warn!(%error, what, "the supervisor was not told");
        }
    }
}

/// A socket whose name begins with `@` is in no folder.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let ear = UnixDatagram::unbound()?;
    // Whoever does not listen does not hold up the program.
    ear.set_nonblocking(true)?;
    ear.connect_addr(&address)?;
    Ok(ear)
}

fn find<'e>(environment: &'e [(OsString, OsString)], name: &str) -> Option<&'e OsStr> {
    environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn heard(ear: &UnixDatagram) -> String {
        let mut heard = [0; 64];
        let count = ear.recv(&mut heard).expect("a datagram");
        String::from_utf8_lossy(&heard[..count]).into_owned()
    }

    #[test]
    fn a_supervisor_hears_of_the_programs_life_at_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("tollgate-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
        let ears = [
            (path.to_str().expect("UTF-8").to_owned(), UnixDatagram::bind(&path)),
            (format!("@{name}"), UnixDatagram::bind_addr(&abstract_name)),
        ];
        for (address, ear) in ears {
            let ear = ear.expect("an ear");
            let supervisor = Supervisor::find(&environment(&[("NOTIFY_SOCKET", &address)]));
            supervisor.ready();
            supervisor.stopping();
            assert_eq!([heard(&ear), heard(&ear)], ["READY=1", "STOPPING=1"], "{address}");
        }
        let nobody = Supervisor::find(&environment(&[("NOTIFY_SOCKET", "/nowhere/at/all")]));
        assert!(nobody.ear.is_none());
        nobody.ready();
    }

    #[tokio::test(start_paused = true)]
    async fn a_watchdog_is_told_in_time_where_this_process_is_meant() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let ear = UnixDatagram::bind(&path).expect("an ear");
        let own = std::process::id().to_string();
        let settings = |pid| {
            environment(&[
                ("NOTIFY_SOCKET", path.to_str().expect("UTF-8")),
                ("WATCHDOG_USEC", "2000000"),
                ("WATCHDOG_PID", pid),
            ])
        };
        let supervisor = Supervisor::find(&settings(&own));
        let within = tokio::time::timeout(Duration::from_millis(2500), supervisor.keep_telling());
        assert!(within.await.is_err());
        assert_eq!([heard(&ear), heard(&ear), heard(&ear)], ["WATCHDOG=1"; 3], "at 0, 1 and 2 seconds");
        assert!(Supervisor::find(&settings("1")).patience.is_none());
    }
}
