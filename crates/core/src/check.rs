//! The rules for single parameters. Each names the parameter as the API document does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Error, Rule};

/// The longest remark, in characters.
const LONGEST_REMARK: usize = 255;

/// A user name of 3 to 64 characters, of letters, digits and those in `more`. Sub-accounts take
/// `_` and `.`: `-` separates the routing parameters in a proxy user name (contract call 3).
pub(crate) fn username(field: &'static str, name: &str, more: &[u8]) -> Result<(), Error> {
    length(field, name, 3, 64)?;
    let fine = name.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    if fine { Ok(()) } else { Err(Error::invalid(field, Rule::Characters)) }
}

/// A password of 6 to 128 printable characters without `:` or blanks (contract call 3).
pub(crate) fn password(field: &'static str, password: &str) -> Result<(), Error> {
    length(field, password, 6, 128)?;
    let bad = |c: char| c == ':' || c.is_whitespace() || !is_printable(c);
    if password.chars().any(bad) { Err(Error::invalid(field, Rule::Characters)) } else { Ok(()) }
}

/// A remark: one line of up to 255 characters.
pub(crate) fn remark(field: &'static str, text: &str) -> Result<(), Error> {
    line(field, text, 0, LONGEST_REMARK)
}

/// A line of so many printable characters.
pub(crate) fn line(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), Error> {
    length(field, text, min, max)?;
    if text.chars().all(is_printable) { Ok(()) } else { Err(Error::invalid(field, Rule::Characters)) }
}

/// An e-mail address, as far as can be said without writing to it.
pub(crate) fn email(text: &str) -> Result<(), Error> {
    length("email", text, 3, 254)?;
    let parts = text.split_once('@');
    let two_parts = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if two_parts && text.chars().all(|c| is_printable(c) && !c.is_whitespace()) {
        Ok(())
    } else {
        Err(Error::invalid("email", Rule::Characters))
    }
}

/// A number between two, both included.
pub(crate) const fn range(field: &'static str, value: i64, min: i64, max: i64) -> Result<(), Error> {
    if value < min || value > max { Err(Error::invalid(field, Rule::Range { min, max })) } else { Ok(()) }
}

/// `host:port` of an upstream proxy; an IPv6 address is in brackets.
pub(crate) fn host_port(field: &'static str, text: &str) -> Result<(), Error> {
    let bad = Error::invalid(field, Rule::Address);
    let Some((host, port)) = text.rsplit_once(':') else { return Err(bad) };
    let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    let port_fits = digits && port.parse::<u16>().is_ok_and(|port| port != 0);
    let host_fits = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    if port_fits && host_fits { Ok(()) } else { Err(bad) }
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    // Digits and points alone are an address, and must be a right one.
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    host.len() <= 253 && if numeric { host.parse::<Ipv4Addr>().is_ok() } else { host.split('.').all(label) }
}

/// One address in any valid spelling, made canonical: an IPv4-mapped IPv6 address is the IPv4 one.
pub(crate) fn address(field: &'static str, text: &str) -> Result<IpAddr, Error> {
    let parsed: Result<IpAddr, _> = text.parse();
    parsed.map(|ip| ip.to_canonical()).map_err(|_| Error::invalid(field, Rule::Address))
}

/// An address from which somebody may come over the internet; over a private network too, where
/// the operator allows that (contract call 8).
pub(crate) fn peer_address(field: &'static str, text: &str, allow_private: bool) -> Result<IpAddr, Error> {
    let ip = address(field, text)?;
    let fits = match reach(ip) {
        Reach::Nobody => false,
        Reach::Private => allow_private,
        Reach::Public => true,
    };
    if fits { Ok(ip) } else { Err(Error::invalid(field, Rule::PrivateAddress)) }
}

/// From where a peer with some address can come.
enum Reach {
    /// From nowhere: multicast, unspecified, reserved.
    Nobody,
    /// From this machine or a private network.
    Private,
    /// From the internet.
    Public,
}

const fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

const fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        // "This network" (RFC 791), multicast (RFC 5771), reserved with broadcast (RFC 1112).
        [0 | 224..=255, ..] => Reach::Nobody,
        [100, 64..=127, ..] => Reach::Private, // shared by carriers (RFC 6598)
        _ if ip.is_loopback() || ip.is_private() || ip.is_link_local() => Reach::Private,
        _ => Reach::Public,
    }
}

const fn reach_v6(ip: Ipv6Addr) -> Reach {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Private,
        // Unspecified, and the deprecated way to write IPv4 (RFC 4291).
        [0, 0, 0, 0, 0, 0, _, _] | [0xff00..=0xffff, ..] => Reach::Nobody,
        // Unique local, link-local, and site-local of old.
        [0xfc00..=0xfdff | 0xfe80..=0xfeff, ..] => Reach::Private,
        _ => Reach::Public,
    }
}

/// A LIKE pattern (escape `\`) for texts that hold `part` anywhere, each character taken literally.
pub(crate) fn like_anywhere(part: &str) -> String {
    format!("%{}%", like_literal(part))
}

/// A LIKE pattern (escape `\`) for texts that begin with `part`.
pub(crate) fn like_prefix(part: &str) -> String {
    format!("{}%", like_literal(part))
}

fn like_literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // No stored name or address holds a NUL, and PostgreSQL takes none: this finds as little.
    for c in text.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }) {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn length(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), Error> {
    if text.is_empty() && min > 0 {
        return Err(Error::invalid(field, Rule::Required));
    }
    let count = text.chars().count();
    if (min..=max).contains(&count) { Ok(()) } else { Err(Error::invalid(field, Rule::Length { min, max })) }
}

/// Not a control character, nor one of those that turn or hide the text around them.
fn is_printable(c: char) -> bool {
    let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule<T: std::fmt::Debug>(answer: Result<T, Error>) -> Option<Rule> {
        match answer {
            Ok(_) => None,
            Err(Error::Invalid { rule, .. }) => Some(rule),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn user_names() {
        let name = |n: &str| rule(username("username", n, b"_."));
        let long = "a".repeat(64);
        for fine in ["abc", "A_b.9", "...", long.as_str()] {
            assert_eq!(name(fine), None, "{fine}");
        }
        assert_eq!(name(""), Some(Rule::Required));
        let length = Some(Rule::Length { min: 3, max: 64 });
        assert_eq!((name("ab"), name(&"a".repeat(65)), name(&"a".repeat(10_000))), (length, length, length));
        for bad in ["a-b", "a b", "a:b", "a@b", "abç", "аbc", "a\r\nb", "a\0b", "😀😀😀", "abc "] {
            assert_eq!(name(bad), Some(Rule::Characters), "{bad:?}");
        }
    }

    #[test]
    fn passwords() {
        let check = |p: &str| rule(password("password", p));
        let long = "é".repeat(128);
        for fine in ["secret", "p@ss-w0rd!", "пароль", long.as_str()] {
            assert_eq!(check(fine), None, "{fine}");
        }
        assert_eq!(check(""), Some(Rule::Required));
        assert_eq!(check("short"), Some(Rule::Length { min: 6, max: 128 }));
        assert_eq!(check(&"a".repeat(129)), Some(Rule::Length { min: 6, max: 128 }));
        for bad in ["with:colon", "with blank", "tab\tbed", "line\nfeed", "nul\0nul", "no\u{a0}break", "turn\u{202e}ed", "del\u{7f}del"] {
            assert_eq!(check(bad), Some(Rule::Characters), "{bad:?}");
        }
    }

    #[test]
    fn remarks_and_emails() {
        assert_eq!(rule(remark("remark", "")), None);
        assert_eq!(rule(remark("remark", "办公室 \"><img src=x>")), None, "shown as text, so nothing is forbidden");
        assert_eq!(rule(remark("remark", &"x".repeat(256))), Some(Rule::Length { min: 0, max: 255 }));
        assert_eq!(rule(remark("remark", "a\0b")), Some(Rule::Characters));
        assert_eq!(rule(email("user@example.com")), None);
        for bad in ["user", "@x.y", "x@", "a@b@c", "a b@c.d", "a@b\n.c"] {
            assert!(rule(email(bad)).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn peer_addresses_are_canonical_and_public() {
        let show = |text: &str| peer_address("ip", text, false).map(|ip| ip.to_string());
        for (given, kept) in [
            ("203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("8.8.8.8", "8.8.8.8"),
        ] {
            assert_eq!(show(given).as_deref(), Ok(kept), "{given}");
        }
        for bad in ["", "1.2.3.4 ", "01.2.3.4", "1.2.3", "1.2.3.4/32", "0.0.0.0/0", "::/0", "fe80::1%eth0", "localhost", "1.2.3.4:80"] {
            assert_eq!(rule(peer_address("ip", bad, true)), Some(Rule::Address), "{bad:?}");
        }
        for private in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "::1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"] {
            assert_eq!(rule(peer_address("ip", private, false)), Some(Rule::PrivateAddress), "{private}");
            assert_eq!(rule(peer_address("ip", private, true)), None, "{private}");
        }
        for nobody in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "ff02::1", "::1.2.3.4"] {
            assert_eq!(rule(peer_address("ip", nobody, true)), Some(Rule::PrivateAddress), "{nobody}");
        }
    }

    #[test]
    fn upstream_addresses() {
        for fine in ["proxy.example:8080", "10.0.0.1:1", "[2001:db8::1]:65535", "a_b-c:80", "localhost:3128"] {
            assert_eq!(rule(host_port("address", fine)), None, "{fine}");
        }
        for bad in ["", "host", "host:", ":80", "host:0", "host:65536", "host:+80", "host: 80", "1.2.3:80", "::1:80", "[::1]", "[x]:80", "a..b:80", "ho st:80", "http://host:80"] {
            assert_eq!(rule(host_port("address", bad)), Some(Rule::Address), "{bad}");
        }
    }

    #[test]
    fn filters_are_literal() {
        assert_eq!(like_anywhere("50%_\\x"), "%50\\%\\_\\\\x%");
        assert_eq!(like_prefix("10."), "10.%");
    }
}
