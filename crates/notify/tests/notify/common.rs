//! What the tests of both senders need: listeners on loopback, and certificates.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tollgate_notify::{Resolver, Trust};

/// Longer than anything here takes; only a test that fails waits for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Something that listens on loopback; ends when dropped.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Listener {
    /// Listens on any port of 127.0.0.1, and does `what` with each connection.
    pub(crate) async fn start<F, R>(what: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::start_on("127.0.0.1", 0, what).await
    }

    pub(crate) async fn start_on<F, R>(ip: &'static str, port: u16, what: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                connections.spawn(what(stream));
            }
        });
        Self { address, accepted, _tasks: tasks }
    }

    /// How many connections were taken so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

/// A listener whose queue is full: whoever connects waits in vain. The streams keep it full.
pub(crate) async fn deaf(address: &str) -> (TcpListener, Vec<TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(address.parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    loop {
        let next = tokio::net::TcpSocket::new_v4().unwrap().connect(address);
        match tokio::time::timeout(Duration::from_millis(200), next).await {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(_) => return (listener, waiting),
        }
        assert!(waiting.len() < 64, "the queue never fills");
    }
}

/// A resolver that knows these names.
pub(crate) fn names(list: &[(&str, &[&str])]) -> Arc<Resolver> {
    let addresses = |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
    let fixed: HashMap<_, _> = list.iter().map(|(name, ips)| ((*name).to_owned(), addresses(ips))).collect();
    Arc::new(Resolver::new(fixed))
}

/// An authority that issues certificates.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Believes this authority.
    pub(crate) fn trust(&self) -> Trust {
        Trust::public().and_pem(self.pem.as_bytes()).unwrap()
    }

    /// A server for some names or addresses.
    pub(crate) fn server(&self, names: &[&str]) -> TlsAcceptor {
        self.server_until(names, 2999)
    }

    /// One whose certificate is good to the end of a year.
    pub(crate) fn server_until(&self, names: &[&str], year: i32) -> TlsAcceptor {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(1999, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        acceptor(certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

fn acceptor(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Fails a test that hangs, instead of letting it hang.
pub(crate) async fn in_time<R>(what: impl Future<Output = R>) -> R {
    tokio::time::timeout(DEADLINE, what).await.expect("in time")
}
