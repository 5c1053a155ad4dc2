//! Programs that are run by tests, and what they need installed.
//!
//! Without curl, python3 or PyPI such tests fail and say what is missing; with
//! `TOLLGATE_TEST_CLIENTS=skip` in the environment they pass without having tested anything.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What the virtual environment holds.
const PACKAGES: [&str; 7] = [
    "requests==2.34.2",
    "PySocks==1.7.1",
    "aiohttp==3.14.5",
    "httpx[socks]==0.28.1",
    "pycurl==7.49.0",
    "h11==0.16.0",
    "httptools==0.9.0",
];

const MISSING: &str = "Install it (Debian: apt-get install curl wget python3 python3-venv), or set \
                       TOLLGATE_TEST_CLIENTS=skip";

#[expect(clippy::disallowed_methods, reason = "how whoever runs the tests says that there are no clients")]
pub(crate) fn are_skipped() -> bool {
    std::env::var("TOLLGATE_TEST_CLIENTS").is_ok_and(|word| word == "skip")
}

/// Runs a program to its end.
pub(crate) async fn run(command: Command, input: String) -> Output {
    let work = move || run_here(command, &input);
    tokio::task::spawn_blocking(work).await.expect("a program's end")
}

fn run_here(mut command: Command, input: &str) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(variable).env_remove(variable.to_uppercase());
    }
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{program} cannot be run ({error}). {MISSING}"));
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads its input");
    child.wait_with_output().expect("its own child can be waited for")
}

/// A Python with the packages in it, made on first use, by one test at a time.
pub(crate) async fn python() -> PathBuf {
    tokio::task::spawn_blocking(python_here).await.expect("a Python")
}

fn python_here() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-clients");
    let (python, installed) = (folder.join("bin").join("python"), folder.join("installed"));
    let lock = File::create(folder.with_extension("lock")).expect("a place for a lock");
    lock.lock().expect("a lock");
    let packages = PACKAGES.join("\n");
    if fs::read_to_string(&installed).is_ok_and(|those| those == packages) {
        return python;
    }
    let mut command = Command::new("python3");
    command.args(["-m", "venv", "--clear"]).arg(&folder);
    let made = run_here(command, "");
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "python3 makes no virtual environment: {said}\n{MISSING}");
    let mut command = Command::new(&python);
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    let answer = run_here(command, "");
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(
        answer.status.success(),
        "pip cannot install {PACKAGES:?}: {said}\nMake PyPI reachable, or set TOLLGATE_TEST_CLIENTS=skip"
    );
    fs::write(installed, packages).expect("a mark that all is installed");
    python
}
