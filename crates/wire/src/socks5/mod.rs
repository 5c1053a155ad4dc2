//! SOCKS version 5 (RFC 1928) and its user-name sub-negotiation (RFC 1929): the server's side, the
//! client's side for exits that are SOCKS5 proxies themselves (`client_*`, `parse_*`), and the header of relayed
//! datagrams ([`parse_datagram`], [`datagram_header`]).
//!
//! Every parser is given the whole message so far, from its first byte, and never looks beyond its end.

mod address;
mod client;
mod udp;

use std::net::SocketAddr;

pub use client::{
    CredentialsTooLong, client_credentials, client_greeting, client_request, parse_auth, parse_method,
    parse_reply,
};
pub use udp::{DATAGRAM_HEADER_MAX, Datagram, Destination, datagram_header, parse_datagram};

pub use crate::Parsed;
use crate::basic::{self, Credentials};
use crate::target::{BadTarget, Target};

const VERSION: u8 = 5;
const AUTH_VERSION: u8 = 1;

/// Why bytes are not SOCKS5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SocksError {
    /// The version is not 5.
    #[error("the SOCKS version is {0}, not 5")]
    Version(u8),
    /// The version of the user-name sub-negotiation is not 1.
    #[error("the version of the user-name sub-negotiation is {0}, not 1")]
    AuthVersion(u8),
    /// The user name is not text.
    #[error("the user name is not text")]
    Credentials,
    /// A reserved octet is not zero.
    #[error("a reserved octet is not zero")]
    Reserved,
    /// The address type is none of IPv4, name, IPv6.
    #[error("unknown address type {0}")]
    AddressType(u8),
    /// The upstream chose a method that was not offered.
    #[error("the upstream chose method {0}, which was not offered")]
    Method(u8),
    /// A datagram that is a fragment; those are dropped (RFC 1928 §7).
    #[error("fragments are not relayed")]
    Fragment,
    /// A datagram that ends within its header.
    #[error("the datagram ends within its header")]
    Short,
}

impl SocksError {
    /// What a request that failed with this is answered with.
    pub const fn rep(self) -> Rep {
        match self {
            Self::AddressType(_) => Rep::AddressTypeNotSupported,
            Self::Version(_)
            | Self::AuthVersion(_)
            | Self::Credentials
            | Self::Reserved
            | Self::Method(_)
            | Self::Fragment
            | Self::Short => Rep::General,
        }
    }
}

/// The methods a client offers, as far as they matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// It would go without authentication.
    pub no_auth: bool,
    /// It would give a user name and a password.
    pub user_pass: bool,
}

/// Understands a client's greeting.
///
/// # Errors
/// [`SocksError::Version`].
pub fn greeting(buf: &[u8]) -> Result<Parsed<Greeting>, SocksError> {
    check_version(buf, VERSION, SocksError::Version)?;
    let Some(&count) = buf.get(1) else {
        return Ok(Parsed::Need);
    };
    let end = 2 + usize::from(count);
    let Some(methods) = buf.get(2..end) else {
        return Ok(Parsed::Need);
    };
    let offers = |method: Method| methods.contains(&method.octet());
    let greeting = Greeting { no_auth: offers(Method::NoAuth), user_pass: offers(Method::UserPass) };
    Ok(Parsed::Done(greeting, end))
}

/// Understands a client's user name and password (RFC 1929 §2).
///
/// # Errors
/// [`SocksError::AuthVersion`], [`SocksError::Credentials`]; to either the answer is
/// [`auth_reply`]`(false)`.
pub fn credentials(buf: &[u8]) -> Result<Parsed<Credentials>, SocksError> {
    check_version(buf, AUTH_VERSION, SocksError::AuthVersion)?;
    let Some((user, after_user)) = counted(buf, 1) else {
        return Ok(Parsed::Need);
    };
    let Some((password, end)) = counted(buf, after_user) else {
        return Ok(Parsed::Need);
    };
    let credentials = basic::new(user, password).ok_or(SocksError::Credentials)?;
    Ok(Parsed::Done(credentials, end))
}

/// What a client wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A connection to the target.
    Connect,
    /// To wait for a connection; not supported.
    Bind,
    /// A relay for datagrams.
    UdpAssociate,
    /// Something that RFC 1928 does not name.
    Other(u8),
}

/// A client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub command: Command,
    /// To whom. An error where the port is 0 or the name is none, which is usual and no matter with
    /// [`Command::UdpAssociate`].
    pub target: Result<Target, BadTarget>,
}

/// Understands a client's request (RFC 1928 §4).
///
/// # Errors
/// [`SocksError::Version`], [`SocksError::Reserved`], [`SocksError::AddressType`];
/// [`SocksError::rep`] is the answer.
pub fn request(buf: &[u8]) -> Result<Parsed<Request>, SocksError> {
    check_version(buf, VERSION, SocksError::Version)?;
    let Some(&[_, command, reserved, address_type]) = buf.first_chunk::<4>() else {
        return Ok(Parsed::Need);
    };
    if reserved != 0 {
        return Err(SocksError::Reserved);
    }
    let Some((target, end)) = address::read(buf, 4, address_type)? else {
        return Ok(Parsed::Need);
    };
    let command = match command {
        1 => Command::Connect,
        2 => Command::Bind,
        3 => Command::UdpAssociate,
        other => Command::Other(other),
    };
    Ok(Parsed::Done(Request { command, target }, end))
}

/// An authentication method, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// None is needed.
    NoAuth = 0,
    /// User name and password (RFC 1929).
    UserPass = 2,
    /// None of those offered will do.
    None = 0xff,
}

impl Method {
    const fn octet(self) -> u8 {
        self as u8
    }
}

/// What became of a request, by its number (RFC 1928 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rep {
    /// It was done.
    Succeeded = 0,
    /// It failed for a reason without a number of its own.
    General = 1,
    /// It is not allowed.
    NotAllowed = 2,
    /// The network cannot be reached.
    NetworkUnreachable = 3,
    /// The host cannot be reached, or its name does not resolve.
    HostUnreachable = 4,
    /// The target refused the connection.
    ConnectionRefused = 5,
    /// It took too long.
    TtlExpired = 6,
    /// The command is not supported.
    CommandNotSupported = 7,
    /// The address type is not supported.
    AddressTypeNotSupported = 8,
}

impl Rep {
    /// By its number; one that RFC 1928 does not name is a general failure.
    pub const fn from_octet(octet: u8) -> Self {
        match octet {
            0 => Self::Succeeded,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            _ => Self::General,
        }
    }

    /// Its number.
    pub const fn octet(self) -> u8 {
        self as u8
    }
}

/// The answer to a greeting.
pub fn method_reply(method: Method) -> [u8; 2] {
    [VERSION, method.octet()]
}

/// The answer to a user name and a password.
pub fn auth_reply(ok: bool) -> [u8; 2] {
    [AUTH_VERSION, u8::from(!ok)]
}

/// The answer to a request. `bound` is the address the relay leaves from, or listens on for datagrams;
/// for a failure any address will do, `0.0.0.0:0` say.
pub fn reply(rep: Rep, bound: SocketAddr) -> Vec<u8> {
    let mut out = vec![VERSION, rep.octet(), 0];
    address::write_socket(&mut out, bound);
    out
}

fn check_version(buf: &[u8], want: u8, error: fn(u8) -> SocksError) -> Result<(), SocksError> {
    match buf.first() {
        Some(&version) if version != want => Err(error(version)),
        _ => Ok(()),
    }
}

/// The bytes that a length octet at `at` announces, and where they end.
fn counted(buf: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = usize::from(*buf.get(at)?);
    let end = at + 1 + length;
    Some((buf.get(at + 1..end)?, end))
}

#[cfg(test)]
mod tests;
