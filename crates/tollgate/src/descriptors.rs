//! File descriptors: each proxied connection takes two (a UDP association four, which is why the
//! gateway counts it twice), and they are not without end.

use rustix::process::{Resource, Rlimit};

/// Descriptors of one connection: the client's socket and the target's.
const PER_CONNECTION: u64 = 2;
/// What is left for everything else, whatever the limit: listeners, the database, logs.
const OTHERS: u64 = 64;
/// One in so many is left for what grows with traffic: names being resolved, the API's clients, and
/// pipes, which the gateway has half of it for at most.
const SHARE_OF_OTHERS: u64 = 16;

/// The usual limit is 1024: takes what the system allows.
pub fn raise_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    // Where it is refused, the gateway does with fewer connections.
    let _ = rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit { current: limit.maximum, maximum: limit.maximum },
    );
}

/// As many of the wanted connections as there are descriptors for, and a line in the log where those
/// are fewer.
pub fn fit(wanted: usize) -> usize {
    let Some(limit) = rustix::process::getrlimit(Resource::Nofile).current else { return wanted };
    let fitting = wanted.min(connections_within(limit));
    if fitting < wanted {
        tracing::info!(
            max_connections = fitting,
            configured = wanted,
            descriptors = limit,
            "fewer connections at once than configured, for want of file descriptors"
        );
    }
    fitting
}

/// The connections that fit into a limit.
fn connections_within(limit: u64) -> usize {
    let others = OTHERS + limit / SHARE_OF_OTHERS;
    let connections = limit.saturating_sub(others) / PER_CONNECTION;
    usize::try_from(connections).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_rest() {
        for (limit, connections) in
            [(20_000, 9_343), (1_048_576, 491_488), (1024, 448), (256, 88), (64, 1), (0, 1)]
        {
            assert_eq!(connections_within(limit), connections, "{limit}");
        }
    }
}
