use super::*;

fn shown(text: &str, default_port: Option<u16>) -> Result<String, BadTarget> {
    Target::parse_authority(text, default_port).map(|target| target.to_string())
}

// HP-02, HP-07, HP-66: what is understood, and how it is normalised.
#[test]
fn understands_authorities() {
    let rows = [
        ("example.com:443", "example.com:443"),
        ("EXAMPLE.Com:443", "example.com:443"),
        ("example.com.:443", "example.com:443"),
        ("%65xample%2Ecom:443", "example.com:443"),
        ("xn--bcher-kva.example:1", "xn--bcher-kva.example:1"),
        ("XN--BCHER-KVA.example:1", "xn--bcher-kva.example:1"),
        ("a_b.c-d.e1:65535", "a_b.c-d.e1:65535"),
        ("1.2.3.com:80", "1.2.3.com:80"),
        ("localhost:080", "localhost:80"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("127.0.0.1.:1", "127.0.0.1:1"),
        ("%31%32%37.0.0.1:1", "127.0.0.1:1"),
        ("[::1]:443", "[::1]:443"),
        ("[0:0:0:0:0:FFFF:10.0.0.1]:443", "[::ffff:10.0.0.1]:443"),
    ];
    for (text, expected) in rows {
        assert_eq!(shown(text, None).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn an_absent_or_empty_port_is_the_implied_one() {
    for text in ["example.com", "example.com:"] {
        assert_eq!(shown(text, Some(80)).as_deref(), Ok("example.com:80"));
        assert_eq!(shown(text, None), Err(BadTarget::MissingPort));
    }
    assert_eq!(shown("[::1]", Some(80)).as_deref(), Ok("[::1]:80"));
    assert_eq!(shown("[::1]:", Some(80)).as_deref(), Ok("[::1]:80"));
    assert_eq!(shown("[::1]", None), Err(BadTarget::MissingPort));
}

// HP-02: CONNECT without port, `host:`, `[::1]`, `:443`, port 0, 65536, `+80`, ` 80`.
// HP-03: a path, a URI or userinfo where an authority belongs. HP-63: names of sockets.
// HP-66: 254 characters, labels of 64, bad `xn--`, `%2e`, NUL.
#[test]
fn refuses_what_is_no_authority() {
    let label = "a".repeat(64);
    let long = format!("{0}.{0}.{0}.{1}:1", "a".repeat(63), "a".repeat(62));
    let rows = [
        ("", BadTarget::Empty),
        (":443", BadTarget::Empty),
        ("example.com", BadTarget::MissingPort),
        ("example.com:", BadTarget::MissingPort),
        ("example.com:0", BadTarget::Port),
        ("example.com:65536", BadTarget::Port),
        ("example.com:000080", BadTarget::Port),
        ("example.com:+80", BadTarget::Port),
        ("example.com: 80", BadTarget::Port),
        ("example.com:-1", BadTarget::Port),
        ("example.com:8o", BadTarget::Port),
        ("example.com:80/path", BadTarget::Port),
        ("example.com:80:80", BadTarget::Port),
        ("http://example.com:80", BadTarget::Port),
        ("user:password@example.com:80", BadTarget::UserInfo),
        ("@example.com:80", BadTarget::UserInfo),
        ("::1:80", BadTarget::Empty),
        ("[::1", BadTarget::Address),
        ("[::1]443", BadTarget::Address),
        ("[fe80::1%25eth0]:80", BadTarget::Address),
        ("[127.0.0.1]:80", BadTarget::Address),
        ("[unix:/run/x.sock]:80", BadTarget::Address),
        ("[]:80", BadTarget::Address),
        (".:80", BadTarget::Name),
        ("a..b:80", BadTarget::Name),
        (".a:80", BadTarget::Name),
        ("a..:80", BadTarget::Name),
        ("exa mple.com:80", BadTarget::Name),
        ("exa\0mple.com:80", BadTarget::Name),
        ("exa%00mple.com:80", BadTarget::Name),
        ("exa%mple.com:80", BadTarget::Name),
        ("exa%+1mple.com:80", BadTarget::Name),
        ("a%2:80", BadTarget::Name),
        ("a%3A80:80", BadTarget::Name),
        ("bücher.example:80", BadTarget::Name),
        ("b%C3%BCcher.example:80", BadTarget::Name),
        ("xn--:80", BadTarget::Name),
        ("xn---:80", BadTarget::Name),
        ("xn--a-.example:80", BadTarget::Name),
        ("xn--99999999.example:80", BadTarget::Name),
        ("xn--bcher-kva_.example:80", BadTarget::Name),
        ("a*b.example:80", BadTarget::Name),
        (&format!("{label}.example:80"), BadTarget::Name),
        (&long, BadTarget::Name),
    ];
    for (text, error) in rows {
        assert_eq!(shown(text, None), Err(error), "{text}");
    }
}

// HP-60 and S5-16's class: spellings that inet_aton or a browser would read as an address.
#[test]
fn refuses_numbers_in_disguise() {
    for host in [
        "0x7f.1",
        "0X7F.0.0.1",
        "2130706433",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.0x1",
        "0x7f000001",
        "0x",
        "1",
        "256.256.256.256",
        "1.2.3.4.5",
        "example.1",
        "example.0x1f",
        "%30x7f.1",
        "127.1.",
        "999999999999999999999",
    ] {
        assert_eq!(shown(&format!("{host}:80"), None), Err(BadTarget::Numeric), "{host}");
    }
}

#[test]
fn names_have_253_bytes_at_most() {
    let name = |last: usize| format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(last));
    assert_eq!(name(61).len(), 253);
    assert!(Host::parse(&name(61)).is_ok());
    assert!(Host::parse(&format!("{}.", name(61))).is_ok());
    assert_eq!(Host::parse(&name(62)), Err(BadTarget::Name));
}

// The samples of RFC 3492 §7.1 (the case of basic letters apart), and texts that encode nothing.
#[test]
fn knows_punycode() {
    let rows = [
        ("egbpdaj6bu4bxfgehfvwxn", "ليهمابتكلموشعربي؟"),
        ("ihqwcrb4cv8a8dqg056pqjye", "他们为什么不说中文"),
        ("Proprostnemluvesky-uyb24dma41a", "Pročprostěnemluvíčesky"),
        ("4dbcagdahymbxekheh6e0a7fei0b", "למההםפשוטלאמדבריםעברית"),
        ("3B-ww4c5e180e575a65lsy2b", "3年B組金八先生"),
        ("d9juau41awczczp", "そのスピードで"),
        ("bcher-kva", "bücher"),
    ];
    for (encoded, decoded) in rows {
        assert_eq!(decode_punycode(encoded).as_deref(), Some(decoded));
    }
    for encoded in ["", "-", "a-", "99999", "999999b", "b!cher-kv", "bcher-kv"] {
        assert_eq!(decode_punycode(encoded), None, "{encoded}");
    }
}

#[test]
fn the_usual_port_is_left_out_of_host_fields() {
    let target = |text| Target::parse_authority(text, Some(80)).unwrap();
    assert_eq!(target("a.example").authority(80), "a.example");
    assert_eq!(target("a.example:81").authority(80), "a.example:81");
    assert_eq!(target("[::1]").authority(80), "[::1]");
    assert_eq!(Target::new(Host::Name("a".into()), 0), Err(BadTarget::Port));
}
