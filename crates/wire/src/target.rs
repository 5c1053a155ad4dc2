//! Where a client wants to go: a host and a port, understood in one way only.
//!
//! A destination check is worth what the parsing before it is worth. So a host is either an address in
//! its one usual spelling or a name that no resolver could mistake for an address: `0x7f.1`,
//! `2130706433`, `127.1` and `0177.0.0.1` are refused rather than guessed at.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// The longest host name, without its trailing dot (RFC 1035 §2.3.4, as text).
pub const NAME_MAX: usize = 253;
/// The longest label of a host name.
pub const LABEL_MAX: usize = 63;

/// Why a text names no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadTarget {
    /// There is no host.
    #[error("the host is missing")]
    Empty,
    /// A user name or password stands before the host.
    #[error("user name and password do not belong in the target")]
    UserInfo,
    /// A name with characters beyond ASCII that IDNA does not take.
    #[error("the host name is none that IDNA (UTS 46) takes")]
    Idna,
    /// Not a host name: too long, an empty label, a character that no host name has.
    #[error("the host name is malformed")]
    Name,
    /// A spelling of a number that some systems would read as an address.
    #[error("the host looks like a number; write addresses in their usual form")]
    Numeric,
    /// Brackets that do not hold an IPv6 address.
    #[error("the IPv6 address is malformed")]
    Address,
    /// There is no port, and none is implied.
    #[error("the port is missing")]
    MissingPort,
    /// Not a number from 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
}

/// A host: an address, or a name still to be resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name in lower case, without a trailing dot: labels of `a-z 0-9 - _`, 1 to 63 bytes each,
    /// at most 253 together.
    Name(String),
}

impl Host {
    /// Understands a bare host: an address (IPv6 without brackets) or a name.
    ///
    /// # Errors
    /// [`BadTarget`].
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        if text.is_empty() {
            return Err(BadTarget::Empty);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(address.into()));
        }
        check_name(name).map(|()| Self::Name(name.to_ascii_lowercase()))
    }

    /// Understands a host as SOCKS carries it: an address as text, in brackets or without, or a name,
    /// which may be written beyond ASCII. Such a name becomes its `xn--` form as in a browser
    /// (UTS 46 with the options of the URL standard), and is then judged as if it had been written so.
    ///
    /// # Errors
    /// [`BadTarget`].
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, BadTarget> {
        if let Some(inside) = bytes.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
            let address = std::str::from_utf8(inside).ok().and_then(|text| text.parse().ok());
            return address.map(Self::Ip).ok_or(BadTarget::Address);
        }
        if bytes.is_ascii() {
            return Self::parse(std::str::from_utf8(bytes).map_err(|_| BadTarget::Name)?);
        }
        let ascii = Uts46::new().to_ascii(bytes, AsciiDenyList::URL, Hyphens::Allow, DnsLength::Ignore);
        // What is mapped to nothing is no name, although it was written.
        Self::parse(ascii.ok().filter(|name| !name.is_empty()).as_deref().ok_or(BadTarget::Idna)?)
    }
}

impl fmt::Display for Host {
    /// As in a URI: an IPv6 address stands in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A host and a port that is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port, 1 to 65535.
    pub port: u16,
}

impl Target {
    /// A target of a known host.
    ///
    /// # Errors
    /// [`BadTarget::Port`] for port 0.
    pub fn new(host: Host, port: u16) -> Result<Self, BadTarget> {
        if port == 0 { Err(BadTarget::Port) } else { Ok(Self { host, port }) }
    }

    /// Understands `host:port` as it stands in a URI (RFC 3986 §3.2): IPv6 in brackets,
    /// percent-encoded letters of a name decoded. A port that is absent or empty means `default_port`,
    /// and is an error where there is none.
    ///
    /// # Errors
    /// [`BadTarget`].
    pub fn parse_authority(text: &str, default_port: Option<u16>) -> Result<Self, BadTarget> {
        if text.contains('@') {
            return Err(BadTarget::UserInfo);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => bracketed(rest)?,
            None => {
                let (host, port) = text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
                (Host::parse(&percent_decode(host)?)?, port)
            }
        };
        let port = match port {
            None | Some("") => default_port.ok_or(BadTarget::MissingPort)?,
            Some(digits) => parse_port(digits)?,
        };
        Self::new(host, port)
    }

    /// As a `Host` field shows it: the port is left out where it is the default one.
    pub fn authority(&self, default_port: u16) -> String {
        if self.port == default_port { self.host.to_string() } else { self.to_string() }
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Ip(address.ip()), port: address.port() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The rest of an authority after its opening bracket.
fn bracketed(rest: &str) -> Result<(Host, Option<&str>), BadTarget> {
    let (inside, after) = rest.split_once(']').ok_or(BadTarget::Address)?;
    let address: Ipv6Addr = inside.parse().map_err(|_| BadTarget::Address)?;
    let port = match after.strip_prefix(':') {
        Some(port) => Some(port),
        None if after.is_empty() => None,
        None => return Err(BadTarget::Address),
    };
    Ok((Host::Ip(address.into()), port))
}

/// One to five digits, and nothing else: no sign, no blank.
fn parse_port(digits: &str) -> Result<u16, BadTarget> {
    if digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadTarget::Port);
    }
    digits.parse().map_err(|_| BadTarget::Port)
}

/// Decodes `%41` and the like. What comes out is judged as if it had been written plainly, so an
/// encoded dot, blank or colon gains nothing.
fn percent_decode(text: &str) -> Result<Cow<'_, str>, BadTarget> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2).ok_or(BadTarget::Name)?;
        if !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadTarget::Name);
        }
        let byte = u8::from_str_radix(code, 16).map_err(|_| BadTarget::Name)?;
        if !is_name_byte(byte) && byte != b'.' {
            return Err(BadTarget::Name);
        }
        decoded.push(char::from(byte));
        decoded.push_str(rest);
    }
    Ok(Cow::Owned(decoded))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn check_name(name: &str) -> Result<(), BadTarget> {
    if name.is_empty() || name.len() > NAME_MAX || !name.split('.').all(is_label) {
        return Err(BadTarget::Name);
    }
    // What ends in a number would be read as an IPv4 address by inet_aton and by browsers.
    let last = name.rsplit('.').next().unwrap_or_default();
    if is_number(last) { Err(BadTarget::Numeric) } else { Ok(()) }
}

fn is_label(label: &str) -> bool {
    let plain = (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(is_name_byte);
    let encoded = label.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("xn--"));
    plain && (encoded.is_none() || label.get(4..).and_then(decode_punycode).is_some())
}

/// Digits, or `0x` and hexadecimal digits.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    label.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Decodes a label without its `xn--` (RFC 3492 §6.2); `None` where it encodes nothing.
fn decode_punycode(encoded: &str) -> Option<String> {
    let (basic, tail) = encoded.rsplit_once('-').unwrap_or(("", encoded));
    let mut digits = tail.bytes().peekable();
    digits.peek()?;
    let mut decoded: Vec<char> = basic.chars().collect();
    let (mut code, mut index, mut bias) = (128_u32, 0_u32, 72_u32);
    while digits.peek().is_some() {
        let before = index;
        index = punycode_delta(&mut digits, index, bias)?;
        let count = u32::try_from(decoded.len()).ok()?.checked_add(1)?;
        bias = punycode_bias(index.checked_sub(before)?, count, before == 0);
        code = code.checked_add(index / count)?;
        index %= count;
        decoded.insert(usize::try_from(index).ok()?, char::from_u32(code)?);
        index = index.checked_add(1)?;
    }
    Some(decoded.into_iter().collect())
}

/// One variable-length number of RFC 3492, added to `index`.
fn punycode_delta(digits: &mut impl Iterator<Item = u8>, mut index: u32, bias: u32) -> Option<u32> {
    let (mut weight, mut k) = (1_u32, 36_u32);
    loop {
        let digit = match digits.next()? {
            b @ b'a'..=b'z' => b - b'a',
            b @ b'A'..=b'Z' => b - b'A',
            b @ b'0'..=b'9' => b - b'0' + 26,
            _ => return None,
        };
        let digit = u32::from(digit);
        index = index.checked_add(digit.checked_mul(weight)?)?;
        let threshold = k.saturating_sub(bias).clamp(1, 26);
        if digit < threshold {
            return Some(index);
        }
        weight = weight.checked_mul(36 - threshold)?;
        k = k.checked_add(36)?;
    }
}

/// The adaptation of RFC 3492 §6.1.
fn punycode_bias(delta: u32, count: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / count.max(1);
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

#[cfg(test)]
mod tests;
