//! The two requests that a proxy answers itself.

use super::Framing;
use super::forward::{field, put};
use super::request::{HTTP_PORT, RequestHead, RequestTarget};

/// Fields that a TRACE answer leaves out (RFC 9110 §9.3.8).
const SENSITIVE: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

impl RequestHead {
    /// The whole answer to a request that ends at this proxy: `OPTIONS *`, and OPTIONS or TRACE with
    /// `Max-Forwards: 0` (RFC 9110 §7.6.2). `None` for every other request. The connection stays open
    /// where `keep_alive`, and where there is no body that would have to be read first.
    pub fn answer_here(&self, keep_alive: bool) -> Option<Vec<u8>> {
        let body = match (&self.form, self.max_forwards) {
            (RequestTarget::Asterisk, _) => None,
            (RequestTarget::Absolute { .. }, Some(0)) if self.method == "TRACE" => Some(self.trace()),
            (RequestTarget::Absolute { .. }, Some(0)) => None,
            _ => return None,
        };
        let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
        if body.is_some() {
            field(&mut out, "Content-Type", b"message/http");
        }
        let body = body.unwrap_or_default();
        field(&mut out, "Content-Length", body.len().to_string().as_bytes());
        if !keep_alive || self.framing != Framing::None {
            field(&mut out, "Connection", b"close");
        }
        put(&mut out, &["\r\n"]);
        out.extend(body);
        Some(out)
    }

    /// The request as it was understood.
    fn trace(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let RequestTarget::Absolute { target, path_and_query, .. } = &self.form {
            let authority = target.authority(HTTP_PORT);
            put(&mut out, &[&self.method, " http://", &authority, path_and_query, " HTTP/1.1\r\n"]);
        }
        for (name, value) in self.fields.iter() {
            if !SENSITIVE.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
                field(&mut out, name, value);
            }
        }
        put(&mut out, &["\r\n"]);
        out
    }
}
