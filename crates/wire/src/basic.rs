//! Credentials, and the Basic scheme that carries them in HTTP (RFC 7617).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The longest user name and the longest password, in bytes: what RFC 1929 can carry, so that a login
/// that works over one protocol works over the other.
pub const PART_MAX: usize = 255;

/// A user name, routing parameters and all, and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name as sent; [`crate::username::parse`] understands it.
    pub user: String,
    /// The password, any bytes.
    pub password: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Understands the value of an `Authorization` or `Proxy-Authorization` field. `None` where the scheme
/// is another one, the base64 is not exact, there is no colon, or a part is longer than [`PART_MAX`].
/// The password starts after the first colon and may hold more of them.
pub fn credentials(header_value: &[u8]) -> Option<Credentials> {
    let value = header_value.trim_ascii();
    let (scheme, rest) = value.split_at_checked("Basic".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic") || !rest.starts_with(b" ") {
        return None;
    }
    let token = rest.trim_ascii_start();
    if token.len() > (2 * PART_MAX + 1).div_ceil(3) * 4 {
        return None;
    }
    let decoded = STANDARD.decode(token).ok()?;
    let colon = decoded.iter().position(|&b| b == b':')?;
    let (user, password) = (decoded.get(..colon)?, decoded.get(colon + 1..)?);
    new(user, password)
}

/// The value of a `Proxy-Authorization` field that carries these credentials.
pub fn header_value(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Credentials whose parts are within bounds; the user name is UTF-8 without control characters.
pub(crate) fn new(user: &[u8], password: &[u8]) -> Option<Credentials> {
    let user = std::str::from_utf8(user).ok()?;
    if user.len() > PART_MAX || password.len() > PART_MAX || user.contains(char::is_control) {
        return None;
    }
    Some(Credentials { user: user.to_owned(), password: password.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(plain: &[u8]) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(plain)).into_bytes()
    }

    fn parts(value: &[u8]) -> Option<(String, Vec<u8>)> {
        credentials(value).map(|c| (c.user, c.password))
    }

    // HP-12: the scheme in any case. HP-13: split at the first colon, UTF-8 passwords.
    #[test]
    fn takes_what_is_well_formed() {
        let rows: [(&[u8], &str, &[u8]); 8] = [
            (b"Basic dTE6cDE=", "u1", b"p1"),
            (b"BASIC dTE6cDE=", "u1", b"p1"),
            (b"bAsIc   dTE6cDE=  ", "u1", b"p1"),
            (&encoded(b"u1:a:b:"), "u1", b"a:b:"),
            (&encoded("u1:пароль".as_bytes()), "u1", "пароль".as_bytes()),
            (&encoded(b"u1:\xff\x00"), "u1", b"\xff\x00"),
            (&encoded(b":"), "", b""),
            (&encoded(b"u1:"), "u1", b""),
        ];
        for (value, user, password) in rows {
            let got = parts(value);
            assert_eq!(got, Some((user.to_owned(), password.to_vec())), "{}", value.escape_ascii());
        }
    }

    // HP-11: other schemes, nothing, blanks, extra tokens. HP-13: no colon.
    #[test]
    fn refuses_what_is_not() {
        let rows: [&[u8]; 16] = [
            b"",
            b"Basic",
            b"Basic ",
            b"French fries",
            b"Bearer dTE6cDE=",
            b"BasicdTE6cDE=",
            b"Basic\tdTE6cDE=",
            b"Basic dTE6cDE= extra",
            b"Basic dTE6cDE=,Basic dTE6cDE=",
            b"Basic dTE6cDE",
            b"Basic dTE6cDF=",
            b"Basic dTE6c-E_",
            b"Basic u1:p1",
            &encoded(b"u1"),
            &encoded(b"u\n1:p1"),
            &encoded(b"\xff\xfe:p1"),
        ];
        for value in rows {
            assert_eq!(parts(value), None, "{}", value.escape_ascii());
        }
    }

    // S5-10, seen from HTTP: 255 bytes of each, and not one more.
    #[test]
    fn bounds_are_exact() {
        let long = |user: usize, password: usize| {
            encoded(format!("{}:{}", "u".repeat(user), "p".repeat(password)).as_bytes())
        };
        assert!(credentials(&long(255, 255)).is_some());
        assert!(credentials(&long(256, 1)).is_none());
        assert!(credentials(&long(1, 256)).is_none());
        assert!(credentials(&long(1, 1 << 20)).is_none());
    }

    #[test]
    fn what_is_written_is_read() {
        let value = header_value("supplier-country-us", "p:w");
        assert_eq!(parts(value.as_bytes()), Some(("supplier-country-us".to_owned(), b"p:w".to_vec())));
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = format!("{:?}", credentials(b"Basic dTE6c2VjcmV0").unwrap());
        assert!(shown.contains("u1") && !shown.contains("secret"), "{shown}");
    }
}
