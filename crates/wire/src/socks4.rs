//! SOCKS version 4 and its extension 4a, the server's side.
//!
//! There is no password in it, only a user id that nobody checks. Programs that need one to be checked
//! write `NAME:PASSWORD` there. The parser is given the whole request so far, from its first byte, and
//! never looks beyond its end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::Parsed;
use crate::basic::{self, Credentials, PART_MAX};
use crate::target::{BadTarget, Host, Target};

const VERSION: u8 = 4;
const CONNECT: u8 = 1;
/// The longest user id, in bytes: a user name, a colon and a password.
pub const USER_ID_MAX: usize = 2 * PART_MAX + 1;
/// The longest name of a host, in bytes: what SOCKS5 can carry.
pub const HOST_MAX: usize = 255;
/// The longest request, in bytes: the fixed part, and both texts with the zero that ends each.
pub const REQUEST_MAX: usize = FIXED + USER_ID_MAX + 1 + HOST_MAX + 1;
/// Version, command, port and address.
const FIXED: usize = 8;

/// Why bytes are not a request of SOCKS4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Socks4Error {
    /// The version is not 4.
    #[error("the SOCKS version is {0}, not 4")]
    Version(u8),
    /// The user id or the host is longer than its bound.
    #[error("the user id or the host is too long")]
    TooLong,
}

/// Who a client says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserId {
    /// Nothing that could be checked: no user id, or one without a password.
    Unchecked,
    /// A user name and a password.
    Credentials(Credentials),
    /// A user id with a colon that is no user name and password.
    Malformed,
}

/// A client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whether it is CONNECT; the other command, BIND, is not supported.
    pub is_connect: bool,
    /// Where to.
    pub target: Result<Target, BadTarget>,
    /// Who asks.
    pub user: UserId,
}

/// Understands a client's request.
///
/// # Errors
/// [`Socks4Error`]; to either the answer is [`reply`]`(false, …)`.
pub fn request(buf: &[u8]) -> Result<Parsed<Request>, Socks4Error> {
    if let Some(&version) = buf.first().filter(|&&version| version != VERSION) {
        return Err(Socks4Error::Version(version));
    }
    let Some(&[_, command, high, low, a, b, c, d]) = buf.first_chunk::<FIXED>() else {
        return Ok(Parsed::Need);
    };
    let Some((user, end)) = terminated(buf, FIXED, USER_ID_MAX)? else { return Ok(Parsed::Need) };
    let address = Ipv4Addr::new(a, b, c, d);
    let (host, end) = if is_name_behind(address) {
        let Some((name, end)) = terminated(buf, end, HOST_MAX)? else { return Ok(Parsed::Need) };
        (Host::parse_bytes(name), end)
    } else {
        (Ok(Host::Ip(address.into())), end)
    };
    let target = host.and_then(|host| Target::new(host, u16::from_be_bytes([high, low])));
    Ok(Parsed::Done(Request { is_connect: command == CONNECT, target, user: user_id(user) }, end))
}

/// The answer to a request. `bound` is the address the connection leaves from; only an IPv4 address can
/// be told.
pub fn reply(granted: bool, bound: SocketAddr) -> [u8; 8] {
    let code = if granted { 90 } else { 91 };
    let [high, low] = bound.port().to_be_bytes();
    let [a, b, c, d] = match bound.ip().to_canonical() {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    [0, code, high, low, a, b, c, d]
}

/// Whether an address says that a name follows: 0.0.0.x, where x is not 0 (SOCKS4a).
fn is_name_behind(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [0, 0, 0, last] if last != 0)
}

/// The text from `at` to the zero that ends it, which is `most` bytes away at most, and where the next
/// field begins; `None` where the zero has not come yet.
fn terminated(buf: &[u8], at: usize, most: usize) -> Result<Option<(&[u8], usize)>, Socks4Error> {
    let rest = buf.get(at..).unwrap_or_default();
    match rest.iter().take(most + 1).position(|&byte| byte == 0) {
        Some(length) => Ok(rest.get(..length).map(|text| (text, at + length + 1))),
        None if rest.len() > most => Err(Socks4Error::TooLong),
        None => Ok(None),
    }
}

/// Understands a user id. The password starts after the first colon and may hold more of them.
fn user_id(id: &[u8]) -> UserId {
    let Some(colon) = id.iter().position(|&byte| byte == b':') else { return UserId::Unchecked };
    let (name, password) = id.split_at(colon);
    match basic::new(name, password.get(1..).unwrap_or_default()) {
        Some(credentials) => UserId::Credentials(credentials),
        None => UserId::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request, whether it is CONNECT, where to, and who asks.
    type Row = (&'static [u8], bool, Result<&'static str, BadTarget>, UserId);

    fn whole(message: &[u8]) -> Request {
        for cut in 0..message.len() {
            assert_eq!(request(&message[..cut]), Ok(Parsed::Need), "{cut} of {}", message.escape_ascii());
        }
        let more = [message, b"\x04\x01more\0"].concat();
        let Ok(Parsed::Done(value, consumed)) = request(&more) else { panic!("{:?}", request(&more)) };
        assert_eq!(consumed, message.len());
        value
    }

    fn asked(message: &[u8]) -> (bool, Result<String, BadTarget>, UserId) {
        let Request { is_connect, target, user } = whole(message);
        (is_connect, target.map(|target| target.to_string()), user)
    }

    fn login(user: &str, password: &str) -> UserId {
        UserId::Credentials(Credentials { user: user.into(), password: password.into() })
    }

    #[test]
    fn understands_requests() {
        use UserId::{Malformed, Unchecked};
        let rows: [Row; 12] = [
            (b"\x04\x01\x00\x50\x7f\x00\x00\x01\0", true, Ok("127.0.0.1:80"), Unchecked),
            (b"\x04\x01\x01\xbb\x0a\x00\x00\x01root\0", true, Ok("10.0.0.1:443"), Unchecked),
            (b"\x04\x02\x00\x50\x7f\x00\x00\x01\0", false, Ok("127.0.0.1:80"), Unchecked),
            (b"\x04\x01\x00\x50\x00\x00\x00\x01\0a.test\0", true, Ok("a.test:80"), Unchecked),
            (
                b"\x04\x01\x00\x50\x00\x00\x00\xffu-cc-us:p:w\0a_b.test\0",
                true,
                Ok("a_b.test:80"),
                login("u-cc-us", "p:w"),
            ),
            (b"\x04\x01\x00\x50\x00\x00\x00\x01u:\0[::1]\0", true, Ok("[::1]:80"), login("u", "")),
            (
                b"\x04\x01\x00\x50\x00\x00\x00\x01:\0b\xc3\xbc.test\0",
                true,
                Ok("xn--b-eha.test:80"),
                login("", ""),
            ),
            (b"\x04\x01\x00\x50\x00\x00\x00\x01\xff:p\0a\0", true, Ok("a:80"), Malformed),
            (b"\x04\x01\x00\x50\x00\x00\x00\x01\0\0", true, Err(BadTarget::Empty), Unchecked),
            (b"\x04\x01\x00\x50\x00\x00\x00\x00\0", true, Ok("0.0.0.0:80"), Unchecked),
            (b"\x04\x01\x00\x00\x7f\x00\x00\x01\0", true, Err(BadTarget::Port), Unchecked),
            (b"\x04\x01\x00\x50\x00\x00\x00\x01\x00127.1\0", true, Err(BadTarget::Numeric), Unchecked),
        ];
        for (message, is_connect, target, user) in rows {
            let expected = (is_connect, target.map(str::to_owned), user);
            assert_eq!(asked(message), expected, "{}", message.escape_ascii());
        }
    }

    #[test]
    fn bounds_are_exact() {
        let with = |user: usize, host: usize| {
            let (user, host) = (vec![b'u'; user], vec![b'h'; host]);
            [b"\x04\x01\x00\x50\x00\x00\x00\x01", &user[..], &[0], &host, &[0]].concat()
        };
        let longest = with(USER_ID_MAX, HOST_MAX);
        assert_eq!(longest.len(), REQUEST_MAX);
        assert_eq!(whole(&longest).target, Err(BadTarget::Name));
        assert_eq!(request(&with(USER_ID_MAX + 1, 1)), Err(Socks4Error::TooLong));
        assert_eq!(request(&with(1, HOST_MAX + 1)), Err(Socks4Error::TooLong));
        // It is known as soon as the bytes are there, with the zero or without.
        assert_eq!(request(&with(USER_ID_MAX + 1, 1)[..FIXED + USER_ID_MAX + 1]), Err(Socks4Error::TooLong));
        assert_eq!(request(&with(USER_ID_MAX, 1)[..FIXED + USER_ID_MAX]), Ok(Parsed::Need));
        assert_eq!(request(b"\x05"), Err(Socks4Error::Version(5)));
    }

    #[test]
    fn replies_tell_addresses_that_fit() {
        let reply_from = |bound: &str| reply(true, bound.parse().unwrap());
        assert_eq!(reply_from("192.0.2.1:258"), [0, 90, 1, 2, 192, 0, 2, 1]);
        assert_eq!(reply_from("[::ffff:192.0.2.1]:258"), [0, 90, 1, 2, 192, 0, 2, 1]);
        assert_eq!(reply_from("[2001:db8::1]:258"), [0, 90, 1, 2, 0, 0, 0, 0]);
        assert_eq!(reply(false, "0.0.0.0:0".parse().unwrap()), [0, 91, 0, 0, 0, 0, 0, 0]);
    }
}
