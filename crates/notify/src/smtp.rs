//! The conversation with the mail relay.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands;
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::bounded::Bounded;
use crate::mail::{MailError, MailerConfig, RelayLogin, Security};
use crate::resolve::Resolver;
use crate::trust::{SetupError, Trust, handshake_fault, shortened};

/// The most that a relay is listened to in an attempt, TLS handshake and all: several times what an
/// honest one says.
const HEARD_BYTES: usize = 32 * 1024;
/// The most lines that are read in the clear, or on a connection that was TLS from the start.
const HEARD_LINES: usize = 512;
/// How long we wait for a goodbye.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// A relay, and how it is spoken to.
pub(crate) struct Relay {
    host: ServerName<'static>,
    port: u16,
    hello: ClientId,
    login: Option<RelayLogin>,
    channel: Channel,
}

/// How a connection is made private.
enum Channel {
    Clear,
    StartTls(Box<TlsParameters>),
    Tls(TlsConnector),
}

/// A connection whose mail has been taken.
pub(crate) struct Done(AsyncSmtpConnection);

impl Done {
    /// Says goodbye. The mail is the relay's by now, whatever comes of this.
    pub(crate) async fn leave(mut self) {
        let _ = timeout(LEAVE_TIME, self.0.quit()).await;
    }
}

impl Relay {
    pub(crate) fn new(config: &MailerConfig, hello: String, trust: &Trust) -> Result<Self, SetupError> {
        let host = ServerName::try_from(config.host.clone()).map_err(|_| SetupError::RelayHost)?;
        if config.login.is_some() && config.security == Security::None && !is_this_machine(&host) {
            return Err(SetupError::ClearPassword);
        }
        let channel = match config.security {
            Security::None => Channel::Clear,
            Security::Tls => Channel::Tls(trust.client(None)?.into()),
            Security::StartTls => Channel::StartTls(Box::new(starttls(&config.host, trust)?)),
        };
        let hello = match ServerName::try_from(hello.as_str()) {
            Ok(ServerName::DnsName(_)) => ClientId::Domain(hello),
            _ => return Err(SetupError::Hello),
        };
        Ok(Self { host, port: config.port, hello, login: config.login.clone(), channel })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn addresses(&self, resolver: &Resolver) -> Result<Vec<IpAddr>, MailError> {
        match &self.host {
            ServerName::DnsName(name) => {
                let name = name.as_ref().trim_end_matches('.').to_ascii_lowercase();
                resolver.resolve(&name).await.map_err(|_| MailError::Unresolved)
            }
            ServerName::IpAddress(ip) => Ok(vec![(*ip).into()]),
            _ => Err(MailError::Unresolved),
        }
    }

    /// The whole conversation, to the relay's word that the mail is its own.
    pub(crate) async fn hand_over(
        &self,
        stream: TcpStream,
        envelope: &Envelope,
        message: &[u8],
    ) -> Result<Done, MailError> {
        let mut connection = self.greet(stream).await?;
        if let Some(login) = &self.login {
            let password = login.password.expose_secret().to_owned();
            let credentials = Credentials::new(login.username.clone(), password);
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(ours)?;
        }
        connection.command(commands::Mail::new(envelope.from().cloned(), vec![])).await.map_err(ours)?;
        for to in envelope.to() {
            connection.command(commands::Rcpt::new(to.clone(), vec![])).await.map_err(the_mails)?;
        }
        let ready = connection.command(commands::Data).await.map_err(the_mails)?;
        if !ready.has_code(354) {
            return Err(MailError::BrokenOff);
        }
        let taken = connection.message(without_last_line_end(message)).await.map_err(the_mails)?;
        if taken.has_code(250) { Ok(Done(connection)) } else { Err(MailError::BrokenOff) }
    }

    /// A connection that is private, as configured, and greeted.
    async fn greet(&self, stream: TcpStream) -> Result<AsyncSmtpConnection, MailError> {
        let peer = stream.peer_addr().map_err(|_| MailError::BrokenOff)?;
        let stream = Bounded::new(stream, HEARD_BYTES);
        let stream: Box<dyn AsyncTokioStream> = match &self.channel {
            Channel::Clear | Channel::StartTls(_) => Box::new(Lines::new(stream, peer)),
            Channel::Tls(connector) => {
                let stream = connector.connect(self.host.clone(), stream).await;
                Box::new(Lines::new(stream.map_err(|error| MailError::Tls(handshake_fault(&error)))?, peer))
            }
        };
        let mut connection =
            AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await.map_err(ours)?;
        if let Channel::StartTls(parameters) = &self.channel {
            if !connection.can_starttls() {
                return Err(MailError::NoStartTls);
            }
            connection.starttls((**parameters).clone(), &self.hello).await.map_err(ours)?;
        }
        Ok(connection)
    }
}

/// The end of a mail in SMTP begins with a line end, so the mail's own would make an empty line.
fn without_last_line_end(mut message: &[u8]) -> &[u8] {
    while let Some(shorter) = message.strip_suffix(b"\r\n") {
        message = shorter;
    }
    message
}

fn starttls(host: &str, trust: &Trust) -> Result<TlsParameters, SetupError> {
    let mut parameters =
        TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    for certificate in trust.own() {
        let certificate = Certificate::from_der(certificate.to_vec()).map_err(|_| SetupError::RelayTls)?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build_rustls().map_err(|_| SetupError::RelayTls)
}

fn is_this_machine(host: &ServerName<'_>) -> bool {
    match host {
        ServerName::DnsName(name) => name.as_ref() == "localhost",
        ServerName::IpAddress(ip) => IpAddr::from(*ip).is_loopback(),
        _ => false,
    }
}

/// A failure before the recipient was named: between the relay and us.
fn ours(error: Error) -> MailError {
    match broken(&error) {
        Some(broken) => broken,
        None => MailError::Relay(said(&error)),
    }
}

/// A failure that is about the recipient or the message.
fn the_mails(error: Error) -> MailError {
    if let Some(broken) = broken(&error) {
        broken
    } else if error.is_permanent() {
        MailError::Refused(said(&error))
    } else {
        MailError::Deferred(said(&error))
    }
}

/// A failure of the connection, rather than an answer.
fn broken(error: &Error) -> Option<MailError> {
    if error.status().is_some() || error.is_client() {
        return None;
    }
    Some(tls_fault(error).map_or(MailError::BrokenOff, MailError::Tls))
}

/// What the TLS library said, somewhere beneath a failure.
fn tls_fault(error: &Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
        {
            return Some(handshake_fault(io));
        }
        cause = inner.source();
    }
    None
}

/// The relay's own words, or the library's: a bounded line.
fn said(error: &Error) -> String {
    let words = error.source().map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(code) => shortened(&format!("{code} {words}")),
        None => shortened(&words),
    }
}

/// A stream that never gives more than a line at a time. Who reads a relay's answer to STARTTLS
/// through it has read nothing of what was smuggled in behind that answer: it is taken for part of
/// the TLS handshake, and breaks it, instead of being taken for what the relay said under TLS.
#[derive(Debug)]
struct Lines<S> {
    inner: BufReader<S>,
    left: usize,
    peer: SocketAddr,
}

impl<S: AsyncRead> Lines<S> {
    fn new(inner: S, peer: SocketAddr) -> Self {
        Self { inner: BufReader::new(inner), left: HEARD_LINES, peer }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lines<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        let bytes = ready!(Pin::new(&mut self.inner).poll_fill_buf(cx))?;
        let line = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |end| end + 1);
        let given = line.min(buf.remaining());
        buf.put_slice(&bytes[..given]);
        Pin::new(&mut self.inner).consume(given);
        self.left -= 1;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lines<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S> AsyncTokioStream for Lines<S>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug,
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
