//! A reasoned no, in the words of each protocol (the table of platform.md §3).

use tollgate_types::Refusal;

use crate::socks5::Rep;

/// The longest detail that is told, in bytes.
pub const DETAIL_MAX: usize = 200;
/// The seconds after which a caller that is over a limit may try again, where nothing else is known.
pub const RETRY_AFTER_DEFAULT: u32 = 1;

/// A refusal and what to say about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}: {detail}")]
pub struct Said {
    /// The reason.
    pub refusal: Refusal,
    /// One sentence for the customer; holds nothing secret.
    pub detail: String,
}

impl Said {
    /// A refusal with its sentence.
    pub fn new(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { refusal, detail: detail.into() }
    }
}

/// The status that an HTTP client is given.
pub const fn status(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::BadParam | Refusal::BadRequest => 400,
        Refusal::BalanceEmpty | Refusal::TrafficLimit => 402,
        Refusal::UserBlocked | Refusal::HostBlocked | Refusal::PortBlocked => 403,
        Refusal::AuthRequired => 407,
        Refusal::TooManyConnections | Refusal::TooManyAttempts => 429,
        Refusal::HeadTooLarge => 431,
        Refusal::Unsupported => 501,
        Refusal::DnsFailed | Refusal::ConnectionRefused | Refusal::Unreachable | Refusal::BadGateway => 502,
        Refusal::NoExit | Refusal::Unavailable => 503,
        Refusal::Timeout => 504,
    }
}

/// The reply that a SOCKS5 client is given to its request.
pub const fn socks_rep(refusal: Refusal) -> Rep {
    match refusal {
        Refusal::BadParam
        | Refusal::BadRequest
        | Refusal::HeadTooLarge
        | Refusal::Unsupported
        | Refusal::NoExit
        | Refusal::BadGateway
        | Refusal::Unavailable => Rep::General,
        Refusal::AuthRequired
        | Refusal::UserBlocked
        | Refusal::BalanceEmpty
        | Refusal::TrafficLimit
        | Refusal::HostBlocked
        | Refusal::PortBlocked
        | Refusal::TooManyConnections
        | Refusal::TooManyAttempts => Rep::NotAllowed,
        Refusal::DnsFailed => Rep::HostUnreachable,
        Refusal::ConnectionRefused => Rep::ConnectionRefused,
        Refusal::Unreachable => Rep::NetworkUnreachable,
        Refusal::Timeout => Rep::TtlExpired,
    }
}

/// The error type of RFC 9209 §2.3.
pub const fn proxy_status_error(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::BadParam | Refusal::BadRequest | Refusal::HeadTooLarge | Refusal::Unsupported => {
            "http_request_error"
        }
        Refusal::AuthRequired
        | Refusal::UserBlocked
        | Refusal::BalanceEmpty
        | Refusal::TrafficLimit
        | Refusal::PortBlocked
        | Refusal::TooManyConnections
        | Refusal::TooManyAttempts => "http_request_denied",
        Refusal::HostBlocked => "destination_ip_prohibited",
        Refusal::NoExit => "destination_unavailable",
        Refusal::DnsFailed => "dns_error",
        Refusal::ConnectionRefused => "connection_refused",
        Refusal::Unreachable => "destination_ip_unroutable",
        Refusal::BadGateway => "http_protocol_error",
        Refusal::Timeout => "connection_timeout",
        Refusal::Unavailable => "proxy_internal_error",
    }
}

/// The whole answer to an HTTP client, body included. `keep_alive` leaves the connection open for the
/// next request; `retry_after` is in seconds and told with 429 and 503 only.
pub fn http_response(refusal: Refusal, detail: &str, keep_alive: bool, retry_after: Option<u32>) -> Vec<u8> {
    let detail = sanitised(detail);
    let body = body_line(refusal, &detail);
    let mut out = head(refusal, &detail, body.len(), keep_alive, retry_after);
    out.push_str(&body);
    out.into_bytes()
}

/// The same answer to a HEAD request: it announces the body and leaves it out.
pub fn http_response_to_head(
    refusal: Refusal,
    detail: &str,
    keep_alive: bool,
    retry_after: Option<u32>,
) -> Vec<u8> {
    let detail = sanitised(detail);
    let length = body_line(refusal, &detail).len();
    head(refusal, &detail, length, keep_alive, retry_after).into_bytes()
}

fn body_line(refusal: Refusal, detail: &str) -> String {
    if detail.is_empty() { format!("{refusal}\n") } else { format!("{refusal}: {detail}\n") }
}

fn head(
    refusal: Refusal,
    detail: &str,
    body_length: usize,
    keep_alive: bool,
    retry_after: Option<u32>,
) -> String {
    let status = status(refusal);
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    let mut field = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
    let error = proxy_status_error(refusal);
    field("Proxy-Status", &format!("tollgate; error={error}; details=\"{detail}\""));
    field("X-Tollgate-Error", refusal.name());
    if refusal == Refusal::AuthRequired {
        field("Proxy-Authenticate", "Basic realm=\"tollgate\"");
    }
    if let Some(seconds) = retry_seconds(status, retry_after) {
        field("Retry-After", &seconds.to_string());
    }
    field("Content-Type", "text/plain; charset=utf-8");
    field("Content-Length", &body_length.to_string());
    if !keep_alive {
        field("Connection", "close");
    }
    head.push_str("\r\n");
    head
}

fn retry_seconds(status: u16, known: Option<u32>) -> Option<u32> {
    match status {
        429 => Some(known.unwrap_or(RETRY_AFTER_DEFAULT)),
        503 => known,
        _ => None,
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        402 => "Payment Required",
        403 => "Forbidden",
        407 => "Proxy Authentication Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Refused",
    }
}

/// Printable ASCII without quotes and backslashes, so that the text can stand in a field, in a quoted
/// string and in a log as it is, whoever wrote it.
fn sanitised(detail: &str) -> String {
    let plain = |c: char| match c {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    };
    detail.chars().map(plain).take(DETAIL_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The table of platform.md §3, row by row.
    #[test]
    fn follows_the_table() {
        use Refusal as R;
        let rows = [
            (R::BadParam, 400, 1, "http_request_error"),
            (R::BadRequest, 400, 1, "http_request_error"),
            (R::HeadTooLarge, 431, 1, "http_request_error"),
            (R::Unsupported, 501, 1, "http_request_error"),
            (R::AuthRequired, 407, 2, "http_request_denied"),
            (R::UserBlocked, 403, 2, "http_request_denied"),
            (R::BalanceEmpty, 402, 2, "http_request_denied"),
            (R::TrafficLimit, 402, 2, "http_request_denied"),
            (R::HostBlocked, 403, 2, "destination_ip_prohibited"),
            (R::PortBlocked, 403, 2, "http_request_denied"),
            (R::TooManyConnections, 429, 2, "http_request_denied"),
            (R::TooManyAttempts, 429, 2, "http_request_denied"),
            (R::NoExit, 503, 1, "destination_unavailable"),
            (R::DnsFailed, 502, 4, "dns_error"),
            (R::ConnectionRefused, 502, 5, "connection_refused"),
            (R::Unreachable, 502, 3, "destination_ip_unroutable"),
            (R::BadGateway, 502, 1, "http_protocol_error"),
            (R::Timeout, 504, 6, "connection_timeout"),
            (R::Unavailable, 503, 1, "proxy_internal_error"),
        ];
        assert_eq!(rows.len(), Refusal::ALL.len());
        for (refusal, http, rep, error) in rows {
            assert_eq!(status(refusal), http, "{refusal}");
            assert_eq!(socks_rep(refusal).octet(), rep, "{refusal}");
            assert_eq!(proxy_status_error(refusal), error, "{refusal}");
        }
    }

    // HP-10: 407 with its challenge, a small body, on a connection that stays open.
    #[test]
    fn a_challenge_reads_well() {
        let answer = http_response(Refusal::AuthRequired, "no credentials", true, None);
        let expected = "HTTP/1.1 407 Proxy Authentication Required\r\n\
            Proxy-Status: tollgate; error=http_request_denied; details=\"no credentials\"\r\n\
            X-Tollgate-Error: AUTH_REQUIRED\r\n\
            Proxy-Authenticate: Basic realm=\"tollgate\"\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\
            Content-Length: 30\r\n\r\n\
            AUTH_REQUIRED: no credentials\n";
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
    }

    #[test]
    fn an_answer_to_head_announces_the_body_only() {
        let whole = http_response(Refusal::NoExit, "none in xx", false, Some(7));
        let head = http_response_to_head(Refusal::NoExit, "none in xx", false, Some(7));
        assert_eq!(whole, [head.as_slice(), b"NO_EXIT: none in xx\n"].concat());
        assert!(String::from_utf8(head).unwrap().contains("Retry-After: 7\r\nContent-Type"));
    }

    #[test]
    fn retry_after_belongs_to_429_and_503() {
        let has = |refusal, known| {
            let answer = http_response(refusal, "", false, known);
            String::from_utf8(answer).unwrap().contains("\r\nRetry-After: ")
        };
        assert!(has(Refusal::TooManyAttempts, None) && has(Refusal::TooManyConnections, Some(3)));
        assert!(has(Refusal::Unavailable, Some(3)) && !has(Refusal::Unavailable, None));
        assert!(!has(Refusal::BadRequest, Some(3)));
    }

    #[test]
    fn a_detail_cannot_break_out() {
        let nasty = "x\"; y\r\nSet-Cookie: a=b\\\u{0}\u{7f}\u{200b}é";
        let answer = String::from_utf8(http_response(Refusal::BadParam, nasty, false, None)).unwrap();
        assert!(answer.contains("details=\"x'; y??Set-Cookie: a=b/????\"\r\n"), "{answer}");
        let long = http_response(Refusal::BadParam, &"é".repeat(100_000), false, None);
        assert!(long.len() < 1000, "{}", long.len());
    }
}
