//! Node, where there is one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The last that Node 18 runs.
const UNDICI: &str = "undici@6.29.1";

/// Says what is not tested, where it can be read of a test that passes, too.
pub(crate) fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "note: {what}");
}

/// The folder with undici in it, made on first use; `None` where there is no Node or npm.
pub(crate) async fn node_modules() -> Option<PathBuf> {
    tokio::task::spawn_blocking(install).await.expect("a folder")
}

fn install() -> Option<PathBuf> {
    let works = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !works("node") || !works("npm") {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node-clients");
    fs::create_dir_all(&folder).expect("a folder");
    let lock = File::create(folder.join("lock")).expect("a place for a lock");
    lock.lock().expect("a lock");
    let (modules, installed) = (folder.join("node_modules"), folder.join("installed"));
    if fs::read_to_string(&installed).is_ok_and(|those| those == UNDICI) {
        return Some(modules);
    }
    let mut command = Command::new("npm");
    command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    let output = command.arg(&folder).arg(UNDICI).output().expect("npm can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let advice = "Make the npm registry reachable, or set TOLLGATE_TEST_CLIENTS=skip";
    assert!(output.status.success(), "npm cannot install {UNDICI}: {said}\n{advice}");
    fs::write(installed, UNDICI).expect("a mark that all is installed");
    Some(modules)
}
