//! The head of a request of HTTP/2, written down as HTTP/1.1 would have it, and read as strictly as
//! if it had come that way: what the one parser does not let through does not get through here.

use h2::ext::Protocol;
use http::{HeaderMap, Request, header};
use tollgate_wire::Parsed;
use tollgate_wire::http::{HeadError, Limits, RequestHead, Version, request_head};

use crate::stream::Reading;

/// A request, as it is to be answered.
pub(crate) struct Asked {
    pub(crate) head: RequestHead,
    /// How its body is to be read.
    pub(crate) reading: Reading,
}

/// Reads the head. `key` is what a WebSocket's handshake in HTTP/1.1 needs (RFC 6455 §4.1), and
/// HTTP/2 does without.
///
/// # Errors
/// [`HeadError`].
pub(crate) fn asked<B>(
    request: &Request<B>,
    has_body: bool,
    key: impl FnOnce() -> String,
    limits: &Limits,
) -> Result<Asked, HeadError> {
    let mut text = Text(Vec::with_capacity(512));
    let is_tunnel = request.method() == http::Method::CONNECT;
    let mut reading = Reading::Plain;
    match request.extensions().get::<Protocol>() {
        Some(protocol) => upgrade(&mut text, request, protocol, key)?,
        None if is_tunnel => connect(&mut text, request)?,
        None => {
            absolute(&mut text, request.method().as_str(), request)?;
            if has_body && !request.headers().contains_key(header::CONTENT_LENGTH) {
                text.field("Transfer-Encoding", b"chunked");
                reading = Reading::Chunks;
            }
        }
    }
    text.fields(request.headers(), is_tunnel);
    let text = text.end();
    match request_head(&text, limits)? {
        Parsed::Done(mut head, _) => {
            head.version = Version::Http2;
            Ok(Asked { head, reading })
        }
        Parsed::Need => Err(HeadError::BadRequest("the request is malformed")),
    }
}

fn connect<B>(text: &mut Text, request: &Request<B>) -> Result<(), HeadError> {
    let authority = authority(request)?;
    text.line(&["CONNECT ", authority, " HTTP/1.1"]);
    text.field("Host", authority.as_bytes());
    Ok(())
}

/// Extended CONNECT (RFC 8441): only for WebSocket.
fn upgrade<B>(
    text: &mut Text,
    request: &Request<B>,
    protocol: &Protocol,
    key: impl FnOnce() -> String,
) -> Result<(), HeadError> {
    if protocol.as_str() != "websocket" {
        return Err(HeadError::Scheme);
    }
    absolute(text, "GET", request)?;
    text.field("Connection", b"Upgrade");
    text.field("Upgrade", b"websocket");
    text.field("Sec-WebSocket-Key", key().as_bytes());
    Ok(())
}

fn absolute<B>(text: &mut Text, method: &str, request: &Request<B>) -> Result<(), HeadError> {
    let uri = request.uri();
    let authority = authority(request)?;
    let scheme = uri.scheme_str().unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // `OPTIONS` of the whole server is written without a path in absolute form (RFC 9112 §3.2.4).
    let path = if path == "*" { "" } else { path };
    text.line(&[method, " ", scheme, "://", authority, path, " HTTP/1.1"]);
    text.field("Host", authority.as_bytes());
    Ok(())
}

/// Whom the request is for. A `Host` beside it must say the same (RFC 9113 §8.3.1).
fn authority<B>(request: &Request<B>) -> Result<&str, HeadError> {
    let authority =
        request.uri().authority().ok_or(HeadError::BadRequest("the authority is missing"))?.as_str();
    let same = |host: &http::HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    if !request.headers().get_all(header::HOST).iter().all(same) {
        return Err(HeadError::BadRequest("the Host is not the authority"));
    }
    Ok(authority)
}

struct Text(Vec<u8>);

impl Text {
    fn line(&mut self, parts: &[&str]) {
        self.0.extend(parts.iter().flat_map(|part| part.as_bytes()));
        self.0.extend_from_slice(b"\r\n");
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value);
        self.0.extend_from_slice(b"\r\n");
    }

    /// Every field but those written already. Cookies, which HTTP/2 may take apart, are put together
    /// again (RFC 9113 §8.2.3). A tunnel has no body whose length could be told.
    fn fields(&mut self, fields: &HeaderMap, is_tunnel: bool) {
        let not_of_tunnels = [header::CONTENT_LENGTH, header::SEC_WEBSOCKET_KEY];
        for (name, value) in fields {
            let is_out_of_place = is_tunnel && not_of_tunnels.contains(name);
            if name != header::HOST && name != header::COOKIE && !is_out_of_place {
                self.field(name.as_str(), value.as_bytes());
            }
        }
        let cookies: Vec<_> =
            fields.get_all(header::COOKIE).iter().map(http::HeaderValue::as_bytes).collect();
        if !cookies.is_empty() {
            self.field("Cookie", &cookies.join(b"; ".as_slice()));
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0
    }
}
