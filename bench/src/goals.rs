//! What was aimed at, and what came of it: the table that stands first. It is for reading; nothing
//! passes or fails by it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::report::{Found, Tables, bare_relay, best_peer, number, one_line};
use crate::table::{Kind, Table};

/// What a median is held against.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// So many times the best peer's, or less.
    Best(f64),
    /// So many times the bare relay's, or less.
    Relay(f64),
    /// So much, or less.
    Value(f64),
}

/// A goal, as a figure of a table. Each way into Tollgate is measured against it on its own.
#[derive(Debug)]
struct Goal {
    words: &'static str,
    table: Table,
    /// The figures to show. The first is held against the bounds, and in all of them less is better.
    figures: &'static [&'static str],
    /// All of them must hold; where there are none, the figures are reported and no more.
    bounds: &'static [Bound],
}

const GOALS: &[Goal] = &[
    Goal {
        words: "CPU s per GiB, 1 tunnel: ≤ 0.5 × the best peer, ≤ 1.25 × the bare relay",
        table: Table::BulkOne,
        figures: &["CPU s per GiB"],
        bounds: &[Bound::Best(0.5), Bound::Relay(1.25)],
    },
    Goal {
        words: "CPU s per GiB, 32 tunnels: ≤ 0.5 × the best peer, ≤ 1.25 × the bare relay",
        table: Table::BulkMany,
        figures: &["CPU s per GiB"],
        bounds: &[Bound::Best(0.5), Bound::Relay(1.25)],
    },
    Goal {
        words: "CPU µs per new authenticated connection: ≤ 0.7 × the best peer, ≤ 1.35 × the bare relay",
        table: Table::Connections,
        figures: &["CPU µs each"],
        bounds: &[Bound::Best(0.7), Bound::Relay(1.35)],
    },
    Goal {
        words: "CPU µs per absolute-form GET of 1 KiB: ≤ 0.5 × the best peer",
        table: Table::Requests,
        figures: &["CPU µs each"],
        bounds: &[Bound::Best(0.5)],
    },
    Goal {
        words: "CPU µs per message of 64 bytes and its echo, 2,000 a second: ≤ the best peer",
        table: Table::PingPong,
        figures: &["CPU µs each"],
        bounds: &[Bound::Best(1.0)],
    },
    Goal {
        words: "p99 µs of such a message: ≤ the best peer",
        table: Table::PingPong,
        figures: &["p99 µs"],
        bounds: &[Bound::Best(1.0)],
    },
    Goal {
        words: "Resident KiB per idle tunnel over the process's base: ≤ 4",
        table: Table::Idle,
        figures: &["KiB per tunnel"],
        bounds: &[Bound::Value(4.0)],
    },
    Goal {
        words: "API reads on SQLite, per second and p99 µs: reported",
        table: Table::Api,
        figures: &["per second", "p99 µs"],
        bounds: &[],
    },
    Goal {
        words: "p99 of normal connections beside slowloris clients: ≤ 2 × its quiet value",
        table: Table::SiegeSlow,
        figures: &["× quiet p99"],
        bounds: &[Bound::Value(2.0)],
    },
    Goal {
        words: "p99 of a customer's connections beside guessed passwords: ≤ 2 × its quiet value",
        table: Table::SiegeLogins,
        figures: &["× quiet p99"],
        bounds: &[Bound::Value(2.0)],
    },
];

/// What came of a goal, by one way.
#[derive(Debug)]
pub(crate) struct Judgement {
    goal: &'static Goal,
    subject: String,
    /// The medians of the goal's figures; none where it could not be measured.
    medians: Vec<f64>,
    best: Option<(f64, String)>,
    relay: Option<f64>,
    reached: String,
}

/// Holds what was found against the goals. A goal whose table nobody asked for is left out.
pub(crate) fn judge(tables: &Tables) -> Vec<Judgement> {
    let mut judgements = Vec::new();
    for goal in GOALS {
        let rows = tables.get(&goal.table).map(Vec::as_slice).unwrap_or_default();
        let ours = rows.iter().filter(|found| found.row.kind == Kind::Tollgate);
        judgements.extend(ours.map(|found| goal.judge(found, rows)));
    }
    judgements
}

impl Goal {
    fn judge(&'static self, found: &Found, rows: &[Found]) -> Judgement {
        let first = self.figures.first().copied().unwrap_or_default();
        let medians: Vec<f64> = self.figures.iter().filter_map(|figure| found.median(figure)).collect();
        let best = best_peer(rows, first).filter(|_| self.table.beside_peers());
        let relay = bare_relay(rows, first).filter(|_| self.table.beside_relay());
        let reached = match (medians.first(), found.failures.first()) {
            (Some(median), _) => self.reached(*median, best.map(|(best, _)| best), relay).to_owned(),
            (None, Some(failure)) => format!("not measured: {}", one_line(failure)),
            (None, None) => "not measured".to_owned(),
        };
        let best = best.map(|(best, whose)| (best, whose.to_owned()));
        Judgement { goal: self, subject: found.row.subject.clone(), medians, best, relay, reached }
    }

    fn reached(&self, median: f64, best: Option<f64>, relay: Option<f64>) -> &'static str {
        let limits = self.bounds.iter().map(|bound| match bound {
            Bound::Best(times) => best.map(|best| best * times),
            Bound::Relay(times) => relay.map(|relay| relay * times),
            Bound::Value(value) => Some(*value),
        });
        let limits: Vec<Option<f64>> = limits.collect();
        match limits.as_slice() {
            [] => "reported",
            // One bound that is passed says no, whatever the others would say.
            limits if limits.iter().flatten().any(|limit| median > *limit) => "no",
            limits if limits.iter().any(Option::is_none) => "not known: nobody to compare with",
            _ => "yes",
        }
    }
}

/// The table, in Markdown. Nothing where no goal was measured.
pub(crate) fn markdown(judgements: &[Judgement]) -> String {
    if judgements.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "## Goals\n\n| goal | | Tollgate | best peer | × best | bare relay | × relay | reached |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for judgement in judgements {
        let _ = writeln!(text, "| {} |", judgement.cells().join(" | "));
    }
    text += "\nMedians of the rounds. It is for reading: nothing passes or fails by it.\n";
    text
}

/// The same for the JSON file.
pub(crate) fn json(judgements: &[Judgement]) -> Value {
    judgements.iter().map(Judgement::json).collect()
}

impl Judgement {
    fn cells(&self) -> Vec<String> {
        let ours: Vec<String> = self.medians.iter().map(|median| number(*median)).collect();
        let ratio =
            |other: Option<f64>| self.ratio(other).map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let best = self.best.as_ref().map(|(best, _)| *best);
        let named = self.best.as_ref().map(|(best, whose)| format!("{} {}", number(*best), name(whose)));
        vec![
            self.goal.words.to_owned(),
            name_of_row(&self.subject),
            ours.join(", "),
            named.unwrap_or_default(),
            ratio(best),
            self.relay.map_or_else(String::new, number),
            ratio(self.relay),
            self.reached.clone(),
        ]
    }

    fn ratio(&self, other: Option<f64>) -> Option<f64> {
        Some(*self.medians.first()? / other?)
    }

    fn json(&self) -> Value {
        let best = self.best.as_ref();
        json!({
            "goal": self.goal.words,
            "table": self.goal.table.name(),
            "subject": self.subject,
            "figures": self.goal.figures,
            "medians": self.medians,
            "best_peer": best.map(|(_, whose)| whose),
            "best_peer_median": best.map(|(best, _)| best),
            "times_best_peer": self.ratio(best.map(|(best, _)| *best)),
            "relay_median": self.relay,
            "times_relay": self.ratio(self.relay),
            "reached": self.reached,
        })
    }
}

/// A peer's name without the way.
fn name(subject: &str) -> &str {
    subject.split(" (").next().unwrap_or(subject)
}

/// Which way into Tollgate, where the row says so; otherwise what the row is about.
fn name_of_row(subject: &str) -> String {
    let way = subject.strip_prefix("tollgate (").and_then(|rest| rest.strip_suffix(')'));
    way.unwrap_or(subject).to_owned()
}

#[cfg(test)]
mod tests {
    use anyhow::{Result, anyhow};

    use crate::machine::Machine;
    use crate::measure::{Figure, figure};
    use crate::report::Report;
    use crate::table::{Kind, Row, Table};

    /// A report with some rows in one table.
    fn report(table: Table, rows: Vec<(&str, Kind, Result<Vec<Figure>>)>) -> String {
        let mut report = Report::new(Machine::default(), "test".to_owned());
        for (rank, (subject, kind, result)) in rows.into_iter().enumerate() {
            report.add(table, &Row { subject: subject.to_owned(), kind, rank }, result);
        }
        report.markdown()
    }

    fn cost(value: f64) -> Result<Vec<Figure>> {
        Ok(vec![figure("CPU s per GiB", value)])
    }

    #[test]
    fn a_goal_is_reached_where_all_its_bounds_hold() {
        let found = report(
            Table::BulkOne,
            vec![
                ("tollgate (HTTP)", Kind::Tollgate, cost(0.25)),
                ("tollgate (SOCKS5)", Kind::Tollgate, cost(0.27)),
                ("squid (HTTP)", Kind::Peer, cost(0.84)),
                ("dante (SOCKS5, no login)", Kind::Peer, cost(0.5)),
                ("haproxy (TCP)", Kind::Floor, cost(0.1)),
                ("relay (TCP)", Kind::Relay, cost(0.2)),
            ],
        );
        assert!(found.contains("| HTTP | 0.25 | 0.50 dante | 0.50 | 0.20 | 1.25 | yes |"), "{found}");
        assert!(found.contains("| SOCKS5 | 0.27 | 0.50 dante | 0.54 | 0.20 | 1.35 | no |"), "{found}");
    }

    #[test]
    fn what_cannot_be_judged_is_not_called_reached() {
        let alone = report(Table::BulkMany, vec![("tollgate (HTTP)", Kind::Tollgate, cost(0.2))]);
        assert!(alone.contains("| HTTP | 0.20 |  |  |  |  | not known: nobody to compare with |"), "{alone}");
        let failed = report(Table::Idle, vec![("tollgate", Kind::Tollgate, Err(anyhow!("not built")))]);
        assert!(failed.contains("not measured: not built |"), "{failed}");
        let nothing = report(Table::Statics, vec![]);
        assert!(!nothing.contains("## Goals"), "{nothing}");
    }

    #[test]
    fn what_has_no_bound_is_reported() {
        let figures = vec![figure("per second", 2e4), figure("p99 µs", 750.0)];
        let found = report(Table::Api, vec![("call 1 (SQLite)", Kind::Tollgate, Ok(figures))]);
        assert!(found.contains("| call 1 (SQLite) | 20000, 750 |  |  |  |  | reported |"), "{found}");
    }
}
