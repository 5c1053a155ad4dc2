//! The header in which a front (a load balancer) says for whom it connects: the PROXY protocol of
//! HAProxy, versions 1 and 2.
//!
//! Version 1 is a line of text, `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, version 2 the same in
//! binary, perhaps with further fields behind it, which are passed over. It comes before the first byte
//! of the connection itself. Whoever may send one is a matter of trust, and not decided here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::Parsed;

/// The longest header of version 1, with its end of line (its specification, §2.1).
pub const V1_MAX: usize = 107;
/// What may follow the fixed part of a header of version 2 at most: addresses and further fields. The
/// longest addresses take 216 bytes.
pub const V2_REST_MAX: usize = 1024;

const V1_BEGINNING: &[u8; 6] = b"PROXY ";
const V2_BEGINNING: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2.
const V2_FIXED: usize = 16;
const END_OF_LINE: &[u8; 2] = b"\r\n";

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProxyProtocolError {
    /// They begin in neither of the two ways.
    #[error("the connection does not begin with a PROXY header")]
    Beginning,
    /// It is longer than it may be.
    #[error("the PROXY header is too long")]
    TooLong,
    /// A line of version 1 that is not understood.
    #[error("the PROXY line is malformed")]
    Line,
    /// Version 2 with another version or command.
    #[error("unknown version or command {0:#04x} in the PROXY header")]
    Command(u8),
    /// Version 2 with a family or protocol of addresses that no TCP connection has.
    #[error("unexpected family of addresses {0:#04x} in the PROXY header")]
    Family(u8),
    /// Version 2 without room for the addresses that it says it has.
    #[error("the PROXY header is too short for its addresses")]
    Short,
}

/// The two ends of the connection that a front stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// Who connected.
    pub source: SocketAddr,
    /// What to.
    pub destination: SocketAddr,
}

/// Understands a header. `None` where the front speaks for itself (a health check), or does not know
/// or say whom it speaks for: then the ends are those of its own connection.
///
/// # Errors
/// [`ProxyProtocolError`]: the connection is to be closed.
pub fn header(buf: &[u8]) -> Result<Parsed<Option<Ends>>, ProxyProtocolError> {
    if begins(buf, V2_BEGINNING) {
        binary(buf)
    } else if begins(buf, V1_BEGINNING) {
        line(buf)
    } else {
        Err(ProxyProtocolError::Beginning)
    }
}

/// Whether what has arrived so far can be the beginning of something that begins so.
fn begins(buf: &[u8], beginning: &[u8]) -> bool {
    let compared = buf.len().min(beginning.len());
    buf.get(..compared) == beginning.get(..compared)
}

fn line(buf: &[u8]) -> Result<Parsed<Option<Ends>>, ProxyProtocolError> {
    let within = buf.get(..V1_MAX).unwrap_or(buf);
    let Some(end) = within.windows(END_OF_LINE.len()).position(|two| two == END_OF_LINE) else {
        return if buf.len() < V1_MAX { Ok(Parsed::Need) } else { Err(ProxyProtocolError::TooLong) };
    };
    let line = within.get(V1_BEGINNING.len()..end).unwrap_or_default();
    let text = std::str::from_utf8(line).map_err(|_| ProxyProtocolError::Line)?;
    let ends = line_ends(text).ok_or(ProxyProtocolError::Line)?;
    Ok(Parsed::Done(ends, end + END_OF_LINE.len()))
}

fn line_ends(text: &str) -> Option<Option<Ends>> {
    let mut words = text.split(' ');
    let read = match words.next()? {
        // Whatever follows is not looked at.
        "UNKNOWN" => return Some(None),
        "TCP4" => address::<Ipv4Addr>,
        "TCP6" => address::<Ipv6Addr>,
        _ => return None,
    };
    let (source, destination) = (read(words.next()?)?, read(words.next()?)?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    let ends = Ends {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    };
    words.next().is_none().then_some(Some(ends))
}

fn address<T: FromStr + Into<IpAddr>>(text: &str) -> Option<IpAddr> {
    text.parse::<T>().ok().map(|address| address.into().to_canonical())
}

/// Digits without zeros in front of them.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

fn binary(buf: &[u8]) -> Result<Parsed<Option<Ends>>, ProxyProtocolError> {
    let Some((&[.., command, family, high, low], rest)) = buf.split_first_chunk::<V2_FIXED>() else {
        return Ok(Parsed::Need);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyProtocolError::Command(command)),
    };
    if length > V2_REST_MAX {
        return Err(ProxyProtocolError::TooLong);
    }
    // A command of its own makes the family meaningless.
    let least = if is_local { 0 } else { addresses_bytes(family)? };
    if length < least {
        return Err(ProxyProtocolError::Short);
    }
    let Some(rest) = rest.get(..length) else { return Ok(Parsed::Need) };
    let ends = if is_local { None } else { binary_ends(family, rest) };
    Ok(Parsed::Done(ends, V2_FIXED + length))
}

const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// A Unix socket: nobody on the network.
const UNIX: u8 = 0x31;

/// How many bytes the addresses of a family take.
const fn addresses_bytes(family: u8) -> Result<usize, ProxyProtocolError> {
    match family {
        UNSPECIFIED => Ok(0),
        TCP4 => Ok(12),
        TCP6 => Ok(36),
        UNIX => Ok(216),
        _ => Err(ProxyProtocolError::Family(family)),
    }
}

fn binary_ends(family: u8, rest: &[u8]) -> Option<Ends> {
    let (source, destination, ports) = match family {
        TCP4 => {
            let (source, rest) = rest.split_first_chunk::<4>()?;
            let (destination, ports) = rest.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*source).into(), Ipv4Addr::from(*destination).into(), ports)
        }
        TCP6 => {
            let (source, rest) = rest.split_first_chunk::<16>()?;
            let (destination, ports) = rest.split_first_chunk::<16>()?;
            (Ipv6Addr::from(*source).into(), Ipv6Addr::from(*destination).into(), ports)
        }
        _ => return None,
    };
    let &[a, b, c, d] = ports.first_chunk::<4>()?;
    let end = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(port));
    Some(Ends { source: end(source, [a, b]), destination: end(destination, [c, d]) })
}

#[cfg(test)]
mod tests;
