//! The daemons under test: starting and ending them, and what the kernel says they cost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getpid, getrlimit, kill_process, set_child_subreaper,
    setrlimit, waitpid,
};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long a daemon may take to answer on its port.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long a daemon may take to end when asked, before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What a tick of `/proc/PID/stat` stands for: Linux shows user space 100 a second everywhere.
const TICK: Duration = Duration::from_millis(10);

/// How often the end of something is looked for.
const GLANCE: Duration = Duration::from_millis(25);

/// How often a daemon that starts is looked at: often enough to say how long that takes.
const START_GLANCE: Duration = Duration::from_millis(2);

/// Makes this process inherit what daemons leave behind, so that nothing of them stays, not even
/// an entry in the table of processes.
pub(crate) fn adopt_orphans() -> Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// More descriptors than this are asked for by nobody here, and some daemons walk through all that
/// they may have.
const MOST_DESCRIPTORS: u64 = 65_536;

/// Raises the number of descriptors that this process and the daemons may have at least to what the
/// system allows without asking, and gives it.
pub(crate) fn raise_descriptors() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(MOST_DESCRIPTORS).min(MOST_DESCRIPTORS);
    if limit.current.is_some_and(|current| current < allowed) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum })?;
    }
    Ok(allowed)
}

/// A child process with all its descendants. Ended when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    name: String,
    log: PathBuf,
    ended: bool,
}

impl Daemon {
    /// Starts a daemon that stays in the foreground; what it says goes to `log`.
    pub(crate) fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name: name.to_owned(), log: log.to_owned(), ended: false })
    }

    /// Waits until it accepts connections.
    pub(crate) async fn answers(&mut self, address: SocketAddr) -> Result<()> {
        self.until("answers on its port", async || TcpStream::connect(address).await.ok()).await?;
        Ok(())
    }

    /// Waits until something about it holds, as long as it lives.
    pub(crate) async fn until<T>(&mut self, what: &str, ask: impl AsyncFnMut() -> Option<T>) -> Result<T> {
        self.until_within(START_PATIENCE, START_GLANCE, what, ask).await
    }

    /// The same within another time, looking at it as often as is said.
    pub(crate) async fn until_within<T>(
        &mut self,
        patience: Duration,
        glance: Duration,
        what: &str,
        mut ask: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            // Before it is asked: what it says last counts, too.
            let ended = self.child.try_wait()?;
            if let Some(found) = ask().await {
                return Ok(found);
            }
            if let Some(status) = ended {
                bail!("{} ended with {status} before it {what}: {}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("{} after {patience:?}: not yet so that it {what}: {}", self.name, self.last_words());
            }
            sleep(glance).await;
        }
    }

    /// Where what it says goes.
    pub(crate) fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it wrote to its log so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// Processor time used so far by all its processes and threads, ended ones included, in steps
    /// of 10 ms.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: u32 = self.tree().iter().map(|process| process.ticks).sum();
        TICK * ticks
    }

    /// The same once it has come to rest: two looks in a row, a little apart, see no change.
    pub(crate) async fn cpu_at_rest(&self) -> Duration {
        let mut before = self.cpu();
        for _ in 0..20 {
            sleep(GLANCE * 2).await;
            let now = self.cpu();
            if now == before {
                break;
            }
            before = now;
        }
        before
    }

    /// Resident memory of all its processes in bytes. A page shared by several of them is counted
    /// once (`Pss`), so that a daemon that forks is not charged for what it has only once.
    pub(crate) fn memory(&self) -> u64 {
        self.tree().iter().filter_map(|process| resident(process.pid)).sum()
    }

    /// The same once it has come to rest: it changes by no more than a few pages.
    pub(crate) async fn memory_at_rest(&self) -> u64 {
        let mut before = self.memory();
        for _ in 0..20 {
            sleep(Duration::from_millis(150)).await;
            let now = self.memory();
            if now.abs_diff(before) <= 16 * 1024 {
                break;
            }
            before = now;
        }
        self.memory()
    }

    /// The daemon's process and all below it.
    fn tree(&self) -> Vec<Process> {
        let everyone = processes();
        let mut family = BTreeSet::from([self.child.id()]);
        // A child's number may be lower than its parent's, so go on until nobody is added.
        loop {
            let known = family.len();
            let found = everyone
                .values()
                .filter(|process| family.contains(&process.parent))
                .map(|process| process.pid);
            let found: Vec<u32> = found.collect();
            family.extend(found);
            if family.len() == known {
                break;
            }
        }
        family.iter().filter_map(|pid| everyone.get(pid).copied()).collect()
    }

    /// Asks the daemon to end, waits a little, and kills what is left of it and of its descendants.
    /// Once: its number may be somebody else's afterwards.
    pub(crate) fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let family = self.tree();
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP_PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let left = processes();
        for process in family.iter().filter(|process| process.pid != self.child.id()) {
            // The same number with another start time would be somebody else by now.
            let same = left.get(&process.pid).is_some_and(|left| left.started == process.started);
            if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw).filter(|_| same) {
                let _ = kill_process(pid, Signal::KILL);
                // Orphans fall to this process, see `adopt_orphans`; those of others are not ours
                // to wait for, and the call says so at once.
                let _ = waitpid(Some(pid), WaitOptions::empty());
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// One line of `/proc/PID/stat`, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    /// Of the process with its ended threads, and of its ended children that it waited for.
    ticks: u32,
    /// When it started, in ticks since boot.
    started: u64,
}

fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.filter_map(|pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?));
    found.map(|process| (process.pid, process)).collect()
}

/// `proc_pid_stat(5)`: the name in brackets may hold blanks and brackets, so fields are counted
/// from the last one.
fn parse_stat(line: &str) -> Option<Process> {
    let (head, rest) = line.rsplit_once(')')?;
    let pid = head.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Field 3 of the manual is the first here.
    let field = |number: usize| fields.get(number - 3);
    let ticks = |number| field(number).and_then(|text| text.parse::<u32>().ok());
    Some(Process {
        pid,
        parent: field(4)?.parse().ok()?,
        ticks: ticks(14)? + ticks(15)? + ticks(16)? + ticks(17)?,
        started: field(22)?.parse().ok()?,
    })
}

/// The proportional resident memory of a process in bytes; plain resident where the kernel does
/// not say.
fn resident(pid: u32) -> Option<u64> {
    let kibibytes = |path: String, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line =
            text.lines().find_map(|line| line.strip_prefix(name))?.trim_end_matches("kB").trim().to_owned();
        line.parse::<u64>().ok()
    };
    let found = kibibytes(format!("/proc/{pid}/smaps_rollup"), "Pss:")
        .or_else(|| kibibytes(format!("/proc/{pid}/status"), "VmRSS:"));
    Some(found? * 1024)
}

/// A port of 127.0.0.1 that nobody listens on just now.
pub(crate) fn free_port() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program of that name in the usual folders, the administrator's included.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::{Process, parse_stat, processes};

    #[test]
    fn a_stat_line_with_an_awkward_name() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 98765 1 2 3";
        assert_eq!(parse_stat(line), Some(Process { pid: 42, parent: 7, ticks: 124, started: 98765 }));
    }

    #[test]
    fn this_process_is_among_them() {
        assert!(processes().contains_key(&std::process::id()));
    }
}
