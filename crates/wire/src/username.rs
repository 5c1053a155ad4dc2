//! The grammar of proxy user names (platform.md §3): `NAME[-key-value]*`.
//!
//! The name says who pays, the parameters say which way out. Keys come in any case and any order, each
//! at most once; one that is unknown, doubled or malformed is refused, never ignored.

use std::fmt;

use tollgate_types::{Country, ProxyType, normalise_place};

/// The minutes for which a session keeps its exit where `sesstime` does not say.
pub const SESSION_MINUTES_DEFAULT: u16 = 10;
/// The most minutes for which a session can keep its exit.
pub const SESSION_MINUTES_MAX: u16 = 1440;
/// The longest session key, in bytes.
pub const SESSION_MAX: usize = 64;
/// The longest state or city, in bytes as written.
pub const PLACE_MAX: usize = 128;

/// A user name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName {
    /// The sub-account's name. Where it has not the form of one ([`is_name`]) nobody has it.
    pub name: String,
    /// The way out that is asked for.
    pub route: RouteParams,
}

/// Which exits a request may leave by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteParams {
    /// The type; `None` = the port's.
    pub proxy_type: Option<ProxyType>,
    /// The country; `None` = any.
    pub country: Option<Country>,
    /// The state, normalised as by [`normalise_place`].
    pub state: Option<String>,
    /// The city, normalised likewise.
    pub city: Option<String>,
    /// The autonomous system number.
    pub asn: Option<u32>,
    /// The sticky key: requests that share it share an exit.
    pub session: Option<String>,
    /// How long the session keeps its exit, in minutes, 1 to 1440.
    pub session_minutes: u16,
}

impl Default for RouteParams {
    fn default() -> Self {
        Self {
            proxy_type: None,
            country: None,
            state: None,
            city: None,
            asn: None,
            session: None,
            session_minutes: SESSION_MINUTES_DEFAULT,
        }
    }
}

/// A routing parameter that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadParam {
    /// The name before the parameters, so that a caller can be identified before being told more.
    pub name: String,
    /// The key, as written.
    pub key: String,
    /// What is wrong with it.
    pub why: BadParamWhy,
}

/// What is wrong with a routing parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadParamWhy {
    /// No parameter is called that.
    #[error("unknown parameter")]
    Unknown,
    /// It is given twice, perhaps under another name.
    #[error("given more than once")]
    Doubled,
    /// The user name ends after the key.
    #[error("has no value")]
    NoValue,
    /// The value has not the form that this text describes.
    #[error("must be {0}")]
    Malformed(&'static str),
}

/// Takes a user name apart.
///
/// # Errors
/// [`BadParam`] for the first parameter that cannot be followed. A malformed *name* is no error here:
/// it is the name of nobody.
pub fn parse(user: &str) -> Result<UserName, BadParam> {
    let mut pieces = user.split('-');
    let name = pieces.next().unwrap_or_default();
    let mut route = RouteParams::default();
    let mut seen = Vec::new();
    while let Some(key) = pieces.next() {
        let bad = |why| BadParam { name: name.to_owned(), key: key.to_owned(), why };
        let param = Param::named(key).ok_or_else(|| bad(BadParamWhy::Unknown))?;
        if seen.contains(&param) {
            return Err(bad(BadParamWhy::Doubled));
        }
        seen.push(param);
        let value = pieces.next().ok_or_else(|| bad(BadParamWhy::NoValue))?;
        param.set(&mut route, value).map_err(|form| bad(BadParamWhy::Malformed(form)))?;
    }
    Ok(UserName { name: name.to_owned(), route })
}

/// The name that stands before the parameters, whatever they are.
pub fn name(user: &str) -> &str {
    user.split_once('-').map_or(user, |(name, _)| name)
}

/// Whether this has the form of a sub-account's name: 3 to 64 of `A-Z a-z 0-9 _ .`.
pub fn is_name(name: &str) -> bool {
    (3..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Param {
    Type,
    Country,
    State,
    City,
    Asn,
    Session,
    SessionMinutes,
}

impl Param {
    fn named(key: &str) -> Option<Self> {
        Some(match key.to_ascii_lowercase().as_str() {
            "type" | "zone" => Self::Type,
            "country" | "cc" | "region" => Self::Country,
            "state" | "st" => Self::State,
            "city" => Self::City,
            "asn" => Self::Asn,
            "session" | "sessid" | "sid" => Self::Session,
            "sesstime" | "lifetime" => Self::SessionMinutes,
            _ => return None,
        })
    }

    /// Notes the value, or says which form it should have.
    fn set(self, route: &mut RouteParams, value: &str) -> Result<(), &'static str> {
        match self {
            Self::Type => route.proxy_type = Some(proxy_type(value)?),
            Self::Country => route.country = country(value)?,
            Self::State => route.state = Some(place(value)?),
            Self::City => route.city = Some(place(value)?),
            Self::Asn => route.asn = Some(asn(value)?),
            Self::Session => route.session = Some(session(value)?),
            Self::SessionMinutes => route.session_minutes = minutes(value)?,
        }
        Ok(())
    }
}

fn proxy_type(word: &str) -> Result<ProxyType, &'static str> {
    match word.to_ascii_lowercase().as_str() {
        "res" | "residential" => Ok(ProxyType::Residential),
        "dc" | "datacenter" => Ok(ProxyType::Datacenter),
        "mob" | "mobile" => Ok(ProxyType::Mobile),
        _ => Err("res, dc or mob"),
    }
}

fn country(code: &str) -> Result<Option<Country>, &'static str> {
    if code.eq_ignore_ascii_case("any") {
        return Ok(None);
    }
    code.parse().map(Some).map_err(|_| "a two-letter country code, or any")
}

fn place(written: &str) -> Result<String, &'static str> {
    let place = normalise_place(written);
    if place.is_empty() || written.len() > PLACE_MAX || written.contains(char::is_control) {
        return Err("the name of a place");
    }
    Ok(place)
}

fn asn(digits: &str) -> Result<u32, &'static str> {
    decimal(digits).filter(|&asn| asn > 0).ok_or("an autonomous system number, digits only")
}

fn session(key: &str) -> Result<String, &'static str> {
    let fits = (1..=SESSION_MAX).contains(&key.len());
    if fits && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Ok(key.to_owned())
    } else {
        Err("1 to 64 letters, digits or _")
    }
}

fn minutes(digits: &str) -> Result<u16, &'static str> {
    decimal(digits)
        .and_then(|minutes| u16::try_from(minutes).ok())
        .filter(|minutes| (1..=SESSION_MINUTES_MAX).contains(minutes))
        .ok_or("a number of minutes from 1 to 1440")
}

/// Digits only: no sign, no blank.
fn decimal(digits: &str) -> Option<u32> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

impl fmt::Display for UserName {
    /// The canonical spelling, which [`parse`] reads back as the same user name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.route)
    }
}

impl fmt::Display for RouteParams {
    /// `-key-value` for everything that differs from the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(proxy_type) = self.proxy_type {
            write!(f, "-type-{proxy_type}")?;
        }
        if let Some(country) = self.country {
            write!(f, "-country-{country}")?;
        }
        if let Some(state) = &self.state {
            write!(f, "-state-{state}")?;
        }
        if let Some(city) = &self.city {
            write!(f, "-city-{city}")?;
        }
        if let Some(asn) = self.asn {
            write!(f, "-asn-{asn}")?;
        }
        if let Some(session) = &self.session {
            write!(f, "-session-{session}")?;
        }
        if self.session_minutes != SESSION_MINUTES_DEFAULT {
            write!(f, "-sesstime-{}", self.session_minutes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
