//! Several protocols on one port, told apart by the first byte a client sends.

use crate::http::is_token_byte;

/// What a connection's first byte announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SOCKS version 5 (RFC 1928).
    Socks5,
    /// SOCKS version 4 or 4a.
    Socks4,
    /// A TLS handshake record.
    Tls,
    /// The beginning of an HTTP/1 request.
    Http,
    /// None of these.
    Unknown,
}

/// Tells the protocol by the first byte. The values do not overlap: an HTTP request starts with a
/// letter of its method, or with the empty line that RFC 9112 §2.2 lets a client send first.
pub fn sniff(first_byte: u8) -> Protocol {
    match first_byte {
        0x05 => Protocol::Socks5,
        0x04 => Protocol::Socks4,
        0x16 => Protocol::Tls,
        b'\r' => Protocol::Http,
        byte if is_token_byte(byte) => Protocol::Http,
        _ => Protocol::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_protocols_apart() {
        let rows = [
            (0x05, Protocol::Socks5),
            (0x04, Protocol::Socks4),
            (0x16, Protocol::Tls),
            (b'C', Protocol::Http),
            (b'g', Protocol::Http),
            (b'\r', Protocol::Http),
            (b'\n', Protocol::Unknown),
            (b' ', Protocol::Unknown),
            (0x00, Protocol::Unknown),
            (0x80, Protocol::Unknown),
            (0xff, Protocol::Unknown),
        ];
        for (byte, protocol) in rows {
            assert_eq!(sniff(byte), protocol, "{byte:#04x}");
        }
    }
}
