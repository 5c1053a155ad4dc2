//! E-mail: one plain-text message to one address, handed to the operator's relay.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, SinglePart};
use secrecy::SecretString;
use tokio::time::timeout;
use tollgate_types::Time;

use crate::dial::connect;
use crate::smtp::Relay;
use crate::{MessageId, Resolver, SetupError, Trust};

/// The longest address (RFC 5321 §4.5.3.1.3, without the angle brackets), in bytes.
const MAX_ADDRESS_BYTES: usize = 254;
/// The longest subject, in characters.
const MAX_SUBJECT_CHARS: usize = 200;
/// The longest text, in bytes.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// The last second that a date can say.
const LAST_SECOND: u64 = 253_402_300_799;

/// Not an address that mail is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a mail address such as name@example.com")]
pub struct BadAddress;

/// A mail address: an unquoted local part in ASCII, and a domain, kept in ASCII.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MailAddress(Address);

impl MailAddress {
    /// Understands an address, without a name or angle brackets.
    ///
    /// # Errors
    /// [`BadAddress`].
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let (local, domain) = text.rsplit_once('@').ok_or(BadAddress)?;
        if !local.bytes().all(is_atom_or_dot) || !domain.contains('.') {
            return Err(BadAddress);
        }
        let Ok(url::Host::Domain(domain)) = url::Host::parse(domain) else {
            return Err(BadAddress);
        };
        let address = Address::new(local, domain).map_err(|_| BadAddress)?;
        if AsRef::<str>::as_ref(&address).len() > MAX_ADDRESS_BYTES {
            Err(BadAddress)
        } else {
            Ok(Self(address))
        }
    }

    /// The address's text.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }
}

impl fmt::Debug for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whom a mail goes to is nobody's business who reads a log.
        write!(f, "…@{}", self.0.domain())
    }
}

fn is_atom_or_dot(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b)
}

/// A mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The message's id, the same in every attempt: a mail that comes twice is known for one.
    pub id: MessageId,
    /// The date that it bears.
    pub at: Time,
    /// Whom to.
    pub to: MailAddress,
    /// At most 200 characters in one line.
    pub subject: String,
    /// Plain text, at most 64 KiB; lines end in `\n`.
    pub text: String,
}

/// How the relay is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// In the clear at first, then TLS by STARTTLS; a relay that does not offer it gets nothing.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// In the clear.
    None,
}

/// What the relay wants to hear.
#[derive(Clone)]
pub struct RelayLogin {
    /// User name.
    pub username: String,
    /// Password.
    pub password: SecretString,
}

impl fmt::Debug for RelayLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayLogin(…)")
    }
}

/// Where mail is handed to, and in whose name.
#[derive(Clone, Debug)]
pub struct MailerConfig {
    /// The relay's name or address.
    pub host: String,
    /// The relay's port: 587 with STARTTLS and 465 with TLS, as a rule.
    pub port: u16,
    /// How it is spoken to.
    pub security: Security,
    /// Whom we are to it, where it asks.
    pub login: Option<RelayLogin>,
    /// The sender: an address, or a name and an address: `Tollgate <no-reply@example.com>`.
    pub from: String,
    /// The name that the relay is greeted with; the sender's domain where absent.
    pub hello: Option<String>,
    /// For one address of the relay to be connected to.
    pub connect_timeout: Duration,
    /// For a whole attempt, resolving included.
    pub attempt_timeout: Duration,
}

impl MailerConfig {
    /// A relay, STARTTLS, a sender, and the product's times.
    pub fn new(host: impl Into<String>, port: u16, from: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port,
            security: Security::StartTls,
            login: None,
            from: from.into(),
            hello: None,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
        }
    }
}

/// Why an attempt to send a mail failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It can never be sent, and why.
    #[error("the mail cannot be sent: {0}")]
    Unsendable(&'static str),
    /// The relay's name gives no address.
    #[error("the mail relay's name does not resolve")]
    Unresolved,
    /// The relay cannot be connected to.
    #[error("the mail relay cannot be connected to")]
    Unreachable,
    /// The relay does not offer STARTTLS, without which nothing is said to it.
    #[error("the mail relay does not offer STARTTLS")]
    NoStartTls,
    /// No TLS connection was made, and why.
    #[error("no TLS connection to the mail relay: {0}")]
    Tls(String),
    /// The relay did not come to an end in time.
    #[error("the mail relay did not answer in time")]
    Timeout,
    /// The connection ended, or the relay said what is not SMTP.
    #[error("the mail relay broke off, or does not speak SMTP")]
    BrokenOff,
    /// The relay will not deal with us: its greeting, the login or the sender was answered with no.
    #[error("the mail relay does not take our mail: {0}")]
    Relay(String),
    /// The relay cannot take this mail now (4xx).
    #[error("the mail relay puts the mail off: {0}")]
    Deferred(String),
    /// The relay refuses this recipient or this mail for good (5xx).
    #[error("the mail relay refuses the mail: {0}")]
    Refused(String),
}

impl MailError {
    /// Whether it is no use to try again. What is wrong between the relay and us is none of the
    /// mail's fault, and can be put right.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Unsendable(_) | Self::Refused(_) => true,
            Self::Unresolved
            | Self::Unreachable
            | Self::NoStartTls
            | Self::Tls(_)
            | Self::Timeout
            | Self::BrokenOff
            | Self::Relay(_)
            | Self::Deferred(_) => false,
        }
    }
}

/// Hands mail to the relay, each on a connection of its own.
pub struct Mailer {
    relay: Relay,
    resolver: Arc<Resolver>,
    from: Mailbox,
    connect_timeout: Duration,
    attempt_timeout: Duration,
}

impl Mailer {
    /// A mailer for one relay, whose certificate has to be one that `trust` believes.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(config: MailerConfig, resolver: Arc<Resolver>, trust: &Trust) -> Result<Self, SetupError> {
        let from = sender(&config.from)?;
        let hello = config.hello.clone().unwrap_or_else(|| from.email.domain().to_owned());
        let relay = Relay::new(&config, hello, trust)?;
        let MailerConfig { connect_timeout, attempt_timeout, .. } = config;
        Ok(Self { relay, resolver, from, connect_timeout, attempt_timeout })
    }

    /// Makes one attempt, and says how it went. Takes `attempt_timeout` at most, and a moment for
    /// taking leave. A mail whose attempt ran out of time may have arrived.
    ///
    /// # Errors
    /// [`MailError`].
    pub async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let message = self.message(mail)?;
        let attempt = async {
            let addresses = self.relay.addresses(&self.resolver).await?;
            let stream = connect(&addresses, self.relay.port(), self.connect_timeout).await;
            self.relay
                .hand_over(stream.ok_or(MailError::Unreachable)?, message.envelope(), &message.formatted())
                .await
        };
        let connection = timeout(self.attempt_timeout, attempt).await.map_err(|_| MailError::Timeout)??;
        connection.leave().await;
        Ok(())
    }

    fn message(&self, mail: &Mail) -> Result<Message, MailError> {
        check_words(mail)?;
        let id = format!("<{}@{}>", mail.id, self.from.email.domain());
        // RFC 3834: holiday notices and the like are not to answer.
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, mail.to.0.clone()))
            .subject(&mail.subject)
            .date(date(mail.at))
            .message_id(Some(id))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .singlepart(SinglePart::plain(mail.text.clone()))
            .map_err(|_| MailError::Unsendable("it has no form"))
    }
}

fn sender(text: &str) -> Result<Mailbox, SetupError> {
    let from = Mailbox::from_str(text).map_err(|_| SetupError::Sender)?;
    let plain = text.chars().all(|c| !c.is_control()) && AsRef::<str>::as_ref(&from.email).is_ascii();
    if plain { Ok(from) } else { Err(SetupError::Sender) }
}

/// Nothing that could end a line in the head, nothing invisible in the text.
fn check_words(mail: &Mail) -> Result<(), MailError> {
    let subject = &mail.subject;
    if subject.chars().count() > MAX_SUBJECT_CHARS || mail.text.len() > MAX_TEXT_BYTES {
        return Err(MailError::Unsendable("it is too long"));
    }
    let strange = |c: char| c.is_control() && c != '\n' && c != '\t';
    if subject.trim().is_empty() || subject.chars().any(char::is_control) || mail.text.chars().any(strange) {
        return Err(MailError::Unsendable("the subject is empty, or there are control characters"));
    }
    Ok(())
}

fn date(at: Time) -> SystemTime {
    let seconds = u64::try_from(at.micros() / 1_000_000).unwrap_or(0).min(LAST_SECOND);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_addresses_and_nothing_beside_them() {
        for (text, kept) in [
            ("a@example.com", "a@example.com"),
            ("First.Last+tag@Mail.Example.COM", "First.Last+tag@mail.example.com"),
            ("o'brien@example.com", "o'brien@example.com"),
            ("user@例子.测试", "user@xn--fsqu00a.xn--0zwm56d"),
        ] {
            assert_eq!(MailAddress::parse(text).expect(text).as_str(), kept);
        }
        let long = format!("{}@example.com", "x".repeat(65));
        let longer = format!("a@{}com", "x.".repeat(130));
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@example.com",
            "a@localhost",
            "a@@example.com",
            "a b@example.com",
            ".a@example.com",
            "a.@example.com",
            "a..b@example.com",
            "\"a b\"@example.com",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@example.com\r\nBcc: b@example.com",
            "a@example.com\n",
            "a\r\nRCPT TO:<b>@example.com",
            "A <a@example.com>",
            "a@example.com,b@example.com",
            "用户@example.com",
            "a@exa mple.com",
            "a@-x.com",
            "a@example..com",
            "a>@example.com",
            &long,
            &longer,
        ] {
            assert_eq!(MailAddress::parse(bad), Err(BadAddress), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_not_printed_in_full() {
        assert_eq!(format!("{:?}", MailAddress::parse("ann@example.com").unwrap()), "…@example.com");
    }
}
