use super::*;

type Outcome = Result<Parsed<Option<Ends>>, ProxyProtocolError>;

fn ends(source: &str, destination: &str) -> Option<Ends> {
    Some(Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

fn done(ends: Option<Ends>, consumed: usize) -> Outcome {
    Ok(Parsed::Done(ends, consumed))
}

/// A header of version 2, with its length made right.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&V2_BEGINNING[..], &[command, family], &length, rest].concat()
}

const FOUR: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn a_line_says_who_connected_and_what_to() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nCONNECT";
    assert_eq!(header(line), done(ends("192.0.2.1:56324", "198.51.100.1:443"), line.len() - 7));
    let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n";
    assert_eq!(header(line), done(ends("[2001:db8::1]:1", "[2001:db8::2]:65535"), line.len()));
    let mapped = b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n";
    assert_eq!(header(mapped), done(ends("192.0.2.1:1", "192.0.2.2:2"), mapped.len()));
}

#[test]
fn a_front_may_not_know_whom_it_speaks_for() {
    for line in [
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        "PROXY UNKNOWN what ever\r\n",
    ] {
        assert_eq!(header(line.as_bytes()), done(None, line.len()), "{line}");
    }
}

#[test]
fn malformed_lines_are_refused() {
    for line in [
        "",
        "TCP4",
        "TCP4 192.0.2.1 198.51.100.1 56324",
        "TCP4 192.0.2.1 198.51.100.1 56324 443 ",
        "TCP4 192.0.2.1 198.51.100.1 56324 443 1",
        "TCP4  192.0.2.1 198.51.100.1 56324 443",
        " TCP4 192.0.2.1 198.51.100.1 56324 443",
        "TCP4\t192.0.2.1 198.51.100.1 56324 443",
        "tcp4 192.0.2.1 198.51.100.1 56324 443",
        "TCP4 192.0.2.1 198.51.100.1 65536 443",
        "TCP4 192.0.2.1 198.51.100.1 0443 443",
        "TCP4 192.0.2.1 198.51.100.1 +1 443",
        "TCP4 192.0.2.1 198.51.100.1 -1 443",
        "TCP4 192.0.2.1 198.51.100.1  443",
        "TCP4 192.0.02.1 198.51.100.1 1 443",
        "TCP4 192.0.2 198.51.100.1 1 443",
        "TCP4 2001:db8::1 2001:db8::2 1 443",
        "TCP6 192.0.2.1 198.51.100.1 1 443",
        "TCP6 [2001:db8::1] 2001:db8::2 1 443",
        "TCP6 fe80::1%eth0 2001:db8::2 1 443",
        "UDP4 192.0.2.1 198.51.100.1 1 443",
        "UNIX a b",
    ] {
        let line = format!("PROXY {line}\r\n");
        assert_eq!(header(line.as_bytes()), Err(ProxyProtocolError::Line), "{line}");
    }
    assert_eq!(header(b"PROXY TCP4 \xff\r\n"), Err(ProxyProtocolError::Line));
}

#[test]
fn a_line_is_at_most_107_bytes() {
    let longest = b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                    ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), V1_MAX);
    assert_eq!(header(longest), done(None, V1_MAX));
    let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_MAX - 15));
    assert_eq!(header(line.as_bytes()), Err(ProxyProtocolError::TooLong));
    assert_eq!(header(&line.as_bytes()[..V1_MAX - 1]), Ok(Parsed::Need));
    assert_eq!(header(&line.as_bytes()[..V1_MAX]), Err(ProxyProtocolError::TooLong));
}

#[test]
fn anything_else_is_refused_at_its_first_byte_that_differs() {
    for other in
        ["GET http://", "PROXX", "PROXY\r", "proxy ", "\x05\x01\x00", "\r\n\r\nGET", "P\r", "\x16\x03"]
    {
        assert_eq!(header(other.as_bytes()), Err(ProxyProtocolError::Beginning), "{other:?}");
    }
    for beginning in ["", "P", "PROXY", "PROXY ", "\r", "\r\n\r\n\0\r\nQUIT\n", "PROXY TCP4 1"] {
        assert_eq!(header(beginning.as_bytes()), Ok(Parsed::Need), "{beginning:?}");
    }
}

#[test]
fn the_binary_form_says_the_same() {
    let four = ends("192.0.2.1:56324", "198.51.100.1:443");
    assert_eq!(header(&v2(0x21, 0x11, FOUR)), done(four, 28));
    let with_more = v2(0x21, 0x11, &[FOUR, &[0x04, 0, 1, 9], &[0xee; 100]].concat());
    let followed = [&with_more[..], b"CONNECT"].concat();
    assert_eq!(header(&followed), done(four, with_more.len()), "further fields are passed over");
    let (one, two) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    let six = [&one.octets()[..], &two.octets(), &[0, 1, 0, 2]].concat();
    assert_eq!(header(&v2(0x21, 0x21, &six)), done(ends("[2001:db8::1]:1", "127.0.0.1:2"), 52));
}

#[test]
fn the_binary_form_may_keep_the_real_ends() {
    for (command, family, rest) in [
        (0x20, 0x00, &[][..]),
        (0x20, 0x11, FOUR),
        (0x20, 0x11, &[][..]),
        (0x20, 0xff, &[1, 2, 3]),
        (0x21, 0x00, &[]),
        (0x21, 0x00, FOUR),
        (0x21, 0x31, &[b'/'; 216]),
    ] {
        let bytes = v2(command, family, rest);
        assert_eq!(header(&bytes), done(None, bytes.len()), "{command:#x} {family:#x}");
    }
}

#[test]
fn malformed_binary_headers_are_refused() {
    for (command, family, rest, error) in [
        (0x11, 0x11, FOUR, ProxyProtocolError::Command(0x11)),
        (0x22, 0x11, FOUR, ProxyProtocolError::Command(0x22)),
        (0x21, 0x10, FOUR, ProxyProtocolError::Family(0x10)),
        (0x21, 0x12, FOUR, ProxyProtocolError::Family(0x12)),
        (0x21, 0x41, FOUR, ProxyProtocolError::Family(0x41)),
        (0x21, 0x11, &FOUR[..11], ProxyProtocolError::Short),
        (0x21, 0x21, FOUR, ProxyProtocolError::Short),
        (0x21, 0x31, FOUR, ProxyProtocolError::Short),
        (0x21, 0x11, &[0; V2_REST_MAX + 1], ProxyProtocolError::TooLong),
        (0x20, 0x00, &[0; V2_REST_MAX + 1], ProxyProtocolError::TooLong),
    ] {
        let bytes = v2(command, family, rest);
        assert_eq!(header(&bytes), Err(error));
        assert_eq!(header(&bytes[..V2_FIXED]), Err(error), "as soon as it is certain");
    }
    assert!(header(&v2(0x21, 0x11, &[FOUR, &[0; V2_REST_MAX - 12]].concat())).is_ok());
}

#[test]
fn it_may_come_byte_by_byte() {
    for whole in [&b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"[..], &v2(0x21, 0x11, FOUR)] {
        for cut in 0..whole.len() {
            assert_eq!(header(&whole[..cut]), Ok(Parsed::Need), "{cut}");
        }
        assert!(matches!(header(whole), Ok(Parsed::Done(Some(_), _))));
    }
}
