use super::*;

const TWO_TO_THE_63: &str = "9223372036854775808";

// HP-33, HP-34.
#[test]
fn lengths_and_codings_that_are_clear() {
    let rows = [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::Length(0)),
        ("content-length:\t5 \r\n", Framing::Length(5)),
        ("Content-Length: 005\r\n", Framing::Length(5)),
        ("Content-Length: 9223372036854775807\r\n", Framing::Length(i64::MAX as u64)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
        ("tRANSFER-eNCODING:CHUNKED\r\n", Framing::Chunked),
    ];
    for (fields, framing) in rows {
        assert_eq!(read_request(get(fields)).unwrap().framing(), framing, "{fields}");
    }
}

/// Every way of saying two things about where a body ends.
fn ambiguous() -> Vec<String> {
    let length = |value: &str| format!("Content-Length: {value}\r\n");
    let coding = |value: &str| format!("Transfer-Encoding: {value}\r\n");
    let mut rows = vec![
        length("5") + &coding("chunked"),
        coding("chunked") + &length("5"),
        length("0") + &coding("chunked"),
        coding("chunked") + &coding("chunked"),
        coding("chunked") + &coding("identity"),
        coding("gzip") + &coding("chunked"),
        length("5") + &length("6"),
        length("5") + &length("5"),
    ];
    let lengths = [
        "",
        "5, 5",
        "5,",
        "+5",
        "-1",
        "-0",
        "0x5",
        "5 6",
        "5.0",
        "5e1",
        "5;",
        "\"5\"",
        "1_0",
        "five",
        "５",
        "18446744073709551615",
        "18446744073709551621",
        "00000000000000000005",
        TWO_TO_THE_63,
    ];
    rows.extend(lengths.map(length));
    let codings = [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "x chunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunke",
        "chunkedd",
        "xchunked",
        "chun ked",
    ];
    rows.extend(codings.map(coding));
    rows
}

// HP-33: CL.TE, TE.CL, TE.TE, CL.CL, lists, signs, hexadecimal, blanks, 20 digits, 2^63, 2^64+5.
#[test]
fn ambiguous_requests_are_refused() {
    for fields in ambiguous() {
        is_bad(read_request(get(&fields)), &fields);
        let connect = format!("CONNECT o:443 HTTP/1.1\r\n{fields}\r\n");
        is_bad(read_request(&connect), &connect);
    }
    let old = "POST http://o/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    is_bad(read_request(old), "a coding in HTTP/1.0");
}

// The same of an origin: its response would be split in two by whoever reads it next.
#[test]
fn ambiguous_responses_are_refused() {
    for fields in ambiguous() {
        is_bad(read_response(format!("HTTP/1.1 200 OK\r\n{fields}\r\n")), &fields);
    }
    is_bad(read_response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), "a coding in HTTP/1.0");
}

// RFC 9112 §6.3, rule by rule.
#[test]
fn responses_end_where_their_request_says() {
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let rows = [
        ("GET", 200, length, Framing::Length(5)),
        ("GET", 200, chunked, Framing::Chunked),
        ("GET", 200, "", Framing::UntilClose),
        ("POST", 404, "", Framing::UntilClose),
        ("HEAD", 200, length, Framing::None),
        ("HEAD", 200, chunked, Framing::None),
        ("head", 200, length, Framing::Length(5)),
        ("GET", 100, length, Framing::None),
        ("GET", 103, "", Framing::None),
        ("GET", 204, length, Framing::None),
        ("GET", 204, chunked, Framing::None),
        ("GET", 304, length, Framing::None),
        ("GET", 205, length, Framing::Length(5)),
        ("CONNECT", 200, length, Framing::None),
        ("CONNECT", 299, chunked, Framing::None),
        ("CONNECT", 407, length, Framing::Length(5)),
        ("CONNECT", 502, "", Framing::UntilClose),
        ("GET", 101, "", Framing::None),
    ];
    for (method, status, fields, framing) in rows {
        let head = read_response(format!("HTTP/1.1 {status} X\r\n{fields}\r\n")).unwrap();
        assert_eq!(head.framing(method), framing, "{method} {status} {fields}");
    }
}
