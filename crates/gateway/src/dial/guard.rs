//! The destination guard: which addresses and ports a customer may be connected to.
//!
//! It is asked about addresses after resolution, and [`crate::dial::dialer`] connects to the very address
//! that was checked, so that a name whose answer changes between the two gains nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tollgate_types::{Cidr, Refusal, is_public_address};
use tollgate_wire::target::{Host, Target};

use crate::dial::grounds::Grounds;
use crate::socket::is_local;

/// Names that mean this machine or this network to whoever resolves them (RFC 6761, RFC 6762,
/// RFC 8375, and the custom of clouds). Exact, or as the last labels.
const INSIDE_NAMES: &[&str] = &["localhost", "local", "internal", "intranet", "lan", "home.arpa"];

/// Decides about destinations. Made once, from the settings and the addresses listened on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    allow: Vec<Cidr>,
    blocked_ports: Vec<u16>,
    own: Vec<SocketAddr>,
    statics: Option<Arc<Grounds>>,
}

/// A destination is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// `HostBlocked` or `PortBlocked`.
    pub(crate) refusal: Refusal,
    /// Which, in one line.
    pub(crate) detail: String,
}

impl Guard {
    /// A guard that opens `allow` in spite of the closed ranges, refuses `blocked_ports`, and
    /// refuses the platform's `own` listeners whatever is opened (else a request could be led
    /// round and round through the gateway).
    pub(crate) fn new(allow: Vec<Cidr>, blocked_ports: Vec<u16>, own: Vec<SocketAddr>) -> Self {
        Self { allow, blocked_ports, own, statics: None }
    }

    /// Returns the guard with the addresses of static proxies among the platform's own.
    pub(crate) fn with_statics(self, grounds: Arc<Grounds>) -> Self {
        Self { statics: Some(grounds), ..self }
    }

    /// What can be said before resolution: about the port, and about a literal address.
    ///
    /// # Errors
    /// [`Blocked`].
    pub(crate) fn target(&self, target: &Target) -> Result<(), Blocked> {
        if self.blocked_ports.contains(&target.port) {
            let detail = format!("port {} is not open for customers", target.port);
            return Err(Blocked { refusal: Refusal::PortBlocked, detail });
        }
        match target.host {
            Host::Ip(address) => self.address(SocketAddr::new(address, target.port)),
            Host::Name(_) => Ok(()),
        }
    }

    /// About an address, literal or resolved.
    ///
    /// # Errors
    /// [`Blocked`].
    pub(crate) fn address(&self, address: SocketAddr) -> Result<(), Blocked> {
        let ip = address.ip().to_canonical();
        if self.is_own(SocketAddr::new(ip, address.port())) {
            return Err(blocked("the destination is the gateway itself"));
        }
        if is_public_address(ip) || self.allow.iter().any(|range| range.contains(ip)) {
            return Ok(());
        }
        Err(blocked("the destination address is not public"))
    }

    /// About a name that travels to an upstream proxy unresolved. The addresses behind it are not
    /// known here, so names that mean the inside of a network are refused as such; where the
    /// operator opened this machine's loopback they are open too.
    ///
    /// # Errors
    /// [`Blocked`].
    pub(crate) fn unresolved(&self, name: &str) -> Result<(), Blocked> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let inside = INSIDE_NAMES.iter().any(|inside| {
            name.strip_suffix(inside).is_some_and(|front| front.is_empty() || front.ends_with('.'))
        });
        // A name of one label is whatever the upstream's own search list makes of it.
        let bare = !name.contains('.');
        if (inside || bare) && !self.allow.iter().any(|range| range.contains(loopback)) {
            return Err(blocked("the destination name is not a public one"));
        }
        Ok(())
    }

    /// Whether connecting there would come back to the platform itself.
    pub(crate) fn is_own(&self, address: SocketAddr) -> bool {
        self.statics.as_ref().is_some_and(|grounds| grounds.contain(address)) || self.is_own_listener(address)
    }

    fn is_own_listener(&self, address: SocketAddr) -> bool {
        self.own.iter().filter(|own| own.port() == address.port()).any(|own| {
            let listening = own.ip().to_canonical();
            // Connecting to the unspecified address means this machine, too.
            let everywhere = listening.is_unspecified() || address.ip().is_unspecified();
            listening == address.ip() || (everywhere && is_local(address.ip()))
        })
    }
}

fn blocked(detail: &str) -> Blocked {
    Blocked { refusal: Refusal::HostBlocked, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict() -> Guard {
        Guard::new(Vec::new(), vec![25], Vec::new())
    }

    fn asks(guard: &Guard, ip: &str) -> Result<(), Refusal> {
        guard.address(SocketAddr::new(ip.parse().unwrap(), 80)).map_err(|blocked| blocked.refusal)
    }

    #[test]
    fn s5_16_s5_17_closed_addresses_are_refused_and_public_ones_are_not() {
        for closed in
            ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::a00:1"]
        {
            assert_eq!(asks(&strict(), closed), Err(Refusal::HostBlocked), "{closed}");
        }
        for open in ["1.1.1.1", "2606:4700::1111"] {
            assert_eq!(asks(&strict(), open), Ok(()), "{open}");
        }
    }

    #[test]
    fn the_operator_opens_ranges() {
        let lab = Guard::new(vec!["127.0.0.0/8".parse().unwrap()], vec![], vec![]);
        assert_eq!(asks(&lab, "127.0.0.1"), Ok(()));
        assert_eq!(asks(&lab, "::ffff:127.0.0.1"), Ok(()));
        assert_eq!(asks(&lab, "10.0.0.1"), Err(Refusal::HostBlocked));
        assert_eq!(lab.unresolved("localhost"), Ok(()));
    }

    #[test]
    fn hp_25_own_listeners_are_closed_even_where_loopback_is_open() {
        let own = vec!["0.0.0.0:7000".parse().unwrap(), "127.0.0.1:7001".parse().unwrap()];
        let lab = Guard::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()], vec![], own);
        for closed in
            ["127.0.0.1:7000", "127.0.0.9:7000", "[::1]:7000", "0.0.0.0:7001", "[::ffff:127.0.0.1]:7001"]
        {
            assert!(lab.address(closed.parse().unwrap()).is_err(), "{closed}");
        }
        for open in ["127.0.0.2:7001", "127.0.0.1:7002", "198.51.100.1:7000"] {
            assert_eq!(lab.address(open.parse().unwrap()), Ok(()), "{open}");
        }
    }

    #[test]
    fn hp_64_blocked_ports_are_refused_for_names_too() {
        let target = Target { host: Host::Name("mail.example.com".into()), port: 25 };
        assert_eq!(strict().target(&target).map_err(|b| b.refusal), Err(Refusal::PortBlocked));
    }

    #[test]
    fn hp_65_names_of_the_inside_do_not_travel_upstream() {
        for inside in
            ["localhost", "a.localhost", "printer.local", "metadata.google.internal", "x.home.arpa", "db"]
        {
            assert!(strict().unresolved(inside).is_err(), "{inside}");
        }
        for public in ["example.com", "notlocal.example", "mylocalhost.com", "local.example.org"] {
            assert_eq!(strict().unresolved(public), Ok(()), "{public}");
        }
    }
}
