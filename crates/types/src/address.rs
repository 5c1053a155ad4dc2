//! Which addresses belong to the public internet: what customers may be connected to, and where
//! notices may be sent; and in which order a name's addresses are tried.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Cidr;

/// Ranges that are not the public internet's, or that lead back inside (IANA special-purpose
/// registries; RFC 6890 and its successors). The cloud metadata addresses 169.254.169.254 and
/// fd00:ec2::254 lie in the link-local and the unique-local range.
const CLOSED_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8), // this network, the unspecified address (RFC 791)
    (Ipv4Addr::new(10, 0, 0, 0), 8), // private (RFC 1918)
    (Ipv4Addr::new(100, 64, 0, 0), 10), // shared by carriers (RFC 6598)
    (Ipv4Addr::new(127, 0, 0, 0), 8), // loopback (RFC 1122)
    (Ipv4Addr::new(168, 63, 129, 16), 32), // the host of a cloud, under an address that looks public (Azure)
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

/// Whether an address belongs to the public internet. An IPv4-mapped IPv6 address is the IPv4 one, and
/// what a NAT64 prefix carries is judged by the IPv4 address inside.
pub fn is_public_address(ip: IpAddr) -> bool {
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

/// Puts IPv6 and IPv4 in turn, the family of the first one first, as RFC 8305 §4 wants a name's
/// addresses tried: a machine that has lost one of the two finds the other early.
pub fn alternate_families(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses = addresses.into_iter().peekable();
    let first_is_v6 = addresses.peek().is_some_and(IpAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) = addresses.partition(|ip| ip.is_ipv6() == first_is_v6);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    loop {
        match (same.next(), other.next()) {
            (None, None) => return ordered,
            (a, b) => ordered.extend(a.into_iter().chain(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate() {
        let order = |list: &[&str]| -> Vec<String> {
            let addresses = list.iter().map(|ip| ip.parse().unwrap());
            alternate_families(addresses).iter().map(IpAddr::to_string).collect()
        };
        assert_eq!(order(&["1.1.1.1", "1.1.1.2", "::1", "::2"]), ["1.1.1.1", "::1", "1.1.1.2", "::2"]);
        assert_eq!(order(&["::1", "1.1.1.1", "1.1.1.2"]), ["::1", "1.1.1.1", "1.1.1.2"]);
        assert_eq!(order(&["::1", "::2"]), ["::1", "::2"]);
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn closed_addresses_are_not_public_however_they_are_written() {
        let closed = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
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
            assert!(!is_public_address(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
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
            assert!(is_public_address(ip.parse().unwrap()), "{ip}");
        }
    }
}
