//! The header before each datagram between a client and its UDP relay (RFC 1928 §7).
//!
//! Nothing here allocates: a name stays the bytes that the client wrote until somebody asks what
//! target they mean, and a header is written right before the payload that it belongs to.

use std::net::{IpAddr, SocketAddr};

use super::SocksError;
use super::address::{self, IPV4, IPV6};
use crate::target::{BadTarget, Host, Target};

/// The longest header before a datagram that goes to a client, in bytes: one with an IPv6 address.
pub const DATAGRAM_HEADER_MAX: usize = 22;

/// A datagram from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it is to go.
    pub to: Destination<'a>,
    /// What it holds; may be empty.
    pub payload: &'a [u8],
}

/// A destination as a client wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'a> {
    /// An address; its port may be 0, which is no target.
    Address(SocketAddr),
    /// What should be a name, or an address as text.
    Name {
        /// As it was written.
        name: &'a [u8],
        /// The port; may be 0, which is no target.
        port: u16,
    },
}

impl Destination<'_> {
    /// The target that is meant.
    ///
    /// # Errors
    /// [`BadTarget`]: the port is 0, or the name is none.
    pub fn target(self) -> Result<Target, BadTarget> {
        match self {
            Self::Address(address) => Target::new(Host::Ip(address.ip()), address.port()),
            Self::Name { name, port } => Target::new(Host::parse_bytes(name)?, port),
        }
    }
}

/// Takes a client's datagram apart.
///
/// # Errors
/// A datagram with an error is dropped: [`SocksError::Short`], [`SocksError::Reserved`],
/// [`SocksError::Fragment`], [`SocksError::AddressType`].
pub fn parse_datagram(datagram: &[u8]) -> Result<Datagram<'_>, SocksError> {
    let Some(&[reserved, reserved_too, fragment, address_type]) = datagram.first_chunk::<4>() else {
        return Err(SocksError::Short);
    };
    if (reserved, reserved_too) != (0, 0) {
        return Err(SocksError::Reserved);
    }
    if fragment != 0 {
        return Err(SocksError::Fragment);
    }
    let (to, end) = address::locate(datagram, 4, address_type)?.ok_or(SocksError::Short)?;
    Ok(Datagram { to, payload: datagram.get(end..).unwrap_or_default() })
}

/// Writes the header before a datagram that goes to the client, so that it ends where `room` ends;
/// `from` is whoever sent the datagram. Answers where in `room` the header begins.
pub fn datagram_header(from: SocketAddr, room: &mut [u8; DATAGRAM_HEADER_MAX]) -> usize {
    let [high, low] = from.port().to_be_bytes();
    match from.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            let header = [0, 0, 0, IPV4, a, b, c, d, high, low];
            let begins = room.len() - header.len();
            room[begins..].copy_from_slice(&header);
            begins
        }
        IpAddr::V6(ip) => {
            room[..4].copy_from_slice(&[0, 0, 0, IPV6]);
            room[4..20].copy_from_slice(&ip.octets());
            room[20..].copy_from_slice(&[high, low]);
            0
        }
    }
}
