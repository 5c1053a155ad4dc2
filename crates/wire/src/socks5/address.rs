//! Addresses as SOCKS5 writes them: a type, the address, a port (RFC 1928 §5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Destination, SocksError, counted};
use crate::target::{BadTarget, Host, Target};

pub(super) const IPV4: u8 = 1;
const NAME: u8 = 3;
pub(super) const IPV6: u8 = 4;

/// A target, where one was meant, and where its bytes end.
pub(super) type Read = (Result<Target, BadTarget>, usize);

/// Reads an address of the given type and a port; `at` is the first byte of the address. `None` where
/// more bytes are wanted.
pub(super) fn read(buf: &[u8], at: usize, address_type: u8) -> Result<Option<Read>, SocksError> {
    Ok(locate(buf, at, address_type)?.map(|(to, end)| (to.target(), end)))
}

/// The same, without asking whether what is written is a target.
pub(super) fn locate(
    buf: &[u8],
    at: usize,
    address_type: u8,
) -> Result<Option<(Destination<'_>, usize)>, SocksError> {
    let rest = buf.get(at..).unwrap_or_default();
    let located = match address_type {
        IPV4 => rest.first_chunk::<4>().and_then(|&octets| {
            let (port, end) = port(buf, at + 4)?;
            Some((Destination::Address(SocketAddr::new(Ipv4Addr::from(octets).into(), port)), end))
        }),
        IPV6 => rest.first_chunk::<16>().and_then(|&octets| {
            let (port, end) = port(buf, at + 16)?;
            Some((Destination::Address(SocketAddr::new(Ipv6Addr::from(octets).into(), port)), end))
        }),
        NAME => counted(buf, at).and_then(|(name, end)| {
            let (port, end) = port(buf, end)?;
            Some((Destination::Name { name, port }, end))
        }),
        other => return Err(SocksError::AddressType(other)),
    };
    Ok(located)
}

fn port(buf: &[u8], at: usize) -> Option<(u16, usize)> {
    let octets = buf.get(at..)?.first_chunk::<2>()?;
    Some((u16::from_be_bytes(*octets), at + 2))
}

pub(super) fn write_socket(out: &mut Vec<u8>, address: SocketAddr) {
    write_ip(out, address.ip());
    out.extend(address.port().to_be_bytes());
}

pub(super) fn write_target(out: &mut Vec<u8>, target: &Target) {
    match &target.host {
        Host::Ip(address) => write_ip(out, *address),
        Host::Name(name) => {
            // A host name has at most 253 bytes; a longer one cannot be parsed into a `Host`.
            let name = name.as_bytes();
            let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
            out.extend([NAME, length]);
            out.extend(name.iter().take(usize::from(length)));
        }
    }
    out.extend(target.port.to_be_bytes());
}

fn write_ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            out.push(IPV4);
            out.extend(address.octets());
        }
        IpAddr::V6(address) => {
            out.push(IPV6);
            out.extend(address.octets());
        }
    }
}
