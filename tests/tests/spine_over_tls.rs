//! The story of metering, told over TLS and HTTP/2: what went through the origin's hands is what is
//! billed, to the byte, and the books agree.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tollgate_testkit::Origin;
use tollgate_testkit::world::{Customer, Setup, World, eventually, int};

/// `ann.one:secret-1`.
const CREDENTIALS: &str = "Basic YW5uLm9uZTpzZWNyZXQtMQ==";
const PATIENCE: Duration = Duration::from_secs(20);

/// A customer who can pay, and a gateway with a certificate for `proxy.test`.
struct Shop {
    world: World,
    ann: Customer,
    origin: Origin,
    certificate: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["proxy.test".to_owned()]).unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        std::fs::write(&chain, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test"))
            .with("TOLLGATE_GATEWAY__CERTIFICATE", chain.to_str().unwrap())
            .with("TOLLGATE_GATEWAY__CERTIFICATE_KEY", key.to_str().unwrap());
        let world = World::start(setup);
        let ann = world.customer("ann", 10_000).await;
        world.sub_account(&ann, "ann.one", "secret-1", 0).await;
        world.exit("us-1", "residential", "us", "127.0.0.11").await;
        let origin = Origin::start().await;
        Self { world, ann, origin, certificate: made.cert.der().clone(), _folder: folder }
    }

    async fn tls(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = connect(self.world.gateway()).await;
        let name = ServerName::try_from("proxy.test").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn http2(&self) -> SendRequest<Bytes> {
        let (requests, connection) = h2::client::handshake(self.tls(b"h2").await).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        requests
    }

    /// Everything that is billed, as soon as it is so much.
    async fn is_billed(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap();
        eventually(&format!("{bytes} bytes are billed"), PATIENCE, async || {
            let path = "/api/users/traffic/trend?start_date=2000-01-01&end_date=2100-01-01";
            let answer = self.world.api(&self.ann.key).get(path).await;
            let pools = answer.data().as_object().expect("pools").clone();
            let days = pools.values().flat_map(|days| days.as_array().cloned().unwrap_or_default());
            (days.map(|day| int(&day["total_traffic"])).sum::<i64>() == bytes).then_some(())
        })
        .await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a client of the gateway")]
async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// One request; what is said on its stream, and how much comes back.
async fn ask(requests: SendRequest<Bytes>, request: Request<()>, says: Option<&'static str>) -> usize {
    let mut requests = requests.ready().await.unwrap();
    let (response, mut send) = requests.send_request(request, says.is_none()).unwrap();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    if let Some(words) = says {
        send.send_data(Bytes::from_static(words.as_bytes()), true).unwrap();
    }
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(data) = timeout(PATIENCE, body.data()).await.unwrap() {
        let data = data.unwrap();
        length += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    length
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_by_tls_and_http2_is_billed_to_the_byte() {
    let mut shop = Shop::open().await;
    let target = shop.origin.address().to_string();
    let requests = shop.http2().await;
    let tunnel = || {
        let request = Request::builder().method(Method::CONNECT).uri(&target);
        request.header("proxy-authorization", CREDENTIALS).body(()).unwrap()
    };
    let tunnels: Vec<_> =
        (0..30).map(|_| tokio::spawn(ask(requests.clone(), tunnel(), Some("SEND 300001\n")))).collect();
    for running in tunnels {
        assert_eq!(running.await.unwrap(), 300_001);
    }
    let get = Request::get(format!("http://{target}/bytes/1000000"));
    let get = get.header("proxy-authorization", CREDENTIALS).body(()).unwrap();
    assert_eq!(ask(requests, get, None).await, 1_000_000);

    let mut tls = shop.tls(b"http/1.1").await;
    let head = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {CREDENTIALS}\r\n\r\nSEND 500000\n"
    );
    tls.write_all(head.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    timeout(PATIENCE, tls.read_to_end(&mut all)).await.unwrap().unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200 "));
    drop(tls);

    shop.is_billed(shop.origin.received() + shop.origin.sent()).await;
    shop.world.stop();
    shop.world.audit();
}
