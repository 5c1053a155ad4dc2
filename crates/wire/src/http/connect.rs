//! What is asked of others as a client: CONNECT, spoken to exits that are HTTP proxies, and what an
//! upgrade to WebSocket needs that was not asked for as one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::forward::{field, put};
use crate::basic;
use crate::target::Target;

/// The whole request for a tunnel to `target`.
pub fn connect_request(target: &Target, credentials: Option<(&str, &str)>) -> Vec<u8> {
    let authority = target.to_string();
    let mut out = Vec::new();
    put(&mut out, &["CONNECT ", &authority, " HTTP/1.1\r\n"]);
    field(&mut out, "Host", authority.as_bytes());
    if let Some((user, password)) = credentials {
        field(&mut out, "Proxy-Authorization", basic::header_value(user, password).as_bytes());
    }
    put(&mut out, &["\r\n"]);
    out
}

/// The value of a `Sec-WebSocket-Key` (RFC 6455 §4.1), from 16 random bytes.
pub fn websocket_key(random: u128) -> String {
    STANDARD.encode(random.to_be_bytes())
}
