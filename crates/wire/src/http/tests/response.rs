use super::*;

// HP-29: a reason with any bytes; HP-38: both versions.
#[test]
fn status_lines() {
    let rows: [(&[u8], u16, &[u8], Version); 6] = [
        (b"HTTP/1.1 200 OK", 200, b"OK", Version::Http11),
        (b"HTTP/1.0 404 Not Found", 404, b"Not Found", Version::Http10),
        (b"HTTP/1.1 200 ", 200, b"", Version::Http11),
        (b"HTTP/1.1 200", 200, b"", Version::Http11),
        (b"HTTP/1.1 599 \x80\xff\tx ", 599, b"\x80\xff\tx ", Version::Http11),
        (b"HTTP/1.1 100 Continue", 100, b"Continue", Version::Http11),
    ];
    for (status_line, status, reason, version) in rows {
        let head = read_response([status_line, b"\r\n\r\n"].concat()).unwrap();
        assert_eq!((head.status, head.reason.as_slice(), head.version), (status, reason, version));
    }
}

// HP-29: status 55 and 999; HP-44: something that is not HTTP.
#[test]
fn status_lines_that_are_none() {
    for status_line in [
        "HTTP/1.1 55 X",
        "HTTP/1.1 999 X",
        "HTTP/1.1 600 X",
        "HTTP/1.1 099 X",
        "HTTP/1.1 2000 X",
        "HTTP/1.1 20x X",
        "HTTP/1.1 +20 X",
        "HTTP/1.1  200 X",
        "HTTP/1.1\t200 X",
        "HTTP/1.1 200\tX",
        "HTTP/1.1 200 X\0",
        "HTTP/1.1 200 X\u{7f}",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/2 200",
        "ICY 200 OK",
        "http/1.1 200 OK",
        "200 OK",
        " HTTP/1.1 200 OK",
        "SSH-2.0-OpenSSH",
    ] {
        is_bad(read_response(format!("{status_line}\r\n\r\n")), status_line);
    }
    assert_eq!(read_response("HTTP/1.2 200 OK\r\n\r\n"), Err(HeadError::Version));
    is_bad(response_head(b"\x05\x00", &Limits::default()), "SOCKS");
    is_bad(response_head(b"\r\nHTTP/1.1 200 OK", &Limits::default()), "an empty line first");
}

// HP-29: a folded field becomes one line; RFC 9112 §5.1: a blank before the colon goes.
#[test]
fn fields_are_tidied_up() {
    let head =
        read_response("HTTP/1.1 200 OK\r\nX: a\r\n  b\r\n\tc \r\n \r\nY \t: d\r\nZ:\r\n e\r\n\r\n").unwrap();
    let fields: Vec<(&str, &[u8])> = head.fields.iter().collect();
    let expected: [(&str, &[u8]); 3] = [("X", b"a b c"), ("Y", b"d"), ("Z", b"e")];
    assert_eq!(fields, expected);
    let smuggled = "HTTP/1.1 200 OK\r\nContent-Length : 5\r\nContent-Length: 6\r\n\r\n";
    is_bad(read_response(smuggled), "two lengths, one of them disguised");
}

#[test]
fn fields_that_are_refused() {
    for fields in [
        " folded: first\r\n",
        "X: a\nY: b\r\n",
        "X: a\rY: b\r\n",
        "X: a\0\r\n",
        "X: a\u{8}\r\n",
        "X: a\r\n b\u{0}\r\n",
        "no colon\r\n",
        ": x\r\n",
        " : x\r\n",
        "X Y: x\r\n",
        "X\u{c}: x\r\n",
    ] {
        is_bad(read_response(format!("HTTP/1.1 200 OK\r\n{fields}\r\n")), fields);
    }
}

// HP-45: a MiB of head, ten thousand fields.
#[test]
fn heads_have_bounds() {
    let read = |fields: String| {
        response_head(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), &Limits::default()).map(|_| ())
    };
    assert_eq!(read("X: y\r\n".repeat(128)), Ok(()));
    assert_eq!(read("X: y\r\n".repeat(129)), Err(HeadError::TooLarge));
    assert_eq!(read("X: y\r\n".repeat(10_000)), Err(HeadError::TooLarge));
    assert_eq!(read(format!("X: {}\r\n", "y".repeat(1 << 20))), Err(HeadError::TooLarge));
    assert_eq!(read("X: y\r\n z\r\n".repeat(65)), Err(HeadError::TooLarge));
}

// HP-41: interim responses; HP-42: 101 is none of them.
#[test]
fn interim_responses() {
    let interim = |status: u16| read_response(format!("HTTP/1.1 {status} X\r\n\r\n")).unwrap().is_interim();
    assert!(interim(100) && interim(102) && interim(103) && interim(199));
    assert!(!interim(101) && !interim(200) && !interim(304));
}

// HP-38: who may be asked again.
#[test]
fn keep_alive() {
    let keeps = |version: &str, fields: &str| {
        read_response(format!("HTTP/{version} 200 OK\r\n{fields}\r\n")).unwrap().keep_alive()
    };
    assert!(keeps("1.1", ""));
    assert!(!keeps("1.1", "Connection: close\r\n"));
    assert!(!keeps("1.1", "Connection: keep-alive\r\nConnection: x, Close\r\n"));
    assert!(!keeps("1.0", ""));
    assert!(keeps("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!keeps("1.0", "Connection: keep-alive, close\r\n"));
}
