//! Where datagrams may go: the addresses that the dialler would connect to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tollgate_types::{AccountId, Refusal};
use tollgate_wire::target::{Host, Target};

use crate::dial::dialer::Dialer;
use crate::relay::{Destinations, Family};
use crate::stats::Dropped;

impl Destinations for Arc<Dialer> {
    fn check(&self, target: &Target) -> Result<(), Dropped> {
        self.guard.target(target).map_err(|_| Dropped::Blocked)
    }

    fn find(
        &self,
        target: &Target,
        account: AccountId,
        families: [Option<Family>; 2],
    ) -> impl Future<Output = Result<IpAddr, Dropped>> + Send {
        find(self, target, account, families)
    }
}

/// The address of a name that datagrams are sent to: of those that may be reached the first of the
/// families that can be, IPv4 before IPv6. Datagrams cannot tell which of two ways works.
async fn find(
    dialer: &Dialer,
    target: &Target,
    who: AccountId,
    families: [Option<Family>; 2],
) -> Result<IpAddr, Dropped> {
    let blocked = |refusal| match refusal {
        Refusal::HostBlocked | Refusal::PortBlocked => Dropped::Blocked,
        _ => Dropped::Unresolved,
    };
    let found = match &target.host {
        Host::Name(name) => dialer.checked_addresses(name, target.port, who).await,
        // An address that is written as a name.
        Host::Ip(ip) => dialer.checked_address(*ip, target.port).map(|address| vec![address]),
    };
    let found = found.map_err(|error| blocked(error.refusal))?;
    let of = |family| found.iter().map(SocketAddr::ip).find(|ip| Family::of(*ip) == family);
    families.into_iter().flatten().find_map(of).ok_or(Dropped::Unreachable)
}
