//! Normal traffic at a steady, modest pace: what an ordinary customer sees of a gateway while
//! something else happens to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{interval, timeout};

use crate::client::Door;
use crate::measure::{PATIENCE, hang_up, touch};

/// How often a connection sets out: 200 a second, whether or not those before it are done.
const EVERY: Duration = Duration::from_millis(5);

/// How long a customer waits.
const CUSTOMER_PATIENCE: Duration = Duration::from_secs(15);

/// So many at once mean that nothing gets through any more.
const MOST_AT_ONCE: usize = 2_000;

/// Opens connections through a door until something is done; each goes all the way, with a message
/// there and back. Gives how long each took, sorted. A single failure is a failure of the whole.
pub(crate) async fn until<T>(
    door: &Door,
    origin: SocketAddr,
    done: impl Future<Output = Result<T>>,
) -> Result<(T, Vec<Duration>)> {
    let mut done = std::pin::pin!(done);
    let (mut clock, mut customers, mut seen) = (interval(EVERY), JoinSet::new(), Seen::default());
    let given = loop {
        tokio::select! {
            given = &mut done => break given?,
            Some(one) = customers.join_next() => seen.take(one),
            _ = clock.tick() => {
                if customers.len() >= MOST_AT_ONCE {
                    bail!("{MOST_AT_ONCE} normal connections wait at once");
                }
                customers.spawn(visit(door.clone(), origin));
            }
        }
    };
    let rest = async {
        while let Some(one) = customers.join_next().await {
            seen.take(one);
        }
    };
    timeout(PATIENCE, rest).await.context("normal connections do not end")?;
    Ok((given, seen.sorted()?))
}

/// What came of the connections.
#[derive(Debug, Default)]
struct Seen {
    took: Vec<Duration>,
    failed: usize,
    first_failure: Option<anyhow::Error>,
}

impl Seen {
    fn take(&mut self, one: Result<Result<Duration>, JoinError>) {
        match one.map_err(Into::into).flatten() {
            Ok(took) => self.took.push(took),
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert(error);
            }
        }
    }

    fn sorted(mut self) -> Result<Vec<Duration>> {
        if let Some(error) = self.first_failure {
            let all = self.took.len() + self.failed;
            return Err(error.context(format!("{} of {all} normal connections failed", self.failed)));
        }
        self.took.sort_unstable();
        Ok(self.took)
    }
}

async fn visit(door: Door, origin: SocketAddr) -> Result<Duration> {
    let visit = async {
        let start = Instant::now();
        let tunnel = touch(&door, origin).await?;
        let took = start.elapsed();
        hang_up(tunnel).await?;
        Ok(took)
    };
    timeout(CUSTOMER_PATIENCE, visit).await.with_context(|| format!("not done in {CUSTOMER_PATIENCE:?}"))?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::until;
    use crate::client::{Door, Way};
    use crate::origin::Origin;
    use crate::process::free_port;

    async fn a_moment() -> anyhow::Result<u32> {
        sleep(Duration::from_millis(50)).await;
        Ok(7)
    }

    #[tokio::test]
    async fn traffic_flows_until_it_is_done_and_a_failure_is_told() {
        let origin = Origin::start().await.expect("an origin");
        let mut door = Door { address: origin.address(), way: Way::Straight, login: None };
        let (given, took) = until(&door, origin.address(), a_moment()).await.expect("traffic");
        assert_eq!(given, 7);
        assert!(took.len() > 1 && took.is_sorted(), "{took:?}");
        door.address = free_port().expect("a port that nobody listens on");
        let error = until(&door, origin.address(), a_moment()).await.expect_err("nobody is there");
        assert!(error.to_string().ends_with("normal connections failed"), "{error:#}");
    }
}
