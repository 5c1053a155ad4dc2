//! The head of a request to a proxy.

use super::fields::Fields;
use super::lines::{line, lines_to_empty};
use super::{
    Framing, HeadError, Limits, METHOD_MAX, Parsed, REQUEST_LINE_MAX, Version, is_digits, is_token_byte,
};
use crate::basic::{self, Credentials};
use crate::target::{BadTarget, Target};

/// The port that `http` means.
pub(super) const HTTP_PORT: u16 = 80;

/// The schemes that are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`.
    Http,
}

/// What a request is for (RFC 9112 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestTarget {
    /// `host:port`, with CONNECT only.
    Authority(Target),
    /// `http://host/path?query`.
    Absolute {
        /// The scheme.
        scheme: Scheme,
        /// Host and port.
        target: Target,
        /// As it is forwarded: starts with `/`, or is `*` for an OPTIONS request without a path.
        path_and_query: String,
    },
    /// `/path`: meant for an origin, which this is not.
    Origin,
    /// `*`, with OPTIONS only: meant for the proxy itself.
    Asterisk,
}

/// What a request says about who sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAuthorization {
    /// Nothing.
    Absent,
    /// Something that names nobody: another scheme, bad base64, no colon, two fields.
    Malformed,
    /// A user name and a password.
    Given(Credentials),
}

/// What a request expects before it sends its body (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    None,
    /// `100-continue`.
    Continue,
    /// Something else; may be answered with 417.
    Unknown,
}

/// A protocol to which a connection may be upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// RFC 6455.
    WebSocket,
}

/// The head of a request. There is one only after every check has passed: its target can be dialled
/// and its body ends in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method, a token, in the case it came in.
    pub method: String,
    /// What it is for.
    pub form: RequestTarget,
    /// The version the client speaks.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
    pub(super) framing: Framing,
    pub(super) max_forwards: Option<u32>,
}

/// Reads the head at the beginning of `buf`. What the same bytes are read as does not depend on how
/// many of them arrived at once; one empty line before the request is skipped (RFC 9112 §2.2).
///
/// # Errors
/// [`HeadError`], as soon as the bytes cannot become an acceptable head.
pub fn request_head(buf: &[u8], limits: &Limits) -> Result<Parsed<RequestHead>, HeadError> {
    let view = buf.get(..limits.head_bytes).unwrap_or(buf);
    match parse(view, limits)? {
        Some((head, end)) => Ok(Parsed::Done(head, end)),
        None if buf.len() >= limits.head_bytes => Err(HeadError::TooLarge),
        None => Ok(Parsed::Need),
    }
}

fn parse(view: &[u8], limits: &Limits) -> Result<Option<(RequestHead, usize)>, HeadError> {
    let start = if view.starts_with(b"\r\n") { 2 } else { 0 };
    let Some((start_line, next)) = request_line(view, start)? else {
        return Ok(None);
    };
    let start_line = StartLine::parse(start_line)?;
    let Some((lines, end)) = lines_to_empty(view, next, limits.fields)? else {
        return Ok(None);
    };
    let fields = Fields::of_request(&lines)?;
    RequestHead::checked(start_line, fields).map(|head| Some((head, end)))
}

/// The request line, once it is there. What does not start with a method is refused before its line
/// ends, and so is a line that is too long.
fn request_line(view: &[u8], start: usize) -> Result<Option<(&[u8], usize)>, HeadError> {
    let rest = view.get(start..).unwrap_or_default();
    if start == 0 && rest == b"\r" {
        return Ok(None);
    }
    let method_end = rest.iter().take(METHOD_MAX + 1).position(|&b| !is_token_byte(b));
    match method_end.map(|end| (end, rest.get(end))) {
        None if rest.len() <= METHOD_MAX => return Ok(None),
        Some((1.., Some(b' '))) => {}
        None | Some(_) => return Err(HeadError::BadRequest("this is no HTTP request")),
    }
    let within = start + REQUEST_LINE_MAX;
    match line(view.get(..within).unwrap_or(view), start)? {
        None if view.len() >= within => Err(HeadError::TooLarge),
        other => Ok(other),
    }
}

struct StartLine {
    method: String,
    form: RequestTarget,
    version: Version,
}

impl StartLine {
    /// Three parts, one blank between each two.
    fn parse(line: &[u8]) -> Result<Self, HeadError> {
        // Without an early exit, so that many bytes are looked at at once.
        let plain = line.iter().fold(true, |plain, &b| plain & matches!(b, b' '..=b'~'));
        let text = std::str::from_utf8(line).ok().filter(|_| plain);
        let text = text.ok_or(HeadError::BadRequest("the request line holds more than plain ASCII"))?;
        let mut parts = text.split(' ');
        let (method, target, version) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(method), Some(target), Some(version), None) if !target.is_empty() => {
                (method, target, version)
            }
            _ => return Err(HeadError::BadRequest("a request line has three parts, one blank between each")),
        };
        let version = Version::parse(version.as_bytes())?;
        let form = RequestTarget::parse(method, target)?;
        Ok(Self { method: method.to_owned(), form, version })
    }
}

impl RequestTarget {
    fn parse(method: &str, text: &str) -> Result<Self, HeadError> {
        if method == "CONNECT" {
            return Target::parse_authority(text, None).map(Self::Authority).map_err(bad_target);
        }
        if text.starts_with('/') {
            return Ok(Self::Origin);
        }
        if text == "*" {
            let options = method == "OPTIONS";
            return if options { Ok(Self::Asterisk) } else { Err(HeadError::BadRequest("* is for OPTIONS")) };
        }
        let (scheme, rest) = text.split_once("://").ok_or(HeadError::BadRequest("not an absolute URI"))?;
        if scheme.eq_ignore_ascii_case("http") {
            Self::absolute(method, rest)
        } else {
            Err(other_scheme(scheme))
        }
    }

    /// What follows `http://`.
    fn absolute(method: &str, rest: &str) -> Result<Self, HeadError> {
        if rest.contains('#') {
            return Err(HeadError::BadRequest("a fragment does not belong in a request"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let target = Target::parse_authority(authority, Some(HTTP_PORT)).map_err(bad_target)?;
        let path_and_query = match path {
            "" if method == "OPTIONS" => "*".to_owned(),
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        Ok(Self::Absolute { scheme: Scheme::Http, target, path_and_query })
    }
}

fn other_scheme(scheme: &str) -> HeadError {
    let letter = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    if letter && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
        HeadError::Scheme
    } else {
        HeadError::BadRequest("not an absolute URI")
    }
}

const fn bad_target(error: BadTarget) -> HeadError {
    HeadError::BadRequest(match error {
        BadTarget::Empty => "the host is missing",
        BadTarget::UserInfo => "user name and password do not belong in the target",
        // Names beyond ASCII do not get as far as IDNA in a request line.
        BadTarget::Name | BadTarget::Idna => "the host name is malformed",
        BadTarget::Numeric => "the host looks like a number; write addresses in their usual form",
        BadTarget::Address => "the IPv6 address is malformed",
        BadTarget::MissingPort => "the port is missing",
        BadTarget::Port => "the port must be a number from 1 to 65535",
    })
}

impl RequestHead {
    fn checked(line: StartLine, fields: Fields) -> Result<Self, HeadError> {
        let StartLine { method, form, version } = line;
        check_host(&form, version, &fields)?;
        let framing = fields.framing(version)?;
        let max_forwards = max_forwards(&method, &fields)?;
        if method == "TRACE" && framing != Framing::None {
            return Err(HeadError::BadRequest("TRACE has no body"));
        }
        // What follows CONNECT belongs to the tunnel, whatever the head says about a body.
        let framing = if matches!(form, RequestTarget::Authority(_)) { Framing::None } else { framing };
        Ok(Self { method, form, version, fields, framing, max_forwards })
    }

    /// Where the body ends. Never [`Framing::UntilClose`]; always [`Framing::None`] for CONNECT.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Who the client says it is.
    pub fn proxy_credentials(&self) -> ProxyAuthorization {
        let mut given = self.fields.all("proxy-authorization");
        match (given.next(), given.next()) {
            (None, _) => ProxyAuthorization::Absent,
            (Some(value), None) => {
                basic::credentials(value).map_or(ProxyAuthorization::Malformed, ProxyAuthorization::Given)
            }
            (Some(_), Some(_)) => ProxyAuthorization::Malformed,
        }
    }

    /// Whether the client's connection may carry another request after this one. Never with HTTP/1.0:
    /// its keep-alive does not work through proxies (RFC 9112 §9.3); nor with HTTP/2, where a request
    /// has a stream of its own.
    pub fn keep_alive(&self) -> bool {
        let close = |name| self.fields.has_member(name, "close");
        self.version == Version::Http11 && !close("connection") && !close("proxy-connection")
    }

    /// What the client expects before it sends the body. HTTP/1.0 clients expect nothing.
    pub fn expects_continue(&self) -> Expect {
        let mut given = self.fields.all("expect");
        match (given.next(), given.next()) {
            _ if self.version == Version::Http10 => Expect::None,
            (None, _) => Expect::None,
            (Some(value), None) if value.eq_ignore_ascii_case(b"100-continue") => Expect::Continue,
            (Some(_), _) => Expect::Unknown,
        }
    }

    /// The protocol that the client asks to upgrade to. Only WebSocket, and only in a GET request
    /// without a body: other upgrades (`h2c` above all) would carry requests past this proxy and are
    /// not passed on.
    pub fn upgrade(&self) -> Option<Upgrade> {
        let mut wanted = self.fields.all("upgrade");
        let websocket = wanted.next().is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
        let asked = websocket && wanted.next().is_none() && self.fields.has_member("connection", "upgrade");
        let plain = self.version != Version::Http10 && self.method == "GET" && self.framing == Framing::None;
        (asked && plain).then_some(Upgrade::WebSocket)
    }

    /// How many more proxies a TRACE or OPTIONS request may pass (RFC 9110 §7.6.2); at 0 this one
    /// answers it, see [`RequestHead::answer_here`]. Other methods have no such number.
    pub const fn max_forwards(&self) -> Option<u32> {
        self.max_forwards
    }
}

/// Exactly one Host in HTTP/1.1, two never, and a value that names a host (RFC 9112 §3.2). CONNECT
/// says the same in its target, and some clients leave the field out.
fn check_host(form: &RequestTarget, version: Version, fields: &Fields) -> Result<(), HeadError> {
    let mut hosts = fields.all("host");
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (Some(_), Some(_)) => return Err(HeadError::BadRequest("more than one Host")),
        (None, _) if version == Version::Http10 || matches!(form, RequestTarget::Authority(_)) => {
            return Ok(());
        }
        (None, _) => return Err(HeadError::BadRequest("no Host")),
    };
    let text = std::str::from_utf8(host).map_err(|_| HeadError::BadRequest("the Host is malformed"))?;
    match Target::parse_authority(text, Some(HTTP_PORT)) {
        Ok(_) => Ok(()),
        Err(_) => Err(HeadError::BadRequest("the Host is malformed")),
    }
}

fn max_forwards(method: &str, fields: &Fields) -> Result<Option<u32>, HeadError> {
    if !matches!(method, "TRACE" | "OPTIONS") {
        return Ok(None);
    }
    let mut given = fields.all("max-forwards");
    let value = match (given.next(), given.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) if is_digits(value) => value,
        (Some(_), _) => return Err(HeadError::BadRequest("the Max-Forwards is not a number")),
    };
    // More than fits is more than any chain of proxies.
    let digits = std::str::from_utf8(value).unwrap_or_default();
    Ok(Some(digits.parse().unwrap_or(u32::MAX)))
}
