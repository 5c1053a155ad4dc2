//! The one way out: check → connect to the very address that was checked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tollgate_types::{Cidr, is_public_address};

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Those addresses that are open: public, or opened by the operator. A name that has closed ones
/// beside them loses these; who gets none must not connect.
pub(crate) fn open_addresses(addresses: &[IpAddr], allow: &[Cidr]) -> Vec<IpAddr> {
    let canonical = addresses.iter().map(IpAddr::to_canonical);
    canonical.filter(|ip| is_public_address(*ip) || allow.iter().any(|range| range.contains(*ip))).collect()
}

/// Connects to the first of some addresses that answers, one after the other, each within `each`.
/// `None` where none does.
pub(crate) async fn connect(addresses: &[IpAddr], port: u16, each: Duration) -> Option<TcpStream> {
    for ip in addresses.iter().take(MAX_ADDRESSES) {
        let address = SocketAddr::new(*ip, port);
        if let Ok(Ok(stream)) = timeout(each, connect_to(address)).await {
            return Some(stream);
        }
    }
    None
}

async fn connect_to(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn closed_addresses_are_passed_over() {
        let mixed = ips(&["10.0.0.1", "1.1.1.1", "::ffff:127.0.0.1", "2606:4700::1111", "169.254.169.254"]);
        assert_eq!(open_addresses(&mixed, &[]), ips(&["1.1.1.1", "2606:4700::1111"]));
        assert!(open_addresses(&ips(&["127.0.0.1", "::1", "64:ff9b::7f00:1"]), &[]).is_empty());
    }

    #[test]
    fn the_operator_opens_ranges() {
        let lab: Cidr = "127.0.0.0/8".parse().unwrap();
        let open = open_addresses(&ips(&["::ffff:127.0.0.1", "10.0.0.1"]), &[lab]);
        assert_eq!(open, ips(&["127.0.0.1"]));
    }
}
