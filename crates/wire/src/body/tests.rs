use super::*;
use crate::http::Framing;

/// How many bytes belong to the body, whether it ended, and its content.
type Outcome = Result<(usize, bool, Vec<u8>), BodyError>;

/// Shows the bytes in pieces of a size.
fn read(framing: Framing, bytes: &[u8], piece: usize) -> Outcome {
    let mut reader = BodyReader::new(framing);
    let (mut taken, mut content) = (0, Vec::new());
    for part in bytes.chunks(piece) {
        let step = reader.decode(part, |run| content.extend(run))?;
        taken += step.take;
        assert_eq!(step.done, reader.is_done());
        if step.done {
            break;
        }
        assert_eq!(step.take, part.len(), "a body that goes on takes everything");
    }
    Ok((taken, reader.is_done(), content))
}

/// The same, having checked that the pieces do not matter.
fn outcome(framing: Framing, bytes: &[u8]) -> Outcome {
    let whole = read(framing, bytes, usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(read(framing, bytes, piece), whole, "{} in {piece}", bytes.escape_ascii());
    }
    whole
}

fn chunked(bytes: &[u8]) -> Outcome {
    outcome(Framing::Chunked, bytes)
}

#[test]
fn counted_bodies() {
    assert_eq!(outcome(Framing::Length(5), b"hello"), Ok((5, true, b"hello".to_vec())));
    assert_eq!(outcome(Framing::Length(5), b"hel"), Ok((3, false, b"hel".to_vec())));
    // HP-46: what is more belongs to the next request.
    assert_eq!(outcome(Framing::Length(5), b"helloGET "), Ok((5, true, b"hello".to_vec())));
    assert_eq!(outcome(Framing::None, b"GET "), Ok((0, true, Vec::new())));
    assert_eq!(outcome(Framing::UntilClose, b"hello"), Ok((5, false, b"hello".to_vec())));
}

#[test]
fn an_empty_body_is_done_before_its_first_byte() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut reader = BodyReader::new(framing);
        assert!(reader.is_done());
        assert_eq!(reader.advance(b""), Ok(Step { take: 0, done: true }));
    }
    assert_eq!(BodyReader::new(Framing::Chunked).advance(b""), Ok(Step { take: 0, done: false }));
}

#[test]
fn chunked_bodies() {
    let rows: [(&[u8], &[u8]); 8] = [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"00000000000000A\r\n0123456789\r\n0000\r\n\r\n", b"0123456789"),
        (b"a\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n\r\n\r\n\r\n"),
        (b"1;a\r\nx\r\n1;a=b;c=\"d e\"\r\ny\r\n0;z\r\n\r\n", b"xy"),
        (b"1; \ta = b\r\nx\r\n0\r\n\r\n", b"x"),
        // HP-36: a trailer.
        (b"1\r\nx\r\n0\r\nX-Sum: 1\xff\t2\r\nEmpty:\r\n\r\n", b"x"),
        (b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n", b"x"),
    ];
    for (bytes, content) in rows {
        let end = bytes.windows(4).rposition(|four| four == b"GET ").unwrap_or(bytes.len());
        assert_eq!(chunked(bytes), Ok((end, true, content.to_vec())), "{}", bytes.escape_ascii());
    }
}

// HP-35: sizes that are no sizes, extensions without end.
#[test]
fn refuses_malformed_chunks() {
    let extension = |length: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(length - 1));
    let rows: Vec<(Vec<u8>, BodyError)> = vec![
        (b"ffffffffffffffff1\r\n".into(), BodyError::ChunkSize),
        (b"ffffffffffffffff\r\n".into(), BodyError::ChunkSize),
        (b"8000000000000000\r\n".into(), BodyError::ChunkSize),
        (b"00000000000000001\r\n".into(), BodyError::ChunkSize),
        (b"-1\r\n".into(), BodyError::ChunkSize),
        (b"+1\r\n".into(), BodyError::ChunkSize),
        (b"0x4\r\n".into(), BodyError::ChunkSize),
        (b"1_0\r\n".into(), BodyError::ChunkSize),
        (b" 4\r\n".into(), BodyError::ChunkSize),
        (b"4 \r\n".into(), BodyError::ChunkSize),
        (b"4\n".into(), BodyError::ChunkSize),
        (b"\r\n".into(), BodyError::ChunkSize),
        (b";a\r\n".into(), BodyError::ChunkSize),
        (b"4\rhell".into(), BodyError::LineEnd),
        (b"4;\r\n".into(), BodyError::Extension),
        (b"4; \r\n".into(), BodyError::Extension),
        (b"4;a\nhell\r\n".into(), BodyError::Extension),
        (b"4;a\x00\r\n".into(), BodyError::Extension),
        (b"4;a\x7f\r\n".into(), BodyError::Extension),
        (b"4;a\rb\r\n".into(), BodyError::LineEnd),
        (extension(257).into(), BodyError::Extension),
        (extension(65_536).into(), BodyError::Extension),
        (b"4\r\nhello\r\n".into(), BodyError::LineEnd),
        (b"4\r\nhell\n0\r\n\r\n".into(), BodyError::LineEnd),
        (b"4\r\nhell\rx".into(), BodyError::LineEnd),
        (b"4\r\nhell0\r\n\r\n".into(), BodyError::LineEnd),
        (b"0\r\n\n".into(), BodyError::Trailer),
        (b"0\r\n\rx".into(), BodyError::LineEnd),
    ];
    for (bytes, error) in rows {
        assert_eq!(chunked(&bytes), Err(error), "{}", bytes.escape_ascii());
    }
    assert!(chunked(extension(256).as_bytes()).is_ok());
    // HP-35: the largest size is a size; its data never ends.
    let endless = chunked(b"7fffffffffffffff\r\nabc");
    assert_eq!(endless, Ok((21, false, b"abc".to_vec())));
}

// HP-36: trailers that would be something else in a head, malformed ones, too many of them.
#[test]
fn refuses_bad_trailers() {
    for line in [
        "Content-Length: 5",
        "content-length:5",
        "Transfer-Encoding: chunked",
        "Host: a",
        "Authorization: x",
        "Proxy-Authorization: x",
        "proxy-anything: x",
        "Set-Cookie: a=b",
        "Connection: close",
        "Trailer: x",
        "X-Folded: a\r\n b",
        " leading: blank",
        "no colon",
        "X : y",
        ": y",
        "X: a\u{0}b",
        "X: a\u{7f}b",
        "X: \u{c}",
    ] {
        let bytes = format!("1\r\nx\r\n0\r\n{line}\r\n\r\n");
        assert_eq!(chunked(bytes.as_bytes()), Err(BodyError::Trailer), "{line}");
    }
    assert_eq!(chunked(b"0\r\nX: a\nY: b\r\n\r\n"), Err(BodyError::Trailer));
    assert_eq!(chunked(b"0\r\nX: a\rY: b\r\n\r\n"), Err(BodyError::LineEnd));
}

// HP-36: a hundred trailers are forwarded.
#[test]
fn trailers_have_bounds() {
    let many = |count: usize| format!("0\r\n{}\r\n", "X-T: v\r\n".repeat(count));
    assert!(chunked(many(100).as_bytes()).is_ok());
    assert!(chunked(many(128).as_bytes()).is_ok());
    assert_eq!(chunked(many(129).as_bytes()), Err(BodyError::TrailersTooLarge));
    let long = |length: usize| format!("0\r\nX:{}\r\n\r\n", "v".repeat(length));
    assert!(chunked(long(8192 - 6).as_bytes()).is_ok());
    assert_eq!(chunked(long(8192 - 5).as_bytes()), Err(BodyError::TrailersTooLarge));
    assert_eq!(chunked(&[b"0\r\n".as_slice(), &[b'n'; 9000]].concat()), Err(BodyError::TrailersTooLarge));
}

// HP-35: a million chunks of one byte pass, and nothing is kept of them.
#[test]
fn a_million_tiny_chunks_stream() {
    let mut reader = BodyReader::new(Framing::Chunked);
    let mut content = 0;
    for _ in 0..1000 {
        let part = b"1\r\nx\r\n".repeat(1000);
        let step = reader.decode(&part, |run| content += run.len()).unwrap();
        assert_eq!(step, Step { take: part.len(), done: false });
    }
    assert_eq!(reader.advance(b"0\r\n\r\n"), Ok(Step { take: 5, done: true }));
    assert_eq!(content, 1_000_000);
}

// HP-44: the origin closes mid-body, mid-chunk, before the last chunk, within the trailers.
#[test]
fn an_early_end_is_a_truncation() {
    let finish = |framing, bytes: &[u8]| {
        let mut reader = BodyReader::new(framing);
        reader.advance(bytes).unwrap();
        reader.finish()
    };
    for bytes in
        ["", "5", "5\r\n", "5\r\nhel", "5\r\nhello", "5\r\nhello\r\n", "0\r\n", "0\r\nX: y\r\n", "0\r\n\r"]
    {
        assert_eq!(finish(Framing::Chunked, bytes.as_bytes()), Err(BodyError::Truncated), "{bytes:?}");
    }
    assert_eq!(finish(Framing::Chunked, b"0\r\n\r\n"), Ok(()));
    assert_eq!(finish(Framing::Length(3), b"ab"), Err(BodyError::Truncated));
    assert_eq!(finish(Framing::Length(3), b"abc"), Ok(()));
    assert_eq!(finish(Framing::UntilClose, b""), Ok(()));
    assert_eq!(finish(Framing::None, b""), Ok(()));
}

#[test]
fn a_fault_is_final() {
    let mut reader = BodyReader::new(Framing::Chunked);
    assert_eq!(reader.advance(b"x"), Err(BodyError::ChunkSize));
    assert_eq!(reader.advance(b"0\r\n\r\n"), Err(BodyError::ChunkSize));
    assert_eq!(reader.finish(), Err(BodyError::ChunkSize));
    assert!(!reader.is_done());
}
