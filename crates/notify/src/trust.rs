//! Whose certificates are believed, and the TLS that follows from it.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// How much of somebody else's words is kept.
const MAX_SAID: usize = 200;

/// What a webhook or mail sender cannot be made of.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The TLS library refuses its own configuration.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The relay's host is neither a name nor an address.
    #[error("the mail relay's host is neither a name nor an address")]
    RelayHost,
    /// The mail library refuses its TLS configuration.
    #[error("TLS to the mail relay cannot be set up")]
    RelayTls,
    /// The name that the relay is greeted with is none.
    #[error("the name to greet the mail relay with is not a host name")]
    Hello,
    /// The sender is no mail address.
    #[error("the sender is not a mail address, such as Tollgate <no-reply@example.com>")]
    Sender,
    /// A password would cross the network in the clear.
    #[error("a password for the mail relay needs STARTTLS or TLS, unless the relay is on this machine")]
    ClearPassword,
}

/// Not a list of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not certificates in PEM form, or none that can be a root of trust")]
pub struct BadRoots;

/// Whose certificates are believed: Mozilla's list, which is compiled in, and the operator's own.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    own: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Believes Mozilla's list only.
    pub fn public() -> Self {
        Self::default()
    }

    /// Believes the certificates of a PEM file too.
    ///
    /// # Errors
    /// [`BadRoots`] where it holds none, or one that cannot be used.
    pub fn and_pem(mut self, pem: &[u8]) -> Result<Self, BadRoots> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let read = read.map_err(|_| BadRoots)?;
        let mut store = RootCertStore::empty();
        let usable = read.iter().all(|certificate| store.add(certificate.clone()).is_ok());
        if read.is_empty() || !usable {
            return Err(BadRoots);
        }
        self.own.extend(read);
        Ok(self)
    }

    /// The operator's own, each in DER.
    pub(crate) fn own(&self) -> &[CertificateDer<'static>] {
        &self.own
    }

    /// TLS 1.2 and 1.3 for a client that speaks one application protocol.
    pub(crate) fn client(&self, protocol: Option<&[u8]>) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        roots.add_parsable_certificates(self.own.iter().cloned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols.extend(protocol.map(<[u8]>::to_vec));
        // Each attempt proves the receiver anew.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// Why a TLS handshake failed, in a bounded line.
pub(crate) fn handshake_fault(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(said) => shortened(&said.to_string()),
        None => "the handshake broke off".to_owned(),
    }
}

/// Somebody else's words: printable, and bounded.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SAID).collect()
}
