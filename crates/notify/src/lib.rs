//! Notices leave the house here: webhooks by the Standard Webhooks scheme, and e-mail over SMTP.
//!
//! This room knows nothing of accounts, events or jobs. It gets plain values, sends **once**,
//! bounded in bytes and in time, and says how it went; whoever calls it decides what is sent to
//! whom, when it is tried again and when it is given up.
//!
//! Where a webhook goes is a customer's word. Its host is resolved here, every address is checked,
//! and the very address that was checked is connected to ([`Webhooks`]). The mail relay is the
//! operator's word and is taken as it is.

mod bounded;
mod dial;
mod form;
mod mail;
mod message_id;
mod resolve;
mod secret;
mod send_error;
mod sign;
mod smtp;
mod text;
mod trust;

mod webhook;
mod webhook_url;
mod words;

pub use mail::{BadAddress, Mail, MailAddress, MailError, Mailer, MailerConfig, RelayLogin, Security};
pub use message_id::{BadMessageId, MessageId};
pub use resolve::Resolver;
pub use secret::{BadSecret, WebhookSecret};
pub use send_error::SendError;
pub use sign::sign;
pub use text::{Text, text};
pub use trust::{BadRoots, SetupError, Trust};
pub use webhook::{MAX_BODY_BYTES, Sent, Webhook, WebhookConfig, Webhooks};
pub use webhook_url::{BadUrl, WebhookUrl};
