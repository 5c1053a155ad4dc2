//! Runs the built program as its users do.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Nothing here may take longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program, with nothing of the outside's settings.
pub(crate) fn tollgate(arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOLLGATE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(settings.iter().copied()).stdin(Stdio::null());
    command
}

/// What a command says and how it ends.
pub(crate) fn run(arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    said(tollgate(arguments, settings).output().expect("the program runs"))
}

pub(crate) fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Settings of a server on a data directory, on free ports of loopback.
pub(crate) fn server_settings(data: &Path) -> Vec<(&'static str, &str)> {
    vec![
        ("TOLLGATE_DATA_DIR", data.to_str().expect("UTF-8")),
        ("TOLLGATE_API__LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_METRICS__LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_GATEWAY__LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_GATEWAY__RESIDENTIAL", ""),
        ("TOLLGATE_GATEWAY__DATACENTER", ""),
        ("TOLLGATE_GATEWAY__MOBILE", ""),
    ]
}

/// A program that runs until it is told to end.
pub(crate) struct Running {
    child: Child,
    /// Lines of standard output, or of standard error.
    lines: mpsc::Receiver<String>,
    rest: JoinHandle<String>,
}

impl Running {
    /// Starts `tollgate serve`; gives the line that says that it is ready.
    pub(crate) fn serve(arguments: &[&str], settings: &[(&str, &str)]) -> (Self, Value) {
        let arguments = [&["serve", "--log-format", "json"], arguments].concat();
        let mut child = tollgate(&arguments, settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = child.stderr.take().expect("its log");
        let mut running = Self::watch(child, log);
        let is_ready = |line: &str| line.contains("\"message\":\"ready\"");
        let line = running.line(is_ready);
        (running, serde_json::from_str(&line).expect("a line of JSON"))
    }

    /// Watches what a child says on one of its outputs; the other one is read too.
    pub(crate) fn watch(mut child: Child, said: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut other = child.stdout.take().map(|out| Box::new(out) as Box<dyn Read + Send>);
        other = other.or(child.stderr.take().map(|out| Box::new(out) as Box<dyn Read + Send>));
        let rest = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = other.map(|mut other| other.read_to_string(&mut text));
            text
        });
        Self { child, lines, rest }
    }

    /// The next line of which this holds.
    pub(crate) fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if wanted(&line) => return line,
                Ok(line) => seen = seen + &line + "\n",
                Err(error) => {
                    let _ = self.child.kill();
                    panic!("the program did not say it ({error}), but:\n{seen}");
                }
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("its own child can be signalled");
    }

    /// Waits for the end; gives also what the program said on its other output.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("its own child can be waited for") {
                return (status, self.rest.join().expect("what it said"));
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("the program did not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to end, and demands that it ends well.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, rest) = self.end();
        assert!(status.success(), "{status}");
        rest
    }
}

/// Asks again until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
