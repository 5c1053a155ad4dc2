//! What was found: every value of every figure, and the tables made of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use crate::goals;
use crate::machine::Machine;
use crate::measure::Figure;
use crate::table::{Kind, Row, Table};

/// What was found for a row.
#[derive(Debug)]
pub(crate) struct Found {
    /// The row.
    pub(crate) row: Row,
    /// Every figure's values, in the order of the rounds.
    figures: Vec<(&'static str, Vec<f64>)>,
    /// What went wrong, in the order of the rounds.
    pub(crate) failures: Vec<String>,
}

/// The rows of each table.
pub(crate) type Tables = BTreeMap<Table, Vec<Found>>;

/// All that was found.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Machine,
    what: String,
    tables: Tables,
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
        text += &goals::markdown(&goals::judge(&self.tables));
        text += "\nBelow, each figure is the median of the rounds, with its smallest and largest value in \
                 brackets. `× best` compares the first figure with the best of the other proxies, `× relay` \
                 with the bare relay.\n";
        for (table, rows) in &self.tables {
            text += "\n";
            text += &table_markdown(*table, rows);
        }
        text
    }

    /// All values.
    pub(crate) fn json(&self) -> Value {
        let mut results = Vec::new();
        for (table, rows) in &self.tables {
            for found in rows {
                results.push(found.json(*table));
            }
        }
        let goals = goals::json(&goals::judge(&self.tables));
        json!({ "what": self.what, "machine": self.machine.json(), "goals": goals, "results": results })
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

    /// The middle of a figure's values.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
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

/// The best median of a figure among the peers, with whose it is.
pub(crate) fn best_peer<'a>(rows: &'a [Found], figure: &str) -> Option<(f64, &'a str)> {
    let peers = rows.iter().filter(|found| found.row.kind == Kind::Peer);
    let medians = peers.filter_map(|found| Some((found.median(figure)?, found.row.subject.as_str())));
    medians.filter(|(median, _)| *median > 0.0).min_by(|(one, _), (other, _)| one.total_cmp(other))
}

/// The bare relay's median of a figure.
pub(crate) fn bare_relay(rows: &[Found], figure: &str) -> Option<f64> {
    let mut relays = rows.iter().filter(|found| found.row.kind == Kind::Relay);
    relays.find_map(|found| found.median(figure)).filter(|median| *median > 0.0)
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
    let best = best_peer(rows, first).map(|(best, _)| ("× best", best));
    let relay = bare_relay(rows, first).map(|relay| ("× relay", relay));
    let best = best.filter(|_| table.beside_peers());
    let others: Vec<(&str, f64)> = best.into_iter().chain(relay.filter(|_| table.beside_relay())).collect();
    let mut head = vec![""];
    head.extend(&names);
    head.splice(2..2, others.iter().map(|(name, _)| *name));
    let mut lines = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|found| cells(found, &names, &others)));
    if table.is_upright() {
        lines = turned(&lines);
    }
    let mut text = format!("## {}\n\n", table.title());
    for (number, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "| {} |", line.join(" | "));
        if number == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(line.len()));
        }
    }
    if let Some(note) = table.note() {
        let _ = writeln!(text, "\n{note}");
    }
    text
}

/// The cells of a row: its name, its first figure, how that compares with others', the rest.
fn cells(found: &Found, names: &[&str], others: &[(&str, f64)]) -> Vec<String> {
    let figure =
        |name: &&str| found.values(name).map_or_else(String::new, |values| Spread::of(values).text());
    let mut cells = vec![found.row.subject.clone()];
    cells.extend(names.iter().map(figure));
    let median = names.first().and_then(|first| found.median(first));
    let ratio = |other: f64| median.map_or_else(String::new, |median| format!("{:.2}", median / other));
    cells.splice(2..2, others.iter().map(|(_, other)| ratio(*other)));
    if let (Some(failure), Some(cell)) = (found.failures.first(), cells.get_mut(1)) {
        *cell = match found.figures.is_empty() {
            true => one_line(failure),
            false => format!("{cell} ({} failed)", found.failures.len()),
        };
    }
    cells
}

/// Rows as columns.
fn turned(lines: &[Vec<String>]) -> Vec<Vec<String>> {
    let width = lines.iter().map(Vec::len).max().unwrap_or_default();
    let column = |at: usize| lines.iter().map(|line| line.get(at).cloned().unwrap_or_default()).collect();
    (0..width).map(column).collect()
}

/// A text that fits into a cell.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "/").chars().take(160).collect()
}

/// The middle and the ends of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
    count: usize,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let last = sorted.len().saturating_sub(1);
        // Of an even number of values the middle lies between two; both halves are the same one
        // of an odd number.
        Self {
            median: (at(last / 2) + at(sorted.len() / 2)) / 2.0,
            min: at(0),
            max: at(last),
            count: sorted.len(),
        }
    }

    fn text(self) -> String {
        if self.count == 1 {
            return number(self.median);
        }
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

    use super::{Report, Spread};
    use crate::machine::Machine;
    use crate::measure::figure;
    use crate::table::{Kind, Row, Table};

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0, count: 3 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(&[7.0]).median, 7.0);
    }

    fn row(subject: &str, kind: Kind) -> Row {
        Row { subject: subject.to_owned(), kind, rank: 0 }
    }

    #[test]
    fn a_table_compares_with_the_best_peer_and_the_relay_and_shows_what_failed() {
        let mut report = Report::new(Machine::default(), "test".to_owned());
        for (subject, kind, value) in [
            ("ours", Kind::Tollgate, 1.0),
            ("slow", Kind::Peer, 4.0),
            ("fast", Kind::Peer, 2.0),
            ("floor", Kind::Floor, 0.25),
            ("relay", Kind::Relay, 0.5),
        ] {
            for gigabits in [8.0, 9.0] {
                let figures = vec![figure("CPU s per GiB", value), figure("Gbit/s", gigabits)];
                report.add(Table::BulkOne, &row(subject, kind), Ok(figures));
            }
        }
        report.add(Table::BulkOne, &row("gone", Kind::Peer), Err(anyhow!("not installed")));
        let markdown = report.markdown();
        for line in [
            "|  | CPU s per GiB | × best | × relay | Gbit/s |",
            "| ours | 1.00 (1.00–1.00) | 0.50 | 2.00 | 8.50 (8.00–9.00) |",
            "| slow | 4.00 (4.00–4.00) | 2.00 | 8.00 | 8.50 (8.00–9.00) |",
            "| gone | not installed |  |  |  |",
        ] {
            assert!(markdown.contains(line), "{line} is not in {markdown}");
        }
        assert!(markdown.find("## Goals") < markdown.find("## Throughput"), "{markdown}");
    }

    #[test]
    fn what_is_measured_once_stands_upright_and_without_a_spread() {
        let mut report = Report::new(Machine::default(), "test".to_owned());
        let figures = vec![figure("× quiet p99", 1.5), figure("p50 µs quiet", 150.0)];
        report.add(Table::SiegeSlow, &row("2000 slow clients", Kind::Tollgate), Ok(figures));
        report.add(Table::SiegeLogins, &row("guesses", Kind::Tollgate), Err(anyhow!("let in")));
        let markdown = report.markdown();
        for lines in [
            "|  | 2000 slow clients |\n|---|---|\n| × quiet p99 | 1.50 |\n| p50 µs quiet | 150 |\n",
            "|  | guesses |\n|---|---|\n|  | let in |\n",
        ] {
            assert!(markdown.contains(lines), "{lines} is not in {markdown}");
        }
    }

    #[test]
    fn every_value_of_every_round_is_in_the_json() {
        let mut report = Report::new(Machine::default(), "test".to_owned());
        for value in [3.0, 1.0, 2.0] {
            let figures = vec![figure("KiB per tunnel", value)];
            report.add(Table::Idle, &row("ours", Kind::Tollgate), Ok(figures));
        }
        report.add(Table::Idle, &row("ours", Kind::Tollgate), Err(anyhow!("once")));
        let json = report.json();
        let found = &json["results"][0];
        assert_eq!(found["figures"]["KiB per tunnel"]["values"], serde_json::json!([3.0, 1.0, 2.0]));
        assert_eq!(found["failures"], serde_json::json!(["once"]));
        assert_eq!(json["goals"][0]["reached"], "yes");
    }
}
