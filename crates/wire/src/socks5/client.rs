//! The client's side, spoken to exits that are SOCKS5 proxies.

use super::{AUTH_VERSION, Method, Parsed, Rep, SocksError, VERSION, address, check_version};
use crate::target::Target;

const CONNECT: u8 = 1;

/// A user name or password that RFC 1929 cannot carry: empty, or longer than 255 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SOCKS5 user name or password has 1 to 255 bytes")]
pub struct CredentialsTooLong;

/// The greeting: offers a user name and password too where `with_auth`.
pub fn client_greeting(with_auth: bool) -> Vec<u8> {
    if with_auth {
        vec![VERSION, 2, Method::NoAuth.octet(), Method::UserPass.octet()]
    } else {
        vec![VERSION, 1, Method::NoAuth.octet()]
    }
}

/// The user name and password.
///
/// # Errors
/// [`CredentialsTooLong`], also for an empty part.
pub fn client_credentials(user: &str, password: &str) -> Result<Vec<u8>, CredentialsTooLong> {
    let mut out = vec![AUTH_VERSION];
    for part in [user, password] {
        let length = u8::try_from(part.len()).ok().filter(|&length| length > 0).ok_or(CredentialsTooLong)?;
        out.push(length);
        out.extend(part.as_bytes());
    }
    Ok(out)
}

/// The request to connect to a target.
pub fn client_request(target: &Target) -> Vec<u8> {
    let mut out = vec![VERSION, CONNECT, 0];
    address::write_target(&mut out, target);
    out
}

/// Understands the upstream's choice of method.
///
/// # Errors
/// [`SocksError::Version`]; [`SocksError::Method`] for one that is never offered.
pub fn parse_method(buf: &[u8]) -> Result<Parsed<Method>, SocksError> {
    check_version(buf, VERSION, SocksError::Version)?;
    let Some(&[_, method]) = buf.first_chunk::<2>() else {
        return Ok(Parsed::Need);
    };
    let method = match method {
        0 => Method::NoAuth,
        2 => Method::UserPass,
        0xff => Method::None,
        other => return Err(SocksError::Method(other)),
    };
    Ok(Parsed::Done(method, 2))
}

/// Understands whether the upstream took the user name and password.
///
/// # Errors
/// [`SocksError::AuthVersion`].
pub fn parse_auth(buf: &[u8]) -> Result<Parsed<bool>, SocksError> {
    check_version(buf, AUTH_VERSION, SocksError::AuthVersion)?;
    match buf.first_chunk::<2>() {
        Some(&[_, status]) => Ok(Parsed::Done(status == 0, 2)),
        None => Ok(Parsed::Need),
    }
}

/// Understands the upstream's answer to the request. The bytes after it are the target's.
///
/// # Errors
/// [`SocksError::Version`], [`SocksError::Reserved`], [`SocksError::AddressType`].
pub fn parse_reply(buf: &[u8]) -> Result<Parsed<Rep>, SocksError> {
    check_version(buf, VERSION, SocksError::Version)?;
    let Some(&[_, rep, reserved, address_type]) = buf.first_chunk::<4>() else {
        return Ok(Parsed::Need);
    };
    if reserved != 0 {
        return Err(SocksError::Reserved);
    }
    // The bound address is of no use here, only its length is.
    match address::read(buf, 4, address_type)? {
        Some((_bound, end)) => Ok(Parsed::Done(Rep::from_octet(rep), end)),
        None => Ok(Parsed::Need),
    }
}
