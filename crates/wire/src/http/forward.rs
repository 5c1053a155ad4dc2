//! Writing heads onward: what belongs to one hop stays behind, what is end to end goes through.

use super::fields::Fields;
use super::request::{HTTP_PORT, RequestHead, RequestTarget, Upgrade};
use super::response::ResponseHead;
use super::{Expect, Framing, Version};

/// Fields that belong to one hop whether or not a Connection field names them (RFC 9110 §7.6.1), and
/// the framing, which is written from what was understood.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

impl RequestHead {
    /// Appends the head as an origin is to see it: origin form, Host first and made from the target,
    /// nothing that belongs to the hop before. Nothing is added that would tell of a proxy or of the
    /// client's address. `keep_alive_upstream` false asks the origin to close after its response.
    ///
    /// Only an [`RequestTarget::Absolute`] request is forwarded; of another nothing is written.
    pub fn write_forward(&self, out: &mut Vec<u8>, keep_alive_upstream: bool) {
        let RequestTarget::Absolute { target, path_and_query, .. } = &self.form else {
            return;
        };
        put(out, &[&self.method, " ", path_and_query, " HTTP/1.1\r\n"]);
        field(out, "Host", target.authority(HTTP_PORT).as_bytes());
        let hop = Hop::of(&self.fields);
        for (name, value) in self.fields.iter().filter(|(name, _)| !hop.keeps(name)) {
            self.forward_field(out, name, value);
        }
        write_framing(out, self.framing);
        match self.upgrade() {
            Some(Upgrade::WebSocket) => put(out, &["Connection: Upgrade\r\nUpgrade: websocket\r\n"]),
            None if keep_alive_upstream => {}
            None => put(out, &["Connection: close\r\n"]),
        }
        put(out, &["\r\n"]);
    }

    fn forward_field(&self, out: &mut Vec<u8>, name: &str, value: &[u8]) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let proxy = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("proxy-"));
        if proxy || is("host") || (is("expect") && self.expects_continue() == Expect::None) {
            return;
        }
        match self.max_forwards {
            Some(left) if is("max-forwards") => {
                field(out, name, left.saturating_sub(1).to_string().as_bytes());
            }
            _ => field(out, name, value),
        }
    }
}

impl ResponseHead {
    /// Appends the head as the client is to see it. Repeated fields stay apart and in order; nothing is
    /// added but what this hop itself needs. `close` announces that the connection ends with this
    /// response. `drop_chunked` leaves out `Transfer-Encoding` and `Trailer` for a client that gets the
    /// body without its chunks.
    ///
    /// Answers how many of the written bytes, just before the blank line, are this hop's own: they
    /// are not part of what the target answered, and not billed.
    pub fn write_back(
        &self,
        out: &mut Vec<u8>,
        client_version: Version,
        close: bool,
        drop_chunked: bool,
    ) -> usize {
        put(out, &["HTTP/1.1 ", &self.status.to_string(), " "]);
        out.extend(&self.reason);
        put(out, &["\r\n"]);
        let hop = Hop::of(&self.fields);
        for (name, value) in self.fields.iter().filter(|(name, _)| !hop.keeps(name)) {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let unchunked = drop_chunked && is("trailer");
            if !unchunked && !is_proxy_field_of_a_response(name) {
                field(out, name, value);
            }
        }
        self.write_framing_back(out, drop_chunked);
        let before = out.len();
        self.write_connection_back(out, client_version, close);
        let own = if self.status == 101 { 0 } else { out.len() - before };
        put(out, &["\r\n"]);
        own
    }

    /// An interim response and 204 have no body and must not announce one (RFC 9110 §8.6).
    fn write_framing_back(&self, out: &mut Vec<u8>, drop_chunked: bool) {
        let nothing = self.status < 200 || self.status == 204;
        let unchunked = drop_chunked && self.said == Framing::Chunked;
        if !nothing && !unchunked {
            write_framing(out, self.said);
        }
    }

    fn write_connection_back(&self, out: &mut Vec<u8>, client_version: Version, close: bool) {
        if self.status == 101 {
            put(out, &["Connection: Upgrade\r\n"]);
            for protocol in self.fields.all("upgrade") {
                field(out, "Upgrade", protocol);
            }
        } else if self.status < 200 {
            // The connection outlives an interim response in any case.
        } else if close {
            put(out, &["Connection: close\r\n"]);
        } else if client_version == Version::Http10 {
            put(out, &["Connection: keep-alive\r\n"]);
        }
    }
}

/// The fields that stay behind at this hop.
struct Hop<'a> {
    nominated: Vec<&'a [u8]>,
}

impl<'a> Hop<'a> {
    fn of(fields: &'a Fields) -> Self {
        Self { nominated: fields.members("connection").collect() }
    }

    fn keeps(&self, name: &str) -> bool {
        HOP_BY_HOP.iter().any(|known| name.eq_ignore_ascii_case(known))
            || self.nominated.iter().any(|given| given.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// `Proxy-Authenticate` and its like are said by a proxy to its own client. `Proxy-Status` is not: it
/// is meant to travel (RFC 9209 §2).
fn is_proxy_field_of_a_response(name: &str) -> bool {
    let proxy = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("proxy-"));
    proxy && !name.eq_ignore_ascii_case("proxy-status")
}

fn write_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => field(out, "Content-Length", length.to_string().as_bytes()),
        Framing::Chunked => field(out, "Transfer-Encoding", b"chunked"),
    }
}

pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    put(out, &[name, ": "]);
    out.extend(value);
    put(out, &["\r\n"]);
}

pub(super) fn put(out: &mut Vec<u8>, texts: &[&str]) {
    out.extend(texts.iter().flat_map(|text| text.as_bytes()));
}
