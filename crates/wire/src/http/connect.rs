//! CONNECT as a client, spoken to exits that are HTTP proxies.

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
