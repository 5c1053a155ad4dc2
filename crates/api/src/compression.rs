//! Smaller answers: gzip and zstd, for clients that ask for them.
//!
//! Only the calls below are ever compressed. What holds a secret (a password, a key) is not among them: beside
//! a text that somebody else can choose, the length of the compressed answer would tell of the secret.

use std::io::Write as _;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt;

use crate::language::thousandths;

/// The GET calls whose answers hold no secret, by path.
const WITHOUT_SECRETS: [&str; 29] = [
    "/openapi.json",
    "/api/users/wallet/info",
    "/api/users/wallet/ledger",
    "/api/users/proxy/whitelist",
    "/api/users/proxy/refusals",
    "/api/users/traffic/packages",
    "/api/users/traffic/packages/current",
    "/api/users/traffic/trend",
    "/api/users/traffic/{subuser_id}/trend",
    "/api/users/static/res/country",
    "/api/users/static/dc/country",
    "/api/users/static/price/package",
    "/api/users/static/order/rebuy/quote",
    "/api/users/static/orders",
    "/api/users/static/requests",
    "/api/users/static/{id}/usage",
    "/api/users/events",
    "/api/admin/accounts",
    "/api/admin/accounts/{id}",
    "/api/admin/accounts/{id}/ledger",
    "/api/admin/traffic-packages",
    "/api/admin/static/prices",
    "/api/admin/static/stock",
    "/api/admin/static/orders",
    "/api/admin/static/requests",
    "/api/admin/overview",
    "/api/admin/connections",
    "/api/admin/audit-log",
    "/api/admin/jobs",
];

/// The largest answer that is not worth it, in bytes.
const TOO_SMALL: u64 = 1024;

/// How hard zstd tries: its own default.
const ZSTD_LEVEL: i32 = 3;

/// Marks an answer that may be compressed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compressible;

/// Returns whether the answers of a call may be compressed. `template`: its path, as the OpenAPI document has it.
pub(crate) fn may_be_compressed(method: &Method, template: &str) -> bool {
    method == Method::GET && WITHOUT_SECRETS.contains(&template)
}

/// Compresses an answer that is marked [`Compressible`], and large enough, as the client asked.
pub(crate) async fn compress(request: Request, next: Next) -> Response {
    let coding = preferred(request.headers());
    let mut response = next.run(request).await;
    if response.extensions_mut().remove::<Compressible>().is_none() {
        return response;
    }
    response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    match coding {
        Some(coding) if is_worth_it(&response) => compressed(response, coding).await,
        _ => response,
    }
}

fn is_worth_it(response: &Response) -> bool {
    let size = response.body().size_hint().exact();
    size.is_some_and(|size| size > TOO_SMALL) && !response.headers().contains_key(CONTENT_ENCODING)
}

/// The answer with its body compressed; as it is where that fails.
async fn compressed(response: Response, coding: Coding) -> Response {
    let (mut parts, body) = response.into_parts();
    // A body whose size is known is in memory: taking it out cannot fail.
    let plain = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let packing = plain.clone();
    let packed = tokio::task::spawn_blocking(move || coding.pack(&packing)).await;
    let Ok(Ok(packed)) = packed else { return Response::from_parts(parts, Body::from(plain)) };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    Response::from_parts(parts, Body::from(packed))
}

/// How an answer can be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Zstd,
    Gzip,
}

impl Coding {
    const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            _ if name.eq_ignore_ascii_case("zstd") => Some(Self::Zstd),
            _ if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Some(Self::Gzip),
            _ => None,
        }
    }

    fn pack(self, plain: &[u8]) -> std::io::Result<Bytes> {
        match self {
            Self::Zstd => zstd::bulk::compress(plain, ZSTD_LEVEL).map(Bytes::from),
            Self::Gzip => {
                let mut packed = GzEncoder::new(Vec::new(), Compression::default());
                packed.write_all(plain)?;
                packed.finish().map(Bytes::from)
            }
        }
    }
}

/// The compression that a request prefers by its `Accept-Encoding` (RFC 9110 §12.5.3): zstd, where both are
/// equally welcome. `None` where none is named.
fn preferred(headers: &HeaderMap) -> Option<Coding> {
    let mut best: (u16, Option<Coding>) = (0, None);
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut parts = item.split(';').map(str::trim);
            let Some(coding) = parts.next().and_then(Coding::named) else { continue };
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight = weight.map_or(Some(1000), thousandths).unwrap_or(0);
            if weight > best.0 || (weight == best.0 && weight > 0 && coding == Coding::Zstd) {
                best = (weight, Some(coding));
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_asked_for_is_chosen() {
        for (asked, chosen) in [
            ("gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("zstd;q=0.5, X-GZIP;q=0.9", Some(Coding::Gzip)),
            ("gzip;q=0, zstd;q=0.000", None),
            ("gzip;q=none", None),
            ("br, *", None),
            ("identity", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, asked.parse().unwrap())]);
            assert_eq!(preferred(&headers), chosen, "{asked}");
        }
        assert_eq!(preferred(&HeaderMap::new()), None);
    }

    /// Names of fields that hold secrets, or that are made of them.
    const SECRET: [&str; 9] =
        ["password", "proxy_password", "api_key", "secret", "token", "line", "http", "socks5", "curl"];

    #[test]
    fn no_call_that_is_compressed_answers_with_a_secret() {
        let document = serde_json::to_value(crate::openapi()).unwrap();
        for path in WITHOUT_SECRETS.into_iter().filter(|path| path.starts_with("/api/")) {
            let call = &document["paths"][path];
            assert!(call.is_object(), "there is no {path}");
            let mut names = Vec::new();
            names_in(&call["get"]["responses"]["200"], &document, &mut names);
            assert!(!names.is_empty(), "{path}");
            let secret = names.iter().find(|name| SECRET.contains(&name.as_str()));
            assert_eq!(secret, None, "{path}");
        }
        let mut names = Vec::new();
        names_in(
            &document["paths"]["/api/users/static/export"]["get"]["responses"]["200"],
            &document,
            &mut names,
        );
        assert!(names.iter().any(|name| name == "proxy_password"), "{names:?}");
    }

    /// The names of all properties of a schema, whatever it refers to included.
    fn names_in(schema: &Value, document: &Value, names: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
            names_in(&document["components"]["schemas"][name], document, names);
        }
        if let Some(properties) = schema["properties"].as_object() {
            names.extend(properties.keys().cloned());
        }
        match schema {
            Value::Object(fields) => fields.values().for_each(|field| names_in(field, document, names)),
            Value::Array(items) => items.iter().for_each(|item| names_in(item, document, names)),
            _ => {}
        }
    }
}
