//! Where a customer wants his webhooks, checked for its form.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use rustls::pki_types::DnsName;
use url::{Host as Parsed, Position, Url};

/// The longest URL, in bytes.
const MAX_BYTES: usize = 2048;

/// Why a text is not taken as a webhook's URL. None repeats it: a URL may hold its owner's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Longer than 2048 bytes.
    #[error("the URL is longer than 2048 bytes")]
    TooLong,
    /// Not a URL, or one that is read differently by different readers.
    #[error("not a URL such as https://example.com/hooks")]
    Malformed,
    /// Neither https nor http.
    #[error("the URL must begin with https://")]
    Scheme,
    /// A user name or a password stands before the host.
    #[error("the URL must not hold a user name or password")]
    Credentials,
    /// There is a `#`.
    #[error("the URL must not hold a fragment (#…)")]
    Fragment,
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// An address, however it was spelt: `0x7f.1` is 127.0.0.1 here already.
    Ip(IpAddr),
    /// A name in lower case and ASCII, without a dot behind it.
    Name(DnsName<'static>),
}

/// A webhook's URL: http or https, a host, a port, no credentials, no fragment. It says nothing yet
/// about whether the host may be reached.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    text: String,
    https: bool,
    host: Host,
    port: u16,
    /// Host and port as the `Host` field carries them.
    authority: String,
    /// Path and query.
    target: Uri,
}

impl WebhookUrl {
    /// Understands a URL.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        if text.len() > MAX_BYTES {
            return Err(BadUrl::TooLong);
        }
        check_plain(text)?;
        let url = Url::parse(text).map_err(|_| BadUrl::Malformed)?;
        if url.fragment().is_some() {
            return Err(BadUrl::Fragment);
        }
        if url.as_str().len() > MAX_BYTES {
            return Err(BadUrl::TooLong);
        }
        let host = host_of(&url)?;
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(BadUrl::Malformed)?;
        let target = &url[Position::BeforePath..Position::AfterQuery];
        Ok(Self {
            https: url.scheme() == "https",
            authority: authority(&host, url.port()),
            target: Uri::try_from(target).map_err(|_| BadUrl::Malformed)?,
            text: url.into(),
            host,
            port,
        })
    }

    /// The URL's text, as it is to be kept and shown to its owner.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is spoken to over TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn target(&self) -> &Uri {
        &self.target
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Receivers put keys of theirs into path and query.
        write!(f, "{}://{}/…", if self.https { "https" } else { "http" }, self.authority)
    }
}

/// Refuses what a lenient reader would repair (`\` for `/`, blanks, missing slashes), and what
/// stands before the host.
fn check_plain(text: &str) -> Result<(), BadUrl> {
    if text.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'\\') {
        return Err(BadUrl::Malformed);
    }
    let (scheme, rest) = text.split_once("://").ok_or(BadUrl::Malformed)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(BadUrl::Scheme);
    }
    match rest.split(['/', '?', '#']).next() {
        None | Some("") => Err(BadUrl::Malformed),
        Some(authority) if authority.contains('@') => Err(BadUrl::Credentials),
        Some(_) => Ok(()),
    }
}

fn host_of(url: &Url) -> Result<Host, BadUrl> {
    match url.host() {
        Some(Parsed::Ipv4(ip)) => Ok(Host::Ip(ip.into())),
        Some(Parsed::Ipv6(ip)) => Ok(Host::Ip(ip.into())),
        Some(Parsed::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            DnsName::try_from(name.to_owned()).map(Host::Name).map_err(|_| BadUrl::Malformed)
        }
        None => Err(BadUrl::Malformed),
    }
}

/// `port` only where it is not the scheme's own.
fn authority(host: &Host, port: Option<u16>) -> String {
    let host = match host {
        Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        Host::Ip(IpAddr::V4(ip)) => ip.to_string(),
        Host::Name(name) => name.as_ref().to_owned(),
    };
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn understands_what_customers_write() {
        let cases = [
            ("https://example.com", "https://example.com/", "example.com", "/", 443),
            ("HTTPS://Example.COM/Hook?a=1", "https://example.com/Hook?a=1", "example.com", "/Hook?a=1", 443),
            ("https://example.com:443/", "https://example.com/", "example.com", "/", 443),
            ("http://example.com:8080/x", "http://example.com:8080/x", "example.com:8080", "/x", 8080),
            ("https://example.com./x", "https://example.com./x", "example.com", "/x", 443),
            (
                "https://[2606:4700::1111]:8443/",
                "https://[2606:4700::1111]:8443/",
                "[2606:4700::1111]:8443",
                "/",
                8443,
            ),
            (
                "https://例子.测试/钩",
                "https://xn--fsqu00a.xn--0zwm56d/%E9%92%A9",
                "xn--fsqu00a.xn--0zwm56d",
                "/%E9%92%A9",
                443,
            ),
            (
                "https://example.com?x={a}|[b]",
                "https://example.com/?x={a}|[b]",
                "example.com",
                "/?x={a}|[b]",
                443,
            ),
        ];
        for (text, kept, authority, target, port) in cases {
            let url = WebhookUrl::parse(text).expect(text);
            assert_eq!(url.as_str(), kept);
            assert_eq!((url.authority(), url.port()), (authority, port), "{text}");
            assert_eq!(url.target().to_string(), target);
            assert_eq!(WebhookUrl::parse(kept).as_ref(), Ok(&url), "kept and read again");
        }
    }

    #[test]
    fn addresses_are_known_however_they_are_spelt() {
        let loopback = Host::Ip("127.0.0.1".parse().unwrap());
        for spelling in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0x0.0x0.0x1",
            "0177.0.0.1",
            "017700000001",
            "127.0x1",
            "%31%32%37.0.0.1",
            "１２７.０.０.１",
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
        ] {
            let url = WebhookUrl::parse(&format!("https://{spelling}/")).expect(spelling);
            assert_eq!(url.host(), &loopback, "{spelling}");
        }
        let mapped = WebhookUrl::parse("https://[::ffff:127.0.0.1]/").unwrap();
        assert_eq!(mapped.host(), &Host::Ip("::ffff:7f00:1".parse().unwrap()));
    }

    #[test]
    fn says_what_is_wrong() {
        use BadUrl::*;
        let long = format!("https://example.com/{}", "x".repeat(2048));
        let longer_when_kept = format!("https://example.com/{}", "钩".repeat(600));
        let long_name = format!("https://{}/", "a.".repeat(150));
        for (text, why) in [
            ("", Malformed),
            ("example.com", Malformed),
            ("https:example.com", Malformed),
            ("https:///example.com", Malformed),
            ("https://", Malformed),
            ("https://./", Malformed),
            ("https://exa mple.com/", Malformed),
            ("https://example.com\\@evil.example/", Malformed),
            (" https://example.com/", Malformed),
            ("https://example.com/a\tb", Malformed),
            ("https://example.com/\r\nx: y", Malformed),
            ("https://example.com:0/", Malformed),
            ("https://example.com:99999/", Malformed),
            ("https://256.256.256.256/", Malformed),
            ("https://[::1/", Malformed),
            ("https://[fe80::1%25eth0]/", Malformed),
            (&long_name, Malformed),
            ("ftp://example.com/", Scheme),
            ("file:///etc/passwd", Scheme),
            ("gopher://example.com/", Scheme),
            ("https://user@example.com/", Credentials),
            ("https://user:pw@example.com/", Credentials),
            ("https://@example.com/", Credentials),
            ("https://example.com/#", Fragment),
            ("https://example.com/#x", Fragment),
            (&long, TooLong),
            (&longer_when_kept, TooLong),
        ] {
            assert_eq!(WebhookUrl::parse(text), Err(why), "{text}");
        }
        assert!(
            WebhookUrl::parse("https://example.com/a@b?c=@").is_ok(),
            "an @ behind the host is none of ours"
        );
    }

    #[test]
    fn path_and_query_are_not_printed() {
        let url = WebhookUrl::parse("https://example.com:8443/key/s3cret?token=s3cret").unwrap();
        assert_eq!(format!("{url:?}"), "https://example.com:8443/…");
    }

    proptest! {
        #[test]
        fn whatever_is_taken_can_be_asked_for_and_read_again(rest in "[!-~é测]{0,60}") {
            if let Ok(url) = WebhookUrl::parse(&format!("https://{rest}")) {
                prop_assert_eq!(WebhookUrl::parse(url.as_str()), Ok(url.clone()));
                prop_assert!(url.target().to_string().starts_with('/'));
                prop_assert!(url.authority().bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'@'));
            }
        }
    }
}
