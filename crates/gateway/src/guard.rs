//! The destination guard: which addresses and ports a customer may be connected to.
//!
//! It is asked about addresses after resolution, and [`crate::dial`] connects to the very address
//! that was checked, so that a name whose answer changes between the two gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tollgate_types::Refusal;
use tollgate_wire::target::{Host, Target};

use crate::cidr::Cidr;
use crate::ports::Grounds;
use crate::socket::is_local;

/// Ranges that are not the public internet's, or that lead back inside (IANA special-purpose
/// registries; RFC 6890 and its successors). The cloud metadata addresses 169.254.169.254 and
/// fd00:ec2::254 lie in the link-local and the unique-local range.
const CLOSED_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8), // this network, the unspecified address (RFC 791)
    (Ipv4Addr::new(10, 0, 0, 0), 8), // private (RFC 1918)
    (Ipv4Addr::new(100, 64, 0, 0), 10), // shared by carriers (RFC 6598)
    (Ipv4Addr::new(127, 0, 0, 0), 8), // loopback (RFC 1122)
    (Ipv4Addr::new(169, 254, 0, 0), 16), // link-local (RFC 3927)
    (Ipv4Addr::new(172, 16, 0, 0), 12), // private (RFC 1918)
    (Ipv4Addr::new(192, 0, 0, 0), 24), // protocol assignments (RFC 6890)
    (Ipv4Addr::new(192, 0, 2, 0), 24), // documentation (RFC 5737)
    (Ipv4Addr::new(192, 88, 99, 0), 24), // 6to4 relay anycast (RFC 7526)
    (Ipv4Addr::new(192, 168, 0, 0), 16), // private (RFC 1918)
    (Ipv4Addr::new(198, 18, 0, 0), 15), // benchmarking (RFC 2544)
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation (RFC 5737)
    (Ipv4Addr::new(203, 0, 113, 0), 24), // documentation (RFC 5737)
    (Ipv4Addr::new(224, 0, 0, 0), 4), // multicast (RFC 5771)
    (Ipv4Addr::new(240, 0, 0, 0), 4), // reserved, and broadcast (RFC 1112, RFC 919)
];

/// Within global unicast; everything outside 2000::/3 is closed as a whole, save the translation
/// prefix 64:ff9b::/96, which is judged by the IPv4 address inside.
const CLOSED_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo among them (RFC 2928)
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation (RFC 3849)
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4, with an IPv4 address inside (RFC 3056)
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation (RFC 9637)
];

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

    /// The same that counts static proxies' addresses as the platform's own, too.
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
        if is_public(ip) || self.allow.iter().any(|range| range.contains(ip)) {
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

/// Whether an address belongs to the public internet.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !CLOSED_V4
        .iter()
        .any(|(network, prefix)| Cidr::new(IpAddr::V4(*network), *prefix).contains(IpAddr::V4(ip)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, high, low] = ip.segments();
    if [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0] {
        // NAT64 (RFC 6052): whatever the translator makes of it.
        let [x, y] = high.to_be_bytes();
        let [z, w] = low.to_be_bytes();
        return is_public_v4(Ipv4Addr::new(x, y, z, w));
    }
    let global = a & 0xe000 == 0x2000;
    let closed = |(network, prefix): &(Ipv6Addr, u8)| {
        Cidr::new(IpAddr::V6(*network), *prefix).contains(IpAddr::V6(ip))
    };
    global && !CLOSED_V6.iter().any(closed)
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
    fn s5_16_s5_17_closed_addresses_are_refused_however_they_are_written() {
        let closed = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2001:0:53aa:64c::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "3fff::1",
            "5f00::1",
        ];
        for ip in closed {
            assert_eq!(asks(&strict(), ip), Err(Refusal::HostBlocked), "{ip}");
        }
    }

    #[test]
    fn public_addresses_are_open() {
        let open = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::808:808",
        ];
        for ip in open {
            assert_eq!(asks(&strict(), ip), Ok(()), "{ip}");
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
