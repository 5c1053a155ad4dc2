//! Fuzz targets: each takes any bytes and panics when a promise of this room is broken. They are fed
//! by the committed corpus, by mutations of it and by random bytes in `cargo test`, and can be driven by
//! a fuzzer as they are.

use std::fmt::Debug;
use std::net::IpAddr;

use crate::body::BodyReader;
use crate::http::{self, Framing, Limits, RequestHead, RequestTarget, ResponseHead, Version};
use crate::sniff::{Protocol, sniff};
use crate::target::{Host, Target};
use crate::{Parsed, basic, proxy_protocol, socks4, socks5, username};

/// A target: any bytes in, a panic if something is wrong.
pub type FuzzTarget = fn(&[u8]);

/// Every target, by the name of its corpus folder.
pub const ALL: &[(&str, FuzzTarget)] = &[
    ("basic", fuzz_basic),
    ("body", fuzz_body),
    ("proxy_protocol", fuzz_proxy_protocol),
    ("request_head", fuzz_request_head),
    ("response_head", fuzz_response_head),
    ("sniff", fuzz_sniff),
    ("socks4", fuzz_socks4),
    ("socks5", fuzz_socks5),
    ("target", fuzz_target),
    ("username", fuzz_username),
];

/// The most prefixes that are tried of one input.
const CUTS_MAX: usize = 256;

/// What a parser makes of the whole is what it makes of every beginning that it does not find too
/// short, and it never takes more than there is.
fn incremental<T: PartialEq + Debug, E: PartialEq + Debug>(
    data: &[u8],
    parse: impl Fn(&[u8]) -> Result<Parsed<T>, E>,
) -> Option<T> {
    let whole = parse(data);
    for cut in (0..data.len()).step_by(data.len() / CUTS_MAX + 1) {
        let (start, _) = data.split_at(cut);
        let part = parse(start);
        if let Ok(Parsed::Done(_, consumed)) = &part {
            assert!(*consumed <= cut, "took {consumed} of {cut} bytes");
        }
        assert!(part == Ok(Parsed::Need) || part == whole, "{cut} bytes: {part:?}; all: {whole:?}");
    }
    match whole {
        Ok(Parsed::Done(value, consumed)) => {
            assert!(consumed <= data.len(), "took {consumed} of {} bytes", data.len());
            Some(value)
        }
        Ok(Parsed::Need) | Err(_) => None,
    }
}

/// The value of an `Authorization` field.
pub fn fuzz_basic(data: &[u8]) {
    if let Some(credentials) = basic::credentials(data) {
        assert!(credentials.user.len() <= basic::PART_MAX && credentials.password.len() <= basic::PART_MAX);
        assert!(!credentials.user.contains([':', '\r', '\n', '\0']));
        if let Ok(password) = std::str::from_utf8(&credentials.password) {
            let again = basic::header_value(&credentials.user, password);
            assert_eq!(basic::credentials(again.as_bytes()).as_ref(), Some(&credentials));
        }
    }
}

/// A body: the first byte says how it is framed, the second how it is cut.
pub fn fuzz_body(data: &[u8]) {
    let [framing, piece, bytes @ ..] = data else {
        return;
    };
    let framing = match framing % 4 {
        0 => Framing::Length(u64::from(*framing)),
        1 => Framing::UntilClose,
        _ => Framing::Chunked,
    };
    let whole = read_body(framing, bytes, bytes.len().max(1));
    let pieces = read_body(framing, bytes, usize::from(*piece).max(1));
    assert_eq!(whole, pieces, "a body depends on how it arrives");
}

/// How many bytes belong to the body, whether it ended, and its content.
fn read_body(framing: Framing, bytes: &[u8], piece: usize) -> Option<(usize, bool, Vec<u8>)> {
    let mut reader = BodyReader::new(framing);
    let (mut taken, mut content) = (0, Vec::new());
    for part in bytes.chunks(piece) {
        let Ok(step) = reader.decode(part, |run| content.extend(run)) else {
            assert!(reader.finish().is_err() && reader.advance(b"0\r\n\r\n").is_err(), "a fault is final");
            return None;
        };
        assert!(step.take == part.len() || (step.done && step.take < part.len()));
        taken += step.take;
        if step.done {
            assert_eq!(reader.finish(), Ok(()));
            break;
        }
    }
    assert!(content.len() <= taken);
    Some((taken, reader.is_done(), content))
}

/// What a front says of whom it speaks for.
pub fn fuzz_proxy_protocol(data: &[u8]) {
    let Some(Some(ends)) = incremental(data, proxy_protocol::header) else {
        return;
    };
    // Written as a line it says the same again.
    let (source, destination) = (ends.source, ends.destination);
    let family = if source.is_ipv4() && destination.is_ipv4() { "TCP4" } else { "TCP6" };
    let ip = |ip: IpAddr| match ip {
        IpAddr::V4(v4) if family == "TCP6" => format!("::ffff:{v4}"),
        ip => ip.to_string(),
    };
    let (from, to) = (ip(source.ip()), ip(destination.ip()));
    let line = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
    let again = Parsed::Done(Some(ends), line.len());
    assert_eq!(proxy_protocol::header(line.as_bytes()), Ok(again), "{line}");
}

/// A request head, and what is forwarded of it.
pub fn fuzz_request_head(data: &[u8]) {
    for limits in [Limits::default(), Limits { head_bytes: 64, fields: 3 }] {
        let Some(head) = incremental(data, |buf| http::request_head(buf, &limits)) else {
            continue;
        };
        let _ = (head.proxy_credentials(), head.keep_alive(), head.expects_continue());
        let _ = head.answer_here(true);
        for keep_alive in [true, false] {
            check_forwarded(&head, keep_alive);
        }
    }
}

/// What an origin reads is what was understood here, and nothing that belongs to this hop.
fn check_forwarded(head: &RequestHead, keep_alive: bool) {
    let mut out = Vec::new();
    head.write_forward(&mut out, keep_alive);
    let RequestTarget::Absolute { target, path_and_query, .. } = &head.form else {
        assert!(out.is_empty());
        return;
    };
    let Some(seen) = whole_request(&out) else {
        assert!(path_and_query == "*", "unreadable: {}", out.escape_ascii());
        return;
    };
    assert!(matches!(seen.form, RequestTarget::Origin | RequestTarget::Asterisk));
    assert_eq!((&seen.method, seen.framing()), (&head.method, head.framing()));
    let host = seen.fields.first("host").and_then(|host| std::str::from_utf8(host).ok());
    assert_eq!(Target::parse_authority(host.unwrap_or_default(), Some(80)).as_ref(), Ok(target));
    assert!(seen.upgrade() == head.upgrade());
    assert!(seen.keep_alive() == keep_alive || seen.upgrade().is_some());
    for (name, _) in seen.fields.iter() {
        let name = name.to_ascii_lowercase();
        assert!(!name.starts_with("proxy-") && !["te", "keep-alive"].contains(&name.as_str()), "{name}");
        let ours = ["connection", "content-length", "host", "transfer-encoding", "upgrade"];
        assert!(ours.contains(&name.as_str()) || !head.fields.has_member("connection", &name), "{name}");
    }
}

/// Reads a forwarded head, whose lines may be a little longer than those that came.
fn whole_request(bytes: &[u8]) -> Option<RequestHead> {
    let limits = Limits { head_bytes: bytes.len() + 1, fields: 1 << 10 };
    match http::request_head(bytes, &limits) {
        Ok(Parsed::Done(head, consumed)) if consumed == bytes.len() => Some(head),
        _ => None,
    }
}

/// A response head, and what goes back of it.
pub fn fuzz_response_head(data: &[u8]) {
    for limits in [Limits::default(), Limits { head_bytes: 64, fields: 3 }] {
        let Some(head) = incremental(data, |buf| http::response_head(buf, &limits)) else {
            continue;
        };
        assert!((100..=599).contains(&head.status));
        for (version, close) in [(Version::Http11, false), (Version::Http11, true), (Version::Http10, false)]
        {
            check_back(&head, version, close);
        }
    }
}

/// What a client reads ends where it was understood here to end.
fn check_back(head: &ResponseHead, version: Version, close: bool) {
    let mut out = Vec::new();
    head.write_back(&mut out, version, close, false);
    let limits = Limits { head_bytes: out.len() + 1, fields: 1 << 10 };
    let seen = match http::response_head(&out, &limits) {
        Ok(Parsed::Done(seen, consumed)) if consumed == out.len() => seen,
        other => panic!("unreadable: {other:?} {}", out.escape_ascii()),
    };
    assert_eq!((seen.status, &seen.reason), (head.status, &head.reason));
    for method in ["GET", "HEAD", "CONNECT"] {
        assert_eq!(seen.framing(method), head.framing(method));
    }
    assert!(head.status < 200 || seen.keep_alive() != close);
    assert!(seen.fields.first("proxy-authenticate").is_none());
    let cookies = |head: &ResponseHead| head.fields.all("set-cookie").map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert!(head.fields.has_member("connection", "set-cookie") || cookies(head) == cookies(&seen));
}

/// The first bytes of a connection: no protocol's parser takes what another one was announced for.
pub fn fuzz_sniff(data: &[u8]) {
    let [first, ..] = data else {
        return;
    };
    let announced = sniff(*first);
    let socks5 = socks5::greeting(data).is_ok();
    assert_eq!(socks5, announced == Protocol::Socks5, "{first:#04x}");
    // A head may be refused for what comes later, never for a first byte that was taken for HTTP.
    let http = http::request_head(data, &Limits::default()).is_ok();
    assert!(!http || announced == Protocol::Http, "{first:#04x}");
    let (first, _) = data.split_at(1);
    let begins = http::request_head(first, &Limits::default()) == Ok(Parsed::Need);
    assert_eq!(begins, announced == Protocol::Http, "{first:?}");
}

/// A request of SOCKS4.
pub fn fuzz_socks4(data: &[u8]) {
    incremental(data, socks4::request);
    if data.len() >= socks4::REQUEST_MAX {
        assert_ne!(socks4::request(data), Ok(Parsed::Need), "a request is bounded");
    }
}

/// Both sides of SOCKS5, and datagrams.
pub fn fuzz_socks5(data: &[u8]) {
    incremental(data, socks5::greeting);
    incremental(data, socks5::credentials);
    incremental(data, socks5::parse_method);
    incremental(data, socks5::parse_auth);
    incremental(data, socks5::parse_reply);
    if let Some(socks5::Request { target: Ok(target), .. }) = incremental(data, socks5::request) {
        let again = socks5::client_request(&target);
        let seen = incremental(&again, socks5::request).map(|request| request.target);
        assert_eq!(seen, Some(Ok(target)));
    }
    if let Ok(datagram) = socks5::parse_datagram(data) {
        assert!(data.ends_with(datagram.payload));
        if let socks5::Destination::Address(from) = datagram.to {
            let mut room = [0; socks5::DATAGRAM_HEADER_MAX];
            let begins = socks5::datagram_header(from, &mut room);
            let again = [room.get(begins..).unwrap_or_default(), datagram.payload].concat();
            assert_eq!(again, data, "a header is written as it is read");
        }
    }
}

/// An authority: what is understood is written in a way that is understood the same.
pub fn fuzz_target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for default_port in [None, Some(80)] {
        let Ok(target) = Target::parse_authority(text, default_port) else {
            continue;
        };
        assert_eq!(Target::parse_authority(&target.to_string(), None).as_ref(), Ok(&target));
        assert_eq!(Target::parse_authority(&target.authority(80), Some(80)).as_ref(), Ok(&target));
        check_connect(&target);
    }
    if let Ok(Host::Name(name)) = Host::parse(text) {
        assert_eq!(Host::parse(&name).as_ref(), Ok(&Host::Name(name.clone())));
        assert!(name.len() <= 253 && !name.ends_with('.') && name.is_ascii());
        assert!(!name.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "a number passes as a name: {name}");
    }
}

/// An upstream proxy hears of the target as it was understood here, in either protocol.
fn check_connect(target: &Target) {
    let asked = http::connect_request(target, Some(("u", "p")));
    let heard = whole_request(&asked).map(|head| head.form);
    assert_eq!(heard.as_ref(), Some(&RequestTarget::Authority(target.clone())));
    let asked = socks5::client_request(target);
    let heard = incremental(&asked, socks5::request).map(|request| request.target);
    assert_eq!(heard, Some(Ok(target.clone())));
}

/// A user name: what is understood is written in a way that is understood the same.
pub fn fuzz_username(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match username::parse(text) {
        Ok(user) => assert_eq!(username::parse(&user.to_string()).as_ref(), Ok(&user)),
        Err(bad) => assert!(text.starts_with(&bad.name) && text.contains(&bad.key)),
    }
}
