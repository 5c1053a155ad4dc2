//! What is spoken under TLS: chosen by the client's order, and decided by what the client then sends.

use std::sync::atomic::Ordering;

use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tollgate_gateway::Limit;

use crate::secure::{Secured, head};
use crate::world::{ALICE, eventually, http_origin};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn chosen(tls: &TlsStream<TcpStream>) -> Option<&[u8]> {
    tls.get_ref().1.alpn_protocol()
}

/// Asks by HTTP/1.1, in two pieces.
async fn ask_by_http1(tls: &mut TlsStream<TcpStream>, origin: &str) {
    let request = format!(
        "POST http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nContent-Length: 0\r\nProxy-Authorization: {ALICE}\r\n\r\n"
    );
    // The first byte is the preface's, too.
    let (first, rest) = request.split_at(1);
    tls.write_all(first.as_bytes()).await.unwrap();
    tls.flush().await.unwrap();
    tls.write_all(rest.as_bytes()).await.unwrap();
    let said = head(tls).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

/// Asks by HTTP/2.
async fn ask_by_http2(tls: TlsStream<TcpStream>, origin: &str) {
    let (requests, connection) = h2::client::handshake(tls).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let request = Request::get(format!("http://{origin}/")).header("proxy-authorization", ALICE);
    let mut requests = requests.ready().await.unwrap();
    let (response, _) = requests.send_request(request.body(()).unwrap(), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_clients_order_chooses_the_protocol() {
    let secured = Secured::lab().await;
    let (http1, http2): (&[u8], &[u8]) = (b"http/1.1", b"h2");
    for (offered, expected) in [
        (&[http1, http2][..], Some(http1)),
        (&[http2, http1], Some(http2)),
        (&[b"spdy/3", http1, http2], Some(http1)),
        (&[http2], Some(http2)),
        (&[http1], Some(http1)),
        (&[], None),
    ] {
        let tls = secured.tls(offered).await.unwrap();
        assert_eq!(chosen(&tls), expected, "{offered:?}");
    }
}

#[tokio::test]
async fn the_preface_decides_what_is_spoken_whatever_was_negotiated() {
    let secured = Secured::lab().await;
    let (origin, heads) = http_origin(ANSWER).await;
    let origin = origin.to_string();
    for offered in [&[b"h2".as_slice()][..], &[b"http/1.1"], &[]] {
        let mut tls = secured.tls(offered).await.unwrap();
        ask_by_http1(&mut tls, &origin).await;
        ask_by_http2(secured.tls(offered).await.unwrap(), &origin).await;
    }
    assert_eq!(heads.lock().unwrap().len(), 6);
}

/// How many handshakes brought no request, and how many connections were closed for it.
fn in_vain(secured: &Secured) -> (u64, u64) {
    let stats = secured.world.gateway.stats();
    let refused = stats.limits().find(|(limit, _)| *limit == Limit::AddressHandshakes).unwrap().1;
    (stats.tls_without_request.load(Ordering::Relaxed), refused)
}

#[tokio::test]
async fn handshakes_that_bring_no_request_are_bounded_for_each_address_and_counted() {
    let secured = Secured::with(|config| config.limits.tls_without_request = 4).await;
    let origin = http_origin(ANSWER).await.0.to_string();
    // Whoever brings requests is not counted, by whichever protocol and however often he comes.
    for offered in [&[b"h2".as_slice()][..], &[b"http/1.1"]] {
        for _ in 0..5 {
            ask_by_http2(secured.tls(offered).await.unwrap(), &origin).await;
            ask_by_http1(&mut secured.tls(offered).await.unwrap(), &origin).await;
        }
    }
    let mut socks = secured.tls(&[]).await.unwrap();
    socks.write_all(b"\x05\x01\x02").await.unwrap();
    drop(socks);
    eventually("a handshake of SOCKS that is not ended brings none", || in_vain(&secured) == (1, 0)).await;
    secured.tls(&[b"h2"]).await.unwrap().shutdown().await.unwrap();
    let mut half = secured.tls(&[]).await.unwrap();
    half.write_all(b"GET http://").await.unwrap();
    half.shutdown().await.unwrap();
    eventually("nor does half a request, or nothing", || in_vain(&secured) == (3, 0)).await;
    secured.tls(&[b"spdy/3"]).await.unwrap_err();
    eventually("nor does one that fails", || in_vain(&secured) == (4, 0)).await;
    for _ in 0..3 {
        secured.tls(&[]).await.unwrap_err();
    }
    assert_eq!(in_vain(&secured), (4, 3), "what was refused is no handshake");
    // Nobody else pays for it: neither those without TLS, nor other addresses.
    let mut plain = secured.world.client().await;
    let request =
        format!("GET http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nProxy-Authorization: {ALICE}\r\n\r\n");
    plain.say(request).await;
    assert!(plain.head().await.starts_with("HTTP/1.1 200 "));
}
