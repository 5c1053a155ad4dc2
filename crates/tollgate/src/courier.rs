//! Takes notices out of the house: the core's [`Courier`], with `notify` as its legs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use tollgate_core::courier::{Awaited, BadUrl, Courier, Letter, Prospect, Undelivered, Way};
use tollgate_notify::{
    Mail, MailAddress, MailError, Mailer, MailerConfig, MessageId, RelayLogin, Resolver, Security, SendError,
    Text, Trust, Webhook, WebhookConfig, WebhookSecret, WebhookUrl, Webhooks, text,
};
use tollgate_types::Language;

use crate::settings::{NoticeSettings, SmtpSecurity};

/// Webhooks, and mail where there is a relay.
pub struct Post {
    webhooks: Webhooks,
    mailer: Option<Mailer>,
}

impl Post {
    /// A courier as the settings want it.
    ///
    /// # Errors
    /// Settings that do not go together, or a file of certificates that cannot be used.
    pub fn new(settings: &NoticeSettings) -> anyhow::Result<Self> {
        let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (name, address) in &settings.hosts.0 {
            hosts.entry(name.clone()).or_default().push(*address);
        }
        let resolver = Arc::new(Resolver::new(hosts));
        let trust = trust(settings.trusted_certificates.as_deref())?;
        let config = WebhookConfig {
            allow_http: settings.allow_http,
            allow: settings.allow_destinations.0.clone(),
            ..WebhookConfig::default()
        };
        let webhooks = Webhooks::new(config, resolver.clone(), &trust).context("webhooks cannot be sent")?;
        let mailer = match mailer_config(settings)? {
            Some(config) => {
                let mailer = Mailer::new(config, resolver, &trust);
                Some(mailer.context("mail cannot be sent as [notices] says")?)
            }
            None => None,
        };
        Ok(Self { webhooks, mailer })
    }

    async fn carry(&self, letter: Letter) -> Result<(), Undelivered> {
        let id = MessageId::new(letter.id.as_str()).map_err(|bad| never(bad.to_string()))?;
        match &letter.way {
            Way::Webhook { url, body, secrets } => {
                let webhook = webhook(id, &letter, url, body, secrets)?;
                self.webhooks.send(&webhook).await.map(drop).map_err(|error| not_taken(&error))
            }
            Way::Mail { to, language } => {
                let mailer = self.mailer.as_ref().ok_or_else(|| later("this platform sends no mail"))?;
                let mail = mail(id, &letter, to, *language)?;
                mailer.send(&mail).await.map_err(|error| not_mailed(&error))
            }
        }
    }

    async fn check(&self, url: &str) -> Result<(), BadUrl> {
        let url = WebhookUrl::parse(url).map_err(|_| BadUrl::Form)?;
        self.webhooks.check(&url).await.map_err(|error| match error {
            SendError::NotHttps => BadUrl::Plain,
            // What remains is said of names and addresses.
            _ => BadUrl::Unreachable,
        })
    }
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("has_mail", &self.mailer.is_some()).finish_non_exhaustive()
    }
}

impl Courier for Post {
    fn deliver(&self, letter: Letter) -> Awaited<'_, Result<(), Undelivered>> {
        Box::pin(self.carry(letter))
    }

    fn check_url<'a>(&'a self, url: &'a str) -> Awaited<'a, Result<(), BadUrl>> {
        Box::pin(self.check(url))
    }

    fn has_mail(&self) -> bool {
        self.mailer.is_some()
    }

    fn takes_address(&self, address: &str) -> bool {
        MailAddress::parse(address).is_ok()
    }
}

fn trust(own: Option<&Path>) -> anyhow::Result<Trust> {
    let Some(path) = own else { return Ok(Trust::public()) };
    let unusable = || format!("notices.trusted_certificates: {}", path.display());
    let pem = std::fs::read(path).with_context(unusable)?;
    Trust::public().and_pem(&pem).with_context(unusable)
}

/// The mail relay; `None` where there is none.
fn mailer_config(settings: &NoticeSettings) -> anyhow::Result<Option<MailerConfig>> {
    let Some(host) = &settings.smtp_host else {
        anyhow::ensure!(
            settings.smtp_username.is_none() && settings.smtp_password.is_none(),
            "notices.smtp_username and smtp_password are for a relay: notices.smtp_host is missing"
        );
        return Ok(None);
    };
    let from = settings.mail_from.as_ref().context("notices.smtp_host needs notices.mail_from")?;
    let (security, usual_port) = match settings.smtp_security {
        SmtpSecurity::StartTls => (Security::StartTls, 587),
        SmtpSecurity::Tls => (Security::Tls, 465),
        SmtpSecurity::None => (Security::None, 25),
    };
    let mut config = MailerConfig::new(host, settings.smtp_port.unwrap_or(usual_port), from);
    config.security = security;
    config.login = match (&settings.smtp_username, &settings.smtp_password) {
        (Some(username), Some(password)) => {
            Some(RelayLogin { username: username.clone(), password: password.0.clone() })
        }
        (None, None) => None,
        _ => anyhow::bail!("notices.smtp_username and notices.smtp_password go together"),
    };
    Ok(Some(config))
}

fn webhook(
    id: MessageId,
    letter: &Letter,
    url: &str,
    body: &str,
    secrets: &[SecretString],
) -> Result<Webhook, Undelivered> {
    let url = WebhookUrl::parse(url).map_err(|bad| later(bad.to_string()))?;
    let read = |secret: &SecretString| WebhookSecret::parse(secret.expose_secret());
    let mut secrets = secrets.iter().map(read).collect::<Result<Vec<_>, _>>().into_iter().flatten();
    let secret = secrets.next().ok_or_else(|| later("there is no secret to sign with"))?;
    Ok(Webhook { url, id, at: letter.at, body: body.to_owned(), secret, other_secret: secrets.next() })
}

fn mail(id: MessageId, letter: &Letter, to: &str, language: Language) -> Result<Mail, Undelivered> {
    let to = MailAddress::parse(to).map_err(|bad| never(bad.to_string()))?;
    let data = serde_json::from_str(&letter.data).unwrap_or_default();
    let Text { subject, body } = text(&letter.kind, &data, language);
    Ok(Mail { id, at: letter.happened_at, to, subject, text: body })
}

fn not_taken(error: &SendError) -> Undelivered {
    let prospect = match error {
        SendError::Gone => Prospect::SwitchOff,
        error if error.is_final() => Prospect::GiveUp,
        _ => Prospect::TryAgain,
    };
    Undelivered { why: error.to_string(), prospect }
}

fn not_mailed(error: &MailError) -> Undelivered {
    let prospect = if error.is_final() { Prospect::GiveUp } else { Prospect::TryAgain };
    Undelivered { why: error.to_string(), prospect }
}

fn later(why: impl Into<String>) -> Undelivered {
    Undelivered { why: why.into(), prospect: Prospect::TryAgain }
}

fn never(why: impl Into<String>) -> Undelivered {
    Undelivered { why: why.into(), prospect: Prospect::GiveUp }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;
    use tollgate_core::events::EventKind;

    use super::*;
    use crate::settings::{Flags, Settings, gather};

    fn post(variables: &[(&str, &str)]) -> anyhow::Result<Post> {
        let named = |(name, text): &(&str, &str)| (format!("TOLLGATE_NOTICES__{name}").into(), text.into());
        let variables: Vec<_> = variables.iter().map(named).collect();
        Post::new(&Settings::read(&gather(&[], &Flags::default(), variables)?)?.notices)
    }

    #[tokio::test]
    async fn urls_are_judged_by_the_settings() {
        let strict = post(&[("HOSTS", "inside.example=10.0.0.1,outside.example=1.1.1.1")]).unwrap();
        for (url, expected) in [
            ("https://outside.example/hook", Ok(())),
            ("https://1.1.1.1/hook", Ok(())),
            ("https://inside.example/hook", Err(BadUrl::Unreachable)),
            ("https://127.0.0.1/hook", Err(BadUrl::Unreachable)),
            ("https://0x7f.1/hook", Err(BadUrl::Unreachable)),
            ("https://[::ffff:127.0.0.1]/hook", Err(BadUrl::Unreachable)),
            ("https://169.254.169.254/latest/meta-data", Err(BadUrl::Unreachable)),
            ("http://outside.example/hook", Err(BadUrl::Plain)),
            ("https://user@outside.example/hook", Err(BadUrl::Form)),
            ("nonsense", Err(BadUrl::Form)),
        ] {
            assert_eq!(strict.check(url).await, expected, "{url}");
        }
        let open = post(&[("ALLOW_DESTINATIONS", "127.0.0.0/8"), ("ALLOW_HTTP", "true")]).unwrap();
        assert_eq!(open.check("http://127.0.0.1:8000/hook").await, Ok(()));
        assert_eq!(open.check("http://10.0.0.1/hook").await, Err(BadUrl::Unreachable));
    }

    #[tokio::test]
    async fn mail_needs_a_relay_and_a_sender() {
        assert!(!post(&[]).unwrap().has_mail());
        let relay = [("SMTP_HOST", "relay.example"), ("MAIL_FROM", "Tollgate <no-reply@example.com>")];
        assert!(post(&relay).unwrap().has_mail());
        let with = |more: &[(&'static str, &'static str)]| post(&[&relay[..], more].concat());
        assert!(with(&[("SMTP_USERNAME", "me"), ("SMTP_PASSWORD", "secret")]).unwrap().has_mail());
        for (wrong, about) in [
            (post(&relay[..1]), "mail_from"),
            (with(&[("SMTP_USERNAME", "me")]), "go together"),
            (with(&[("SMTP_PASSWORD", "secret")]), "go together"),
            (post(&[("SMTP_PASSWORD", "secret")]), "smtp_host is missing"),
            (post(&[relay[0], ("MAIL_FROM", "nobody")]), "sender"),
            (post(&[("TRUSTED_CERTIFICATES", "/nonexistent.pem")]), "/nonexistent.pem"),
        ] {
            let said = format!("{:#}", wrong.unwrap_err());
            assert!(said.contains(about) && !said.contains("secret\""), "{said}");
        }
    }

    #[test]
    fn every_event_has_words_of_its_own() {
        let unknown = text("no.such_event", &json!({}), Language::En).subject;
        let subjects: HashSet<_> = EventKind::ALL
            .iter()
            .map(|kind| text(kind.as_str(), &json!({}), Language::En).subject)
            .inspect(|subject| assert_ne!(*subject, unknown))
            .collect();
        assert_eq!(subjects.len(), EventKind::ALL.len());
    }

    #[test]
    fn every_event_is_on_the_page_for_customers() {
        let page = include_str!("../../../docs/webhooks.md");
        for kind in EventKind::ALL {
            assert!(page.contains(&format!("\n| `{kind}` |")), "{kind} is not in docs/webhooks.md");
        }
    }

    #[test]
    fn a_receiver_that_is_gone_is_told_from_one_that_fails() {
        assert_eq!(not_taken(&SendError::Gone).prospect, Prospect::SwitchOff);
        assert_eq!(not_taken(&SendError::Unsendable("it is too long")).prospect, Prospect::GiveUp);
        assert_eq!(not_taken(&SendError::Status(404)).prospect, Prospect::TryAgain);
        assert_eq!(not_mailed(&MailError::Refused("no such user".into())).prospect, Prospect::GiveUp);
        assert_eq!(not_mailed(&MailError::Deferred("later".into())).prospect, Prospect::TryAgain);
    }
}
