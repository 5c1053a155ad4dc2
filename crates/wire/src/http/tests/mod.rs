//! Tables from the rows of docs/hostile.md; each test names its rows.

mod forward;
mod framing;
mod request;
mod response;

use super::*;
use crate::target::Target;

/// Reads a whole request head, having checked that the result does not depend on how it arrives.
fn read_request(text: impl AsRef<[u8]>) -> Result<RequestHead, HeadError> {
    let bytes = text.as_ref();
    let limits = Limits::default();
    let whole = request_head(bytes, &limits);
    for cut in 0..bytes.len() {
        let part = request_head(&bytes[..cut], &limits);
        assert!(part == Ok(Parsed::Need) || part == whole, "{cut} bytes of {}", bytes.escape_ascii());
    }
    match whole? {
        Parsed::Done(head, consumed) => {
            assert_eq!(consumed, bytes.len(), "{}", bytes.escape_ascii());
            Ok(head)
        }
        Parsed::Need => panic!("incomplete: {}", bytes.escape_ascii()),
    }
}

/// The same for a response.
fn read_response(text: impl AsRef<[u8]>) -> Result<ResponseHead, HeadError> {
    let bytes = text.as_ref();
    let limits = Limits::default();
    let whole = response_head(bytes, &limits);
    for cut in 0..bytes.len() {
        let part = response_head(&bytes[..cut], &limits);
        assert!(part == Ok(Parsed::Need) || part == whole, "{cut} bytes of {}", bytes.escape_ascii());
    }
    match whole? {
        Parsed::Done(head, consumed) => {
            assert_eq!(consumed, bytes.len(), "{}", bytes.escape_ascii());
            Ok(head)
        }
        Parsed::Need => panic!("incomplete: {}", bytes.escape_ascii()),
    }
}

/// A request for `http://o.example/` with these field lines besides its Host.
fn get(fields: &str) -> String {
    format!("GET http://o.example/ HTTP/1.1\r\nHost: o.example\r\n{fields}\r\n")
}

/// A request line of its own, with a Host.
fn line(request_line: &str) -> Result<RequestHead, HeadError> {
    read_request(format!("{request_line}\r\nHost: o.example\r\n\r\n"))
}

fn target(text: &str) -> Target {
    Target::parse_authority(text, Some(80)).unwrap()
}

fn is_bad<T: std::fmt::Debug>(result: Result<T, HeadError>, what: &str) {
    assert!(matches!(result, Err(HeadError::BadRequest(_))), "{what}: {result:?}");
}
