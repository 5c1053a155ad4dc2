//! Webhooks: one signed POST, to an address that was checked, answered by a status in time.
//!
//! `resolve → check → connect → TLS → POST → status`. Redirects are not followed, and an answer's
//! body says nothing: a bounded bit of it is read, so that a polite receiver can finish, and the
//! rest is left.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tollgate_types::{Cidr, Time};

use crate::bounded::Bounded;
use crate::dial::{connect, open_addresses};
use crate::sign::seconds;
use crate::webhook_url::Host;
use crate::{MessageId, Resolver, SendError, SetupError, Trust, WebhookSecret, WebhookUrl, sign};

/// The longest body, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// The largest head of an answer, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// How much of an answer's body is read before it is left.
const DRAIN_BYTES: usize = 16 * 1024;
/// How long an answer's body is read.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// The most that an endpoint is listened to in an attempt, TLS handshake and all.
const HEARD_BYTES: usize = 128 * 1024;

/// What webhooks call themselves.
const USER_AGENT: &str = concat!("Tollgate-Webhooks/", env!("CARGO_PKG_VERSION"));

/// How webhooks are sent. The default is that of the product.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Whether `http://` is taken beside `https://`.
    pub allow_http: bool,
    /// Addresses that are opened although they are not public.
    pub allow: Vec<Cidr>,
    /// For one address to be connected to.
    pub connect_timeout: Duration,
    /// For a whole attempt, resolving included.
    pub attempt_timeout: Duration,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            allow_http: false,
            allow: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(15),
        }
    }
}

/// A message to one endpoint.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where to.
    pub url: WebhookUrl,
    /// The message's id, the same in every attempt.
    pub id: MessageId,
    /// When this attempt is made.
    pub at: Time,
    /// The body, JSON; the very bytes are signed.
    pub body: String,
    /// What it is signed with.
    pub secret: WebhookSecret,
    /// While a secret is changed: the other one, with which it is signed too.
    pub other_secret: Option<WebhookSecret>,
}

/// A message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The status, 200 to 299.
    pub status: u16,
}

/// Sends webhooks.
pub struct Webhooks {
    config: WebhookConfig,
    resolver: Arc<Resolver>,
    tls: TlsConnector,
}

impl Webhooks {
    /// A sender that believes the certificates that `trust` says.
    ///
    /// # Errors
    /// [`SetupError::Tls`].
    pub fn new(config: WebhookConfig, resolver: Arc<Resolver>, trust: &Trust) -> Result<Self, SetupError> {
        let tls = TlsConnector::from(trust.client(Some(b"http/1.1"))?);
        Ok(Self { config, resolver, tls })
    }

    /// Whether a URL may be sent to as things stand, without connecting to it: to be asked when one
    /// is registered. Every attempt asks again.
    ///
    /// # Errors
    /// [`SendError::NotHttps`], [`SendError::Unresolved`], [`SendError::Blocked`],
    /// [`SendError::Timeout`].
    pub async fn check(&self, url: &WebhookUrl) -> Result<(), SendError> {
        let deadline = Instant::now() + self.config.attempt_timeout;
        timeout_at(deadline, self.destinations(url)).await.map_err(|_| SendError::Timeout)??;
        Ok(())
    }

    /// Makes one attempt, and says how it went. Takes `attempt_timeout` at most.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, webhook: &Webhook) -> Result<Sent, SendError> {
        if webhook.body.len() > MAX_BODY_BYTES {
            return Err(SendError::Unsendable("it is too long"));
        }
        let deadline = Instant::now() + self.config.attempt_timeout;
        let mut connection = JoinSet::new();
        let attempt = self.attempt(webhook, &mut connection);
        let answer = timeout_at(deadline, attempt).await.map_err(|_| SendError::Timeout)??;
        let status = answer.status().as_u16();
        let polite = deadline.min(Instant::now() + DRAIN_TIME);
        // Whether the body came, and whether it was too long, changes nothing.
        let _ = timeout_at(polite, Limited::new(answer.into_body(), DRAIN_BYTES).collect()).await;
        SendError::of_status(status).map(|status| Sent { status })
    }

    /// From the name to the head of the answer. The connection is a task in `connection`, and ends
    /// with it.
    async fn attempt(
        &self,
        webhook: &Webhook,
        connection: &mut JoinSet<hyper::Result<()>>,
    ) -> Result<Response<Incoming>, SendError> {
        let url = &webhook.url;
        let addresses = self.destinations(url).await?;
        let stream = connect(&addresses, url.port(), self.config.connect_timeout).await;
        let stream = Bounded::new(stream.ok_or(SendError::Unreachable)?, HEARD_BYTES);
        let request = request(webhook)?;
        if !url.is_https() {
            return ask(stream, request, connection).await;
        }
        let stream = self.tls.connect(server_name(url.host()), stream).await;
        ask(stream.map_err(|error| SendError::of_handshake(&error))?, request, connection).await
    }

    /// The addresses that a URL may be sent to.
    async fn destinations(&self, url: &WebhookUrl) -> Result<Vec<IpAddr>, SendError> {
        if !url.is_https() && !self.config.allow_http {
            return Err(SendError::NotHttps);
        }
        let addresses = match url.host() {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => {
                self.resolver.resolve(name.as_ref()).await.map_err(|_| SendError::Unresolved)?
            }
        };
        let open = open_addresses(&addresses, &self.config.allow);
        if open.is_empty() { Err(SendError::Blocked) } else { Ok(open) }
    }
}

/// The name that the endpoint's certificate has to bear.
fn server_name(host: &Host) -> ServerName<'static> {
    match host {
        Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
        Host::Name(name) => ServerName::DnsName(name.clone()),
    }
}

fn request(webhook: &Webhook) -> Result<Request<Full<Bytes>>, SendError> {
    let Webhook { url, id, at, body, secret, other_secret } = webhook;
    let signatures = [Some(secret), other_secret.as_ref()].into_iter().flatten();
    let signatures: Vec<String> = signatures.map(|secret| sign(secret, id, *at, body)).collect();
    Request::post(url.target())
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .header("webhook-id", id.as_str())
        .header("webhook-timestamp", seconds(*at))
        .header("webhook-signature", signatures.join(" "))
        .body(Full::new(Bytes::from(body.clone())))
        .map_err(|_| SendError::Unsendable("its head has no form"))
}

async fn ask<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    connection: &mut JoinSet<hyper::Result<()>>,
) -> Result<Response<Incoming>, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES).max_header_size(HEAD_BYTES);
    let (mut sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
    connection.spawn(driver);
    Ok(sender.send_request(request).await?)
}
