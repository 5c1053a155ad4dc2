//! What static proxies have moved: for statistics, not for bills.

use tollgate_types::{Bytes, Day};

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
