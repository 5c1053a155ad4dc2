//! Promises that hold for any bytes, and for bytes that are almost messages.

use proptest::prelude::*;
use proptest::sample::select;
use tollgate_types::{ProxyType, normalise_place};
use tollgate_wire::Parsed;
use tollgate_wire::body::BodyReader;
use tollgate_wire::fuzz;
use tollgate_wire::http::{Framing, Limits, RequestTarget, request_head, response_head};
use tollgate_wire::socks5;
use tollgate_wire::target::{Host, Target};
use tollgate_wire::username::{self, RouteParams, UserName};

/// Pieces that PROXY lines are made of, right ones and wrong ones.
const PROXY_WORDS: &[&str] = &[
    "TCP4 ",
    "TCP6 ",
    "TCP4",
    "UNKNOWN",
    " ",
    " ",
    "192.0.2.1 ",
    "198.51.100.1 ",
    "2001:db8::1 ",
    "::1 ",
    "::ffff:192.0.2.1 ",
    "1 ",
    "0 ",
    "65535",
    "65536",
    "443",
    "0443",
    "\r\n",
    "\r\n",
    "\n",
    "\0",
];

/// Pieces that heads are made of, right ones and wrong ones.
const PIECES: &[&str] = &[
    "GET ",
    "HEAD ",
    "POST ",
    "OPTIONS ",
    "TRACE ",
    "CONNECT ",
    "http://",
    "https://",
    "o.example",
    ":80",
    "[::1]",
    "127.0.0.1",
    "/",
    "/p?q",
    "*",
    "#",
    "@",
    "%41",
    " HTTP/1.1",
    " HTTP/1.0",
    " HTTP/2.0",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ", ",
    "Host: o.example\r\n",
    "Host: a b\r\n",
    "Connection: ",
    "close",
    "keep-alive",
    "Upgrade",
    "X-A",
    "X-A: 1\r\n",
    "Upgrade: websocket\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: ",
    "content-length",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: ",
    "chunked",
    "Proxy-Authorization: Basic dTE6cDE=\r\n",
    "TE: trailers\r\n",
    "Keep-Alive: 1\r\n",
    "Max-Forwards: 0\r\n",
    "Expect: 100-continue\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 101 X\r\n",
    "HTTP/1.0 204\r\n",
    "HTTP/1.1 304 \r\n",
    "Set-Cookie: a\r\n",
    " folded\r\n",
    "Proxy-Authenticate: x\r\n",
    "Trailer: x\r\n",
    "é",
    "\u{7f}",
];

/// Pieces of chunked bodies.
const CHUNKS: &[&str] = &[
    "0\r\n",
    "0\r\n\r\n",
    "1\r\n",
    "5\r\nhello\r\n",
    "A\r\n0123456789\r\n",
    "ffffffffffffffff\r\n",
    "00",
    "\r\n",
    "\n",
    "\r",
    ";a=b",
    ";",
    " ",
    "x",
    "X-T: v\r\n",
    "Content-Length: 1\r\n",
    ":",
    "\0",
];

fn made_of(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(select(pieces), 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

/// A request that passes, most of the time: its fields are drawn from the pieces' whole lines.
fn nearly_request() -> impl Strategy<Value = Vec<u8>> {
    let methods = select(&["GET", "POST", "OPTIONS", "TRACE", "get"][..]);
    let targets =
        select(&["http://o.example/", "http://O.example:81?q", "http://[::1]", "http://1.2.3.4/#"][..]);
    let lines: Vec<&str> =
        PIECES.iter().copied().filter(|piece| piece.contains(": ") && piece.ends_with('\n')).collect();
    let nominations =
        select(&["", "Connection: close, X-A\r\n", "Connection: content-length, te\r\nTE: x\r\n"][..]);
    (methods, targets, prop::collection::vec(select(lines), 0..5), nominations).prop_map(
        |(method, target, lines, nominations)| {
            let lines = lines.concat();
            format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{lines}{nominations}\r\n").into_bytes()
        },
    )
}

fn run_all(bytes: &[u8]) {
    for (_, target) in fuzz::ALL {
        target(bytes);
    }
}

proptest! {
    #[test]
    fn no_bytes_break_a_parser(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        run_all(&bytes);
    }

    #[test]
    fn nothing_like_a_head_breaks_a_parser(bytes in made_of(PIECES)) {
        run_all(&bytes);
    }

    #[test]
    fn what_is_forwarded_is_what_was_understood(bytes in nearly_request()) {
        fuzz::fuzz_request_head(&bytes);
    }

    #[test]
    fn nothing_like_a_response_breaks_a_parser(bytes in made_of(PIECES), status in 0_u16..700) {
        let head = [format!("HTTP/1.1 {status} X\r\n").as_bytes(), &bytes, b"\r\n\r\n"].concat();
        fuzz::fuzz_response_head(&head);
    }

    #[test]
    fn nothing_like_socks_breaks_a_parser(first in 0_u8..6, rest in prop::collection::vec(0_u8..6, 0..40)) {
        fuzz::fuzz_socks5(&[&[first], rest.as_slice()].concat());
    }

    #[test]
    fn nothing_like_a_proxy_line_breaks_a_parser(words in made_of(PROXY_WORDS)) {
        fuzz::fuzz_proxy_protocol(&[&b"PROXY "[..], &words].concat());
    }

    #[test]
    fn nothing_like_a_binary_proxy_header_breaks_a_parser(
        command in select(vec![0x20_u8, 0x21, 0x11, 0x22]),
        family in select(vec![0x00_u8, 0x11, 0x12, 0x21, 0x31, 0x41]),
        length in 0_u16..260,
        rest in prop::collection::vec(any::<u8>(), 0..260),
    ) {
        let fixed = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length.to_be_bytes()].concat();
        fuzz::fuzz_proxy_protocol(&[fixed, rest].concat());
    }

    #[test]
    fn bodies_do_not_depend_on_how_they_arrive(bytes in made_of(CHUNKS), piece in 1_u8..20) {
        fuzz::fuzz_body(&[&[2, piece], bytes.as_slice()].concat());
    }

    #[test]
    fn content_survives_the_chunked_coding(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
        rest in prop::collection::vec(any::<u8>(), 0..20),
        piece in 1_usize..40,
    ) {
        let mut coded = Vec::new();
        for chunk in &chunks {
            coded.extend(format!("{:x}\r\n", chunk.len()).bytes());
            coded.extend(chunk);
            coded.extend(b"\r\n");
        }
        coded.extend(b"0\r\n\r\n");
        let end = coded.len();
        coded.extend(rest);
        let mut reader = BodyReader::new(Framing::Chunked);
        let (mut taken, mut content) = (0, Vec::<u8>::new());
        for part in coded.chunks(piece) {
            let step = reader.decode(part, |run| content.extend(run)).unwrap();
            taken += step.take;
            if step.done {
                break;
            }
        }
        prop_assert_eq!((taken, reader.finish()), (end, Ok(())));
        prop_assert_eq!(content, chunks.concat());
    }

    #[test]
    fn user_names_read_back(
        name in "[A-Za-z0-9_.]{0,64}",
        proxy_type in prop::option::of(select(&ProxyType::ALL[..])),
        country in prop::option::of("[a-z]{2}"),
        places in prop::collection::vec("[^-\\p{Cc}]{1,20}", 2),
        asn in prop::option::of(1_u32..),
        session in prop::option::of("[A-Za-z0-9_]{1,64}"),
        session_minutes in 1_u16..=1440,
    ) {
        // Longer places than the grammar takes are not what this is about.
        let place = |index: usize| Some(normalise_place(&places[index])).filter(|p| !p.is_empty() && p.len() <= 128);
        let country = country.map(|code| code.parse().unwrap());
        let (state, city) = (place(0), place(1));
        let route = RouteParams { proxy_type, country, state, city, asn, session, session_minutes };
        let user = UserName { name, route };
        prop_assert_eq!(username::parse(&user.to_string()), Ok(user));
    }

    #[test]
    fn any_text_is_a_user_name_or_a_bad_parameter(text in "\\PC{0,10}(-(type|cc|st|sid|asn|x|CITY)-[a-zA-Z0-9+_ ]{0,6}){0,4}") {
        fuzz::fuzz_username(text.as_bytes());
    }

    #[test]
    fn targets_read_back(name in "[a-z0-9_][a-z0-9_-]{0,20}(\\.[a-z]{1,10}){0,4}\\.?", port in any::<u16>()) {
        fuzz::fuzz_target(format!("{name}:{port}").as_bytes());
        fuzz::fuzz_target(name.as_bytes());
    }

    #[test]
    fn addresses_read_back(address in any::<std::net::IpAddr>(), port in 1_u16..) {
        let target = Target::new(Host::Ip(address), port).unwrap();
        prop_assert_eq!(Target::parse_authority(&target.to_string(), None), Ok(target.clone()));
        let request = socks5::client_request(&target);
        let Ok(Parsed::Done(seen, consumed)) = socks5::request(&request) else { panic!("unreadable") };
        prop_assert_eq!((seen.target, consumed), (Ok(target), request.len()));
    }

    // Whatever inet_aton would read as an address is an address in its usual form, or nothing.
    #[test]
    fn numbers_are_addresses_or_nothing(parts in prop::collection::vec("(0[xX])?[0-9]{1,10}", 1..6)) {
        let text = parts.join(".");
        if let Ok(host) = Host::parse(&text) {
            prop_assert_eq!(host, Host::Ip(text.parse().unwrap()));
        }
    }

    // An independent reader agrees with every head that is taken here.
    #[test]
    fn another_reader_agrees_about_requests(bytes in prop_oneof![made_of(PIECES), nearly_request()]) {
        if let Ok(Parsed::Done(head, consumed)) = request_head(&bytes, &Limits::default()) {
            let mut slots = [httparse::EMPTY_HEADER; 256];
            let mut other = httparse::Request::new(&mut slots);
            prop_assert_eq!(other.parse(&bytes), Ok(httparse::Status::Complete(consumed)));
            prop_assert_eq!(other.method, Some(head.method.as_str()));
            let theirs: Vec<_> = other.headers.iter().map(|field| (field.name, field.value)).collect();
            prop_assert_eq!(head.fields.iter().collect::<Vec<_>>(), theirs);
            if let RequestTarget::Authority(target) = &head.form {
                let path = other.path.unwrap_or_default();
                prop_assert_eq!(Target::parse_authority(path, None), Ok(target.clone()));
            }
        }
    }

    #[test]
    fn another_reader_agrees_about_responses(bytes in made_of(PIECES), status in 100_u16..600) {
        let bytes = [format!("HTTP/1.1 {status} X\r\n").as_bytes(), &bytes, b"\r\n\r\n"].concat();
        if let Ok(Parsed::Done(head, consumed)) = response_head(&bytes, &Limits::default()) {
            let mut slots = [httparse::EMPTY_HEADER; 256];
            let mut other = httparse::Response::new(&mut slots);
            let mut lenient = httparse::ParserConfig::default();
            lenient.allow_obsolete_multiline_headers_in_responses(true);
            lenient.allow_spaces_after_header_name_in_responses(true);
            let parsed = lenient.parse_response(&mut other, &bytes);
            prop_assert_eq!(parsed, Ok(httparse::Status::Complete(consumed)));
            prop_assert_eq!(other.code, Some(head.status));
            prop_assert_eq!(other.headers.len(), head.fields.len());
        }
    }
}
