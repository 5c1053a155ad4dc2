//! The address that a call comes from: the peer's, or, behind a front that is trusted, that of the client
//! whom the front names in `X-Forwarded-For`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use tollgate_types::Cidr;

/// The most addresses of an `X-Forwarded-For` that are looked at.
const MOST_HOPS: usize = 32;

/// Where a call comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// Finds it for a request. `fronts`: the peers whose word is taken.
    pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap, fronts: &[Cidr]) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
        Self(behind(peer, headers, fronts).to_canonical())
    }
}

/// Goes from the peer towards the client for as long as it meets fronts. Who is no front could have made up
/// whatever stands before it.
fn behind(peer: IpAddr, headers: &HeaderMap, fronts: &[Cidr]) -> IpAddr {
    let is_front = |address: IpAddr| fronts.iter().any(|range| range.contains(address));
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let hops = values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
    let mut client = peer;
    for hop in hops.take(MOST_HOPS) {
        if !is_front(client) {
            break;
        }
        let Some(before) = address_in(hop.trim()) else { break };
        client = before;
    }
    client
}

/// An address as fronts write it: bare, or with a port, or in brackets.
fn address_in(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.split_once(']')).map(|(address, _)| address);
    let bare = bracketed.unwrap_or(text);
    bare.parse().ok().or_else(|| bare.parse().map(|address: SocketAddr| address.ip()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let fronts = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        behind(peer.parse().unwrap(), &headers, &fronts).to_string()
    }

    #[test]
    fn only_fronts_are_believed_and_only_as_far_as_they_reach() {
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &["203.0.113.7"][..], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.7:4711"], "203.0.113.7"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("fd00::1", &["203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["203.0.113.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn the_last_of_several_headers_was_added_last() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "198.51.100.1".parse().unwrap());
        headers.append("x-forwarded-for", "203.0.113.7".parse().unwrap());
        let client = behind("10.0.0.1".parse().unwrap(), &headers, &["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(client.to_string(), "203.0.113.7");
    }
}
