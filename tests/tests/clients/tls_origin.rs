//! An origin that speaks TLS, and the authority that vouches for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Answers every request with its own request line.
pub(crate) struct TlsOrigin {
    pub(crate) address: SocketAddr,
    files: TempDir,
    task: JoinHandle<()>,
}

impl Drop for TlsOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsOrigin {
    /// For `origin.test`, `localhost` and 127.0.0.1.
    pub(crate) async fn start() -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let acceptor = acceptor(files.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that goes away is the end of its connection, not of the origin.
                let acceptor = acceptor.clone();
                tokio::spawn(async move { serve(acceptor, stream).await.ok() });
            }
        });
        Self { address, files, task }
    }

    /// The authority's certificate, and the origin's with its key, in PEM.
    pub(crate) fn authority(&self) -> PathBuf {
        self.files.path().join("authority.pem")
    }

    /// The origin's certificate and key.
    pub(crate) fn identity(&self) -> PathBuf {
        self.files.path().join("identity.pem")
    }
}

fn acceptor(files: &Path) -> TlsAcceptor {
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    // One of its own: who has the name of his authority is taken for it.
    params.distinguished_name.push(DnType::CommonName, "The authority of a test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(params, key);

    let names = ["origin.test", "localhost", "127.0.0.1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).expect("parameters");
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    std::fs::write(files.join("authority.pem"), authority.pem()).expect("a file");
    std::fs::write(files.join("identity.pem"), certificate.pem() + &key.serialize_pem()).expect("a file");

    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a key that fits");
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    loop {
        let (mut first, mut line) = (String::new(), String::new());
        if stream.read_line(&mut first).await? == 0 {
            return Ok(());
        }
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        let body = first.trim_end();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}
