//! The client's side of a handshake with an upstream proxy, HTTP CONNECT or SOCKS5. Whatever an
//! upstream says about credentials stays here: no reply and no log line repeats it.

use secrecy::{ExposeSecret, SecretString};
use tollgate_types::Refusal;
use tollgate_wire::Parsed;
use tollgate_wire::http::{self, Limits};
use tollgate_wire::socks5::{self, Rep};
use tollgate_wire::target::Target;

use crate::dial::error::{Blame, DialError, ExitTrouble};
use crate::stream::{Stream, fill, say};

/// The most that a SOCKS server says before the tunnel: far more than its longest reply.
const SOCKS_REPLY_BYTES: usize = 1024;
/// How many interim (1xx) answers to CONNECT are skipped.
const MAX_INTERIM: usize = 8;

/// What an upstream proxy wants to hear.
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: SecretString,
}

/// Asks an HTTP proxy for a tunnel. Returns what the target said already.
///
/// # Errors
/// [`DialError`].
pub(crate) async fn http(
    stream: &Stream,
    target: &Target,
    login: Option<&Login>,
    head_bytes: usize,
) -> Result<Vec<u8>, DialError> {
    let credentials = login.map(|login| (login.username.as_str(), login.password.expose_secret()));
    write_all(stream, &http::connect_request(target, credentials)).await?;
    let limits = Limits { head_bytes, ..Limits::default() };
    let mut answer = Reply::new(stream, head_bytes);
    answer.is_asked = true;
    for _ in 0..MAX_INTERIM {
        let head = answer
            .next(|buf| match http::response_head(buf, &limits) {
                Ok(parsed) => Ok(parsed),
                Err(_) => Err(()),
            })
            .await?;
        match head.status {
            100..=199 => {}
            200..=299 => return Ok(answer.buf),
            status => return Err(refused_by_http(status)),
        }
    }
    Err(broken())
}

/// Asks a SOCKS5 server for a connection. Returns what the target said already.
///
/// # Errors
/// [`DialError`].
pub(crate) async fn socks5(
    stream: &Stream,
    target: &Target,
    login: Option<&Login>,
) -> Result<Vec<u8>, DialError> {
    let mut answer = Reply::new(stream, SOCKS_REPLY_BYTES);
    let method = greet(&mut answer, login.is_some()).await?;
    match (method, login) {
        (socks5::Method::NoAuth, _) => {}
        (socks5::Method::UserPass, Some(login)) => {
            let credentials = socks5::client_credentials(&login.username, login.password.expose_secret())
                .map_err(|_| turned_away())?;
            write_all(stream, &credentials).await?;
            if !answer.next(|buf| socks5::parse_auth(buf).map_err(|_| ())).await? {
                return Err(turned_away());
            }
        }
        _ => return Err(turned_away()),
    }
    write_all(stream, &socks5::client_request(target)).await?;
    answer.is_asked = true;
    let reply = answer.next(|buf| socks5::parse_reply(buf).map_err(|_| ())).await?;
    if reply == Rep::Succeeded { Ok(answer.buf) } else { Err(refused_by_socks(reply)) }
}

/// Greets a SOCKS5 server and asks for nothing: whether it is one, and would talk.
///
/// # Errors
/// [`DialError`].
pub(crate) async fn socks5_greeting(stream: &Stream, has_login: bool) -> Result<(), DialError> {
    match greet(&mut Reply::new(stream, SOCKS_REPLY_BYTES), has_login).await? {
        socks5::Method::NoAuth => Ok(()),
        socks5::Method::UserPass if has_login => Ok(()),
        _ => Err(turned_away()),
    }
}

async fn greet(answer: &mut Reply<'_>, has_login: bool) -> Result<socks5::Method, DialError> {
    write_all(answer.stream, &socks5::client_greeting(has_login)).await?;
    answer.next(|buf| socks5::parse_method(buf).map_err(|_| ())).await
}

/// The bytes an upstream answers with, parsed as they come.
struct Reply<'s> {
    stream: &'s Stream,
    buf: Vec<u8>,
    most: usize,
    /// The upstream has been told the target: whether it is to blame for breaking off is not known.
    is_asked: bool,
}

impl<'s> Reply<'s> {
    fn new(stream: &'s Stream, most: usize) -> Self {
        Self { stream, buf: Vec::new(), most, is_asked: false }
    }

    /// The next complete message, leaving in `buf` what follows it.
    async fn next<T>(&mut self, parse: impl Fn(&[u8]) -> Result<Parsed<T>, ()>) -> Result<T, DialError> {
        loop {
            match parse(&self.buf).map_err(|()| broken())? {
                Parsed::Done(value, consumed) => {
                    self.buf.drain(..consumed.min(self.buf.len()));
                    return Ok(value);
                }
                Parsed::Need if self.buf.len() >= self.most => return Err(broken()),
                Parsed::Need => self.read().await?,
            }
        }
    }

    fn end(&self) -> DialError {
        if self.is_asked { broke_off() } else { broken() }
    }

    async fn read(&mut self) -> Result<(), DialError> {
        match fill(self.stream, &mut self.buf).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(self.end()),
        }
    }
}

async fn write_all(stream: &Stream, bytes: &[u8]) -> Result<(), DialError> {
    say(stream, bytes).await.map_err(|_| broken())
}

fn refused_by_http(status: u16) -> DialError {
    match status {
        401 | 407 => turned_away(),
        504 => DialError::new(Blame::Unclear, Refusal::Timeout, "the exit gave up waiting for the target"),
        _ => DialError::new(Blame::Unclear, Refusal::BadGateway, "the exit could not reach the target"),
    }
}

fn refused_by_socks(reply: Rep) -> DialError {
    match reply {
        Rep::NetworkUnreachable | Rep::HostUnreachable => {
            DialError::new(Blame::Target, Refusal::Unreachable, "the target cannot be reached")
        }
        Rep::ConnectionRefused => {
            DialError::new(Blame::Target, Refusal::ConnectionRefused, "the target refused the connection")
        }
        Rep::TtlExpired => DialError::new(Blame::Target, Refusal::Timeout, "the target did not answer"),
        _ => DialError::new(Blame::Unclear, Refusal::BadGateway, "the exit could not reach the target"),
    }
}

fn turned_away() -> DialError {
    let blame = Blame::Exit(ExitTrouble::LoginRefused);
    DialError::new(blame, Refusal::NoExit, "the exit does not let the gateway in")
}

/// The exit does not do what its protocol says.
fn broken() -> DialError {
    let blame = Blame::Exit(ExitTrouble::Broken);
    DialError::new(blame, Refusal::NoExit, "the exit broke off or does not speak its protocol")
}

/// The exit broke off when it had the request: some do where they cannot reach the target.
fn broke_off() -> DialError {
    let blame = Blame::Doubtful(ExitTrouble::Broken);
    DialError::new(blame, Refusal::NoExit, "the exit broke off or does not speak its protocol")
}
