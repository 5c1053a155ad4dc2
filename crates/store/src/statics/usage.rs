//! What static proxies have moved: for statistics, not for bills.

use tollgate_types::{BootId, Bytes, Day, GatewayId, StaticProxyId, Time};

use crate::{Error, Row, Tx, params, statements};

statements! {
    OF_RUN = "SELECT proxy_id, bytes_up, bytes_down, connections FROM static_counters WHERE gateway_id = ?1 AND boot_id = ?2";
    /// Held to the end of the transaction: of two reports at once, each counts what the other has
    /// not.
    LOCK = "SELECT proxy_id, bytes_up, bytes_down, connections FROM static_counters
            WHERE proxy_id = ?1 AND gateway_id = ?2 AND boot_id = ?3{for_update}";
    /// Changes nothing where there is no such proxy.
    BEGIN = "INSERT INTO static_counters (proxy_id, gateway_id, boot_id, bytes_up, bytes_down, connections, updated_at)
             SELECT id, ?2, ?3, 0, 0, 0, ?4 FROM static_proxies WHERE id = ?1
             ON CONFLICT (proxy_id, gateway_id, boot_id) DO NOTHING";
    WRITE = "UPDATE static_counters SET bytes_up = ?4, bytes_down = ?5, connections = ?6, updated_at = ?7
             WHERE proxy_id = ?1 AND gateway_id = ?2 AND boot_id = ?3";
    /// A sum that would leave 64 bits, which only nonsense makes, stays at their end: one gateway's
    /// nonsense is not to keep its other reports from being taken.
    ADD = "INSERT INTO static_usage (proxy_id, day, bytes_up, bytes_down, connections) VALUES (?1, ?2, ?3, ?4, ?5)
           ON CONFLICT (proxy_id, day) DO UPDATE SET
               bytes_up = CASE WHEN static_usage.bytes_up > 9223372036854775807 - excluded.bytes_up
                          THEN 9223372036854775807 ELSE static_usage.bytes_up + excluded.bytes_up END,
               bytes_down = CASE WHEN static_usage.bytes_down > 9223372036854775807 - excluded.bytes_down
                            THEN 9223372036854775807 ELSE static_usage.bytes_down + excluded.bytes_down END,
               connections = CASE WHEN static_usage.connections > 9223372036854775807 - excluded.connections
                             THEN 9223372036854775807 ELSE static_usage.connections + excluded.connections END";
    OF_PROXY = "SELECT day, bytes_up, bytes_down, connections FROM static_usage
                WHERE proxy_id = ?1 AND day >= ?2 AND day <= ?3 ORDER BY day";
    /// The last run of a gateway need not be over because nothing moves: it tells only of what does.
    PRUNE = "DELETE FROM static_counters WHERE (gateway_id, boot_id) IN
             (SELECT run.gateway_id, run.boot_id
              FROM (SELECT gateway_id, boot_id, MAX(updated_at) AS heard_at FROM static_counters
                    GROUP BY gateway_id, boot_id) AS run
              JOIN (SELECT gateway_id, MAX(updated_at) AS heard_at FROM static_counters GROUP BY gateway_id) AS newest
                ON newest.gateway_id = run.gateway_id
              WHERE run.heard_at < ?1 AND run.heard_at < newest.heard_at)";
}

/// What one run of a gateway has moved for a proxy, or a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Payload bytes from the customer to targets.
    pub up: Bytes,
    /// Payload bytes from targets to the customer.
    pub down: Bytes,
    /// Connections that were admitted.
    pub connections: i64,
}

impl Moved {
    /// The larger of each number.
    pub fn most(self, other: Self) -> Self {
        Self {
            up: self.up.max(other.up),
            down: self.down.max(other.down),
            connections: self.connections.max(other.connections),
        }
    }

    /// What there is more of each number than in an earlier count.
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            up: self.up.minus(earlier.up),
            down: self.down.minus(earlier.down),
            connections: self.connections.saturating_sub(earlier.connections),
        }
    }
}

/// A run of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The gateway.
    pub gateway: GatewayId,
    /// The run of its process.
    pub boot: BootId,
}

/// All that a run has been heard to have moved, by proxy.
pub fn of_run(tx: &mut Tx<'_>, run: Run) -> Result<Vec<(StaticProxyId, Moved)>, Error> {
    tx.all(OF_RUN, params![run.gateway, run.boot], counter)
}

/// What a run has been heard to have moved for a proxy, locked to the end of the transaction;
/// `None` where there is no such proxy.
pub fn lock(tx: &mut Tx<'_>, run: Run, proxy: StaticProxyId, now: Time) -> Result<Option<Moved>, Error> {
    let Run { gateway, boot } = run;
    if let Some((_, moved)) = tx.opt(LOCK, params![proxy, gateway, boot], counter)? {
        return Ok(Some(moved));
    }
    tx.execute(BEGIN, params![proxy, gateway, boot, now])?;
    let begun = tx.opt(LOCK, params![proxy, gateway, boot], counter)?;
    Ok(begun.map(|(_, moved)| moved))
}

/// Writes what a run has moved for a proxy, once it is locked.
pub fn write(tx: &mut Tx<'_>, run: Run, proxy: StaticProxyId, moved: Moved, now: Time) -> Result<(), Error> {
    let Moved { up, down, connections } = moved;
    tx.execute(WRITE, params![proxy, run.gateway, run.boot, up, down, connections, now]).map(drop)
}

/// Adds to what a proxy has moved on a day.
pub fn add(tx: &mut Tx<'_>, proxy: StaticProxyId, day: Day, moved: Moved) -> Result<(), Error> {
    tx.execute(ADD, params![proxy, day, moved.up, moved.down, moved.connections]).map(drop)
}

/// A proxy's traffic of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageDay {
    /// The day.
    pub day: Day,
    /// Payload bytes from the customer to targets.
    pub up: Bytes,
    /// Payload bytes from targets to the customer.
    pub down: Bytes,
    /// Connections that were admitted.
    pub connections: i64,
}

/// A proxy's traffic from one day to another, both included. Days without traffic are left out.
pub fn of_proxy(tx: &mut Tx<'_>, proxy: StaticProxyId, from: Day, to: Day) -> Result<Vec<UsageDay>, Error> {
    tx.all(OF_PROXY, params![proxy, from, to], |row| {
        Ok(UsageDay {
            day: Day::from_number(i32::try_from(row.i64(0)?).unwrap_or(i32::MAX)),
            up: Bytes::from_i64(row.i64(1)?),
            down: Bytes::from_i64(row.i64(2)?),
            connections: row.i64(3)?,
        })
    })
}

/// Forgets the counters of runs of which nothing has been heard since a moment, and that another run
/// of the same gateway has followed: whole runs only, for one that goes on is compared with what it
/// said before.
pub fn prune(tx: &mut Tx<'_>, before: Time) -> Result<u64, Error> {
    tx.execute(PRUNE, params![before])
}

fn counter(row: &Row<'_>) -> Result<(StaticProxyId, Moved), Error> {
    let moved = Moved {
        up: Bytes::from_i64(row.i64(1)?),
        down: Bytes::from_i64(row.i64(2)?),
        connections: row.i64(3)?,
    };
    Ok((StaticProxyId::new(row.i64(0)?), moved))
}
