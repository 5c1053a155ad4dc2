//! The door: what the gateway needs from the control plane, and nothing else.

use std::sync::Arc;

use tokio::sync::watch;
use tollgate_types::{
    BootId, ByteLease, Directory, GatewayId, LeaseDenied, LeaseRequest, RefusalNote, Settled, StaticTraffic,
    Unavailable, UsageReport,
};

/// What the gateway needs from the control plane. The binary plugs `core` in; tests plug in a budget
/// kept in memory.
pub trait Control: Send + Sync + 'static {
    /// The newest picture of who may enter and where they may leave.
    fn directory(&self) -> watch::Receiver<Arc<Directory>>;

    /// Reserves bytes for one payer: funds and limits are held until settled or expired.
    fn lease(&self, ask: LeaseRequest) -> impl Future<Output = Result<ByteLease, LeaseDenied>> + Send;

    /// Says how much of each lease has been used so far. May be told the same twice, late or out of
    /// order.
    fn settle(&self, report: UsageReport) -> impl Future<Output = Result<Settled, Unavailable>> + Send;

    /// Says what static proxies have moved since this run of the gateway began. For statistics, not
    /// for bills. May be told the same twice, late or out of order.
    fn static_traffic(
        &self,
        gateway: GatewayId,
        boot: BootId,
        counters: Vec<StaticTraffic>,
    ) -> impl Future<Output = Result<Settled, Unavailable>> + Send;

    /// Tells who was refused and why. Statistics: may be lost.
    fn refused(&self, notes: Vec<RefusalNote>) -> impl Future<Output = ()> + Send;
}
