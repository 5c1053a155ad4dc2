//! What was found: every value of every figure, and the tables made of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use crate::goals;
use crate::machine::Machine;
use crate::measure::Figure;

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// Memory of idle tunnels.
    Idle,
    /// Throughput of one tunnel.
    BulkOne,
    /// Throughput of 32 tunnels.
    BulkMany,
    /// New connections.
    Connections,
    /// Absolute-form requests.
    Requests,
    /// Small messages at a steady pace.
    PingPong,
    /// Calls of the JSON API.
    Api,
    /// What a platform with static addresses costs at rest.
    Statics,
    /// How long it takes to be let in at them.
    Admission,
    /// Settlements at the pace of real traffic.
    Settle,
    /// Settlements as fast as they go.
    Capacity,
}

impl Table {
    /// What stands above it.
    fn title(self) -> &'static str {
        match self {
            Self::Idle => "Resident memory per idle tunnel",
            Self::BulkOne => "Throughput, 1 tunnel",
            Self::BulkMany => "Throughput, 32 tunnels",
            Self::Connections => "New connections (handshake, 1 KiB each way, close), 16 clients",
            Self::Requests => "GET of 1 KiB on kept connections, 16 clients",
            Self::PingPong => "Messages of 64 bytes there and back, 50 tunnels, 2,000 a second",
            Self::Api => "API calls, 8 clients",
            Self::Statics => "Static addresses: start-up and memory",
            Self::Admission => "Static addresses: from connecting to the first byte of CONNECT's answer",
            Self::Settle => "Settlements of active payers, at the pace of their traffic",
            Self::Capacity => "Settlements as fast as they go: one report after the other",
        }
    }

    /// Its name in the JSON file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::BulkOne => "bulk_1",
            Self::BulkMany => "bulk_32",
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::PingPong => "pingpong",
            Self::Api => "api",
            Self::Statics => "static",
            Self::Admission => "static_admission",
            Self::Settle => "settle",
            Self::Capacity => "capacity",
        }
    }

    /// Whether its rows are compared with the best peer by the first figure.
    fn is_compared(self) -> bool {
        !matches!(self, Self::Api | Self::Statics | Self::Admission | Self::Settle | Self::Capacity)
    }
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it is about.
    pub(crate) subject: String,
    /// Whether it is a proxy of others, that others are compared with.
    pub(crate) is_peer: bool,
    /// Where it stands: rows are shown by ascending rank.
    pub(crate) rank: usize,
}

#[derive(Debug)]
struct Found {
    row: Row,
    /// Every figure's values, in the order of the rounds.
    figures: Vec<(&'static str, Vec<f64>)>,
    /// What went wrong, in the order of the rounds.
    failures: Vec<String>,
}

/// All that was found.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Machine,
    what: String,
    tables: BTreeMap<Table, Vec<Found>>,
}

impl Report {
    /// Nothing yet, on a machine, by a run of that kind.
    pub(crate) fn new(machine: Machine, what: String) -> Self {
        Self { machine, what, tables: BTreeMap::new() }
    }

    /// Adds what one measurement of one round gave.
    pub(crate) fn add(&mut self, table: Table, row: &Row, result: Result<Vec<Figure>>) {
        let rows = self.tables.entry(table).or_default();
        let at = rows.iter().position(|found| found.row == *row).unwrap_or_else(|| {
            let at = rows.partition_point(|found| found.row.rank <= row.rank);
            rows.insert(at, Found { row: row.clone(), figures: Vec::new(), failures: Vec::new() });
            at
        });
        let Some(found) = rows.get_mut(at) else { return };
        match result {
            Ok(figures) => figures.into_iter().for_each(|figure| found.take(figure)),
            Err(error) => found.failures.push(format!("{error:#}")),
        }
    }

    /// All tables in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("# Tollgate beside other proxies\n\n");
        let _ = writeln!(text, "{}\n\n{}", self.what, self.machine.markdown());
        text += "Each figure is the median of the rounds, with its smallest and largest value in brackets. \
                 `× best` compares the first figure with the best of the other proxies, `× relay` with the \
                 bare relay.\n\n";
        text += &goals::markdown(self);
        for (table, rows) in &self.tables {
            text += "\n";
            text += &table_markdown(*table, rows);
        }
        text
    }

    /// The medians of a figure of every subject whose name begins so.
    pub(crate) fn medians(&self, table: Table, figure: &str, subject: &str) -> Vec<(&str, f64)> {
        let rows = self.tables.get(&table).into_iter().flatten();
        rows.filter(|found| found.row.subject.starts_with(subject))
            .filter_map(|found| Some((found.row.subject.as_str(), found.median(figure)?)))
            .collect()
    }

    /// The best of the other proxies by a figure, and its median.
    pub(crate) fn best_peer(&self, table: Table, figure: &str) -> Option<(&str, f64)> {
        let rows = self.tables.get(&table)?.iter().filter(|found| found.row.is_peer);
        rows.filter_map(|found| Some((found.row.subject.as_str(), found.median(figure)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// All values.
    pub(crate) fn json(&self) -> Value {
        let mut results = Vec::new();
        for (table, rows) in &self.tables {
            for found in rows {
                results.push(found.json(*table));
            }
        }
        json!({ "what": self.what, "machine": self.machine.json(), "results": results })
    }
}

impl Found {
    fn take(&mut self, figure: Figure) {
        match self.figures.iter_mut().find(|(name, _)| *name == figure.name) {
            Some((_, values)) => values.push(figure.value),
            None => self.figures.push((figure.name, vec![figure.value])),
        }
    }

    fn values(&self, name: &str) -> Option<&[f64]> {
        self.figures.iter().find(|(found, _)| *found == name).map(|(_, values)| values.as_slice())
    }

    fn median(&self, name: &str) -> Option<f64> {
        self.values(name).map(|values| Spread::of(values).median)
    }

    fn json(&self, table: Table) -> Value {
        let figures = self.figures.iter().map(|(name, values)| {
            let spread = Spread::of(values);
            let figure =
                json!({ "median": spread.median, "min": spread.min, "max": spread.max, "values": values });
            ((*name).to_owned(), figure)
        });
        let figures: serde_json::Map<String, Value> = figures.collect();
        json!({ "table": table.name(), "subject": self.row.subject, "figures": figures, "failures": self.failures })
    }
}

fn table_markdown(table: Table, rows: &[Found]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(|found| found.figures.iter().map(|(name, _)| *name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        // Room for what went wrong.
        names.push("");
    }
    let first = names.first().copied().unwrap_or_default();
    let median = |found: &Found| found.median(first);
    let peers = rows.iter().filter(|found| found.row.is_peer);
    let best =
        peers.filter_map(median).min_by(f64::total_cmp).filter(|best| table.is_compared() && *best > 0.0);
    let floor = rows.iter().find(|found| found.row.subject.starts_with("relay")).and_then(median);
    let floor = floor.filter(|floor| table.is_compared() && *floor > 0.0);
    let mut head = vec!["".to_owned()];
    head.extend(names.iter().map(|name| (*name).to_owned()));
    let ratios: Vec<(&str, f64)> = [("× best", best), ("× relay", floor)]
        .into_iter()
        .filter_map(|(name, other)| Some((name, other?)))
        .collect();
    for (at, (name, _)) in ratios.iter().enumerate() {
        head.insert(2 + at, (*name).to_owned());
    }
    let mut text =
        format!("## {}\n\n| {} |\n|{}\n", table.title(), head.join(" | "), "---|".repeat(head.len()));
    for found in rows {
        let mut cells = vec![found.row.subject.clone()];
        cells.extend(
            names
                .iter()
                .map(|name| found.values(name).map_or_else(String::new, |values| Spread::of(values).text())),
        );
        for (at, (_, other)) in ratios.iter().enumerate() {
            let ratio = median(found).map_or_else(String::new, |median| format!("{:.2}", median / other));
            cells.insert(2 + at, ratio);
        }
        if let (Some(failure), Some(cell)) = (found.failures.first(), cells.get_mut(1)) {
            let times = if found.figures.is_empty() {
                String::new()
            } else {
                format!(" ({} failed)", found.failures.len())
            };
            *cell = if times.is_empty() { one_line(failure) } else { format!("{cell}{times}") };
        }
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "/").chars().take(160).collect()
}

/// The middle and the ends of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let last = sorted.len().saturating_sub(1);
        // Of an even number of values the middle lies between two; both halves are the same one
        // of an odd number.
        Self { median: (at(last / 2) + at(sorted.len() / 2)) / 2.0, min: at(0), max: at(last) }
    }

    fn text(self) -> String {
        format!("{} ({}–{})", number(self.median), number(self.min), number(self.max))
    }
}

/// With as many digits as a reader can use.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::{Report, Row, Spread, Table};
    use crate::machine::Machine;
    use crate::measure::figure;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(&[7.0]).median, 7.0);
    }

    #[test]
    fn a_table_compares_with_the_best_peer_and_shows_what_failed() {
        let mut report = Report::new(Machine::default(), "test".to_owned());
        let row = |subject: &str, is_peer| Row { subject: subject.to_owned(), is_peer, rank: 0 };
        for (subject, is_peer, value) in
            [("ours", false, 1.0), ("slow", true, 4.0), ("fast", true, 2.0), ("floor", false, 0.5)]
        {
            report.add(Table::BulkOne, &row(subject, is_peer), Ok(vec![figure("CPU s per GiB", value)]));
        }
        report.add(Table::BulkOne, &row("gone", true), Err(anyhow!("not installed")));
        let markdown = report.markdown();
        assert!(markdown.contains("| ours | 1.00 (1.00–1.00) | 0.50 |"), "{markdown}");
        assert!(markdown.contains("| slow | 4.00 (4.00–4.00) | 2.00 |"), "{markdown}");
        assert!(markdown.contains("| gone | not installed |  |"), "{markdown}");
    }
}
