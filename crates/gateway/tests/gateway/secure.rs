//! TLS to the gateway: certificates made for the test, and rustls as the customer.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tollgate_gateway::{CertificateFiles, GatewayConfig};
use tollgate_types::{Exit, ProxyType};

use crate::world::{
    ALICE, ALICE_ID, Client, PATIENCE, World, connect, direct, echo, eventually, http_origin, origin,
};

/// A world whose gateway has a certificate for `proxy.test`.
pub(crate) struct Secured {
    pub(crate) world: World,
    folder: TempDir,
    certificate: CertificateDer<'static>,
}

/// Puts a new certificate for `proxy.test` into a folder.
pub(crate) fn renew(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["proxy.test".to_owned()]).unwrap();
    std::fs::write(folder.join("chain.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

/// Where that is.
pub(crate) fn files(folder: &Path) -> CertificateFiles {
    CertificateFiles { chain: folder.join("chain.pem"), key: folder.join("key.pem") }
}

fn exits() -> Vec<Exit> {
    ProxyType::ALL.iter().zip(1..).map(|(kind, id)| direct(id, *kind)).collect()
}

impl Secured {
    pub(crate) async fn lab() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = renew(folder.path());
        let files = files(folder.path());
        let world = World::with(exits(), |config| {
            config.certificate = Some(files);
            change(config);
        })
        .await;
        Self { world, folder, certificate }
    }

    /// TLS with a client that speaks these protocols.
    pub(crate) async fn tls(&self, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        handshake(self.world.any, &self.certificate, "proxy.test", protocols).await
    }
}

pub(crate) async fn handshake(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    name: &'static str,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = Client::to(address).await.stream;
    let name = ServerName::try_from(name).unwrap();
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

/// Reads up to the empty line.
pub(crate) async fn head(tls: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, tls.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn a_tunnel_under_tls_carries_everything_both_ways_and_is_charged_to_the_byte() {
    let secured = Secured::lab().await;
    let target = echo().await.to_string();
    let mut tls = secured.tls(&[b"http/1.1"]).await.unwrap();
    tls.write_all(connect(&target, ALICE).as_bytes()).await.unwrap();
    assert!(head(&mut tls).await.starts_with("HTTP/1.1 200 "));
    let sent = pattern(10 * 1024 * 1024 + 7);
    let (mut reads, mut writes) = tokio::io::split(tls);
    let mut received = Vec::new();
    let both = async {
        tokio::try_join!(
            async { writes.write_all(&sent).await.and(writes.shutdown().await) },
            reads.read_to_end(&mut received),
        )
    };
    timeout(PATIENCE, both).await.unwrap().unwrap();
    assert!(received == sent, "{} bytes", received.len());
    assert_eq!(secured.world.settled().await, 2 * sent.len() as u64);
}

#[tokio::test]
async fn plain_requests_under_tls_are_forwarded_one_after_the_other() {
    let secured = Secured::lab().await;
    let (origin, heads) = http_origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    // No protocol offered: HTTP/1.1 is spoken.
    let mut tls = secured.tls(&[]).await.unwrap();
    for n in 0..3 {
        let request = format!(
            "GET http://{origin}/{n} HTTP/1.1\r\nHost: {origin}\r\nProxy-Authorization: {ALICE}\r\n\r\n"
        );
        tls.write_all(request.as_bytes()).await.unwrap();
        assert!(head(&mut tls).await.starts_with("HTTP/1.1 200 OK"), "{n}");
        let mut body = [0; 2];
        tls.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"ok");
    }
    assert_eq!(heads.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn socks5_is_spoken_under_tls_too() {
    let secured = Secured::lab().await;
    let target = echo().await;
    let mut tls = secured.tls(&[]).await.unwrap();
    tls.write_all(b"\x05\x01\x02").await.unwrap();
    let mut reply = [0; 2];
    tls.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply, [5, 2]);
    tls.write_all(b"\x01\x05alice\x06secret").await.unwrap();
    tls.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply, [1, 0]);
    let mut request = b"\x05\x01\x00\x01\x7f\x00\x00\x01".to_vec();
    request.extend(target.port().to_be_bytes());
    tls.write_all(&request).await.unwrap();
    let mut granted = [0; 10];
    tls.read_exact(&mut granted).await.unwrap();
    assert_eq!(granted[1], 0);
    tls.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    tls.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"ping");
}

#[tokio::test]
async fn refusals_are_told_under_tls() {
    let secured = Secured::lab().await;
    let mut tls = secured.tls(&[b"http/1.1"]).await.unwrap();
    tls.write_all(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n").await.unwrap();
    let refused = head(&mut tls).await;
    assert!(refused.starts_with("HTTP/1.1 407 "), "{refused}");
    assert!(refused.contains("X-Tollgate-Error: AUTH_REQUIRED"), "{refused}");
}

#[tokio::test]
async fn hp_52_what_does_not_go_together_fails_cleanly() {
    let secured = Secured::with(|config| config.limits.handshake_timeout = Duration::from_millis(500)).await;
    let fault = |result: std::io::Result<TlsStream<TcpStream>>| result.map(|_| ()).unwrap_err().to_string();
    let said = fault(secured.tls(&[b"spdy/3"]).await);
    assert!(said.contains("NoApplicationProtocol"), "{said}");
    let said = fault(handshake(secured.world.any, &secured.certificate, "other.test", &[]).await);
    assert!(said.contains("certificate"), "{said}");
    // A ClientHello of TLS 1.1 is answered with an alert, and a fatal one.
    let mut client = secured.world.client().await;
    client.say(&tls11_hello()).await;
    assert_eq!(client.rest().await[..6], [0x15, 3, 3, 0, 2, 2]);
    let mut client = secured.world.client().await;
    client.say(b"\x16\x03\x01\x00\x05nonse").await;
    client.rest().await;
    // One that never gets on with it.
    let mut client = secured.world.client().await;
    client.say([[0x16, 3, 1, 0x3f, 0xff].as_slice(), &[1; 100]].concat()).await;
    assert_eq!(client.rest().await, b"");
    eventually("failures are counted", || {
        secured.world.gateway.stats().tls_failures.load(Ordering::Relaxed) == 5
    })
    .await;
}

/// What a client says that knows nothing newer than TLS 1.1.
fn tls11_hello() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    // No session; one suite; no compression; no extensions.
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
    message.extend(hello);
    let mut record = vec![0x16, 3, 1, 0, u8::try_from(message.len()).unwrap()];
    record.extend(message);
    record
}

#[tokio::test]
async fn without_a_certificate_tls_is_not_spoken() {
    let world = World::lab().await;
    let mut client = world.client().await;
    client.say(tls11_hello()).await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn tls_within_tls_is_not_spoken() {
    let secured = Secured::lab().await;
    let mut tls = secured.tls(&[]).await.unwrap();
    tls.write_all(&tls11_hello()).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, tls.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn a_new_certificate_is_shown_as_soon_as_it_is_there_and_a_broken_one_never() {
    // Handshakes fail until it is there.
    let mut secured = Secured::with(|config| config.limits.tls_without_request = 0).await;
    std::fs::write(secured.folder.path().join("key.pem"), "nothing of use").unwrap();
    secured.world.gateway.reload_certificate().await;
    secured.tls(&[]).await.expect("the old one is shown");
    secured.certificate = renew(secured.folder.path());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // Nobody asks: the files are looked at by themselves.
    while secured.tls(&[]).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the new one is never shown");
    }
    secured.certificate = renew(secured.folder.path());
    secured.world.gateway.reload_certificate().await;
    secured.tls(&[]).await.expect("the newest one is shown at once");
}

#[tokio::test]
async fn funds_that_end_end_a_tunnel_under_tls_at_the_last_granted_byte() {
    let secured = Secured::lab().await;
    let funds = 3 * 1024 * 1024 + 5;
    secured.world.control.fund(ALICE_ID, funds);
    let target = origin(|mut client| async move {
        let _ = client.stream.write_all(&pattern(8 * 1024 * 1024)).await;
    })
    .await;
    let mut tls = secured.tls(&[]).await.unwrap();
    tls.write_all(connect(&target.to_string(), ALICE).as_bytes()).await.unwrap();
    assert!(head(&mut tls).await.starts_with("HTTP/1.1 200 "));
    let mut received = Vec::new();
    let end = timeout(PATIENCE, tls.read_to_end(&mut received)).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "no closing alert: it was cut");
    assert_eq!(received.len() as u64, funds);
    assert!(received == pattern(received.len()));
    assert_eq!(secured.world.settled().await, funds);
}

#[tokio::test]
async fn funds_that_end_under_tls_are_spent_to_the_last_byte_by_both_directions_together() {
    let secured = Secured::lab().await;
    let funds = 5 * 1024 * 1024 + 3;
    secured.world.control.fund(ALICE_ID, funds);
    let target = echo().await.to_string();
    let mut tls = secured.tls(&[]).await.unwrap();
    tls.write_all(connect(&target, ALICE).as_bytes()).await.unwrap();
    assert!(head(&mut tls).await.starts_with("HTTP/1.1 200 "));
    let sent = pattern(8 * 1024 * 1024);
    let (mut reads, mut writes) = tokio::io::split(tls);
    let mut received = Vec::new();
    let both = async {
        // It is not all taken.
        let _ = tokio::join!(writes.write_all(&sent), reads.read_to_end(&mut received));
    };
    timeout(PATIENCE, both).await.unwrap();
    assert!(sent.starts_with(&received), "{} bytes", received.len());
    assert_eq!(secured.world.settled().await, funds);
    let stats = secured.world.gateway.stats();
    let [up, down] = [&stats.bytes_up, &stats.bytes_down].map(|way| way.load(Ordering::Relaxed));
    assert_eq!((up + down, received.len() as u64), (funds, down));
}

#[tokio::test]
async fn a_target_that_has_said_all_still_hears_all_under_tls() {
    let secured = Secured::lab().await;
    let much = 8 * 1024 * 1024 + 1;
    let (target, mut told) = says_all_first(much).await;
    let mut tls = secured.tls(&[]).await.unwrap();
    tls.write_all(connect(&target.to_string(), ALICE).as_bytes()).await.unwrap();
    assert!(head(&mut tls).await.starts_with("HTTP/1.1 200 "));
    let mut received = Vec::new();
    timeout(PATIENCE, tls.read_to_end(&mut received)).await.unwrap().unwrap();
    assert!(received == pattern(much), "{} bytes", received.len());
    tls.write_all(&received).await.unwrap();
    tls.shutdown().await.unwrap();
    assert!(timeout(PATIENCE, told.recv()).await.unwrap().unwrap(), "the target has heard all");
    assert_eq!(secured.world.settled().await, 2 * much as u64);
}

#[tokio::test]
async fn hp_47_a_slow_reader_under_tls_holds_the_target_back_and_gets_everything() {
    let secured = Secured::lab().await;
    let sent = 48 * 1024 * 1024;
    let target = origin(move |mut client| async move {
        let _ = client.stream.write_all(&pattern(sent)).await;
    })
    .await;
    let mut tls = secured.tls(&[]).await.unwrap();
    tls.write_all(connect(&target.to_string(), ALICE).as_bytes()).await.unwrap();
    assert!(head(&mut tls).await.starts_with("HTTP/1.1 200 "));
    let moved = held_back(&secured.world).await;
    assert!(moved < sent as u64, "{moved} bytes for somebody who reads nothing");
    let mut received = Vec::new();
    timeout(PATIENCE, tls.read_to_end(&mut received)).await.unwrap().unwrap();
    assert!(received == pattern(sent), "{} bytes", received.len());
    drop(tls);
    assert_eq!(secured.world.settled().await, sent as u64);
}

/// A target that says so much and ends, and then tells whether it has heard as much.
pub(crate) async fn says_all_first(much: usize) -> (SocketAddr, tokio::sync::mpsc::Receiver<bool>) {
    let (tells, told) = tokio::sync::mpsc::channel(1);
    let target = origin(move |mut client| {
        let tells = tells.clone();
        async move {
            client.stream.write_all(&pattern(much)).await.unwrap();
            client.finish().await;
            let _ = tells.send(client.rest().await == pattern(much)).await;
        }
    })
    .await;
    (target, told)
}

/// Waits until nothing more comes down, and tells how much did.
pub(crate) async fn held_back(world: &World) -> u64 {
    let down = || world.gateway.stats().bytes_down.load(Ordering::Relaxed);
    eventually("something comes down", || down() > 0).await;
    let mut before = 0;
    while down() != before {
        before = down();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    before
}
