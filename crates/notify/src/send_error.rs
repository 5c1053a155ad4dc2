//! Why a webhook was not delivered.

use std::error::Error as _;
use std::io;

use crate::trust::handshake_fault;

/// Why an attempt to deliver a webhook failed. The words are for the endpoint's owner: they tell
/// nothing about the inside of our network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It can never be sent, and why: its body is longer than [`crate::MAX_BODY_BYTES`].
    #[error("the message cannot be sent: {0}")]
    Unsendable(&'static str),
    /// The URL is http, where only https is allowed.
    #[error("the URL must begin with https://")]
    NotHttps,
    /// None of the host's addresses belongs to the public internet.
    #[error("the host has no public address")]
    Blocked,
    /// The host's name gives no address.
    #[error("the host's name does not resolve")]
    Unresolved,
    /// The host cannot be connected to.
    #[error("the host cannot be connected to")]
    Unreachable,
    /// No TLS connection was made, and why.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection ended before an answer.
    #[error("the connection broke off before an answer")]
    BrokenOff,
    /// The answer is not HTTP/1.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// The answer's head is larger than is read.
    #[error("the answer's head is too large")]
    HeadTooLarge,
    /// A redirect. It is not followed: the URL that was registered has to be the right one.
    #[error("the endpoint redirects ({0}), which is not followed")]
    Redirect(u16),
    /// 410: the endpoint asks to be left alone.
    #[error("the endpoint is gone (410)")]
    Gone,
    /// Any other status that is not 2xx.
    #[error("the endpoint answered {0}")]
    Status(u16),
}

impl SendError {
    /// Whether it is no use to try again: the endpoint said that it is gone for good, or the message
    /// can never be sent.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Gone | Self::Unsendable(_) => true,
            Self::NotHttps
            | Self::Blocked
            | Self::Unresolved
            | Self::Unreachable
            | Self::Tls(_)
            | Self::Timeout
            | Self::BrokenOff
            | Self::NotHttp
            | Self::HeadTooLarge
            | Self::Redirect(_)
            | Self::Status(_) => false,
        }
    }

    /// A status that came: `Ok` with 2xx.
    pub(crate) fn of_status(status: u16) -> Result<u16, Self> {
        match status {
            200..=299 => Ok(status),
            300..=399 => Err(Self::Redirect(status)),
            410 => Err(Self::Gone),
            _ => Err(Self::Status(status)),
        }
    }

    /// What went wrong in a TLS handshake.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        Self::Tls(handshake_fault(error))
    }
}

impl From<hyper::Error> for SendError {
    fn from(error: hyper::Error) -> Self {
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        if error.is_parse_too_large() || io.is_some_and(|io| io.kind() == io::ErrorKind::QuotaExceeded) {
            Self::HeadTooLarge
        } else if error.is_parse() {
            Self::NotHttp
        } else {
            Self::BrokenOff
        }
    }
}
