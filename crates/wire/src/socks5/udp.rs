//! The header before each datagram between a client and its UDP relay (RFC 1928 §7).

use std::net::SocketAddr;

use super::{SocksError, address};
use crate::target::{BadTarget, Target};

/// A datagram from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it is to go.
    pub target: Result<Target, BadTarget>,
    /// What it holds; may be empty.
    pub payload: &'a [u8],
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
    let (target, end) = address::read(datagram, 4, address_type)?.ok_or(SocksError::Short)?;
    Ok(Datagram { target, payload: datagram.get(end..).unwrap_or_default() })
}

/// Writes the header before a datagram that goes to the client; `from` is whoever sent it.
pub fn datagram_header(from: SocketAddr, out: &mut Vec<u8>) {
    out.extend([0, 0, 0]);
    address::write_socket(out, from);
}
