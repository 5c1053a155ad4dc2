//! A customer's own line for each proxy.

use tollgate_core::Rule;

use super::Reached;
use crate::error::{ApiError, Unreadable};

/// The longest template, in characters.
const LONGEST: usize = 200;

/// The most placeholders: with the longest of values a line stays under a kilobyte.
const MOST_PLACEHOLDERS: usize = 16;

/// A line with places for what each proxy has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// In brackets where a colon follows an IPv6 address, so that the two can be told apart.
    Ip {
        before_colon: bool,
    },
    Port,
    Login,
    Password,
    Country,
    Protocol,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// It is too long or holds a control character, a placeholder that is none, a lone `%` or `\`,
    /// no placeholder or too many.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        if text.chars().count() > LONGEST {
            return Err(ApiError::invalid("template", Rule::Length { min: 1, max: LONGEST }));
        }
        if text.chars().any(char::is_control) {
            return Err(ApiError::invalid("template", Rule::Characters));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, behind) = next(rest).ok_or(ApiError::Unreadable(Unreadable::Template))?;
            parts.push(part);
            rest = behind;
        }
        let placeholders = parts.iter().filter(|part| !matches!(part, Part::Text(_))).count();
        match (1..=MOST_PLACEHOLDERS).contains(&placeholders) {
            true => Ok(Self(parts)),
            false => Err(ApiError::Unreadable(Unreadable::Template)),
        }
    }

    /// The line for one proxy.
    pub(super) fn fill(&self, at: &Reached<'_>) -> String {
        let filled = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Ip { before_colon: true } if at.address.is_ipv6() => format!("[{}]", at.address.ip()),
            Part::Ip { .. } => at.address.ip().to_string(),
            Part::Port => at.address.port().to_string(),
            Part::Login => at.username.to_owned(),
            Part::Password => at.password.to_owned(),
            Part::Country => at.country.to_owned(),
            Part::Protocol => at.protocol.to_string(),
        });
        filled.collect()
    }
}

/// What a template begins with, and what comes behind it; `None` where that cannot be read.
fn next(text: &str) -> Option<(Part, &str)> {
    if let Some(rest) = text.strip_prefix('%') {
        let (word, behind) = rest.split_once('%')?;
        let part = match word {
            "" => Part::Text("%".to_owned()),
            "ip" => Part::Ip { before_colon: behind.starts_with(':') },
            "port" => Part::Port,
            "login" => Part::Login,
            "password" => Part::Password,
            "country" => Part::Country,
            "protocol" => Part::Protocol,
            _ => return None,
        };
        return Some((part, behind));
    }
    if let Some(rest) = text.strip_prefix('\\') {
        let mut behind = rest.chars();
        let meant = match behind.next()? {
            'n' => "\n",
            't' => "\t",
            '\\' => "\\",
            _ => return None,
        };
        return Some((Part::Text(meant.to_owned()), behind.as_str()));
    }
    let end = text.find(['%', '\\']).unwrap_or(text.len());
    let (plain, behind) = text.split_at(end);
    Some((Part::Text(plain.to_owned()), behind))
}

#[cfg(test)]
mod tests {
    use tollgate_types::StaticProtocol;

    use super::*;

    fn filled(template: &str, address: &str) -> Result<String, ApiError> {
        let address = address.parse().unwrap();
        let protocol = StaticProtocol::Both;
        let at = Reached { address, username: "s1", password: "pw%ip%", country: "us", protocol };
        Template::parse(template).map(|template| template.fill(&at))
    }

    #[test]
    fn placeholders_are_filled_once() {
        let v4 = "192.0.2.7:8080";
        for (template, expected) in [
            ("%ip%:%port%:%login%:%password%", "192.0.2.7:8080:s1:pw%ip%"),
            ("%country%\\t%protocol%\\n100%% \\\\%ip%", "us\thttp/socks5\n100% \\192.0.2.7"),
            ("%ip%%port%", "192.0.2.78080"),
        ] {
            assert_eq!(filled(template, v4).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn an_ipv6_address_is_in_brackets_where_a_colon_follows() {
        let v6 = "[2001:db8::7]:8080";
        assert_eq!(filled("%ip%:%port%", v6).unwrap(), "[2001:db8::7]:8080");
        assert_eq!(filled("%ip%,%port%", v6).unwrap(), "2001:db8::7,8080");
    }

    #[test]
    fn what_no_template_may_hold_is_refused() {
        let unreadable = ApiError::Unreadable(Unreadable::Template);
        let many = "%ip%".repeat(17);
        for wrong in ["%user%", "%IP%", "100%", "%ip", "%ip%\\x", "%ip%\\", "no place", "%%", &many] {
            assert_eq!(filled(wrong, "192.0.2.7:1"), Err(unreadable.clone()), "{wrong}");
        }
        let invalid = |rule| Err(ApiError::invalid("template", rule));
        assert_eq!(filled("%ip%\n", "192.0.2.7:1"), invalid(Rule::Characters));
        let long = format!("%ip%{}", "x".repeat(LONGEST));
        assert_eq!(filled(&long, "192.0.2.7:1"), invalid(Rule::Length { min: 1, max: LONGEST }));
    }
}
