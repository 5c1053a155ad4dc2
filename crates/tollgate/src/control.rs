//! The gateway's door to the control plane, in one process: straight into the core.

use std::sync::Arc;

use tokio::sync::watch;
use tollgate_core::{Core, leases, refusals};
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

    // The core does not count it yet: `statics::count_traffic` goes here.
    async fn static_traffic(
        &self,
        _: GatewayId,
        _: BootId,
        _: Vec<StaticTraffic>,
    ) -> Result<Settled, Unavailable> {
        Ok(Settled)
    }

    async fn refused(&self, notes: Vec<RefusalNote>) {
        refusals::note(&self.0, notes).await;
    }
}
