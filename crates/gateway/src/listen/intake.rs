//! Whether an accepted connection is taken in: for want of a slot, of whoever is reached where it came
//! to, or because its address has too many, it is closed unread.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tollgate_types::{Cidr, Directory};

use crate::entry::{ClientAddresses, CountedAddress, Entrance};
use crate::lifecycle::Lifecycle;
use crate::limits::CurrentLimits;
use crate::listen::spare::Spare;
use crate::slots::ConnectionSlots;
use crate::stats::Stats;

/// What accepting connections needs.
pub(crate) struct Intake {
    pub(crate) directory: watch::Receiver<Arc<Directory>>,
    /// The load balancers whose connections begin with a PROXY header.
    pub(crate) fronts: Vec<Cidr>,
    /// One for each client connection.
    pub(crate) slots: ConnectionSlots,
    /// The addresses that clients come from.
    pub(crate) addresses: Arc<ClientAddresses>,
    /// What is left when no file descriptors are.
    pub(crate) spare: Spare,
    /// Everybody who accepts connections listens to it, until he does not any more.
    pub(crate) accepting: watch::Sender<()>,
    pub(crate) limits: CurrentLimits,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) stats: Arc<Stats>,
}

impl Intake {
    /// Whether connections from `peer` begin with a PROXY header.
    pub(crate) fn is_front(&self, peer: IpAddr) -> bool {
        self.fronts.iter().any(|range| range.contains(peer))
    }

    /// Counts one more connection of an address, where addresses are counted; `None` where a cap keeps
    /// it out.
    pub(crate) fn count(&self, peer: IpAddr) -> Option<Option<CountedAddress>> {
        let caps = self.limits.now().per_address;
        self.addresses.enter(peer, caps).inspect_err(|limit| self.stats.limited(*limit)).ok()
    }

    /// Whether somebody is served where a connection came in, which is counted.
    pub(crate) fn counts_as_entrance(&self, entrance: Entrance) -> bool {
        let Entrance::Static(local) = entrance else { return true };
        let is_proxy = self.directory.borrow().static_at(local).is_some();
        let counter = if is_proxy { &self.stats.static_accepted } else { &self.stats.static_strays };
        counter.fetch_add(1, Ordering::Relaxed);
        is_proxy
    }
}
