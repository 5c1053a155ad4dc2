//! The gateway's door to the control plane, in one process: straight into the core.

use std::sync::Arc;

use tokio::sync::watch;
use tollgate_core::{Core, leases, refusals, statics};
use tollgate_gateway::Control;
use tollgate_types::{
    BootId, ByteLease, Directory, GatewayId, LeaseDenied, LeaseRequest, RefusalNote, Settled, StaticTraffic,
    Unavailable, UsageReport,
};

/// The core, as the gateway sees it.
#[derive(Clone, Debug)]
pub struct InProcess(pub Core);

impl Control for InProcess {
    fn directory(&self) -> watch::Receiver<Arc<Directory>> {
        self.0.directory()
    }

    async fn lease(&self, ask: LeaseRequest) -> Result<ByteLease, LeaseDenied> {
        leases::lease(&self.0, ask).await
    }

    async fn settle(&self, report: UsageReport) -> Result<Settled, Unavailable> {
        leases::settle(&self.0, report).await
    }

    async fn static_traffic(
        &self,
        gateway: GatewayId,
        boot: BootId,
        counters: Vec<StaticTraffic>,
    ) -> Result<Settled, Unavailable> {
        statics::count_traffic(&self.0, gateway, boot, counters).await
    }

    async fn refused(&self, notes: Vec<RefusalNote>) {
        refusals::note(&self.0, notes).await;
    }
}
