//! On what and with what was measured.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::args::Options;
use crate::peers::PEERS;

/// A description of the machine and of the subjects' versions.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    facts: Vec<(&'static str, String)>,
    versions: Vec<(&'static str, String)>,
}

impl Machine {
    /// Looks at this one.
    pub(crate) fn look(options: &Options) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let facts = vec![
            ("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
            ("cores", cores.to_string()),
            ("CPU", field("/proc/cpuinfo", "model name")),
            ("memory", field("/proc/meminfo", "MemTotal")),
            ("kernel", said("uname", &["-sr"])),
            ("system", field_of("/etc/os-release", "PRETTY_NAME", '=').trim_matches('"').to_owned()),
        ];
        let mut versions =
            vec![("tollgate", version(&said(&options.tollgate.to_string_lossy(), &["--version"])))];
        versions.extend(PEERS.iter().map(|peer| {
            (peer.name, version(&said("dpkg-query", &["-W", "-f", "${Version}", peer.package])))
        }));
        Self { facts, versions }
    }

    /// For the head of the tables.
    pub(crate) fn markdown(&self) -> String {
        let list = |pairs: &[(&str, String)]| {
            let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name} {value}")).collect();
            pairs.join(" · ")
        };
        let mut text = String::new();
        let _ = writeln!(text, "{}\n\nVersions: {}", list(&self.facts), list(&self.versions));
        text
    }

    /// For the JSON file.
    pub(crate) fn json(&self) -> Value {
        let object = |pairs: &[(&str, String)]| -> Value {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect()
        };
        json!({ "facts": object(&self.facts), "versions": object(&self.versions) })
    }
}

fn version(said: &str) -> String {
    match said.lines().next().unwrap_or_default().trim() {
        "" => "not there".to_owned(),
        version => version.to_owned(),
    }
}

/// What a program says; nothing where it cannot be run.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn field(path: &str, name: &str) -> String {
    field_of(path, name, ':')
}

/// The value of the first line of that name.
fn field_of(path: &str, name: &str, separator: char) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(separator));
    lines
        .find(|(found, _)| found.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}
