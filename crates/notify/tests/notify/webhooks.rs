//! Webhooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tollgate_notify::{
    MAX_BODY_BYTES, MessageId, Resolver, SendError, Sent, Trust, Webhook, WebhookConfig, WebhookSecret,
    WebhookUrl, Webhooks,
};
use tollgate_types::{Clock as _, SystemClock};

use crate::common::{Authority, DEADLINE, Listener, deaf, in_time, names};

const BODY: &str = r#"{"type":"wallet.low","data":{"note":"余额不足"}}"#;

/// A request as it came.
#[derive(Debug)]
struct Request {
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Request {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let length = headers["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Request { line, headers, body }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, said: &str) -> Request {
    let request = read_request(&mut stream).await;
    stream.write_all(said.as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
    request
}

/// A receiver that gives every request the same answer, and keeps the requests.
async fn receiver(said: impl Into<String>) -> (Listener, mpsc::Receiver<Request>) {
    let said: Arc<str> = said.into().into();
    let (kept, requests) = mpsc::channel(16);
    let listener = Listener::start(move |stream| {
        let (said, kept) = (said.clone(), kept.clone());
        async move { kept.send(answer(stream, &said).await).await.unwrap() }
    });
    (listener.await, requests)
}

fn ok() -> String {
    status(200)
}

fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nLocation: /elsewhere\r\n\r\nok")
}

/// Loopback is open, http is allowed, and nothing waits long.
fn lab() -> WebhookConfig {
    WebhookConfig {
        allow_http: true,
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        attempt_timeout: DEADLINE,
        ..WebhookConfig::default()
    }
}

fn impatient() -> WebhookConfig {
    WebhookConfig { attempt_timeout: Duration::from_millis(400), ..lab() }
}

fn webhooks(config: WebhookConfig) -> Webhooks {
    Webhooks::new(config, names(&[]), &Trust::public()).unwrap()
}

fn with_names(config: WebhookConfig, resolver: Arc<Resolver>) -> Webhooks {
    Webhooks::new(config, resolver, &Trust::public()).unwrap()
}

fn secret(byte: u8) -> WebhookSecret {
    WebhookSecret::from_random([byte; 32])
}

fn message(url: &str) -> Webhook {
    Webhook {
        url: WebhookUrl::parse(url).unwrap(),
        id: MessageId::new("msg_0198f").unwrap(),
        at: SystemClock.now(),
        body: BODY.to_owned(),
        secret: secret(1),
        other_secret: None,
    }
}

fn verify(secret: &WebhookSecret, headers: &HeaderMap, body: &[u8]) -> bool {
    standardwebhooks::Webhook::new(secret.expose()).unwrap().verify(body, headers).is_ok()
}

async fn sent_to(listener: &Listener, config: WebhookConfig) -> Result<Sent, SendError> {
    in_time(webhooks(config).send(&message(&format!("http://{}/hook", listener.address)))).await
}

#[tokio::test]
async fn a_message_comes_as_the_scheme_says_and_the_public_library_believes_it() {
    let (listener, mut requests) = receiver(ok()).await;
    let resolver = names(&[("hooks.test", &["127.0.0.1"])]);
    let webhook = message(&format!("http://Hooks.test.:{}/a/b?c=d", listener.port()));
    let sent = in_time(with_names(lab(), resolver).send(&webhook)).await;
    assert_eq!(sent, Ok(Sent { status: 200 }));

    let request = requests.recv().await.unwrap();
    assert_eq!(request.line, "POST /a/b?c=d HTTP/1.1");
    assert_eq!(request.body, BODY.as_bytes());
    let seconds = (webhook.at.micros() / 1_000_000).to_string();
    for (name, value) in [
        ("host", format!("hooks.test:{}", listener.port())),
        ("content-type", "application/json".to_owned()),
        ("user-agent", format!("Tollgate-Webhooks/{}", env!("CARGO_PKG_VERSION"))),
        ("connection", "close".to_owned()),
        ("webhook-id", "msg_0198f".to_owned()),
        ("webhook-timestamp", seconds),
    ] {
        assert_eq!(request.headers[name], value, "{name}");
    }
    assert!(verify(&secret(1), &request.headers, &request.body));
    assert!(!verify(&secret(2), &request.headers, &request.body));
}

#[tokio::test]
async fn what_was_altered_on_the_way_is_not_believed() {
    let (listener, mut requests) = receiver(ok()).await;
    sent_to(&listener, lab()).await.unwrap();
    let request = requests.recv().await.unwrap();
    let tampered = String::from_utf8(request.body.clone()).unwrap().replace("low", "full");
    assert!(!verify(&secret(1), &request.headers, tampered.as_bytes()));
    let earlier = (SystemClock.now().micros() / 1_000_000 - 60).to_string();
    for (name, value) in [("webhook-id", "msg_other"), ("webhook-timestamp", &earlier)] {
        let mut headers = request.headers.clone();
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        assert!(!verify(&secret(1), &headers, &request.body), "{name}");
    }
}

#[tokio::test]
async fn while_a_secret_is_changed_either_verifies() {
    let (listener, mut requests) = receiver(ok()).await;
    let mut webhook = message(&format!("http://{}/", listener.address));
    webhook.other_secret = Some(secret(2));
    in_time(webhooks(lab()).send(&webhook)).await.unwrap();
    let request = requests.recv().await.unwrap();
    for (byte, believed) in [(1, true), (2, true), (3, false)] {
        assert_eq!(verify(&secret(byte), &request.headers, &request.body), believed, "{byte}");
    }
}

#[tokio::test]
async fn only_2xx_is_success_and_only_410_is_final() {
    for code in [200, 201, 202, 204, 299] {
        let (listener, _requests) = receiver(format!("HTTP/1.1 {code} X\r\n\r\n")).await;
        assert_eq!(sent_to(&listener, lab()).await, Ok(Sent { status: code }));
    }
    for code in [300, 301, 302, 304, 307, 308, 400, 404, 410, 429, 500, 502, 503, 599] {
        let (listener, _requests) = receiver(status(code)).await;
        let expected = match code {
            300..=399 => SendError::Redirect(code),
            410 => SendError::Gone,
            _ => SendError::Status(code),
        };
        assert_eq!(expected.is_final(), code == 410);
        assert_eq!(sent_to(&listener, lab()).await, Err(expected));
        assert_eq!(listener.accepted(), 1, "{code}: redirects are not followed");
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_or_trickles_costs_the_attempts_time_and_no_more() {
    let hangs = Listener::start(|stream| async move {
        let _stream = stream;
        std::future::pending().await
    });
    assert_eq!(sent_to(&hangs.await, impatient()).await, Err(SendError::Timeout));

    let trickles = Listener::start(|mut stream| async move {
        read_request(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nX-Slow: ";
        for byte in head.iter().chain(std::iter::repeat(&b'x')) {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(sent_to(&trickles.await, impatient()).await, Err(SendError::Timeout));
}

#[tokio::test]
async fn a_tls_handshake_that_hangs_costs_the_attempts_time_and_no_more() {
    let hangs = Listener::start(|stream| async move {
        let _stream = stream;
        std::future::pending().await
    });
    let hangs = hangs.await;
    let url = format!("https://{}/", hangs.address);
    assert_eq!(in_time(webhooks(impatient()).send(&message(&url))).await, Err(SendError::Timeout));
}

#[tokio::test]
async fn a_huge_body_is_left_and_an_endless_one_is_not_waited_for() {
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let huge = Listener::start(move |mut stream| {
        let counter = counter.clone();
        async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n").await.unwrap();
            let block = [b'x'; 64 * 1024];
            while stream.write_all(&block).await.is_ok() {
                counter.fetch_add(block.len(), Ordering::SeqCst);
            }
        }
    });
    assert_eq!(sent_to(&huge.await, lab()).await, Ok(Sent { status: 200 }));
    assert!(written.load(Ordering::SeqCst) < 32 << 20, "what sockets hold, not the whole body");

    let endless = Listener::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 500 X\r\nContent-Length: 5\r\n\r\nx").await.unwrap();
        std::future::pending().await
    });
    assert_eq!(sent_to(&endless.await, lab()).await, Err(SendError::Status(500)));
}

#[tokio::test]
async fn a_connection_that_ends_early_is_told_from_an_answer() {
    let at_once = Listener::start(|stream| async move { drop(stream) });
    assert_eq!(sent_to(&at_once.await, lab()).await, Err(SendError::BrokenOff));
    let after_the_request = Listener::start(|mut stream| async move {
        read_request(&mut stream).await;
    });
    assert_eq!(sent_to(&after_the_request.await, lab()).await, Err(SendError::BrokenOff));
    let in_the_head = receiver("HTTP/1.1 200 OK\r\nContent-").await;
    assert_eq!(sent_to(&in_the_head.0, lab()).await, Err(SendError::BrokenOff));
    let in_the_body = receiver("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx").await;
    assert_eq!(sent_to(&in_the_body.0, lab()).await, Ok(Sent { status: 200 }), "the status came");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_was_read_counts() {
    let listener = Listener::start(|mut stream| async move {
        stream.write_all(status(413).as_bytes()).await.unwrap();
        // The body stays unread, and the connection open.
        std::future::pending().await
    });
    let listener = listener.await;
    let mut webhook = message(&format!("http://{}/", listener.address));
    webhook.body = "x".repeat(MAX_BODY_BYTES);
    assert_eq!(in_time(webhooks(lab()).send(&webhook)).await, Err(SendError::Status(413)));
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "\0\0\0\0\0\0", "HTTP/1.1 9999 X\r\n\r\n", "200 OK\r\n\r\n"] {
        let (listener, _requests) = receiver(garbage).await;
        assert_eq!(sent_to(&listener, lab()).await, Err(SendError::NotHttp), "{garbage:?}");
    }
}

#[tokio::test]
async fn a_head_is_read_so_far_and_no_further() {
    let line = format!("X: {}\r\n", "x".repeat(1000));
    let long = format!("HTTP/1.1 200 OK\r\n{}\r\n", line.repeat(64));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: x\r\n".repeat(1000));
    let one_line = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(1 << 20));
    for head in [long, many, one_line] {
        let listener = Listener::start(move |mut stream| {
            let head = head.clone();
            async move {
                read_request(&mut stream).await;
                let _ = stream.write_all(head.as_bytes()).await;
            }
        });
        assert_eq!(sent_to(&listener.await, lab()).await, Err(SendError::HeadTooLarge));
    }
    let interim_for_ever = Listener::start(|mut stream| async move {
        read_request(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nX: x\r\n\r\n").await.is_ok() {}
    });
    assert_eq!(sent_to(&interim_for_ever.await, lab()).await, Err(SendError::HeadTooLarge));
}

#[tokio::test]
async fn closed_addresses_are_not_dialled_however_they_are_written() {
    let (listener, _requests) = receiver(ok()).await;
    let open = listener.port();
    let strict = WebhookConfig { allow: vec![], ..lab() };
    let resolver = names(&[
        ("inside.test", &["127.0.0.1"]),
        ("mapped.test", &["::ffff:127.0.0.1"]),
        ("all-inside.test", &["10.0.0.1", "127.0.0.1", "::1", "fd00:ec2::254"]),
    ]);
    let webhooks = with_names(strict, resolver);
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "１２７.０.０.１",
        "%31%32%37.0.0.1",
        "0.0.0.0",
        "0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "inside.test",
        "Inside.Test.",
        "mapped.test",
        "all-inside.test",
    ] {
        let webhook = message(&format!("http://{host}:{open}/"));
        assert_eq!(in_time(webhooks.send(&webhook)).await, Err(SendError::Blocked), "{host}");
        assert_eq!(in_time(webhooks.check(&webhook.url)).await, Err(SendError::Blocked), "{host}");
    }
    assert_eq!(listener.accepted(), 0);
}

#[tokio::test]
async fn closed_addresses_beside_open_ones_are_passed_over() {
    let (closed, _requests) = receiver(status(500)).await;
    let open = Listener::start_on("127.0.0.2", closed.port(), |stream| async move {
        answer(stream, &ok()).await;
    });
    let open = open.await;
    let config = WebhookConfig { allow: vec!["127.0.0.2/32".parse().unwrap()], ..lab() };
    let webhooks = with_names(config, names(&[("both.test", &["127.0.0.1", "127.0.0.2"])]));
    let webhook = message(&format!("http://both.test:{}/", open.port()));
    assert_eq!(in_time(webhooks.check(&webhook.url)).await, Ok(()));
    assert_eq!(in_time(webhooks.send(&webhook)).await, Ok(Sent { status: 200 }));
    assert_eq!((closed.accepted(), open.accepted()), (0, 1));
}

#[tokio::test]
async fn an_address_that_is_deaf_or_dead_is_followed_by_the_next() {
    let (deaf, _waiting) = deaf("127.0.0.1:0").await;
    let port = deaf.local_addr().unwrap().port();
    let good = Listener::start_on("127.0.0.3", port, |stream| async move {
        answer(stream, &ok()).await;
    });
    let good = good.await;
    let config = WebhookConfig { connect_timeout: Duration::from_millis(500), ..lab() };
    // Nobody listens at 127.0.0.2.
    let hosts =
        names(&[("three.test", &["127.0.0.1", "127.0.0.2", "127.0.0.3"]), ("deaf.test", &["127.0.0.1"])]);
    let webhooks = with_names(config, hosts);
    let three = message(&format!("http://three.test:{port}/"));
    assert_eq!(in_time(webhooks.send(&three)).await, Ok(Sent { status: 200 }));
    assert_eq!(good.accepted(), 1);
    let lost = message(&format!("http://deaf.test:{port}/"));
    assert_eq!(in_time(webhooks.send(&lost)).await, Err(SendError::Unreachable));
}

#[tokio::test]
async fn a_name_without_an_address_is_said_to_be_one() {
    let webhook = message("http://no-such-host.invalid/");
    assert_eq!(in_time(webhooks(lab()).send(&webhook)).await, Err(SendError::Unresolved));
}

#[tokio::test]
async fn plain_http_is_refused_unless_it_is_allowed() {
    let (listener, _requests) = receiver(ok()).await;
    let strict = webhooks(WebhookConfig { allow_http: false, ..lab() });
    let webhook = message(&format!("http://{}/", listener.address));
    assert_eq!(in_time(strict.send(&webhook)).await, Err(SendError::NotHttps));
    assert_eq!(in_time(strict.check(&webhook.url)).await, Err(SendError::NotHttps));
    assert_eq!(listener.accepted(), 0);
    assert!(!WebhookConfig::default().allow_http);
}

#[tokio::test]
async fn a_message_that_is_too_long_is_never_sent() {
    let (listener, mut requests) = receiver(ok()).await;
    let mut webhook = message(&format!("http://{}/", listener.address));
    webhook.body = "x".repeat(MAX_BODY_BYTES + 1);
    let refused = in_time(webhooks(lab()).send(&webhook)).await;
    assert!(matches!(&refused, Err(error @ SendError::Unsendable(_)) if error.is_final()), "{refused:?}");
    assert_eq!(listener.accepted(), 0);
    webhook.body.pop();
    assert_eq!(in_time(webhooks(lab()).send(&webhook)).await, Ok(Sent { status: 200 }));
    assert_eq!(requests.recv().await.unwrap().body.len(), MAX_BODY_BYTES);
}

/// A TLS receiver for the names that its certificate bears.
async fn tls_receiver(acceptor: tokio_rustls::TlsAcceptor) -> Listener {
    let listener = Listener::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                assert_eq!(stream.get_ref().1.alpn_protocol(), None);
                answer(stream, &ok()).await;
            }
        }
    });
    listener.await
}

async fn sent_by_tls(listener: &Listener, host: &str, trust: &Trust) -> Result<Sent, SendError> {
    let resolver = names(&[("hooks.test", &["127.0.0.1"]), ("other.test", &["127.0.0.1"])]);
    let webhooks = Webhooks::new(WebhookConfig { allow_http: false, ..lab() }, resolver, trust).unwrap();
    in_time(webhooks.send(&message(&format!("https://{host}:{}/", listener.port())))).await
}

#[tokio::test]
async fn a_receiver_proves_by_tls_who_it_is() {
    let authority = Authority::new();
    let listener = tls_receiver(authority.server(&["hooks.test", "127.0.0.1"])).await;
    for host in ["hooks.test", "Hooks.Test.", "127.0.0.1", "0x7f.1"] {
        let sent = sent_by_tls(&listener, host, &authority.trust()).await;
        assert_eq!(sent, Ok(Sent { status: 200 }), "{host}");
    }
}

#[tokio::test]
async fn a_receiver_that_proves_nothing_gets_nothing() {
    let authority = Authority::new();
    let refused = |sent: Result<Sent, SendError>, why: &str| {
        let Err(SendError::Tls(said)) = sent else { panic!("{why}: {sent:?}") };
        assert!(said.to_ascii_lowercase().contains(why), "{why}: {said}");
        assert!(!SendError::Tls(said).is_final(), "a certificate can be put right");
    };
    let good = tls_receiver(authority.server(&["hooks.test"])).await;
    refused(sent_by_tls(&good, "other.test", &authority.trust()).await, "not valid for name");
    refused(sent_by_tls(&good, "127.0.0.1", &authority.trust()).await, "not valid for name");
    refused(sent_by_tls(&good, "hooks.test", &Trust::public()).await, "unknownissuer");
    refused(sent_by_tls(&good, "hooks.test", &Authority::new().trust()).await, "badsignature");
    let old = tls_receiver(authority.server_until(&["hooks.test"], 2020)).await;
    refused(sent_by_tls(&old, "hooks.test", &authority.trust()).await, "expired");
    let plain = Listener::start(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read(&mut [0]).await;
    });
    refused(sent_by_tls(&plain.await, "hooks.test", &authority.trust()).await, "corrupt message");
    let closes = Listener::start(|stream| async move { drop(stream) });
    refused(sent_by_tls(&closes.await, "hooks.test", &authority.trust()).await, "broke off");
}

#[test]
fn nothing_secret_is_printed() {
    let webhook = message("https://hooks.test/key?token=s3cret");
    let printed = format!("{webhook:?}");
    for secret in [secret(1).expose(), "s3cret", "/key"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn roots_of_trust_are_certificates() {
    for bad in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Trust::public().and_pem(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn an_attempt_can_be_made_from_any_task() {
    fn is_send(_: impl Send) {}
    let webhooks = webhooks(lab());
    is_send(webhooks.send(&message("https://hooks.test/")));
}
