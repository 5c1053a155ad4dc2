//! The certificate that the gateway shows, and what TLS with customers follows from it. Its files are
//! looked at every few seconds and on request: new ones hold for the handshakes that begin after
//! that; ones that are of no use leave the old certificate in force.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use secrecy::{ExposeSecret, SecretSlice};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::stream::{HTTP1, HTTP2};

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where the gateway's certificate is kept, in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to one that customers believe.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Files that no certificate can be made of.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too large to be one of these.
    #[error("{path} is larger than a certificate or a key can be")]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// There is no certificate in it, or not in PEM form.
    #[error("{path} holds no certificates in PEM form")]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// There is no private key in it, or not in PEM form.
    #[error("{path} holds no private key in PEM form")]
    NoKey {
        /// Which.
        path: PathBuf,
    },
    /// The two cannot be used together.
    #[error("{chain} and {key} do not go together: {source}")]
    Unusable {
        /// The certificate's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// The certificate in force.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: CertificateFiles,
    /// What the files looked like when they were read last.
    seen: Mutex<Option<[FileStamp; 2]>>,
    current: watch::Sender<Arc<Offers>>,
}

/// What handshakes go by under one certificate.
#[derive(Debug)]
pub(crate) struct Offers {
    http2_first: Arc<ServerConfig>,
    http1_first: Arc<ServerConfig>,
}

impl Offers {
    /// Returns what a handshake goes by with a client that has said this: of the protocols that it names,
    /// its first one that is spoken here is chosen.
    pub(crate) fn to(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let first = hello.alpn().and_then(|mut named| named.find(|name| [HTTP1, HTTP2].contains(name)));
        if first == Some(HTTP1) { self.http1_first.clone() } else { self.http2_first.clone() }
    }
}

/// By what a file is known to be another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileStamp {
    place: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub(crate) fn load(files: CertificateFiles) -> Result<Self, CertificateError> {
        let seen = look(&files);
        let current = watch::Sender::new(read(&files)?);
        Ok(Self { files, seen: Mutex::new(seen), current })
    }

    /// What a handshake that begins now goes by.
    pub(crate) fn current(&self) -> Arc<Offers> {
        self.current.borrow().clone()
    }

    /// Looks at the files for as long as this is awaited.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look_aside().await;
        }
    }

    /// [`look_again`](Self::look_again), where reading files holds up nobody.
    pub(crate) async fn look_aside(self: &Arc<Self>) {
        let files = self.clone();
        // What comes of it is in the log.
        let _ = tokio::task::spawn_blocking(move || files.look_again()).await;
    }

    /// Reads the files where they have changed since they were read last. What comes of it is said in
    /// the log, once for each change.
    ///
    /// # Errors
    /// [`CertificateError`]: the certificate before stays in force.
    fn look_again(&self) -> Result<(), CertificateError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Before they are read: a change while that is done is found the next time.
        let newest = look(&self.files);
        if *seen == newest {
            return Ok(());
        }
        let read = read(&self.files);
        *seen = newest;
        match read {
            Ok(config) => {
                self.current.send_replace(config);
                tracing::info!("the gateway's certificate has been read anew");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway's certificate stays the one before");
                Err(error)
            }
        }
    }
}

/// `None` where one of them is not there.
fn look(files: &CertificateFiles) -> Option<[FileStamp; 2]> {
    let look = |path: &Path| std::fs::metadata(path).ok().map(|metadata| FileStamp::at(&metadata));
    Some([look(&files.chain)?, look(&files.key)?])
}

impl FileStamp {
    fn at(metadata: &Metadata) -> Self {
        Self {
            place: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn read(files: &CertificateFiles) -> Result<Arc<Offers>, CertificateError> {
    let no_certificate = |_| CertificateError::NoCertificate { path: files.chain.clone() };
    let pem = read_file(&files.chain)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.expose_secret())
        .collect::<Result<_, _>>()
        .map_err(no_certificate)?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate { path: files.chain.clone() });
    }
    let pem = read_file(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(pem.expose_secret())
        .map_err(|_| CertificateError::NoKey { path: files.key.clone() })?;
    server(chain, key).map_err(|source| CertificateError::Unusable {
        chain: files.chain.clone(),
        key: files.key.clone(),
        source,
    })
}

fn read_file(path: &Path) -> Result<SecretSlice<u8>, CertificateError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    let read = read.map_err(|source| CertificateError::Unreadable { path: path.to_owned(), source })?;
    if u64::try_from(read).is_ok_and(|read| read > LARGEST_FILE) {
        return Err(CertificateError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes.into())
}

/// TLS 1.2 and 1.3 with customers. Sessions are resumed by tickets, under a key that ends with the
/// certificate.
fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<Offers>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = CertifiedKey::from_der(chain, key, &provider)?;
    // An end that is no certificate is noticed now rather than by the first customer.
    rustls::server::ParsedCertificate::try_from(certified.end_entity_cert()?)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    let in_order = |first: &[u8], second: &[u8]| {
        let mut config = config.clone();
        config.alpn_protocols = vec![first.to_vec(), second.to_vec()];
        Arc::new(config)
    };
    Ok(Arc::new(Offers { http2_first: in_order(HTTP2, HTTP1), http1_first: in_order(HTTP1, HTTP2) }))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    fn made() -> (String, String) {
        let Made { cert, signing_key } = generate_simple_self_signed(["proxy.test".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn put(folder: &TempDir, chain: &str, key: &str) -> CertificateFiles {
        let files =
            CertificateFiles { chain: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        std::fs::write(&files.chain, chain).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let ((chain, key), (_, other_key)) = (made(), made());
        let fault = |chain: &str, key: &str| {
            let loaded = Certificates::load(put(&folder, chain, key));
            loaded.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(fault(&chain, &key), Ok(()));
        assert_eq!(fault(&format!("{chain}{}", made().0), &key), Ok(()), "a chain");
        let told = |result: Result<(), String>, needle: &str| {
            let said = result.unwrap_err();
            assert!(said.contains(needle), "{said}");
            assert!(!said.contains("PRIVATE"), "{said}");
        };
        told(fault(&chain, &other_key), "do not go together");
        told(fault("", &key), "chain.pem holds no certificates");
        told(fault(&key, &key), "chain.pem holds no certificates");
        told(fault(&chain, &chain), "key.pem holds no private key");
        told(fault(&chain, &"x".repeat(2 << 20)), "key.pem is larger");
        let nothing =
            CertificateFiles { chain: folder.path().join("nothing"), key: folder.path().join("key.pem") };
        told(Certificates::load(nothing).map(|_| ()).map_err(|error| error.to_string()), "cannot be read");
    }

    #[test]
    fn new_files_hold_from_then_on_and_broken_ones_leave_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = made();
        let certificates = Certificates::load(put(&folder, &chain, &key)).unwrap();
        let first = certificates.current();
        certificates.look_again().unwrap();
        assert!(Arc::ptr_eq(&first, &certificates.current()), "nothing has changed");
        put(&folder, "half a certif", &key);
        assert!(certificates.look_again().is_err());
        assert!(certificates.look_again().is_ok(), "it is said once");
        assert!(Arc::ptr_eq(&first, &certificates.current()), "the old one stays");
        let (chain, key) = made();
        put(&folder, &chain, &key);
        certificates.look_again().unwrap();
        assert!(!Arc::ptr_eq(&first, &certificates.current()));
    }
}
