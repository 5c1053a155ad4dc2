//! What the gateway is to be, beside the others: the table that stands first. It is for reading;
//! nothing passes or fails by it.

use std::fmt::Write as _;

use crate::report::{Report, Table, number};

/// A goal: Tollgate's figure is at most so many times another's, or at most so much.
struct Goal {
    table: Table,
    what: &'static str,
    figure: &'static str,
    bounds: &'static [Bound],
}

/// What a figure is held against.
#[derive(Clone, Copy)]
enum Bound {
    /// So many times the best of the other proxies.
    Best(f64),
    /// So many times the bare relay.
    Relay(f64),
    /// So much.
    Most(f64),
}

const GOALS: &[Goal] = &[
    Goal {
        table: Table::BulkOne,
        what: "CPU seconds per GiB, 1 tunnel",
        figure: "CPU s per GiB",
        bounds: &[Bound::Best(0.5), Bound::Relay(1.25)],
    },
    Goal {
        table: Table::BulkMany,
        what: "CPU seconds per GiB, 32 tunnels",
        figure: "CPU s per GiB",
        bounds: &[Bound::Best(0.5), Bound::Relay(1.25)],
    },
    Goal {
        table: Table::Connections,
        what: "CPU µs per new authenticated connection",
        figure: "CPU µs each",
        bounds: &[Bound::Best(0.7), Bound::Relay(1.35)],
    },
    Goal {
        table: Table::Requests,
        what: "CPU µs per GET of 1 KiB",
        figure: "CPU µs each",
        bounds: &[Bound::Best(0.5)],
    },
    Goal {
        table: Table::PingPong,
        what: "CPU µs per message of 64 bytes",
        figure: "CPU µs each",
        bounds: &[Bound::Best(1.0)],
    },
    Goal {
        table: Table::PingPong,
        what: "p99 µs of such a message",
        figure: "p99 µs",
        bounds: &[Bound::Best(1.0)],
    },
    Goal {
        table: Table::Idle,
        what: "KiB of memory per idle tunnel",
        figure: "KiB per tunnel",
        bounds: &[Bound::Most(4.0)],
    },
];

/// The table, of whatever was measured; empty where none of it was.
pub(crate) fn markdown(report: &Report) -> String {
    let mut lines = String::new();
    for goal in GOALS {
        for (subject, value) in report.medians(goal.table, goal.figure, "tollgate") {
            let best = report.best_peer(goal.table, goal.figure);
            let relay = report.medians(goal.table, goal.figure, "relay").first().map(|(_, value)| *value);
            let way = subject.trim_start_matches("tollgate ");
            let cell = |value: Option<f64>| value.map_or_else(String::new, number);
            let best_cell = best.as_ref().map_or_else(String::new, |(name, value)| {
                format!("{} ({})", number(*value), name.split(' ').next().unwrap_or_default())
            });
            let best = best.map(|(_, value)| value);
            let verdicts: Vec<String> =
                goal.bounds.iter().filter_map(|bound| bound.verdict(value, best, relay)).collect();
            let _ = writeln!(
                lines,
                "| {} {way} | {} | {best_cell} | {} | {} |",
                goal.what,
                number(value),
                cell(relay),
                verdicts.join("; ")
            );
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!(
        "## Goals\n\n| figure | Tollgate | best other proxy | bare relay | goal |\n|---|---|---|---|---|\n{lines}"
    )
}

impl Bound {
    /// The goal in words, and whether it is reached; none where what it is held against was not
    /// measured.
    fn verdict(self, value: f64, best: Option<f64>, relay: Option<f64>) -> Option<String> {
        let (limit, text) = match self {
            Self::Best(times) => {
                let best = best?;
                (best * times, format!("{:.2} × best, {times} or less", value / best))
            }
            Self::Relay(times) => {
                let relay = relay?;
                (relay * times, format!("{:.2} × relay, {times} or less", value / relay))
            }
            Self::Most(most) => (most, format!("{most} or less")),
        };
        let reached = if value <= limit { "reached" } else { "**not reached**" };
        Some(format!("{text}: {reached}"))
    }
}
