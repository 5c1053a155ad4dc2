//! What sockets on both sides have in common.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::sockopt;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpSocket;

/// The unspecified address: told instead of one that is nobody's business.
pub(crate) const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A peer that vanished without a word is noticed after about this long and three probes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How often a silent peer is probed after that.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
/// How long written bytes may stay unacknowledged before the connection is given up.
const UNACKNOWLEDGED_AT_MOST_MS: u32 = 120_000;

/// Small writes leave at once. Best effort: a socket that refuses an option works without it.
pub(crate) fn send_at_once(socket: &impl AsFd) {
    note(rustix::net::sockopt::set_tcp_nodelay(socket, true).map_err(io::Error::from));
}

/// A peer that vanished is noticed. Best effort, too.
pub(crate) fn notice_silence(socket: &impl AsFd) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    note(SockRef::from(socket).set_tcp_keepalive(&keepalive));
    note(
        rustix::net::sockopt::set_tcp_user_timeout(socket, UNACKNOWLEDGED_AT_MOST_MS)
            .map_err(io::Error::from),
    );
}

fn note(set: io::Result<()>) {
    if let Err(error) = set {
        tracing::trace!(%error, "a socket option was not taken");
    }
}

/// Has a socket leave from an address. The port is chosen when it connects, so that connections to
/// different targets may share one and the ports of one address do not run out with their number.
///
/// # Errors
/// The address is not this machine's.
pub(crate) fn leave_from(socket: &TcpSocket, ip: IpAddr) -> io::Result<()> {
    // Best effort: without it the port is chosen now.
    if let Err(error) = nix::sys::socket::setsockopt(socket, sockopt::IpBindAddressNoPort, &true) {
        tracing::trace!(%error, "a socket option was not taken");
    }
    socket.bind(SocketAddr::new(ip, 0))
}

/// Has a socket leave from an address that need not be configured on this machine: it is enough that
/// what is sent to it is routed here.
///
/// # Errors
/// The system does not let it.
pub(crate) fn leave_from_any(socket: &TcpSocket, ip: IpAddr) -> io::Result<()> {
    let freely = match ip {
        IpAddr::V4(_) => rustix::net::sockopt::set_ip_freebind(socket, true),
        IpAddr::V6(_) => rustix::net::sockopt::set_ipv6_freebind(socket, true),
    };
    // Best effort: where the address is configured it works without.
    if let Err(error) = freely {
        tracing::trace!(%error, "a socket option was not taken");
    }
    leave_from(socket, ip)
}

/// Whether an address is one of this machine's: only those can be bound.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// Whether the machine has no IPv6, or not any more.
pub(crate) fn lacks_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let raw = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|e| Some(e.raw_os_error()) == raw)
}

/// Whether this process, or this machine, has run out of file descriptors, ports or buffers.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let raw = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].iter().any(|e| Some(e.raw_os_error()) == raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_not_configured_can_be_left_from_where_that_is_asked_for() {
        // Of the ranges for documentation: nobody's, and nothing is sent here.
        for ip in ["203.0.113.77", "2001:db8::77"] {
            let ip: IpAddr = ip.parse().unwrap();
            let socket = || if ip.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
            assert!(leave_from(&socket(), ip).is_err(), "{ip}");
            let free = socket();
            leave_from_any(&free, ip).unwrap();
            let bound = free.local_addr().unwrap();
            assert_eq!(bound, SocketAddr::new(ip, 0), "the port is chosen when it connects");
        }
    }

    #[test]
    fn a_machine_without_ipv6_is_told_from_a_port_that_is_taken() {
        use rustix::io::Errno;
        let lacks = |errno: Errno| lacks_ipv6(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!(lacks(Errno::AFNOSUPPORT) && lacks(Errno::ADDRNOTAVAIL));
        assert!(!lacks(Errno::ADDRINUSE) && !lacks(Errno::ACCESS) && !lacks(Errno::MFILE));
    }
}
