use super::*;
use crate::target::Host;

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
}

/// Gives a parser the message byte by byte (S5-06), then with more behind it: it wants all of it, and
/// nothing beyond.
fn exactly<T: PartialEq + std::fmt::Debug>(
    message: &[u8],
    parse: impl Fn(&[u8]) -> Result<Parsed<T>, SocksError>,
) -> T {
    for cut in 0..message.len() {
        assert_eq!(parse(&message[..cut]), Ok(Parsed::Need), "{cut} bytes of {}", message.escape_ascii());
    }
    let more = [message, b"\x05\x01\x00 more"].concat();
    let Ok(Parsed::Done(value, consumed)) = parse(&more) else { panic!("{:?}", parse(&more)) };
    assert_eq!(consumed, message.len());
    value
}

// S5-01, S5-02, S5-03, S5-05.
#[test]
fn greetings() {
    let rows = [
        ("05 01 02", false, true),
        ("05 01 00", true, false),
        ("05 00", false, false),
        ("05 02 00 02", true, true),
        ("05 03 01 80 fe", false, false),
        ("05 02 02 02", false, true),
    ];
    for (hex, no_auth, user_pass) in rows {
        assert_eq!(exactly(&bytes(hex), greeting), Greeting { no_auth, user_pass }, "{hex}");
    }
    assert_eq!(greeting(&[4]), Err(SocksError::Version(4)));
    let all = [vec![5, 255], (0..255).collect()].concat();
    assert_eq!(exactly(&all, greeting), Greeting { no_auth: true, user_pass: true });
}

#[test]
fn answers() {
    assert_eq!(method_reply(Method::UserPass), [5, 2]);
    assert_eq!(method_reply(Method::NoAuth), [5, 0]);
    assert_eq!(method_reply(Method::None), [5, 0xff]);
    assert_eq!(auth_reply(true), [1, 0]);
    assert_eq!(auth_reply(false), [1, 1]);
    assert_eq!(reply(Rep::Succeeded, "1.2.3.4:513".parse().unwrap()), bytes("05 00 00 01 01 02 03 04 02 01"));
    assert_eq!(
        reply(Rep::TtlExpired, "[::1]:80".parse().unwrap()),
        bytes("05 06 00 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 50")
    );
}

// S5-10: 255 bytes of each.
#[test]
fn user_names_and_passwords() {
    let long = [vec![1, 255], vec![b'u'; 255], vec![255], vec![0xff; 255]].concat();
    let rows = [
        (bytes("01 02 75 31 02 70 31"), "u1".to_owned(), b"p1".to_vec()),
        (bytes("01 00 00"), String::new(), Vec::new()),
        (bytes("01 01 75 00"), "u".to_owned(), Vec::new()),
        (long, "u".repeat(255), vec![0xff; 255]),
    ];
    for (message, user, password) in rows {
        assert_eq!(exactly(&message, credentials), Credentials { user, password });
    }
}

// S5-08: the version of the outer protocol is refused, never a success.
#[test]
fn refuses_malformed_user_names() {
    assert_eq!(credentials(&bytes("05 02 75 31 02 70 31")), Err(SocksError::AuthVersion(5)));
    assert_eq!(credentials(&bytes("01 02 ff fe 01 70")), Err(SocksError::Credentials));
    assert_eq!(credentials(&bytes("01 02 75 00 01 70")), Err(SocksError::Credentials));
}

fn connect(target: Result<&str, BadTarget>) -> Request {
    let target = target.map(|text| Target::parse_authority(text, None).unwrap());
    Request { command: Command::Connect, target }
}

// S5-13: each address type. S5-14: no name. S5-18: port 0. S5-10: 255 bytes of name.
#[test]
fn requests() {
    let name = |name: &str, port: u16| {
        let length = u8::try_from(name.len()).unwrap();
        [&[5, 1, 0, 3, length], name.as_bytes(), &port.to_be_bytes()].concat()
    };
    let rows = [
        (bytes("05 01 00 01 7f 00 00 01 1f 90"), connect(Ok("127.0.0.1:8080"))),
        (
            bytes("05 01 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 01 bb"),
            connect(Ok("[2001:db8::1]:443")),
        ),
        (name("Example.COM", 443), connect(Ok("example.com:443"))),
        (name("10.0.0.1", 80), connect(Ok("10.0.0.1:80"))),
        (name("::ffff:10.0.0.1", 80), connect(Ok("[::ffff:10.0.0.1]:80"))),
        (name("127.1", 80), connect(Err(BadTarget::Numeric))),
        (name("", 80), connect(Err(BadTarget::Empty))),
        (name("a b", 80), connect(Err(BadTarget::Name))),
        (name("a\0b", 80), connect(Err(BadTarget::Name))),
        (name("%61", 80), connect(Err(BadTarget::Name))),
        (name("a:80", 80), connect(Err(BadTarget::Name))),
        (name("[2001:db8::1]", 80), connect(Ok("[2001:db8::1]:80"))),
        (name("2001:db8::1", 80), connect(Ok("[2001:db8::1]:80"))),
        (name("[127.0.0.1]", 80), connect(Ok("127.0.0.1:80"))),
        (name("[::1]:80", 80), connect(Err(BadTarget::Name))),
        (name("[::1", 80), connect(Err(BadTarget::Name))),
        (name("[]", 80), connect(Err(BadTarget::Address))),
        (name("[a.example]", 80), connect(Err(BadTarget::Address))),
        (name("[fe80::1%eth0]", 80), connect(Err(BadTarget::Address))),
        (name("a_b.test", 80), connect(Ok("a_b.test:80"))),
        (name("-lead.test", 80), connect(Ok("-lead.test:80"))),
        (name("bücher.example", 80), connect(Ok("xn--bcher-kva.example:80"))),
        (name("BÜCHER.Example.", 80), connect(Ok("xn--bcher-kva.example:80"))),
        (name("faß.example", 80), connect(Ok("xn--fa-hia.example:80"))),
        (name("例え。テスト", 80), connect(Ok("xn--r8jz45g.xn--zckzah:80"))),
        (name("a_b.bücher.example", 80), connect(Ok("a_b.xn--bcher-kva.example:80"))),
        (name("１２７.0.0.1", 80), connect(Ok("127.0.0.1:80"))),
        (name("１２７.1", 80), connect(Err(BadTarget::Numeric))),
        (name("b\u{ad}", 80), connect(Ok("b:80"))),
        (name("\u{ad}", 80), connect(Err(BadTarget::Idna))),
        (name("\u{200d}a.example", 80), connect(Err(BadTarget::Idna))),
        (name("ü b.example", 80), connect(Err(BadTarget::Idna))),
        (name("ü\0b.example", 80), connect(Err(BadTarget::Idna))),
        (name("ü%61.example", 80), connect(Err(BadTarget::Idna))),
        (name("℀.example", 80), connect(Err(BadTarget::Idna))),
        (name("ü..example", 80), connect(Err(BadTarget::Name))),
        (name(&"ü".repeat(100), 80), connect(Err(BadTarget::Name))),
        (name(&"a".repeat(255), 80), connect(Err(BadTarget::Name))),
        (name("a.example", 0), connect(Err(BadTarget::Port))),
        (bytes("05 01 00 01 7f 00 00 01 00 00"), connect(Err(BadTarget::Port))),
        (bytes("05 01 00 03 02 ff fe 00 50"), connect(Err(BadTarget::Idna))),
    ];
    for (message, expected) in rows {
        assert_eq!(exactly(&message, request), expected, "{}", message.escape_ascii());
    }
}

// S5-15: the other commands. S5-23: a datagram relay announces 0.0.0.0:0.
#[test]
fn commands() {
    let rows = [
        (1, Command::Connect),
        (2, Command::Bind),
        (3, Command::UdpAssociate),
        (9, Command::Other(9)),
        (0, Command::Other(0)),
    ];
    for (octet, command) in rows {
        let message = [5, octet, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(exactly(&message, request), Request { command, target: Err(BadTarget::Port) });
    }
}

// S5-14: address type 5 is answered with 08, whatever follows.
#[test]
fn refuses_malformed_requests() {
    let rows = [
        ("05 01 00 05", SocksError::AddressType(5), Rep::AddressTypeNotSupported),
        ("05 01 00 00", SocksError::AddressType(0), Rep::AddressTypeNotSupported),
        ("05 01 01 01", SocksError::Reserved, Rep::General),
        ("04", SocksError::Version(4), Rep::General),
    ];
    for (hex, error, rep) in rows {
        assert_eq!(request(&bytes(hex)), Err(error), "{hex}");
        assert_eq!(error.rep(), rep, "{hex}");
    }
}

#[test]
fn the_clients_side_is_understood_by_the_servers() {
    let greeted = |with_auth| exactly(&client_greeting(with_auth), greeting);
    assert_eq!(greeted(true), Greeting { no_auth: true, user_pass: true });
    assert_eq!(greeted(false), Greeting { no_auth: true, user_pass: false });
    let said = client_credentials("user-country-us", "p:w").unwrap();
    let expected = Credentials { user: "user-country-us".to_owned(), password: b"p:w".to_vec() };
    assert_eq!(exactly(&said, credentials), expected);
    for text in ["example.com:443", "1.2.3.4:80", "[2001:db8::1]:65535"] {
        let target = Target::parse_authority(text, None).unwrap();
        assert_eq!(exactly(&client_request(&target), request), connect(Ok(text)));
    }
}

#[test]
fn long_names_still_fit_a_request() {
    let name = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let target = Target::new(Host::parse(&name).unwrap(), 1).unwrap();
    assert_eq!(exactly(&client_request(&target), request).target, Ok(target));
}

#[test]
fn credentials_that_rfc_1929_cannot_carry() {
    let long = "x".repeat(256);
    assert!(client_credentials(&"x".repeat(255), "p").is_ok());
    for (user, password) in [("", "p"), ("u", ""), (long.as_str(), "p"), ("u", long.as_str())] {
        assert_eq!(client_credentials(user, password), Err(CredentialsTooLong));
    }
}

// S5-34: an upstream that says no, or garbage.
#[test]
fn an_upstreams_answers() {
    assert_eq!(exactly(&[5, 0], parse_method), Method::NoAuth);
    assert_eq!(exactly(&[5, 2], parse_method), Method::UserPass);
    assert_eq!(exactly(&[5, 0xff], parse_method), Method::None);
    assert_eq!(parse_method(&[5, 1]), Err(SocksError::Method(1)));
    assert_eq!(parse_method(b"HTTP/1.1 400"), Err(SocksError::Version(b'H')));
    assert!(exactly(&[1, 0], parse_auth));
    assert!(!exactly(&[1, 1], parse_auth));
    assert!(!exactly(&[1, 0xff], parse_auth));
    assert_eq!(parse_auth(&[5]), Err(SocksError::AuthVersion(5)));
    assert_eq!(exactly(&bytes("05 00 00 01 00 00 00 00 00 00"), parse_reply), Rep::Succeeded);
    assert_eq!(exactly(&bytes("05 05 00 03 01 61 00 00"), parse_reply), Rep::ConnectionRefused);
    assert_eq!(exactly(&bytes("05 5b 00 03 00 00 00"), parse_reply), Rep::General);
    assert_eq!(parse_reply(&bytes("05 00 00 02")), Err(SocksError::AddressType(2)));
    assert_eq!(parse_reply(&bytes("05 00 07 01")), Err(SocksError::Reserved));
}

#[test]
fn replies_keep_their_numbers() {
    for octet in 0..=8 {
        assert_eq!(Rep::from_octet(octet).octet(), octet);
        let said = reply(Rep::from_octet(octet), "[::]:0".parse().unwrap());
        assert_eq!(exactly(&said, parse_reply), Rep::from_octet(octet));
    }
}

// S5-25: fragments, reserved octets, unknown types, short datagrams are dropped; an empty payload is
// relayed.
#[test]
fn datagrams() {
    let target = |text| Ok(Target::parse_authority(text, None).unwrap());
    let query = bytes("00 00 00 01 08 08 08 08 00 35 aa bb");
    let parsed = parse_datagram(&query).unwrap();
    assert_eq!((parsed.to.target(), parsed.payload), (target("8.8.8.8:53"), &[0xaa, 0xbb][..]));
    let empty = bytes("00 00 00 03 01 61 00 35");
    let parsed = parse_datagram(&empty).unwrap();
    assert_eq!((parsed.to.target(), parsed.payload), (target("a:53"), &[][..]));
    let rows = [
        ("", SocksError::Short),
        ("00 00", SocksError::Short),
        ("00 00 00 01 08 08 08 08 00", SocksError::Short),
        ("00 00 00 03 09 61 00 35", SocksError::Short),
        ("00 01 00 01 08 08 08 08 00 35", SocksError::Reserved),
        ("01 00 00 01 08 08 08 08 00 35", SocksError::Reserved),
        ("00 00 01 01 08 08 08 08 00 35", SocksError::Fragment),
        ("00 00 80 01 08 08 08 08 00 35", SocksError::Fragment),
        ("00 00 00 09 08 08 08 08 00 35", SocksError::AddressType(9)),
    ];
    for (hex, error) in rows {
        assert_eq!(parse_datagram(&bytes(hex)), Err(error), "{hex}");
    }
    let to_nowhere = bytes("00 00 00 01 08 08 08 08 00 00 aa");
    assert_eq!(parse_datagram(&to_nowhere).unwrap().to.target(), Err(BadTarget::Port));
    let no_name = bytes("00 00 00 03 02 61 20 00 35 aa");
    assert_eq!(parse_datagram(&no_name).unwrap().to.target(), Err(BadTarget::Name));
}

// S5-23: the header's address is the real server's.
#[test]
fn datagram_headers_read_back() {
    for from in ["8.8.8.8:53", "[2001:db8::1]:853"] {
        let mut room = [0xff; DATAGRAM_HEADER_MAX];
        let begins = datagram_header(from.parse().unwrap(), &mut room);
        let datagram = [&room[begins..], b"payload"].concat();
        let parsed = parse_datagram(&datagram).unwrap();
        assert_eq!(parsed.to.target().unwrap().to_string(), from);
        assert_eq!(parsed.payload, b"payload");
    }
}
