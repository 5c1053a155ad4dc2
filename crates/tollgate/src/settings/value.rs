//! The values that settings hold: how each is written in the file, the environment and a flag, and
//! what is said of one that cannot be understood.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use tollgate_api::Origins;
use tollgate_gateway::Target;
use tollgate_store::DbUrl;
use tollgate_types::{Cidr, Zone};

/// A value of a setting.
pub trait Value: Sized {
    /// Understands what was written.
    ///
    /// # Errors
    /// What would have been right, as the end of a sentence that names the setting. Never repeats
    /// what was written: it may be a secret in the wrong place.
    fn parse(text: &str) -> Result<Self, String>;

    /// As it would be written.
    fn show(&self) -> String;
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn parse(text: &str) -> Result<Self, String> {
                // A leading plus, which Rust would take, is not how anybody writes a setting.
                let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let number = if digits { text.parse().ok() } else { None };
                number.ok_or_else(|| format!("must be a whole number from 0 to {}", <$number>::MAX))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_numbers!(u16, u32, u64, usize);

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must be a path".to_owned()) } else { Ok(Self::from(text)) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "must be a number with a unit: ms, s, m or h (for example 30s)".to_owned();
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(split);
        let millis_per_unit: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = number.checked_mul(millis_per_unit).filter(|millis| *millis <= 366 * 24 * 3_600_000);
        millis.map(Self::from_millis).ok_or_else(|| "must be at most a year".to_owned())
    }

    fn show(&self) -> String {
        match self.as_millis() {
            millis if millis % 1000 != 0 => format!("{millis}ms"),
            millis => format!("{}s", millis / 1000),
        }
    }
}

/// Addresses to listen on, separated by commas; none turns the port off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen(pub Vec<SocketAddr>);

impl Value for Listen {
    fn parse(text: &str) -> Result<Self, String> {
        list(text, "must be IP:PORT, or several separated by commas (for example 0.0.0.0:8080,[::]:8080)")
            .map(Self)
    }

    fn show(&self) -> String {
        join(&self.0)
    }
}

/// Name servers, separated by commas; one without a port is asked on port 53.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameServers(pub Vec<SocketAddr>);

impl Value for NameServers {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            "must be IP or IP:PORT, or several separated by commas (for example 10.0.0.53,[::1]:5353)";
        let parts: Vec<String> = list(text, wrong)?;
        let server = |part: &String| {
            let alone = part.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
            alone.or_else(|_| part.parse()).ok().filter(|server| server.port() != 0)
        };
        parts
            .iter()
            .map(|part| server(part).ok_or_else(|| wrong.to_owned()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn show(&self) -> String {
        join(&self.0)
    }
}

/// A host and port that is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort(pub Target);

impl Value for HostPort {
    fn parse(text: &str) -> Result<Self, String> {
        Target::parse_authority(text, None)
            .map(Self)
            .map_err(|_| "must be HOST:PORT (for example www.example.com:443)".to_owned())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// A set of ports, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(pub Vec<u16>);

impl Value for Ports {
    fn parse(text: &str) -> Result<Self, String> {
        list(text, "must be port numbers separated by commas (for example 25,465)").map(Self)
    }

    fn show(&self) -> String {
        join(&self.0)
    }
}

/// Ranges of addresses, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(pub Vec<Cidr>);

impl Value for Ranges {
    fn parse(text: &str) -> Result<Self, String> {
        list(text, "must be ranges of addresses separated by commas (for example 10.0.0.0/8,fd00::/8)")
            .map(Self)
    }

    fn show(&self) -> String {
        join(&self.0)
    }
}

/// Origins of web pages, separated by commas, or `*` for every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsOrigins(pub Origins);

impl Value for CorsOrigins {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "must be origins separated by commas (for example https://panel.example.com,http://localhost:3000), \
             without a path, or *"
                .to_owned()
        };
        let listed: Vec<String> = list(text, &wrong())?;
        match listed.as_slice() {
            [] => Ok(Self(Origins::None)),
            [any] if any == "*" => Ok(Self(Origins::Any)),
            _ if listed.iter().all(|one| is_origin(one)) => Ok(Self(Origins::Listed(listed))),
            _ => Err(wrong()),
        }
    }

    fn show(&self) -> String {
        match &self.0 {
            Origins::None => String::new(),
            Origins::Any => "*".to_owned(),
            Origins::Listed(listed) => join(listed),
        }
    }
}

/// Whether a text is `scheme://host` or `scheme://host:port`.
fn is_origin(text: &str) -> bool {
    let fits = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    text.split_once("://").is_some_and(|(scheme, host)| fits(scheme, b"+-.") && fits(host, b"-._:[]"))
}

/// Names with fixed addresses: `name=address`, separated by commas. A name may come several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(pub Vec<(String, IpAddr)>);

impl Value for Hosts {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "must be name=address, several separated by commas (for example db.internal=10.0.0.5)".to_owned()
        };
        let host = |part: String| {
            let (name, address) = part.split_once('=')?;
            let fine =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            Some((name.to_ascii_lowercase(), address.parse().ok()?)).filter(|_| fine)
        };
        let parts: Vec<String> = list(text, "")?;
        parts.into_iter().map(|part| host(part).ok_or_else(wrong)).collect::<Result<_, _>>().map(Self)
    }

    fn show(&self) -> String {
        join(self.0.iter().map(|(name, address)| format!("{name}={address}")))
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for IpAddr {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be an IP address".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Which of the program's roles a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// The JSON API.
    pub api: bool,
    /// The jobs in the background.
    pub worker: bool,
    /// The proxy.
    pub gateway: bool,
}

impl Value for Roles {
    fn parse(text: &str) -> Result<Self, String> {
        let mut roles = Self { api: false, worker: false, gateway: false };
        for role in text.split(',').map(str::trim) {
            match role {
                "api" => roles.api = true,
                "worker" => roles.worker = true,
                "gateway" => roles.gateway = true,
                _ => {
                    return Err("must be one or more of api, worker, gateway, separated by commas".to_owned());
                }
            }
        }
        Ok(roles)
    }

    fn show(&self) -> String {
        let named = [("api", self.api), ("worker", self.worker), ("gateway", self.gateway)];
        join(named.into_iter().filter(|(_, plays)| *plays).map(|(name, _)| name))
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl Value for LogFormat {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be text or json".to_owned()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Json => "json".to_owned(),
        }
    }
}

/// What is logged: a level, and exceptions from it by module, as `tracing` writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(pub String);

impl Value for LogLevel {
    fn parse(text: &str) -> Result<Self, String> {
        let is_level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word);
        // A bare module name, which `tracing` would take as "all of it", is a typing error here.
        let fine = text.split(',').all(|part| match part.split_once('=') {
            Some((module, level)) => !module.is_empty() && is_level(level),
            None => is_level(part),
        });
        if fine && tracing_subscriber::EnvFilter::builder().parse(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err("must be off, error, warn, info, debug or trace, optionally with exceptions \
             (for example info,tollgate_gateway=debug)"
            .to_owned())
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A time zone, with the name it was given by.
#[derive(Clone, Debug)]
pub struct ZoneName {
    /// Its IANA name.
    pub name: String,
    /// The zone.
    pub zone: Zone,
}

impl Value for ZoneName {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |_| "must be an IANA time zone (for example UTC or Asia/Shanghai)".to_owned();
        Ok(Self { name: text.to_owned(), zone: Zone::named(text).map_err(wrong)? })
    }

    fn show(&self) -> String {
        self.name.clone()
    }
}

/// A value that may be left out: written as nothing.
impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map(Value::show).unwrap_or_default()
    }
}

impl Value for DbUrl {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("is not understood: {error}"))
    }

    /// Without its password.
    fn show(&self) -> String {
        self.to_string()
    }
}

/// The key under which everything secret in the store is sealed. Shown to nobody.
#[derive(Debug)]
pub struct MasterKey(SecretBox<[u8; 32]>);

impl MasterKey {
    /// Wraps a key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(key)))
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }

    /// As it is written in its file: base64.
    pub fn encode(&self) -> SecretString {
        STANDARD.encode(self.expose()).into()
    }
}

impl Clone for MasterKey {
    fn clone(&self) -> Self {
        Self::new(*self.expose())
    }
}

impl Value for MasterKey {
    fn parse(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self::new).ok_or_else(|| "must be 32 bytes in base64 (openssl rand -base64 32)".to_owned())
    }

    fn show(&self) -> String {
        MASK.to_owned()
    }
}

/// The operator's token: what `/api/admin` asks for.
#[derive(Clone, Debug)]
pub struct AdminToken(pub SecretString);

impl Value for AdminToken {
    fn parse(text: &str) -> Result<Self, String> {
        let fine = (24..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fine.then(|| Self(text.into()))
            .ok_or_else(|| "must be 24 to 256 printable characters without blanks".to_owned())
    }

    fn show(&self) -> String {
        MASK.to_owned()
    }
}

/// A password for somebody else's service. Shown to nobody.
#[derive(Clone, Debug)]
pub struct Password(pub SecretString);

impl Value for Password {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.into()))
    }

    fn show(&self) -> String {
        MASK.to_owned()
    }
}

/// How the mail relay is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// In the clear at first, then TLS.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// In the clear.
    None,
}

impl Value for SmtpSecurity {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "starttls" => Ok(Self::StartTls),
            "tls" => Ok(Self::Tls),
            "none" => Ok(Self::None),
            _ => Err("must be starttls, tls or none".to_owned()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::StartTls => "starttls".to_owned(),
            Self::Tls => "tls".to_owned(),
            Self::None => "none".to_owned(),
        }
    }
}

/// What is shown in place of a secret.
const MASK: &str = "(secret)";

/// Several values separated by commas; blanks around them do not matter.
pub(super) fn list<T: std::str::FromStr>(text: &str, wrong: &str) -> Result<Vec<T>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|part| part.trim().parse().map_err(|_| wrong.to_owned())).collect()
}

pub(super) fn join<T: std::fmt::Display>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().fold(String::new(), |mut joined, part| {
        let comma = if joined.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(joined, "{comma}{part}");
        joined
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: Value>(text: &str) -> Option<String> {
        T::parse(text).ok().map(|value| value.show())
    }

    #[test]
    fn values_are_shown_as_they_are_written() {
        assert_eq!(round_trip::<Duration>("90s").as_deref(), Some("90s"));
        assert_eq!(round_trip::<Duration>("2m").as_deref(), Some("120s"));
        assert_eq!(round_trip::<Duration>("1500ms").as_deref(), Some("1500ms"));
        assert_eq!(round_trip::<Listen>("0.0.0.0:1, [::]:2").as_deref(), Some("0.0.0.0:1,[::]:2"));
        assert_eq!(round_trip::<Listen>("").as_deref(), Some(""));
        assert_eq!(
            round_trip::<NameServers>("10.0.0.53, ::1,[::1]:5353").as_deref(),
            Some("10.0.0.53:53,[::1]:53,[::1]:5353")
        );
        assert_eq!(round_trip::<NameServers>("10.0.0.53:0"), None);
        assert_eq!(round_trip::<HostPort>("Example.com:443").as_deref(), Some("example.com:443"));
        assert_eq!(round_trip::<HostPort>("example.com"), None);
        assert_eq!(round_trip::<Hosts>("A.b=::1,c=1.2.3.4").as_deref(), Some("a.b=::1,c=1.2.3.4"));
        assert_eq!(round_trip::<Option<IpAddr>>("2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(
            round_trip::<CorsOrigins>("https://a.example, http://[::1]:3000").as_deref(),
            Some("https://a.example,http://[::1]:3000")
        );
        assert_eq!(round_trip::<CorsOrigins>("*").as_deref(), Some("*"));
        for wrong in ["https://a.example/", "a.example", "*,https://a.example", "null", "://a"] {
            assert_eq!(round_trip::<CorsOrigins>(wrong), None, "{wrong}");
        }
        assert_eq!(round_trip::<Ports>("25,465").as_deref(), Some("25,465"));
        assert_eq!(round_trip::<Roles>("gateway, api").as_deref(), Some("api,gateway"));
        assert_eq!(
            round_trip::<LogLevel>("info,tollgate_gateway=debug").as_deref(),
            Some("info,tollgate_gateway=debug")
        );
        assert_eq!(round_trip::<ZoneName>("Asia/Shanghai").as_deref(), Some("Asia/Shanghai"));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for wrong in ["", "30", "s", "1.5s", "-1s", "30 s", "1d", "99999999999999999999s", "9000000h"] {
            assert!(Duration::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["8080", ":8080", "localhost:8080", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:1,,"] {
            assert!(Listen::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "all", "api,", "API"] {
            assert!(Roles::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "-1", "+1", "1e3", "65536", " 1"] {
            assert!(u16::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "loud", "info,=,"] {
            assert!(LogLevel::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["a", "a=", "=1.2.3.4", "a=b", "a b=1.2.3.4"] {
            assert!(Hosts::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Ports::parse("25;26").is_err());
        for wrong in ["localhost", "1.2.3.4:5", "[::1]", "1.2.3"] {
            assert!(Option::<IpAddr>::parse(wrong).is_err(), "{wrong}");
        }
        assert!(ZoneName::parse("Mars/Olympus").is_err());
        assert!(AdminToken::parse("short").is_err());
        assert!(AdminToken::parse("a token with blanks in between").is_err());
    }

    #[test]
    fn a_master_key_is_exactly_32_bytes_and_never_shown() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let key = MasterKey::parse(text).expect("a key");
        assert_eq!(key.expose().first_chunk(), Some(&[0, 1, 2, 3]));
        assert_eq!(key.encode().expose_secret(), text);
        assert_eq!(key.show(), "(secret)");
        assert!(!format!("{key:?}").contains("AAEC"));
        for wrong in ["AAEC", "", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==", "not base64!"] {
            assert!(MasterKey::parse(wrong).is_err(), "{wrong}");
        }
    }
}
